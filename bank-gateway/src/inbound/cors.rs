//! Browsers of other origins, by tower-http's rules: preflights are answered here, and the fields are added to every answer.

use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bank_sdk::http::Body;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderValue, Method, Request, Response};
use tower::{Layer as _, ServiceExt as _};
use tower_http::cors::CorsLayer;

use crate::exchange::{Exchange, Facts};
use crate::step::{Answer, Flow, Refusal, Step, finish};

/// Adds the fields of [`CorsLayer`] to all answers. [`Preflights`], further inside, answers preflights.
///
/// ```
/// use bank_gateway::{Cors, StepLayer};
/// use bank_gateway::cors::CorsLayer;
/// use bank_sdk::http::Body;
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let service = ServiceBuilder::new()
///     .layer(StepLayer::new(Cors::new(CorsLayer::permissive())))
///     .service_fn(|_: Request<Body>| async { Ok::<_, std::convert::Infallible>(Response::new(Body::empty())) });
/// let get = Request::get("/").header("origin", "https://app.example").body(Body::empty()).unwrap();
/// let answer = service.oneshot(get).await.unwrap();
/// assert_eq!(answer.headers()["access-control-allow-origin"], "*");
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Cors(CorsLayer);

impl Cors {
    /// By these rules. One that has to wait for its decision (`async_predicate`) allows nothing.
    #[must_use]
    pub const fn new(rules: CorsLayer) -> Self {
        Self(rules)
    }

    /// What the rules make of this answer to this request.
    fn answer(&self, request: Request<()>, response: Response<Body>) -> Option<Response<Body>> {
        let mut response = Some(response);
        let service = self.0.layer(tower::service_fn(move |_: Request<()>| {
            ready(Ok::<_, Infallible>(response.take().unwrap_or_default()))
        }));
        let answered = pin!(service.oneshot(request));
        // The service behind has its answer ready, and so has the layer.
        match answered.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => Some(response),
            Poll::Ready(Err(never)) => match never {},
            Poll::Pending => None,
        }
    }
}

impl Step for Cors {
    type Held = Option<HeaderValue>;

    fn before(&self, exchange: &mut Exchange, origin: &mut Option<HeaderValue>) -> Result<Flow, Refusal> {
        *origin = exchange.headers().get(ORIGIN).cloned();
        Ok(Flow::Pass)
    }

    fn after(&self, origin: Option<HeaderValue>, facts: &Facts, answer: &mut Answer) {
        // A refusal can be read as well.
        let mut response = finish(std::mem::replace(answer, Ok(Response::default())), facts);
        if response.extensions_mut().remove::<Preflighted>().is_none() {
            let mut request = Request::new(());
            if let Some(origin) = origin {
                request.headers_mut().insert(ORIGIN, origin);
            }
            let mut head = Response::default();
            std::mem::swap(head.headers_mut(), response.headers_mut());
            if let Some(mut dressed) = self.answer(request, head) {
                std::mem::swap(dressed.headers_mut(), response.headers_mut());
            }
        }
        *answer = Ok(response);
    }
}

/// Answers preflights by the rules of a [`Cors`]. Only a preflight is one: an `OPTIONS` with `Origin` and
/// `Access-Control-Request-Method` (Fetch standard, §3.3.2). Any other `OPTIONS` goes its way.
///
/// ```
/// use bank_gateway::inbound::Preflights;
/// use bank_gateway::cors::CorsLayer;
/// use bank_gateway::{Cors, StepLayer};
/// use bank_sdk::http::Body;
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let rules = Cors::new(CorsLayer::permissive());
/// let service = ServiceBuilder::new()
///     .layer(StepLayer::new(rules.clone()))
///     .layer(StepLayer::new(Preflights::of(rules)))
///     .service_fn(|_: Request<Body>| async { Ok::<_, std::convert::Infallible>(Response::new(Body::empty())) });
/// let preflight = Request::options("/")
///     .header("origin", "https://app.example")
///     .header("access-control-request-method", "PUT")
///     .body(Body::empty())
///     .unwrap();
/// let answer = service.oneshot(preflight).await.unwrap();
/// assert_eq!(answer.headers()["access-control-allow-methods"], "*");
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Preflights(Cors);

/// Marks the answer to a preflight, which has its fields already.
#[derive(Clone, Copy, Debug)]
struct Preflighted;

impl Preflights {
    /// By these rules.
    #[must_use]
    pub const fn of(rules: Cors) -> Self {
        Self(rules)
    }
}

impl Step for Preflights {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        let headers = exchange.headers();
        let is_preflight = *exchange.request.method() == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight {
            return Ok(Flow::Pass);
        }
        let mut asked = Request::new(());
        *asked.method_mut() = Method::OPTIONS;
        *asked.headers_mut() = headers.clone();
        let mut answer = self.0.answer(asked, Response::default()).unwrap_or_default();
        answer.extensions_mut().insert(Preflighted);
        Err(answer.into())
    }
}
