//! The server's time, as this process knows it: what it said last, and the time that has passed since.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Timestamp;

/// By how much a process may think it later than it is on the server.
pub(super) const AHEAD: Duration = Duration::from_secs(1);

/// By how much a process may think it earlier: what it asks for may wait for its turn.
pub(super) const BEHIND: Duration = Duration::from_secs(5);

/// The server's clock. This machine's own counts for nothing, so that setting it does no harm.
#[derive(Debug, Default)]
pub(super) struct ServerClock(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What the server said last, and when.
    heard: Option<(Timestamp, Instant)>,
    /// The time that was given out last.
    given: Option<Timestamp>,
}

impl ServerClock {
    /// The server has said that it is so late; gives the time to go by.
    pub(super) fn is(&self, time: Timestamp) -> Timestamp {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.heard = Some((time, Instant::now()));
        state.now()
    }

    /// About how late it is there, and rather too early than too late: its answers take a moment. It does not go back, unless the
    /// server's clock does by more than [`AHEAD`].
    pub(super) fn now(&self) -> Timestamp {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).now()
    }
}

impl State {
    fn now(&mut self) -> Timestamp {
        // Nothing is due before the server has said anything.
        let Some((time, seen)) = self.heard else { return Timestamp::from_micros(i64::MIN) };
        let now = time.saturating_add(seen.elapsed());
        let now = match self.given {
            Some(given) if given.since(now) <= AHEAD => given.max(now),
            _ => now,
        };
        *self.given.insert(now)
    }
}

/// Whether what was done by the time `now` may still count when the server says that it is so late.
pub(super) fn is_in_time(now: Timestamp, server: Timestamp) -> bool {
    now.since(server) <= AHEAD && server.since(now) <= BEHIND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_as_late_as_the_server_says_and_as_much_later_as_has_passed() {
        let clock = ServerClock::default();
        clock.is(Timestamp::from_seconds(1_000));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), Timestamp::from_seconds(1_005));
        clock.is(Timestamp::from_seconds(900));
        assert_eq!(clock.now(), Timestamp::from_seconds(900));
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_go_back_where_an_answer_came_late() {
        let clock = ServerClock::default();
        clock.is(Timestamp::from_seconds(1_000));
        tokio::time::advance(Duration::from_secs(5)).await;
        let given = clock.now();
        let late = Timestamp::from_seconds(1_004);
        assert_eq!((clock.is(late), clock.now()), (given, given));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(clock.now(), Timestamp::from_seconds(1_007));
    }

    #[test]
    fn what_is_too_early_or_too_late_is_not_in_time() {
        let server = Timestamp::from_seconds(1_000);
        let in_time = |seconds| is_in_time(Timestamp::from_seconds(seconds), server);
        assert_eq!([994, 995, 1_001, 1_002].map(in_time), [false, true, true, false]);
    }
}
