//! The way in for the bank's own services (S30): by a service's key, never from outside, with a budget of its own.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bank_sdk::Problem;
use bank_sdk::http::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{BoxError, Service};

use super::gateway::Routed;
use super::served::serve;
use super::{Gateway, InsideRouteSteps, InsideSteps};
use crate::control::State;
use crate::exchange::{Exchange, Facts};
use crate::inbound::{check_path, remove_reserved};
use crate::step::passage::{Next, Passage, Start};
use crate::step::{Answer, Flow, Refusal, Step, Waiting, finish};

/// Calls between services. Serve it on a listener that only they reach, or hand it to the clients of this process.
#[derive(Clone, Debug)]
pub struct Internal {
    gateway: Gateway,
}

impl Internal {
    pub(crate) const fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }
}

/// The configuration in force.
pub(crate) struct Inner(Arc<State>);

impl Deref for Inner {
    type Target = InsideSteps;

    fn deref(&self) -> &InsideSteps {
        &self.0.inside_steps
    }
}

/// The table of internal routes.
pub(crate) struct Inside(Arc<State>);

impl Start for Inside {
    type Next = Self;

    fn call(self, exchange: &mut Option<Exchange>) -> Routed<InsideRouteSteps> {
        Next::call(self, exchange)
    }

    fn keep(self) -> Self {
        self
    }
}

impl Next for Inside {
    type Error = Infallible;
    type Output = Answer;
    type Future = Routed<InsideRouteSteps>;

    fn call(self, exchange: &mut Option<Exchange>) -> Routed<InsideRouteSteps> {
        let Some(own) = exchange else {
            return Routed::Nowhere { answer: Some(Err(Problem::internal())) };
        };
        match self.0.inside.find(&own.request) {
            Ok(entry) => {
                let facts = own.facts.clone();
                Routed::On { passage: serve(entry, facts, exchange) }
            }
            Err(_) => Routed::Nowhere { answer: Some(Err(Problem::not_found())) },
        }
    }

    fn answer(output: Answer) -> Result<Answer, Infallible> {
        Ok(output)
    }
}

impl<B> Service<Request<B>> for Internal
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = InternalFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> InternalFuture {
        let state = self.gateway.shared.state.load_full();
        let exchange = Exchange::begin(request.map(Body::new));
        let (facts, mut exchange) = (exchange.facts.clone(), Some(exchange));
        let inside = Inside(state.clone());
        InternalFuture { passage: Passage::begin(Inner(state), facts, &mut exchange, inside) }
    }
}

pin_project! {
    /// The answer of [`Internal`].
    pub struct InternalFuture {
        #[pin]
        passage: Passage<Inner, Inside>,
    }
}

impl Future for InternalFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut passage = self.project().passage;
        let Ok(answer) = ready!(passage.as_mut().poll(cx));
        Poll::Ready(Ok(finish(answer, passage.facts())))
    }
}

impl fmt::Debug for InternalFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InternalFuture")
    }
}

/// Refuses a path that can be read in two ways. Services are not held to the rest of [`StrictHttp`](crate::StrictHttp): they
/// are no strangers.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct StrictPath;

impl Step for StrictPath {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        check_path(exchange.request.uri().path())?;
        Ok(Flow::Pass)
    }
}

/// Removes what only the gateway may say to a service.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RemoveReserved;

impl Step for RemoveReserved {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        remove_reserved(exchange.request.headers_mut());
        Ok(Flow::Pass)
    }
}

/// Lets so many calls through at once; others wait for as long as their deadlines allow. A call counts up to the head of its
/// answer. The inside has a budget for itself, so that a full edge cannot keep a service waiting for another.
#[derive(Clone, Debug)]
pub struct InFlightBudget(Arc<Semaphore>);

impl InFlightBudget {
    /// So many at once.
    #[must_use]
    pub fn of(calls: usize) -> Self {
        Self(Arc::new(Semaphore::new(calls.min(Semaphore::MAX_PERMITS))))
    }
}

/// What [`InFlightBudget`] keeps of a call.
#[derive(Default)]
#[allow(missing_debug_implementations, reason = "it lives as long as one call")]
pub struct Budgeted {
    permit: Arc<std::sync::Mutex<Option<OwnedSemaphorePermit>>>,
    waiting: Waiting,
}

impl Step for InFlightBudget {
    type Held = Option<Budgeted>;

    fn before(&self, exchange: &mut Exchange, held: &mut Self::Held) -> Result<Flow, Refusal> {
        let budgeted = held.get_or_insert_default();
        let place = budgeted.permit.clone();
        let keep = move |permit| {
            *place.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(permit);
        };
        if let Ok(permit) = self.0.clone().try_acquire_owned() {
            keep(permit);
            return Ok(Flow::Pass);
        }
        let (permits, own) = (self.0.clone(), exchange.take());
        Ok(budgeted.waiting.start(async move {
            // The semaphore is never closed.
            let waited = permits.acquire_owned().await.map(keep);
            (own, waited.map_err(|_| Problem::unavailable().into()))
        }))
    }

    fn poll_wait(
        &self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        held: &mut Self::Held,
    ) -> Poll<Result<(), Refusal>> {
        held.get_or_insert_default().waiting.poll(cx, exchange)
    }

    fn after(&self, held: Self::Held, _: &Facts, _: &mut Answer) {
        drop(held);
    }
}
