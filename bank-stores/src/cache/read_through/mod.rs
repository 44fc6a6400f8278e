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
//! [`ttl`](ReadThroughOptions::ttl), and what the look-up took, older than the store. So never keep a balance here. How old what was served
//! really was, and that bound, are in [`ReadThrough::counts`].
//!
//! Values are JSON in the shared cache, in the clear: a personal one is sealed by its own `Serialize`. Programs that read each other's
//! values wrongly use different names.

mod alone;
mod counts;
mod flights;
mod metrics;
mod oldest;
mod options;
mod state;
mod wire;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;

pub use self::counts::ReadThroughCounts;
pub use self::metrics::CacheMetrics;
pub use self::options::ReadThroughOptions;

use self::state::{State, listen};
use super::Cache;
use crate::{Clock, Error, ErrorKind, Random, Result, SystemClock, SystemRandom};

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
        Self { state: State::new(None, loader, options, clock, random), _listener: None }
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
        let state = State::new(Some(cache), loader, options, clock, random);
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
        if let Some(copy) = state.copy_of(key) {
            return Ok(copy.value);
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

    /// How often what happened since this was made, and how old what it serves is. [`CacheMetrics`] shows it to Prometheus.
    pub fn counts(&self) -> ReadThroughCounts {
        self.state.counts()
    }
}

impl<V> fmt::Debug for ReadThrough<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadThrough").field("options", &self.state.options).finish_non_exhaustive()
    }
}
