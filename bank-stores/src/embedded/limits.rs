//! Limits in this process's memory.

use std::sync::Arc;

use async_trait::async_trait;

use crate::limit::{Charge, LimitScope, LimitTable, Limits, NamedCharge, Verdict, check};
use crate::{Clock, Result, SystemClock};

/// Limits in this process's memory, in a bounded table; see [`limit`](crate::limit) for what happens when it is full.
#[derive(Debug)]
pub struct MemoryLimits {
    table: LimitTable,
    scope: LimitScope,
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
        // Buckets fill by time that passes, which nobody can set: a clock may go back.
        let now = u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Ok(self.table.take(now, &charges).verdicts().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Rate;
    use crate::{ManualClock, Timestamp};
    use std::num::NonZeroU32;
    use std::time::Duration;

    #[tokio::test]
    async fn a_clock_that_is_set_neither_locks_out_nor_refills() {
        let clock = ManualClock::at(Timestamp::from_seconds(1_000));
        let limits = MemoryLimits::new().clock(Arc::new(clock.clone()));
        let rate = Rate::per_second(NonZeroU32::new(2).unwrap());
        let charge = [NamedCharge::new("k", rate, 1)];
        for (at, allowed) in [(1_000, true), (10, true), (10, false), (1_001, false)] {
            clock.set(Timestamp::from_seconds(at));
            assert_eq!(limits.take("g", &charge).await.unwrap()[0].allowed, allowed, "{at}");
        }
        clock.set(Timestamp::from_seconds(10));
        // A second passes, in which a caller gets two: it is 11 now.
        clock.advance(Duration::from_secs(1));
        for allowed in [true, true, false] {
            assert_eq!(limits.take("g", &charge).await.unwrap()[0].allowed, allowed);
        }
    }
}
