//! Caches, each broken in one way.

use std::time::Duration;

use async_trait::async_trait;
use bank_stores::cache::{Cached, Message, Messages, Subscription};
use bank_stores::embedded::MemoryCache;
use bank_stores::{Cache, Result, conformance};
use bytes::Bytes;

use super::{Running, assert_all_broken, caught};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Compares versions as floating point numbers.
    RoundsVersions,
    /// Forgets the version of what it removes.
    ForgetsRemovals,
    /// Removes what is newer, too.
    RemovesTheNewer,
    /// Values never end.
    NeverEnds,
    /// Looks for the version first and sets later.
    LooksThenSets,
    /// Every channel is one.
    OneChannel,
    /// Tells a version that it was not set with.
    TellsAnotherVersion,
    /// Loses each second message, and tells nobody.
    LosesMessages,
}

#[derive(Debug)]
struct Broken {
    inner: MemoryCache,
    fault: Fault,
}

/// What Lua makes of it.
fn rounded(version: u64) -> u64 {
    match 64 - version.leading_zeros() {
        bits @ 54.. => version >> (bits - 53) << (bits - 53),
        _ => version,
    }
}

#[async_trait]
impl Cache for Broken {
    async fn get(&self, key: &str) -> Result<Option<Cached>> {
        let held = self.inner.get(key).await?;
        Ok(match self.fault {
            Fault::TellsAnotherVersion => held.map(|held| Cached::new(held.value, held.version + 1)),
            _ => held,
        })
    }

    async fn set(&self, key: &str, value: Bytes, version: u64, ttl: Duration) -> Result<bool> {
        match self.fault {
            Fault::RoundsVersions => self.inner.set(key, value, rounded(version), ttl).await,
            Fault::NeverEnds => self.inner.set(key, value, version, ttl * 1_000).await,
            Fault::LooksThenSets => {
                let held = self.inner.get(key).await?;
                tokio::time::sleep(Duration::from_millis(1 + version % 3)).await;
                if held.is_some_and(|held| held.version > version) {
                    return Ok(false);
                }
                // What was seen is believed, whoever came between.
                self.inner.remove(key, u64::MAX, Duration::ZERO).await?;
                self.inner.set(key, value, version, ttl).await
            }
            _ => self.inner.set(key, value, version, ttl).await,
        }
    }

    async fn remove(&self, key: &str, version: u64, ttl: Duration) -> Result<()> {
        match self.fault {
            Fault::ForgetsRemovals => self.inner.remove(key, version, Duration::ZERO).await,
            Fault::RemovesTheNewer => {
                self.inner.remove(key, u64::MAX, Duration::from_nanos(1)).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.inner.remove(key, version, ttl).await
            }
            _ => self.inner.remove(key, version, ttl).await,
        }
    }

    async fn publish(&self, channel: &str, message: Bytes) -> Result<()> {
        let channel = if self.fault == Fault::OneChannel { "c" } else { channel };
        self.inner.publish(channel, message).await
    }

    async fn subscribe(&self, channel: &str) -> Result<Subscription> {
        let subscription = self.inner.subscribe(channel).await?;
        Ok(match self.fault {
            Fault::LosesMessages => Subscription::new(Lossy(subscription)),
            _ => subscription,
        })
    }
}

struct Lossy(Subscription);

#[async_trait]
impl Messages for Lossy {
    async fn next(&mut self) -> Option<Message> {
        self.0.next().await;
        self.0.next().await
    }
}

type Promise = fn(&dyn Cache) -> Running<'_>;

macro_rules! faults {
    ($($fault:ident $promise:ident)*) => {
        const FAULTS: &[(Fault, &str, Promise)] = &[$((Fault::$fault, stringify!($promise), {
            fn promise(cache: &dyn Cache) -> Running<'_> {
                Box::pin(conformance::cache::$promise(cache))
            }
            promise
        })),*];
    };
}

faults! {
    RoundsVersions an_older_version_never_overwrites
    ForgetsRemovals what_was_removed_stays_so
    RemovesTheNewer what_was_removed_stays_so
    NeverEnds values_end_with_their_time
    LooksThenSets the_newest_of_racing_versions_stays
    OneChannel messages_reach_who_subscribed
    LosesMessages messages_reach_who_subscribed
    TellsAnotherVersion random_calls_match_the_model
}

async fn found(fault: Fault, promise: Promise) -> bool {
    let store = Broken { inner: MemoryCache::new(), fault };
    caught(async move { promise(&store).await }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_a_cache_is_caught_and_a_sound_one_is_not() {
    for (fault, name, promise) in FAULTS {
        assert!(found(*fault, *promise).await, "{fault:?} went unnoticed by {name}");
        assert!(!found(Fault::None, *promise).await, "a sound cache was blamed by {name}");
    }
}

#[test]
fn each_promise_of_a_cache_has_one_that_breaks_it() {
    assert_all_broken("cache", &FAULTS.iter().map(|(_, name, _)| *name).collect::<Vec<_>>());
}
