//! What a writer remembers from one group to the next, and groups that need nothing else.
//!
//! A writer that is alone has no need to read what it wrote itself. It remembers the accounts that it has seen and the number
//! of the last group; as long as the database has the same number, nobody else has written, and what it remembers holds. A
//! group of postings is then one statement, which does nothing where the number is another one.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::columns::select_accounts;
use super::group::Failure;
use super::write::write;
use crate::aurora::error::{commit_is_unknown, from_sqlx, is_repeated};
use crate::ledger::book::{Book, Outcome};
use crate::ledger::remembered::Remembered;
use crate::ledger::rows::account;
use crate::ledger::work::receipts;
use crate::ledger::{Command, Receipt};
use crate::{Result, Timestamp};

/// What is known of the ledger after the group number `groups`.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) groups: i64,
    pub(super) sequence: u64,
    booked_at: Timestamp,
    /// Whether any refusal is remembered.
    pub(super) refusals: bool,
    /// The earliest deadline of an open hold, or an earlier time.
    pub(super) deadline: Option<Timestamp>,
    accounts: Remembered,
}

/// What became of a group that was tried so.
pub(super) enum Tried {
    Done(Vec<Result<Receipt>>, Known),
    /// Another process has written meanwhile: nothing happened.
    Late,
    /// One of the postings is in the ledger already, or was refused for good: nothing happened.
    Repeated,
}

impl Known {
    /// Whether no hold ends first.
    pub(super) fn is_enough(&self, now: Timestamp) -> bool {
        self.deadline.is_none_or(|deadline| deadline > now.max(self.booked_at))
    }

    /// Whether the database still has the state that this is about.
    pub(super) fn is_of(&self, groups: i64, sequence: i64) -> bool {
        (self.groups, self.sequence as i64) == (groups, sequence)
    }

    /// Remembers what a group leaves that was committed as number `groups`.
    pub(super) fn keep(&mut self, groups: i64, book: Book) {
        (self.groups, self.sequence, self.booked_at) = (groups, book.sequence(), book.booked_at());
        self.accounts.keep(book);
    }

    /// Moves the accounts of these postings into the book, and reads those that are not remembered; says whether nobody else
    /// has written before they were read.
    async fn load(
        &mut self,
        connection: &mut PgConnection,
        commands: &[&Command],
        book: &mut Book,
    ) -> Result<bool> {
        let mut missing = Vec::new();
        for command in commands {
            let Command::Post(posting) = command.plain() else { continue };
            for leg in &posting.legs {
                if !self.accounts.load(&leg.account, book) {
                    missing.push(leg.account.as_str().to_owned());
                }
            }
        }
        if missing.is_empty() {
            return Ok(true);
        }
        let sql = select_accounts!(
            ", s.groups, s.sequence",
            "state s CROSS JOIN accounts a",
            "WHERE a.id = ANY($1)"
        );
        let rows = sqlx::query(sql).bind(missing).fetch_all(connection).await.map_err(from_sqlx)?;
        for row in &rows {
            if !self.is_of(row.get(15), row.get(16)) {
                return Ok(false);
            }
            let held = account(row)?;
            book.load_account(held.account, held.sequence, held.content);
        }
        Ok(true)
    }
}

/// Executes postings by what is known.
pub(super) async fn at_once(
    connection: &mut PgConnection,
    commands: &[&Command],
    mut known: Known,
    now: Timestamp,
) -> Result<Tried, Failure> {
    let mut book = Book::new(known.sequence, now.max(known.booked_at));
    if !known.load(connection, commands, &mut book).await? {
        return Ok(Tried::Late);
    }
    let outcomes = book.evaluate(commands);
    let refused = outcomes.iter().any(|outcome| matches!(outcome, Outcome::RefusedForGood(_)));
    let mut groups = known.groups;
    let is_refused =
        |outcome: &Outcome<'_>| matches!(outcome, Outcome::Refused(_) | Outcome::RefusedForGood(_));
    let doubtful: Vec<String> = std::iter::zip(commands, &outcomes)
        .filter(|(_, outcome)| is_refused(outcome))
        .filter_map(|(command, _)| match command.plain() {
            Command::Post(posting) => Some(posting.id.as_str().to_owned()),
            _ => None,
        })
        .collect();
    if !doubtful.is_empty() || known.refusals {
        // A refusal is true of what is, not of what was; what happened before is no refusal, however poor its account is now; and
        // what was refused for good does not happen.
        let all = commands.iter().map(|command| command.id().to_string()).collect::<Vec<_>>();
        let sql = "SELECT groups, sequence, EXISTS (SELECT 1 FROM postings WHERE id = ANY($1)),
                          EXISTS (SELECT 1 FROM refusals WHERE id = ANY($2)) FROM state";
        let query = sqlx::query(sql).bind(doubtful).bind(all);
        let row = query.fetch_one(&mut *connection).await.map_err(Failure::of)?;
        if !known.is_of(row.get(0), row.get(1)) {
            return Ok(Tried::Late);
        }
        if row.get(2) || row.get(3) {
            return Ok(Tried::Repeated);
        }
    }
    if refused || book.sequence() > known.sequence {
        match write(connection, commands, &outcomes, &book, (known.sequence, groups)).await {
            Ok(true) => groups += 1,
            Ok(false) => return Ok(Tried::Late),
            Err(error) if is_repeated(&error) => return Ok(Tried::Repeated),
            Err(error) if commit_is_unknown(&error) => return Err(Failure::Unknown(from_sqlx(error))),
            Err(error) => return Err(Failure::of(error)),
        }
    }
    let receipts = receipts(outcomes, &HashMap::new());
    known.refusals |= refused;
    known.keep(groups, book);
    Ok(Tried::Done(receipts, known))
}
