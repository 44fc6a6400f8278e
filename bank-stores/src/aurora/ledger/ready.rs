//! Groups of postings that are executed in one statement, by what the writer knows.

use std::collections::HashMap;

use sqlx::postgres::PgConnection;

use super::group::Failure;
use super::known::{Known, LastGroup};
use super::statement::Statement;
use super::write::{Evaluated, Groups, statement};
use crate::aurora::clock::is_in_time;
use crate::aurora::database::Database;
use crate::aurora::error::{commit_is_unknown, from_sqlx, is_repeated};
use crate::ledger::book::{Book, Outcome};
use crate::ledger::sql::Session as _;
use crate::ledger::sql::Value;
use crate::ledger::sql::rows::Record as _;
use crate::ledger::work::receipts;
use crate::ledger::{Command, Receipt};
use crate::{Result, Timestamp};

/// A group that has been evaluated, by what is known of the ledger when the groups before it are committed.
pub(super) struct Ready {
    pub(super) execution: Execution,
    /// What its callers are told when it is committed.
    pub(super) receipts: Vec<Result<Receipt>>,
    /// What is known then.
    pub(super) known: Known,
}

/// What the server is asked.
pub(super) struct Execution {
    /// The last group, which has to be the last one still.
    last: LastGroup,
    evaluated: Evaluated,
    /// None where nothing changes.
    statement: Option<Statement>,
}

/// What became of a group that was tried so.
pub(super) enum Tried {
    Done,
    /// Something does not hold any more that it was evaluated by, perhaps since another process has written: nothing happened.
    Late,
    /// One of the postings is in the ledger already: nothing happened.
    Repeated,
}

impl Ready {
    /// Evaluates postings behind what is known; gives nothing where another process has written meanwhile.
    pub(super) async fn in_turn(
        database: &Database,
        connection: &mut PgConnection,
        mut known: Known,
        commands: &[&Command],
        now: Timestamp,
    ) -> Result<Option<Self>, Failure> {
        let mut book = Book::new(known.sequence, now.max(known.booked_at));
        let missing = known.lend(commands, &mut book);
        if !known.read(&mut database.connected(connection), &missing, &mut book).await? {
            return Ok(None);
        }
        Self::evaluate(&database.groups(), known, book, commands, now).map(Some).map_err(Failure::of)
    }

    /// Evaluates postings behind what is known, and takes it, where it is enough; leaves it otherwise.
    pub(super) fn ahead(
        groups: &Groups,
        known: &mut Option<Known>,
        commands: &[&Command],
        now: Timestamp,
    ) -> Option<Self> {
        let enough = |known: &mut Known| known.is_enough(now) && known.has_accounts_of(commands);
        let mut known = known.take_if(enough)?;
        let mut book = Book::new(known.sequence, now.max(known.booked_at));
        known.lend(commands, &mut book);
        // What the driver cannot take is told when it is the group's turn.
        Self::evaluate(groups, known, book, commands, now).ok()
    }

    /// Whether it is of so many commands, and no hold has ended since it was made.
    pub(super) fn still_holds(&self, commands: usize, now: Timestamp) -> bool {
        self.receipts.len() == commands && self.known.is_enough(now)
    }

    fn evaluate(
        groups: &Groups,
        mut known: Known,
        mut book: Book,
        commands: &[&Command],
        now: Timestamp,
    ) -> sqlx::Result<Self> {
        let (last, sequence) = (known.last, known.sequence);
        let next = last.next();
        let outcomes = book.evaluate(commands);
        let refused = outcomes.iter().any(|outcome| matches!(outcome, Outcome::RefusedForGood(_)));
        let is_refused =
            |outcome: &Outcome<'_>| matches!(outcome, Outcome::Refused(_) | Outcome::RefusedForGood(_));
        let not_posted: Vec<String> = std::iter::zip(commands, &outcomes)
            .filter(|(_, outcome)| is_refused(outcome))
            .filter_map(|(command, _)| match command.plain() {
                Command::Post(posting) => Some(posting.id.as_str().to_owned()),
                _ => None,
            })
            .collect();
        let mut not_refused = Vec::new();
        if !not_posted.is_empty() || known.refusals {
            not_refused.extend(commands.iter().map(|command| command.id().to_string()));
        }
        let evaluated = Evaluated { now, not_posted, not_refused };
        let mut written = None;
        if refused || book.sequence() > sequence {
            let turn = (last, next);
            written = Some(statement(groups, commands, &outcomes, &book, sequence, turn, Some(&evaluated))?);
        }
        let receipts = receipts(outcomes, &HashMap::new());
        known.refusals |= refused;
        known.keep(if written.is_some() { next } else { last }, book);
        let execution = Execution { last, evaluated, statement: written };
        Ok(Self { execution, receipts, known })
    }
}

impl Execution {
    /// Writes what is not refused; where all is, looks whether that is true of what is.
    pub(super) async fn execute(
        self,
        database: &Database,
        connection: &mut PgConnection,
    ) -> Result<Tried, Failure> {
        let Some(statement) = self.statement else { return self.look_up(database, connection).await };
        match statement.execute(connection).await {
            Ok(true) => Ok(Tried::Done),
            Ok(false) => Ok(Tried::Late),
            Err(error) if is_repeated(&error) => Ok(Tried::Repeated),
            Err(error) if commit_is_unknown(&error) => Err(Failure::Unknown(from_sqlx(error))),
            Err(error) => Err(Failure::of(error)),
        }
    }

    async fn look_up(self, database: &Database, connection: &mut PgConnection) -> Result<Tried, Failure> {
        let Evaluated { now, not_posted, not_refused } = self.evaluated;
        let sql =
            "SELECT g.number, g.nonce, (SELECT min(sequence) FROM {postings} WHERE id = ANY($1)) AS posted,
                          (SELECT min(at) FROM {refusals} WHERE id = ANY($2)) AS refused,
                          (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS time
                   FROM {groups} g ORDER BY g.number DESC LIMIT 1";
        let values: Vec<Value<'_>> =
            [&not_posted, &not_refused].map(|ids| ids.iter().map(String::as_str).collect()).into();
        let Some(row) = database.connected(connection).row(sql, values).await? else {
            return Ok(Tried::Late);
        };
        let last = LastGroup { number: row.number("number")?, nonce: row.number("nonce")? };
        let found = [row.optional_number("posted")?, row.optional_number("refused")?];
        let server = row.time("time")?;
        database.clock().is(server);
        let holds = self.last == last && is_in_time(now, server) && found == [None, None];
        Ok(if holds { Tried::Done } else { Tried::Late })
    }
}
