//! A store in which several gateways count. Nobody waits long for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bank_stores::limit::{NamedCharge, Verdict};
use bank_stores::{Error, ErrorKind, Limits};

/// How long a request waits for an answer where nothing else is said.
const TIMEOUT: Duration = Duration::from_millis(250);

/// A store of limits, asked for a bounded time. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct LimitStore {
    limits: Arc<dyn Limits>,
    pub(super) timeout: Duration,
    /// What is counted there, for the log.
    what: &'static str,
    is_away: Arc<AtomicBool>,
}

impl LimitStore {
    pub(crate) fn new(limits: Arc<dyn Limits>, what: &'static str) -> Self {
        Self { limits, timeout: TIMEOUT, what, is_away: Arc::default() }
    }

    /// A verdict for each charge; nothing while the store is away.
    pub(crate) async fn take(&self, group: &str, charges: &[NamedCharge]) -> Option<Vec<Verdict>> {
        match self.ask(group, charges).await {
            Ok(verdicts) => {
                self.answered();
                Some(verdicts)
            }
            Err(error) => {
                self.went_away(&error);
                None
            }
        }
    }

    async fn ask(&self, group: &str, charges: &[NamedCharge]) -> Result<Vec<Verdict>, Error> {
        let taken = tokio::time::timeout(self.timeout, self.limits.take(group, charges)).await;
        let verdicts =
            taken.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "no answer in time")))?;
        if verdicts.len() != charges.len() {
            return Err(Error::new(ErrorKind::Damaged, "not a verdict for each charge"));
        }
        Ok(verdicts)
    }

    fn went_away(&self, error: &Error) {
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, what = self.what, "the store that gateways share does not count");
        }
    }

    fn answered(&self) {
        if self.is_away.load(Ordering::Relaxed) && self.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!(what = self.what, "the store that gateways share counts again");
        }
    }
}
