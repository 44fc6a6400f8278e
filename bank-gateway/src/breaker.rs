//! A circuit breaker for one endpoint.
//!
//! Closed: requests pass; `FAILURES` in a row open it. Open: none passes until the wait is over, which doubles each time up
//! to `MAX_WAIT`. Half open: one request is the probe; its success closes the breaker, its failure opens it again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bank_sdk::Problem;
use bank_sdk::http::Body;
use http::{Request, Response};
use tokio::time::Instant;
use tower::Service;

use crate::Step;
use crate::retry::is_worth_another;
use crate::step::{problem_instance, refusal};

/// So many failures in a row open it.
const FAILURES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A breaker in front of one endpoint: while it is open, requests are refused with 503. An error, a 502 and a 503 are
/// failures.
#[derive(Clone, Debug, Default)]
pub struct CircuitBreaker(Arc<Breaker>);

impl Step for CircuitBreaker {
    async fn serve<S>(&self, request: Request<Body>, mut inner: S) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
    {
        if !self.0.enter(Instant::now()) {
            let problem = Problem::unavailable().with_retry_after(FIRST_WAIT);
            return Ok(refusal(&problem_instance(&request), problem));
        }
        let answer = inner.call(request).await;
        match &answer {
            Ok(response) if !is_worth_another(response.status()) => self.0.succeeded(),
            _ => self.0.failed(Instant::now()),
        }
        answer
    }
}

/// Whether an endpoint is asked at all.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, wait: Duration },
    HalfOpen { wait: Duration, since: Instant },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// How a breaker stands, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerState {
    /// Requests pass.
    Closed,
    /// None passes.
    Open,
    /// One probes.
    HalfOpen,
}

impl BreakerState {
    /// In words.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl Breaker {
    /// Whether a request would pass now, without taking the probe.
    #[must_use]
    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        match *self.lock() {
            State::Closed { .. } => true,
            State::Open { until, .. } => now >= until,
            // A probe that never came back (its caller went away) is replaced by another.
            State::HalfOpen { wait, since } => now.duration_since(since) >= wait,
        }
    }

    /// Takes the right to send one request; an open breaker whose wait is over gives it to one probe.
    pub(crate) fn enter(&self, now: Instant) -> bool {
        let mut state = self.lock();
        match *state {
            State::Closed { .. } => true,
            State::Open { until, wait } if now >= until => {
                *state = State::HalfOpen { wait, since: now };
                true
            }
            State::HalfOpen { wait, since } if now.duration_since(since) >= wait => {
                *state = State::HalfOpen { wait, since: now };
                true
            }
            State::Open { .. } | State::HalfOpen { .. } => false,
        }
    }

    /// The endpoint answered.
    pub(crate) fn succeeded(&self) {
        let mut state = self.lock();
        // An answer that was on its way when the breaker opened says nothing about now.
        if !matches!(*state, State::Closed { failures: 0 } | State::Open { .. }) {
            *state = State::default();
        }
    }

    /// The endpoint failed.
    pub(crate) fn failed(&self, now: Instant) {
        let mut state = self.lock();
        *state = match *state {
            State::Closed { failures } if failures + 1 < FAILURES => State::Closed { failures: failures + 1 },
            State::Closed { .. } => State::Open { until: now + FIRST_WAIT, wait: FIRST_WAIT },
            State::HalfOpen { wait, .. } => {
                let wait = (wait * 2).min(MAX_WAIT);
                State::Open { until: now + wait, wait }
            }
            State::Open { until, wait } => State::Open { until, wait },
        };
    }

    /// How it stands.
    #[must_use]
    pub(crate) fn state(&self) -> BreakerState {
        match *self.lock() {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_open_it_one_probe_closes_it() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        (0..4).for_each(|_| breaker.failed(start));
        assert!(breaker.enter(start));
        breaker.failed(start);
        assert!(!breaker.is_ready(start) && !breaker.enter(start));
        let later = start + FIRST_WAIT;
        assert!(breaker.enter(later), "the probe");
        assert!(!breaker.enter(later), "one probe only");
        breaker.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_failed_probe_doubles_the_wait_and_a_lost_one_is_replaced() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        (0..5).for_each(|_| breaker.failed(start));
        let probe = start + FIRST_WAIT;
        assert!(breaker.enter(probe));
        breaker.failed(probe);
        assert!(!breaker.is_ready(probe + FIRST_WAIT) && breaker.is_ready(probe + FIRST_WAIT * 2));
        let second = probe + FIRST_WAIT * 2;
        assert!(breaker.enter(second));
        assert!(breaker.enter(second + FIRST_WAIT * 2), "the probe was lost");
    }

    #[test]
    fn a_success_in_between_starts_the_count_anew() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        (0..4).for_each(|_| breaker.failed(start));
        breaker.succeeded();
        (0..4).for_each(|_| breaker.failed(start));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
