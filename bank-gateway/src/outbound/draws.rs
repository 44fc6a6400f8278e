//! Random draws for the balancer.

use std::sync::atomic::{AtomicU64, Ordering};

/// SplitMix64 over a counter: uniform enough to spread load, and without a lock.
#[derive(Debug, Default)]
pub(super) struct Draws(AtomicU64);

impl Draws {
    /// The better of two that are drawn at random out of `count`, by what each would cost.
    pub(super) fn better_of_two<C: PartialOrd>(
        &self,
        count: usize,
        cost: impl Fn(usize) -> C,
    ) -> Option<usize> {
        if count < 2 {
            return (count == 1).then_some(0);
        }
        let drawn = self.next();
        let one = (drawn as u32 as usize) % count;
        let other = (one + 1 + (drawn >> 32) as usize % (count - 1)) % count;
        Some(if cost(other) < cost(one) { other } else { one })
    }

    fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
