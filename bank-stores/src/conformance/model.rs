//! A ledger in memory that is slow and obviously right: what real engines are compared with.
//!
//! It shares types with the engines, and none of their rules' code: everything is worked out anew from the log of commands,
//! which has indexes, so that long histories can be replayed.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::{
    Account, AccountId, AccountStatus, Annotation, Ceiling, ChangeId, Command, CommandId, CurrencyTotal,
    Entry, Floor, Hold, HoldId, HoldStatus, Leg, MAX_ADDITIONS, Posting, PostingId, REVERSAL, Receipt,
    TrialBalance,
};
use crate::{Currency, Error, ErrorKind, Money, Result, Timestamp};

/// A single-threaded ledger.
#[derive(Clone, Debug, Default)]
pub struct LedgerModel {
    log: Log,
    /// Refusals that are remembered.
    refused: Vec<(Command, Error)>,
}

/// Every command that took effect, with its receipt, in order; none where a hold ended by its deadline.
#[derive(Clone, Debug, Default)]
struct Log {
    rows: Vec<(Option<Command>, Receipt)>,
    by_id: BTreeMap<CommandId, usize>,
    /// The rows that tell of an account's rules or have entries of it, and those that tell of a hold.
    of_account: BTreeMap<AccountId, Vec<usize>>,
    of_hold: BTreeMap<HoldId, Vec<usize>>,
}

impl Log {
    fn push(&mut self, command: Option<Command>, receipt: Receipt) {
        let row = self.rows.len();
        if let Some(command) = &command {
            self.by_id.insert(command.id(), row);
        }
        for account in touched(&receipt) {
            self.of_account.entry(account.clone()).or_default().push(row);
        }
        if let Some(hold) = &receipt.hold {
            self.of_hold.entry(hold.id.clone()).or_default().push(row);
        }
        self.rows.push((command, receipt));
    }

    /// Takes back what came behind the first rows.
    fn truncate(&mut self, rows: usize) {
        while self.rows.len() > rows {
            let Some((command, receipt)) = self.rows.pop() else { return };
            if let Some(command) = &command {
                self.by_id.remove(&command.id());
            }
            for account in touched(&receipt) {
                self.of_account.entry(account.clone()).and_modify(|rows| rows.truncate(rows.len() - 1));
            }
            if let Some(hold) = &receipt.hold {
                self.of_hold.entry(hold.id.clone()).and_modify(|rows| rows.truncate(rows.len() - 1));
            }
        }
    }

    fn find(&self, id: &CommandId) -> Option<&(Option<Command>, Receipt)> {
        self.by_id.get(id).map(|row| &self.rows[*row])
    }

    fn of_account(&self, id: &AccountId) -> impl DoubleEndedIterator<Item = &Receipt> {
        self.of_account.get(id).into_iter().flatten().map(|row| &self.rows[*row].1)
    }

    /// The hold as its last row tells it.
    fn hold(&self, rows: &[usize]) -> Option<&Hold> {
        rows.last().and_then(|row| self.rows[*row].1.hold.as_ref())
    }
}

/// The accounts of a receipt, each once.
fn touched(receipt: &Receipt) -> BTreeSet<&AccountId> {
    let of_entries = receipt.entries.iter().map(|entry| &entry.account);
    receipt.account.iter().map(|account| &account.id).chain(of_entries).collect()
}

impl LedgerModel {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Executes commands in order, booked at `now`, when every hold has ended whose deadline has come.
    pub fn execute_all(&mut self, commands: &[Command], now: Timestamp) -> Vec<Result<Receipt>> {
        self.expire(now);
        self.execute_as_it_stands(commands, now)
    }

    /// What [`execute_all`](Self::execute_all) does, where the ends of holds are told by [`end`](Self::end).
    pub fn execute_as_it_stands(&mut self, commands: &[Command], now: Timestamp) -> Vec<Result<Receipt>> {
        let mut outcomes = Vec::new();
        while outcomes.len() < commands.len() {
            let rest = &commands[outcomes.len()..];
            let linked = rest.iter().take_while(|command| command.is_linked()).count();
            if linked == 0 {
                outcomes.push(self.execute_one(&rest[0], now));
                continue;
            }
            let chain = &rest[..(linked + 1).min(rest.len())];
            let before = self.log.rows.len();
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
                match self.try_one(command.plain(), now) {
                    Ok(receipt) => done.push(Ok(receipt)),
                    Err(error) => {
                        let failed = done.len();
                        done = vec![Err(refused.clone()); chain.len()];
                        done[failed] = Err(error);
                        break;
                    }
                }
            }
            if !done.iter().all(Result::is_ok) {
                self.log.truncate(before);
            }
            outcomes.extend(done);
        }
        outcomes
    }

    /// What [`execute_as_it_stands`](Self::execute_as_it_stands) would give; nothing is done.
    pub fn try_out(&mut self, commands: &[Command], now: Timestamp) -> Vec<Result<Receipt>> {
        let (rows, refused) = (self.log.rows.len(), self.refused.len());
        let outcomes = self.execute_as_it_stands(commands, now);
        self.log.truncate(rows);
        self.refused.truncate(refused);
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
        if let Some((Some(known), receipt)) = self.log.find(&command.id()) {
            return if same(known) { Ok(receipt.clone().replay()) } else { Err(conflict()) };
        }
        let sequence = self.sequence() + 1;
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
                if change.only_if.is_some_and(|wanted| wanted != account.status) {
                    return rejected("it has another status");
                }
                let floor = change
                    .floor
                    .unwrap_or(account.floor.map_or(Floor::None, |floor| Floor::At(floor.minor())));
                let ceiling = change
                    .ceiling
                    .unwrap_or(account.ceiling.map_or(Ceiling::None, |most| Ceiling::At(most.minor())));
                account.set_rules(change.status.unwrap_or(account.status), floor, ceiling);
                account.name = change.name.clone().or(account.name);
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
            Command::Annotate(annotation) => {
                self.posted(&annotation.posting)?;
                self.has_room(&annotation.posting)?;
                Receipt::added(annotation.id.clone(), sequence, now)
            }
            Command::Post(posting) => {
                Receipt::posted(posting.id.clone(), sequence, now, self.entries_of(posting, None, now)?)
            }
            Command::Reverse(reversal) => {
                let target = self.posted(&reversal.reverses)?;
                let is_reversal = |command: &Command| matches!(command.plain(), Command::Reverse(_));
                let before = self.log.rows.iter().any(|(command, _)| {
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
        self.log.push(Some(command.clone()), receipt.clone());
        Ok(receipt)
    }

    /// Ends the holds whose deadline has come.
    fn expire(&mut self, now: Timestamp) {
        let mut due: Vec<Hold> = self.holds().into_iter().filter(|hold| hold.is_due(now)).collect();
        due.sort_by_key(|hold| hold.deadline);
        for hold in due {
            self.end_one(hold, now);
        }
    }

    /// Ends a hold whose deadline has come by `now`; says whether it had.
    pub fn end(&mut self, id: &HoldId, now: Timestamp) -> bool {
        let hold = self.hold(id).filter(|hold| hold.is_due(now));
        hold.map(|hold| self.end_one(hold, now)).is_some()
    }

    fn end_one(&mut self, hold: Hold, now: Timestamp) {
        let (id, captured) = (CommandId::Hold(hold.id.clone()), hold.captured.minor());
        let ended = hold.with(captured, HoldStatus::Expired);
        self.log.push(None, Receipt::held(id, self.sequence() + 1, now, ended));
    }

    /// The receipt of a command that took effect.
    pub fn receipt(&self, id: &CommandId) -> Option<&Receipt> {
        self.log.find(id).map(|(_, receipt)| receipt)
    }

    /// The account as it stands.
    pub fn account(&self, id: &AccountId) -> Option<Account> {
        let mut told = self.log.of_account(id).filter_map(|receipt| receipt.account.as_ref());
        // Its opening, or the last change of its rules.
        let mut account = told.next_back()?.clone();
        let entries = self.entries(id);
        let balance = entries.iter().map(|entry| entry.amount.minor()).sum();
        let holds = self.log.of_hold.values().filter_map(|rows| self.log.hold(rows));
        let held = holds.filter(|hold| hold.account == *id).map(|hold| hold.remaining.minor()).sum();
        account.set_balance(balance, held, entries.len() as u64);
        Some(account)
    }

    /// The hold as it stands.
    pub fn hold(&self, id: &HoldId) -> Option<Hold> {
        self.log.of_hold.get(id).and_then(|rows| self.log.hold(rows)).cloned()
    }

    /// Refuses more than may be added to a posting.
    fn has_room(&self, id: &PostingId) -> Result<()> {
        let is_of_it = |command: &Command| match command.plain() {
            Command::Annotate(annotation) => annotation.posting == *id,
            _ => false,
        };
        let added = self.log.rows.iter().filter(|(command, _)| command.as_ref().is_some_and(is_of_it));
        if added.count() as u64 >= MAX_ADDITIONS { rejected("too much was added to it") } else { Ok(()) }
    }

    /// The notes of a posting, each with its id, in the order they were added.
    pub fn notes(&self, id: &PostingId) -> Vec<(ChangeId, String)> {
        let note = |command: &Command| match command.plain() {
            Command::Annotate(Annotation { id: change, posting, note }) if posting == id => {
                Some((change.clone(), note.clone()))
            }
            _ => None,
        };
        self.log.rows.iter().filter_map(|(command, _)| note(command.as_ref()?)).collect()
    }

    /// All holds as they stand.
    pub fn holds(&self) -> Vec<Hold> {
        self.log.of_hold.values().filter_map(|rows| self.log.hold(rows)).cloned().collect()
    }

    /// All entries of an account.
    pub fn entries(&self, id: &AccountId) -> Vec<&Entry> {
        self.log
            .of_account(id)
            .flat_map(|receipt| &receipt.entries)
            .filter(|entry| entry.account == *id)
            .collect()
    }

    /// How many commands took effect, the ends of holds by their deadline among them.
    pub fn sequence(&self) -> u64 {
        self.log.rows.len() as u64
    }

    /// The totals.
    pub fn trial_balance(&self) -> TrialBalance {
        let mut totals: BTreeMap<Currency, CurrencyTotal> = BTreeMap::new();
        for (command, receipt) in &self.log.rows {
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
        let found = self.log.find(&CommandId::Posting(id.clone()));
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
