//! A circuit breaker for a server: while it is away, nobody waits for it.
//!
//! | State | Calls | Becomes |
//! | --- | --- | --- |
//! | closed | all go to the server | open, when [`FAILURES`] in a row got no answer |
//! | open | are `Unavailable` at once, but for one after each pause | closed, when the server answers |

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::{Error, ErrorKind, Result};

/// So many calls in a row that get no answer mean that the server is away.
const FAILURES: u32 = 3;

/// Whether a server is there, by what calls to it met.
#[derive(Debug)]
pub(crate) struct Breaker {
    server: &'static str,
    pause: Duration,
    patience: Duration,
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

/// The refusal of a call to a server that is away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Away {
    server: &'static str,
    since: Duration,
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is away since {} ms", self.server, self.since.as_millis())
    }
}

impl Away {
    pub(crate) fn into_error(self) -> Error {
        Error::new(ErrorKind::Unavailable, self.to_string())
    }
}

impl Breaker {
    /// For a server that is looked for once in a `pause` while it is away. One that is there answers within `patience`: callers who go
    /// away earlier prove nothing.
    pub(crate) fn new(server: &'static str, pause: Duration, patience: Duration) -> Self {
        Self { server, pause, patience, state: Mutex::default() }
    }

    /// A call to the server.
    ///
    /// # Errors
    /// Where it is away. Of those that come after a pause, one may call.
    pub(crate) fn enter(&self) -> Result<Attempt<'_>, Away> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &mut state.away {
            Some((since, again)) if *again > now => {
                return Err(Away { server: self.server, since: now.duration_since(*since) });
            }
            Some((_, again)) => *again = now + self.pause,
            None => {}
        }
        Ok(Attempt { breaker: self, since: now, is_over: false, when_dropped: None })
    }

    /// The server has answered, whatever it said.
    fn answered(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = 0;
        state.answered = Some(Instant::now());
        if let Some((since, _)) = state.away.take() {
            let away_ms = since.elapsed().as_millis() as u64;
            tracing::info!(server = self.server, away_ms, "the server answers again");
        }
    }

    /// A call that was made then had no answer; says whether the server is taken for away. Where others had answers meanwhile, that says
    /// nothing.
    fn failed(&self, since: Instant, why: &dyn fmt::Display) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.answered.is_some_and(|answered| answered > since) {
            return state.away.is_some();
        }
        state.failures = state.failures.saturating_add(1);
        let again = Instant::now() + self.pause;
        if let Some((since, _)) = state.away {
            state.away = Some((since, again));
        } else if state.failures >= FAILURES {
            state.away = Some((Instant::now(), again));
            let server = self.server;
            tracing::warn!(server, %why, "the server is away: calls are refused at once until it answers");
        }
        state.away.is_some()
    }
}

/// A call that is on its way. A caller with less patience than the call drops it: where nobody had an answer for so long, the server is
/// away too.
pub(crate) struct Attempt<'a> {
    breaker: &'a Breaker,
    since: Instant,
    is_over: bool,
    when_dropped: Option<&'a (dyn Fn() + Send + Sync)>,
}

impl<'a> Attempt<'a> {
    /// Calls this where it is dropped and the server is taken for away.
    #[cfg(feature = "redis")]
    pub(crate) fn when_dropped(mut self, call: &'a (dyn Fn() + Send + Sync)) -> Self {
        self.when_dropped = Some(call);
        self
    }

    /// The server has answered, whatever it said.
    pub(crate) fn answered(&mut self) {
        self.is_over = true;
        self.breaker.answered();
    }

    /// It has not; says whether it is taken for away.
    pub(crate) fn failed(&mut self, why: &dyn fmt::Display) -> bool {
        self.is_over = true;
        self.breaker.failed(self.since, why)
    }

    /// The call ended without a word about the server.
    #[cfg(any(feature = "dynamodb", feature = "mongodb"))]
    pub(crate) fn ended(&mut self) {
        self.is_over = true;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.is_over || self.since.elapsed() < self.breaker.patience {
            return;
        }
        if self.breaker.failed(self.since, &"no answer")
            && let Some(call) = self.when_dropped
        {
            call();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new("the server", Duration::from_millis(200), Duration::from_millis(100))
    }

    fn away_since(breaker: &Breaker) -> Option<Duration> {
        breaker.enter().map(drop).err().map(|away| away.since)
    }

    #[tokio::test(start_paused = true)]
    async fn after_some_failures_one_call_a_pause_looks_whether_it_is_back() {
        let breaker = breaker();
        for _ in 1..FAILURES {
            breaker.enter().unwrap().failed(&"gone");
        }
        breaker.enter().unwrap().answered();
        for _ in 0..FAILURES {
            breaker.enter().unwrap().failed(&"gone");
        }
        tokio::time::advance(Duration::from_millis(150)).await;
        assert_eq!(away_since(&breaker), Some(Duration::from_millis(150)));
        tokio::time::advance(Duration::from_millis(50)).await;
        let mut looks = breaker.enter().unwrap();
        assert_eq!(away_since(&breaker), Some(Duration::from_millis(200)));
        looks.answered();
        assert_eq!((away_since(&breaker), away_since(&breaker)), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_dropped_count_where_nobody_had_an_answer_since() {
        let breaker = breaker();
        let called = std::sync::atomic::AtomicU32::new(0);
        let count = || {
            called.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        };
        let attempts = || [(); 3].map(|()| breaker.enter().unwrap().when_dropped(&count));
        // Too early to say anything.
        drop(attempts());
        let before = attempts();
        tokio::time::advance(Duration::from_millis(150)).await;
        breaker.enter().unwrap().answered();
        drop(before);
        assert_eq!(away_since(&breaker), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        let silent = attempts();
        tokio::time::advance(Duration::from_millis(150)).await;
        drop(silent);
        assert!(away_since(&breaker).is_some());
        assert_eq!(called.load(std::sync::atomic::Ordering::Relaxed), 1, "the third one was one too many");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_fail_count_where_nobody_had_an_answer_since_they_began() {
        let breaker = breaker();
        let slow = [(); 3].map(|()| breaker.enter().unwrap());
        tokio::time::advance(Duration::from_millis(50)).await;
        breaker.enter().unwrap().answered();
        for mut call in slow {
            assert!(!call.failed(&"gone"));
        }
        assert_eq!(away_since(&breaker), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_says_nothing_of_the_server_changes_nothing() {
        let breaker = breaker();
        for _ in 0..FAILURES * 2 {
            let mut attempt = breaker.enter().unwrap();
            tokio::time::advance(Duration::from_secs(1)).await;
            attempt.ended();
        }
        assert_eq!(away_since(&breaker), None);
    }
}
