//! What a group does within a transaction that has the lock, whoever else writes (ADR 0013).

use std::collections::HashMap;

use sqlx::postgres::PgConnection;

use super::group::Failure;
use super::known::Known;
use super::load::{load, recall, recall_changes};
use super::write::statement;
use crate::ledger::book::{Book, Outcome};
use crate::ledger::work::{Done, FORGET, Work, beyond_the_newest, receipts};
use crate::ledger::{Command, Receipt};
use crate::{Error, ErrorKind, Result, Timestamp};

/// What a group finds when it has the lock.
pub(super) struct Begun {
    pub(super) sequence: u64,
    pub(super) booked_at: Timestamp,
    pub(super) groups: i64,
    /// Whether any refusal is remembered.
    pub(super) refusals: bool,
    /// The earliest deadline of an open hold.
    pub(super) deadline: Option<Timestamp>,
}

/// Executes the works within the open transaction; gives what is known of the ledger then, where it could be known.
pub(super) async fn execute(
    connection: &mut PgConnection,
    works: &[Work],
    begun: &Begun,
    known: Option<Known>,
) -> Result<(Vec<Result<Done>>, Option<Known>), Failure> {
    let commands: Vec<&Command> = works
        .iter()
        .filter_map(|work| match work {
            Work::Command(command) => Some(command),
            _ => None,
        })
        .collect();
    let (mut done, mut known) =
        (Vec::new(), known.filter(|known| known.is_of(begun.groups, begun.sequence as i64)));
    if !commands.is_empty() || works.iter().any(|work| matches!(work, Work::Expire)) {
        (done, known) = execute_commands(connection, &commands, begun, known).await?;
    }
    let mut done = done.into_iter();
    let mut outcomes = Vec::with_capacity(works.len());
    for work in works {
        outcomes.push(match work {
            Work::Command(_) => match done.next() {
                Some(receipt) => receipt.map(Done::Receipt),
                None => Err(Error::invalid("command", "has no outcome")),
            },
            Work::Expire | Work::Fence => Ok(Done::Count(0)),
            Work::Chain { after, blocks } => Ok(Done::Count(chain(connection, *after, blocks).await?)),
            Work::Consumed(consumer, position) => {
                let sql = "INSERT INTO consumers AS c
                           SELECT $1, $2 WHERE $2 <= (SELECT sequence FROM state)
                           ON CONFLICT (id) DO UPDATE SET position = greatest(c.position, excluded.position)";
                let query = sqlx::query(sql).bind(consumer.as_str()).bind(*position);
                let kept = query.execute(&mut *connection).await.map_err(Failure::of)?.rows_affected();
                if kept > 0 { Ok(Done::Count(kept)) } else { Err(beyond_the_newest()) }
            }
            Work::Leave(consumer) => {
                let query = sqlx::query("DELETE FROM consumers WHERE id = $1").bind(consumer.as_str());
                Ok(Done::Count(query.execute(&mut *connection).await.map_err(Failure::of)?.rows_affected()))
            }
            Work::Forget(until) => {
                let sql = "DELETE FROM outbox WHERE position IN (
                               SELECT position FROM outbox
                               WHERE at < $1 AND position < (SELECT max(position) FROM outbox) AND position <=
                                   (SELECT coalesce(min(position), 9223372036854775807) FROM consumers)
                               ORDER BY position LIMIT $2)";
                let query = sqlx::query(sql).bind(until.micros()).bind(FORGET as i64);
                Ok(Done::Count(query.execute(&mut *connection).await.map_err(Failure::of)?.rows_affected()))
            }
        });
    }
    Ok((outcomes, known))
}

async fn execute_commands(
    connection: &mut PgConnection,
    commands: &[&Command],
    begun: &Begun,
    known: Option<Known>,
) -> Result<(Vec<Result<Receipt>>, Option<Known>), Failure> {
    let mut book = Book::new(begun.sequence, begun.booked_at);
    let due = begun.deadline.is_some_and(|deadline| deadline <= begun.booked_at);
    load(connection, commands, &mut book, begun.refusals, due).await?;
    let outcomes = book.evaluate(commands);
    let refused = outcomes.iter().any(|outcome| matches!(outcome, Outcome::RefusedForGood(_)));
    let mut groups = begun.groups;
    if refused || book.sequence() > begun.sequence {
        let statement = statement(commands, &outcomes, &book, (begun.sequence, groups));
        if !statement.map_err(Failure::of)?.execute(connection).await.map_err(Failure::of)? {
            let message = "the ledger's state has changed in spite of its lock";
            return Err(Failure::For(Error::new(ErrorKind::Unavailable, message)));
        }
        groups += 1;
    }
    let (postings, changes) = Outcome::recalled(&outcomes);
    let mut stored = HashMap::new();
    if !postings.is_empty() {
        stored.extend(recall(connection, &postings).await?);
    }
    if !changes.is_empty() {
        stored.extend(recall_changes(connection, &changes).await?);
    }
    let placed = book.changed_holds().filter_map(|held| held.hold.deadline);
    let mut known = known.unwrap_or_default();
    known.deadline = begun.deadline.into_iter().chain(placed).min();
    known.refusals = begun.refusals || refused;
    let receipts = receipts(outcomes, &stored);
    known.keep(groups, book);
    Ok((receipts, Some(known)))
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
