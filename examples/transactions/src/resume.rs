//! Finds the transfers that nobody brought to their end, and goes on with them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bank_sdk::{Outage, Problem};
use bank_stores::items::{Item, Query};
use bank_stores::{Cursor, PageRequest, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::MissedTickBehavior;

use crate::rows::{SHARDS, State, pending_partition};
use crate::service::Transactions;

/// How often the list is read.
const EVERY: Duration = Duration::from_secs(1);
/// Whoever began a transfer has so long before others try as well.
const GRACE: Duration = Duration::from_secs(1);
/// So many resumed transfers are driven at once, beside those of live requests; the others wait for the next look. More
/// than a page, so that each look comes further than the one before.
const AT_ONCE: usize = 256;
/// How many rows are read at once.
const PAGE: u32 = 100;

/// What the log says while transfers cannot be resumed.
static RESUMING: Outage = Outage::new("resuming transfers");

/// That a transfer has to be brought to its end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ToDo {
    pub(crate) id: String,
    pub(crate) created_at: Timestamp,
}

/// How far the list was gone through, and how many of it are driven now.
#[derive(Clone, Debug)]
pub(crate) struct Resuming {
    permits: Arc<Semaphore>,
    place: Arc<Mutex<Place>>,
}

/// A page of the list.
#[derive(Clone, Debug, Default)]
struct Place {
    shard: u8,
    after: Option<Cursor>,
}

impl Default for Resuming {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(AT_ONCE)), place: Arc::default() }
    }
}

impl Resuming {
    fn place(&self) -> Place {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn go_on_at(&self, place: Place) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }
}

/// Whether whoever began a transfer may still be at it. One from the future is not young: a clock was ahead, nobody knows
/// by how much.
pub(crate) fn is_young(created_at: Timestamp, now: Timestamp) -> bool {
    created_at <= now && now.since(created_at) < GRACE
}

impl Transactions {
    /// Resumes transfers, and what was approved, at once and then every second, for ever. It survives every error: what could not be done is
    /// found again.
    pub async fn resume(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.resume_once().await {
                Ok(resumed) => {
                    RESUMING.recovered();
                    if resumed > 0 {
                        tracing::info!(resumed, "transfers were resumed");
                    }
                }
                Err(problem) => RESUMING.failed(&problem),
            }
            match self.resume_approvals_once().await {
                Ok(0) => {}
                Ok(done) => tracing::info!(done, "what was approved was done later"),
                Err(problem) => tracing::warn!(%problem, "what was approved cannot be done now"),
            }
        }
    }

    /// Starts a task for each transfer that is older than a short grace and that no task of this process drives, as far as
    /// there is room for tasks; the next call goes on where this one found none. Returns how many.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn resume_once(&self) -> Result<usize, Problem> {
        let mut resumed = 0;
        let mut place = self.resuming.place();
        // The shard in whose midst it begins is looked at again at the end, from its start.
        let mut shards = SHARDS + u8::from(place.after.is_some());
        while shards > 0 {
            let page = PageRequest::first(PAGE).after(place.after.clone());
            let query = Query::partition(pending_partition(place.shard)).page(page);
            let next_shard = Place { shard: (place.shard + 1) % SHARDS, after: None };
            let found = match self.items.query(&query).await {
                Ok(found) => found,
                Err(error) => {
                    // Should it be this place that cannot be read, the others are read next time.
                    self.resuming.go_on_at(next_shard);
                    return Err(error.into());
                }
            };
            for item in &found.items {
                match self.take_up(item).await {
                    Ok(TakenUp::Driven) => resumed += 1,
                    Ok(TakenUp::Nothing) => {}
                    Ok(TakenUp::NoRoom) => {
                        self.resuming.go_on_at(place);
                        return Ok(resumed);
                    }
                    Err(problem) => {
                        tracing::error!(row = ?item.key, %problem, "a transfer cannot be resumed now");
                    }
                }
            }
            match found.next {
                Some(next) => place.after = Some(next),
                None => {
                    place = next_shard;
                    shards -= 1;
                }
            }
        }
        self.resuming.go_on_at(place);
        Ok(resumed)
    }

    async fn take_up(&self, item: &Item) -> Result<TakenUp, Problem> {
        let to_do: ToDo = item.json()?;
        if is_young(to_do.created_at, self.clock.now()) || self.running.find(&to_do.id).is_some() {
            return Ok(TakenUp::Nothing);
        }
        let Some(permit) = self.permit() else { return Ok(TakenUp::NoRoom) };
        match self.load(&to_do.id).await? {
            Some(begun) if begun.stored.state == State::Pending => {
                self.drive(begun, Some(permit));
                Ok(TakenUp::Driven)
            }
            _ => Ok(TakenUp::Nothing),
        }
    }

    fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.resuming.permits.clone().try_acquire_owned().ok()
    }
}

/// What became of a row of the list.
enum TakenUp {
    Driven,
    Nothing,
    NoRoom,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn young_is_what_was_begun_just_now_and_not_what_will_be() {
        let now = Timestamp::from_seconds(1_000);
        assert!(is_young(now, now) && is_young(Timestamp::from_micros(now.micros() - 999_999), now));
        assert!(!is_young(Timestamp::from_seconds(999), now));
        assert!(!is_young(Timestamp::from_micros(now.micros() + 1), now));
    }
}
