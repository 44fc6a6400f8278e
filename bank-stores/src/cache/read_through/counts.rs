//! How often what happened, and how old what was served is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::oldest::OldestServed;

/// How often what happened in a read-through cache since it was made, and how old what it serves is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadThroughCounts {
    /// Calls that a copy in this process answered.
    pub hits: u64,
    /// Those of the hits that said that there is nothing.
    pub negative_hits: u64,
    /// Calls that had to wait for a look-up.
    pub misses: u64,
    /// Look-ups that began behind a copy that was close to its end.
    pub refreshes: u64,
    /// Look-ups that the shared cache answered.
    pub shared_hits: u64,
    /// Look-ups that asked the loader.
    pub loads: u64,
    /// Look-ups that failed. That the loader finds nothing is no failure, also where it says so by an error (`NotFound`).
    pub failures: u64,
    /// Calls to the shared cache that failed.
    pub shared_failures: u64,
    /// Messages that invalidated a key.
    pub invalidations: u64,
    /// How often messages may have been missed, so that all copies were dropped.
    pub lost: u64,
    /// Copies in this process now, about.
    pub copies: u64,
    /// How old the oldest value was that was served in the last five minutes, from when its loader was asked for it to when it was
    /// handed out. In a value that another process put into the shared cache its clock counts; it is taken for no older than the
    /// shared cache can hold it.
    pub oldest_served: Duration,
    /// How old a value may be at most when it is served: the two times and what look-ups take, added. Where an invalidation and its
    /// message arrive, it is much younger. What a loader itself serves from a cache is older by that.
    pub staleness_bound: Duration,
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
    pub(super) negative_hits: Counter,
    pub(super) misses: Counter,
    pub(super) refreshes: Counter,
    pub(super) shared_hits: Counter,
    pub(super) loads: Counter,
    pub(super) failures: Counter,
    pub(super) shared_failures: Counter,
    pub(super) invalidations: Counter,
    pub(super) lost: Counter,
    pub(super) oldest: OldestServed,
}

impl Counters {
    /// What was counted up to `now`, by the clock's elapsed time.
    pub(super) fn read(&self, now: Duration, copies: u64, staleness_bound: Duration) -> ReadThroughCounts {
        ReadThroughCounts {
            hits: self.hits.read(),
            negative_hits: self.negative_hits.read(),
            misses: self.misses.read(),
            refreshes: self.refreshes.read(),
            shared_hits: self.shared_hits.read(),
            loads: self.loads.read(),
            failures: self.failures.read(),
            shared_failures: self.shared_failures.read(),
            invalidations: self.invalidations.read(),
            lost: self.lost.read(),
            copies,
            oldest_served: self.oldest.read(now),
            staleness_bound,
        }
    }
}
