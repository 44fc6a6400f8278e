//! Look-ups, and what is kept of them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::CacheBuilder;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::alone::Alone;
use super::counts::{Counters, ReadThroughCounts};
use super::flights::{Begun, Flight, Flights};
use super::options::ReadThroughOptions;
use super::{Load, Loaded, wire};
use crate::cache::{Cache, Message};
use crate::{Clock, Error, ErrorKind, Random, Result};

/// So many invalidated keys are remembered, at least.
const FLOORS: u64 = 1_000;
/// After a refresh failed the next one waits so long, and so does the next attempt to subscribe.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct State<V> {
    pub(super) cache: Arc<dyn Cache>,
    /// Whether that is a cache, and not nothing.
    is_shared: bool,
    loader: Box<dyn Load<V>>,
    pub(super) options: ReadThroughOptions,
    pub(super) local: moka::sync::Cache<String, LocalCopy<V>>,
    /// Before which version states of a key are over, as far as this process was told.
    floors: moka::sync::Cache<String, u64>,
    flights: Flights<V>,
    pub(super) counters: Counters,
    pub(super) clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// A value in this process, by the clock's elapsed time.
pub(super) struct LocalCopy<V> {
    pub(super) value: Option<Arc<V>>,
    version: u64,
    /// When it was looked up, and how old it was then.
    asked_at: Duration,
    age: Duration,
    pub(super) refresh_at: Duration,
    pub(super) ends_at: Duration,
}

/// What a look-up found.
struct Found<V> {
    loaded: Loaded<V>,
    /// How old it was when the look-up began.
    age: Duration,
    /// Whether no newer state is known to the shared cache.
    is_newest: bool,
}

impl<V> Clone for LocalCopy<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), ..*self }
    }
}

impl<V: Serialize + DeserializeOwned + Send + Sync + 'static> State<V> {
    /// With a cache that processes share, or none.
    pub(super) fn new(
        cache: Option<Arc<dyn Cache>>,
        loader: impl Load<V>,
        options: ReadThroughOptions,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Arc<Self> {
        Arc::new(Self {
            is_shared: cache.is_some(),
            cache: cache.unwrap_or_else(|| Arc::new(Alone)),
            loader: Box::new(loader),
            local: bounded(options.local_capacity).time_to_live(options.local_ttl).build(),
            // The newest of them count: those of which somebody has just been told.
            floors: bounded(options.local_capacity.max(FLOORS))
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(options.ttl + options.load_timeout * 2)
                .build(),
            options,
            flights: Flights::default(),
            counters: Counters::default(),
            clock,
            random,
        })
    }

    pub(super) fn shared_key(&self, key: &str) -> String {
        format!("{}/{key}", self.options.name)
    }

    /// The look-up of the key that is under way, or one that begins now.
    pub(super) fn join(self: &Arc<Self>, key: &str) -> Flight<V> {
        let (flight, begun) = self.flights.join(key, || {});
        if let Some(begun) = begun {
            tokio::spawn(Arc::clone(self).look_up(begun));
        }
        flight
    }

    /// Begins a look-up behind the copy, if none is under way. Callers that come next do not try.
    pub(super) fn refresh(self: &Arc<Self>, key: &str) {
        let claim = || {
            if let Some(copy) = self.local.get(key) {
                self.local.insert(key.to_owned(), LocalCopy { refresh_at: copy.ends_at, ..copy });
            }
        };
        if let Some(begun) = self.flights.join(key, claim).1 {
            self.counters.refreshes.add();
            tokio::spawn(Arc::clone(self).look_up(begun));
        }
    }

    /// The copy of the key, if its time is not over. It is refreshed behind the caller where that is close.
    pub(super) fn copy_of(self: &Arc<Self>, key: &str) -> Option<LocalCopy<V>> {
        let copy = self.local.get(key)?;
        let now = self.clock.elapsed();
        if now >= copy.ends_at {
            return None;
        }
        self.counters.hits.add();
        if copy.value.is_none() {
            self.counters.negative_hits.add();
        }
        self.counters.oldest.note(now, copy.age + now.saturating_sub(copy.asked_at));
        if now >= copy.refresh_at {
            self.refresh(key);
        }
        Some(copy)
    }

    pub(super) fn counts(&self) -> ReadThroughCounts {
        // What has ended or was evicted is counted until then.
        self.local.run_pending_tasks();
        let bound = self.options.staleness_bound(self.is_shared);
        self.counters.read(self.clock.elapsed(), self.local.entry_count(), bound)
    }

    /// Asks the shared cache, and then the loader. What is found is kept if nobody invalidated the key meanwhile.
    async fn look_up(self: Arc<Self>, begun: Begun<V>) {
        // What was true then may be over when it is told.
        let asked_at = self.clock.elapsed();
        match self.find(&begun.key).await {
            Ok(Found { loaded, age, is_newest }) => {
                let value = loaded.value.map(Arc::new);
                let copy = self.copy(value.clone(), loaded.version, asked_at, age);
                let now = self.clock.elapsed();
                self.counters.oldest.note(now, age + now.saturating_sub(asked_at));
                self.flights.land(begun, Ok(value), |key| {
                    if is_newest && loaded.version >= self.floor(key) {
                        self.local.insert(key.to_owned(), copy);
                    } else {
                        self.local.invalidate(key);
                    }
                });
            }
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    self.counters.failures.add();
                }
                self.flights.land(begun, Err(error), |key| self.postpone(key));
            }
        }
    }

    /// What the shared cache or the loader has.
    async fn find(&self, key: &str) -> Result<Found<V>> {
        let shared = self.shared_key(key);
        let (asked_at, mut is_there) = (self.clock.now(), true);
        match self.in_time(self.cache.get(&shared)).await {
            // It may have missed a removal, or have lost what was set.
            Ok(Some(cached)) if cached.version < self.floor(key) => {}
            Ok(Some(cached)) => match wire::value(&cached.value) {
                Some(wire::SharedValue { value, loaded_at }) => {
                    self.counters.shared_hits.add();
                    // No clock of another process makes it older than it can be.
                    let age = asked_at.since(loaded_at).min(self.options.oldest_shared());
                    return Ok(Found {
                        loaded: Loaded { value, version: cached.version },
                        age,
                        is_newest: true,
                    });
                }
                // Written by a program with another idea of the values.
                None => {
                    self.counters.shared_failures.add();
                    tracing::debug!(cache = %self.options.name, "a shared value cannot be read; it is loaded anew");
                }
            },
            Ok(None) => {}
            Err(error) => {
                is_there = false;
                self.is_away(&error);
            }
        }
        self.counters.loads.add();
        let (limit, loaded_at) = (self.options.load_timeout, self.clock.now());
        let loaded = tokio::time::timeout(limit, self.loader.load(key)).await.unwrap_or_else(|_| {
            let message = format!("nothing was loaded within {} ms", limit.as_millis());
            Err(Error::new(ErrorKind::Unavailable, message))
        })?;
        let found = |loaded, is_newest| Found { loaded, age: Duration::ZERO, is_newest };
        // Whoever waits for the value does not wait for a silent cache twice.
        if !is_there {
            return Ok(found(loaded, true));
        }
        let bytes = wire::bytes(loaded.value.as_ref(), loaded_at)?;
        let ttl =
            self.jittered(if loaded.value.is_some() { self.options.ttl } else { self.options.negative_ttl });
        let is_newest = match self.in_time(self.cache.set(&shared, bytes, loaded.version, ttl)).await {
            Ok(is_newest) => is_newest,
            Err(error) => {
                self.is_away(&error);
                true
            }
        };
        Ok(found(loaded, is_newest))
    }

    /// A call to the shared cache, which may take a quarter of what the loader may: without an answer it is away.
    pub(super) async fn in_time<T: Send>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let silent = |_| Err(Error::new(ErrorKind::Unavailable, "the shared cache does not answer"));
        tokio::time::timeout(self.options.call_timeout(), call).await.unwrap_or_else(silent)
    }

    fn is_away(&self, error: &Error) {
        self.counters.shared_failures.add();
        tracing::debug!(cache = %self.options.name, %error, "the shared cache did not answer");
    }

    fn copy(&self, value: Option<Arc<V>>, version: u64, asked_at: Duration, age: Duration) -> LocalCopy<V> {
        let options = &self.options;
        let ttl =
            if value.is_some() { options.local_ttl } else { options.local_ttl.min(options.negative_ttl) };
        let ttl = self.jittered(ttl);
        let (refresh_at, ends_at) = (asked_at + ttl / 4 * 3, asked_at + ttl);
        LocalCopy { value, version, asked_at, age, refresh_at, ends_at }
    }

    /// Up to a tenth less, so that what was loaded together does not end together.
    fn jittered(&self, ttl: Duration) -> Duration {
        let mut byte = [0];
        self.random.fill(&mut byte);
        ttl - ttl / 10 * u32::from(byte[0]) / 255
    }

    /// After a refresh failed: the copy stays until its end, and the next refresh waits.
    fn postpone(&self, key: &str) {
        if let Some(copy) = self.local.get(key) {
            let refresh_at = self.clock.elapsed() + PAUSE;
            self.local.insert(key.to_owned(), LocalCopy { refresh_at, ..copy });
        }
    }

    /// The oldest version that is not over: what this process was told, and what it has.
    fn floor(&self, key: &str) -> u64 {
        let told = self.floors.get(key).unwrap_or(0);
        self.local.get(key).map_or(told, |copy| told.max(copy.version))
    }

    pub(super) fn forget(&self, key: &str, version: u64) {
        self.flights.detach(key, || {
            // Who began after the first word of it has seen the new state.
            let is_news = self.floors.get(key).is_none_or(|told| told < version);
            if is_news {
                self.floors.insert(key.to_owned(), version);
            }
            if self.local.get(key).is_some_and(|copy| copy.version < version) {
                self.local.invalidate(key);
            }
            is_news
        });
    }

    fn forget_all(&self) {
        self.flights.detach_all(|| self.local.invalidate_all());
    }
}

fn bounded<T: Clone + Send + Sync + 'static>(
    entries: u64,
) -> CacheBuilder<String, T, moka::sync::Cache<String, T>> {
    moka::sync::Cache::builder().max_capacity(entries)
}

/// Forgets what messages say, and everything where some may have been missed.
pub(super) async fn listen<V: Serialize + DeserializeOwned + Send + Sync + 'static>(state: Arc<State<V>>) {
    let mut was_refused = false;
    loop {
        match state.cache.subscribe(&state.options.name).await {
            Ok(mut subscription) => {
                was_refused = false;
                // What was copied before the subscription may have changed since.
                state.forget_all();
                while let Some(message) = subscription.next().await {
                    let told = match message {
                        Message::Message(message) => wire::invalidated(&message),
                        Message::Lost => None,
                    };
                    if let Some((key, version)) = told {
                        state.counters.invalidations.add();
                        state.forget(&key, version);
                    } else {
                        state.counters.lost.add();
                        state.forget_all();
                    }
                }
            }
            Err(error) => {
                state.counters.shared_failures.add();
                if !was_refused {
                    let name = &state.options.name;
                    tracing::warn!(cache = %name, %error, "changes elsewhere are not heard of, for now");
                }
                was_refused = true;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
