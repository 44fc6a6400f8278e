//! The cache in this process's memory.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use moka::Expiry;
use moka::ops::compute::{CompResult, Op};
use tokio::sync::broadcast;

use crate::cache::{Cached, Message, Messages, NamedCharge, Subscription};
use crate::limit::{Charge, LimitKey, LimitTable, Verdict};
use crate::{Cache, Clock, Error, ErrorKind, Result, SystemClock, Timestamp};

/// How many messages a subscriber may lag behind.
const CHANNEL: usize = 256;
/// No value is held longer: times beyond are taken for "as long as there is room".
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
/// Channels whose subscribers are gone are looked for when there are this many more.
const CHANNEL_SWEEP: usize = 64;

/// A cache in this process's memory.
///
/// Values may be evicted for want of room; once-only values and limits have bounded tables of their own that never forget
/// before time, and say so when they are full.
pub struct MemoryCache {
    values: moka::sync::Cache<String, Held>,
    once: Mutex<Once>,
    limits: LimitTable,
    /// The latest time that limits have seen, in nanoseconds: theirs must not go back, and a clock may.
    latest: AtomicU64,
    channels: Mutex<HashMap<String, broadcast::Sender<Bytes>>>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct Held {
    cached: Cached,
    ttl: Duration,
    expires_at: Timestamp,
}

/// Once-only values and the order in which they expire.
struct Once {
    capacity: usize,
    values: HashMap<Arc<str>, (Bytes, Timestamp)>,
    order: BTreeSet<(Timestamp, Arc<str>)>,
}

impl MemoryCache {
    /// Room for 64 MiB of values, 100,000 once-only values and 100,000 limits.
    pub fn new() -> Self {
        Self::with_capacity(64 * 1_024 * 1_024, 100_000, 100_000)
    }

    /// Room for `bytes` of values, and so many once-only values and limits.
    pub fn with_capacity(bytes: u64, once: usize, limits: usize) -> Self {
        let values = moka::sync::Cache::builder()
            .max_capacity(bytes)
            // Beside key and value, an entry costs about this much.
            .weigher(|key: &String, held: &Held| {
                u32::try_from(key.len() + held.cached.value.len() + 128).unwrap_or(u32::MAX)
            })
            .expire_after(ByTtl)
            .build();
        Self {
            values,
            once: Mutex::new(Once { capacity: once, values: HashMap::new(), order: BTreeSet::new() }),
            limits: LimitTable::new(limits),
            latest: AtomicU64::new(0),
            channels: Mutex::new(HashMap::new()),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Where the time comes from; the system's clock otherwise.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn once(&self, now: Timestamp) -> MutexGuard<'_, Once> {
        let mut once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        once.expire(now);
        once
    }
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCache")
            .field("values", &self.values.entry_count())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Once {
    /// Forgets what has expired; each is looked at once, when it does.
    fn expire(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.order.first()
            && *at <= now
        {
            if let Some((_, key)) = self.order.pop_first() {
                self.values.remove(&key);
            }
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some((key, (_, at))) = self.values.remove_entry(key) {
            self.order.remove(&(at, key));
        }
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
        if let Some((value, _)) = self.once(now).values.get(key) {
            return Ok(Some(Cached::new(value.clone(), 0)));
        }
        Ok(self.values.get(key).filter(|held| held.expires_at > now).map(|held| held.cached))
    }

    async fn set(&self, key: &str, value: Bytes, version: u64, ttl: Duration) -> Result<bool> {
        let now = self.clock.now();
        let ttl = ttl.min(LONGEST);
        let expires_at = now.saturating_add(ttl);
        let new = Held { cached: Cached::new(value, version), ttl, expires_at };
        let result = self.values.entry(key.to_owned()).and_compute_with(|held| match held {
            Some(held) if held.value().expires_at > now && held.value().cached.version > version => Op::Nop,
            _ => Op::Put(new),
        });
        Ok(!matches!(result, CompResult::Unchanged(_)))
    }

    async fn set_if_absent(&self, key: &str, value: Bytes, ttl: Duration) -> Result<bool> {
        let now = self.clock.now();
        let mut once = self.once(now);
        if once.values.contains_key(key) {
            return Ok(false);
        }
        if once.values.len() >= once.capacity {
            return Err(Error::new(ErrorKind::Unavailable, "the table of once-only values is full"));
        }
        let (key, expires_at): (Arc<str>, Timestamp) = (key.into(), now.saturating_add(ttl));
        once.order.insert((expires_at, key.clone()));
        once.values.insert(key, (value, expires_at));
        Ok(true)
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.once(self.clock.now()).remove(key);
        self.values.invalidate(key);
        Ok(())
    }

    async fn take(&self, charges: &[NamedCharge]) -> Result<Vec<Verdict>> {
        let charge = |charge: &NamedCharge| Charge {
            key: LimitKey::of("cache", &charge.key),
            rate: charge.rate,
            cost: charge.cost,
        };
        let charges: Vec<Charge> = charges.iter().map(charge).collect();
        let now = u64::try_from(self.clock.now().micros()).unwrap_or(0).saturating_mul(1_000);
        let now = self.latest.fetch_max(now, Ordering::Relaxed).max(now);
        Ok(self.limits.take(now, &charges).verdicts().to_vec())
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
    use crate::ManualClock;
    use crate::limit::Rate;
    use std::num::NonZeroU32;

    #[tokio::test]
    async fn a_full_table_of_once_only_values_says_so_and_forgets_nothing() {
        let clock = ManualClock::at(Timestamp::from_seconds(1));
        let cache = MemoryCache::with_capacity(1_024, 2, 2).clock(Arc::new(clock.clone()));
        let minute = Duration::from_secs(60);
        for key in ["a", "b"] {
            assert!(cache.set_if_absent(key, Bytes::new(), minute).await.unwrap());
        }
        let full = cache.set_if_absent("c", Bytes::new(), minute).await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::Unavailable);
        assert!(!cache.set_if_absent("a", Bytes::new(), minute).await.unwrap());
        clock.advance(minute);
        assert!(cache.set_if_absent("c", Bytes::new(), minute).await.unwrap());
        assert!(cache.set_if_absent("a", Bytes::new(), minute).await.unwrap());
    }

    #[tokio::test]
    async fn a_clock_that_goes_back_locks_nobody_out() {
        let clock = ManualClock::at(Timestamp::from_seconds(1_000));
        let cache = MemoryCache::new().clock(Arc::new(clock.clone()));
        let rate = Rate::per_second(NonZeroU32::new(2).unwrap());
        let charge = [NamedCharge::new("k", rate, 1)];
        for (at, allowed) in [(1_000, true), (10, true), (10, false), (1_001, true)] {
            clock.set(Timestamp::from_seconds(at));
            assert_eq!(cache.take(&charge).await.unwrap()[0].allowed, allowed, "{at}");
        }
    }

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
