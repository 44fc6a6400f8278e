//! Values that are claimed once: nonces, replay protection, leases.
//!
//! ```
//! # #[cfg(feature = "embedded")]
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use bank_stores::Once;
//! use bank_stores::embedded::MemoryOnce;
//! use bank_stores::once::Strength;
//! use std::time::Duration;
//!
//! let (once, hour) = (MemoryOnce::new(), Duration::from_secs(3_600));
//! assert_eq!(once.claim("nonce:1", "call 7".into(), hour).await?, None);
//! // The reply was lost, and the call is sent again: the value it is held with is its own.
//! assert_eq!(once.claim("nonce:1", "call 7".into(), hour).await?.unwrap(), "call 7");
//! // Somebody else's call is a replay.
//! assert_ne!(once.claim("nonce:1", "call 8".into(), hour).await?.unwrap(), "call 8");
//! assert!(once.strength() < Strength::Durable); // Not for a guard of money.
//! # Ok::<(), bank_stores::Error>(())
//! # }).unwrap();
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::items::{Change, Condition, Key, Settled, Transaction, WriteId};
use crate::{
    Clock, Consistency, Error, ErrorKind, Items, ItemsExt, Random, Result, SystemClock, SystemRandom, random,
};

/// The longest key, in bytes.
pub const MAX_KEY: usize = 256;
/// The largest value, in bytes.
pub const MAX_VALUE: usize = 4_096;

/// What a claim outlives. The order is that of strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Strength {
    /// Nothing: it is in one process's memory.
    Process,
    /// Processes, and not a failover of the store to a copy that did not know of it yet.
    UnlessFailover,
    /// Whatever the store's transactions outlive.
    Durable,
}

/// Keys that are claimed by one for a time. Nothing is forgotten before its time.
#[async_trait]
pub trait Once: fmt::Debug + Send + Sync + 'static {
    /// Claims `key` for `ttl`. `None`: claimed now. Otherwise the value that it is held with: the caller's own where an earlier
    /// reply was lost, so give each caller a value of its own.
    ///
    /// `Unavailable` when there is no room.
    async fn claim(&self, key: &str, value: Bytes, ttl: Duration) -> Result<Option<Bytes>>;

    /// Releases the key, if it is held with this value; says whether it was.
    async fn release(&self, key: &str, value: &[u8]) -> Result<bool>;

    /// What a claim outlives. A guard for money demands [`Strength::Durable`].
    fn strength(&self) -> Strength;
}

/// Checks the form of a claim; adapters call it first.
pub fn check(key: &str, value: &[u8]) -> Result<()> {
    if !(1..=MAX_KEY).contains(&key.len()) || key.contains('\0') {
        return Err(Error::invalid("key", format!("1 to {MAX_KEY} bytes without NUL")));
    }
    if value.len() > MAX_VALUE {
        return Err(Error::invalid("value", format!("at most {MAX_VALUE} bytes, not {}", value.len())));
    }
    Ok(())
}

/// Over so many partitions keys are spread, so that none of them is hot.
const PARTITIONS: u8 = 64;
/// A key may expire or be released between two looks; after so many times something else is wrong.
const TRIES: usize = 4;

/// Claims that are items: as durable as their store.
///
/// A claim ends when the store takes its item for expired. Of a clock that is set ahead, the embedded store believes an hour; beyond
/// it, a claim that looks expired is `Unavailable` until the clock is right again.
#[derive(Clone, Debug)]
pub struct ItemsOnce {
    items: Arc<dyn Items>,
    name: String,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl ItemsOnce {
    /// Claims in `items`, in partitions whose names begin with `name`.
    pub fn new(items: Arc<dyn Items>, name: impl Into<String>) -> Self {
        let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom::new()));
        Self { items, name: name.into(), clock, random }
    }

    /// Where the time comes from, which has to be that of the items; the system's clock otherwise.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn key(&self, key: &str) -> Key {
        let shard = Sha256::digest(key.as_bytes())[0] % PARTITIONS;
        Key::new(format!("{}#{shard:02}", self.name), key)
    }

    /// Whether the change happened; `None` where its condition did not hold.
    async fn change(&self, change: Change) -> Result<Option<()>> {
        let id: WriteId = random::id(&*self.random, "once_").into();
        match self.items.commit_one(Transaction::new(&id).change(change)).await {
            Ok(_) => Ok(Some(())),
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Conflict) => Ok(None),
            Err(error) if error.kind() == ErrorKind::Indeterminate => match self.items.settle(&id).await {
                Ok(Settled::Committed(_)) => Ok(Some(())),
                Ok(Settled::Never) => {
                    Err(Error::new(ErrorKind::Unavailable, "the claim got lost, and did not happen"))
                }
                Err(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Once for ItemsOnce {
    async fn claim(&self, key: &str, value: Bytes, ttl: Duration) -> Result<Option<Bytes>> {
        check(key, &value)?;
        let key = self.key(key);
        for _ in 0..TRIES {
            let put = Change::put_bytes(key.clone(), value.clone())
                .when(Condition::Absent)
                .expires_at(self.clock.now().saturating_add(ttl));
            if self.change(put).await?.is_some() {
                return Ok(None);
            }
            if let Some(held) = self.items.get(&key, Consistency::Current).await? {
                return Ok(Some(held.value));
            }
        }
        let message = "the key is claimed and released all the time, or the clock was set ahead";
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    async fn release(&self, key: &str, value: &[u8]) -> Result<bool> {
        check(key, value)?;
        let key = self.key(key);
        match self.items.get(&key, Consistency::Current).await? {
            Some(held) if held.value == value => {
                // Where it is another version by now, it was released or has expired.
                let delete = Change::delete(key).when(Condition::Version(held.version));
                Ok(self.change(delete).await?.is_some())
            }
            _ => Ok(false),
        }
    }

    fn strength(&self) -> Strength {
        Strength::Durable
    }
}
