//! The ledger's writer: a group of commands in one database transaction, whoever else writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use super::load::{load, recall, recall_changes};
use super::write::write;
use crate::aurora::database::Database;
use crate::aurora::error::{commit_is_unknown, from_sqlx, may_go_again};
use crate::ledger::book::{Book, Outcome};
use crate::ledger::work::{Done, Work, receipts, size};
use crate::ledger::{Command, Receipt};
use crate::writer::Group;
use crate::{Error, ErrorKind, Result, Timestamp};

/// How often a group is executed that failed before its commit was sent, the first time among them.
const TRIES: u32 = 3;

/// The writer's connection, and what it knows of the ledger.
pub(super) struct LedgerGroup {
    database: Arc<Database>,
    /// None after a failure, until there is another.
    connection: Option<PgConnection>,
    sequence: u64,
}

/// Why a group failed.
enum Failure {
    /// Nothing happened, and it may be executed again on another connection.
    Again(Error),
    /// It is every command's outcome.
    For(Error),
}

impl Failure {
    fn of(error: sqlx::Error) -> Self {
        if may_go_again(&error) { Self::Again(from_sqlx(error)) } else { Self::For(from_sqlx(error)) }
    }
}

impl From<Error> for Failure {
    /// An error of our own reading and writing keeps what the driver said.
    fn from(error: Error) -> Self {
        let source = std::error::Error::source(&error);
        let again = source.and_then(|source| source.downcast_ref::<sqlx::Error>()).is_some_and(may_go_again);
        if again { Self::Again(error) } else { Self::For(error) }
    }
}

impl LedgerGroup {
    pub(super) async fn open(database: Arc<Database>) -> Result<Self> {
        let mut connection = database.connect_writer().await?;
        let sequence: i64 = sqlx::query_scalar("SELECT sequence FROM state")
            .fetch_one(&mut connection)
            .await
            .map_err(from_sqlx)?;
        Ok(Self { database, connection: Some(connection), sequence: sequence as u64 })
    }

    async fn try_commit(&mut self, works: &[Work]) -> Result<Vec<Result<Done>>, Failure> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(self.database.connect_writer().await?),
        };
        // One round trip: a row that every group locks first, so that groups of all processes take turns. What is read from
        // here on is read in later statements, and sees all that the groups before have done.
        let begun = sqlx::raw_sql("BEGIN; SELECT sequence, booked_at FROM state FOR UPDATE")
            .fetch_one(&mut *connection)
            .await
            .map_err(Failure::of)?;
        let (before, last) = (begun.get::<i64, _>(0) as u64, Timestamp::from_micros(begun.get(1)));
        // Booking time never goes back, even where a clock does, or another process's is ahead.
        let booked_at = self.database.options().clock.now().max(last);
        let (outcomes, sequence) = execute(connection, works, before, booked_at).await?;
        if let Err(error) = sqlx::raw_sql("COMMIT").execute(&mut *connection).await {
            if !commit_is_unknown(&error) {
                return Err(Failure::of(error));
            }
            let message = "the connection was lost around the commit: look the outcome up";
            return Err(Failure::For(Error::new(ErrorKind::Indeterminate, message).with_source(error)));
        }
        self.sequence = sequence;
        Ok(outcomes)
    }
}

impl Group for LedgerGroup {
    type Command = Work;
    type Outcome = Done;

    async fn commit(&mut self, works: &[Work]) -> Result<Vec<Result<Done>>> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (error, again) = match self.try_commit(works).await {
                Ok(outcomes) => return Ok(outcomes),
                Err(Failure::Again(error)) => (error, tries < TRIES),
                Err(Failure::For(error)) => (error, false),
            };
            tracing::warn!(error = ?error, again, "a group of the ledger failed");
            // The server rolls back what was begun on it.
            self.connection = None;
            if !again {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(50) * tries).await;
        }
    }

    async fn finish(mut self) {
        if let Some(connection) = self.connection.take() {
            // It is gone either way.
            let _ = connection.close().await;
        }
        self.database.close().await;
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

/// Executes the works within the open transaction; gives the last sequence as well.
async fn execute(
    connection: &mut PgConnection,
    works: &[Work],
    before: u64,
    booked_at: Timestamp,
) -> Result<(Vec<Result<Done>>, u64), Failure> {
    let commands: Vec<&Command> = works
        .iter()
        .filter_map(|work| match work {
            Work::Command(command) => Some(command),
            _ => None,
        })
        .collect();
    let (mut done, mut sequence) = (Vec::new(), before);
    if !commands.is_empty() || works.iter().any(|work| matches!(work, Work::Expire)) {
        (done, sequence) = execute_commands(connection, &commands, before, booked_at).await?;
    }
    let mut done = done.into_iter();
    let mut outcomes = Vec::with_capacity(works.len());
    for work in works {
        outcomes.push(match work {
            Work::Command(_) => match done.next() {
                Some(receipt) => receipt.map(Done::Receipt),
                None => Err(Error::invalid("command", "has no outcome")),
            },
            Work::Expire => Ok(Done::Count(0)),
            Work::Chain { after, blocks } => Ok(Done::Count(chain(connection, *after, blocks).await?)),
            Work::Consumed(consumer, position) => {
let sql = "INSERT INTO consumers AS c VALUES ($1, $2) ON CONFLICT (id)
                           DO UPDATE SET position = greatest(c.position, excluded.position)";
                let query = sqlx::query(sql).bind(consumer.as_str()).bind(*position);
                query.execute(&mut *connection).await.map_err(Failure::of)?;
                Ok(Done::Count(1))
            }
            Work::Forget(until) => {
                let sql = "DELETE FROM outbox WHERE at < $1 AND position < (SELECT max(position) FROM outbox)
                           AND position <= (SELECT coalesce(min(position), 9223372036854775807) FROM consumers)";
                let query = sqlx::query(sql).bind(until.micros());
                Ok(Done::Count(query.execute(&mut *connection).await.map_err(Failure::of)?.rows_affected()))
            }
        });
    }
    Ok((outcomes, sequence))
}

async fn execute_commands(
    connection: &mut PgConnection,
    commands: &[&Command],
    before: u64,
    booked_at: Timestamp,
) -> Result<(Vec<Result<Receipt>>, u64), Failure> {
    let mut book = Book::new(before, booked_at);
    load(connection, commands, &mut book, true, true).await?;
    let outcomes = book.evaluate(commands);
    let refused = outcomes.iter().any(|outcome| matches!(outcome, Outcome::RefusedForGood(_)));
    if refused || book.sequence() > before {
        write(connection, commands, &outcomes, &book, before).await.map_err(Failure::of)?;
    }
    let (postings, changes) = Outcome::recalled(&outcomes);
    let mut stored = HashMap::new();
    if !postings.is_empty() {
        stored.extend(recall(connection, &postings).await?);
    }
    if !changes.is_empty() {
        stored.extend(recall_changes(connection, &changes).await?);
    }
    Ok((receipts(outcomes, &stored), book.sequence()))
}

/// Adds blocks behind the command `after`, unless another process was faster.
async fn chain(
    connection: &mut PgConnection,
    after: u64,
    blocks: &[(u64, [u8; 32])],
) -> Result<u64, Failure> {
    let last: i64 = sqlx::query_scalar("SELECT coalesce(max(sequence), 0) FROM chain")
        .fetch_one(&mut *connection)
        .await
        .map_err(Failure::of)?;
    if last as u64 != after {
        return Ok(0);
    }
    let (sequences, hashes): (Vec<i64>, Vec<[u8; 32]>) =
        blocks.iter().map(|(sequence, hash)| (*sequence as i64, *hash)).unzip();
    sqlx::query("INSERT INTO chain SELECT * FROM unnest($1::bigint[], $2::bytea[])")
        .bind(sequences)
        .bind(hashes)
        .execute(connection)
        .await
        .map_err(Failure::of)?;
    Ok(blocks.len() as u64)
}
