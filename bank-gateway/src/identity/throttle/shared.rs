//! Failures that several gateways count together, in a store with the role [`Limits`].
//!
//! | Bucket of a user | Size | One comes back |
//! | --- | --- | --- |
//! | `failed-first` | the free failures | after the first wait |
//! | `failed-later` | so many more as double the first wait to the longest | after the longest wait elsewhere |
//! | `coming-back` | 1 | after [`returning_every`](Throttle::returning_every) |
//!
//! A try looks whether both of the first two have one, and takes it from both, or from neither, when the password was wrong: a
//! right one takes nothing. Where one of them is empty, whoever comes back after being told to wait takes the third.
//!
//! Only tries from where the user has not signed in before count here. Those from elsewhere cannot keep them waiting longer
//! than one gateway would that had seen all failures, since each bucket is full again when the throttle forgets.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bank_stores::Limits;
use bank_stores::limit::{NamedCharge, Rate, Verdict};
use tokio::time::Instant;

use super::{Account, Attempt, FORGOTTEN, Throttle};
use crate::traffic::{LimitStore, hashed};

const FIRST: &str = "failed-first";
const LATER: &str = "failed-later";
const COMING_BACK: &str = "coming-back";
/// A bucket that a store can count has no more room.
const LARGEST: u32 = 1 << 20;

/// The failures at all gateways.
#[derive(Debug)]
pub(crate) struct SharedFailures(LimitStore);

/// Where a try's failure is counted with those at other gateways.
pub(super) struct Together {
    shared: Arc<SharedFailures>,
    group: String,
}

impl SharedFailures {
    pub(crate) fn new(limits: Arc<dyn Limits>) -> Arc<Self> {
        Arc::new(Self(LimitStore::new(limits, "failed logins")))
    }

    /// Lets a try go on that this gateway lets go on. While the store is away, this gateway's word is the last.
    ///
    /// # Errors
    /// When to come back.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        mut attempt: Attempt,
        account: Account<'_>,
    ) -> Result<Attempt, Duration> {
        // What fails there counts there alone, and this gateway knows of it.
        if attempt.is_known {
            return Ok(attempt);
        }
        let (options, group) = (attempt.throttle.options, group(account));
        if attempt.elsewhere.is_none() {
            self.come_back(&options, &group).await?;
            return Ok(attempt);
        }
        match self.look(&options, &group).await {
            None => {}
            Some(Ok(())) => attempt.together = Some(Together { shared: Arc::clone(self), group }),
            Some(Err(wait)) => {
                attempt.come_back(Instant::now()).map_err(|sooner| wait.min(sooner))?;
                self.come_back(&options, &group).await.map_err(|sooner| wait.min(sooner))?;
            }
        }
        Ok(attempt)
    }

    /// Whether the user may fail once more, or else when; nothing while the store is away.
    async fn look(&self, options: &Throttle, group: &str) -> Option<Result<(), Duration>> {
        let charges = failures(options, 0);
        let verdicts = self.0.take(group, &charges).await?;
        let longest =
            charges.iter().zip(&verdicts).filter_map(|(charge, verdict)| wait(charge, verdict)).max();
        Some(longest.map_or(Ok(()), Err))
    }

    /// Takes the try that is set apart, at all gateways together, for whoever comes back.
    async fn come_back(&self, options: &Throttle, group: &str) -> Result<(), Duration> {
        let charge = NamedCharge::new(COMING_BACK, bucket(1, options.returning_every), 1);
        let Some(verdicts) = self.0.take(group, &[charge]).await else { return Ok(()) };
        match verdicts.iter().find(|verdict| !verdict.allowed) {
            Some(refused) => Err(refused.retry_after.unwrap_or(Duration::MAX).min(options.returning_every)),
            None => Ok(()),
        }
    }
}

impl Attempt {
    /// The password was wrong, and that counts at all gateways. It does even if the caller hangs up meanwhile.
    pub(crate) async fn fail_together(mut self) {
        let Some(Together { shared, group }) = self.together.take() else {
            self.fail(Instant::now());
            return;
        };
        let counting = tokio::spawn(async move {
            // Until it is counted the try goes on: whoever waits for its outcome sees it in the store. Where others have emptied the
            // buckets meanwhile, there is nothing to take.
            let options = self.throttle.options;
            shared.0.take(&group, &failures(&options, 1)).await;
            self.fail(Instant::now());
        });
        // Where the task is cut off, so is this gateway.
        let _ = counting.await;
    }

    /// Makes this the try that is set apart for those who come back, since the failures at all gateways leave no other.
    ///
    /// # Errors
    /// When to come back.
    fn come_back(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(common) = self.elsewhere else { return Ok(()) };
        let throttle = Arc::clone(&self.throttle);
        let now = throttle.since_start(now);
        let mut state = throttle.lock();
        throttle.returns(&mut state, self.here, common, now)?;
        state.has_ended(common.1);
        drop(state);
        self.elsewhere = None;
        Ok(())
    }
}

/// A user's group in the store, the same at every gateway. It is a hash: nobody reads there who signs in.
fn group(account: Account<'_>) -> String {
    match account {
        Account::User(id) => hashed(&[b"login", b"user", id.as_bytes()]),
        Account::Name(name) => hashed(&[b"login", b"name", name.as_bytes()]),
    }
}

/// What a failure takes; a cost of 0 looks.
fn failures(options: &Throttle, cost: u32) -> [NamedCharge; 2] {
    let longest = options.longest_wait_elsewhere.min(options.longest_wait);
    let first = options.first_wait.min(longest);
    let doublings = (0_u32..20).find(|number| first.saturating_mul(1 << number) >= longest).unwrap_or(20);
    [
        NamedCharge::new(FIRST, bucket(options.free, first), cost),
        NamedCharge::new(LATER, bucket(options.free.saturating_add(doublings), longest), cost),
    ]
}

/// A bucket of this size into which one comes back after `wait`. It is full again when the throttle forgets, at the latest.
fn bucket(size: u32, wait: Duration) -> Rate {
    let size = NonZeroU32::new(size.min(LARGEST)).unwrap_or(NonZeroU32::MIN);
    Rate::new(NonZeroU32::MIN, wait.min(FORGOTTEN / size.get())).burst(size)
}

/// Until an empty bucket has one again. That takes no longer than for one to come back, whatever the store says.
fn wait(charge: &NamedCharge, verdict: &Verdict) -> Option<Duration> {
    let each = charge.rate.period();
    let all_but_one = each.saturating_mul(charge.rate.quota().get() - 1);
    (verdict.remaining == 0).then(|| verdict.reset_after.saturating_sub(all_but_one).min(each))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bank_stores::limit::{Charge, LimitKey, LimitTable, check};

    /// What buckets say at a time, in nanoseconds.
    fn take(table: &LimitTable, now: u64, named: &[NamedCharge]) -> Vec<Verdict> {
        let charge = |one: &NamedCharge| Charge {
            key: LimitKey::of("test", &one.key),
            rate: one.rate,
            cost: one.cost,
        };
        let charges: Vec<Charge> = named.iter().map(charge).collect();
        table.take(now, &charges).verdicts().to_vec()
    }

    fn settings() -> [Throttle; 4] {
        let long = Duration::from_secs(15 * 60);
        [
            Throttle::new(),
            Throttle::new().free_failures(1).longest_wait_elsewhere(long),
            Throttle::new().free_failures(50).first_wait(long),
            Throttle::new()
                .first_wait(Duration::from_millis(1))
                .longest_wait_elsewhere(Duration::from_secs(60)),
        ]
    }

    #[test]
    fn nobody_waits_longer_than_at_one_gateway_that_had_seen_all_failures() {
        for options in settings() {
            let longest = options.longest_wait_elsewhere.min(options.longest_wait);
            let (table, mut now) = (LimitTable::new(64), 0);
            for failed in 0..80 {
                let charges = failures(&options, 0);
                let verdicts = take(&table, now, &charges);
                let longer =
                    charges.iter().zip(&verdicts).filter_map(|(charge, verdict)| wait(charge, verdict)).max();
                let waits = longer.unwrap_or_default();
                assert!(waits <= options.wait_after(failed, longest), "{failed} failures: {waits:?}");
                assert!(failed != options.free || waits > Duration::ZERO, "the free ones are all");
                now += u64::try_from(waits.as_nanos()).unwrap();
                let taken = take(&table, now, &failures(&options, 1));
                assert!(taken.iter().all(|verdict| verdict.allowed), "{failed} failures");
            }
            // A quarter of an hour forgives here, too.
            now += u64::try_from(FORGOTTEN.as_nanos()).unwrap();
            let full = take(&table, now, &failures(&options, 0));
            assert!(full.iter().all(|verdict| verdict.reset_after.is_zero()), "{full:?}");
        }
    }

    #[test]
    fn every_setting_can_be_counted_by_a_store() {
        let most =
            Throttle::new().free_failures(u32::MAX).first_wait(FORGOTTEN).longest_wait_elsewhere(FORGOTTEN);
        for options in settings().into_iter().chain([most]) {
            check("group", &failures(&options, 1)).unwrap();
            check("group", &[NamedCharge::new(COMING_BACK, bucket(1, options.returning_every), 1)]).unwrap();
        }
    }

    #[test]
    fn a_user_and_a_made_up_name_are_apart_and_neither_is_told() {
        let (user, name) = (group(Account::User("alice")), group(Account::Name("alice")));
        assert_ne!(user, name);
        assert!(!user.contains("alice") && !name.contains("alice"));
    }
}
