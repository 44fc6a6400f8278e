//! A limit for all callers together: one bucket, one number, no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bank_sdk::Problem;
use http::StatusCode;
use tokio::time::Instant;

use super::Quota;
use crate::BuildError;
use crate::exchange::Exchange;
use crate::step::{Flow, Refusal, Step};

/// Lets only so many requests pass in all. Clones share what is left.
///
/// It counts by the generic cell rate algorithm, as the limits of callers do: what is kept is the time at which the quota will
/// be whole again. Threads that meet here retry; none waits for another.
#[derive(Clone, Debug)]
pub struct TotalLimit {
    /// In nanoseconds since `start`.
    whole_at: Arc<AtomicU64>,
    start: Instant,
    interval: u64,
    span: u64,
}

impl TotalLimit {
    /// One quota for everybody.
    ///
    /// # Errors
    /// A quota that lets nothing pass.
    pub fn new(quota: Quota) -> Result<Self, BuildError> {
        let rate = quota.rate().ok_or_else(|| {
            BuildError::new(vec!["the total quota must let at least one request pass".to_owned()])
        })?;
        let interval = nanos(rate.period()).div_ceil(u64::from(rate.limit().get()));
        let span = interval.saturating_mul(u64::from(rate.quota().get()));
        Ok(Self { whole_at: Arc::default(), start: Instant::now(), interval, span })
    }

    /// Takes one for a request that came then; else it says after how long there is one.
    fn take(&self, came: Instant) -> Result<(), Duration> {
        let now = nanos(came.saturating_duration_since(self.start));
        let after = |whole_at: u64| whole_at.max(now).saturating_add(self.interval);
        let taken = self.whole_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |whole_at| {
            let after = after(whole_at);
            (after - now <= self.span).then_some(after)
        });
        taken.map(drop).map_err(|whole_at| Duration::from_nanos(after(whole_at) - now - self.span))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Step for TotalLimit {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        self.take(exchange.facts.start()).map_err(|wait| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the bank is busy; try again")
                .with_code("overloaded")
                .with_retry_after(wait)
        })?;
        Ok(Flow::Pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_allowed_at_once_comes_back_one_by_one_and_never_more() {
        let limit = TotalLimit::new(Quota::per_second(10)).unwrap();
        let at = |millis| limit.start + Duration::from_millis(millis);
        assert_eq!((0..30).filter(|_| limit.take(at(0)).is_ok()).count(), 10);
        assert_eq!(limit.take(at(40)), Err(Duration::from_millis(60)));
        assert_eq!(limit.take(at(100)), Ok(()));
        assert_eq!(limit.take(at(100)), Err(Duration::from_millis(100)), "a refusal takes nothing");
        assert_eq!((0..30).filter(|_| limit.take(at(60_000)).is_ok()).count(), 10);
    }

    #[test]
    fn threads_that_meet_take_no_more_than_there_is() {
        let limit = TotalLimit::new(Quota::per_hour(1_000)).unwrap();
        let now = limit.start;
        let taken = std::thread::scope(|threads| {
            let each = || (0..1_000).filter(|_| limit.take(now).is_ok()).count();
            let all: Vec<_> = (0..4).map(|_| threads.spawn(each)).collect();
            all.into_iter().map(|one| one.join().unwrap()).sum::<usize>()
        });
        assert_eq!(taken, 1_000);
    }
}
