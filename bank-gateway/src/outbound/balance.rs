//! Which endpoint? Power of two choices on peak EWMA: of two endpoints drawn at random, the one whose recent latency times
//! requests in flight is less (Mitzenmacher 2001; Finagle's peak EWMA). A failure counts as a slow answer, so that an
//! endpoint which fails fast attracts nothing.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bank_sdk::http::Body;
use http::Response;
use tokio::time::Instant;

use super::breaker::BreakerOptions;
use super::draws::Draws;
use super::endpoint::Endpoint;
use super::{Failure, Outcome, Sending, Transport, Unsent};

/// Sends each request to one of several endpoints. One whose breaker is open is passed over; when all are, one is asked all
/// the same, unless none could be reached: refusing everything for certain is worse than trying. Endpoints come and go while
/// it works.
#[derive(Debug)]
pub struct Balance<T> {
    endpoints: ArcSwap<Vec<Arc<Endpoint<T>>>>,
    draws: Draws,
}

impl<T: Transport> Balance<T> {
    /// Over these; without any, every request is answered with 503.
    pub fn over(transports: impl IntoIterator<Item = T>) -> Self {
        let endpoint =
            |transport| Arc::new(Endpoint::new(String::new(), transport, BreakerOptions::default()));
        Self::of(transports.into_iter().map(endpoint).collect())
    }

    pub(crate) fn of(endpoints: Vec<Arc<Endpoint<T>>>) -> Self {
        Self { endpoints: ArcSwap::from_pointee(endpoints), draws: Draws::default() }
    }

    /// The endpoints as they are now.
    pub(crate) fn endpoints(&self) -> Arc<Vec<Arc<Endpoint<T>>>> {
        self.endpoints.load_full()
    }

    /// Other endpoints from now on. Requests on their way end where they are.
    pub(crate) fn replace(&self, endpoints: Vec<Arc<Endpoint<T>>>) {
        self.endpoints.store(Arc::new(endpoints));
    }

    /// The endpoint for a request that was not tried on those in `tried`.
    fn pick(&self, now: Instant, sending: &Sending) -> Result<Arc<Endpoint<T>>, Unsent> {
        let endpoints = self.endpoints.load();
        if let [only] = &endpoints[..]
            && sending.tried.is_empty()
            && only.health().enter(now, sending)
        {
            return Ok(only.clone());
        }
        let untried: Vec<&Arc<Endpoint<T>>> =
            endpoints.iter().filter(|endpoint| !sending.tried.contains(endpoint.id())).collect();
        if untried.is_empty() {
            return Err(Unsent::NoEndpoint);
        }
        let choose = |candidates: &[&Arc<Endpoint<T>>]| {
            let cost = |at: usize| candidates[at].health().load.cost(now);
            self.draws.better_of_two(candidates.len(), cost).map(|at| candidates[at].clone())
        };
        let mut ready: Vec<_> =
            untried.iter().copied().filter(|endpoint| endpoint.health().is_ready(now)).collect();
        let mut serving: Vec<_> =
            ready.iter().copied().filter(|endpoint| endpoint.health().serves(now, sending)).collect();
        // Somebody else may take a probe between the look and the entry; then the others are asked.
        while let Some(chosen) = choose(&serving) {
            if chosen.health().enter(now, sending) {
                return Ok(chosen);
            }
            serving.retain(|endpoint| endpoint.id() != chosen.id());
        }
        // What the operation's breakers say is a preference, among endpoints that are sound.
        while let Some(chosen) = choose(&ready) {
            if chosen.health().breaker.enter(now) {
                return Ok(chosen);
            }
            ready.retain(|endpoint| endpoint.id() != chosen.id());
        }
        let reachable: Vec<_> =
            untried.iter().copied().filter(|endpoint| !endpoint.health().is_unreachable()).collect();
        choose(&reachable).ok_or(Unsent::BreakerOpen)
    }
}

impl<T: Transport> Transport for Balance<T> {
    async fn send(&self, sending: &mut Sending) -> Result<Response<Body>, Failure> {
        let now = Instant::now();
        let endpoint = self.pick(now, sending).map_err(|unsent| Failure::new(Outcome::Unsent(unsent)))?;
        sending.tried.push(endpoint.id());
        endpoint.send(sending, now).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;

    use super::*;
    use crate::Exchange;

    #[derive(Debug)]
    struct Nowhere;

    impl Transport for Nowhere {
        async fn send(&self, _: &mut Sending) -> Result<Response<Body>, Failure> {
            Err(Failure::new(Outcome::Unsent(Unsent::Unreachable)))
        }
    }

    fn balance(count: usize) -> (Balance<Nowhere>, Vec<Arc<Endpoint<Nowhere>>>) {
        let balance = Balance::over((0..count).map(|_| Nowhere));
        let endpoints = balance.endpoints().to_vec();
        (balance, endpoints)
    }

    fn sending() -> Sending {
        Sending::new(Exchange::new(Request::default()))
    }

    fn share(balance: &Balance<Nowhere>, of: &Endpoint<Nowhere>) -> usize {
        let now = Instant::now();
        (0..1_000).filter(|_| balance.pick(now, &sending()).unwrap().id() == of.id()).count()
    }

    #[test]
    fn equal_endpoints_share_equally() {
        let (balance, endpoints) = balance(4);
        for endpoint in &endpoints {
            let share = share(&balance, endpoint);
            assert!((180..320).contains(&share), "{share}");
        }
    }

    #[test]
    fn a_slow_and_a_failing_endpoint_get_little() {
        let (balance, endpoints) = balance(3);
        let now = Instant::now();
        endpoints[0].health().load.answered(Duration::from_millis(1), now);
        endpoints[1].health().load.answered(Duration::from_millis(50), now);
        endpoints[2].health().load.failed(Duration::from_micros(10), now);
        assert!(share(&balance, &endpoints[0]) > 600);
        assert!(share(&balance, &endpoints[2]) < 40);
    }

    #[test]
    fn an_open_breaker_is_passed_over_but_never_all_of_them() {
        let (balance, endpoints) = balance(2);
        let now = Instant::now();
        for _ in 0..5 {
            endpoints[0].health().breaker.failed(now);
        }
        assert_eq!(share(&balance, &endpoints[0]), 0);
        for _ in 0..5 {
            endpoints[1].health().breaker.failed(now);
        }
        assert!(balance.pick(now, &sending()).is_ok());
    }

    #[tokio::test]
    async fn endpoints_that_cannot_be_reached_are_not_waited_for_by_everybody() {
        let (balance, _) = balance(1);
        for _ in 0..5 {
            let failure = balance.send(&mut sending()).await.unwrap_err();
            assert_eq!(failure.outcome(), Outcome::Unsent(Unsent::Unreachable));
        }
        let failure = balance.send(&mut sending()).await.unwrap_err();
        assert_eq!(failure.outcome(), Outcome::Unsent(Unsent::BreakerOpen));
    }

    #[test]
    fn a_retry_picks_another_endpoint_and_a_new_list_is_used_at_once() {
        let (balance, endpoints) = balance(2);
        let mut sending = sending();
        sending.tried.push(endpoints[0].id());
        assert_eq!(balance.pick(Instant::now(), &sending).unwrap().id(), endpoints[1].id());
        sending.tried.push(endpoints[1].id());
        assert!(balance.pick(Instant::now(), &sending).is_err());
        balance.replace(Vec::new());
        assert_eq!(balance.pick(Instant::now(), &self::sending()).unwrap_err(), Unsent::NoEndpoint);
    }
}
