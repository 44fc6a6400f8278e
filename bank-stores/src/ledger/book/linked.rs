//! Commands that succeed or fail together.

use super::{AddedTo, Book, HeldAccount, HeldHold, Made, Outcome};
use crate::ledger::work::linked_to_refused;
use crate::ledger::{AccountId, ChangeId, Command, HoldId, PostingId};

/// What linked commands found, to be restored if one of them fails.
#[derive(Debug, Default)]
pub(super) struct Undo {
    sequence: u64,
    accounts: Vec<(AccountId, Option<HeldAccount>)>,
    holds: Vec<(HoldId, Option<HeldHold>)>,
    postings: Vec<PostingId>,
    changes: Vec<ChangeId>,
    reversed: Vec<PostingId>,
    added_to: Vec<(PostingId, Option<AddedTo>)>,
}

impl Undo {
    pub(super) fn account(&mut self, id: &AccountId, before: Option<&HeldAccount>) {
        self.accounts.push((id.clone(), before.cloned()));
    }

    pub(super) fn hold(&mut self, id: &HoldId, before: Option<&HeldHold>) {
        self.holds.push((id.clone(), before.cloned()));
    }

    pub(super) fn posting(&mut self, id: &PostingId) {
        self.postings.push(id.clone());
    }

    pub(super) fn change(&mut self, id: &ChangeId) {
        self.changes.push(id.clone());
    }

    pub(super) fn added_to(&mut self, id: &PostingId, before: Option<AddedTo>) {
        self.added_to.push((id.clone(), before));
    }

    pub(super) fn reversed(&mut self, id: &PostingId) {
        self.reversed.push(id.clone());
    }
}

impl Book {
    /// Executes the linked commands that come next, and the one behind them, which is of the same call.
    pub(super) fn evaluate_linked<'c>(&mut self, commands: &[&'c Command], outcomes: &mut Vec<Outcome<'c>>) {
        let start = outcomes.len();
        let linked = commands[start..].iter().take_while(|command| command.is_linked()).count();
        let end = (start + linked + 1).min(commands.len());
        self.undo = Some(Undo { sequence: self.sequence, ..Undo::default() });
        let failed = (start..end).find_map(|at| match self.evaluate_one(commands[at], at, outcomes) {
            Ok(outcome) => {
                self.mark(commands[at], &outcome);
                outcomes.push(outcome);
                None
            }
            Err(error) => Some((at, error)),
        });
        let undo = self.undo.take().unwrap_or_default();
        let Some((failed, error)) = failed else { return };
        self.restore(undo);
        outcomes.truncate(start);
        outcomes.extend(
            (start..end)
                .map(|at| Outcome::Refused(if at == failed { error.clone() } else { linked_to_refused() })),
        );
    }

    /// Keeps in mind what a later command of the group asks for.
    pub(super) fn mark(&mut self, command: &Command, outcome: &Outcome<'_>) {
        if let (Command::Reverse(reversal), Outcome::Fresh(_, Made::Posting(_))) = (command.plain(), outcome)
        {
            self.mark_reversed(&reversal.reverses);
        }
    }

    fn restore(&mut self, undo: Undo) {
        self.sequence = undo.sequence;
        // The latest first, so that what was found first is what stays.
        for (id, before) in undo.accounts.into_iter().rev() {
            match before {
                Some(before) => self.accounts.insert(id, before),
                None => self.accounts.remove(&id),
            };
        }
        for (id, before) in undo.holds.into_iter().rev() {
            match before {
                Some(before) => self.holds.insert(id, before),
                None => self.holds.remove(&id),
            };
        }
        for id in &undo.postings {
            self.postings.remove(id);
        }
        for id in &undo.changes {
            self.changes.remove(id);
        }
        for (id, before) in undo.added_to.into_iter().rev() {
            match before {
                Some(before) => self.added_to.insert(id, before),
                None => self.added_to.remove(&id),
            };
        }
        for id in &undo.reversed {
            self.reversed.remove(id);
        }
    }
}
