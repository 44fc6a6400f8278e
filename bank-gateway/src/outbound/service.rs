//! A transport as a tower service: the end of a stack of layers.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bank_sdk::Problem;
use bank_sdk::http::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use tower::{BoxError, Service};

use super::{Failure, Outcome, Sending, Transport, Why};
use crate::exchange::{Exchange, Facts};
use crate::inbound::{join, pass_back, prepare, receive_switched};
use crate::step::Answer;

/// Any [`Transport`] as a service that ends a stack. Clones share it.
///
/// Fields that hold for one connection only are removed both ways (RFC 9110 §7.6.1); the time left, the request's id, its
/// trace and the client's address are passed on, and so is everything else, credentials too: put
/// [`StripCredentials`](crate::identity::StripCredentials) in front. It is always ready: the wait is in the call, where the
/// request's deadline ends it. Limit what waits with [`InFlightLimit`](super::InFlightLimit), or with tower's
/// `ConcurrencyLimit` where a caller should feel it in `poll_ready`.
pub struct Outbound<T>(Arc<T>);

impl<T: Transport> Outbound<T> {
    /// Sends requests by this.
    pub fn new(transport: T) -> Self {
        Self(Arc::new(transport))
    }
}

/// Sends a request on, and says what became of it.
pub(crate) async fn send_on<T: Transport>(transport: &T, sending: &mut Sending) -> Answer {
    match transport.send(sending).await {
        Ok(response) if response.status() != StatusCode::SWITCHING_PROTOCOLS => Ok(response),
        Ok(response) => go_over(response, &sending.facts).map_err(|failure| fail(&failure, &sending.facts)),
        Err(failure) => Err(fail(&failure, &sending.facts)),
    }
}

/// Joins the connections where the answer changes the protocol.
fn go_over(mut response: Response<Body>, facts: &Facts) -> Result<Response<Body>, Failure> {
    let joined = receive_switched(&mut response, facts).and_then(|()| join(&response, facts));
    match joined {
        Ok(()) => Ok(response),
        Err(invalid) => Err(Failure::caused(Outcome::Failed(Why::BadAnswer), invalid)),
    }
}

/// What the caller is told of a request that got no answer.
fn fail(failure: &Failure, facts: &Facts) -> Problem {
    facts.set_outcome(failure.outcome());
    // The access log tells how each request ends, and the endpoint's report when it goes out of service.
    tracing::debug!(
        request = facts.id_text(),
        service = facts.route().map(|route| &*route.service),
        error = failure as &dyn std::error::Error,
        "a request got no answer"
    );
    failure.problem()
}

impl<T: Transport, B> Service<Request<B>> for Outbound<T>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = OutboundFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> OutboundFuture {
        let (transport, mut exchange) = (self.0.clone(), Exchange::new(request.map(Body::new)));
        OutboundFuture(Box::pin(async move {
            prepare(&mut exchange);
            let mut sending = Sending::new(exchange);
            let mut answer = send_on(&*transport, &mut sending).await;
            if let Ok(response) = &mut answer
                && response.status() != StatusCode::SWITCHING_PROTOCOLS
            {
                pass_back(response, &sending.facts);
            }
            answer.unwrap_or_else(|problem| problem.into_response(sending.facts.id_text()))
        }))
    }
}

/// The answer of an [`Outbound`].
pub struct OutboundFuture(Pin<Box<dyn Future<Output = Response<Body>> + Send>>);

impl Future for OutboundFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl<T> Clone for Outbound<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for Outbound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outbound").field(&self.0).finish()
    }
}

impl fmt::Debug for OutboundFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutboundFuture")
    }
}
