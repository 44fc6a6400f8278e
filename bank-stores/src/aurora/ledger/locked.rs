//! What a group does within a transaction that has the lock, whoever else writes (ADR 0013).

use sqlx::postgres::PgConnection;

use super::group::Failure;
use super::known::{Known, LastGroup};
use super::write::statement;
use crate::aurora::database::Database;
use crate::ledger::book::{Book, Outcome};
use crate::ledger::sql::load::{load, recalled};
use crate::ledger::sql::works;
use crate::ledger::work::{Done, Work, receipts};
use crate::ledger::{AccountId, Command, Receipt};
use crate::{Error, ErrorKind, Result, Timestamp};

/// What a group finds when it has the lock.
pub(super) struct Begun {
    pub(super) sequence: u64,
    pub(super) booked_at: Timestamp,
    pub(super) last: LastGroup,
    /// Whether any refusal is remembered.
    pub(super) refusals: bool,
    /// The earliest deadline of an open hold.
    pub(super) deadline: Option<Timestamp>,
}

/// Executes the works within the open transaction; gives what is known of the ledger then, where it could be known.
pub(super) async fn execute(
    database: &Database,
    connection: &mut PgConnection,
    works: &[Work],
    begun: &Begun,
    known: Option<Known>,
) -> Result<(Vec<Result<Done>>, Option<Known>), Failure> {
    let commands = works::commands(works);
    let (mut done, mut known) = (Vec::new(), known.filter(|known| known.last == begun.last));
    if !commands.is_empty() || works.iter().any(|work| matches!(work, Work::Expire)) {
        (done, known) = execute_commands(database, connection, &commands, begun, known).await?;
    }
    Ok((works::outcomes(&mut database.connected(connection), works, done).await?, known))
}

async fn execute_commands(
    database: &Database,
    connection: &mut PgConnection,
    commands: &[&Command],
    begun: &Begun,
    known: Option<Known>,
) -> Result<(Vec<Result<Receipt>>, Option<Known>), Failure> {
    let mut session = database.connected(connection);
    let mut book = Book::new(begun.sequence, begun.booked_at);
    let due = begun.deadline.is_some_and(|deadline| deadline <= begun.booked_at);
    // Accounts are read again, whatever is remembered of them.
    let remembered = |_: &AccountId, _: &mut Book| false;
    load(&mut session, commands, &mut book, remembered, (begun.refusals, due)).await?;
    let outcomes = book.evaluate(commands);
    let refused = outcomes.iter().any(|outcome| matches!(outcome, Outcome::RefusedForGood(_)));
    let mut last = begun.last;
    if refused || book.sequence() > begun.sequence {
        let next = last.next();
        let statement =
            statement(&database.groups(), commands, &outcomes, &book, begun.sequence, (last, next), None);
        let written = statement.map_err(Failure::of)?.execute(session.connection).await;
        if !written.map_err(Failure::of)? {
            let message = "another group was committed in spite of the lock";
            return Err(Failure::For(Error::new(ErrorKind::Unavailable, message)));
        }
        last = next;
    }
    let stored = recalled(&mut session, &outcomes).await?;
    let placed = book.changed_holds().filter_map(|held| held.hold.deadline);
    let mut known = known.unwrap_or_default();
    known.deadline = begun.deadline.into_iter().chain(placed).min();
    known.refusals = begun.refusals || refused;
    let receipts = receipts(outcomes, &stored);
    known.keep(last, book);
    Ok((receipts, Some(known)))
}
