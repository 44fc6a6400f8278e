//! Finds the transfers that nobody brought to their end, and goes on with them.

use std::time::Duration;

use bank_sdk::Problem;
use bank_stores::items::Query;
use bank_stores::{PageRequest, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::rows::{SHARDS, State, pending_partition};
use crate::service::Transactions;

/// How often the list is read.
const EVERY: Duration = Duration::from_secs(1);
/// Whoever began a transfer has so long before others try as well.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// So many transfers are driven at once; the others wait for the next look.
const AT_ONCE: usize = 256;

/// That a transfer has to be brought to its end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ToDo {
    pub(crate) id: String,
    pub(crate) created_at: Timestamp,
}

impl Transactions {
    /// Resumes transfers at once and then every second, for ever. It survives every error: what could not be done is
    /// found again.
    pub async fn resume(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.resume_once().await {
                Ok(0) => {}
                Ok(resumed) => tracing::info!(resumed, "transfers were resumed"),
                Err(problem) => tracing::warn!(%problem, "transfers cannot be resumed now"),
            }
        }
    }

    /// Starts a task for each transfer that is older than a short grace and that no task of this process drives.
    /// Returns how many.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn resume_once(&self) -> Result<usize, Problem> {
        let mut resumed = 0;
        for shard in 0..SHARDS {
            let mut page = PageRequest::first(100);
            loop {
                let query = Query::partition(pending_partition(shard)).page(page);
                let found = self.items.query(&query).await?;
                for item in found.items {
                    let to_do: ToDo = item.json()?;
                    if self.running.count() >= AT_ONCE {
                        return Ok(resumed);
                    }
                    resumed += usize::from(self.take_up(&to_do).await?);
                }
                let Some(next) = found.next else { break };
                page = PageRequest::first(100).after(next);
            }
        }
        Ok(resumed)
    }

    async fn take_up(&self, to_do: &ToDo) -> Result<bool, Problem> {
        let young = self.clock.now().since(to_do.created_at) < GRACE;
        if young || self.running.find(&to_do.id).is_some() {
            return Ok(false);
        }
        match self.load(&to_do.id).await? {
            Some(begun) if begun.stored.state == State::Pending => {
                self.drive(begun);
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
