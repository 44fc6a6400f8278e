//! A step that lets a request pass or refuses it: the form that all of the gateway's layers have.
//!
//! The [`Gateway`](crate::Gateway) runs its gates one after the other in one future; in front of any other service each
//! gate is a `tower::Layer`:
//!
//! ```
//! use bank_gateway::{GateLayer, StrictHttp};
//! use bank_sdk::http::Body;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let service = ServiceBuilder::new()
//!     .layer(GateLayer::new(StrictHttp::default()))
//!     .service_fn(|_: Request<Body>| async { Ok::<_, std::convert::Infallible>(Response::new(Body::from("hello"))) });
//!
//! let plain = Request::get("/v1/x").header("host", "bank.example").body(Body::empty()).unwrap();
//! assert_eq!(service.clone().oneshot(plain).await.unwrap().status(), 200);
//!
//! let hidden = Request::get("/v1/%2e%2e/x").header("host", "bank.example").body(Body::empty()).unwrap();
//! assert_eq!(service.oneshot(hidden).await.unwrap().status(), 400);
//! # });
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bank_sdk::Problem;
use bank_sdk::http::{Body, RequestId};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body as HttpBody;
use tower::{BoxError, Layer, Service};

/// A step that lets a request pass or refuses it.
///
/// What it learns it leaves in the request's extensions for the steps behind it; header fields for the answer go to
/// [`AnswerHeaders`].
pub trait Gate: Clone + Send + Sync + 'static {
    /// Lets the request pass, changed or not.
    ///
    /// # Errors
    /// The problem that the caller is answered with.
    fn check(&self, request: &mut Request<Body>) -> impl Future<Output = Result<(), Problem>> + Send;
}

/// A gate of any type.
pub(crate) trait AnyGate: Send + Sync + 'static {
    fn check_any<'a>(
        &'a self,
        request: &'a mut Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Problem>> + Send + 'a>>;
}

impl<G: Gate> AnyGate for G {
    fn check_any<'a>(
        &'a self,
        request: &'a mut Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Problem>> + Send + 'a>> {
        Box::pin(self.check(request))
    }
}

/// Header fields that gates add to the answer, whatever it will be.
#[derive(Clone, Debug, Default)]
pub struct AnswerHeaders(HeaderMap);

impl AnswerHeaders {
    /// Adds a field to the request's answer.
    pub fn add(request: &mut Request<Body>, name: HeaderName, value: HeaderValue) {
        request.extensions_mut().get_or_insert_default::<Self>().0.insert(name, value);
    }

    /// Takes the fields out of the request.
    pub(crate) fn take(request: &mut Request<Body>) -> HeaderMap {
        request.extensions_mut().remove::<Self>().map(|headers| headers.0).unwrap_or_default()
    }
}

/// A gate as a `tower::Layer`.
#[derive(Clone, Debug)]
pub struct GateLayer<G>(G);

impl<G: Gate> GateLayer<G> {
    /// Puts this gate in front of a service.
    pub const fn new(gate: G) -> Self {
        Self(gate)
    }
}

impl<G: Gate, S> Layer<S> for GateLayer<G> {
    type Service = Gated<G, S>;

    fn layer(&self, inner: S) -> Gated<G, S> {
        Gated { gate: self.0.clone(), inner }
    }
}

/// A service behind a gate.
#[derive(Clone, Debug)]
pub struct Gated<G, S> {
    gate: G,
    inner: S,
}

impl<G, S, B, R> Service<Request<B>> for Gated<G, S>
where
    G: Gate,
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = GateFuture<S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut request = request.map(Body::new);
        let gate = self.gate.clone();
        // The service that was polled ready is the one that is called; its clone waits for the next.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        GateFuture(Box::pin(async move {
            let checked = gate.check(&mut request).await;
            let headers = AnswerHeaders::take(&mut request);
            let mut response = match checked {
                Ok(()) => inner.call(request).await?.map(Body::new),
                Err(problem) => {
                    let id = request.extensions().get::<RequestId>();
                    problem.into_response(id.map_or("", RequestId::as_str))
                }
            };
            response.headers_mut().extend(headers);
            Ok(response)
        }))
    }
}

/// The answer of a [`Gated`] service.
pub struct GateFuture<E>(Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>);

impl<E> Future for GateFuture<E> {
    type Output = Result<Response<Body>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<E> fmt::Debug for GateFuture<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GateFuture")
    }
}
