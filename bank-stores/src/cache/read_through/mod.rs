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
//! | the shared cache is away | what the loader gives; copies in this process go on |
//! | the value is invalidated while it is loaded | callers from before get what was loaded, which is not kept; later callers load anew |
//!
//! **Staleness.** A change is seen by other processes when the message of [`ReadThrough::invalidate`] reaches them. Where messages are
//! lost, a copy in a process is at most [`local_ttl`](ReadThroughOptions::local_ttl) older than the shared value, which is at most
//! [`ttl`](ReadThroughOptions::ttl) older than the store. So never keep a balance here.
//!
//! Values are JSON in the shared cache, in the clear: a personal one is sealed by its own `Serialize`.

mod counts;
mod flights;
mod options;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;

pub use self::counts::ReadThroughCounts;
pub use self::options::ReadThroughOptions;

use self::counts::Counters;
use self::flights::{Flight, Flights};
use super::{Cache, Message};
use crate::{Clock, Error, ErrorKind, Random, Result, SystemClock, SystemRandom};

/// After a refresh failed the next one waits so long, and so does the next attempt to subscribe.
const PAUSE: Duration = Duration::from_secs(1);

/// Where values come from that are in no cache.
#[async_trait]
pub trait Load<V>: Send + Sync + 'static {
    /// The value of `key` as the store has it now, with its version there.
    async fn load(&self, key: &str) -> Result<Loaded<V>>;
}

/// What a loader found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<V> {
    value: Option<V>,
    version: u64,
}

impl<V> Loaded<V> {
    /// A value and its version in the store. Later states have greater versions.
    pub fn found(value: V, version: u64) -> Self {
        Self { value: Some(value), version }
    }

    /// There is none.
    pub fn nothing() -> Self {
        Self { value: None, version: 0 }
    }
}

/// A read-through cache of one kind of values. Clones share it.
pub struct ReadThrough<V> {
    state: Arc<State<V>>,
    /// Ends the task that receives messages with the last clone.
    _listener: Arc<Listener>,
}

impl<V> Clone for ReadThrough<V> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), _listener: Arc::clone(&self._listener) }
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

    /// The same with the clock and the randomness that are given.
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
        let state = Arc::new(State {
            cache,
            loader: Box::new(loader),
            local: moka::sync::Cache::new(options.local_capacity),
            options,
            flights: Flights::default(),
            counters: Counters::default(),
            clock,
            random,
        });
        let listener = tokio::spawn(listen(Arc::clone(&state)));
        Self { state, _listener: Arc::new(Listener(listener.abort_handle())) }
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
                if now >= copy.refresh_at && state.start(key).is_some() {
                    state.counters.refreshes.add();
                }
                return Ok(copy.value);
            }
        }
        state.counters.misses.add();
        state.join(key).outcome().await
    }

    /// Forgets states of `key` that are older than `version`, here, in the shared cache, and in the other processes.
    ///
    /// Call it after the change is committed. A caller that asks here afterwards gets the new state.
    ///
    /// # Errors
    /// Those of the shared cache: then others may go on with what they have until its time is over.
    pub async fn invalidate(&self, key: &str, version: u64) -> Result<()> {
        let state = &self.state;
        state.forget(key, version);
        let removed = state.cache.remove(&state.shared_key(key), version, state.options.ttl).await;
        // Somebody may have taken an old state from the shared cache before it was removed there.
        state.forget(key, version);
        let told = state.cache.publish(&state.options.name, wire::message(key, version)).await;
        removed.and(told)
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
    fn shared_key(&self, key: &str) -> String {
        format!("{}/{key}", self.options.name)
    }

    /// The look-up of the key that is under way, or one that begins now.
    fn join(self: &Arc<Self>, key: &str) -> Flight<V> {
        let (flight, begun) = self.flights.join(key);
        if let Some(begun) = begun {
            tokio::spawn(Arc::clone(self).look_up(begun));
        }
        flight
    }

    /// Begins a look-up, if none is under way.
    fn start(self: &Arc<Self>, key: &str) -> Option<()> {
        let begun = self.flights.join(key).1?;
        tokio::spawn(Arc::clone(self).look_up(begun));
        Some(())
    }

    /// Asks the shared cache, and then the loader. What is found is kept if nobody invalidated the key meanwhile.
    async fn look_up(self: Arc<Self>, begun: flights::Begun<V>) {
        let limit = self.options.load_timeout;
        let found = tokio::time::timeout(limit, self.find(&begun.key)).await.unwrap_or_else(|_| {
            let message = format!("nothing was loaded within {} ms", limit.as_millis());
            Err(Error::new(ErrorKind::Unavailable, message))
        });
        match found {
            Ok((found, keep)) => {
                let value = found.value.map(Arc::new);
                let copy = keep.then(|| self.copy(value.clone(), found.version));
                self.flights.land(begun, Ok(value), |key| {
                    if let Some(copy) = copy {
                        self.local.insert(key.to_owned(), copy);
                    }
                });
            }
            Err(error) => {
                self.counters.failures.add();
                self.flights.land(begun, Err(error), |key| self.postpone(key));
            }
        }
    }

    /// What the shared cache or the loader has, and whether it may be kept: not where a newer state is known already.
    async fn find(&self, key: &str) -> Result<(Loaded<V>, bool)> {
        let shared = self.shared_key(key);
        match self.cache.get(&shared).await {
            Ok(Some(cached)) => match wire::value(&cached.value) {
                Some(value) => {
                    self.counters.shared_hits.add();
                    return Ok((Loaded { value, version: cached.version }, true));
                }
                // Written by a program with another idea of the values.
                None => {
                    tracing::warn!(cache = %self.options.name, "a shared value cannot be read; it is loaded anew")
                }
            },
            Ok(None) => {}
            Err(error) => self.is_away(&error),
        }
        self.counters.loads.add();
        let loaded = self.loader.load(key).await?;
        let bytes = wire::bytes(loaded.value.as_ref())?;
        let ttl =
            self.jittered(if loaded.value.is_some() { self.options.ttl } else { self.options.negative_ttl });
        let newest = match self.cache.set(&shared, bytes, loaded.version, ttl).await {
            Ok(newest) => newest,
            Err(error) => {
                self.is_away(&error);
                true
            }
        };
        Ok((loaded, newest))
    }

    fn is_away(&self, error: &Error) {
        self.counters.shared_failures.add();
        tracing::debug!(cache = %self.options.name, %error, "the shared cache did not answer");
    }

    fn copy(&self, value: Option<Arc<V>>, version: u64) -> LocalCopy<V> {
        let options = &self.options;
        let ttl =
            if value.is_some() { options.local_ttl } else { options.local_ttl.min(options.negative_ttl) };
        let ttl = self.jittered(ttl);
        let now = self.clock.elapsed();
        LocalCopy { value, version, refresh_at: now + ttl / 4 * 3, ends_at: now + ttl }
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

    fn forget(&self, key: &str, version: u64) {
        self.flights.detach(key, || {
            if self.local.get(key).is_some_and(|copy| copy.version < version) {
                self.local.invalidate(key);
            }
        });
    }

    fn forget_all(&self) {
        self.flights.detach_all(|| self.local.invalidate_all());
    }
}

/// Forgets what messages say, and everything where some may have been missed.
async fn listen<V: Serialize + DeserializeOwned + Send + Sync + 'static>(state: Arc<State<V>>) {
    loop {
        if let Ok(mut subscription) = state.cache.subscribe(&state.options.name).await {
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
        tokio::time::sleep(PAUSE).await;
    }
}
