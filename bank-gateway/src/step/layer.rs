//! A step, or a list of them, in front of any tower service.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bank_sdk::Problem;
use bank_sdk::http::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tower::{BoxError, Layer, Service};

use super::passage::{Next, Passage, Start};
use super::{Answer, Step};
use crate::exchange::{Exchange, Facts};

/// A step as a `tower::Layer`. A request that does not have to wait costs no allocation and no clone of the service.
#[derive(Debug)]
pub struct StepLayer<T>(Arc<T>);

impl<T: Step> StepLayer<T> {
    /// Puts this step in front of a service.
    pub fn new(step: T) -> Self {
        Self(Arc::new(step))
    }
}

impl<T> Clone for StepLayer<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Step, S> Layer<S> for StepLayer<T> {
    type Service = StepService<T, S>;

    fn layer(&self, inner: S) -> StepService<T, S> {
        StepService { step: self.0.clone(), inner }
    }
}

/// A service behind a step.
#[derive(Debug)]
pub struct StepService<T, S> {
    step: Arc<T>,
    inner: S,
}

impl<T, S> StepService<T, S> {
    /// The service behind the step.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind the step, to be changed.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service alone.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<T, S: Clone> Clone for StepService<T, S> {
    fn clone(&self) -> Self {
        Self { step: self.step.clone(), inner: self.inner.clone() }
    }
}

impl<T, S, B, R> Service<Request<B>> for StepService<T, S>
where
    T: Step,
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Answered,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = StepFuture<T, S, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let exchange = Exchange::new(request.map(Body::new));
        let facts = exchange.facts.clone();
        let start = Ready { service: &mut self.inner, answer: PhantomData };
        let passage = Passage::begin(self.step.clone(), facts, &mut Some(exchange), start);
        StepFuture { passage }
    }
}

/// A service that was polled ready, in its place.
struct Ready<'a, S, R> {
    service: &'a mut S,
    answer: PhantomData<fn() -> R>,
}

impl<S, R> Start for Ready<'_, S, R>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    R: Answered,
{
    type Next = Behind<S, R>;

    fn call(self, exchange: &mut Option<Exchange>) -> S::Future {
        self.service.call(exchange.take().map(Exchange::into_request).unwrap_or_default())
    }

    fn keep(self) -> Behind<S, R> {
        // The service that was polled ready is the one that will be called; its clone waits for the next.
        let clone = self.service.clone();
        Behind { service: std::mem::replace(self.service, clone), answer: PhantomData }
    }
}

/// A service that is ready for one request which waits.
struct Behind<S, R> {
    service: S,
    answer: PhantomData<fn() -> R>,
}

impl<S, R> Next for Behind<S, R>
where
    S: Service<Request<Body>, Response = Response<R>>,
    R: Answered,
{
    type Error = S::Error;
    type Output = Result<Response<R>, S::Error>;
    type Future = S::Future;

    fn call(mut self, exchange: &mut Option<Exchange>) -> S::Future {
        self.service.call(exchange.take().map(Exchange::into_request).unwrap_or_default())
    }

    fn answer(output: Self::Output) -> Result<Answer, S::Error> {
        output.map(|response| Ok(response.map(Body::new)))
    }
}

/// The body of an answer that [`Body`] can take in.
pub trait Answered: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static {}

impl<R: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static> Answered for R {}

pin_project! {
    /// The answer of a [`StepService`].
    pub struct StepFuture<T, S, R>
    where
        T: Step,
        S: Service<Request<Body>, Response = Response<R>>,
        R: Answered,
    {
        #[pin]
        passage: Passage<Arc<T>, Behind<S, R>>,
    }
}

impl<T, S, R> Future for StepFuture<T, S, R>
where
    T: Step,
    S: Service<Request<Body>, Response = Response<R>>,
    R: Answered,
{
    type Output = Result<Response<Body>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut passage = self.project().passage;
        let answer = ready!(passage.as_mut().poll(cx))?;
        Poll::Ready(Ok(finish(answer, passage.facts())))
    }
}

/// The answer as it leaves: a refusal becomes its document, and the fields that steps have for it are added.
pub(crate) fn finish(answer: Answer, facts: &Facts) -> Response<Body> {
    let mut response = answer.unwrap_or_else(|problem| refuse(problem, facts));
    facts.append_fields(response.headers_mut());
    response
}

/// The same for an answer that stays in its place; given back as the response that it is now.
pub(crate) fn finish_in_place<'a>(answer: &'a mut Answer, facts: &Facts) -> Option<&'a mut Response<Body>> {
    if let Err(problem) = answer {
        let problem = std::mem::replace(problem, Problem::internal());
        *answer = Ok(refuse(problem, facts));
    }
    let response = answer.as_mut().ok()?;
    facts.append_fields(response.headers_mut());
    Some(response)
}

/// The document of a refusal.
fn refuse(problem: Problem, facts: &Facts) -> Response<Body> {
    facts.set_refusal(problem.code().unwrap_or("unspecified"));
    match facts.render() {
        Some(render) => render.render(problem, facts),
        None => problem.into_response(facts.id_text()),
    }
}

impl<T, S, R> fmt::Debug for StepFuture<T, S, R>
where
    T: Step,
    S: Service<Request<Body>, Response = Response<R>>,
    R: Answered,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StepFuture")
    }
}
