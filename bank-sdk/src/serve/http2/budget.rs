//! What a client may cost in frames that carry nothing (S36): a token bucket for one connection.

use std::time::Duration;

use tokio::time::Instant;

use super::frames::Head;

/// What a request costs until it is served; what was refused stays paid.
pub(super) const HEADERS: u32 = 4;

/// What an answer that was sent whole earns: some clients send a PRIORITY and two or three WINDOW_UPDATEs with each request,
/// which is little work beside the request itself.
pub(super) const ANSWERED: u32 = 4;

/// What a fault of the client costs besides: it made the server decode what nobody serves.
pub(super) const FAULT: u32 = 28;

/// DATA below this size, without the end of a stream, costs as an empty one does.
const TINY: usize = 32;

/// DATA of this size earns the two WINDOW_UPDATEs with which some clients answer each frame.
const LARGE: usize = 256;

/// Tokens for control frames.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    most: u32,
    a_second: u32,
    left: u32,
    filled: Instant,
    /// Bytes sent that have not earned anything yet.
    bytes: usize,
}

/// There was no token left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Budget {
    pub(super) const fn new(most: u32, a_second: u32, now: Instant) -> Self {
        Self { most, a_second, left: most, filled: now, bytes: 0 }
    }

    /// Takes tokens, or empties it.
    pub(super) fn spend(&mut self, tokens: u32, now: Instant) -> Result<(), Exhausted> {
        if self.left < tokens {
            self.fill(now);
        }
        match self.left.checked_sub(tokens) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Exhausted)
            }
        }
    }

    /// Takes tokens that were due before; what is not there is not owed.
    pub(super) fn charge(&mut self, tokens: u32) {
        self.left = self.left.saturating_sub(tokens);
    }

    pub(super) fn earn(&mut self, tokens: u32) {
        self.left = self.left.saturating_add(tokens).min(self.most);
    }

    /// DATA was sent: a client answers it with WINDOW_UPDATEs.
    pub(super) fn sent(&mut self, length: usize) {
        self.bytes += length;
        let earned = self.bytes / 1_024;
        self.bytes %= 1_024;
        let updates = if length >= LARGE { 2 } else { 0 };
        self.earn(u32::try_from(earned).unwrap_or(u32::MAX).saturating_add(updates));
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        let earned = passed.as_micros().saturating_mul(u128::from(self.a_second)) / 1_000_000;
        if earned == 0 {
            return;
        }
        self.earn(u32::try_from(earned).unwrap_or(u32::MAX));
        // Whole tokens only: the rest of the time counts for the next, but for a part of a microsecond, of which many would be a token.
        let counted = earned.saturating_mul(1_000_000).div_ceil(u128::from(self.a_second));
        self.filled += u64::try_from(counted).map_or(passed, Duration::from_micros);
    }
}

/// What a frame of the client costs, apart from HEADERS that begin a stream.
pub(super) const fn cost(head: &Head) -> u32 {
    match head.kind {
        Head::DATA => (head.length < TINY && !head.ends_stream()) as u32,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn s36_control_frames_are_bounded_by_a_burst_and_a_rate() {
        let start = Instant::now();
        let mut budget = Budget::new(100, 10, start);
        assert!((0..100).all(|_| budget.spend(1, start).is_ok()));
        assert_eq!(budget.spend(1, start), Err(Exhausted));
        let later = start + Duration::from_millis(1_050);
        assert!((0..10).all(|_| budget.spend(1, later).is_ok()));
        assert_eq!(budget.spend(1, later), Err(Exhausted));
        assert!(budget.spend(1, start + Duration::from_millis(1_100)).is_ok(), "no part of a token is lost");
        let much_later = start + Duration::from_secs(1_000_000);
        assert!((0..100).all(|_| budget.spend(1, much_later).is_ok()));
        assert_eq!(budget.spend(1, much_later), Err(Exhausted), "no more than the burst is saved");
    }

    #[test]
    fn whoever_reads_much_may_open_its_window_often() {
        let now = Instant::now();
        let mut budget = Budget::new(64, 1, now);
        for _ in 0..10_000 {
            budget.sent(16_384);
            assert!((0..18).all(|_| budget.spend(1, now).is_ok()));
        }
        let mut budget = Budget::new(64, 1, now);
        let paid = (0..10_000).take_while(|_| {
            budget.sent(1);
            budget.spend(1, now).is_ok()
        });
        assert!(paid.count() < 80, "a window that is opened byte by byte earns nothing");
    }

    #[test]
    fn what_carries_something_costs_nothing() {
        let data = |length, flags| cost(&Head { length, kind: Head::DATA, flags, stream: 1 });
        assert_eq!((data(0, 0), data(31, 0), data(32, 0), data(0, 1), data(1, 1)), (1, 1, 0, 0, 0));
    }

    #[test]
    fn parts_of_a_microsecond_never_become_a_token() {
        let start = Instant::now();
        let (mut budget, mut spent) = (Budget::new(1, 29, start), 0_u64);
        // Each of its tokens takes 34,482 microseconds and a part, and is spent as soon as it is there.
        for micros in 0..=3_000_000_u64 {
            spent += u64::from(budget.spend(1, start + Duration::from_micros(micros)).is_ok());
            assert!(spent <= 1 + micros * 29 / 1_000_000, "{spent} after {micros} us");
        }
        assert!(spent >= 86, "{spent}");
    }

    proptest! {
        #[test]
        fn nobody_spends_more_than_burst_and_rate_allow(
            most in 1_u32..200, a_second in 1_u32..500, steps in prop::collection::vec((0_u64..50_000, 1_u32..5), 1..300),
        ) {
            let start = Instant::now();
            let (mut budget, mut now, mut spent) = (Budget::new(most, a_second, start), start, 0_u128);
            for (micros, tokens) in steps {
                now += Duration::from_micros(micros);
                if budget.spend(tokens, now).is_ok() {
                    spent += u128::from(tokens);
                }
                let allowed = u128::from(most) + (now - start).as_micros() * u128::from(a_second) / 1_000_000;
                prop_assert!(spent <= allowed, "{} of {}", spent, allowed);
            }
        }
    }
}
