//! A part of the table under one lock: a hash table of a fixed size, which never allocates after it is made.

use super::{Charge, LimitKey};

/// How many slots a stranger's arrival looks at for a bucket that can make room.
const SWEEP: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Slot {
    key: [u64; 2],
    /// When the bucket will be full, in nanoseconds.
    filled: u64,
}

const FREE: Slot = Slot { key: [0, 0], filled: 0 };

/// Open addressing with linear probing, at most half full.
#[derive(Debug)]
pub(super) struct Shard {
    slots: Box<[Slot]>,
    capacity: usize,
    len: usize,
    /// Where the next sweep starts.
    hand: usize,
}

impl Shard {
    pub(super) fn new(capacity: usize) -> Self {
        let slots = (capacity.max(1) * 2).next_power_of_two();
        Self { slots: vec![FREE; slots].into_boxed_slice(), capacity: capacity.max(1), len: 0, hand: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// When the bucket of `key` will be full; `None` for a stranger.
    pub(super) fn filled(&self, key: LimitKey) -> Option<u64> {
        let slot = self.slots[self.find(key.0)];
        (slot.key == key.0).then_some(slot.filled)
    }

    /// Charges a bucket where it has enough: when it will be full after that, and whether it had. `None` for a stranger.
    pub(super) fn take(&mut self, charge: &Charge, now: u64) -> Option<(u64, bool)> {
        let index = self.find(charge.key.0);
        let slot = &mut self.slots[index];
        if slot.key != charge.key.0 {
            return None;
        }
        let filled = slot.filled.max(now);
        let next = filled.saturating_add(charge.rate.interval().saturating_mul(u64::from(charge.cost)));
        if next.saturating_sub(now) > charge.rate.span() {
            return Some((filled, false));
        }
        slot.filled = next;
        Some((next, true))
    }

    /// Says when the bucket of `key` will be full; false for a stranger that there is no room for.
    pub(super) fn set(&mut self, key: LimitKey, filled: u64, now: u64) -> bool {
        let mut index = self.find(key.0);
        if self.slots[index].key != key.0 {
            if self.len == self.capacity {
                if !self.sweep(now) {
                    return false;
                }
                index = self.find(key.0);
            }
            self.len += 1;
        }
        self.slots[index] = Slot { key: key.0, filled };
        true
    }

    /// The slot of `key`, or the free one where it belongs. Half of the slots are free, so that it ends.
    fn find(&self, key: [u64; 2]) -> usize {
        let mask = self.slots.len() - 1;
        let mut index = home(key, mask);
        while self.slots[index].key != key && self.slots[index].key != FREE.key {
            index = (index + 1) & mask;
        }
        index
    }

    /// Looks at the next few slots for a bucket that is full again, and removes it.
    fn sweep(&mut self, now: u64) -> bool {
        for _ in 0..SWEEP.min(self.slots.len()) {
            let index = self.hand;
            self.hand = (index + 1) & (self.slots.len() - 1);
            let slot = self.slots[index];
            if slot.key != FREE.key && slot.filled <= now {
                self.remove(index);
                return true;
            }
        }
        false
    }

    /// Frees a slot and moves up those behind it that were pushed on by it.
    fn remove(&mut self, index: usize) {
        let mask = self.slots.len() - 1;
        let (mut gap, mut next) = (index, (index + 1) & mask);
        while self.slots[next].key != FREE.key {
            let from_home = next.wrapping_sub(home(self.slots[next].key, mask)) & mask;
            let from_gap = next.wrapping_sub(gap) & mask;
            if from_home >= from_gap {
                self.slots[gap] = self.slots[next];
                gap = next;
            }
            next = (next + 1) & mask;
        }
        self.slots[gap] = FREE;
        self.len -= 1;
    }
}

fn home(key: [u64; 2], mask: usize) -> usize {
    key[1] as usize & mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_full_shard_takes_strangers_only_in_place_of_full_buckets() {
        let key = |number: usize| LimitKey::of("t", &number.to_string());
        let mut shard = Shard::new(4);
        for number in 0..4 {
            assert!(shard.set(key(number), 10, 0));
        }
        assert!(!shard.set(key(4), 10, 9));
        assert!(shard.set(key(4), 20, 10));
        assert_eq!((shard.len(), shard.filled(key(4))), (4, Some(20)));
    }

    proptest! {
        #[test]
        fn it_forgets_only_full_buckets(steps in prop::collection::vec((0..40_u8, 0..50_u64), 0..300)) {
            let mut shard = Shard::new(16);
            let mut model: HashMap<u8, u64> = HashMap::new();
            for (now, (number, ahead)) in steps.into_iter().enumerate() {
                let now = now as u64;
                let key = |number: u8| LimitKey([u64::from(number) | 1 << 32, u64::from(number % 7)]);
                if shard.set(key(number), now + ahead, now) {
                    model.insert(number, now + ahead);
                }
                for (number, filled) in &model {
                    let held = shard.filled(key(*number));
                    prop_assert!(held == Some(*filled) || (held.is_none() && *filled <= now));
                }
                model.retain(|number, _| shard.filled(key(*number)).is_some());
                prop_assert_eq!(shard.len(), model.len());
            }
        }
    }
}
