//! A service's events: kept in its store's outbox, pulled through the gateway by whoever needs them.
//!
//! A consumer keeps the position of each shard with its effect and drops ids it has seen, so that each event has its effect once
//! although it may be delivered more than once.

mod retention;

use std::time::Duration;

use bank_stores::outbox::{Edge, Event, Position, ShardId};
use bank_stores::{ErrorKind, Outbox};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

pub use retention::Retention;

use crate::client::{CallError, Client};
use crate::{Endpoint, Outage, Problem};

/// The code of the answer to a position that is in no history of the service's store: status 410.
pub const POSITION_LOST: &str = "position_lost";

/// How many events are asked for at once.
const BATCH: u32 = 500;

/// Which events are asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct EventsAfter {
    /// Behind which position, as an earlier answer told it; from the oldest event on where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Position>,
    /// Of which shard, where no position says so; the first one where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardId>,
    /// At most so many, 1 to 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// How many milliseconds to wait for the first one, at most 20,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// Events of one shard, in its order.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventList {
    /// The events.
    pub items: Vec<Event>,
    /// Where to go on: it is kept in place of the last event's position.
    pub next: Position,
    /// All shards there are; each is followed for itself.
    pub shards: Vec<ShardId>,
}

impl EventsAfter {
    /// Reads them from the service's store, which is waited for at most `longest`.
    ///
    /// # Errors
    /// A problem that names the field; 410, `position_lost`, where the position is in no history of the store.
    pub async fn read(&self, outbox: &dyn Outbox, longest: Duration) -> Result<EventList, Problem> {
        let (limit, wait) = self.bounded()?;
        let shards = outbox.shards().await?;
        let after = match (self.after, self.shard.or(shards.first().copied())) {
            (Some(after), _) => after,
            (None, Some(shard)) => outbox.edge(shard, Edge::Oldest).await?,
            (None, None) => return Err(Problem::not_found()),
        };
        match outbox.events(&after, limit, wait.min(longest)).await {
            Ok(read) => Ok(EventList { items: read.events, next: read.next, shards }),
            Err(error) if error.field() == Some("after") && error.kind() != ErrorKind::Invalid => {
                tracing::warn!(%error, position = %after, "a reader of events has a position that is not known");
                Err(Problem::new(
                    StatusCode::GONE,
                    "this position is in no history of these events: begin at the oldest",
                )
                .with_code(POSITION_LOST))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn bounded(&self) -> Result<(u32, Duration), Problem> {
        let limit = self.limit.unwrap_or(200);
        let wait = self.wait_ms.unwrap_or(0);
        if !(1..=1_000).contains(&limit) {
            return Err(
                Problem::bad_request("`limit` must be 1 to 1000").with_field("limit", "must be 1 to 1000")
            );
        }
        if wait > 20_000 {
            return Err(Problem::bad_request("`wait_ms` must be at most 20000")
                .with_field("wait_ms", "must be at most 20000"));
        }
        Ok((limit, Duration::from_millis(wait)))
    }
}

/// Who follows a service's events.
pub trait Consumer: Clone + Send + Sync + 'static {
    /// The position that was kept for a shard.
    fn kept(
        &self,
        shard: ShardId,
    ) -> impl Future<Output = Result<Option<Position>, bank_stores::Error>> + Send;

    /// Stores the effect of events of one shard, which may be none, and then `next`, where to go on.
    ///
    /// Events may come again, all of them where the store was replaced: an event whose id was seen has no second effect.
    fn take(
        &self,
        events: Vec<Event>,
        next: Position,
    ) -> impl Future<Output = Result<(), bank_stores::Error>> + Send;
}

/// Follows a service's events for ever, each shard for itself: each batch is handed over in order, and asked for again until it
/// was taken. It survives every error.
///
/// Where the service's store was replaced by another copy, so that a position is in no history of it, the shard is followed from
/// its oldest event on: nothing is missed, and what was seen before has its effect once.
pub async fn follow<C: Consumer>(client: Client, endpoint: Endpoint<EventsAfter, EventList>, consumer: C) {
    let mut pause = Pause::default();
    let first = EventsAfter { limit: Some(1), ..EventsAfter::default() };
    let shards = loop {
        match client.call(endpoint, &first).timeout(Duration::from_secs(20)).send().await {
            Ok(list) => break list.shards,
            // The client tells of it in the log.
            Err(_) => {
                pause.wait().await;
            }
        }
    };
    let mut following = JoinSet::new();
    for shard in shards {
        following.spawn(follow_shard(client.clone(), endpoint, consumer.clone(), shard));
    }
    // None of them ends, unless it panics: then the others go on.
    while following.join_next().await.is_some() {}
}

async fn follow_shard<C: Consumer>(
    client: Client,
    endpoint: Endpoint<EventsAfter, EventList>,
    consumer: C,
    shard: ShardId,
) {
    const WAIT: Duration = Duration::from_secs(15);
    let mut pause = Pause::default();
    let store = Outage::new("the store of who follows events");
    let mut after = loop {
        match consumer.kept(shard).await {
            Ok(kept) => break kept,
            Err(error) => {
                store.failed(&error);
                pause.wait().await;
            }
        }
    };
    loop {
        let wait_ms = Some(WAIT.as_millis() as u64);
        let input = EventsAfter { after, shard: Some(shard), limit: Some(BATCH), wait_ms };
        let answer = client.call(endpoint, &input).timeout(WAIT + Duration::from_secs(5)).send().await;
        let taken = match answer {
            Ok(list) if list.items.is_empty() && after == Some(list.next) => Ok(list.next),
            Ok(list) => {
                consumer.take(list.items, list.next).await.map(|()| list.next).map_err(Failure::Store)
            }
            Err(error) if is_lost(&error) && after.is_some() => {
                tracing::warn!(?endpoint, %shard, "the store was replaced: all of its events are taken again");
                after = None;
                continue;
            }
            Err(error) => Err(Failure::Call(error)),
        };
        match taken {
            Ok(next) => {
                after = Some(next);
                pause = Pause::default();
                store.recovered();
            }
            Err(error) => {
                // The client tells of calls that fail.
                match &error {
                    Failure::Store(error) => store.failed(error),
                    Failure::Call(error) => {
                        tracing::debug!(?endpoint, %shard, %error, "events cannot be asked for now")
                    }
                }
                pause.wait().await;
            }
        }
    }
}

fn is_lost(error: &CallError) -> bool {
    error.problem().is_some_and(|problem| problem.code() == Some(POSITION_LOST))
}

/// Waits longer after each failure, up to some three seconds.
#[derive(Default)]
struct Pause(u32);

impl Pause {
    async fn wait(&mut self) {
        self.0 = (self.0 + 1).min(7);
        tokio::time::sleep(Duration::from_millis(25 << self.0)).await;
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Call(CallError),
    #[error(transparent)]
    Store(bank_stores::Error),
}
