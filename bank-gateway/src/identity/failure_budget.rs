//! How many credentials that do not hold one network may try in a time. A network is an address, of IPv6 a /64; a request
//! whose address nobody knows is not counted.
//!
//! Only what is looked up or verified in vain is charged. Who is known already is not asked for the budget: strangers on a
//! shared address cannot keep those out who have signed in. Networks share a fixed number of cells by a keyed hash, so that
//! there is nothing to fill and nothing to evict: 65,536 cells in 512 KiB.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bank_sdk::Problem;
use bank_sdk::http::Body;
use http::{Request, StatusCode};
use tokio::time::Instant;

use crate::Quota;
use crate::inbound::ClientAddr;

const CELLS: usize = 65_536;

/// Where a request comes from, as far as it is counted: an address, of IPv6 its /64. Without an address all are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Network(Option<IpAddr>);

impl Network {
    /// The network of a request.
    pub(crate) fn of(request: &Request<Body>) -> Self {
        Self(request.extensions().get::<ClientAddr>().map(|address| match address.0.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::from([a, b, c, d, 0, 0, 0, 0])
            }
            address => address,
        }))
    }

    #[cfg(test)]
    pub(crate) fn test(number: u32) -> Self {
        Self(Some(IpAddr::from(number.to_be_bytes())))
    }
}

/// The budget of every network.
pub(crate) struct FailureBudget {
    hasher: RandomState,
    /// For each cell the time, in nanoseconds from the start, at which all that was charged is paid back.
    cells: Box<[AtomicU64]>,
    start: Instant,
    interval: u64,
    burst: u64,
}

impl FailureBudget {
    /// So many failures for each network. A quota that lets nothing pass lets one a second pass.
    pub(crate) fn new(quota: Quota) -> Self {
        let (interval, burst) = quota.rate().map_or((Duration::from_secs(1), 1), |rate| {
            (rate.period() / rate.limit().get(), rate.quota().get())
        });
        let interval = nanos(interval).max(1);
        Self {
            hasher: RandomState::new(),
            cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
            start: Instant::now(),
            interval,
            burst: interval.saturating_mul(u64::from(burst)),
        }
    }

    /// Lets the network try, while its failures are within the budget.
    pub(crate) fn check(&self, network: Network) -> Result<(), Problem> {
        if network == Network::default() {
            return Ok(());
        }
        let now = nanos(self.start.elapsed());
        let due = self.cell(network).load(Ordering::Relaxed);
        let ahead = (due + self.interval).saturating_sub(now);
        if ahead <= self.burst {
            return Ok(());
        }
        let wait = Duration::from_nanos(ahead - self.burst);
        Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many credentials from here that do not hold; wait as long as `Retry-After` says",
        )
        .with_code("rate_limited")
        .with_retry_after(wait))
    }

    /// Counts a failure.
    pub(crate) fn charge(&self, network: Network) {
        let now = nanos(self.start.elapsed());
        let charged = |due: u64| Some(due.max(now).saturating_add(self.interval));
        // An update that always has a value always succeeds.
        let _ = self.cell(network).fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged);
    }

    fn cell(&self, network: Network) -> &AtomicU64 {
        &self.cells[self.hasher.hash_one(network) as usize % CELLS]
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for FailureBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailureBudget")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_network_that_fails_too_often_waits_and_others_do_not() {
        let budget = FailureBudget::new(Quota::per_second(10).burst(20));
        let (here, elsewhere) = (Network::test(1), Network::test(2));
        let mut passed = 0;
        while budget.check(here).is_ok() {
            budget.charge(here);
            passed += 1;
        }
        assert_eq!(passed, 20);
        assert!(budget.check(elsewhere).is_ok());
        tokio::time::advance(Duration::from_millis(100)).await;
        assert!(budget.check(here).is_ok());
        budget.charge(here);
        assert!(budget.check(here).is_err());
    }
}
