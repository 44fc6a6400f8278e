//! Limits in this process's memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use crate::limit::{Charge, LimitScope, LimitTable, Limits, NamedCharge, Verdict, check};
use crate::{Clock, Result, SystemClock};

/// Limits in this process's memory, in a bounded table; see [`limit`](crate::limit) for what happens when it is full.
#[derive(Debug)]
pub struct MemoryLimits {
    table: LimitTable,
    scope: LimitScope,
    /// The latest time that was seen, in nanoseconds: buckets' time must not go back, and a clock may.
    latest: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl MemoryLimits {
    /// Room for 100,000 buckets.
    pub fn new() -> Self {
        Self::with_capacity(100_000)
    }

    /// Room for so many buckets.
    pub fn with_capacity(buckets: usize) -> Self {
        Self {
            table: LimitTable::new(buckets),
            scope: LimitScope::new("limits"),
            latest: AtomicU64::new(0),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Where the time comes from; the system's clock otherwise.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Limits for MemoryLimits {
    async fn take(&self, group: &str, charges: &[NamedCharge]) -> Result<Vec<Verdict>> {
        check(group, charges)?;
        let charge = |charge: &NamedCharge| Charge {
            key: self.scope.key(&[group.as_bytes(), charge.key.as_bytes()]),
            rate: charge.rate,
            cost: charge.cost,
        };
        let charges: Vec<Charge> = charges.iter().map(charge).collect();
        let now = u64::try_from(self.clock.now().micros()).unwrap_or(0).saturating_mul(1_000);
        let now = self.latest.fetch_max(now, Ordering::Relaxed).max(now);
        Ok(self.table.take(now, &charges).verdicts().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Rate;
    use crate::{ManualClock, Timestamp};
    use std::num::NonZeroU32;

    #[tokio::test]
    async fn a_clock_that_goes_back_locks_nobody_out() {
        let clock = ManualClock::at(Timestamp::from_seconds(1_000));
        let limits = MemoryLimits::new().clock(Arc::new(clock.clone()));
        let rate = Rate::per_second(NonZeroU32::new(2).unwrap());
        let charge = [NamedCharge::new("k", rate, 1)];
        for (at, allowed) in [(1_000, true), (10, true), (10, false), (1_001, true)] {
            clock.set(Timestamp::from_seconds(at));
            assert_eq!(limits.take("g", &charge).await.unwrap()[0].allowed, allowed, "{at}");
        }
    }
}
