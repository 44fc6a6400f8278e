//! Limits that several gateways share.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{Context, SHA256};
use bank_sdk::Problem;
use bank_stores::Limits;
use bank_stores::limit::{NamedCharge, Rate};

use super::{Counted, RateLimit};
use crate::exchange::Exchange;
use crate::step::{Flow, Refusal, Waiting};

/// What becomes of requests while the shared store does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenAway {
    /// Each gateway counts by itself against its share of each quota, which is one in so many. All together let pass what the
    /// quota says, and at most a burst more each time the store goes away or comes back.
    Share(NonZeroU32),
    /// They pass, and nobody counts them.
    Pass,
    /// They are refused with 503.
    Refuse,
}

/// A store in which several gateways count together, such as
/// [`RedisLimits`](https://docs.rs/bank-stores/latest/bank_stores/redis/struct.RedisLimits.html). Clones are one.
#[derive(Clone, Debug)]
pub struct SharedLimits {
    limits: Arc<dyn Limits>,
    when_away: WhenAway,
    is_away: Arc<AtomicBool>,
}

impl SharedLimits {
    /// Counts in `limits`. A request waits for the answer, so the store has to give up on its own within a time that callers can
    /// bear, and at once when it knows that it is away.
    pub fn new(limits: Arc<dyn Limits>, when_away: WhenAway) -> Self {
        Self { limits, when_away, is_away: Arc::default() }
    }

    /// Counts a request, when the store has answered.
    pub(super) fn count(&self, limit: &RateLimit, exchange: &mut Exchange, held: &mut Waiting) -> Flow {
        let groups = groups(&limit.counted, exchange);
        if groups.is_empty() {
            return Flow::Pass;
        }
        held.start(self.clone().ask(limit.clone(), exchange.take(), groups))
    }

    async fn ask(
        self,
        limit: RateLimit,
        exchange: Exchange,
        groups: Vec<Group>,
    ) -> (Exchange, Result<(), Refusal>) {
        for Group { name, of } in groups {
            let counted = || of.iter().filter_map(|at| limit.counted.get(*at));
            let charge = |one: &Counted| NamedCharge::new(&*one.limit.class, one.limit.rate, one.cost);
            let charges: Vec<NamedCharge> = counted().map(charge).collect();
            let counted = match self.limits.take(&name, &charges).await {
                Ok(verdicts) => {
                    self.answered();
                    limit.told(counted().zip(verdicts), &exchange.facts)
                }
                Err(error) => {
                    self.went_away(&error);
                    let counted = self.without(&limit, &exchange);
                    return (exchange, counted);
                }
            };
            if counted.is_err() {
                return (exchange, counted);
            }
        }
        (exchange, Ok(()))
    }

    /// What becomes of a request that the store did not count.
    fn without(&self, limit: &RateLimit, exchange: &Exchange) -> Result<(), Refusal> {
        match self.when_away {
            WhenAway::Share(gateways) => limit.count_here(exchange, |one| share(one, gateways)),
            WhenAway::Pass => Ok(()),
            WhenAway::Refuse => Err(Problem::unavailable().into()),
        }
    }

    fn went_away(&self, error: &bank_stores::Error) {
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, when_away = ?self.when_away, "the shared limits do not answer");
        }
    }

    fn answered(&self) {
        if self.is_away.load(Ordering::Relaxed) && self.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!("the shared limits answer again");
        }
    }
}

/// One in so many of a rate. A burst lets one request pass at least.
fn share(one: &Counted, gateways: NonZeroU32) -> Rate {
    let (rate, parts) = (one.limit.rate, gateways.get());
    let burst = NonZeroU32::new((rate.quota().get() / parts).max(one.cost)).unwrap_or(NonZeroU32::MIN);
    Rate::new(rate.limit(), rate.period().saturating_mul(parts)).burst(burst)
}

/// Quotas of one caller, which are taken together.
struct Group {
    name: String,
    /// Which of the limit's quotas.
    of: Vec<usize>,
}

fn groups(counted: &[Counted], exchange: &Exchange) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::with_capacity(1);
    for (at, one) in counted.iter().enumerate() {
        let Some(name) = one.by.named(exchange, hashed) else { continue };
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.of.push(at),
            None => groups.push(Group { name, of: vec![at] }),
        }
    }
    groups
}

/// The name of a group in the store, where nobody can read whom it counts for.
fn hashed(parts: &[&[u8]]) -> String {
    let mut hash = Context::new(&SHA256);
    for part in parts {
        hash.update(&part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finish().as_ref()[..16].iter().fold(String::with_capacity(32), |mut name, byte| {
        // A string takes all that is written.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{LimitBy, Quota};
    use std::time::Duration;

    #[test]
    fn the_shares_of_all_gateways_are_the_quota() {
        let counted = |quota: Quota, cost| Counted::new("x", quota, LimitBy::Caller, cost).unwrap();
        let gateways = NonZeroU32::new(4).unwrap();
        let part = share(&counted(Quota::per_second(100).burst(200), 1), gateways);
        assert_eq!(
            (part.limit().get(), part.period(), part.quota().get()),
            (100, Duration::from_secs(4), 50)
        );
        // What a request costs is there after some time, however many gateways there are.
        let part = share(&counted(Quota::per_hour(5), 3), gateways);
        assert_eq!((part.limit().get(), part.quota().get()), (5, 3));
    }

    #[test]
    fn names_keep_their_parts_apart() {
        assert_ne!(hashed(&[b"a", b"bc"]), hashed(&[b"ab", b"c"]));
        assert_eq!(hashed(&[b"a"]).len(), 32);
    }
}
