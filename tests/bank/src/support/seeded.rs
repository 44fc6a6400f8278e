//! Chance that can be repeated: SplitMix64 from a seed, which is printed.

use std::time::Duration;

/// A generator whose seed is written to standard error, and taken from `BANK_TEST_SEED` where that is set.
#[derive(Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// A new seed, or the one in the environment.
    ///
    /// # Panics
    /// Where `BANK_TEST_SEED` is no number.
    #[must_use]
    pub fn new(test: &str) -> Self {
        let seed = match std::env::var("BANK_TEST_SEED") {
            Ok(text) => text.parse().expect("BANK_TEST_SEED is a number"),
            Err(_) => {
                let mut bytes = [0; 8];
                bank_stores::Random::fill(&bank_stores::SystemRandom::new(), &mut bytes);
                u64::from_le_bytes(bytes)
            }
        };
        eprintln!("{test}: BANK_TEST_SEED={seed}");
        Self(seed)
    }

    /// The next number.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// A time between two.
    pub const fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_micros() as u64;
        Duration::from_micros(least.as_micros() as u64 + self.below(span + 1))
    }
}
