//! The ledger's writer: a group of commands in one database transaction.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::load::{load, recall, recall_changes};
use super::write::write;
use crate::embedded::error::from_sqlx;
use crate::embedded::outbox::begin_epoch;
use crate::embedded::writer::Engine;
use crate::ledger::book::{Book, Outcome};
use crate::ledger::remembered::Remembered;
use crate::ledger::work::{Done, FORGET, Work, beyond_the_newest, receipts, size};
use crate::ledger::{Command, Receipt};
use crate::{Clock, Error, Result, Timestamp};

/// What the writer keeps in memory.
#[derive(Debug)]
pub(super) struct LedgerEngine {
    clock: Arc<dyn Clock>,
    sequence: u64,
    booked_at: Timestamp,
    /// Whether any refusal is remembered.
    refusals: bool,
    /// The earliest deadline of an open hold, or an earlier time.
    deadline: Option<Timestamp>,
    /// Nobody else writes the file.
    accounts: Remembered,
}

impl LedgerEngine {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            sequence: 0,
            booked_at: Timestamp::EPOCH,
            refusals: false,
            deadline: None,
            accounts: Remembered::default(),
        }
    }

    async fn commands(
        &mut self,
        connection: &mut SqliteConnection,
        commands: &[&Command],
    ) -> Result<Vec<Result<Receipt>>> {
        // Booking time never goes back, even where the clock does.
        let booked_at = self.clock.now().max(self.booked_at);
        let mut book = Book::new(self.sequence, booked_at);
        let due = self.deadline.is_some_and(|deadline| deadline <= booked_at);
        load(connection, commands, &mut book, &mut self.accounts, self.refusals, due).await?;
        let outcomes = book.evaluate(commands);
        let refused = outcomes.iter().any(|outcome| matches!(outcome, Outcome::RefusedForGood(_)));
        if refused || book.sequence() > self.sequence {
            write(connection, commands, &outcomes, &book).await?;
        }
        if book.changed_holds().next().is_some() || due {
            self.deadline = earliest_deadline(connection).await?;
        }
        let (postings, changes) = Outcome::recalled(&outcomes);
        let mut stored = HashMap::new();
        if !postings.is_empty() {
            stored.extend(recall(connection, &postings).await?);
        }
        if !changes.is_empty() {
            stored.extend(recall_changes(connection, &changes).await?);
        }
        (self.sequence, self.booked_at) = (book.sequence(), booked_at);
        self.refusals |= refused;
        let receipts = receipts(outcomes, &stored);
        self.accounts.keep(book);
        Ok(receipts)
    }
}

impl Engine for LedgerEngine {
    type Command = Work;
    type Outcome = Done;

    async fn load(&mut self, connection: &mut SqliteConnection) -> Result<()> {
        self.accounts.clear();
        // Every command that took effect wrote one event, at its sequence, and the newest event is never forgotten.
        let row = sqlx::query("SELECT position, at FROM outbox ORDER BY position DESC LIMIT 1")
            .fetch_optional(&mut *connection)
            .await
            .map_err(from_sqlx)?;
        (self.sequence, self.booked_at) = match row {
            Some(row) => (row.get::<i64, _>(0) as u64, Timestamp::from_micros(row.get(1))),
            None => (0, Timestamp::from_micros(i64::MIN)),
        };
        self.deadline = earliest_deadline(connection).await?;
        self.refusals = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM refusals)")
            .fetch_one(connection)
            .await
            .map_err(from_sqlx)?;
        Ok(())
    }

    async fn begin(&mut self, connection: &mut SqliteConnection) -> Result<()> {
        begin_epoch(connection, self.sequence).await
    }

    async fn apply(
        &mut self,
        connection: &mut SqliteConnection,
        works: &[Work],
    ) -> Result<Vec<Result<Done>>> {
        let commands: Vec<&Command> = works
            .iter()
            .filter_map(|work| match work {
                Work::Command(command) => Some(command),
                _ => None,
            })
            .collect();
        let expires = works.iter().any(|work| matches!(work, Work::Expire));
        let mut receipts = if commands.is_empty() && !expires {
            Vec::new()
        } else {
            self.commands(connection, &commands).await?
        }
        .into_iter();
        let mut outcomes = Vec::with_capacity(works.len());
        for work in works {
            outcomes.push(match work {
                Work::Command(_) => match receipts.next() {
                    Some(receipt) => receipt.map(Done::Receipt),
                    None => Err(Error::invalid("command", "has no outcome")),
                },
                Work::Expire | Work::Fence => Ok(Done::Count(0)),
                Work::Chain { after, blocks } => chain(connection, *after, blocks).await.map(Done::Count),
                Work::Consumed(consumer, position) => {
        let sql = "INSERT INTO consumers
                               SELECT ?1, ?2 WHERE ?2 <= (SELECT coalesce(max(position), 0) FROM outbox)
                               ON CONFLICT (id) DO UPDATE SET position = max(position, excluded.position)";
                    let query = sqlx::query(sql).bind(consumer.as_str()).bind(*position);
                    let kept = query.execute(&mut *connection).await.map_err(from_sqlx)?.rows_affected();
                    if kept > 0 { Ok(Done::Count(kept)) } else { Err(beyond_the_newest()) }
                }
                Work::Leave(consumer) => {
                    let query = sqlx::query("DELETE FROM consumers WHERE id = ?1").bind(consumer.as_str());
                    Ok(Done::Count(query.execute(&mut *connection).await.map_err(from_sqlx)?.rows_affected()))
                }
                Work::Forget(before) => {
                    let sql = "DELETE FROM outbox WHERE position IN (
                                   SELECT position FROM outbox
                                   WHERE at < ?1 AND position < (SELECT max(position) FROM outbox) AND position <=
                                       (SELECT coalesce(min(position), 9223372036854775807) FROM consumers)
                                   ORDER BY position LIMIT ?2)";
                    let query = sqlx::query(sql).bind(before.micros()).bind(FORGET as i64);
                    Ok(Done::Count(query.execute(&mut *connection).await.map_err(from_sqlx)?.rows_affected()))
                }
            });
        }
        Ok(outcomes)
    }

    fn size(work: &Work) -> usize {
        size(work)
    }

    fn joins_next(work: &Work) -> bool {
        matches!(work, Work::Command(command) if command.is_linked())
    }

    fn position(&self) -> u64 {
        self.sequence
    }
}

/// Adds blocks behind the command `after`, unless somebody else was faster.
async fn chain(connection: &mut SqliteConnection, after: u64, blocks: &[(u64, [u8; 32])]) -> Result<u64> {
    let last: i64 = sqlx::query_scalar("SELECT coalesce(max(sequence), 0) FROM chain")
        .fetch_one(&mut *connection)
        .await
        .map_err(from_sqlx)?;
    if last as u64 != after {
        return Ok(0);
    }
    for (sequence, hash) in blocks {
        sqlx::query("INSERT INTO chain VALUES (?1, ?2)")
            .bind(*sequence as i64)
            .bind(&hash[..])
            .execute(&mut *connection)
            .await
            .map_err(from_sqlx)?;
    }
    Ok(blocks.len() as u64)
}

async fn earliest_deadline(connection: &mut SqliteConnection) -> Result<Option<Timestamp>> {
    let sql = "SELECT min(deadline) FROM holds WHERE status = 0 AND deadline IS NOT NULL";
    let deadline: Option<i64> = sqlx::query_scalar(sql).fetch_one(connection).await.map_err(from_sqlx)?;
    Ok(deadline.map(Timestamp::from_micros))
}
