//! Balancing over services of any kind, such as [`Forward`](crate::Forward) behind a breaker of its own.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bank_sdk::Problem;
use bank_sdk::http::Body;
use http::{Request, Response};
use tokio::time::Instant;
use tower::{Service, ServiceExt as _};

use super::{Draws, Load};
use crate::retry::is_worth_another;
use crate::step::{StepFuture, problem_instance, refusal};

/// Sends each request to one of several services: power of two choices on peak EWMA. An error, a 502 and a 503 count as
/// slow answers. It is always ready: the chosen service becomes ready in the call. Clones share what is known of the load.
pub struct Balance<S> {
    services: Vec<S>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    members: Vec<Member>,
    draws: Draws,
}

#[derive(Debug)]
struct Member {
    index: usize,
    load: Load,
}

impl<S> Balance<S> {
    /// Over these services; without any, every request is answered with 503.
    pub fn new(services: impl IntoIterator<Item = S>) -> Self {
        let services: Vec<S> = services.into_iter().collect();
        let members = (0..services.len()).map(|index| Member { index, load: Load::default() }).collect();
        Self { services, shared: Arc::new(Shared { members, draws: Draws::default() }) }
    }
}

impl<S> Service<Request<Body>> for Balance<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = StepFuture<S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = self.shared.clone();
        let chosen = shared.draws.choose(shared.members.iter(), |member| &member.load, Instant::now());
        let Some((at, mut service)) =
            chosen.map(|member| (member.index, self.services[member.index].clone()))
        else {
            let answer = refusal(&problem_instance(&request), Problem::unavailable());
            return StepFuture::new(std::future::ready(Ok(answer)));
        };
        StepFuture::new(async move {
            let load = &shared.members[at].load;
            let _in_flight = load.enter();
            let start = Instant::now();
            let answer = match service.ready().await {
                Ok(service) => service.call(request).await,
                Err(error) => Err(error),
            };
            let now = Instant::now();
            match &answer {
                Ok(response) if !is_worth_another(response.status()) => load.answered(now - start, now),
                _ => load.failed(now - start, now),
            }
            answer
        })
    }
}

impl<S: Clone> Clone for Balance<S> {
    fn clone(&self) -> Self {
        Self { services: self.services.clone(), shared: self.shared.clone() }
    }
}

impl<S> fmt::Debug for Balance<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance").field("services", &self.services.len()).finish_non_exhaustive()
    }
}
