//! Claims, each broken in one way.

use std::time::Duration;

use async_trait::async_trait;
use bank_stores::embedded::MemoryOnce;
use bank_stores::once::{Once, Strength};
use bank_stores::{Result, conformance};
use bytes::Bytes;

use super::{Running, assert_all_broken, caught};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Looks first and claims later.
    LooksThenClaims,
    /// Says that a key is held, and gives the caller's value.
    TellsTheCallersValue,
    /// Forgets at once, as a store that evicts what it has no room for.
    Forgets,
    /// Anybody releases.
    ReleasesForAnybody,
    /// Claims never end.
    NeverEnds,
    /// Takes any key and value.
    TakesAnything,
}

#[derive(Debug)]
struct Broken {
    inner: MemoryOnce,
    fault: Fault,
}

#[async_trait]
impl Once for Broken {
    async fn claim(&self, key: &str, value: Bytes, ttl: Duration) -> Result<Option<Bytes>> {
        match self.fault {
            Fault::LooksThenClaims => {
                let probe = Bytes::from_static(b"probe");
                let held = self.inner.claim(key, probe.clone(), ttl).await?;
                if held.is_none() {
                    self.inner.release(key, &probe).await?;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.inner.claim(key, value, ttl).await?;
                Ok(held)
            }
            Fault::TellsTheCallersValue => {
                let told = value.clone();
                Ok(self.inner.claim(key, value, ttl).await?.map(|_| told))
            }
            Fault::Forgets => {
                let held = self.inner.claim(key, value.clone(), ttl).await?;
                self.inner.release(key, &value).await?;
                Ok(held)
            }
            Fault::NeverEnds => self.inner.claim(key, value, ttl * 1_000).await,
            Fault::TakesAnything => {
                let key: String = format!("k{key}").chars().take(100).collect();
                self.inner.claim(&key, value.slice(..value.len().min(100)), ttl).await
            }
            _ => self.inner.claim(key, value, ttl).await,
        }
    }

    async fn release(&self, key: &str, value: &[u8]) -> Result<bool> {
        if self.fault == Fault::ReleasesForAnybody
            && let Some(held) = self.inner.claim(key, Bytes::new(), Duration::from_secs(1)).await?
        {
            return self.inner.release(key, &held).await;
        }
        self.inner.release(key, value).await
    }

    fn strength(&self) -> Strength {
        self.inner.strength()
    }
}

type Promise = fn(&dyn Once) -> Running<'_>;

macro_rules! faults {
    ($($fault:ident $promise:ident)*) => {
        const FAULTS: &[(Fault, &str, Promise)] = &[$((Fault::$fault, stringify!($promise), {
            fn promise(once: &dyn Once) -> Running<'_> {
                Box::pin(conformance::once::$promise(once))
            }
            promise
        })),*];
    };
}

faults! {
    LooksThenClaims a_key_is_claimed_by_one_racer
    TellsTheCallersValue a_claim_may_be_sent_again
    Forgets a_claim_may_be_sent_again
    ReleasesForAnybody only_the_holder_releases
    NeverEnds a_claim_ends_with_its_time
    TakesAnything bad_claims_are_refused_and_named
    ReleasesForAnybody random_claims_match_the_model
}

async fn found(fault: Fault, promise: Promise) -> bool {
    let store = Broken { inner: MemoryOnce::new(), fault };
    caught(async move { promise(&store).await }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_claims_is_caught_and_sound_ones_are_not() {
    for (fault, name, promise) in FAULTS {
        assert!(found(*fault, *promise).await, "{fault:?} went unnoticed by {name}");
        assert!(!found(Fault::None, *promise).await, "sound claims were blamed by {name}");
    }
}

#[test]
fn each_promise_of_claims_has_a_store_that_breaks_it() {
    assert_all_broken("once", &FAULTS.iter().map(|(_, name, _)| *name).collect::<Vec<_>>());
}
