//! What stands behind a route: its steps, and where its requests go.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, ready};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bank_sdk::Problem;
use bank_sdk::http::Body;
use http::{Request, Response};
use tower::Service as _;

use crate::exchange::{Exchange, Facts};
use crate::inbound::receive;
use crate::outbound::{Destination, Outcome, Sending, send_on};
use crate::route::Entry;
use crate::step::passage::{Next, Passage, Start};
use crate::step::{Answer, Step, finish};

/// The steps of one route, and where its requests go.
pub(crate) struct Served<T> {
    pub(crate) steps: Arc<T>,
    pub(crate) target: Target,
}

/// Where requests go.
#[derive(Clone)]
pub(crate) enum Target {
    /// To a service.
    Service(Arc<Destination>),
    /// The gateway answers itself.
    Own(Own),
}

impl Target {
    /// Whether it is a service of the bank in this process.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Service(destination) if matches!(**destination, Destination::Local(_)))
    }
}

/// An answer of the gateway itself.
pub(crate) type Own = Arc<dyn Fn(&Facts) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

/// A route in force, held by the requests that it serves.
pub(crate) struct Held<T>(pub(crate) Arc<Entry<Served<T>>>);

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.payload.steps
    }
}

/// What a request passes on its route, and then goes to.
pub(crate) type OnRoute<T> = Passage<Held<T>, Target>;

/// Sends a request on its way along a route.
#[inline]
pub(crate) fn serve<T: Step>(
    entry: &Arc<Entry<Served<T>>>,
    facts: Facts,
    exchange: &mut Option<Exchange>,
) -> OnRoute<T> {
    let info = &entry.matcher.info;
    if let (Some(_), Some(own)) = (&info.render, &*exchange) {
        facts.keep_accept(own.headers());
    }
    facts.set_route(info.clone());
    Passage::begin(Held(entry.clone()), facts, exchange, entry.payload.target.clone())
}

impl Start for Target {
    type Next = Self;

    #[inline]
    fn call(self, exchange: &mut Option<Exchange>) -> TargetFuture {
        Next::call(self, exchange)
    }

    fn keep(self) -> Self {
        self
    }
}

impl Next for Target {
    type Error = Infallible;
    type Output = Answer;
    type Future = TargetFuture;

    #[inline]
    fn call(self, exchange: &mut Option<Exchange>) -> TargetFuture {
        let Some(exchange) = exchange.take() else {
            return TargetFuture(Box::pin(ready(Err(Problem::internal()))));
        };
        let destination = match self {
            Self::Own(own) => return TargetFuture(own(&exchange.facts)),
            Self::Service(destination) => destination,
        };
        TargetFuture(match &*destination {
            Destination::Local(service) => Box::pin(call(service.clone(), exchange)),
            Destination::Cluster(cluster) => {
                let (cluster, mut sending) = (cluster.clone(), Sending::new(exchange));
                Box::pin(async move {
                    let mut answer = send_on(&*cluster, &mut sending).await;
                    make_room(&mut answer, &sending.facts);
                    answer
                })
            }
        })
    }

    fn answer(output: Answer) -> Result<Answer, Infallible> {
        Ok(output)
    }
}

/// What the gateway says of limits stands in the place of what a service says.
fn make_room(answer: &mut Answer, facts: &Facts) {
    if let Ok(response) = answer {
        facts.make_room_for_fields(response.headers_mut());
    }
}

/// Calls a service of this process. Its request's extensions are filled here, once.
async fn call(mut service: bank_sdk::Service, exchange: Exchange) -> Answer {
    let Exchange { mut request, facts } = exchange;
    if let Some(id) = facts.id() {
        request.extensions_mut().insert(*id);
    }
    crate::inbound::stamp(&mut request, &facts);
    facts.count_try();
    let Ok(mut response) = service.call(request).await;
    facts.set_outcome(Outcome::Answered);
    let mut answer = match receive(&mut response, &facts) {
        Ok(()) => Ok(response),
        Err(invalid) => {
            tracing::error!(%invalid, "a service of this process gave an answer that cannot be passed on");
            Err(invalid.into())
        }
    };
    make_room(&mut answer, &facts);
    answer
}

/// The answer of a [`Target`].
pub(crate) struct TargetFuture(Pin<Box<dyn Future<Output = Answer> + Send>>);

impl Future for TargetFuture {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        self.0.as_mut().poll(cx)
    }
}

/// Where the requests of one route go, as a tower service of its own, behind whatever steps a team puts in front of it.
#[derive(Clone)]
pub struct RouteService(Target);

impl RouteService {
    pub(crate) const fn new(target: Target) -> Self {
        Self(target)
    }
}

impl tower::Service<Request<Body>> for RouteService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = RouteServiceFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> RouteServiceFuture {
        let exchange = Exchange::new(request);
        let facts = exchange.facts.clone();
        RouteServiceFuture { answer: Next::call(self.0.clone(), &mut Some(exchange)), facts }
    }
}

/// The answer of a [`RouteService`].
pub struct RouteServiceFuture {
    answer: TargetFuture,
    facts: Facts,
}

impl Future for RouteServiceFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(Ok(finish(answer, &self.facts)))
    }
}

impl fmt::Debug for RouteService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Target::Service(destination) => f.debug_tuple("RouteService").field(destination).finish(),
            Target::Own(_) => f.write_str("RouteService(own)"),
        }
    }
}

impl fmt::Debug for RouteServiceFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RouteServiceFuture")
    }
}

impl<T> fmt::Debug for Served<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Served")
    }
}
