//! What a writer remembers from one group to the next.
//!
//! A writer that is alone has no need to read what it wrote itself. It remembers the accounts that it has seen and the last group;
//! as long as that is the database's last one, nobody else has written, and what it remembers holds (an optimistic lock). A group
//! of postings is then one statement, which does nothing where the last group is another one.

use crate::ledger::book::Book;
use crate::ledger::remembered::Remembered;
use crate::ledger::sql::load::load_account;
use crate::ledger::sql::rows::Record as _;
use crate::ledger::sql::{Session, select_accounts};
use crate::ledger::{AccountId, Command};
use crate::{Random as _, Result, SystemRandom, Timestamp};

/// The last group: its number, and what tells it from any other that had this number, in a history that a failover has lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LastGroup {
    pub(super) number: i64,
    pub(super) nonce: i64,
}

impl LastGroup {
    /// The one behind it.
    pub(super) fn next(self) -> Self {
        let mut nonce = [0; 8];
        SystemRandom::new().fill(&mut nonce);
        Self { number: self.number + 1, nonce: i64::from_le_bytes(nonce) }
    }
}

/// What is known of the ledger after a group.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) last: LastGroup,
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

    /// Remembers what a group leaves that was committed as this one.
    pub(super) fn keep(&mut self, last: LastGroup, book: Book) {
        (self.last, self.sequence, self.booked_at) = (last, book.sequence(), book.booked_at());
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
            ", g.number, g.nonce",
            "(SELECT number, nonce FROM {groups} ORDER BY number DESC LIMIT 1) g CROSS JOIN {texts}
             {join} {accounts} a ON a.id = j.value",
            ""
        );
        for row in session.rows(sql, vec![missing.iter().map(|id| id.as_str()).collect()]).await? {
            if self.last != (LastGroup { number: row.number("number")?, nonce: row.number("nonce")? }) {
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
