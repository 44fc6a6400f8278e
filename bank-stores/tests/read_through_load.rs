//! What a read-through cache spares its store under the load of a bank: few customers are asked for often, many now and then.
//!
//! Customers are read by Zipf's law with the exponent 1: the one of rank *r* as often as 1/*r*. Of 100,000 customers 300,000 reads ask
//! for 48,000 different ones, so that a process that starts with nothing waits for 16 % of them at least, whatever it keeps.

#![cfg(all(feature = "embedded", feature = "read-through"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::cache::{Load, Loaded, ReadThrough, ReadThroughOptions};
use bank_stores::embedded::MemoryCache;
use bank_stores::{Cache as _, Clock as _, ManualClock, Result, SystemRandom};

const CUSTOMERS: u64 = 100_000;
const READS: u64 = 300_000;
const READERS: u64 = 4;
/// Half of the customers.
const COPIES: u64 = 50_000;
/// As many as other copies of the program have read before, by and by.
const SHARED_BEFORE: u64 = 60_000;
const LOCAL: Duration = Duration::from_secs(600);
const SHARED: Duration = Duration::from_secs(1_200);

/// Profiles, each with the version that all of them have now.
#[derive(Clone)]
struct Profiles {
    version: Arc<AtomicU64>,
    loads: Arc<AtomicU64>,
}

impl Profiles {
    fn at(version: u64) -> Self {
        Self { version: Arc::new(AtomicU64::new(version)), loads: Arc::default() }
    }
}

#[async_trait]
impl Load<String> for Profiles {
    async fn load(&self, key: &str) -> Result<Loaded<String>> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let version = self.version.load(Ordering::SeqCst);
        Ok(Loaded::found(profile(key, version), version))
    }
}

fn profile(key: &str, version: u64) -> String {
    format!("profile {version} of {key}")
}

fn key(rank: u64) -> String {
    format!("cus_{rank:06}")
}

/// Ranks by Zipf's law, the same ones each time (SplitMix64).
struct Zipf {
    /// Up to each rank, how often it or one before it is asked for.
    up_to: Vec<u64>,
    state: u64,
}

impl Zipf {
    fn new(seed: u64) -> Self {
        let up_to = (1..=CUSTOMERS).scan(0, |sum, rank| {
            *sum += (1_u64 << 40) / rank;
            Some(*sum)
        });
        Self { up_to: up_to.collect(), state: seed }
    }

    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let point = (mixed ^ (mixed >> 31)) % self.up_to.last().unwrap();
        self.up_to.partition_point(|up_to| *up_to <= point) as u64 + 1
    }
}

#[test]
fn the_first_customers_are_asked_for_as_zipf_says() {
    let mut zipf = Zipf::new(0);
    let first = (0..100_000).filter(|_| zipf.draw() == 1).count();
    // One in 12.09, which is the sum of 1/r.
    assert!((7_900..8_650).contains(&first), "{first}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn most_reads_are_hits_few_are_loads_and_nothing_is_older_than_was_said() {
    let (clock, store) = (ManualClock::default(), Profiles::at(1));
    let cache = Arc::new(MemoryCache::with_capacity(32 * 1_024 * 1_024).clock(Arc::new(clock.clone())));
    for rank in 1..=SHARED_BEFORE {
        let value = format!("v{} \"{}\"", clock.now().micros(), profile(&key(rank), 1));
        cache.set(&format!("profiles/{}", key(rank)), value.into(), 1, SHARED).await.unwrap();
    }
    let options = ReadThroughOptions::new("profiles").unwrap().local_ttl(LOCAL).unwrap().ttl(SHARED).unwrap();
    let profiles = ReadThrough::with_sources(
        cache,
        store.clone(),
        options.local_capacity(COPIES),
        Arc::new(clock.clone()),
        Arc::new(SystemRandom::new()),
    );
    // The task that hears of changes drops all copies when it begins.
    while profiles.counts().invalidations == 0 {
        profiles.invalidate("nobody", 0).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let (profiles, clock) = (profiles.clone(), clock.clone());
            tokio::spawn(async move {
                let mut zipf = Zipf::new(reader);
                for read in 0..READS / READERS {
                    // All of them read 3,000 a second.
                    if reader == 0 && read % 750 == 0 {
                        clock.advance(Duration::from_secs(1));
                    }
                    let key = key(zipf.draw());
                    assert_eq!(*profiles.get_or_load(&key).await.unwrap().unwrap(), profile(&key, 1));
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    let counts = profiles.counts();
    assert_eq!(counts.loads, store.loads.load(Ordering::SeqCst));
    assert_eq!(counts.hits + counts.misses, READS);
    assert!(counts.hits * 100 >= READS * 80, "in this process: {counts:?}");
    assert!((counts.hits + counts.shared_hits) * 100 >= READS * 95, "in one of both: {counts:?}");
    assert!(counts.loads * 10 <= READS, "{counts:?}");
    assert!(counts.copies <= COPIES + COPIES / 10, "{counts:?}");
    // Nothing was invalidated in these 100 seconds: the first customer's profile is as old.
    assert!(counts.oldest_served >= Duration::from_secs(90), "{counts:?}");
    assert!(counts.oldest_served <= counts.staleness_bound, "{counts:?}");

    // All profiles change, and nobody says so: an old one is shown, but not after both times.
    store.version.store(2, Ordering::SeqCst);
    let read = async |rank| profiles.get_or_load(&key(rank)).await.unwrap().unwrap();
    assert_eq!(*read(1).await, profile(&key(1), 1));
    clock.advance(LOCAL + SHARED);
    for rank in 1..=1_000 {
        assert_eq!(*read(rank).await, profile(&key(rank), 2));
    }
    let counts = profiles.counts();
    assert!(counts.oldest_served <= counts.staleness_bound, "{counts:?}");
}
