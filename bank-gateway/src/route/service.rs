//! Routes as a tower service: each request goes to the service of the route that serves it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bank_sdk::http::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower::{BoxError, Service};

use super::Table;
use crate::exchange::Exchange;

/// A table of routes, each with a service of its own. It leaves [`Facts::route`](crate::Facts::route).
/// [`Gateway::parts`](crate::Gateway::parts) gives one.
pub struct Routes<S>(pub(crate) Arc<Table<S>>);

impl<S> Routes<S> {
    /// The same routes with other services.
    #[must_use]
    pub fn map<T>(self, service: impl Fn(&S) -> T) -> Routes<T> {
        Routes(Arc::new(self.0.map(service)))
    }
}

impl<S, B> Service<Request<B>> for Routes<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = RoutesFuture<S>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let exchange = Exchange::new(request.map(Body::new));
        let stage = match self.0.find(&exchange.request) {
            Ok(entry) => {
                let info = &entry.matcher.info;
                if info.render.is_some() {
                    exchange.facts.keep_accept(exchange.headers());
                }
                exchange.facts.set_route(info.clone());
                let service = entry.payload.clone();
                Stage::Served { served: Oneshot::new(service, exchange.into_request()) }
            }
            Err(no) => {
                let problem = no.problem();
                exchange.facts.set_refusal(problem.code().unwrap_or("unspecified"));
                let answer = problem.into_response(exchange.facts.id_text());
                Stage::Refused { answer: Some(answer) }
            }
        };
        RoutesFuture { stage }
    }
}

pin_project! {
    /// The answer of [`Routes`].
    pub struct RoutesFuture<S: Service<Request<Body>>> {
        #[pin]
        stage: Stage<S>,
    }
}

pin_project! {
    #[project = Projection]
    enum Stage<S: Service<Request<Body>>> {
        Served { #[pin] served: Oneshot<S, Request<Body>> },
        Refused { answer: Option<Response<Body>> },
    }
}

impl<S: Service<Request<Body>, Response = Response<Body>>> Future for RoutesFuture<S> {
    type Output = Result<Response<Body>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().stage.project() {
            Projection::Served { served } => served.poll(cx),
            Projection::Refused { answer } => Poll::Ready(Ok(answer.take().unwrap_or_default())),
        }
    }
}

impl<S: Service<Request<Body>>> fmt::Debug for RoutesFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoutesFuture")
    }
}

impl<S> Clone for Routes<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.entries().iter().map(|entry| &entry.matcher.info.operation)).finish()
    }
}
