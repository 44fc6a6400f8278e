//! How often what happened.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often what happened in a read-through cache since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadThroughCounts {
    /// Calls that a copy in this process answered.
    pub hits: u64,
    /// Calls that had to wait for a look-up.
    pub misses: u64,
    /// Look-ups that began behind a copy that was close to its end.
    pub refreshes: u64,
    /// Look-ups that the shared cache answered.
    pub shared_hits: u64,
    /// Look-ups that asked the loader.
    pub loads: u64,
    /// Look-ups that failed.
    pub failures: u64,
    /// Calls to the shared cache that failed.
    pub shared_failures: u64,
    /// Messages that invalidated a key.
    pub invalidations: u64,
    /// How often messages may have been missed, so that all copies were dropped.
    pub lost: u64,
    /// Copies in this process now, about.
    pub copies: u64,
}

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) refreshes: Counter,
    pub(super) shared_hits: Counter,
    pub(super) loads: Counter,
    pub(super) failures: Counter,
    pub(super) shared_failures: Counter,
    pub(super) invalidations: Counter,
    pub(super) lost: Counter,
}

impl Counters {
    pub(super) fn read(&self, copies: u64) -> ReadThroughCounts {
        ReadThroughCounts {
            hits: self.hits.read(),
            misses: self.misses.read(),
            refreshes: self.refreshes.read(),
            shared_hits: self.shared_hits.read(),
            loads: self.loads.read(),
            failures: self.failures.read(),
            shared_failures: self.shared_failures.read(),
            invalidations: self.invalidations.read(),
            lost: self.lost.read(),
            copies,
        }
    }
}
