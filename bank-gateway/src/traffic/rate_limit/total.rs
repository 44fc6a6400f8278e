//! A limit for all callers together. It has one key and is local, which is just what governor is for.

use std::fmt;
use std::sync::Arc;

use bank_sdk::Problem;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, RateLimiter};
use http::StatusCode;

use super::Quota;
use crate::BuildError;
use crate::exchange::Exchange;
use crate::step::{Flow, Refusal, Step};

/// Lets only so many requests pass in all.
#[derive(Clone)]
pub struct TotalLimit {
    limiter: Arc<DefaultDirectRateLimiter>,
    clock: DefaultClock,
}

impl TotalLimit {
    /// One quota for everybody.
    ///
    /// # Errors
    /// A quota that lets nothing pass.
    pub fn new(quota: Quota) -> Result<Self, BuildError> {
        let nothing =
            || BuildError::new(vec!["the total quota must let at least one request pass".to_owned()]);
        let rate = quota.rate().ok_or_else(nothing)?;
        let each = rate.period() / rate.limit().get();
        let quota = governor::Quota::with_period(each).ok_or_else(nothing)?.allow_burst(rate.quota());
        Ok(Self { limiter: Arc::new(RateLimiter::direct(quota)), clock: DefaultClock::default() })
    }

    pub(crate) fn take(&self) -> Result<(), Problem> {
        self.limiter.check().map_err(|not_until| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the bank is busy; try again")
                .with_code("overloaded")
                .with_retry_after(not_until.wait_time_from(self.clock.now()))
        })
    }
}

impl Step for TotalLimit {
    type Held = ();

    fn before(&self, _: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        self.take()?;
        Ok(Flow::Pass)
    }
}

impl fmt::Debug for TotalLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotalLimit")
    }
}
