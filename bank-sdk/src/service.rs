//! A service: handlers bound to the endpoints that its declaration names.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bank_stores::{Clock, SystemClock};
use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use tokio::time::Instant;
use tower::BoxError;

use crate::declaration::{Api, DeclarationError, Method};
use crate::handler::{Bound, Endpoints, Handled, RawCall};
use crate::http::{BANK_IDENTITY, BANK_TIMEOUT_MS, Body, RequestId};
use crate::identity::{Identity, IdentityError, IdentityKeys, LocalIdentity, LocalKey};
use crate::problem::no_identity;
use crate::serve::{Connection, until_drained};
use crate::{Problem, input};

/// A banking service: what it declares, and the handlers that serve it.
///
/// ```
/// use std::sync::Arc;
/// use bank_sdk::{Api, BankService, Call, Empty, Endpoint, Endpoints, Problem, Service};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, schemars::JsonSchema)]
/// struct Greeting { text: String }
///
/// const GREET: Endpoint<Empty, Greeting> = Endpoint::get("/v1/greeting").authenticated();
///
/// struct Greeter;
///
/// impl Greeter {
///     async fn greet(self: Arc<Self>, call: Call<Empty>) -> Result<Greeting, Problem> {
///         Ok(Greeting { text: format!("hello {}", call.subject()?) })
///     }
/// }
///
/// impl BankService for Greeter {
///     fn api() -> Api {
///         Api::new("greeter").endpoint(GREET.declare())
///     }
///     fn endpoints() -> Endpoints<Self> {
///         Endpoints::new().bind(GREET, Self::greet)
///     }
/// }
///
/// let service = Service::local(Greeter).unwrap();
/// assert_eq!(service.api().name, "greeter");
/// ```
pub trait BankService: Send + Sync + Sized + 'static {
    /// What the service offers; the gateway and the client need only this.
    fn api() -> Api;

    /// A handler for each endpoint of [`api`](Self::api).
    fn endpoints() -> Endpoints<Self>;
}

/// A service that can be mounted or served: a `tower::Service` which believes nobody but its gateway.
pub struct Service {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    api: Api,
    router: matchit::Router<Vec<(Arc<Bound>, Handler)>>,
    trust: Trust,
    clock: Arc<dyn Clock>,
}

type Handler = Arc<dyn Fn(RawCall) -> Handled + Send + Sync>;

#[derive(Clone)]
enum Trust {
    Local(LocalKey),
    Signed(IdentityKeys),
}

impl Service {
    /// A service for the gateway of this process.
    ///
    /// # Errors
    /// As [`Service::signed`].
    pub fn local<S: BankService>(service: S) -> Result<Self, DeclarationError> {
        Self::build(Arc::new(service), Trust::Local(LocalKey::new()), Arc::new(SystemClock::new()))
    }

    /// A service for gateways in other processes, which sign with one of these keys.
    ///
    /// # Errors
    /// An endpoint that is declared and not bound, bound and not declared, or that contradicts itself.
    pub fn signed<S: BankService>(service: S, keys: IdentityKeys) -> Result<Self, DeclarationError> {
        Self::build(Arc::new(service), Trust::Signed(keys), Arc::new(SystemClock::new()))
    }

    pub(crate) fn local_with_clock<S: BankService>(
        service: Arc<S>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DeclarationError> {
        Self::build(service, Trust::Local(LocalKey::new()), clock)
    }

    fn build<S: BankService>(
        service: Arc<S>,
        trust: Trust,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DeclarationError> {
        let api = S::api();
        let mut faults = api.check().err().map(|error| error.faults).unwrap_or_default();
        let mut endpoints = S::endpoints();
        let mut fault =
            |operation: &str, text: &str| faults.push(format!("{} {operation}: {text}", api.name));
        for operation in &endpoints.twice {
            fault(operation, "is bound twice; remove one .bind(…)");
        }
        let mut paths: BTreeMap<&str, Vec<(Arc<Bound>, Handler)>> = BTreeMap::new();
        for endpoint in &api.endpoints {
            let operation = endpoint.operation();
            let Some(handler) = endpoints.bound.remove(&operation) else {
                fault(&operation, "is declared but has no handler; add .bind(…)");
                continue;
            };
            let service = service.clone();
            let handler: Handler = Arc::new(move |raw| handler(service.clone(), raw));
            if let Some(bound) = Bound::of(endpoint) {
                paths.entry(&endpoint.path).or_default().push((Arc::new(bound), handler));
            }
        }
        for operation in endpoints.bound.keys() {
            fault(operation, "has a handler but is not declared; add it to api()");
        }
        let mut router = matchit::Router::new();
        for (path, methods) in paths {
            if let Err(error) = router.insert(path, methods) {
                faults.push(format!("{} {path}: {error}", api.name));
            }
        }
        if !faults.is_empty() {
            return Err(DeclarationError { faults });
        }
        Ok(Self { shared: Arc::new(Shared { api, router, trust, clock }) })
    }

    /// The clock by which it judges whether the identity of a request still holds. A gateway in this process sets its own.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        Arc::make_mut(&mut self.shared).clock = clock;
        self
    }

    /// The declaration.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.shared.api
    }

    /// The right to state who calls, where the service is for this process.
    #[must_use]
    pub fn local_key(&self) -> Option<LocalKey> {
        match &self.shared.trust {
            Trust::Local(key) => Some(key.clone()),
            Trust::Signed(_) => None,
        }
    }
}

impl Shared {
    fn identify(
        &self,
        request: &mut Request<Body>,
        operation: &str,
    ) -> Result<(Identity, RequestId), IdentityError> {
        let identity = match &self.trust {
            Trust::Local(key) => {
                request.extensions_mut().remove::<LocalIdentity>().ok_or(IdentityError::Missing)?.open(key)?
            }
            Trust::Signed(keys) => {
                let token = request.headers_mut().remove(BANK_IDENTITY).ok_or(IdentityError::Missing)?;
                keys.verify(token.to_str().map_err(|_| IdentityError::Forged)?)?
            }
        };
        identity.check(&self.api.name, operation, self.clock.now())?;
        let id = identity.request().ok_or(IdentityError::Forged)?;
        Ok((identity, id))
    }

    fn accept(&self, mut request: Request<Body>) -> Result<Handled, Problem> {
        let path = request.uri().path().to_owned();
        let found = self.router.at(&path).map_err(|_| Problem::not_found())?;
        let method = Method::serving(request.method());
        let Some((endpoint, handler)) = found.value.iter().find(|(bound, _)| Some(bound.method) == method)
        else {
            return Err(method_not_allowed(found.value.iter().map(|(bound, _)| bound.method)));
        };
        let (identity, request_id) = self.identify(&mut request, &endpoint.operation).map_err(|error| {
            tracing::warn!(%error, operation = %endpoint.operation, "a call without a valid identity was refused");
            no_identity()
        })?;
        // The gateway has decided; a gateway that forgot is not believed.
        endpoint.access.permit(identity.principal.as_deref()).map_err(|_| {
            Problem::new(StatusCode::FORBIDDEN, "the credential does not allow this").with_code("forbidden")
        })?;
        let path = found
            .params
            .iter()
            .map(|(name, value)| Ok((name.to_owned(), input::percent_decode(value, false)?)))
            .collect::<Result<_, Problem>>()?;
        let deadline = Instant::now() + endpoint.timeout.min(time_left(&request));
        let connection = request.extensions().get::<Arc<Connection>>().filter(|_| endpoint.stream).cloned();
        let handled = handler(RawCall {
            request,
            path,
            principal: identity.principal,
            request_id,
            endpoint: endpoint.clone(),
            deadline,
        });
        Ok(match connection {
            Some(connection) => Box::pin(async move { until_drained(handled.await, &connection) }),
            None => handled,
        })
    }
}

/// The time that a request's header leaves for it.
fn time_left(request: &Request<Body>) -> Duration {
    let header = request.headers().get(BANK_TIMEOUT_MS).and_then(|value| value.to_str().ok()?.parse().ok());
    header.map_or(Duration::MAX, Duration::from_millis)
}

/// 405 with `Allow`, for a path that exists under other methods.
pub fn method_not_allowed(methods: impl IntoIterator<Item = Method>) -> Problem {
    let mut allow: Vec<&str> = methods.into_iter().map(Method::as_str).collect();
    if allow.contains(&"GET") {
        allow.push("HEAD");
    }
    allow.sort_unstable();
    allow.dedup();
    let value = HeaderValue::from_str(&allow.join(", ")).unwrap_or(HeaderValue::from_static("GET"));
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not know the method; `Allow` names those it knows",
    )
    .with_code("method_not_allowed")
    .with_header(ALLOW, value)
}

impl<B> tower::Service<Request<B>> for Service
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Responding {
        let request = request.map(Body::new);
        let id = request.extensions().get::<RequestId>().copied();
        let head = request.method() == http::Method::HEAD;
        let state = match self.shared.accept(request) {
            Ok(handled) => State::Handled(handled),
            Err(problem) => {
                State::Refused(Box::new(problem.into_response(id.as_ref().map_or("", RequestId::as_str))))
            }
        };
        Responding { state, head }
    }
}

/// The answer of a [`Service`].
pub struct Responding {
    state: State,
    head: bool,
}

enum State {
    Handled(Handled),
    Refused(Box<Response<Body>>),
}

impl Future for Responding {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match &mut self.state {
            State::Handled(handled) => match handled.as_mut().poll(cx) {
                Poll::Ready(response) => response,
                Poll::Pending => return Poll::Pending,
            },
            State::Refused(response) => std::mem::take(&mut **response),
        };
        // The length stays, the bytes do not.
        Poll::Ready(Ok(if self.head { without_body(response) } else { response }))
    }
}

fn without_body(mut response: Response<Body>) -> Response<Body> {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response.map(|_| Body::empty())
}

impl fmt::Debug for Responding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responding").finish_non_exhaustive()
    }
}

impl Clone for Service {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("api", &self.shared.api.name).finish_non_exhaustive()
    }
}
