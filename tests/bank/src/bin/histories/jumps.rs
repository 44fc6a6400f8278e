//! A clock that is set ahead and back while a ledger uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bank_stores::{Clock, SystemClock, Timestamp};
use tokio::time::sleep;

use crate::plan::Chance;

const SECOND: i64 = 1_000_000;
/// The furthest ahead that a ledger follows at once.
const STEP: i64 = 2 * SECOND;
/// So far ahead is whoever judges a history: what was booked by a clock that was ahead lies in the past.
pub(crate) const JUDGE: i64 = 3 * SECOND;

/// The system's clock, so many microseconds ahead.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jumps {
    system: SystemClock,
    ahead: Arc<AtomicI64>,
}

impl Jumps {
    pub(crate) fn ahead(micros: i64) -> Self {
        Self { system: SystemClock::new(), ahead: Arc::new(AtomicI64::new(micros)) }
    }

    /// Sets the clock again and again, by a little, by an hour or by a year.
    pub(crate) async fn go_on(self, mut chance: Chance) {
        loop {
            sleep(chance.up_to(Duration::from_millis(60))).await;
            let ahead = match chance.below(6) {
                0 => -3_600 * SECOND,
                1 => 3_600 * SECOND,
                2 => 365 * 86_400 * SECOND,
                _ => chance.below(STEP as u64) as i64,
            };
            self.ahead.store(ahead, Ordering::Relaxed);
            // While it is far ahead, the ledger books nothing.
            sleep(chance.up_to(Duration::from_millis(20))).await;
            if ahead.abs() > STEP {
                self.ahead.store(0, Ordering::Relaxed);
            }
        }
    }
}

impl Clock for Jumps {
    fn now(&self) -> Timestamp {
        let now = self.system.now().micros();
        Timestamp::from_micros(now.saturating_add(self.ahead.load(Ordering::Relaxed)))
    }

    fn elapsed(&self) -> Duration {
        self.system.elapsed()
    }
}
