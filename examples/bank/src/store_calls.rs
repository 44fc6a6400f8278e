//! What the stores of this process are asked, what its caches spare them, and how far its consumers are behind: counted, for the admin
//! listener, and traced.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bank_stores::cache::CacheMetrics;
use bank_stores::observed::{CallCounts, Observed};
use bank_stores::{Cache, Documents, Items, Ledger, Limits};
use partners::Lag;

/// The counts of all stores of this process, and of what stands before and behind them. Each store is named after the part whose data it
/// has.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreCalls {
    counts: Arc<CallCounts>,
    /// The read-through caches of this process.
    pub(crate) caches: CacheMetrics,
    /// Of the one consumer that there is, where it is in this process.
    lag: Arc<OnceLock<Lag>>,
}

impl StoreCalls {
    pub(crate) fn ledger(&self, store: &'static str, ledger: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        Arc::new(self.observed(store, ledger))
    }

    pub(crate) fn items(&self, store: &'static str, items: Arc<dyn Items>) -> Arc<dyn Items> {
        Arc::new(self.observed(store, items))
    }

    pub(crate) fn documents(&self, store: &'static str, documents: Arc<dyn Documents>) -> Arc<dyn Documents> {
        Arc::new(self.observed(store, documents))
    }

    pub(crate) fn cache(&self, store: &'static str, cache: Arc<dyn Cache>) -> Arc<dyn Cache> {
        Arc::new(self.observed(store, cache))
    }

    pub(crate) fn limits(&self, store: &'static str, limits: Arc<dyn Limits>) -> Arc<dyn Limits> {
        Arc::new(self.observed(store, limits))
    }

    /// Shows how far partners are behind.
    pub(crate) fn follows(&self, lag: Lag) {
        // There is one in a process.
        let _ = self.lag.set(lag);
    }

    /// The lines for `/metrics`.
    pub(crate) fn render(&self) -> String {
        let lag = self.lag.get().map(Lag::render).unwrap_or_default();
        [self.counts.render(), self.caches.render(), lag].concat()
    }

    /// Writes what caches and consumers count to the log, for ever: for a process that nobody scrapes.
    pub(crate) async fn log(self, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            for (cache, counts) in self.caches.counts() {
                tracing::info!(
                    cache,
                    hits = counts.hits,
                    misses = counts.misses,
                    shared_hits = counts.shared_hits,
                    loads = counts.loads,
                    failures = counts.failures,
                    entries = counts.copies,
                    oldest_served = ?counts.oldest_served,
                    staleness_bound = ?counts.staleness_bound,
                    "a cache"
                );
            }
            for (source, lag) in self.lag.get().map(Lag::behind).unwrap_or_default() {
                tracing::info!(source, ?lag, "behind the events");
            }
        }
    }

    fn observed<R: ?Sized>(&self, store: &'static str, inner: Arc<R>) -> Observed<R> {
        Observed::new(inner, store, self.counts.clone())
    }
}
