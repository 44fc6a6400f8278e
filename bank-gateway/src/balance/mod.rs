//! Which endpoint? Power of two choices on peak EWMA: of two endpoints drawn at random, the one whose recent latency times
//! requests in flight is less (Mitzenmacher 2001; Finagle's peak EWMA). A failure counts as a slow answer, so that an
//! endpoint which fails fast attracts nothing.

mod load;
mod service;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bank_sdk::client::Connections;
use tokio::time::Instant;

use crate::breaker::Breaker;
use load::Load;

pub use service::Balance;

/// One endpoint of an upstream, and how it does. It outlives a reload.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: u64,
    pub(crate) address: String,
    pub(crate) connections: Connections,
    pub(crate) breaker: Breaker,
    pub(crate) load: Load,
}

impl Endpoint {
    pub(crate) fn new(address: String, connections: Connections) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, address, connections, breaker: Breaker::default(), load: Load::default() }
    }
}

/// The endpoints of one upstream.
#[derive(Debug)]
pub(crate) struct Balancer {
    endpoints: Vec<Arc<Endpoint>>,
    draws: Draws,
}

impl Balancer {
    pub(crate) fn new(endpoints: Vec<Arc<Endpoint>>) -> Self {
        Self { endpoints, draws: Draws::default() }
    }

    pub(crate) fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// The endpoint for a request that was not tried on those in `tried`. When every breaker is open one is asked all the
    /// same: refusing everything for certain is worse than trying.
    pub(crate) fn pick(&self, now: Instant, tried: &[u64]) -> Option<&Arc<Endpoint>> {
        let fresh = |endpoint: &&Arc<Endpoint>| !tried.contains(&endpoint.id);
        let ready = |endpoint: &&Arc<Endpoint>| endpoint.breaker.is_ready(now);
        // Somebody else may take a probe between the look and the entry; then the others are asked.
        for _ in 0..self.endpoints.len() {
            match self.draws.choose(self.endpoints.iter().filter(fresh).filter(ready), |e| &e.load, now) {
                Some(chosen) if chosen.breaker.enter(now) => return Some(chosen),
                Some(_) => {}
                None => break,
            }
        }
        self.draws.choose(self.endpoints.iter().filter(fresh), |endpoint| &endpoint.load, now)
    }
}

/// Random draws. SplitMix64 over a counter: uniform enough to spread load, and without a lock.
#[derive(Debug, Default)]
struct Draws(AtomicU64);

impl Draws {
    /// The better of two drawn at random.
    fn choose<'a, T>(
        &self,
        mut candidates: impl Iterator<Item = &'a T> + Clone,
        load: impl Fn(&T) -> &Load,
        now: Instant,
    ) -> Option<&'a T> {
        let count = candidates.clone().count();
        if count < 2 {
            return candidates.next();
        }
        let drawn = self.next();
        let one = (drawn as u32 as usize) % count;
        let other = (one + 1 + (drawn >> 32) as usize % (count - 1)) % count;
        let (one, other) = (candidates.clone().nth(one)?, candidates.nth(other)?);
        Some(if load(other).cost(now) < load(one).cost(now) { other } else { one })
    }

    fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bank_sdk::client::ConnectOptions;

    use super::*;

    fn balancer(count: u16) -> Balancer {
        let endpoint = |port: u16| {
            let address = format!("http://127.0.0.1:{}", 9_000 + port);
            let connections = Connections::new(&address.parse().unwrap(), ConnectOptions::default()).unwrap();
            Arc::new(Endpoint::new(address, connections))
        };
        Balancer::new((0..count).map(endpoint).collect())
    }

    fn share(balancer: &Balancer, of: usize) -> usize {
        let now = Instant::now();
        let id = balancer.endpoints()[of].id;
        (0..1_000).filter(|_| balancer.pick(now, &[]).unwrap().id == id).count()
    }

    #[test]
    fn equal_endpoints_share_equally() {
        let balancer = balancer(4);
        for at in 0..4 {
            let share = share(&balancer, at);
            assert!((180..320).contains(&share), "{share}");
        }
    }

    #[test]
    fn a_slow_and_a_failing_endpoint_get_little() {
        let balancer = balancer(3);
        let now = Instant::now();
        balancer.endpoints()[0].load.answered(Duration::from_millis(1), now);
        balancer.endpoints()[1].load.answered(Duration::from_millis(50), now);
        balancer.endpoints()[2].load.failed(Duration::from_micros(10), now);
        assert!(share(&balancer, 0) > 600);
        assert!(share(&balancer, 2) < 40);
    }

    #[test]
    fn an_open_breaker_is_passed_over_but_never_all_of_them() {
        let balancer = balancer(2);
        let now = Instant::now();
        (0..5).for_each(|_| balancer.endpoints()[0].breaker.failed(now));
        assert_eq!(share(&balancer, 0), 0);
        (0..5).for_each(|_| balancer.endpoints()[1].breaker.failed(now));
        assert!(balancer.pick(now, &[]).is_some());
    }

    #[test]
    fn a_retry_picks_another_endpoint() {
        let balancer = balancer(2);
        let first = balancer.endpoints()[0].id;
        assert_ne!(balancer.pick(Instant::now(), &[first]).unwrap().id, first);
        let both: Vec<u64> = balancer.endpoints().iter().map(|endpoint| endpoint.id).collect();
        assert!(balancer.pick(Instant::now(), &both).is_none());
    }
}
