//! What a writer remembers from one group to the next.
//!
//! A writer that is alone has no need to read what it wrote itself. It remembers the accounts that it has seen and the number
//! of the last group; as long as the database has the same number, nobody else has written, and what it remembers holds. A
//! group of postings is then one statement, which does nothing where the number is another one.

use crate::ledger::book::Book;
use crate::ledger::remembered::Remembered;
use crate::ledger::sql::load::load_account;
use crate::ledger::sql::rows::Record as _;
use crate::ledger::sql::{Session, select_accounts};
use crate::ledger::{AccountId, Command};
use crate::{Result, Timestamp};

/// What is known of the ledger after the group number `groups`.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) groups: i64,
    pub(super) sequence: u64,
    pub(super) booked_at: Timestamp,
    /// Whether any refusal is remembered.
    pub(super) refusals: bool,
    /// The earliest deadline of an open hold, or an earlier time.
    pub(super) deadline: Option<Timestamp>,
    accounts: Remembered,
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

    /// Whether all accounts of these postings are remembered.
    pub(super) fn has_accounts_of(&self, commands: &[&Command]) -> bool {
        accounts(commands).all(|account| self.accounts.has(account))
    }

    /// Moves the accounts of these postings into the book; gives those that are not remembered.
    pub(super) fn lend<'c>(&mut self, commands: &[&'c Command], book: &mut Book) -> Vec<&'c AccountId> {
        let mut missing = Vec::new();
        for account in accounts(commands) {
            if !self.accounts.load(account, book) {
                missing.push(account);
            }
        }
        missing
    }

    /// Reads accounts into the book; says whether nobody else has written before.
    pub(super) async fn read(
        &self,
        session: &mut impl Session,
        missing: &[&AccountId],
        book: &mut Book,
    ) -> Result<bool> {
        if missing.is_empty() {
            return Ok(true);
        }
        let sql = select_accounts!(
            ", s.groups, s.sequence AS newest",
            "{state} s CROSS JOIN {texts} {join} {accounts} a ON a.id = j.value",
            ""
        );
        for row in session.rows(sql, vec![missing.iter().map(|id| id.as_str()).collect()]).await? {
            if !self.is_of(row.number("groups")?, row.number("newest")?) {
                return Ok(false);
            }
            load_account(&row, book)?;
        }
        Ok(true)
    }
}

fn accounts<'c>(commands: &[&'c Command]) -> impl Iterator<Item = &'c AccountId> {
    let legs = commands.iter().filter_map(|command| match command.plain() {
        Command::Post(posting) => Some(&posting.legs),
        _ => None,
    });
    legs.flatten().map(|leg| &leg.account)
}
