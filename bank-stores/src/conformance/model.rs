//! A ledger in memory that is slow and obviously right: what real engines are compared with.
//!
//! It shares types with the engines, and none of their rules' code.

use std::collections::BTreeMap;

use crate::ledger::{
    Account, AccountId, AccountStatus, Command, CommandId, CurrencyTotal, Entry, OpenAccount, Posting,
    Receipt, TrialBalance,
};
use crate::{Currency, Error, ErrorKind, Result, Timestamp};

/// A single-threaded ledger.
#[derive(Clone, Debug, Default)]
pub struct LedgerModel {
    /// Every command that took effect, with its receipt, in order.
    log: Vec<(Command, Receipt)>,
}

impl LedgerModel {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Executes one command, booked at `now`.
    pub fn execute(&mut self, command: &Command, now: Timestamp) -> Result<Receipt> {
        command.validate()?;
        if let Some((first, receipt)) = self.log.iter().find(|(known, _)| known.id() == command.id()) {
            return match first == command {
                true => Ok(receipt.clone().replay()),
                false => Err(Error::new(ErrorKind::Conflict, "the same id was used for other content")),
            };
        }
        let sequence = self.log.len() as u64 + 1;
        let receipt = match command {
            Command::Open(open) => Receipt::opened(sequence, Account::opened(open, now)),
            Command::Post(posting) => {
                Receipt::posted(posting.id.clone(), sequence, now, self.entries_of(posting, now)?)
            }
        };
        self.log.push((command.clone(), receipt.clone()));
        Ok(receipt)
    }

    /// The receipt of a command that took effect.
    pub fn receipt(&self, id: &CommandId) -> Option<&Receipt> {
        self.log.iter().map(|(_, receipt)| receipt).find(|receipt| receipt.id == *id)
    }

    /// The account as it stands.
    pub fn account(&self, id: &AccountId) -> Option<Account> {
        let (_, receipt) =
            self.log.iter().find(|(command, _)| matches!(command, Command::Open(open) if open.id == *id))?;
        let mut account = receipt.account.clone()?;
        let entries = self.entries(id);
        let balance = entries.iter().map(|entry| entry.amount.minor()).sum();
        account.set_balance(balance, entries.len() as u64);
        Some(account)
    }

    /// All entries of an account.
    pub fn entries(&self, id: &AccountId) -> Vec<&Entry> {
        self.log
            .iter()
            .flat_map(|(_, receipt)| &receipt.entries)
            .filter(|entry| entry.account == *id)
            .collect()
    }

    /// The totals.
    pub fn trial_balance(&self) -> TrialBalance {
        let mut totals: BTreeMap<Currency, CurrencyTotal> = BTreeMap::new();
        for (command, receipt) in &self.log {
            match command {
                Command::Open(OpenAccount { currency, .. }) => {
                    totals.entry(*currency).or_insert_with(|| CurrencyTotal::zero(*currency)).accounts += 1;
                }
                Command::Post(_) => {
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
            }
        }
        TrialBalance::new(totals.into_values().collect(), self.log.len() as u64)
    }

    fn entries_of(&self, posting: &Posting, now: Timestamp) -> Result<Vec<Entry>> {
        let mut touched: BTreeMap<&AccountId, Account> = BTreeMap::new();
        let mut entries = Vec::new();
        for (index, leg) in posting.legs.iter().enumerate() {
            let account = match touched.get_mut(&leg.account) {
                Some(account) => account,
                None => match self.account(&leg.account) {
                    Some(account) => touched.entry(&leg.account).or_insert(account),
                    None => return Err(Error::new(ErrorKind::NotFound, "there is no such account")),
                },
            };
            if account.status != AccountStatus::Open {
                return Err(Error::new(ErrorKind::Rejected, "the account is not open"));
            }
            let balance = account.balance.checked_add(leg.amount)?;
            if let Some(floor) = account.floor
                && leg.amount.is_negative()
                && balance.minor() < floor.minor()
            {
                return Err(Error::new(ErrorKind::InsufficientFunds, "the account has not enough"));
            }
            let number = account.entry_count + 1;
            account.set_balance(balance.minor(), number);
            entries.push(Entry::of_leg(posting, index, number, balance.minor(), now));
        }
        Ok(entries)
    }
}
