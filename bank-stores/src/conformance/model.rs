//! A ledger in memory that is slow and obviously right: what real engines are compared with.
//!
//! It shares types with the engines, and none of their rules' code: everything is worked out anew from the log of commands.

use std::collections::BTreeMap;

use crate::ledger::{
    Account, AccountId, AccountStatus, Ceiling, Command, CommandId, CurrencyTotal, Entry, Floor, Hold,
    HoldId, HoldStatus, Leg, Posting, REVERSAL, Receipt, TrialBalance,
};
use crate::{Currency, Error, ErrorKind, Money, Result, Timestamp};

/// A single-threaded ledger.
#[derive(Clone, Debug, Default)]
pub struct LedgerModel {
    /// Every command that took effect, with its receipt, in order; none where a hold ended by its deadline.
    log: Vec<(Option<Command>, Receipt)>,
    /// Refusals that are remembered.
    refused: Vec<(Command, Error)>,
}

impl LedgerModel {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Executes commands in order, booked at `now`.
    pub fn execute_all(&mut self, commands: &[Command], now: Timestamp) -> Vec<Result<Receipt>> {
        self.expire(now);
        let mut outcomes = Vec::new();
        while outcomes.len() < commands.len() {
            let rest = &commands[outcomes.len()..];
            let linked = rest.iter().take_while(|command| command.is_linked()).count();
            if linked == 0 {
                outcomes.push(self.execute_one(&rest[0], now));
                continue;
            }
            let chain = &rest[..(linked + 1).min(rest.len())];
            let mut copy = self.clone();
            let mut done = Vec::new();
            let wrong_form = linked >= 64 || chain.len() == linked;
            let refused = Error::new(ErrorKind::Rejected, "linked to a command that was refused");
            let bad = chain.iter().position(|command| command.validate().is_err());
            for (at, command) in chain.iter().enumerate() {
                if wrong_form {
                    done.push(Err(Error::new(ErrorKind::Invalid, "no chain")));
                    continue;
                }
                if let Some(bad) = bad {
                    let error = command.validate().err().filter(|_| at == bad);
                    done.push(Err(error.unwrap_or_else(|| refused.clone())));
                    continue;
                }
                match copy.try_one(command.plain(), now) {
                    Ok(receipt) => done.push(Ok(receipt)),
                    Err(error) => {
                        let failed = done.len();
                        done = vec![Err(refused.clone()); chain.len()];
                        done[failed] = Err(error);
                        break;
                    }
                }
            }
            if done.iter().all(Result::is_ok) {
                *self = copy;
            }
            outcomes.extend(done);
        }
        outcomes
    }

    /// Executes one command that is not linked, booked at `now`.
    pub fn execute(&mut self, command: &Command, now: Timestamp) -> Result<Receipt> {
        self.execute_all(std::slice::from_ref(command), now).remove(0)
    }

    fn execute_one(&mut self, command: &Command, now: Timestamp) -> Result<Receipt> {
        let outcome = self.try_one(command, now);
        if let Err(error) = &outcome
            && command.validate().is_ok()
            && error.kind() != ErrorKind::Conflict
            && remembers(command)
            && !self.refused.iter().any(|(known, _)| known.id() == command.id())
        {
            self.refused.push((command.clone(), error.clone()));
        }
        outcome
    }

    fn try_one(&mut self, command: &Command, now: Timestamp) -> Result<Receipt> {
        command.validate()?;
        let conflict = || Error::new(ErrorKind::Conflict, "the same id was used for other content");
        let same = |known: &Command| known.content() == command.content();
        if let Some((known, error)) = self.refused.iter().find(|(known, _)| known.id() == command.id()) {
            return Err(if same(known) { error.clone() } else { conflict() });
        }
        for (known, receipt) in &self.log {
            let Some(known) = known.as_ref().filter(|known| known.id() == command.id()) else { continue };
            return if same(known) { Ok(receipt.clone().replay()) } else { Err(conflict()) };
        }
        let sequence = self.log.len() as u64 + 1;
        let receipt = match command {
            Command::Open(open) if open.currency.is_withdrawn() => {
                return Err(Error::invalid("currency", "it was withdrawn"));
            }
            Command::Open(open) => Receipt::opened(sequence, Account::opened(open, now)),
            Command::Change(change) => {
                let mut account = self.existing(&change.account)?;
                if account.status == AccountStatus::Closed {
                    return rejected("it is closed");
                }
                let floor = change
                    .floor
                    .unwrap_or(account.floor.map_or(Floor::None, |floor| Floor::At(floor.minor())));
                let ceiling = change
                    .ceiling
                    .unwrap_or(account.ceiling.map_or(Ceiling::None, |most| Ceiling::At(most.minor())));
                account.set_rules(change.status.unwrap_or(account.status), floor, ceiling);
                let (balance, held) = (account.balance.minor(), account.held.minor());
                let empty = balance == 0 && held == 0;
                if (account.status == AccountStatus::Closed && !empty)
                    || (change.floor.is_some() && floor.minor().is_some_and(|floor| balance - held < floor))
                    || (change.ceiling.is_some() && ceiling.minor().is_some_and(|most| balance > most))
                {
                    return rejected("the account does not fit");
                }
                Receipt::changed(change.id.clone(), sequence, now, account)
            }
            Command::Post(posting) => {
                Receipt::posted(posting.id.clone(), sequence, now, self.entries_of(posting, None, now)?)
            }
            Command::Reverse(reversal) => {
                let target = self.posted(&reversal.reverses)?;
                let is_reversal = |command: &Command| matches!(command.plain(), Command::Reverse(_));
                let before = self.log.iter().any(|(command, _)| {
                    matches!(command.as_ref().map(Command::plain), Some(Command::Reverse(other)) if other.reverses == reversal.reverses)
                });
                if before || target.0.as_ref().is_some_and(is_reversal) {
                    return rejected("it cannot be reversed");
                }
                let mut posting = Posting::new(reversal.id.clone(), REVERSAL);
                for entry in &target.1.entries {
                    posting.legs.push(Leg::new(entry.account.clone(), entry.amount.checked_neg()?));
                }
                posting.reference.clone_from(&reversal.reference);
                posting.value_time = reversal.value_time;
                let entries = self.entries_of(&posting, None, now)?;
                Receipt::posted(reversal.id.clone(), sequence, now, entries)
            }
            Command::Hold(place) => {
                let account = self.existing(&place.account)?;
                if account.currency != place.amount.currency() {
                    return Err(Error::new(ErrorKind::Invalid, "another currency"));
                }
                if account.status != AccountStatus::Open {
                    return rejected("the account is not open");
                }
                let held = account.held.checked_add(place.amount)?;
                if account.floor.is_some_and(|floor| account.balance.minor() - held.minor() < floor.minor()) {
                    return Err(Error::new(ErrorKind::InsufficientFunds, "not enough"));
                }
                Receipt::held(command.id(), sequence, now, Hold::placed(place, now))
            }
            Command::Capture(capture) => {
                let hold = self.open_hold(&capture.hold)?;
                let amount = capture.amount.unwrap_or(hold.remaining);
                if amount.currency() != hold.amount.currency() {
                    return Err(Error::new(ErrorKind::Invalid, "another currency"));
                }
                if amount.minor() > hold.remaining.minor() {
                    return Err(Error::new(ErrorKind::InsufficientFunds, "more than is held"));
                }
                let mut posting = Posting::new(capture.id.clone(), capture.kind.clone()).transfer(
                    hold.account.clone(),
                    capture.to.clone(),
                    amount,
                );
                posting.reference.clone_from(&capture.reference);
                posting.value_time = capture.value_time;
                let ends = capture.release || amount == hold.remaining;
                let status = if ends { HoldStatus::Captured } else { HoldStatus::Open };
                let after = hold.clone().with(hold.captured.minor() + amount.minor(), status);
                let freed = hold.remaining.minor() - after.remaining.minor();
                let entries = self.entries_of(&posting, Some((&hold.account, freed)), now)?;
                Receipt::posted(capture.id.clone(), sequence, now, entries).with_hold(after)
            }
            Command::Void(id) => {
                let hold = self.open_hold(id)?;
                let captured = hold.captured.minor();
                Receipt::held(command.id(), sequence, now, hold.with(captured, HoldStatus::Voided))
            }
            Command::Linked(command) => return self.try_one(command, now),
        };
        self.log.push((Some(command.clone()), receipt.clone()));
        Ok(receipt)
    }

    /// Ends the holds whose deadline has come.
    fn expire(&mut self, now: Timestamp) {
        let mut due: Vec<Hold> = self.holds().into_iter().filter(|hold| hold.is_due(now)).collect();
        due.sort_by_key(|hold| hold.deadline);
        for hold in due {
            let (id, captured) = (CommandId::Hold(hold.id.clone()), hold.captured.minor());
            let sequence = self.log.len() as u64 + 1;
            self.log.push((None, Receipt::held(id, sequence, now, hold.with(captured, HoldStatus::Expired))));
        }
    }

    /// The receipt of a command that took effect.
    pub fn receipt(&self, id: &CommandId) -> Option<&Receipt> {
        let found =
            self.log.iter().find(|(command, _)| command.as_ref().is_some_and(|known| known.id() == *id));
        found.map(|(_, receipt)| receipt)
    }

    /// The account as it stands.
    pub fn account(&self, id: &AccountId) -> Option<Account> {
        let mut told = self.log.iter().filter_map(|(_, receipt)| receipt.account.as_ref());
        // Its opening, or the last change of its rules.
        let mut account = told.rfind(|account| account.id == *id)?.clone();
        let entries = self.entries(id);
        let balance = entries.iter().map(|entry| entry.amount.minor()).sum();
        let holds = self.holds().into_iter().filter(|hold| hold.account == *id);
        let held = holds.map(|hold| hold.remaining.minor()).sum();
        account.set_balance(balance, held, entries.len() as u64);
        Some(account)
    }

    /// The hold as it stands.
    pub fn hold(&self, id: &HoldId) -> Option<Hold> {
        self.holds().into_iter().find(|hold| hold.id == *id)
    }

    /// All holds as they stand.
    pub fn holds(&self) -> Vec<Hold> {
        let mut holds: BTreeMap<HoldId, Hold> = BTreeMap::new();
        for hold in self.log.iter().filter_map(|(_, receipt)| receipt.hold.as_ref()) {
            holds.insert(hold.id.clone(), hold.clone());
        }
        holds.into_values().collect()
    }

    /// All entries of an account.
    pub fn entries(&self, id: &AccountId) -> Vec<&Entry> {
        self.log
            .iter()
            .flat_map(|(_, receipt)| &receipt.entries)
            .filter(|entry| entry.account == *id)
            .collect()
    }

    /// How many commands took effect, the ends of holds by their deadline among them.
    pub fn sequence(&self) -> u64 {
        self.log.len() as u64
    }

    /// The totals.
    pub fn trial_balance(&self) -> TrialBalance {
        let mut totals: BTreeMap<Currency, CurrencyTotal> = BTreeMap::new();
        for (command, receipt) in &self.log {
            if let Some(Command::Open(open)) = command.as_ref().map(Command::plain) {
                totals.entry(open.currency).or_insert_with(|| CurrencyTotal::zero(open.currency)).accounts +=
                    1;
            }
            let mut touched = Vec::new();
            for entry in &receipt.entries {
                let currency = entry.amount.currency();
                let total = totals.entry(currency).or_insert_with(|| CurrencyTotal::zero(currency));
                let minor = i128::from(entry.amount.minor());
                total.total += minor;
                total.credits += minor.max(0);
                total.debits += (-minor).max(0);
                if !touched.contains(&currency) {
                    touched.push(currency);
                    total.postings += 1;
                }
            }
        }
        TrialBalance::new(totals.into_values().collect(), self.sequence())
    }

    fn existing(&self, id: &AccountId) -> Result<Account> {
        self.account(id).ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such account"))
    }

    fn posted(&self, id: &crate::ledger::PostingId) -> Result<&(Option<Command>, Receipt)> {
        let id = CommandId::Posting(id.clone());
        let found =
            self.log.iter().find(|(command, _)| command.as_ref().is_some_and(|known| known.id() == id));
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such posting"))
    }

    fn open_hold(&self, id: &HoldId) -> Result<Hold> {
        let hold = self.hold(id).ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such hold"))?;
        if hold.status == HoldStatus::Open { Ok(hold) } else { rejected("the hold has ended") }
    }

    /// `freed` is what is no longer held on an account once the posting is made.
    fn entries_of(
        &self,
        posting: &Posting,
        freed: Option<(&AccountId, i64)>,
        now: Timestamp,
    ) -> Result<Vec<Entry>> {
        let mut touched: BTreeMap<&AccountId, Account> = BTreeMap::new();
        let mut entries = Vec::new();
        for (index, leg) in posting.legs.iter().enumerate() {
            let account = match touched.get_mut(&leg.account) {
                Some(account) => account,
                None => touched.entry(&leg.account).or_insert(self.existing(&leg.account)?),
            };
            let balance: Money = account.balance.checked_add(leg.amount)?;
            if account.status != AccountStatus::Open {
                return rejected("the account is not open");
            }
            let freed = freed.filter(|(id, _)| **id == leg.account).map_or(0, |(_, minor)| minor);
            let free = balance.minor() - (account.held.minor() - freed);
            if leg.amount.is_negative() && account.floor.is_some_and(|floor| free < floor.minor()) {
                return Err(Error::new(ErrorKind::InsufficientFunds, "the account has not enough"));
            }
            if leg.amount.is_positive()
                && account.ceiling.is_some_and(|ceiling| balance.minor() > ceiling.minor())
            {
                return rejected("the account would hold too much");
            }
            let number = account.entry_count + 1;
            account.set_balance(balance.minor(), account.held.minor(), number);
            entries.push(Entry::of_leg(posting, index, number, balance.minor(), now));
        }
        Ok(entries)
    }
}

fn rejected<T>(message: &'static str) -> Result<T> {
    Err(Error::new(ErrorKind::Rejected, message))
}

fn remembers(command: &Command) -> bool {
    match command {
        Command::Post(posting) => posting.remember,
        Command::Reverse(reversal) => reversal.remember,
        Command::Hold(place) => place.remember,
        Command::Capture(capture) => capture.remember,
        _ => false,
    }
}
