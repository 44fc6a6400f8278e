//! The ledger's rules, evaluated in memory: what an engine loads goes in, outcomes and what has to be written come out.
//!
//! Single-threaded and free of I/O. Engines load the accounts, holds and known ids that a group of commands names, evaluate
//! the group, and write what changed in one database transaction.

mod accounts;
mod additions;
mod holds;
mod linked;
mod postings;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{
    Account, AccountId, ChangeId, Command, CommandId, Hold, HoldId, HoldStatus, Leg, OpenAccount, Posting,
    PostingId, Receipt,
};
use crate::{Error, ErrorKind, Result, Timestamp};
use linked::Undo;

/// An account as the book holds it.
#[derive(Clone, Debug)]
pub(crate) struct HeldAccount {
    pub(crate) account: Account,
    /// The sequence of its opening, by which engines know it.
    pub(crate) sequence: u64,
    pub(crate) content: [u8; 32],
    /// Whether this group changed what is held on it.
    pub(crate) holding: bool,
}

/// A hold as the book holds it.
#[derive(Clone, Debug)]
pub(crate) struct HeldHold {
    pub(crate) hold: Hold,
    /// The sequence of its placing, by which engines know it.
    pub(crate) sequence: u64,
    pub(crate) content: [u8; 32],
    /// The command that ended it, and when.
    pub(crate) ended: Option<(u64, Timestamp)>,
    /// Whether this group changed it, its placing included.
    pub(crate) changed: bool,
}

impl HeldHold {
    /// The receipt of its placing or its voiding.
    pub(crate) fn receipt(self, id: &CommandId) -> Option<Receipt> {
        match id {
            CommandId::Hold(_) => {
                let hold = self.hold.with(0, HoldStatus::Open);
                Some(Receipt::held(id.clone(), self.sequence, hold.placed_at, hold))
            }
            CommandId::Void(_) if self.hold.status == HoldStatus::Voided => {
                self.ended.map(|(sequence, at)| Receipt::held(id.clone(), sequence, at, self.hold))
            }
            _ => None,
        }
    }
}

/// A posting or a change that took effect before, in this group or an earlier one.
#[derive(Clone, Copy, Debug)]
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

/// A posting that somebody wants to reverse.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) sequence: u64,
    pub(crate) legs: Vec<Leg>,
    /// Whether it is a reversal itself.
    pub(crate) is_reversal: bool,
    pub(crate) reversed: bool,
}

/// A posting to which somebody wants to add something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddedTo {
    /// Its sequence.
    pub(crate) posting: u64,
    /// How much was added to it.
    pub(crate) additions: u64,
}

/// What became of a command.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are of the large variant")]
pub(crate) enum Outcome<'c> {
    /// It takes effect, and has to be written.
    Fresh(Receipt, Made<'c>),
    /// It took effect before, with this receipt.
    Replayed(Receipt),
    /// It took effect before; the receipt is that of the posting stored under this sequence.
    RecallPosting(u64),
    /// It took effect before; the receipt is that of the change stored under this sequence.
    RecallChange(u64),
    /// It is refused.
    Refused(Error),
    /// It is refused, and that has to be written.
    RefusedForGood(Error),
}

impl Outcome<'_> {
    /// The sequences of postings and of changes whose receipts are to be read.
    pub(crate) fn recalled(outcomes: &[Self]) -> (Vec<u64>, Vec<u64>) {
        let (mut postings, mut changes) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Self::RecallPosting(sequence) => postings.push(*sequence),
                Self::RecallChange(sequence) => changes.push(*sequence),
                _ => {}
            }
        }
        (postings, changes)
    }
}

/// What a command made.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are of the large variant")]
pub(crate) enum Made<'c> {
    Account(&'c OpenAccount),
    Change(MadeChange<'c>),
    Posting(MadePosting<'c>),
    Hold(HoldId),
    /// The hold's own row says it.
    Void,
}

/// What a command changed of an account, or added to a posting.
#[derive(Debug)]
pub(crate) struct MadeChange<'c> {
    pub(crate) id: &'c ChangeId,
    pub(crate) of: Subject,
    /// What it is, in one word.
    pub(crate) kind: &'static str,
    /// The account as it left it, or what it added: JSON.
    pub(crate) state: String,
    /// Of the command.
    pub(crate) content: [u8; 32],
}

/// What a change is of, by its sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    Account(u64),
    Posting(u64),
}

/// A posting that a command made.
#[derive(Debug)]
pub(crate) struct MadePosting<'c> {
    pub(crate) posting: Cow<'c, Posting>,
    /// Of the command.
    pub(crate) content: [u8; 32],
    /// What it undoes: its sequence and its id.
    pub(crate) reverses: Option<(u64, PostingId)>,
    /// The hold that it pays out of.
    pub(crate) capture: Option<Captured>,
}

/// The hold that a capture pays out of, as the capture left it.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    pub(crate) id: HoldId,
    /// Its sequence.
    pub(crate) hold: u64,
    pub(crate) captured: i64,
    pub(crate) status: HoldStatus,
}

/// Something in the ledger that a command may need.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Thing {
    Account(AccountId),
    Hold(HoldId),
    /// What is known of a command under its id.
    Command(CommandId),
    /// A posting that is to be reversed.
    Target(PostingId),
}

/// The part of the ledger that a group of commands needs.
#[derive(Debug)]
pub(crate) struct Book {
    accounts: HashMap<AccountId, HeldAccount>,
    holds: HashMap<HoldId, HeldHold>,
    postings: HashMap<PostingId, Known>,
    changes: HashMap<ChangeId, Known>,
    added_to: HashMap<PostingId, AddedTo>,
    targets: HashMap<PostingId, Target>,
    reversed: HashSet<PostingId>,
    refusals: HashMap<CommandId, ([u8; 32], Error)>,
    /// What could not be read: commands that need it are refused, and nobody else's.
    damaged: HashMap<Thing, Error>,
    sequence: u64,
    booked_at: Timestamp,
    /// What to restore if linked commands fail; none outside of them.
    undo: Option<Undo>,
}

impl Book {
    /// `sequence` is the last that was given out, `booked_at` the time of booking of this group.
    pub(crate) fn new(sequence: u64, booked_at: Timestamp) -> Self {
        Self {
            accounts: HashMap::new(),
            holds: HashMap::new(),
            postings: HashMap::new(),
            changes: HashMap::new(),
            added_to: HashMap::new(),
            targets: HashMap::new(),
            reversed: HashSet::new(),
            refusals: HashMap::new(),
            damaged: HashMap::new(),
            sequence,
            booked_at,
            undo: None,
        }
    }

    pub(crate) fn load_account(&mut self, account: Account, sequence: u64, content: [u8; 32]) {
        let held = HeldAccount { account, sequence, content, holding: false };
        self.accounts.insert(held.account.id.clone(), held);
    }

    pub(crate) fn load_hold(
        &mut self,
        hold: Hold,
        sequence: u64,
        content: [u8; 32],
        ended: Option<(u64, Timestamp)>,
    ) {
        let held = HeldHold { hold, sequence, content, ended, changed: false };
        self.holds.insert(held.hold.id.clone(), held);
    }

    pub(crate) fn load_posting(&mut self, id: PostingId, sequence: u64, content: [u8; 32]) {
        self.postings.insert(id, Known { content, effect: Effect::Stored(sequence) });
    }

    pub(crate) fn load_change(&mut self, id: ChangeId, sequence: u64, content: [u8; 32]) {
        self.changes.insert(id, Known { content, effect: Effect::Stored(sequence) });
    }

    pub(crate) fn load_added_to(&mut self, id: PostingId, added_to: AddedTo) {
        self.added_to.insert(id, added_to);
    }

    pub(crate) fn load_target(&mut self, id: PostingId, target: Target) {
        self.targets.insert(id, target);
    }

    pub(crate) fn load_refusal(&mut self, id: CommandId, content: [u8; 32], error: Error) {
        self.refusals.insert(id, (content, error));
    }

    pub(crate) fn load_damaged(&mut self, thing: Thing, error: Error) {
        self.damaged.insert(thing, error);
    }

    /// What a command needs that could not be read.
    fn damage(&self, command: &Command) -> Option<&Error> {
        let account = |id: &AccountId| self.damaged.get(&Thing::Account(id.clone()));
        let hold = |id: &HoldId| {
            let of_account = || account(&self.holds.get(id)?.hold.account);
            self.damaged.get(&Thing::Hold(id.clone())).or_else(of_account)
        };
        let needed = || match command.plain() {
            Command::Open(open) => account(&open.id),
            Command::Change(change) => account(&change.account),
            Command::Post(posting) => posting.legs.iter().find_map(|leg| account(&leg.account)),
            Command::Reverse(reversal) => {
                let legs =
                    || self.targets.get(&reversal.reverses).into_iter().flat_map(|target| &target.legs);
                let target = self.damaged.get(&Thing::Target(reversal.reverses.clone()));
                target.or_else(|| legs().find_map(|leg| account(&leg.account)))
            }
            Command::Hold(place) => hold(&place.id).or_else(|| account(&place.account)),
            Command::Capture(capture) => hold(&capture.hold).or_else(|| account(&capture.to)),
            Command::Void(id) => hold(id),
            Command::Annotate(_) | Command::Linked(_) => None,
        };
        self.damaged.get(&Thing::Command(command.id())).or_else(needed)
    }

    /// The last sequence given out.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn booked_at(&self) -> Timestamp {
        self.booked_at
    }

    pub(crate) fn account(&self, id: &AccountId) -> Option<&HeldAccount> {
        self.accounts.get(id)
    }

    pub(crate) fn hold(&self, id: &HoldId) -> Option<&HeldHold> {
        self.holds.get(id)
    }

    /// The accounts in the order that they were opened in, which is that of their rows.
    pub(crate) fn accounts(&self) -> Vec<&HeldAccount> {
        let mut accounts: Vec<_> = self.accounts.values().collect();
        accounts.sort_unstable_by_key(|held| held.sequence);
        accounts
    }

    /// The accounts as the group leaves them.
    pub(crate) fn into_accounts(self) -> impl Iterator<Item = HeldAccount> {
        self.accounts.into_values()
    }

    pub(crate) fn changed_holds(&self) -> impl Iterator<Item = &HeldHold> {
        self.holds.values().filter(|held| held.changed)
    }

    /// Executes the commands, whose form is right, in order.
    pub(crate) fn evaluate<'c>(&mut self, commands: &[&'c Command]) -> Vec<Outcome<'c>> {
        self.expire();
        let mut outcomes: Vec<Outcome<'c>> = Vec::with_capacity(commands.len());
        while outcomes.len() < commands.len() {
            let at = outcomes.len();
            if commands[at].is_linked() {
                self.evaluate_linked(commands, &mut outcomes);
                continue;
            }
            let outcome = self.evaluate_one(commands[at], at, &outcomes);
            let outcome = outcome.unwrap_or_else(|error| self.refuse(commands[at], error));
            self.mark(commands[at], &outcome);
            outcomes.push(outcome);
        }
        outcomes
    }

    fn evaluate_one<'c>(
        &mut self,
        command: &'c Command,
        index: usize,
        earlier: &[Outcome<'c>],
    ) -> Result<Outcome<'c>> {
        if !self.damaged.is_empty()
            && let Some(error) = self.damage(command)
        {
            return Err(error.clone());
        }
        if !self.refusals.is_empty()
            && let Some((content, error)) = self.refusals.get(&command.id())
        {
            return Err(if *content == command.content() { error.clone() } else { other_content("id") });
        }
        match command {
            Command::Open(open) => self.open(open),
            Command::Change(change) => self.change(change, index, earlier),
            Command::Annotate(annotation) => self.add(annotation, index, earlier),
            Command::Post(posting) => {
                let made = |content| MadePosting {
                    posting: Cow::Borrowed(posting),
                    content,
                    reverses: None,
                    capture: None,
                };
                self.post(&posting.id, posting.content(), index, earlier, |_, content| Ok(made(content)))
            }
            Command::Reverse(reversal) => {
                self.post(&reversal.id, reversal.content(), index, earlier, |book, content| {
                    book.reversal(reversal, content, earlier)
                })
            }
            Command::Capture(capture) => {
                self.post(&capture.id, capture.content(), index, earlier, |book, content| {
                    book.capture(capture, content)
                })
            }
            Command::Hold(place) => self.place(place),
            Command::Void(id) => self.void(id),
            Command::Linked(command) => self.evaluate_one(command, index, earlier),
        }
    }

    /// The outcome of a command that is refused; remembered where it asked for that.
    fn refuse<'c>(&mut self, command: &Command, error: Error) -> Outcome<'c> {
        let id = command.id();
        let passes = matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Damaged);
        if !command.remembers() || passes || self.refusals.contains_key(&id) {
            return Outcome::Refused(error);
        }
        self.refusals.insert(id, (command.content(), error.clone()));
        Outcome::RefusedForGood(error)
    }

    /// An account to be changed; what it was before is kept for linked commands that fail.
    fn account_mut(&mut self, id: &AccountId) -> Option<&mut HeldAccount> {
        let held = self.accounts.get_mut(id)?;
        if let Some(undo) = &mut self.undo {
            undo.account(id, Some(held));
        }
        Some(held)
    }

    fn hold_mut(&mut self, id: &HoldId) -> Option<&mut HeldHold> {
        let held = self.holds.get_mut(id)?;
        if let Some(undo) = &mut self.undo {
            undo.hold(id, Some(held));
        }
        Some(held)
    }
}

fn other_content(field: &'static str) -> Error {
    Error::new(ErrorKind::Conflict, "the same id was used for other content").with_field(field)
}

fn missing(what: &str, id: &str, field: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no {what} {id}")).with_field(field)
}

fn rejected(message: impl Into<Cow<'static, str>>, field: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Rejected, message).with_field(field)
}
