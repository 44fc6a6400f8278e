//! Marks that hold for a short time and are then gone by themselves: ids that were just looked up and not found, sessions
//! that just ended.
//!
//! There are two generations. When the younger is as old as a mark's life, the elder is dropped whole and the younger takes
//! its place: nothing is scanned. A mark takes about 40 bytes; when a generation is full, [`ShortMemory::note`] says so.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// Marks by the keyed hash of a text.
pub(crate) struct ShortMemory {
    hasher: RandomState,
    young: HashMap<u64, Instant>,
    old: HashMap<u64, Instant>,
    turned: Instant,
    life: Duration,
    capacity: usize,
}

impl ShortMemory {
    /// Marks of this life, at most twice so many.
    pub(crate) fn new(life: Duration, capacity: usize) -> Self {
        let (young, old) = (HashMap::new(), HashMap::new());
        Self { hasher: RandomState::new(), young, old, turned: Instant::now(), life, capacity }
    }

    /// Makes a mark; false where there is no room for one.
    pub(crate) fn note(&mut self, text: &str, now: Instant) -> bool {
        self.turn(now);
        let hash = self.hasher.hash_one(text);
        if self.young.len() >= self.capacity && !self.young.contains_key(&hash) {
            return false;
        }
        self.young.insert(hash, now);
        true
    }

    /// When a mark was made that still holds.
    pub(crate) fn noted(&self, text: &str, now: Instant) -> Option<Instant> {
        if self.young.is_empty() && self.old.is_empty() {
            return None;
        }
        let hash = self.hasher.hash_one(text);
        let at = *self.young.get(&hash).or_else(|| self.old.get(&hash))?;
        (now.saturating_duration_since(at) < self.life).then_some(at)
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.turned);
        if age >= self.life {
            let young = std::mem::take(&mut self.young);
            self.old = if age >= self.life * 2 { HashMap::new() } else { young };
            self.turned = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_mark_holds_for_its_life_whatever_is_marked_beside_it() {
        let life = Duration::from_secs(10);
        let mut memory = ShortMemory::new(life, 1_000);
        let start = Instant::now();
        assert!(memory.note("mine", start));
        for second in 0..10 {
            for number in 0..5_000 {
                memory.note(&format!("{second} {number}"), start + Duration::from_secs(second));
            }
            assert!(memory.noted("mine", start + Duration::from_secs(second)).is_some());
        }
        assert!(memory.noted("mine", start + life).is_none());
        assert!(memory.young.len() <= 1_000 && memory.old.len() <= 1_000);
        assert!(!memory.note("no room", start + Duration::from_secs(9)));
        assert!(memory.note("room again", start + Duration::from_secs(20)));
    }
}
