//! A cache with versions and messages.
//!
//! What it holds may be lost at any time. What must not be is claimed by [`Once`](crate::Once), or kept in
//! [`Items`](crate::Items).

#[cfg(feature = "read-through")]
mod read_through;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

#[cfg(feature = "read-through")]
pub use self::read_through::{
    CacheMetrics, Load, Loaded, ReadThrough, ReadThroughCounts, ReadThroughOptions,
};

use crate::Result;

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

/// A cache that several processes may share. What it holds may be gone at any time.
#[async_trait]
pub trait Cache: fmt::Debug + Send + Sync + 'static {
    /// The value, if it is there and its time is not over.
    async fn get(&self, key: &str) -> Result<Option<Cached>>;

    /// Sets the value for `ttl`, unless a newer version is held: then `false`.
    ///
    /// An equal version replaces. This keeps a slow reader of an old state from overwriting a newer one.
    async fn set(&self, key: &str, value: Bytes, version: u64, ttl: Duration) -> Result<bool>;

    /// Removes what is not newer than `version`, and refuses older ones for `ttl`, as long as there is room to know of it.
    async fn remove(&self, key: &str, version: u64, ttl: Duration) -> Result<()>;

    /// Sends a message to all who subscribe to the channel now; some may miss it.
    async fn publish(&self, channel: &str, message: Bytes) -> Result<()>;

    /// Receives the channel's messages from now on; [`Message::Lost`] wherever the adapter can tell that some may have been
    /// missed.
    async fn subscribe(&self, channel: &str) -> Result<Subscription>;
}
