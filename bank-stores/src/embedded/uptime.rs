//! Time that passes while a store is open, whatever clocks say.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Clock, Timestamp};

/// What a clock may be ahead of where it was at the opening and the time since: what expires later stays, however it jumps.
const AHEAD: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
pub(super) struct Uptime {
    loaded: Instant,
    /// How long the store had been open before.
    age: Duration,
    clock_at_load: Timestamp,
}

impl Uptime {
    pub(super) fn new(clock: &dyn Clock, age: Duration) -> Self {
        Self { loaded: Instant::now(), age, clock_at_load: clock.now() }
    }

    /// How long the store has been open, all openings together.
    pub(super) fn age(&self) -> Duration {
        self.age + self.loaded.elapsed()
    }

    /// The clock's time, as far as it may be believed.
    pub(super) fn believed(&self, now: Timestamp) -> Timestamp {
        now.min(self.clock_at_load.saturating_add(self.loaded.elapsed() + AHEAD))
    }
}
