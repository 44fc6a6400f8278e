//! A table of a bounded number of entries that are forgotten when they were not touched for their life.
//!
//! Entries stand in a queue in the order in which they were made. Whoever makes an entry looks at a few at its head: those
//! too old go, those touched since go to the end. So nothing is scanned, and the oldest stand first.

use std::collections::{HashMap, VecDeque};

/// Milliseconds from a start.
pub(super) type Millis = u64;

/// How many entries at the head are looked at for each new one.
const STEPS: usize = 4;
/// Where a full table shares places, it has so many of them.
const SHARED: u64 = 1_024;

pub(super) struct Table<V> {
    entries: HashMap<u64, Entry<V>>,
    queue: VecDeque<(u64, Millis)>,
    life: Millis,
    capacity: usize,
}

/// A value, and when it was touched last. A time that lies ahead keeps it for longer.
pub(super) struct Entry<V> {
    pub(super) value: V,
    pub(super) touched: Millis,
}

impl<V> Table<V> {
    /// Room for so many.
    pub(super) fn new(capacity: usize, life: Millis) -> Self {
        Self { entries: HashMap::new(), queue: VecDeque::new(), life, capacity }
    }

    /// What is remembered of a key, in its own place or in the one that it shares.
    pub(super) fn get(&self, key: u64, now: Millis) -> Option<&V> {
        let entry = self.entries.get(&self.place(key))?;
        (now.saturating_sub(entry.touched) < self.life).then_some(&entry.value)
    }

    /// The same, to be changed; it is as old as before.
    pub(super) fn get_mut(&mut self, key: u64, now: Millis) -> Option<&mut V> {
        let (place, life) = (self.place(key), self.life);
        let entry = self.entries.get_mut(&place)?;
        (now.saturating_sub(entry.touched) < life).then_some(&mut entry.value)
    }

    /// The same, in a place of its own only.
    pub(super) fn own_mut(&mut self, key: u64, now: Millis) -> Option<&mut V> {
        let life = self.life;
        let entry = self.entries.get_mut(&key)?;
        (now.saturating_sub(entry.touched) < life).then_some(&mut entry.value)
    }

    /// The entry of a key, made where there is none. A full table gives it a place that it shares with others.
    pub(super) fn share(&mut self, key: u64, now: Millis, make: impl FnOnce() -> V) -> &mut Entry<V> {
        let key = if self.has_room_for(key, now) { key } else { shared(key) };
        self.touch(key, now, make)
    }

    /// The entry of a key, made where there is none. In a full table the oldest entry gives way.
    pub(super) fn replace(&mut self, key: u64, now: Millis, make: impl FnOnce() -> V) -> &mut Entry<V> {
        if !self.has_room_for(key, now)
            && let Some((oldest, _)) = self.queue.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.touch(key, now, make)
    }

    fn place(&self, key: u64) -> u64 {
        if self.entries.len() < self.capacity || self.entries.contains_key(&key) { key } else { shared(key) }
    }

    fn has_room_for(&mut self, key: u64, now: Millis) -> bool {
        if self.entries.contains_key(&key) {
            return true;
        }
        for _ in 0..STEPS {
            let Some((head, seen)) = self.queue.front().copied() else { break };
            let touched = self.entries.get(&head).map_or(seen, |entry| entry.touched);
            if touched > seen {
                self.queue.pop_front();
                self.queue.push_back((head, touched));
            } else if now.saturating_sub(touched) >= self.life {
                self.queue.pop_front();
                self.entries.remove(&head);
            } else {
                break;
            }
        }
        self.entries.len() < self.capacity
    }

    fn touch(&mut self, key: u64, now: Millis, make: impl FnOnce() -> V) -> &mut Entry<V> {
        use std::collections::hash_map::Entry::{Occupied, Vacant};
        let life = self.life;
        match self.entries.entry(key) {
            Occupied(entry) => {
                let entry = entry.into_mut();
                if now.saturating_sub(entry.touched) >= life {
                    entry.value = make();
                }
                entry.touched = entry.touched.max(now);
                entry
            }
            Vacant(place) => {
                self.queue.push_back((key, now));
                place.insert(Entry { value: make(), touched: now })
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.queue.len());
        self.entries.len()
    }
}

/// One of the places that are shared. A key of one's own is a hash, and as good as never as small.
const fn shared(key: u64) -> u64 {
    key % SHARED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_entries_go_first_and_those_that_are_touched_stay() {
        let mut table = Table::new(1_000, 100);
        table.replace(1 << 40, 0, || 0).value = 7;
        for number in 0..100_000_u64 {
            let now = number / 100;
            if number % 50 == 0 {
                table.replace(1 << 40, now, || 0);
            }
            table.replace((1 << 50) + number, now, || 1);
            assert!(table.len() <= 1_000);
        }
        assert_eq!(table.get(1 << 40, 1_000), Some(&7));
        assert_eq!(table.get(1 << 40, 1_200), None);
        assert_eq!(table.replace(1 << 40, 1_200, || 0).value, 0, "what is too old begins anew");
    }

    #[test]
    fn a_full_table_that_shares_forgets_nobody() {
        let mut table = Table::new(1_000, 100);
        for number in 0..50_000_u64 {
            table.share((1 << 50) + number, 0, || 0).value += 1;
        }
        assert!(table.len() <= 1_000 + 1_024);
        assert!((0..50_000).all(|number| table.get((1 << 50) + number, 0).is_some_and(|count| *count >= 1)));
        assert_eq!(table.own_mut((1 << 50) + 49_999, 0), None, "it has no place of its own");
    }
}
