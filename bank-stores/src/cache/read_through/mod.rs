//! A read-through cache in two levels: copies in this process, and a [`Cache`] that processes share.
//!
//! ```
//! # #[cfg(feature = "embedded")]
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use bank_stores::Result;
//! use bank_stores::cache::{Load, Loaded, ReadThrough, ReadThroughOptions};
//! use bank_stores::embedded::MemoryCache;
//!
//! struct Profiles;
//!
//! #[async_trait]
//! impl Load<String> for Profiles {
//!     async fn load(&self, key: &str) -> Result<Loaded<String>> {
//!         // This would be read from the store, with its version there.
//!         Ok(Loaded::found(format!("profile of {key}"), 7))
//!     }
//! }
//!
//! let options = ReadThroughOptions::new("profiles")?;
//! let profiles = ReadThrough::new(Arc::new(MemoryCache::new()), Profiles, options);
//! assert_eq!(*profiles.get_or_load("ann").await?.unwrap(), "profile of ann");
//!
//! // Whoever changes a profile says so, after the change is committed.
//! profiles.invalidate("ann", 8).await?;
//! assert_eq!(profiles.counts().copies, 0);
//! # Ok::<(), bank_stores::Error>(())
//! # }).unwrap();
//! ```
//!
//! | What happens | What the caller gets |
//! | --- | --- |
//! | a copy is in this process | the copy |
//! | the copy is close to its end | the copy; one refresh begins behind it |
//! | many callers miss one key | one look-up, whose outcome all of them get |
//! | the loader finds nothing | `None`, which is kept for a shorter time |
//! | the loader fails | its error, which is not kept |
//! | the shared cache is away, or does not answer | what the loader gives; copies in this process go on |
//! | the value is invalidated while it is loaded | callers from before get what was loaded, which is not kept; later callers load anew |
//!
//! **Staleness.** A change is seen by other processes when the message of [`ReadThrough::invalidate`] reaches them. Where messages are
//! lost, a copy in a process is at most [`local_ttl`](ReadThroughOptions::local_ttl) older than the shared value, and that at most
//! [`ttl`](ReadThroughOptions::ttl), and what the look-up took, older than the store. So never keep a balance here.
//!
//! Values are JSON in the shared cache, in the clear: a personal one is sealed by its own `Serialize`. Programs that read each other's
//! values wrongly use different names.

mod alone;
mod counts;
mod flights;
mod options;
mod wire;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use moka::policy::EvictionPolicy;
use moka::sync::CacheBuilder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;

pub use self::counts::ReadThroughCounts;
pub use self::options::ReadThroughOptions;

use self::counts::Counters;
use self::flights::{Flight, Flights};
use super::{Cache, Message};
use crate::{Clock, Error, ErrorKind, Random, Result, SystemClock, SystemRandom};

/// With less patience, an adapter could not tell a silent server from a slow one.
const SHORTEST: Duration = Duration::from_millis(100);
/// So many invalidated keys are remembered, at least.
const FLOORS: u64 = 1_000;
/// After a refresh failed the next one waits so long, and so does the next attempt to subscribe.
const PAUSE: Duration = Duration::from_secs(1);

/// Where values come from that are in no cache.
#[async_trait]
pub trait Load<V>: Send + Sync + 'static {
    /// The value of `key` as the store has it now, with its version there.
    async fn load(&self, key: &str) -> Result<Loaded<V>>;
}

/// What a loader found.
#[derive(Clone, PartialEq, Eq)]
pub struct Loaded<V> {
    value: Option<V>,
    version: u64,
}

impl<V> fmt::Debug for Loaded<V> {
    /// Without the value, which may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Loaded");
        debug.field("is_found", &self.value.is_some()).field("version", &self.version).finish()
    }
}

impl<V> Loaded<V> {
    /// A value and its version in the store. Later states have greater versions.
    pub fn found(value: V, version: u64) -> Self {
        Self { value: Some(value), version }
    }

    /// There is none, and the store knows no version of that: it never was, say.
    pub fn nothing() -> Self {
        Self::nothing_at(0)
    }

    /// There is none since this version, at which it was removed.
    pub fn nothing_at(version: u64) -> Self {
        Self { value: None, version }
    }
}

/// A read-through cache of one kind of values. Clones share it.
pub struct ReadThrough<V> {
    state: Arc<State<V>>,
    /// Ends the task that receives messages with the last clone; none where there is nobody else.
    _listener: Option<Arc<Listener>>,
}

impl<V> Clone for ReadThrough<V> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), _listener: self._listener.clone() }
    }
}

struct Listener(AbortHandle);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct State<V> {
    cache: Arc<dyn Cache>,
    loader: Box<dyn Load<V>>,
    options: ReadThroughOptions,
    local: moka::sync::Cache<String, LocalCopy<V>>,
    /// Before which version states of a key are over, as far as this process was told.
    floors: moka::sync::Cache<String, u64>,
    flights: Flights<V>,
    counters: Counters,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// A value in this process, by the clock's elapsed time.
struct LocalCopy<V> {
    value: Option<Arc<V>>,
    version: u64,
    refresh_at: Duration,
    ends_at: Duration,
}

impl<V> Clone for LocalCopy<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), ..*self }
    }
}

impl<V: Serialize + DeserializeOwned + Send + Sync + 'static> ReadThrough<V> {
    /// Values of `loader`, through `cache`. Processes that share the cache use the same name for the same kind of values.
    ///
    /// A task receives the messages that invalidate; it ends with the last clone of this.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(cache: Arc<dyn Cache>, loader: impl Load<V>, options: ReadThroughOptions) -> Self {
        Self::with_sources(
            cache,
            loader,
            options,
            Arc::new(SystemClock::new()),
            Arc::new(SystemRandom::new()),
        )
    }

    /// Values of `loader` in this process alone: no other process is told of what is invalidated here.
    pub fn local(loader: impl Load<V>, options: ReadThroughOptions) -> Self {
        let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom::new()));
        Self { state: State::new(Arc::new(alone::Alone), loader, options, clock, random), _listener: None }
    }

    /// As [`new`](Self::new), with the clock and the randomness that are given.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn with_sources(
        cache: Arc<dyn Cache>,
        loader: impl Load<V>,
        options: ReadThroughOptions,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let state = State::new(cache, loader, options, clock, random);
        let listener = tokio::spawn(listen(Arc::clone(&state)));
        Self { state, _listener: Some(Arc::new(Listener(listener.abort_handle()))) }
    }

    /// The value of `key`: a copy, or what is looked up now; `None` where there is none.
    ///
    /// Cancelling it ends no look-up that others wait for.
    ///
    /// # Errors
    /// Those of the loader; `Unavailable` where it takes longer than [`ReadThroughOptions::load_timeout`].
    pub async fn get_or_load(&self, key: &str) -> Result<Option<Arc<V>>> {
        let state = &self.state;
        if let Some(copy) = state.local.get(key) {
            let now = state.clock.elapsed();
            if now < copy.ends_at {
                state.counters.hits.add();
                if now >= copy.refresh_at {
                    state.refresh(key);
                }
                return Ok(copy.value);
            }
        }
        state.counters.misses.add();
        state.join(key).outcome().await
    }

    /// Forgets states of `key` that are older than `version`, here, in the shared cache, and in the other processes.
    ///
    /// Call it after the change is committed. A caller that asks here afterwards gets the new state. Cancelling it leaves nothing
    /// undone.
    ///
    /// # Errors
    /// Those of the shared cache: then other processes may go on with what they have until its time is over.
    pub async fn invalidate(&self, key: &str, version: u64) -> Result<()> {
        self.state.forget(key, version);
        let (state, key) = (Arc::clone(&self.state), key.to_owned());
        let telling = tokio::spawn(async move {
            // Longer than a look-up of before may take to put an old state there.
            let ttl = state.options.ttl + state.options.load_timeout * 2;
            let removed = state.in_time(state.cache.remove(&state.shared_key(&key), version, ttl)).await;
            let told = state.cache.publish(&state.options.name, wire::message(&key, version));
            removed.and(state.in_time(told).await)
        });
        telling
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "the cache's adapter panicked")))
    }

    /// How often what happened since this was made.
    pub fn counts(&self) -> ReadThroughCounts {
        self.state.counters.read(self.state.local.entry_count())
    }
}

impl<V> fmt::Debug for ReadThrough<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadThrough").field("options", &self.state.options).finish_non_exhaustive()
    }
}

impl<V: Serialize + DeserializeOwned + Send + Sync + 'static> State<V> {
    fn new(
        cache: Arc<dyn Cache>,
        loader: impl Load<V>,
        options: ReadThroughOptions,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Arc<Self> {
        Arc::new(Self {
            cache,
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

    fn shared_key(&self, key: &str) -> String {
        format!("{}/{key}", self.options.name)
    }

    /// The look-up of the key that is under way, or one that begins now.
    fn join(self: &Arc<Self>, key: &str) -> Flight<V> {
        let (flight, begun) = self.flights.join(key, || {});
        if let Some(begun) = begun {
            tokio::spawn(Arc::clone(self).look_up(begun));
        }
        flight
    }

    /// Begins a look-up behind the copy, if none is under way. Callers that come next do not try.
    fn refresh(self: &Arc<Self>, key: &str) {
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

    /// Asks the shared cache, and then the loader. What is found is kept if nobody invalidated the key meanwhile.
    async fn look_up(self: Arc<Self>, begun: flights::Begun<V>) {
        // What was true then may be over when it is told.
        let asked_at = self.clock.elapsed();
        match self.find(&begun.key).await {
            Ok((found, newest)) => {
                let value = found.value.map(Arc::new);
                let copy = self.copy(value.clone(), found.version, asked_at);
                self.flights.land(begun, Ok(value), |key| {
                    if newest && found.version >= self.floor(key) {
                        self.local.insert(key.to_owned(), copy);
                    } else {
                        self.local.invalidate(key);
                    }
                });
            }
            Err(error) => {
                self.counters.failures.add();
                self.flights.land(begun, Err(error), |key| self.postpone(key));
            }
        }
    }

    /// What the shared cache or the loader has, and whether no newer state is known to the shared cache.
    async fn find(&self, key: &str) -> Result<(Loaded<V>, bool)> {
        let shared = self.shared_key(key);
        let mut is_there = true;
        match self.in_time(self.cache.get(&shared)).await {
            // It may have missed a removal, or have lost what was set.
            Ok(Some(cached)) if cached.version < self.floor(key) => {}
            Ok(Some(cached)) => match wire::value(&cached.value) {
                Some(value) => {
                    self.counters.shared_hits.add();
                    return Ok((Loaded { value, version: cached.version }, true));
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
        let limit = self.options.load_timeout;
        let loaded = tokio::time::timeout(limit, self.loader.load(key)).await.unwrap_or_else(|_| {
            let message = format!("nothing was loaded within {} ms", limit.as_millis());
            Err(Error::new(ErrorKind::Unavailable, message))
        })?;
        // Whoever waits for the value does not wait for a silent cache twice.
        if !is_there {
            return Ok((loaded, true));
        }
        let bytes = wire::bytes(loaded.value.as_ref())?;
        let ttl =
            self.jittered(if loaded.value.is_some() { self.options.ttl } else { self.options.negative_ttl });
        let newest = match self.in_time(self.cache.set(&shared, bytes, loaded.version, ttl)).await {
            Ok(newest) => newest,
            Err(error) => {
                self.is_away(&error);
                true
            }
        };
        Ok((loaded, newest))
    }

    /// A call to the shared cache, which may take a quarter of what the loader may: without an answer it is away.
    async fn in_time<T: Send>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let silent = |_| Err(Error::new(ErrorKind::Unavailable, "the shared cache does not answer"));
        let limit = (self.options.load_timeout / 4).max(SHORTEST);
        tokio::time::timeout(limit, call).await.unwrap_or_else(silent)
    }

    fn is_away(&self, error: &Error) {
        self.counters.shared_failures.add();
        tracing::debug!(cache = %self.options.name, %error, "the shared cache did not answer");
    }

    fn copy(&self, value: Option<Arc<V>>, version: u64, asked_at: Duration) -> LocalCopy<V> {
        let options = &self.options;
        let ttl =
            if value.is_some() { options.local_ttl } else { options.local_ttl.min(options.negative_ttl) };
        let ttl = self.jittered(ttl);
        LocalCopy { value, version, refresh_at: asked_at + ttl / 4 * 3, ends_at: asked_at + ttl }
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

    fn forget(&self, key: &str, version: u64) {
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
async fn listen<V: Serialize + DeserializeOwned + Send + Sync + 'static>(state: Arc<State<V>>) {
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
