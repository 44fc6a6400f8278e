//! A cache with versions, once-only values, limits and messages.
//!
//! What it holds may be lost at any time, but for once-only values, which are kept for their time or refused.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;
use crate::limit::{Rate, Verdict};

/// A value in the cache.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cached {
    /// The value.
    pub value: Bytes,
    /// The version it was set with.
    pub version: u64,
}

impl Cached {
    /// Made by an adapter.
    pub fn new(value: Bytes, version: u64) -> Self {
        Self { value, version }
    }
}

impl fmt::Debug for Cached {
    /// Without the value, which may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("bytes", &self.value.len()).field("version", &self.version).finish()
    }
}

/// So many units from the bucket of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedCharge {
    /// Names the bucket; one name has one rate.
    pub key: String,
    /// The bucket's rate.
    pub rate: Rate,
    /// How many units.
    pub cost: u32,
}

impl NamedCharge {
    /// `cost` units from the bucket `key`.
    pub fn new(key: impl Into<String>, rate: Rate, cost: u32) -> Self {
        Self { key: key.into(), rate, cost }
    }
}

/// What a subscriber receives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// A message.
    Message(Bytes),
    /// Messages may have been missed: forget whatever they would have kept up to date.
    Lost,
}

/// Where a subscription's messages come from; implemented by adapters.
#[async_trait]
pub trait Messages: Send + 'static {
    /// The next message; `None` when there will be no more. Cancelling loses nothing.
    async fn next(&mut self) -> Option<Message>;
}

/// The messages of a channel from the moment of subscribing; dropping it ends it.
pub struct Subscription(Box<dyn Messages>);

impl Subscription {
    /// Made by an adapter.
    pub fn new(messages: impl Messages) -> Self {
        Self(Box::new(messages))
    }

    /// The next message; `None` when there will be no more. Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<Message> {
        self.0.next().await
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// A cache that several processes may share.
#[async_trait]
pub trait Cache: fmt::Debug + Send + Sync + 'static {
    /// The value, if it is there and its time is not over.
    async fn get(&self, key: &str) -> Result<Option<Cached>>;

    /// Sets the value for `ttl`, unless a newer version is held: then `false`.
    ///
    /// An equal version replaces. This keeps a slow reader of an old state from overwriting a newer one.
    async fn set(&self, key: &str, value: Bytes, version: u64, ttl: Duration) -> Result<bool>;

    /// Sets the value for `ttl` if there is none under this key, and says whether it did: for nonces and replay guards.
    ///
    /// Such a value is never evicted before its time; when there is no room for one more, the answer is `Unavailable`.
    /// [`Cache::get`] finds it, with version 0. A key is used in one of the two ways only.
    async fn set_if_absent(&self, key: &str, value: Bytes, ttl: Duration) -> Result<bool>;

    /// Removes what is held under this key, by either way of setting.
    async fn remove(&self, key: &str) -> Result<()>;

    /// Takes all `charges`, or none if one of the buckets has not enough; one verdict a charge, in their order.
    ///
    /// They were taken if every verdict is `allowed`.
    async fn take(&self, charges: &[NamedCharge]) -> Result<Vec<Verdict>>;

    /// Sends a message to all who subscribe to the channel now.
    async fn publish(&self, channel: &str, message: Bytes) -> Result<()>;

    /// Receives the channel's messages from now on.
    async fn subscribe(&self, channel: &str) -> Result<Subscription>;
}
