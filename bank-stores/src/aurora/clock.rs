//! The server's time, as this process knows it: what it said last, and the time that has passed since.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Timestamp;

/// By how much a process may think it later than it is on the server.
pub(super) const AHEAD: Duration = Duration::from_secs(1);

/// By how much a process may think it earlier: what it asks for may wait for its turn.
pub(super) const BEHIND: Duration = Duration::from_secs(5);

/// The share of the time that has passed which is left out, so that a server's clock that goes slower than this machine's, or was set
/// back by less than [`AHEAD`], is met again: a step of half a second within a minute.
const DRIFT: u32 = 100;

/// The server's clock. This machine's own counts for nothing, so that setting it does no harm.
///
/// What the server says is old when it comes, by as long as the answer took. So of two answers the one that says the later time is
/// the better one, and stays, unless the two are further apart than [`AHEAD`].
#[derive(Debug, Default)]
pub(super) struct ServerClock(Mutex<Option<Answer>>);

/// What the server said, and when.
#[derive(Debug, Clone, Copy)]
struct Answer {
    time: Timestamp,
    heard: Instant,
}

impl Answer {
    fn now(self) -> Timestamp {
        let passed = self.heard.elapsed();
        self.time.saturating_add(passed - passed / DRIFT)
    }
}

impl ServerClock {
    /// The server has said that it is so late; gives the time to go by.
    pub(super) fn is(&self, time: Timestamp) -> Timestamp {
        let mut best = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *best {
            Some(best) if best.now() >= time && best.now().since(time) <= AHEAD => best.now(),
            _ => {
                *best = Some(Answer { time, heard: Instant::now() });
                time
            }
        }
    }

    /// About how late it is there, and rather too early than too late, but for a while after the server's clock was set back. It does
    /// not go back, unless the server's clock does by more than [`AHEAD`].
    pub(super) fn now(&self) -> Timestamp {
        let best = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is due before the server has said anything.
        best.map_or(Timestamp::from_micros(i64::MIN), Answer::now)
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
    async fn it_is_as_late_as_the_server_says_and_nearly_as_much_later_as_has_passed() {
        let clock = ServerClock::default();
        clock.is(Timestamp::from_seconds(1_000));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), Timestamp::from_micros(1_004_950_000));
        clock.is(Timestamp::from_seconds(900));
        assert_eq!(clock.now(), Timestamp::from_seconds(900));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_never_earlier_for_an_answer_that_came_late() {
        let clock = ServerClock::default();
        clock.is(Timestamp::from_seconds(1_000));
        tokio::time::advance(Duration::from_secs(5)).await;
        let before = clock.now();
        let late = Timestamp::from_micros(1_004_500_000);
        assert_eq!((clock.is(late), clock.now()), (before, before));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now(), before.saturating_add(Duration::from_millis(990)));
        let prompt = Timestamp::from_seconds(1_006);
        assert_eq!((clock.is(prompt), clock.now()), (prompt, prompt));
    }

    #[test]
    fn what_is_too_early_or_too_late_is_not_in_time() {
        let server = Timestamp::from_seconds(1_000);
        let in_time = |seconds| is_in_time(Timestamp::from_seconds(seconds), server);
        assert_eq!([994, 995, 1_001, 1_002].map(in_time), [false, true, true, false]);
    }
}
