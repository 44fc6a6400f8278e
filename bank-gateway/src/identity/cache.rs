//! What was found out lately and need not be found out again: bounded in bytes, split among locks, and evicted a few
//! steps at a time.
//!
//! Eviction is the clock algorithm: an entry that was used since the hand last passed gets a second chance. The hand makes
//! at most [`MAX_STEPS`] steps for one eviction, so that no insertion scans a table.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bank_sdk::Principal;

const SHARDS: usize = 16;
const MAX_STEPS: usize = 16;
/// What an entry costs beside its contents: its share of the index and of what the allocator rounds up.
const OVERHEAD: usize = 64;

/// A cache of at most so many bytes.
pub(crate) struct ByteCache<K, V, S = RandomState> {
    hasher: S,
    shards: Box<[Mutex<Shard<K, V>>]>,
    bytes: usize,
}

struct Shard<K, V> {
    /// Where the entry of a hash stands. Two keys of one hash take each other's place.
    index: HashMap<u64, usize, BuildHasherDefault<Beginning>>,
    entries: Vec<Entry<K, V>>,
    hand: usize,
    bytes: usize,
}

struct Entry<K, V> {
    hash: u64,
    key: K,
    value: V,
    bytes: usize,
    used: bool,
}

/// Keys that are digests already, or other hashes: their hash is made of their beginning.
#[derive(Default)]
pub(crate) struct Beginning(u64);

impl Hasher for Beginning {
    fn write(&mut self, bytes: &[u8]) {
        // The length of an array is written before it, and is passed over so.
        if let Some(beginning) = bytes.first_chunk() {
            // Spread over all bits: shards and the index use some of them each.
            let spread = u128::from(u64::from_ne_bytes(*beginning)) * 0x9e37_79b9_7f4a_7c15;
            self.0 = (spread >> 64) as u64 ^ spread as u64;
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl<K: Hash + Eq, V, S: BuildHasher + Default> ByteCache<K, V, S> {
    /// An empty cache; it takes memory as it fills.
    pub(crate) fn new(bytes: usize) -> Self {
        let empty = || Shard { index: HashMap::default(), entries: Vec::new(), hand: 0, bytes: 0 };
        Self { hasher: S::default(), shards: (0..SHARDS).map(|_| Mutex::new(empty())).collect(), bytes }
    }

    /// What `read` makes of the value of this key.
    pub(crate) fn read<Q, R>(&self, key: &Q, read: impl FnOnce(&mut V) -> R) -> Option<R>
    where
        Q: Hash + Eq + ?Sized,
        K: std::borrow::Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash);
        let at = *shard.index.get(&hash)?;
        let entry = shard.entries.get_mut(at).filter(|entry| entry.key.borrow() == key)?;
        entry.used = true;
        Some(read(&mut entry.value))
    }

    /// Keeps a value that takes so many bytes, in the place of the least used where it has to. What is larger than a share
    /// of the whole is not kept.
    pub(crate) fn insert(&self, key: K, value: V, bytes: usize) {
        let (hash, bytes) = (self.hasher.hash_one(&key), bytes + size_of::<Entry<K, V>>() + OVERHEAD);
        let limit = self.bytes / SHARDS;
        if bytes > limit {
            return;
        }
        let mut shard = self.shard(hash);
        if let Some(at) = shard.index.get(&hash).copied() {
            shard.remove(at);
        }
        while shard.bytes + bytes > limit {
            shard.evict();
        }
        let at = shard.entries.len();
        shard.index.insert(hash, at);
        shard.entries.push(Entry { hash, key, value, bytes, used: false });
        shard.bytes += bytes;
    }

    /// Forgets a key.
    pub(crate) fn remove<Q>(&self, key: &Q)
    where
        Q: Hash + Eq + ?Sized,
        K: std::borrow::Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash);
        if let Some(at) = shard.index.get(&hash).copied() {
            shard.remove(at);
        }
    }

    /// How many bytes are in use.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).bytes).sum()
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<K, V>> {
        // The index uses the low bits.
        let at = (hash >> 56) as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Shard<K, V> {
    fn remove(&mut self, at: usize) {
        if at >= self.entries.len() {
            return;
        }
        let gone = self.entries.swap_remove(at);
        self.index.remove(&gone.hash);
        self.bytes -= gone.bytes;
        if let Some(moved) = self.entries.get(at) {
            self.index.insert(moved.hash, at);
        }
    }

    fn evict(&mut self) {
        for _ in 0..MAX_STEPS {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            match self.entries.get_mut(self.hand) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.hand += 1;
                }
                _ => break,
            }
        }
        if self.hand >= self.entries.len() {
            self.hand = 0;
        }
        self.remove(self.hand);
    }
}

impl<K, V, S> fmt::Debug for ByteCache<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteCache").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// About how many bytes a principal takes.
pub(crate) fn principal_bytes(principal: &Principal) -> usize {
    /// A string's own allocation, as an allocator rounds it.
    const fn text(bytes: usize) -> usize {
        if bytes == 0 { 0 } else { bytes.next_multiple_of(16) + 8 }
    }
    let optional = |value: &Option<String>| value.as_ref().map_or(0, |value| text(value.capacity()));
    let list = |values: &Vec<String>| {
        text(values.capacity() * size_of::<String>())
            + values.iter().map(|value| text(value.capacity())).sum::<usize>()
    };
    let pairs = principal.cnf.iter().map(|(name, value)| text(name.len()) + text(value.len()) + 64);
    size_of::<Principal>()
        + 24
        + text(principal.subject.capacity())
        + list(&principal.scopes)
        + list(&principal.roles)
        + list(&principal.amr)
        + optional(&principal.tenant)
        + optional(&principal.acr)
        + optional(&principal.session)
        + optional(&principal.credential)
        + pairs.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s33_a_cache_stays_within_its_bytes_and_keeps_what_is_used() {
        let cache = ByteCache::<u64, u64>::new(1 << 20);
        cache.insert(0, 0, 100);
        for key in 1..50_000 {
            assert!(cache.read(&0, |value| *value).is_some(), "lost after {key}");
            cache.insert(key, key, 100);
            assert_eq!(cache.read(&key, |value| *value), Some(key));
        }
        assert!(cache.bytes() <= 1 << 20);
        assert!(cache.bytes() > 1 << 19, "most of the room is used");
        cache.insert(1 << 40, 0, 1 << 20);
        assert!(cache.read(&(1 << 40), |_| ()).is_none(), "larger than a share");
        cache.remove(&0);
        assert!(cache.read(&0, |_| ()).is_none());
    }

    #[test]
    fn an_insertion_into_a_full_cache_takes_a_bounded_number_of_steps() {
        let cache = ByteCache::<u64, u64>::new(4 << 20);
        for key in 0..40_000 {
            cache.insert(key, key, 0);
        }
        for key in 0..40_000 {
            cache.read(&key, |_| ());
        }
        // Every entry was used: a clock without a bound would walk a whole shard here.
        let before: usize = used(&cache);
        cache.insert(1 << 40, 0, 0);
        assert!(before - used(&cache) <= MAX_STEPS + 1);
    }

    fn used(cache: &ByteCache<u64, u64>) -> usize {
        cache.shards.iter().map(|shard| shard.lock().unwrap().entries.iter().filter(|e| e.used).count()).sum()
    }
}
