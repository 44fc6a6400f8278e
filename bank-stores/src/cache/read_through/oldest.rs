//! The oldest value that was served lately.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The last so many minutes count, the current one among them.
const MINUTES: u64 = 5;
/// An age in milliseconds has so many bits, enough for 34 years. The bits above are the minute in which it was served, so that what
/// is served in a later minute is more than whatever was served before.
const AGE_BITS: u32 = 40;
const OLDEST: u64 = (1 << AGE_BITS) - 1;

/// The oldest value of each of the last minutes. Noting one that is not older than those before is a single load.
#[derive(Default)]
pub(super) struct OldestServed([AtomicU64; MINUTES as usize]);

impl OldestServed {
    /// A value of this age is served now, by the clock's elapsed time.
    pub(super) fn note(&self, now: Duration, age: Duration) {
        let minute = now.as_secs() / 60;
        let age = u64::try_from(age.as_millis()).unwrap_or(OLDEST).min(OLDEST);
        let (slot, noted) = (&self.0[(minute % MINUTES) as usize], minute << AGE_BITS | age);
        if slot.load(Ordering::Relaxed) < noted {
            slot.fetch_max(noted, Ordering::Relaxed);
        }
    }

    /// The greatest age of the last minutes; zero where nothing was served.
    pub(super) fn read(&self, now: Duration) -> Duration {
        let since = (now.as_secs() / 60).saturating_sub(MINUTES - 1);
        let noted = self.0.iter().map(|slot| slot.load(Ordering::Relaxed));
        let lately = noted.filter(|noted| noted >> AGE_BITS >= since).map(|noted| noted & OLDEST);
        Duration::from_millis(lately.max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_oldest_of_the_last_minutes_is_told_and_then_forgotten() {
        let oldest = OldestServed::default();
        assert_eq!(oldest.read(SECOND * 7), Duration::ZERO);
        oldest.note(SECOND * 10, SECOND * 9);
        oldest.note(SECOND * 11, SECOND * 3);
        oldest.note(SECOND * 70, SECOND * 5);
        assert_eq!(oldest.read(SECOND * 71), SECOND * 9);
        assert_eq!(oldest.read(SECOND * 299), SECOND * 9);
        assert_eq!(oldest.read(SECOND * 300), SECOND * 5);
        assert_eq!(oldest.read(SECOND * 360), Duration::ZERO);
        // The minute that has the first one's place.
        oldest.note(SECOND * 305, SECOND);
        assert_eq!(oldest.read(SECOND * 306), SECOND * 5);
        assert_eq!(oldest.read(SECOND * 400), SECOND);
    }

    #[test]
    fn no_age_is_too_great() {
        let oldest = OldestServed::default();
        oldest.note(SECOND * 60, Duration::MAX);
        assert_eq!(oldest.read(SECOND * 60), Duration::from_millis(OLDEST));
    }
}
