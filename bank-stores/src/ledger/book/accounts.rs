//! Opening accounts, and what is changed of them later: their rules and names.

use super::{
    Book, Effect, HeldAccount, Known, Made, MadeChange, Outcome, Subject, missing, other_content, rejected,
};
use crate::ledger::{Account, AccountStatus, Ceiling, ChangeAccount, ChangeId, Floor, OpenAccount, Receipt};
use crate::{Error, Result};

impl Book {
    pub(super) fn open<'c>(&mut self, open: &'c OpenAccount) -> Result<Outcome<'c>> {
        let content = open.content();
        if let Some(held) = self.accounts.get(&open.id) {
            if held.content != content {
                return Err(other_content("account"));
            }
            // The content is the same, so that the account was opened exactly as this command says.
            let account = Account::opened(open, held.account.opened_at);
            return Ok(Outcome::Replayed(Receipt::opened(held.sequence, account).replay()));
        }
        // After what was opened before it was withdrawn, which is the same command still.
        if open.currency.is_withdrawn() {
            return Err(Error::invalid("currency", format!("{} was withdrawn", open.currency)));
        }
        self.sequence += 1;
        let account = Account::opened(open, self.booked_at);
        let receipt = Receipt::opened(self.sequence, account.clone());
        let held = HeldAccount { account, sequence: self.sequence, content, holding: false };
        if let Some(undo) = &mut self.undo {
            undo.account(&open.id, None);
        }
        self.accounts.insert(open.id.clone(), held);
        Ok(Outcome::Fresh(receipt, Made::Account(open)))
    }

    pub(super) fn change<'c>(
        &mut self,
        change: &'c ChangeAccount,
        index: usize,
        earlier: &[Outcome<'c>],
    ) -> Result<Outcome<'c>> {
        let content = change.content();
        if let Some(outcome) = self.known_change(&change.id, content, earlier)? {
            return Ok(outcome);
        }
        let Some(held) = self.accounts.get(&change.account) else {
            return Err(missing("account", change.account.as_str(), "account"));
        };
        let of = Subject::Account(held.sequence);
        let mut account = held.account.clone();
        if account.status == AccountStatus::Closed {
            return Err(rejected(format!("account {} is closed for good", account.id), "account"));
        }
        if change.only_if.is_some_and(|wanted| wanted != account.status) {
            return Err(rejected(format!("account {} has another status", account.id), "only_if"));
        }
        let floor =
            change.floor.unwrap_or(account.floor.map_or(Floor::None, |floor| Floor::At(floor.minor())));
        let ceiling =
            change.ceiling.unwrap_or(account.ceiling.map_or(Ceiling::None, |most| Ceiling::At(most.minor())));
        account.set_rules(change.status.unwrap_or(account.status), floor, ceiling);
        account.name = change.name.clone().or(account.name);
        let (balance, held) = (account.balance.minor(), account.held.minor());
        if account.status == AccountStatus::Closed && held != 0 {
            return Err(rejected(format!("account {} has open holds", account.id), "status"));
        }
        if account.status == AccountStatus::Closed && balance != 0 {
            return Err(rejected(format!("account {} is not empty", account.id), "status"));
        }
        if change.floor.is_some() && floor.minor().is_some_and(|floor| balance.saturating_sub(held) < floor) {
            return Err(rejected(format!("account {} is below this floor", account.id), "floor"));
        }
        if change.ceiling.is_some() && ceiling.minor().is_some_and(|most| balance > most) {
            return Err(rejected(format!("account {} is above this ceiling", account.id), "ceiling"));
        }
        self.sequence += 1;
        // Our own types have text keys and no failing serializer.
        let state = serde_json::to_string(&account).unwrap_or_default();
        let receipt = Receipt::changed(change.id.clone(), self.sequence, self.booked_at, account.clone());
        if let Some(held) = self.account_mut(&change.account) {
            held.account = account;
        }
        self.keep_change(&change.id, content, index);
        let made = MadeChange { id: &change.id, of, kind: "account", state, content };
        Ok(Outcome::Fresh(receipt, Made::Change(made)))
    }

    /// The outcome of a change that took effect before.
    pub(super) fn known_change<'c>(
        &self,
        id: &ChangeId,
        content: [u8; 32],
        earlier: &[Outcome<'c>],
    ) -> Result<Option<Outcome<'c>>> {
        let Some(known) = self.changes.get(id) else { return Ok(None) };
        if known.content != content {
            return Err(other_content("change"));
        }
        Ok(Some(match known.effect {
            Effect::Stored(sequence) => Outcome::RecallChange(sequence),
            Effect::Fresh(first) => replay(&earlier[first]),
        }))
    }

    pub(super) fn keep_change(&mut self, id: &ChangeId, content: [u8; 32], index: usize) {
        if let Some(undo) = &mut self.undo {
            undo.change(id);
        }
        self.changes.insert(id.clone(), Known { content, effect: Effect::Fresh(index) });
    }
}

/// The outcome of the same command once more in one group.
pub(super) fn replay<'c>(first: &Outcome<'c>) -> Outcome<'c> {
    match first {
        Outcome::Fresh(receipt, _) => Outcome::Replayed(receipt.clone().replay()),
        _ => unreachable!("only fresh outcomes are known as fresh"),
    }
}
