//! Events that leave a store, written in the same transaction as their cause (a transactional outbox).
//!
//! Events of one stream key, such as a customer, keep their commit order. A stream key lies in one shard for good, and the order
//! of a shard is the same for every reader, each time it is read. Between shards there is no order.
//!
//! ```
//! # #[cfg(feature = "embedded")]
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use bank_stores::embedded::{SqliteItems, SqliteOptions};
//! use bank_stores::items::{Change, Key, Transaction};
//! use bank_stores::outbox::{Edge, NewEvent};
//! use bank_stores::{ItemsExt, Outbox};
//! use std::time::Duration;
//!
//! let items = SqliteItems::open(SqliteOptions::temporary()?).await?;
//! let told = NewEvent::new("e1", "ann", "user.named", serde_json::json!({ "name": "Ann" }));
//! let named = Change::put(Key::new("user", "ann"), &"Ann")?;
//! items.commit_one(Transaction::new("w1").change(named).event(told)).await?;
//!
//! for shard in items.shards().await? {
//!     let mut after = match items.positions("mailer").await?.into_iter().find(|kept| kept.shard() == shard) {
//!         Some(kept) => kept,
//!         None => items.edge(shard, Edge::Oldest).await?,
//!     };
//!     let read = items.events(&after, 100, Duration::ZERO).await?;
//!     assert_eq!(read.events[0].topic, "user.named");
//!     after = read.next; // When the events have had their effect.
//!     items.consumed("mailer", &after).await?;
//! }
//! # Ok::<(), bank_stores::Error>(())
//! # }).unwrap();
//! ```

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

mod event;
mod position;

pub use event::{Event, Events, MAX_NAME, MAX_PAYLOAD, NewEvent};
pub use position::{Edge, Position, ShardId, StreamKey};

use crate::{Error, ErrorKind, PageRequest, Result, Timestamp};

/// The events of a store.
///
/// Events are delivered at least once: a consumer drops ids that it has seen, or has an effect that may be repeated. There is one
/// reader for each consumer and shard; a second one does no harm but handles events twice.
///
/// A consumer that is told that its position is not in the store's history (`Rejected`, field `after`) begins at
/// [`Edge::Oldest`], or takes the state as it is and begins at [`Edge::Newest`].
#[async_trait]
pub trait Outbox: fmt::Debug + Send + Sync + 'static {
    /// All shards, the same for the store's life.
    async fn shards(&self) -> Result<Vec<ShardId>>;

    /// The position before the oldest event of a shard that is kept, or behind the newest; `NotFound`, field `shard`, where there
    /// is no such shard.
    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position>;

    /// Up to `limit` events, 1 to 1,000, of one shard behind `after`, without gaps; waits up to `wait` for the first.
    ///
    /// `Rejected`, field `after`: the position is in no history of this store. Events behind it were forgotten, or it lies beyond
    /// the newest event or in another epoch, since the store was replaced by an older copy.
    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events>;

    /// Keeps how far `consumer` (1 to 256 bytes) has come in the position's shard; never takes it back. From the first call on,
    /// with [`Edge::Oldest`] say, no event that it has not passed is forgotten, in any shard.
    ///
    /// `Rejected`, field `position`: the position is in no history of this store.
    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()>;

    /// The kept positions of `consumer`, one for each shard it has kept.
    async fn positions(&self, consumer: &str) -> Result<Vec<Position>>;

    /// Removes a consumer that will not come again, so that no event is kept for it.
    async fn forget_consumer(&self, consumer: &str) -> Result<()>;

    /// Forgets events older than `before` that every kept consumer has passed, in portions beside other writes; gives how many.
    /// A store may keep the newest one of each shard all the same.
    async fn forget_events(&self, before: Timestamp) -> Result<u64>;
}

/// Checks a consumer's name; adapters call it first.
pub fn check_consumer(consumer: &str) -> Result<()> {
    event::check_name("consumer", consumer)
}

/// Checks how many events are asked for; adapters call it first.
pub fn check_limit(limit: u32) -> Result<()> {
    PageRequest::first(limit).validate()
}

/// The name of an epoch that nobody has: a position that names it was given by who began it.
#[cfg(any(feature = "aurora", feature = "dynamodb", feature = "embedded"))]
pub(crate) fn new_epoch() -> i64 {
    use crate::{Random as _, SystemRandom};

    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes);
    // Never 0, which is before the first event.
    (i64::from_be_bytes(bytes) & i64::MAX) | 1
}

/// Made by an adapter: the refusal of a position that is in no history of the store; `field` is `after` or `position`.
pub fn not_in_history(field: &'static str, why: &'static str) -> Error {
    Error::new(ErrorKind::Rejected, why).with_field(field)
}

/// Made by an adapter: the refusal of a shard that the store has not.
pub fn no_such_shard(shard: ShardId) -> Error {
    Error::new(ErrorKind::NotFound, format!("the store has no shard {shard}")).with_field("shard")
}
