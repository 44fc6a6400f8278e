//! The ledger's rules, evaluated in memory: what an engine loads goes in, outcomes and what has to be written come out.
//!
//! Single-threaded and free of I/O. Engines load the accounts and the known ids that a group of commands names, evaluate
//! the group, and write what changed in one database transaction.

use std::collections::HashMap;

use super::{Account, AccountId, AccountStatus, Command, Entry, OpenAccount, Posting, PostingId, Receipt};
use crate::{Error, ErrorKind, Result, Timestamp};

/// An account as the book holds it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) account: Account,
    /// The sequence of its opening, by which engines know it.
    pub(crate) sequence: u64,
    pub(crate) content: [u8; 32],
    /// Whether a posting of this group changed it.
    pub(crate) changed: bool,
}

/// A posting that took effect before, in this group or an earlier one.
#[derive(Clone, Debug)]
struct Known {
    content: [u8; 32],
    effect: Effect,
}

#[derive(Clone, Copy, Debug)]
enum Effect {
    /// Stored under this sequence.
    Stored(u64),
    /// Made by this command of the group.
    Fresh(usize),
}

/// What became of a command.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It takes effect, and has to be written.
    Fresh(Receipt),
    /// It took effect before, with this receipt.
    Replayed(Receipt),
    /// It took effect before; the receipt is that of the posting stored under this sequence.
    Recall(u64),
    /// It is refused.
    Refused(Error),
}

/// The part of the ledger that a group of commands needs.
#[derive(Debug)]
pub(crate) struct Book {
    accounts: HashMap<AccountId, Held>,
    postings: HashMap<PostingId, Known>,
    sequence: u64,
    booked_at: Timestamp,
}

impl Book {
    /// `sequence` is the last that was given out, `booked_at` the time of booking of this group.
    pub(crate) fn new(sequence: u64, booked_at: Timestamp) -> Self {
        Self { accounts: HashMap::new(), postings: HashMap::new(), sequence, booked_at }
    }

    pub(crate) fn load_account(&mut self, account: Account, sequence: u64, content: [u8; 32]) {
        self.accounts.insert(account.id.clone(), Held { account, sequence, content, changed: false });
    }

    pub(crate) fn load_posting(&mut self, id: PostingId, sequence: u64, content: [u8; 32]) {
        self.postings.insert(id, Known { content, effect: Effect::Stored(sequence) });
    }

    /// The last sequence given out.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn held(&self, id: &AccountId) -> Option<&Held> {
        self.accounts.get(id)
    }

    pub(crate) fn changed(&self) -> impl Iterator<Item = &Held> {
        self.accounts.values().filter(|held| held.changed)
    }

    /// Executes the commands in order.
    pub(crate) fn evaluate(&mut self, commands: &[Command]) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(commands.len());
        for (index, command) in commands.iter().enumerate() {
            let outcome = match command {
                Command::Open(open) => self.open(open),
                Command::Post(posting) => self.post(posting, index, &outcomes),
            };
            outcomes.push(outcome.unwrap_or_else(Outcome::Refused));
        }
        outcomes
    }

    fn open(&mut self, open: &OpenAccount) -> Result<Outcome> {
        open.validate()?;
        let content = open.content();
        if let Some(held) = self.accounts.get(&open.id) {
            if held.content != content {
                return Err(other_content("account"));
            }
            // The content is the same, so that the account was opened exactly as this command says.
            let account = Account::opened(open, held.account.opened_at);
            return Ok(Outcome::Replayed(Receipt::opened(held.sequence, account).replay()));
        }
        self.sequence += 1;
        let account = Account::opened(open, self.booked_at);
        let receipt = Receipt::opened(self.sequence, account.clone());
        let held = Held { account, sequence: self.sequence, content, changed: true };
        self.accounts.insert(open.id.clone(), held);
        Ok(Outcome::Fresh(receipt))
    }

    fn post(&mut self, posting: &Posting, index: usize, earlier: &[Outcome]) -> Result<Outcome> {
        posting.validate()?;
        let content = posting.content();
        if let Some(known) = self.postings.get(&posting.id) {
            if known.content != content {
                return Err(other_content("posting"));
            }
            return Ok(match known.effect {
                Effect::Stored(sequence) => Outcome::Recall(sequence),
                Effect::Fresh(first) => match &earlier[first] {
                    Outcome::Fresh(receipt) => Outcome::Replayed(receipt.clone().replay()),
                    _ => unreachable!("only fresh outcomes are known as fresh"),
                },
            });
        }
        let entries = self.entries(posting)?;
        for entry in &entries {
            if let Some(held) = self.accounts.get_mut(&entry.account) {
                held.account.set_balance(entry.balance_after.minor(), entry.number);
                held.changed = true;
            }
        }
        self.sequence += 1;
        self.postings.insert(posting.id.clone(), Known { content, effect: Effect::Fresh(index) });
        Ok(Outcome::Fresh(Receipt::posted(posting.id.clone(), self.sequence, self.booked_at, entries)))
    }

    /// The entries that the posting makes, if every rule allows them; changes nothing.
    fn entries(&self, posting: &Posting) -> Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::with_capacity(posting.legs.len());
        for (index, leg) in posting.legs.iter().enumerate() {
            let account = match self.accounts.get(&leg.account) {
                Some(held) => &held.account,
                None => {
                    let message = format!("there is no account {}", leg.account);
                    return Err(
                        Error::new(ErrorKind::NotFound, message).with_field(leg_field(index, "account"))
                    );
                }
            };
            if account.currency != leg.amount.currency() {
                let message = format!("account {} is held in {}", account.id, account.currency);
                return Err(Error::invalid(leg_field(index, "amount"), message));
            }
            if account.status != AccountStatus::Open {
                let message = format!("account {} is not open", account.id);
                return Err(Error::new(ErrorKind::Rejected, message).with_field(leg_field(index, "account")));
            }
            // A posting may have several legs on one account: the later one goes on where the earlier one ended.
            let (before, number) = match entries.iter().rev().find(|entry| entry.account == leg.account) {
                Some(entry) => (entry.balance_after.minor(), entry.number),
                None => (account.balance.minor(), account.entry_count),
            };
            let after = before.checked_add(leg.amount.minor()).ok_or_else(|| {
                Error::invalid(leg_field(index, "amount"), "the balance would be larger than can be held")
            })?;
            if leg.amount.is_negative() && account.floor.is_some_and(|floor| after < floor.minor()) {
                let message = format!("account {} has not enough", account.id);
                return Err(
                    Error::new(ErrorKind::InsufficientFunds, message).with_field(leg_field(index, "account"))
                );
            }
            entries.push(Entry::of_leg(posting, index, number + 1, after, self.booked_at));
        }
        Ok(entries)
    }
}

fn leg_field(index: usize, part: &str) -> String {
    format!("legs[{index}].{part}")
}

fn other_content(field: &'static str) -> Error {
    Error::new(ErrorKind::Conflict, "the same id was used for other content").with_field(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Floor;
    use crate::{Currency, Money};

    fn id(text: &str) -> AccountId {
        AccountId::new(text).unwrap()
    }

    fn book() -> Book {
        let mut book = Book::new(0, Timestamp::from_seconds(1));
        book.evaluate(&[
            OpenAccount::new(id("cash"), Currency::EUR).floor(Floor::None).into(),
            OpenAccount::new(id("alice"), Currency::EUR).into(),
        ]);
        book
    }

    fn posting(name: &str, from: &str, to: &str, minor: i64) -> Posting {
        Posting::new(PostingId::new(name).unwrap(), "transfer").transfer(
            id(from),
            id(to),
            Money::from_minor(minor, Currency::EUR),
        )
    }

    #[test]
    fn a_later_command_sees_what_an_earlier_one_of_the_group_did() {
        let mut book = book();
        let outcomes = book.evaluate(&[
            posting("p1", "alice", "cash", 5).into(),
            posting("p2", "cash", "alice", 5).into(),
            posting("p1", "alice", "cash", 5).into(),
            posting("p2", "cash", "alice", 5).into(),
            posting("p2", "cash", "alice", 6).into(),
        ]);
        assert!(
            matches!(&outcomes[0], Outcome::Refused(error) if error.kind() == ErrorKind::InsufficientFunds)
        );
        assert!(matches!(&outcomes[1], Outcome::Fresh(receipt) if receipt.sequence == 3));
        assert!(
            matches!(&outcomes[2], Outcome::Fresh(receipt) if receipt.entries[0].balance_after.is_zero())
        );
        assert!(
            matches!(&outcomes[3], Outcome::Replayed(receipt) if receipt.replayed && receipt.sequence == 3)
        );
        assert!(matches!(&outcomes[4], Outcome::Refused(error) if error.kind() == ErrorKind::Conflict));
    }

    #[test]
    fn a_refused_posting_changes_nothing() {
        let mut book = book();
        let refused = posting("p", "cash", "alice", 5)
            .leg(id("nobody"), Money::from_minor(1, Currency::EUR))
            .leg(id("cash"), Money::from_minor(-1, Currency::EUR));
        let outcomes = book.evaluate(&[refused.into()]);
        let Outcome::Refused(error) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert_eq!((error.kind(), error.field()), (ErrorKind::NotFound, Some("legs[2].account")));
        assert_eq!((book.sequence(), book.held(&id("alice")).unwrap().account.entry_count), (2, 0));
    }

    #[test]
    fn an_account_below_its_floor_may_still_be_paid_into() {
        let mut book = book();
        let mut alice = book.held(&id("alice")).unwrap().clone();
        alice.account.set_balance(-10, 0);
        book.load_account(alice.account, alice.sequence, alice.content);
        let outcomes = book.evaluate(&[posting("p", "cash", "alice", 5).into()]);
        assert!(matches!(outcomes[0], Outcome::Fresh(_)));
    }
}
