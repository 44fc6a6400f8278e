//! While a server is away, nobody waits for it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many calls in a row that get no answer mean that it is away.
const FAILURES: u32 = 3;

/// Whether a server is there, by what calls to it met.
#[derive(Debug)]
pub(super) struct Breaker {
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Since when it is away, and when somebody looks again.
    away: Option<(Instant, Instant)>,
    /// When it answered last.
    answered: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, state: Mutex::default() }
    }

    /// Whether a call may go to the server; otherwise since when it is away. Of those that come after a pause, one may.
    pub(super) fn enter(&self) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &mut state.away {
            Some((since, again)) if *again > now => Err(now.duration_since(*since)),
            Some((_, again)) => {
                *again = now + self.pause;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The server has answered, whatever it said.
    pub(super) fn answered(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = 0;
        state.answered = Some(Instant::now());
        if let Some((since, _)) = state.away.take() {
            tracing::info!(away_ms = since.elapsed().as_millis() as u64, "Redis answers again");
        }
    }

    /// A call that was made then was dropped without an answer; says whether the server is taken for away. Where others had answers
    /// meanwhile, that says nothing.
    pub(super) fn dropped(&self, since: Instant) -> bool {
        let answered = self.state.lock().unwrap_or_else(PoisonError::into_inner).answered;
        answered.is_none_or(|answered| answered < since) && self.failed(&"no answer")
    }

    /// It has not; says whether it is taken for away.
    pub(super) fn failed(&self, why: &dyn std::fmt::Display) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        let again = Instant::now() + self.pause;
        if let Some((since, _)) = state.away {
            state.away = Some((since, again));
        } else if state.failures >= FAILURES {
            state.away = Some((Instant::now(), again));
            tracing::warn!(%why, "Redis is away: calls are refused at once until it answers");
        }
        state.away.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_some_failures_one_call_a_pause_looks_whether_it_is_back() {
        let breaker = Breaker::new(Duration::from_millis(200));
        for _ in 1..FAILURES {
            breaker.failed(&"gone");
        }
        breaker.answered();
        for _ in 0..FAILURES {
            assert_eq!(breaker.enter(), Ok(()));
            breaker.failed(&"gone");
        }
        tokio::time::advance(Duration::from_millis(150)).await;
        assert_eq!(breaker.enter(), Err(Duration::from_millis(150)));
        tokio::time::advance(Duration::from_millis(50)).await;
        assert_eq!((breaker.enter(), breaker.enter()), (Ok(()), Err(Duration::from_millis(200))));
        breaker.answered();
        assert_eq!((breaker.enter(), breaker.enter()), (Ok(()), Ok(())));
        // Calls of before the answer prove nothing, however late they are dropped.
        let before = Instant::now() - Duration::from_millis(1);
        assert!((0..FAILURES * 2).all(|_| !breaker.dropped(before)));
        tokio::time::advance(Duration::from_millis(1)).await;
        let dropped: Vec<_> = (0..FAILURES).map(|_| breaker.dropped(Instant::now())).collect();
        assert_eq!(dropped, [false, false, true]);
    }
}
