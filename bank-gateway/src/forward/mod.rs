//! Passes a request on to its upstream, and the answer back.

mod headers;
mod service;

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bank_sdk::client::{Connections, SendError};
use bank_sdk::http::{Body, Timer};
use bank_sdk::{Problem, Service};
use http::{Request, Response};
use tokio::time::Instant;
use tower::Service as _;

use crate::auth::Authenticate;
use crate::balance::{Balancer, Endpoint};
use crate::identity::Mint;
use crate::problem::{incomplete_body, lost_answer, unreadable_body};
use crate::retry::{Kept, MAX_TRIES, RetryBudget, is_worth_another};
use crate::route::Entry;
use headers::{prepare, remove_hop_by_hop};

pub use service::Forward;

/// What stands behind a service's routes.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) name: Arc<str>,
    pub(crate) mint: Mint,
    pub(crate) place: Place,
    pub(crate) budget: RetryBudget,
}

/// Where it runs.
pub(crate) enum Place {
    /// In this process.
    Local(Service),
    /// Behind these endpoints.
    Remote(Balancer),
}

/// The connections of one worker thread. Those of the endpoint itself are used where there is no worker.
#[derive(Debug, Default)]
pub(crate) struct Pools(Mutex<HashMap<u64, Connections>>);

impl Pools {
    fn of(&self, endpoint: &Endpoint) -> Connections {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pools.entry(endpoint.id).or_insert_with(|| endpoint.connections.unshared()).clone()
    }
}

impl Backend {
    /// Sends on a request that was [prepared](Self::prepare), and waits for the head of its answer until the timer is over.
    /// The request is taken out of its place.
    pub(crate) async fn forward(
        &self,
        request: &mut Request<Body>,
        entry: &Entry,
        timer: &mut Timer,
        pools: Option<&Pools>,
    ) -> Result<Response<Body>, Problem> {
        let too_late = Problem::deadline_exceeded;
        let balancer = match &self.place {
            Place::Local(service) => {
                let answer = service.clone().call(std::mem::take(request));
                let Ok(mut response) = timer.within(pin!(answer)).await.ok_or_else(too_late)?;
                remove_hop_by_hop(response.headers_mut());
                return Ok(response);
            }
            Place::Remote(balancer) => balancer,
        };
        // Where nobody else could serve it, nothing is kept.
        let kept = if balancer.endpoints().len() < 2 {
            None
        } else {
            let keeping = Kept::keep(entry.idempotency, request);
            timer
                .within(pin!(keeping))
                .await
                .ok_or_else(too_late)?
                .map_err(|error| unreadable_body(&error))?
        };
        self.budget.deposit();
        self.try_endpoints(balancer, request, kept, timer, pools).await
    }

    /// Whether it is told who calls.
    pub(crate) const fn is_bank_service(&self) -> bool {
        !matches!(self.mint, Mint::Nothing)
    }

    /// Makes a request ready for its service: without what is for the gateway only, with what the service needs to know.
    /// `deadline` is when its answer is no longer wanted.
    pub(crate) fn prepare(
        &self,
        request: &mut Request<Body>,
        entry: &Entry,
        deadline: Instant,
        authenticate: &Authenticate,
    ) {
        prepare(request, (!entry.stream).then_some(deadline));
        authenticate.strip(request.headers_mut());
    }

    async fn try_endpoints(
        &self,
        balancer: &Balancer,
        request: &mut Request<Body>,
        kept: Option<Kept>,
        timer: &mut Timer,
        pools: Option<&Pools>,
    ) -> Result<Response<Body>, Problem> {
        let mut tried = [0; MAX_TRIES];
        let (mut failure, mut is_lost) = (None, false);
        for tries in 0..MAX_TRIES {
            let now = Instant::now();
            let Some(endpoint) = balancer.pick(now, &tried[..tries]) else { break };
            tried[tries] = endpoint.id;
            let Some(outcome) = send(endpoint, request, now, timer, pools).await else {
                return Err(Problem::deadline_exceeded());
            };
            let again = tries + 1 < MAX_TRIES && balancer.endpoints().len() > tries + 1;
            let kept = || kept.as_ref().filter(|_| again && self.budget.withdraw());
            match outcome {
                Ok(response) if !is_worth_another(response.status()) => return Ok(response),
                Ok(response) => {
                    let Some(kept) = kept() else { return Ok(response) };
                    *request = kept.again();
                }
                Err(SendError::Connect { request: unsent, source }) => {
                    tracing::warn!(service = %self.name, address = %endpoint.address, error = %source, "an endpoint does not answer");
                    // What an earlier try may have done stays unknown.
                    failure = is_lost.then(lost_answer);
                    // Nothing was sent: any request may go to another endpoint.
                    if !(again && self.budget.withdraw()) {
                        break;
                    }
                    *request = *unsent;
                }
                Err(SendError::Lost(error)) if error.is_user() => {
                    // The caller's own body broke off: the endpoint did nothing wrong.
                    return Err(incomplete_body());
                }
                Err(error) => {
                    tracing::warn!(service = %self.name, address = %endpoint.address, %error, "an endpoint was lost");
                    is_lost = true;
                    failure = Some(lost_answer());
                    let Some(kept) = kept() else { break };
                    *request = kept.again();
                }
            }
        }
        Err(failure.unwrap_or_else(Problem::unavailable))
    }
}

/// One try at one endpoint, which its breaker and its load learn from; nothing where the time ran out.
async fn send(
    endpoint: &Arc<Endpoint>,
    request: &mut Request<Body>,
    start: Instant,
    timer: &mut Timer,
    pools: Option<&Pools>,
) -> Option<Result<Response<Body>, SendError>> {
    let _in_flight = endpoint.load.enter();
    let mut attempt = Attempt { endpoint, start, learned: false };
    let pool;
    let connections = match pools {
        Some(pools) => {
            pool = pools.of(endpoint);
            &pool
        }
        None => &endpoint.connections,
    };
    let Some(mut sent) = timer.within(pin!(connections.send(std::mem::take(request)))).await else {
        attempt.failed();
        return None;
    };
    match &mut sent {
        Ok(response) => {
            if is_worth_another(response.status()) {
                attempt.failed();
            } else {
                attempt.answered();
            }
            remove_hop_by_hop(response.headers_mut());
        }
        // The caller's own body broke off: that says nothing of the endpoint.
        Err(SendError::Lost(error)) if error.is_user() => attempt.learned = true,
        Err(_) => attempt.failed(),
    }
    Some(sent)
}

/// A try whose end teaches something. Dropped without one, its caller went away: the time so far counts as latency.
struct Attempt<'a> {
    endpoint: &'a Endpoint,
    start: Instant,
    learned: bool,
}

impl Attempt<'_> {
    fn answered(&mut self) {
        self.learned = true;
        let now = Instant::now();
        self.endpoint.load.answered(now - self.start, now);
        self.endpoint.breaker.succeeded();
    }

    fn failed(&mut self) {
        self.learned = true;
        let now = Instant::now();
        self.endpoint.load.failed(now - self.start, now);
        self.endpoint.breaker.failed(now);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.learned {
            let now = Instant::now();
            self.endpoint.load.answered(now - self.start, now);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(_) => f.write_str("in process"),
            Self::Remote(balancer) => {
                f.debug_list().entries(balancer.endpoints().iter().map(|endpoint| &endpoint.address)).finish()
            }
        }
    }
}
