//! The cache in this process's memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use moka::Expiry;
use moka::ops::compute::{CompResult, Op};
use tokio::sync::broadcast;

use crate::cache::{Cached, Message, Messages, Subscription};
use crate::{Cache, Clock, Result, SystemClock, Timestamp};

/// How many messages a subscriber may lag behind.
const CHANNEL: usize = 256;
/// No value is held longer: times beyond are taken for "as long as there is room".
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
/// Channels whose subscribers are gone are looked for when there are this many more.
const CHANNEL_SWEEP: usize = 64;

/// A cache in this process's memory. Values may be evicted for want of room.
pub struct MemoryCache {
    values: moka::sync::Cache<String, Held>,
    channels: Mutex<HashMap<String, broadcast::Sender<Bytes>>>,
    clock: Arc<dyn Clock>,
}

/// A value, or that there is none of a version.
#[derive(Clone)]
struct Held {
    value: Option<Bytes>,
    version: u64,
    ttl: Duration,
    expires_at: Timestamp,
}

impl MemoryCache {
    /// Room for 64 MiB of values.
    pub fn new() -> Self {
        Self::with_capacity(64 * 1_024 * 1_024)
    }

    /// Room for `bytes` of values.
    pub fn with_capacity(bytes: u64) -> Self {
        let values = moka::sync::Cache::builder()
            .max_capacity(bytes)
            // Beside key and value, an entry costs about this much.
            .weigher(|key: &String, held: &Held| {
                let value = held.value.as_ref().map_or(0, Bytes::len);
                u32::try_from(key.len() + value + 128).unwrap_or(u32::MAX)
            })
            .expire_after(ByTtl)
            .build();
        Self { values, channels: Mutex::default(), clock: Arc::new(SystemClock::new()) }
    }

    /// Where the time comes from; the system's clock otherwise.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Puts it in the place of what is not newer; says whether it did.
    fn put(&self, key: &str, value: Option<Bytes>, version: u64, ttl: Duration) -> bool {
        let (now, ttl) = (self.clock.now(), ttl.min(LONGEST));
        let new = Held { value, version, ttl, expires_at: now.saturating_add(ttl) };
        let result = self.values.entry(key.to_owned()).and_compute_with(|held| match held {
            Some(held) if held.value().expires_at > now && held.value().version > version => Op::Nop,
            _ => Op::Put(new),
        });
        !matches!(result, CompResult::Unchanged(_))
    }
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCache").field("values", &self.values.entry_count()).finish_non_exhaustive()
    }
}

/// Frees memory in real time; whether a value is still good is said by its own time, by our clock.
struct ByTtl;

impl Expiry<String, Held> for ByTtl {
    fn expire_after_create(&self, _key: &String, held: &Held, _at: Instant) -> Option<Duration> {
        Some(held.ttl)
    }

    fn expire_after_update(
        &self,
        _: &String,
        held: &Held,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(held.ttl)
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &str) -> Result<Option<Cached>> {
        let now = self.clock.now();
        let held = self.values.get(key).filter(|held| held.expires_at > now);
        Ok(held.and_then(|held| Some(Cached::new(held.value?, held.version))))
    }

    async fn set(&self, key: &str, value: Bytes, version: u64, ttl: Duration) -> Result<bool> {
        Ok(self.put(key, Some(value), version, ttl))
    }

    async fn remove(&self, key: &str, version: u64, ttl: Duration) -> Result<()> {
        self.put(key, None, version, ttl);
        Ok(())
    }

    async fn publish(&self, channel: &str, message: Bytes) -> Result<()> {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = channels.get(channel) {
            // Nobody may be listening any more.
            let _ = sender.send(message);
        }
        Ok(())
    }

    async fn subscribe(&self, channel: &str) -> Result<Subscription> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if channels.len() % CHANNEL_SWEEP == CHANNEL_SWEEP - 1 {
            channels.retain(|_, sender| sender.receiver_count() > 0);
        }
        let sender = channels.entry(channel.to_owned()).or_insert_with(|| broadcast::channel(CHANNEL).0);
        Ok(Subscription::new(Local(sender.subscribe())))
    }
}

struct Local(broadcast::Receiver<Bytes>);

#[async_trait]
impl Messages for Local {
    async fn next(&mut self) -> Option<Message> {
        match self.0.recv().await {
            Ok(message) => Some(Message::Message(message)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Message::Lost),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_lags_behind_is_told() {
        let cache = MemoryCache::new();
        let mut subscription = cache.subscribe("c").await.unwrap();
        for number in 0..CHANNEL + 10 {
            cache.publish("c", number.to_string().into()).await.unwrap();
        }
        assert_eq!(subscription.next().await, Some(Message::Lost));
        assert!(matches!(subscription.next().await, Some(Message::Message(_))));
    }
}
