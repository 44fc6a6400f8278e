//! What other services ask: whose accounts these are, and what happened.

use std::sync::Arc;
use std::time::Duration;

use bank_sdk::events::{EventList, EventsAfter};
use bank_sdk::{Call, List, Problem, page};
use bank_stores::Consistency;
use bank_stores::ledger::{self, AccountId, OwnerId};

use crate::service::Accounts;
use crate::wire::{AccountPath, AccountRecord, OwnedBy};

/// A reader waits no longer for an event and asks again, so that one who waits does not hold up the service's end.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

impl Accounts {
    pub(crate) async fn record(self: Arc<Self>, call: Call<AccountPath>) -> Result<AccountRecord, Problem> {
        let id = AccountId::new(&call.input.id).map_err(|_| Problem::not_found())?;
        let account = self.ledger.account(&id, Consistency::Current).await?;
        record(account).ok_or_else(Problem::not_found)
    }

    pub(crate) async fn owned(self: Arc<Self>, call: Call<OwnedBy>) -> Result<List<AccountRecord>, Problem> {
        let OwnedBy { customer, limit, after } = &call.input;
        let page = page::oldest_first(*limit, after.as_deref())?;
        let owner = OwnerId::new(customer).map_err(|_| Problem::not_found())?;
        let accounts = self.ledger.accounts(&owner, page, Consistency::Current).await?;
        let list = List::from_page(accounts, record);
        Ok(List { items: list.items.into_iter().flatten().collect(), next: list.next })
    }

    /// Forgets events that are older than `keep` and taken by all who follow them, now and then, for ever.
    pub async fn forget_events(self, keep: Duration) {
        self.retention.run(&self.ledger, &*self.clock, keep).await;
    }

    /// Does so once; gives how many were forgotten.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    pub async fn forget_events_once(&self, keep: Duration) -> Result<u64, Problem> {
        Ok(self.retention.forget(&self.ledger, &*self.clock, keep).await?)
    }

    pub(crate) async fn events(self: Arc<Self>, call: Call<EventsAfter>) -> Result<EventList, Problem> {
        self.retention.read(&call, &self.ledger, LONGEST_WAIT).await
    }
}

/// The bank's own accounts have no owner and are nobody's business.
fn record(account: ledger::Account) -> Option<AccountRecord> {
    Some(AccountRecord {
        owner: account.owner?.into(),
        id: account.id.into(),
        currency: account.currency,
        name: account.name,
        status: account.status.into(),
    })
}
