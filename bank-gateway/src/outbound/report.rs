//! What the log says of an endpoint: that it goes out of service, that it still is, and that it serves again. A word for each
//! request would bury everything else.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Outcome;
use super::breaker::Change;

/// While it lasts it is told again after so long.
const AGAIN: Duration = Duration::from_secs(60);

/// Tells of one endpoint, or of one operation of it.
#[derive(Debug, Default)]
pub(super) struct Report {
    of: String,
    outage: Mutex<Option<Outage>>,
}

#[derive(Debug)]
struct Outage {
    failures: u64,
    told: Instant,
}

impl Report {
    pub(super) fn of(what: String) -> Self {
        Self { of: what, outage: Mutex::default() }
    }

    /// A request failed, and the breaker changed or not.
    pub(super) fn failed(&self, change: Option<Change>, outcome: Outcome, now: Instant) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if change == Some(Change::Opened) {
            *outage = Some(Outage { failures: 0, told: now });
            tracing::warn!(endpoint = self.of, outcome = outcome.as_str(), "out of service");
        }
        let Some(outage) = &mut *outage else { return };
        outage.failures += 1;
        if now.saturating_duration_since(outage.told) >= AGAIN {
            outage.told = now;
            let failures = std::mem::take(&mut outage.failures);
            tracing::warn!(endpoint = self.of, outcome = outcome.as_str(), failures, "still out of service");
        }
    }

    /// The breaker closed.
    pub(super) fn recovered(&self) {
        if self.outage.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!(endpoint = self.of, "in service again");
        }
    }
}
