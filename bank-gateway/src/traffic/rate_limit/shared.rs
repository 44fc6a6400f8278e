//! Limits that several gateways share.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bank_sdk::Problem;
use bank_stores::Limits;
use bank_stores::limit::{NamedCharge, Rate, Verdict};

use super::store::LimitStore;
use super::{Counted, RateLimit};
use crate::exchange::Exchange;
use crate::step::{Flow, Refusal, Waiting};

/// What becomes of requests while the shared store does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenAway {
    /// Each gateway counts by itself against its share of each quota, which is one in so many, and lets one request pass at once at
    /// least. A gateway that is cut off alone passes its share beside what the others take.
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
    store: LimitStore,
    when_away: WhenAway,
}

impl SharedLimits {
    /// Counts in `limits`. A request waits for the answer 250 ms at most; a store that knows that it is away says so at once.
    pub fn new(limits: Arc<dyn Limits>, when_away: WhenAway) -> Self {
        Self { store: LimitStore::new(limits, "quotas"), when_away }
    }

    /// For how long a request waits, at most, for each answer. Give 100 ms at least: with less, a store cannot tell a silent server
    /// from a slow one.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.store.timeout = timeout;
        self
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
        let mut is_away = false;
        for Group { name, of } in groups {
            let counted: Vec<&Counted> = of.iter().filter_map(|at| limit.counted.get(*at)).collect();
            // A request waits for a store that does not answer once.
            let taken = if is_away { None } else { self.take(&name, &counted).await };
            let outcome = match taken {
                Some(verdicts) => limit.told(counted.into_iter().zip(verdicts), &exchange.facts),
                None => {
                    is_away = true;
                    self.without(&limit, &counted, &exchange)
                }
            };
            if outcome.is_err() {
                return (exchange, outcome);
            }
        }
        (exchange, Ok(()))
    }

    /// A verdict for each; nothing while the store is away.
    async fn take(&self, group: &str, counted: &[&Counted]) -> Option<Vec<Verdict>> {
        let charge = |one: &&Counted| NamedCharge::new(&*one.limit.class, one.limit.rate, one.cost);
        let charges: Vec<NamedCharge> = counted.iter().map(charge).collect();
        self.store.take(group, &charges).await
    }

    /// What becomes of a request whose quotas the store did not count.
    fn without(&self, limit: &RateLimit, counted: &[&Counted], exchange: &Exchange) -> Result<(), Refusal> {
        match self.when_away {
            WhenAway::Share(gateways) => {
                limit.count_here(counted.iter().copied(), exchange, |one| share(one, gateways))
            }
            WhenAway::Pass => Ok(()),
            WhenAway::Refuse => Err(Problem::unavailable().into()),
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

/// The name of a group in the store, the same in every gateway. A hash bounds its length; whoever guesses an address can tell its name.
pub(crate) fn hashed(parts: &[&[u8]]) -> String {
    let mut hash = Context::new(&SHA256);
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
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
