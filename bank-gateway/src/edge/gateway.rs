//! The gateway: the steps of the edge, the table of routes, and the steps of each route.

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
use tower::{BoxError, Service};

use super::served::{OnRoute, serve};
use super::{EdgeSteps, Internal, RouteSteps};
use crate::control::{Admin, GatewayBuilder, Shared, State};
use crate::exchange::Exchange;
use crate::step::passage::{Next, Passage, Start};
use crate::step::{Answer, finish};

/// An API gateway as a `tower::Service`. Clones share everything.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) shared: Arc<Shared>,
}

impl Gateway {
    /// Starts to describe a gateway.
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::new()
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
}

/// A configuration in force, held by the requests that came under it.
pub(crate) struct Edge(Arc<State>);

impl Deref for Edge {
    type Target = EdgeSteps;

    fn deref(&self) -> &EdgeSteps {
        &self.0.edge
    }
}

/// The table of routes, behind the steps of the edge.
pub(crate) struct Outside(Arc<State>);

impl Start for Outside {
    type Next = Self;

    #[inline]
    fn call(self, exchange: &mut Option<Exchange>) -> Routed<RouteSteps> {
        Next::call(self, exchange)
    }

    fn keep(self) -> Self {
        self
    }
}

impl Next for Outside {
    type Error = Infallible;
    type Output = Answer;
    type Future = Routed<RouteSteps>;

    #[inline]
    fn call(self, exchange: &mut Option<Exchange>) -> Routed<RouteSteps> {
        let Some(own) = exchange else {
            return Routed::Nowhere { answer: Some(Err(Problem::internal())) };
        };
        match self.0.outside.find(&own.request) {
            Ok(entry) => {
                let facts = own.facts.clone();
                Routed::On { passage: serve(entry, facts, exchange) }
            }
            Err(no) => {
                self.0.metrics.unrouted();
                Routed::Nowhere { answer: Some(Err(no.problem())) }
            }
        }
    }

    fn answer(output: Answer) -> Result<Answer, Infallible> {
        Ok(output)
    }
}

pin_project! {
    /// A request that is on a route, or on none.
    #[project = RoutedProjection]
    pub(crate) enum Routed<T: crate::step::Step> {
        On { #[pin] passage: OnRoute<T> },
        Nowhere { answer: Option<Answer> },
    }
}

impl<T: crate::step::Step> Future for Routed<T> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        match self.project() {
            RoutedProjection::On { passage } => passage.poll(cx).map(|Ok(answer)| answer),
            RoutedProjection::Nowhere { answer } => {
                Poll::Ready(answer.take().unwrap_or_else(|| Ok(Response::default())))
            }
        }
    }
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
        let state = self.shared.state.load_full();
        let exchange = Exchange::begin(request.map(Body::new));
        if let Some(render) = &state.render {
            exchange.facts.set_render(render.clone());
            exchange.facts.keep_accept(exchange.headers());
        }
        let (facts, mut exchange) = (exchange.facts.clone(), Some(exchange));
        let outside = Outside(state.clone());
        GatewayFuture { passage: Passage::begin(Edge(state), facts, &mut exchange, outside) }
    }
}

pin_project! {
    /// The answer of a [`Gateway`].
    pub struct GatewayFuture {
        #[pin]
        passage: Passage<Edge, Outside>,
    }
}

impl Future for GatewayFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut passage = self.project().passage;
        let Ok(answer) = ready!(passage.as_mut().poll(cx));
        Poll::Ready(Ok(finish(answer, passage.facts())))
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
