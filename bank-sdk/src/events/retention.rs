//! How long a service keeps its events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bank_stores::outbox::{Position, ShardId};
use bank_stores::{Clock, ErrorKind, Outbox, Result};
use tokio::time::MissedTickBehavior;

use super::{EventList, EventsAfter};
use crate::declaration::Access;
use crate::{Call, Endpoint, Problem};

/// How often events are forgotten.
const EVERY: Duration = Duration::from_secs(3_600);

/// Events are kept for a time, and until each service that follows them has taken them.
///
/// A consumer asks for what comes behind a position when it has stored the effect of all before it (see
/// [`Consumer`](super::Consumer)). So the position that it asks behind is how far it has come. That is noted in memory, and given to
/// the store before events are forgotten: each request costs nothing. Those who follow are the services that may call the endpoint;
/// as long as one of them has never come, nothing is forgotten.
///
/// Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Retention {
    consumers: Arc<[String]>,
    taken: Arc<Mutex<BTreeMap<(String, ShardId), Position>>>,
}

impl Retention {
    /// The retention of the events that this endpoint gives.
    #[must_use]
    pub fn of(endpoint: Endpoint<EventsAfter, EventList>) -> Self {
        let consumers = match endpoint.declare().access {
            Some(Access::Internal { callers }) => callers.into(),
            _ => Arc::default(),
        };
        Self { consumers, taken: Arc::default() }
    }

    /// Reads what a call asks for, and notes how far its caller has come.
    ///
    /// # Errors
    /// Those of [`EventsAfter::read`].
    pub async fn read(
        &self,
        call: &Call<EventsAfter>,
        outbox: &dyn Outbox,
        longest: Duration,
    ) -> Result<EventList, Problem> {
        let list = call.input.read(outbox, longest).await?;
        let caller = call.principal.as_ref().and_then(|principal| principal.calling_service());
        if let (Some(caller), Some(after)) = (caller, call.input.after) {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.insert((caller.to_owned(), after.shard()), after);
        }
        Ok(list)
    }

    /// Forgets the events older than `keep` that everybody has taken, at once and then every hour, for ever. It survives every error.
    pub async fn run(self, outbox: &dyn Outbox, clock: &dyn Clock, keep: Duration) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.forget(outbox, clock, keep).await {
                Ok(forgotten) => tracing::debug!(forgotten, ?keep, "old events were forgotten"),
                Err(error) => tracing::warn!(%error, "old events cannot be forgotten now"),
            }
        }
    }

    /// Does so once, in small portions beside other writes; gives how many were forgotten.
    ///
    /// # Errors
    /// Where the store cannot be asked. Whatever was forgotten by then is forgotten.
    pub async fn forget(&self, outbox: &dyn Outbox, clock: &dyn Clock, keep: Duration) -> Result<u64> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((consumer, shard), position) in taken {
            match outbox.consumed(&consumer, &position).await {
                Ok(()) => {}
                // The store was replaced since, and the consumer will ask from another position.
                Err(error) if error.kind() == ErrorKind::Rejected => {
                    tracing::debug!(consumer, %shard, %position, "a consumer's position is not known any more");
                }
                Err(error) => return Err(error),
            }
        }
        for consumer in self.consumers.iter() {
            if outbox.positions(consumer).await?.is_empty() {
                tracing::debug!(consumer, "no events are forgotten: a consumer has not come yet");
                return Ok(0);
            }
        }
        outbox.forget_events(clock.now().saturating_sub(keep)).await
    }
}
