//! The table of all buckets.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::shard::Shard;
use super::{Charge, Decision, LimitKey, Rate, Verdict};

/// The most rates whose strangers have a bucket of their own.
const OVERFLOW_RATES: usize = 256;
/// How many charges are handled without allocating.
const INLINE: usize = 4;

/// A bounded table of rate-limit buckets, shared by all threads.
///
/// Memory is taken once, about 64 bytes a bucket at most; calls do not allocate for up to four charges. A bucket is
/// known by its key alone, so that one key is always charged by one rate.
pub struct LimitTable {
    shards: Box<[Mutex<Shard>]>,
    /// Buckets shared by those for whom there was no room, by rate.
    overflow: Mutex<Vec<(Rate, u64)>>,
    overflowed: AtomicU64,
}

type Guard<'a> = MutexGuard<'a, Shard>;

impl LimitTable {
    /// A table of up to `capacity` buckets, at least one.
    pub fn new(capacity: usize) -> Self {
        // Small tables have one part, so that they hold exactly what they say; large ones have many, for many threads.
        let count = (capacity / 1_024).clamp(1, 64).next_power_of_two();
        let each = capacity.div_ceil(count);
        Self {
            shards: (0..count).map(|_| Mutex::new(Shard::new(each))).collect(),
            overflow: Mutex::new(Vec::new()),
            overflowed: AtomicU64::new(0),
        }
    }

    /// Takes all `charges`, or none if one of the buckets has not enough.
    ///
    /// `now_nanos` is a time that does not go back, from any start: one that goes back lets nobody through early.
    pub fn take(&self, now_nanos: u64, charges: &[Charge]) -> Decision {
        match charges {
            [charge] => {
                let mut guards = [Some(self.lock(self.shard_of(charge.key)))];
                let shards = [self.shard_of(charge.key)];
                self.take_locked(now_nanos, charges, &mut guards, &shards, &mut [Bucket::None])
            }
            _ if charges.len() <= INLINE => {
                let mut shards = [0; INLINE];
                let mut guards = [const { None }; INLINE];
                let mut buckets = [Bucket::None; INLINE];
                let count = self.lock_sorted(charges, &mut shards, &mut guards);
                self.take_locked(now_nanos, charges, &mut guards[..count], &shards[..count], &mut buckets)
            }
            _ => {
                let mut shards = vec![0; charges.len()];
                let mut guards: Vec<Option<Guard<'_>>> = (0..charges.len()).map(|_| None).collect();
                let mut buckets = vec![Bucket::None; charges.len()];
                let count = self.lock_sorted(charges, &mut shards, &mut guards);
                self.take_locked(now_nanos, charges, &mut guards[..count], &shards[..count], &mut buckets)
            }
        }
    }

    /// Takes one charge, as [`take`](Self::take) does: without the room for several.
    pub fn take_one(&self, now_nanos: u64, charge: &Charge) -> Verdict {
        let Some((filled, allowed)) = self.lock(self.shard_of(charge.key)).take(charge, now_nanos) else {
            let decision = self.take(now_nanos, std::slice::from_ref(charge));
            return decision.verdicts().first().copied().unwrap_or_default();
        };
        Verdict::new(charge.rate, charge.cost, allowed, filled, now_nanos)
    }

    /// How many buckets are held.
    pub fn len(&self) -> usize {
        (0..self.shards.len()).map(|index| self.lock(index).len()).sum()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many charges went to a shared bucket, since there was no room.
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    fn shard_of(&self, key: LimitKey) -> usize {
        (key.0[0] >> 32) as usize & (self.shards.len() - 1)
    }

    fn lock(&self, index: usize) -> Guard<'_> {
        // A panic under the lock leaves whole numbers behind: there is nothing half done to fear.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the parts that the charges need, each once and in one order, so that no two calls wait for each other.
    fn lock_sorted<'a>(
        &'a self,
        charges: &[Charge],
        shards: &mut [usize],
        guards: &mut [Option<Guard<'a>>],
    ) -> usize {
        for (shard, charge) in shards.iter_mut().zip(charges) {
            *shard = self.shard_of(charge.key);
        }
        shards[..charges.len()].sort_unstable();
        let mut count = 0;
        for index in 0..charges.len() {
            if count == 0 || shards[count - 1] != shards[index] {
                shards[count] = shards[index];
                guards[count] = Some(self.lock(shards[count]));
                count += 1;
            }
        }
        count
    }

    fn take_locked<'a>(
        &'a self,
        now: u64,
        charges: &[Charge],
        guards: &mut [Option<Guard<'a>>],
        shards: &[usize],
        buckets: &mut [Bucket],
    ) -> Decision {
        let mut hold = Hold { table: self, guards, shards, overflow: None };
        let mut decision = Decision::new(charges.len());
        let mut taken = 0;
        for (charge, bucket) in charges.iter().zip(&mut *buckets) {
            let filled;
            (*bucket, filled) = hold.find(charge, now);
            if !matches!(bucket, Bucket::Own) {
                self.overflowed.fetch_add(1, Ordering::Relaxed);
            }
            let next = filled.saturating_add(charge.rate.interval().saturating_mul(u64::from(charge.cost)));
            let allowed = next.saturating_sub(now) <= charge.rate.span();
            if allowed && decision.allowed {
                hold.set(*bucket, charge, next, now);
                taken += 1;
            }
            let filled = if allowed { next } else { filled };
            decision.push(Verdict::new(charge.rate, charge.cost, allowed, filled, now));
        }
        if decision.allowed {
            return decision;
        }
        // Given back in reverse, each to the bucket that paid: looked for again, it might be another one by now. What is
        // written is the sum of charges, so that taking it away again is exact.
        for (charge, bucket) in charges[..taken].iter().zip(&*buckets).rev() {
            let cost = charge.rate.interval().saturating_mul(u64::from(charge.cost));
            let filled = hold.filled(*bucket, charge, now).saturating_sub(cost);
            hold.set(*bucket, charge, filled, now);
        }
        let mut refused = Decision::new(charges.len());
        for ((charge, bucket), verdict) in charges.iter().zip(&*buckets).zip(decision.verdicts()) {
            let filled = hold.filled(*bucket, charge, now);
            refused.push(Verdict::new(charge.rate, charge.cost, verdict.allowed, filled, now));
        }
        refused
    }
}

/// Which bucket a charge goes to.
#[derive(Clone, Copy, Debug)]
enum Bucket {
    /// Its key's own.
    Own,
    /// One of those that strangers of one rate share.
    Shared(usize),
    /// None: there are too many rates.
    None,
}

/// What one call has locked.
struct Hold<'a, 'b> {
    table: &'a LimitTable,
    guards: &'b mut [Option<Guard<'a>>],
    shards: &'b [usize],
    /// Locked last, and only when somebody has no room.
    overflow: Option<MutexGuard<'a, Vec<(Rate, u64)>>>,
}

impl Hold<'_, '_> {
    fn shard(&mut self, key: LimitKey) -> &mut Shard {
        let wanted = self.table.shard_of(key);
        let index = self.shards.iter().position(|shard| *shard == wanted).unwrap_or(0);
        self.guards[index].as_deref_mut().expect("every part that a charge needs was locked before")
    }

    /// The charge's bucket, and when it will be full, now at the earliest; makes the bucket of a stranger.
    fn find(&mut self, charge: &Charge, now: u64) -> (Bucket, u64) {
        let shard = self.shard(charge.key);
        if let Some(filled) = shard.filled(charge.key) {
            return (Bucket::Own, filled.max(now));
        }
        if shard.set(charge.key, now, now) {
            return (Bucket::Own, now);
        }
        match self.share(charge.rate, now) {
            Some((index, filled)) => (Bucket::Shared(index), filled.max(now)),
            None => (Bucket::None, u64::MAX),
        }
    }

    /// When a bucket that was found before will be full, now at the earliest. One that made room since then was full.
    fn filled(&mut self, bucket: Bucket, charge: &Charge, now: u64) -> u64 {
        let filled = match bucket {
            Bucket::Own => self.shard(charge.key).filled(charge.key),
            Bucket::Shared(index) => self.shared(index, charge.rate).map(|filled| *filled),
            Bucket::None => return u64::MAX,
        };
        filled.map_or(now, |filled| filled.max(now))
    }

    /// Says when a bucket that was found before will be full.
    fn set(&mut self, bucket: Bucket, charge: &Charge, filled: u64, now: u64) {
        match bucket {
            Bucket::Own => {
                let shard = self.shard(charge.key);
                if shard.filled(charge.key).is_some() {
                    shard.set(charge.key, filled, now);
                }
            }
            Bucket::Shared(index) => {
                if let Some(shared) = self.shared(index, charge.rate) {
                    *shared = filled;
                }
            }
            Bucket::None => {}
        }
    }

    fn shared(&mut self, index: usize, rate: Rate) -> Option<&mut u64> {
        let buckets = self.overflow.as_mut()?;
        buckets.get_mut(index).filter(|(known, _)| *known == rate).map(|(_, filled)| filled)
    }

    /// The bucket of the strangers of one rate; none when there are too many rates, and then they are refused.
    fn share(&mut self, rate: Rate, now: u64) -> Option<(usize, u64)> {
        let table = self.table;
        let buckets = self
            .overflow
            .get_or_insert_with(|| table.overflow.lock().unwrap_or_else(PoisonError::into_inner));
        let index = match buckets.iter().position(|(known, _)| *known == rate) {
            Some(index) => index,
            None if buckets.len() < OVERFLOW_RATES => {
                buckets.push((rate, now));
                buckets.len() - 1
            }
            None => {
                let index = buckets.iter().position(|(_, filled)| *filled <= now)?;
                buckets[index] = (rate, now);
                index
            }
        };
        Some((index, buckets[index].1))
    }
}

impl fmt::Debug for LimitTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitTable")
            .field("len", &self.len())
            .field("overflowed", &self.overflowed())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    const SECOND: u64 = 1_000_000_000;

    fn rate(limit: u32) -> Rate {
        Rate::per_second(NonZeroU32::new(limit).unwrap())
    }

    fn key(number: u64) -> LimitKey {
        LimitKey::of("test", &number.to_string())
    }

    #[test]
    fn memory_is_bounded_and_a_known_caller_exact_among_a_million_strangers() {
        let table = LimitTable::new(10_000);
        let known = [Charge::one(key(u64::MAX), rate(100))];
        let mut allowed = 0;
        for stranger in 0..1_000_000_u64 {
            // All within 10 ms: one unit flows back to the known caller, and no stranger's bucket is full again.
            let now = SECOND + stranger * 10;
            table.take(now, &[Charge::one(key(stranger), rate(1))]);
            if stranger % 1_000 == 0 {
                allowed += u32::from(table.take(now, &known).allowed);
            }
        }
        assert_eq!(allowed, 100);
        assert!(table.len() <= 10_240, "{}", table.len());
        assert!(table.overflowed() > 900_000);
    }

    #[test]
    fn strangers_without_room_share_one_bucket_a_rate() {
        let table = LimitTable::new(2);
        for number in 0..2 {
            assert!(table.take(0, &[Charge::one(key(number), rate(1))]).allowed);
        }
        let allowed = (2..20).filter(|number| table.take(0, &[Charge::one(key(*number), rate(3))]).allowed);
        assert_eq!(allowed.count(), 3);
        // Those who were known first still are, and have nothing left.
        for number in 0..2 {
            assert!(!table.take(SECOND / 2, &[Charge::one(key(number), rate(1))]).allowed);
        }
        // When their buckets are full again, they make room.
        assert!(table.take(SECOND, &[Charge::one(key(77), rate(3))]).allowed);
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn all_are_taken_or_none() {
        let table = LimitTable::new(100);
        for number in 2..12 {
            let mut charges: Vec<Charge> = (0..number).map(|n| Charge::one(key(n), rate(1_000))).collect();
            charges.push(Charge { key: key(100 + number), rate: rate(2), cost: 3 });
            let refused = table.take(0, &charges);
            assert!(!refused.allowed);
            let verdicts = refused.verdicts();
            assert_eq!(verdicts.len(), charges.len());
            assert!(
                verdicts[..number as usize]
                    .iter()
                    .all(|verdict| verdict.allowed && verdict.remaining == 1_000)
            );
            assert_eq!(verdicts[number as usize].retry_after, None);
        }
    }

    #[test]
    fn a_refusal_gives_back_to_the_bucket_that_paid() {
        let table = LimitTable::new(1_000);
        for number in 0..999 {
            assert!(table.take(0, &[Charge::one(key(number), rate(1))]).allowed);
        }
        // One bucket is full again, and a stranger's search finds it sooner or later, but not each time.
        table.take(0, &[Charge { key: key(999), rate: rate(1), cost: 0 }]);
        let exhausted = Charge::one(key(0), rate(1));
        for stranger in 1_000..1_200 {
            assert!(!table.take(0, &[Charge::one(key(stranger), rate(7)), exhausted]).allowed);
            let shared = table.overflow.lock().unwrap();
            assert!(shared.iter().all(|(_, filled)| *filled == 0), "{shared:?}");
        }
        assert!(table.overflowed() > 100);
    }

    #[test]
    fn one_bucket_charged_twice_in_a_call_pays_twice() {
        let table = LimitTable::new(100);
        let twice = [Charge::one(key(1), rate(3)), Charge::one(key(1), rate(3))];
        assert_eq!(table.take(0, &twice).verdicts()[1].remaining, 1);
        assert!(!table.take(0, &twice).allowed);
        assert_eq!(table.take(0, &twice[..1]).verdicts()[0].remaining, 0);
    }

    #[test]
    fn threads_together_get_what_one_would() {
        let table = LimitTable::new(100_000);
        let allowed: u32 = std::thread::scope(|scope| {
            let run = |offset: u64| {
                let table = &table;
                move || {
                    (0..2_000_u64)
                        .map(|n| {
                            let own = Charge::one(key(offset * 10_000 + n), rate(1));
                            let order = [Charge::one(key(1), rate(500)), own];
                            let order = if offset.is_multiple_of(2) { order } else { [order[1], order[0]] };
                            u32::from(table.take(0, &order).allowed)
                        })
                        .sum::<u32>()
                }
            };
            let threads: Vec<_> = (1..5).map(|offset| scope.spawn(run(offset))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(allowed, 500);
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate_allow(
            limit in 1..50_u32,
            burst in 1..50_u32,
            steps in prop::collection::vec((0..SECOND / 4, 0..4_u32), 1..200),
        ) {
            let rate = rate(limit).burst(NonZeroU32::new(burst).unwrap());
            let table = LimitTable::new(10);
            let (mut now, mut taken) = (0, 0_u64);
            for (step, cost) in steps {
                now += step;
                let charge = Charge { key: key(1), rate, cost };
                let verdict = table.take(now, &[charge]).verdicts()[0];
                taken += if verdict.allowed { u64::from(cost) } else { 0 };
                prop_assert!(taken <= u64::from(burst) + now * u64::from(limit) / SECOND);
                if let Some(wait) = verdict.retry_after {
                    // Exact: refused a nanosecond earlier. A refusal takes nothing, so that asking does no harm.
                    let wait = wait.as_nanos() as u64;
                    prop_assert!(!table.take(now + wait - 1, &[charge]).allowed);
                    let verdict = table.take(now + wait, &[charge]).verdicts()[0];
                    prop_assert!(verdict.allowed);
                    now += wait;
                    taken += u64::from(cost);
                }
            }
        }
    }
}
