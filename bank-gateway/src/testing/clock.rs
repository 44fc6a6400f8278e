//! The time of day in a test.

use std::sync::Arc;
use std::time::Duration;

use bank_stores::{Clock, ManualClock, Timestamp};
use tokio::time::Instant;

/// 2030-01-01.
const BEGIN: Timestamp = Timestamp::from_seconds(1_893_456_000);

/// A time of day that begins where the test says and goes by tokio's clock: it stands while that is paused, and moves with
/// it. Clones share it.
#[derive(Clone, Debug)]
pub struct TestClock {
    begun: Instant,
    /// What it showed when it began, and how far it was set since.
    shown: Arc<ManualClock>,
}

impl TestClock {
    /// It begins at 2030-01-01.
    #[must_use]
    pub fn new() -> Self {
        Self::at(BEGIN)
    }

    /// It begins at this time.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self { begun: Instant::now(), shown: Arc::new(ManualClock::at(time)) }
    }

    /// Sets it, backwards too, while everything else stays as it is.
    pub fn set(&self, time: Timestamp) {
        self.shown.set(time.saturating_sub(self.begun.elapsed()));
    }

    /// Moves it on, while everything else stays as it is.
    pub fn skip(&self, by: Duration) {
        self.shown.advance(by);
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.shown.now().saturating_add(self.begun.elapsed())
    }
}
