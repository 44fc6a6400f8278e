//! Whose an account is and which currency it has: asked for at each posting, and never changed once it is opened.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::cache::{CacheMetrics, Load, Loaded, ReadThrough, ReadThroughOptions};
use bank_stores::ledger::{AccountId, OwnerId};
use bank_stores::{Consistency, Currency, ErrorKind, Ledger, Result};
use serde::{Deserialize, Serialize};

/// So many accounts are remembered; the others are read from the ledger.
const REMEMBERED: u64 = 100_000;
const FOR: Duration = Duration::from_secs(86_400);

/// What never changes about an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Whose it is; the bank's own accounts have no owner.
    pub(crate) owner: Option<OwnerId>,
    /// The currency it is held in.
    pub(crate) currency: Currency,
}

/// The facts of accounts, read seldom. What does not exist is not remembered: it may be opened later.
#[derive(Clone, Debug)]
pub(crate) struct Directory(ReadThrough<Facts>);

impl Directory {
    pub(crate) fn new(ledger: Arc<dyn Ledger>) -> Self {
        let options = ReadThroughOptions::new("accounts").and_then(|options| options.local_ttl(FOR));
        let options = options.expect("a plain name and a day").local_capacity(REMEMBERED);
        // Not in a shared cache: that may outlive the ledger, and tell of accounts that there are no more.
        Self(ReadThrough::local(Accounts(ledger), options))
    }

    pub(crate) fn measure(&self, metrics: &CacheMetrics) {
        metrics.add(&self.0);
    }

    /// The facts of an account, if there is one.
    pub(crate) async fn facts(&self, id: &AccountId) -> Result<Option<Facts>> {
        match self.0.get_or_load(id.as_str()).await {
            Ok(facts) => Ok(facts.map(|facts| (*facts).clone())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

struct Accounts(Arc<dyn Ledger>);

#[async_trait]
impl Load<Facts> for Accounts {
    async fn load(&self, id: &str) -> Result<Loaded<Facts>> {
        let account = self.0.account(&AccountId::new(id)?, Consistency::Current).await?;
        Ok(Loaded::found(Facts { owner: account.owner, currency: account.currency }, 1))
    }
}
