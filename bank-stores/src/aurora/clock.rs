//! The server's time, as this process knows it: what it said last, and the time that has passed since.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::Timestamp;

/// The server's clock. This machine's own counts for nothing, so that setting it does no harm.
#[derive(Debug, Default)]
pub(super) struct ServerClock(Mutex<Option<(Timestamp, Instant)>>);

impl ServerClock {
    /// The server has said that it is so late.
    pub(super) fn is(&self, time: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((time, Instant::now()));
    }

    /// About how late it is there, and rather too early than too late: its answers take a moment.
    pub(super) fn now(&self) -> Timestamp {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((time, seen)) => time.saturating_add(seen.elapsed()),
            // Nothing is due before the server has said anything.
            None => Timestamp::from_micros(i64::MIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
}
