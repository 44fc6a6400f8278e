//! How much is allowed in what time.

use std::num::NonZeroU32;
use std::time::Duration;

/// `limit` a `period` in the long run, and up to `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    limit: NonZeroU32,
    burst: NonZeroU32,
    period_nanos: u64,
}

/// A longer period is no rate limit but a budget, and its arithmetic would leave 64 bits.
const LONGEST: Duration = Duration::from_secs(400 * 86_400);

impl Rate {
    /// `limit` a `period`, all of them at once if need be; the period is cut to 1 ns … 400 days.
    pub const fn new(limit: NonZeroU32, period: Duration) -> Self {
        let period = if period.as_nanos() > LONGEST.as_nanos() { LONGEST } else { period };
        let nanos = period.as_nanos() as u64;
        Self { limit, burst: limit, period_nanos: if nanos == 0 { 1 } else { nanos } }
    }

    /// `limit` a second.
    pub const fn per_second(limit: NonZeroU32) -> Self {
        Self::new(limit, Duration::from_secs(1))
    }

    /// `limit` a minute.
    pub const fn per_minute(limit: NonZeroU32) -> Self {
        Self::new(limit, Duration::from_secs(60))
    }

    /// `limit` an hour.
    pub const fn per_hour(limit: NonZeroU32) -> Self {
        Self::new(limit, Duration::from_secs(3_600))
    }

    /// `limit` a day of 24 hours.
    pub const fn per_day(limit: NonZeroU32) -> Self {
        Self::new(limit, Duration::from_secs(86_400))
    }

    /// Up to `burst` at once.
    #[must_use]
    pub const fn burst(mut self, burst: NonZeroU32) -> Self {
        self.burst = burst;
        self
    }

    /// How much is allowed in a period in the long run.
    pub const fn limit(self) -> NonZeroU32 {
        self.limit
    }

    /// The period.
    pub const fn period(self) -> Duration {
        Duration::from_nanos(self.period_nanos)
    }

    /// How much is allowed at once: the size of the bucket.
    pub const fn quota(self) -> NonZeroU32 {
        self.burst
    }

    /// Nanoseconds in which one unit flows back, rounded up so that never more than the limit gets through.
    pub(crate) const fn interval(self) -> u64 {
        self.period_nanos.div_ceil(self.limit.get() as u64)
    }

    /// Nanoseconds in which an empty bucket fills.
    pub(crate) const fn span(self) -> u64 {
        self.interval().saturating_mul(self.burst.get() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_cannot_be_wrong() {
        let three = NonZeroU32::new(3).unwrap();
        assert_eq!(Rate::new(three, Duration::ZERO).interval(), 1);
        assert_eq!(Rate::new(three, Duration::MAX).period(), LONGEST);
        assert_eq!(Rate::per_second(three).interval(), 333_333_334);
        let wide = Rate::new(three, Duration::MAX).burst(NonZeroU32::MAX);
        assert_eq!(wide.span(), u64::MAX);
    }
}
