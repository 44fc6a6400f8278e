//! A clock that neither leaps ahead nor goes back, for a store whose process has the only clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::{Clock, Error, ErrorKind, Result, Timestamp};

/// By how much a clock may be set ahead at once. More is what an operator has to see first: what is booked in the future stays
/// there.
const LEAP: Duration = Duration::from_secs(60);

/// What a clock says, as long as it does not leap ahead of the time that has passed.
#[derive(Debug)]
pub(super) struct SteadyClock {
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// The latest time that was believed, and how much time had passed then.
    time: Timestamp,
    elapsed: Duration,
    /// The latest time that was given out.
    latest: Timestamp,
    /// Whether a leap was told of.
    told: bool,
}

impl Seen {
    fn give(&mut self, time: Timestamp) -> Timestamp {
        self.latest = self.latest.max(time);
        self.latest
    }
}

impl SteadyClock {
    /// The clock as it is now is believed.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let (time, elapsed) = (clock.now(), clock.elapsed());
        let seen = Mutex::new(Seen { time, elapsed, latest: time, told: false });
        Self { clock, seen }
    }

    /// The time now, never earlier than it was; `Unavailable`, field `clock`, while the clock is set ahead of the time that has
    /// passed.
    pub(super) fn checked(&self) -> Result<Timestamp> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (time, elapsed) = (self.clock.now(), self.clock.elapsed());
        let passed = seen.time.saturating_add(elapsed.saturating_sub(seen.elapsed));
        let ahead = time.since(passed);
        if ahead > LEAP {
            if !std::mem::replace(&mut seen.told, true) {
                tracing::error!(
                    seconds = ahead.as_secs(),
                    "the clock was set ahead: the ledger books nothing"
                );
            }
            let message = format!(
                "this machine's clock was set ahead by {} s: set it right, or restart if it is right now",
                ahead.as_secs()
            );
            return Err(Error::new(ErrorKind::Unavailable, message).with_field("clock"));
        }
        seen.told = false;
        if time >= passed {
            (seen.time, seen.elapsed) = (time, elapsed);
        }
        // Where it was set back, time stands still until it has come so far again.
        Ok(seen.give(time))
    }

    /// The time now; while the clock is set ahead, by the time that has passed.
    pub(super) fn now(&self) -> Timestamp {
        self.checked().unwrap_or_else(|_| {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let passed = seen.time.saturating_add(self.clock.elapsed().saturating_sub(seen.elapsed));
            seen.give(passed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;

    #[test]
    fn a_clock_that_is_set_ahead_is_not_believed_and_one_that_goes_back_stands_still() {
        let at = Timestamp::from_seconds;
        let clock = ManualClock::at(at(1_000));
        let steady = SteadyClock::new(Arc::new(clock.clone()));
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(steady.checked().unwrap(), at(4_600));
        // A small step is taken.
        clock.set(at(4_650));
        assert_eq!(steady.checked().unwrap(), at(4_650));
        clock.set(at(9_000));
        clock.advance(Duration::from_secs(10));
        assert_eq!(steady.checked().unwrap_err().field(), Some("clock"));
        assert_eq!(steady.now(), at(4_660));
        clock.set(at(4_661));
        assert_eq!(steady.checked().unwrap(), at(4_661));
        // What was read as the time now is not before what is booked next.
        clock.set(at(10));
        assert_eq!(steady.checked().unwrap(), at(4_661));
        // Put right, it is no leap.
        clock.advance(Duration::from_secs(600));
        clock.set(at(5_261));
        assert_eq!(steady.checked().unwrap(), at(5_261));
    }
}
