//! The way in for the bank's own services (S30): by a service's key, never from outside, with a budget of its own.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bank_sdk::http::{BANK_IDENTITY, Body, RequestId};
use bank_sdk::identity::Identity;
use bank_sdk::{Principal, Problem};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tokio::time::Instant;
use tower::{BoxError, Service};

use crate::authorize::authorize;
use crate::body_limit::limit_body;
use crate::deadline::time_left;
use crate::gateway::{Admitted, Gateway, GatewayFuture};
use crate::problem::unknown_service;
use crate::state::State;
use crate::strict_http::{check_path, remove_reserved};

/// Calls between services. Serve it on a listener that only they reach, or hand it to the clients of this process.
#[derive(Clone, Debug)]
pub struct Internal {
    gateway: Gateway,
}

impl Internal {
    pub(crate) const fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }

    async fn answer(self, mut request: Request<Body>) -> Response<Body> {
        let state = self.gateway.shared.state.load_full();
        let start = Instant::now();
        let outcome = match self.admit(&state, &mut request, start) {
            Ok(admitted) => {
                let entry = admitted.entry.clone();
                let outcome = self.within_budget(&state, &mut request, admitted).await;
                let status = outcome.as_ref().map_or_else(Problem::status, Response::status);
                entry.metrics.answered(status, start.elapsed());
                outcome
            }
            Err(problem) => Err(problem),
        };
        outcome.unwrap_or_else(|problem| {
            self.gateway.shared.metrics.refused(problem.status(), problem.code());
            problem.into_response("")
        })
    }

    fn admit(&self, state: &State, request: &mut Request<Body>, start: Instant) -> Result<Admitted, Problem> {
        check_path(request.uri().path())?;
        let entry = state.inside.find(request).map_err(|_| Problem::not_found())?.clone();
        let (caller, identity) = known_caller(state, request).ok_or_else(unknown_service)?;
        identity
            .check(&state.name, &entry.operation, self.gateway.shared.clock.now())
            .map_err(|_| unknown_service())?;
        let principal = match identity.principal {
            Some(principal) => Principal::clone(&principal).with_actor(caller),
            None => Principal::service(caller),
        };
        authorize(&entry.access, Some(&principal))?;
        remove_reserved(request.headers_mut());
        request.extensions_mut().insert(RequestId(identity.request_id.into()));
        request.extensions_mut().insert(Arc::new(principal));
        let deadline = start + entry.timeout.min(time_left(request));
        let cut = limit_body(request, entry.body_limit)?;
        Ok(Admitted { entry, deadline, cut })
    }

    async fn within_budget(
        &self,
        state: &State,
        request: &mut Request<Body>,
        admitted: Admitted,
    ) -> Result<Response<Body>, Problem> {
        let waiting = self.gateway.shared.internal_budget.acquire();
        let _permit =
            tokio::time::timeout_at(admitted.deadline, waiting).await.map_err(|_| Problem::unavailable())?;
        self.gateway.pass_on(state, request, &admitted).await
    }
}

/// The service that signed this call, and what it states.
fn known_caller<'a>(state: &'a State, request: &Request<Body>) -> Option<(&'a str, Identity)> {
    let token = request.headers().get(BANK_IDENTITY)?.to_str().ok()?;
    state.callers.iter().find_map(|(name, keys)| {
        let identity = keys.verify(token).ok()?;
        (identity.issuer == *name).then_some((name.as_str(), identity))
    })
}

impl<B> Service<Request<B>> for Internal
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = GatewayFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> GatewayFuture {
        GatewayFuture::new(self.clone().answer(request.map(Body::new)))
    }
}
