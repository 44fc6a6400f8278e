//! One request's way through the house, from top to bottom.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bank_sdk::declaration::Access;
use bank_sdk::http::{BANK_SESSION_ENDED, Body, REQUEST_ID, RequestId};
use bank_sdk::serve::{until, until_drained};
use bank_sdk::{Principal, Problem, method_not_allowed};
use bank_stores::{Clock, Random};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower::{BoxError, Layer as _, Service, ServiceExt as _};

use crate::answer::{Trip, dress};
use crate::auth::{Chosen, check, check_query};
use crate::authorize::authorize;
use crate::body_limit::{Cut, limit_body};
use crate::builder::GatewayBuilder;
use crate::deadline::{time_left, timer};
use crate::forward::Pools;
use crate::idempotency::check_key;
use crate::internal::Internal;
use crate::metrics::Metrics;
use crate::panic_guard::{after_panic, guarded};
use crate::problem::too_many;
use crate::rate_limit::{self, Buckets};
use crate::request_id::{id_value, name};
use crate::route::{Entry, NoRoute, Target};
use crate::state::{Lasting, State};
use crate::step::AnswerHeaders;
use crate::strict_http::StrictHttp;
use crate::upstream::Endpoints;
use crate::{Admin, BuildError, trace};

/// So many callers are counted at once, in 64 bytes each.
const MAX_BUCKETS: usize = 32_768;

/// An API gateway as a `tower::Service`.
///
/// Clones share everything. [`worker`](Self::worker) gives one with connections to upstreams of its own, for a server that
/// runs a thread a core.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) shared: Arc<Shared>,
    pools: Option<Arc<Pools>>,
}

pub(crate) struct Shared {
    pub(crate) state: ArcSwap<State>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) endpoints: Endpoints,
    pub(crate) buckets: Buckets,
    pub(crate) internal_budget: Semaphore,
    pub(crate) clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// A request that may pass.
pub(crate) struct Admitted {
    pub(crate) entry: Arc<Entry>,
    pub(crate) deadline: Instant,
    /// Whether its body was cut.
    pub(crate) cut: Option<Cut>,
}

impl Gateway {
    /// Starts to describe a gateway.
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::new()
    }

    pub(crate) fn build(builder: GatewayBuilder) -> Result<Self, BuildError> {
        let (metrics, endpoints, buckets) = (Metrics::new(), Endpoints::default(), Buckets::new(MAX_BUCKETS));
        let (clock, random) = (builder.clock.clone(), builder.random.clone());
        let internal_budget = Semaphore::new(builder.internal_at_once);
        let lasting = Lasting { endpoints: &endpoints, metrics: &metrics, buckets: &buckets };
        let state = State::build(builder, &lasting).map_err(BuildError::new)?;
        let state = ArcSwap::from_pointee(state);
        let shared = Shared { state, metrics, endpoints, buckets, internal_budget, clock, random };
        Ok(Self { shared: Arc::new(shared), pools: None })
    }

    /// The same gateway with connections to upstreams of its own, for one thread.
    #[must_use]
    pub fn worker(&self) -> Self {
        Self { shared: self.shared.clone(), pools: Some(Arc::default()) }
    }

    /// The way in for the bank's own services. It must not be reachable from outside.
    #[must_use]
    pub fn internal(&self) -> Internal {
        Internal::new(self.clone())
    }

    /// Metrics, routes and health, for a listener of its own.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    async fn serve(self, mut request: Request<Body>, id: RequestId) -> Response<Body> {
        let state = self.shared.state.load_full();
        request.extensions_mut().remove::<AnswerHeaders>();
        if let Some(cors) = state.cors.clone() {
            // A preflight has no credentials: it is answered before anybody asks for them.
            let (gateway, own) = (self.clone(), id.clone());
            let pass = tower::service_fn(move |request| {
                let (gateway, state, id) = (gateway.clone(), state.clone(), own.clone());
                async move { Ok::<_, Infallible>(gateway.answer(&state, &mut { request }, id).await) }
            });
            let Ok(mut response) = Box::pin(cors.layer(pass).oneshot(request)).await;
            if let http::header::Entry::Vacant(vacant) = response.headers_mut().entry(REQUEST_ID) {
                // The preflight's answer, which did not come this way.
                vacant.insert(id_value(&id));
            }
            return response;
        }
        self.answer(&state, &mut request, id).await
    }

    // The request is lent on its way down, not handed on: a future that is given it holds it twice.
    async fn answer(&self, state: &Arc<State>, request: &mut Request<Body>, id: RequestId) -> Response<Body> {
        let mut trip = Trip::begin(id.clone(), &self.shared, state, request);
        request.extensions_mut().insert(id);
        let admitted = self.admit(state, request, &mut trip).await;
        let headers = AnswerHeaders::take(request);
        let outcome = match admitted {
            Ok(admitted) => self.pass_on(state, request, &admitted).await.map(|response| {
                if admitted.entry.stream { bounded(response, state, &trip) } else { response }
            }),
            Err(problem) => Err(problem),
        };
        let mut response = trip.end(outcome);
        dress(&mut response, headers, &trip);
        response
    }

    /// Everything that is asked before a request is passed on. `docs/layers.md` says why in this order.
    async fn admit(
        &self,
        state: &State,
        request: &mut Request<Body>,
        trip: &mut Trip,
    ) -> Result<Admitted, Problem> {
        let client = state.client_address.apply(request);
        trip.client = Some(client.0);
        let address = rate_limit::address(request);
        let coarse = state.limits.buckets.take(&state.coarse, &address);
        if !coarse.allowed {
            return Err(too_many(&coarse));
        }
        StrictHttp.apply(request)?;
        if let Some(total) = &state.total {
            total.take()?;
        }
        let entry = state.outside.find(request).map_err(|no| self.no_route(no))?.clone();
        trip.entry = Some(entry.clone());
        let deadline = trip.start + entry.timeout.min(time_left(request));
        check_site(&entry.access, request)?;
        if entry.access == Access::Public || entry.access == Access::Login {
            // Nobody is known yet, or guesses: the address is counted, before anything is computed.
            take_quota(state, &entry, &address, request)?;
        }
        check_query(request)?;
        // Before anybody reads the body to find out who calls.
        let cut = limit_body(request, entry.body_limit)?;
        let identified = identify(state, &entry, request, deadline).await;
        if let Some(problem) = cut.as_ref().and_then(Cut::problem) {
            // A login's body that was cut is no wrong login.
            return Err(problem);
        }
        let principal = identified?;
        trip.principal.clone_from(&principal);
        if principal.is_none() && matches!(entry.access, Access::Authenticated { .. }) {
            return Err(state.authenticate.challenge());
        }
        authorize(&entry.access, principal.as_deref())?;
        if let (Some(principal), Access::Authenticated { .. }) = (&principal, &entry.access) {
            take_quota(state, &entry, &principal.subject, request)?;
        }
        request.extensions_mut().remove::<Arc<Principal>>();
        if let Some(principal) = principal {
            request.extensions_mut().insert(principal);
        }
        for gate in &*state.gates {
            let checked = tokio::time::timeout_at(deadline, gate.check_any(request)).await;
            checked.map_err(|_| Problem::deadline_exceeded())??;
        }
        check_key(entry.idempotency, request.headers())?;
        Ok(Admitted { entry, deadline, cut })
    }

    fn no_route(&self, no: NoRoute) -> Problem {
        self.shared.metrics.unrouted();
        match no {
            NoRoute::NotFound => Problem::not_found(),
            NoRoute::Method(methods) => method_not_allowed(methods),
        }
    }

    /// Passes an admitted request on, within its deadline.
    pub(crate) async fn pass_on(
        &self,
        state: &State,
        request: &mut Request<Body>,
        admitted: &Admitted,
    ) -> Result<Response<Body>, Problem> {
        let Admitted { entry, deadline, cut } = admitted;
        let backend = match &entry.target {
            Target::Answer(answer) => return Ok(answer().await),
            Target::Backend(backend) => backend,
        };
        // First of all, so that naming a field in `Connection` never removes what is set below.
        backend.prepare(request, entry, *deadline, &state.authenticate);
        trace::advance(request, &*self.shared.random);
        backend.mint.stamp(request, &entry.stated, &*self.shared.clock);
        let mut timer = timer(*deadline, request);
        let outcome = backend.forward(request, entry, &mut timer, self.pools.as_deref()).await;
        if let Some(problem) = cut.as_ref().and_then(Cut::problem) {
            return Err(problem);
        }
        let mut response = outcome?;
        let ended = response.headers_mut().remove(BANK_SESSION_ENDED).filter(|_| backend.is_bank_service());
        if let Some(id) = ended {
            state.authenticate.forget_session(id.to_str().unwrap_or_default());
        }
        Ok(if entry.stream { response } else { response.map(|body| body.ends_with(timer)) })
    }
}

/// A stream, which has no deadline: it ends when the server drains, and when the session of its reader ends.
fn bounded(response: Response<Body>, state: &State, trip: &Trip) -> Response<Body> {
    let response = match &trip.connection {
        Some(connection) => until_drained(response, connection),
        None => response,
    };
    match trip.principal.as_ref().and_then(|principal| principal.session.clone()) {
        Some(session) => until(response, state.authenticate.clone().session_ended(session)),
        None => response,
    }
}

/// Who calls, by what the route takes: a password on a login, whichever scheme elsewhere.
async fn identify(
    state: &State,
    entry: &Entry,
    request: &mut Request<Body>,
    deadline: Instant,
) -> Result<Option<Arc<Principal>>, Problem> {
    let identified: Pin<Box<dyn Future<Output = Result<_, Problem>> + Send>> = match &entry.access {
        // A stale cookie on a public page or a login is nobody's business.
        Access::Public => return Ok(None),
        #[cfg(feature = "passwords")]
        Access::Login => match &state.passwords {
            Some(passwords) => Box::pin(passwords.identify(request)),
            None => return Err(Problem::internal()),
        },
        _ => match state.authenticate.choose(request)? {
            Chosen::Nobody => return Ok(None),
            Chosen::Known(principal) => return Ok(Some(principal)),
            Chosen::Unchecked(scheme) => Box::pin(async move { check(&*scheme, request).await }),
        },
    };
    match tokio::time::timeout_at(deadline, identified).await {
        Ok(identified) => identified.map(Some),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive")
            .with_code("timeout")),
    }
}

/// A page of another site may not sign its visitors in, nor send what changes something with their cookie (Fetch Metadata).
fn check_site(access: &Access, request: &Request<Body>) -> Result<(), Problem> {
    let changes = *access == Access::Login
        || (!request.method().is_safe() && request.headers().contains_key(http::header::COOKIE));
    if changes && request.headers().get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        let problem = Problem::new(StatusCode::FORBIDDEN, "a page of another site may not do this");
        return Err(problem.with_code("cross_site"));
    }
    Ok(())
}

fn take_quota(
    state: &State,
    entry: &Entry,
    subject: &str,
    request: &mut Request<Body>,
) -> Result<(), Problem> {
    let Some(limit) = state.limits.class(&entry.rate) else { return Ok(()) };
    let verdict = state.limits.buckets.take(limit, subject);
    limit.tell(&verdict, request);
    if verdict.allowed { Ok(()) } else { Err(too_many(&verdict)) }
}

impl<B> Service<Request<B>> for Gateway
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
        let gateway = self.clone();
        let id = name(&*self.shared.random);
        GatewayFuture { id: Some(id.clone()), answer: Box::pin(gateway.serve(request.map(Body::new), id)) }
    }
}

/// The answer of a [`Gateway`]. A panic on its way becomes a 500, and ends nothing else.
pub struct GatewayFuture {
    id: Option<RequestId>,
    answer: Pin<Box<dyn Future<Output = Response<Body>> + Send>>,
}

impl GatewayFuture {
    pub(crate) fn new(future: impl Future<Output = Response<Body>> + Send + 'static) -> Self {
        Self { id: None, answer: Box::pin(future) }
    }
}

impl Future for GatewayFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The future is not polled again after a panic: what it left half done is dropped with it.
        if let Some(poll) = guarded(|| self.answer.as_mut().poll(cx)) {
            return poll.map(Ok);
        }
        self.answer = Box::pin(std::future::pending());
        Poll::Ready(Ok(after_panic(self.id.as_ref())))
    }
}

impl fmt::Debug for GatewayFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewayFuture")
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state.load();
        f.debug_struct("Gateway")
            .field("name", &state.name)
            .field("routes", &state.outside.entries().len())
            .finish_non_exhaustive()
    }
}
