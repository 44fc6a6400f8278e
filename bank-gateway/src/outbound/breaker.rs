//! A circuit breaker for one endpoint.
//!
//! Closed: requests pass; so many failures in a row open it. Open: none passes until the wait is over, which doubles each time
//! up to a bound. Half open: one request is the probe; its success closes the breaker, its failure opens it again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerOptions {
    /// So many failures in a row open it: 5 by default, at least 1.
    pub failures: u32,
    /// The first wait before a probe: 500 ms by default.
    pub first_wait: Duration,
    /// The longest wait, up to which it doubles: 30 s by default.
    pub max_wait: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self { failures: 5, first_wait: Duration::from_millis(500), max_wait: Duration::from_secs(30) }
    }
}

/// Whether an endpoint is asked at all.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    options: BreakerOptions,
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

/// What an answer or a failure made of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was closed, and is open now.
    Opened,
    /// It was open, and is closed now.
    Closed,
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
    pub(crate) fn new(options: BreakerOptions) -> Self {
        Self { options, state: Mutex::default() }
    }

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
    pub(crate) fn succeeded(&self) -> Option<Change> {
        let mut state = self.lock();
        // An answer that was on its way when the breaker opened says nothing about now.
        if matches!(*state, State::Closed { failures: 0 } | State::Open { .. }) {
            return None;
        }
        let before = std::mem::take(&mut *state);
        matches!(before, State::HalfOpen { .. }).then_some(Change::Closed)
    }

    /// The endpoint failed.
    pub(crate) fn failed(&self, now: Instant) -> Option<Change> {
        let first_wait = self.options.first_wait;
        let mut state = self.lock();
        let was_closed = matches!(*state, State::Closed { .. });
        *state = match *state {
            State::Closed { failures } if failures + 1 < self.options.failures => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } => State::Open { until: now + first_wait, wait: first_wait },
            State::HalfOpen { wait, .. } => {
                let wait = (wait * 2).min(self.options.max_wait);
                State::Open { until: now + wait, wait }
            }
            State::Open { until, wait } => State::Open { until, wait },
        };
        (was_closed && matches!(*state, State::Open { .. })).then_some(Change::Opened)
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

    const FIRST_WAIT: Duration = Duration::from_millis(500);

    #[test]
    fn five_failures_open_it_one_probe_closes_it() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        assert!((0..4).all(|_| breaker.failed(start).is_none()));
        assert!(breaker.enter(start));
        assert_eq!(breaker.failed(start), Some(Change::Opened));
        assert!(!breaker.is_ready(start) && !breaker.enter(start));
        let later = start + FIRST_WAIT;
        assert!(breaker.enter(later), "the probe");
        assert!(!breaker.enter(later), "one probe only");
        assert_eq!(breaker.succeeded(), Some(Change::Closed));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_failed_probe_doubles_the_wait_and_a_lost_one_is_replaced() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..5 {
            breaker.failed(start);
        }
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
        for _ in 0..4 {
            breaker.failed(start);
        }
        breaker.succeeded();
        for _ in 0..4 {
            breaker.failed(start);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
