//! Time that passes while a store is open, whatever clocks say.

use std::sync::Arc;
use std::time::Duration;

use crate::{Clock, Timestamp};

/// What a clock may be ahead of where it was at the opening and the time since: what expires later stays, however it jumps.
const AHEAD: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
pub(super) struct Uptime {
    clock: Arc<dyn Clock>,
    /// What the clock said when the store was opened, and how much time had passed then.
    clock_at_opening: Timestamp,
    opened: Duration,
    /// How long the store had been open in all, as its file said when it was read last, and how much time had passed then.
    age: Duration,
    loaded: Duration,
}

impl Uptime {
    /// Of a store that is being opened: the clock as it is now is believed.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let (clock_at_opening, opened) = (clock.now(), clock.elapsed());
        Self { clock, clock_at_opening, opened, age: Duration::ZERO, loaded: opened }
    }

    /// Takes over how long the store has been open, as its file says. What the clock says by now is not believed for that: the
    /// file is read again after each failure.
    pub(super) fn load_age(&mut self, age: Duration) {
        (self.age, self.loaded) = (age, self.clock.elapsed());
    }

    /// How long the store has been open, all openings together.
    pub(super) fn age(&self) -> Duration {
        self.age + self.clock.elapsed().saturating_sub(self.loaded)
    }

    /// The clock's time, as far as it may be believed.
    pub(super) fn believed(&self, now: Timestamp) -> Timestamp {
        let passed = self.clock.elapsed().saturating_sub(self.opened);
        now.min(self.clock_at_opening.saturating_add(passed + AHEAD))
    }
}
