//! Whose an account is and which currency it has: asked for at each posting, and never changed once it is opened.

use bank_stores::ledger::{AccountId, OwnerId};
use bank_stores::{Consistency, Currency, ErrorKind, Ledger, Result};
use moka::sync::Cache;
use std::sync::Arc;

/// So many accounts are remembered; the others are read from the ledger.
const REMEMBERED: u64 = 100_000;

/// What never changes about an account.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Whose it is; the bank's own accounts have no owner.
    pub(crate) owner: Option<OwnerId>,
    /// The currency it is held in.
    pub(crate) currency: Currency,
}

/// The facts of accounts, read once. What does not exist is not remembered: it may be opened later.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    ledger: Arc<dyn Ledger>,
    known: Cache<AccountId, Facts>,
}

impl Directory {
    pub(crate) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, known: Cache::new(REMEMBERED) }
    }

    /// The facts of an account, if there is one.
    pub(crate) async fn facts(&self, id: &AccountId) -> Result<Option<Facts>> {
        if let Some(facts) = self.known.get(id) {
            return Ok(Some(facts));
        }
        match self.ledger.account(id, Consistency::Current).await {
            Ok(account) => {
                let facts = Facts { owner: account.owner, currency: account.currency };
                self.known.insert(id.clone(), facts.clone());
                Ok(Some(facts))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
