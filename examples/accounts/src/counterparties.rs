//! The other side of a customer's payments, as far as the customer may know it: another customer's account and name, and nothing of
//! the bank's own accounts.

use std::time::Duration;

use bank_sdk::Problem;
use bank_stores::Result;
use bank_stores::ledger::{self, AccountId, OwnerId};

use crate::service::Accounts;
use crate::wire::{Counterparty, Direction, Entry, Kind};

/// A list waits so long for names in all; the rest of it comes without.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks up counterparties for one answer.
#[derive(Debug)]
pub(crate) struct Counterparties<'a> {
    accounts: &'a Accounts,
    /// Until when names are asked for, in time that has passed.
    until: Duration,
}

impl<'a> Counterparties<'a> {
    pub(crate) fn new(accounts: &'a Accounts) -> Self {
        Self { accounts, until: accounts.clock.elapsed() + PATIENCE }
    }

    /// The other side, with its name where that can be had now: a list without names is better than none.
    pub(crate) async fn of(&self, account: Option<&AccountId>) -> Result<Option<Counterparty>> {
        let Some((owner, account)) = self.customer(account).await? else { return Ok(None) };
        let in_time = self.accounts.clock.elapsed() < self.until;
        let name = if in_time { self.accounts.names.of(owner.as_str()).await.ok().flatten() } else { None };
        Ok(Some(Counterparty { name, account: Some(account.as_str().to_owned()) }))
    }

    /// The other side's name, by which a search decides: 503 where it cannot be had now.
    pub(crate) async fn name(&self, account: Option<&AccountId>) -> Result<Option<String>, Problem> {
        match self.customer(account).await? {
            Some((owner, _)) => Ok(self.accounts.names.of(owner.as_str()).await?),
            None => Ok(None),
        }
    }

    /// Entries as they stand on the wire.
    pub(crate) async fn entries(&self, entries: Vec<ledger::Entry>) -> Result<Vec<Entry>> {
        let mut named = Vec::with_capacity(entries.len());
        for entry in entries {
            let counterparty = self.of(entry.counterparty.as_ref()).await?;
            named.push(Entry {
                id: entry_id(&entry),
                posting: entry.posting.into(),
                kind: Kind::of_posting(&entry.kind),
                direction: Direction::of_change(entry.amount),
                counterparty,
                amount: entry.amount,
                balance_after: entry.balance_after,
                reference: entry.reference,
                at: entry.booked_at,
            });
        }
        Ok(named)
    }

    async fn customer<'b>(&self, account: Option<&'b AccountId>) -> Result<Option<(OwnerId, &'b AccountId)>> {
        let Some(account) = account else { return Ok(None) };
        let owner = self.accounts.directory.facts(account).await?.and_then(|facts| facts.owner);
        Ok(owner.map(|owner| (owner, account)))
    }
}

/// What an entry is called on the wire.
pub(crate) fn entry_id(entry: &ledger::Entry) -> String {
    format!("{}:{}", entry.account, entry.number)
}
