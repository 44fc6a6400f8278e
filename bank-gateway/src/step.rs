//! A step of a request's way: the form that all of the gateway's layers have.
//!
//! The [`Gateway`](crate::Gateway) takes its steps one after the other in one future; in front of any other service each
//! is a `tower::Layer`. Most are a [`Gate`], which lets a request pass or refuses it; a [`Step`] sees the answer too.
//!
//! ```
//! use bank_gateway::{StepLayer, StrictHttp};
//! use bank_sdk::http::Body;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let service = ServiceBuilder::new()
//!     .layer(StepLayer::new(StrictHttp::default()))
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
use tower::util::MapResponse;
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
pub struct AnswerHeaders(Vec<(HeaderName, HeaderValue)>);

impl AnswerHeaders {
    /// Adds a field to the request's answer, beside those of the same name.
    pub fn add(request: &mut Request<Body>, name: HeaderName, value: HeaderValue) {
        request.extensions_mut().get_or_insert_default::<Self>().0.push((name, value));
    }

    /// Takes the fields out of the request.
    pub(crate) fn take(request: &mut Request<Body>) -> Self {
        request.extensions_mut().remove().unwrap_or_default()
    }

    /// Adds them to an answer, beside what it says itself.
    fn append_to(self, headers: &mut HeaderMap) {
        for (name, value) in self.0 {
            headers.append(name, value);
        }
    }

    /// Adds them to an answer, in the place of what it says itself.
    pub(crate) fn replace_in(self, headers: &mut HeaderMap) {
        for (name, _) in &self.0 {
            headers.remove(name);
        }
        self.append_to(headers);
    }
}

/// A step that sees the request and its answer. Every [`Gate`] is one.
pub trait Step: Clone + Send + Sync + 'static {
    /// Serves the request by `inner`, which is ready for one call; a clone of it has to become ready first.
    fn serve<S>(
        &self,
        request: Request<Body>,
        inner: S,
    ) -> impl Future<Output = Result<Response<Body>, S::Error>> + Send
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send;
}

impl<G: Gate> Step for G {
    async fn serve<S>(&self, mut request: Request<Body>, mut inner: S) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
    {
        let checked = self.check(&mut request).await;
        let headers = AnswerHeaders::take(&mut request);
        let mut response = match checked {
            Ok(()) => inner.call(request).await?,
            Err(problem) => refusal(&problem_instance(&request), problem),
        };
        // Two limits in a row have two lines to tell.
        headers.append_to(response.headers_mut());
        Ok(response)
    }
}

/// The id of a request, for the document of its refusal.
pub(crate) fn problem_instance(request: &Request<Body>) -> Option<RequestId> {
    request.extensions().get().cloned()
}

/// The refusal of a request by a step that stands alone.
pub(crate) fn refusal(id: &Option<RequestId>, problem: Problem) -> Response<Body> {
    problem.into_response(id.as_ref().map_or("", RequestId::as_str))
}

/// A step as a `tower::Layer`.
#[derive(Clone, Debug)]
pub struct StepLayer<T>(T);

impl<T: Step> StepLayer<T> {
    /// Puts this step in front of a service.
    pub const fn new(step: T) -> Self {
        Self(step)
    }
}

impl<T: Step, S> Layer<S> for StepLayer<T> {
    type Service = Stepped<T, S>;

    fn layer(&self, inner: S) -> Stepped<T, S> {
        Stepped { step: self.0.clone(), inner }
    }
}

/// A service behind a step.
#[derive(Clone, Debug)]
pub struct Stepped<T, S> {
    step: T,
    inner: S,
}

impl<T, S, B, R> Service<Request<B>> for Stepped<T, S>
where
    T: Step,
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = StepFuture<S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (request, step) = (request.map(Body::new), self.step.clone());
        // The service that was polled ready is the one that is called; its clone waits for the next.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let erase: fn(Response<R>) -> Response<Body> = |response| response.map(Body::new);
        StepFuture::new(async move { step.serve(request, MapResponse::new(inner, erase)).await })
    }
}

/// The answer of a [`Stepped`] service, and of the services that end a stack.
pub struct StepFuture<E>(Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>);

impl<E> StepFuture<E> {
    pub(crate) fn new(answer: impl Future<Output = Result<Response<Body>, E>> + Send + 'static) -> Self {
        Self(Box::pin(answer))
    }
}

impl<E> Future for StepFuture<E> {
    type Output = Result<Response<Body>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<E> fmt::Debug for StepFuture<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StepFuture")
    }
}
