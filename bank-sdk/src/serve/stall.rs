//! Whether somebody for whom bytes wait takes any.

use std::time::Duration;

use tokio::time::Instant;

/// The time for which bytes have waited, since so many were last taken that it counts as progress.
///
/// Only time in which bytes wait counts. To take one byte now and then is no progress: that way a reader could hold its
/// answer for ever.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stall {
    since: Option<Instant>,
    before: Duration,
    taken: u32,
}

impl Stall {
    /// Bytes wait from now on, if they did not before.
    pub(super) fn waits(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Nothing waits at present.
    pub(super) fn flows(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.before += now.saturating_duration_since(since);
        }
    }

    /// So many bytes were taken; with `progress` of them the time begins anew.
    pub(super) fn took(&mut self, bytes: usize, progress: u32, now: Instant) {
        self.taken = self.taken.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.taken >= progress {
            *self = Self { since: self.since.map(|_| now), ..Self::default() };
        }
    }

    /// All was taken.
    pub(super) fn done(&mut self) {
        *self = Self::default();
    }

    /// Whether nothing of the time has run.
    pub(super) fn is_none(&self) -> bool {
        self.since.is_none() && self.before.is_zero()
    }

    /// When it has lasted this long, if bytes wait now.
    pub(super) fn ends(&self, limit: Duration) -> Option<Instant> {
        self.since.map(|since| since + limit.saturating_sub(self.before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn only_time_in_which_bytes_wait_counts() {
        let start = Instant::now();
        let mut stall = Stall::default();
        assert_eq!(stall.ends(LIMIT), None);
        stall.waits(start);
        stall.waits(start + seconds(1));
        assert_eq!(stall.ends(LIMIT), Some(start + seconds(10)));
        stall.flows(start + seconds(4));
        assert_eq!(stall.ends(LIMIT), None);
        stall.waits(start + seconds(100));
        assert_eq!(stall.ends(LIMIT), Some(start + seconds(106)));
    }

    #[test]
    fn s7_a_byte_now_and_then_is_no_progress() {
        let start = Instant::now();
        let mut stall = Stall::default();
        for second in 0..9 {
            let now = start + seconds(second);
            stall.waits(now);
            stall.flows(now + seconds(1));
            stall.took(1, 4_096, now + seconds(1));
        }
        stall.waits(start + seconds(9));
        assert_eq!(stall.ends(LIMIT), Some(start + seconds(10)));
        stall.took(4_096, 4_096, start + seconds(9));
        assert_eq!(stall.ends(LIMIT), Some(start + seconds(19)), "that was progress");
        stall.done();
        assert!(stall.is_none());
    }
}
