//! What stands between hyper and a service: one form of request for both protocols, and the bounds that hold for both.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::util::Oneshot;

use super::Connection;
use super::activity::{Activity, InFlight};

/// Gives each request the facts of its connection.
pub(super) struct PerConnection<S> {
    pub(super) service: S,
    pub(super) connection: Arc<Connection>,
    pub(super) activity: Arc<Activity>,
    pub(super) header_fields: usize,
    pub(super) upgrades: bool,
}

impl<S> Drop for PerConnection<S> {
    fn drop(&mut self) {
        self.connection.end();
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for PerConnection<S>
where
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
{
    type Response = Response<TrackedBody<B>>;
    type Error = Infallible;
    type Future = ResponseFuture<S>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let http2 = request.version() == Version::HTTP_2;
        if http2 {
            // On HTTP/1.1 hyper refuses these itself. It stays paid: see the budget of control frames.
            if request.headers().len() > self.header_fields {
                let in_flight = Some(self.activity.refuse());
                return ResponseFuture { answer: Answering::Refused, in_flight, closes: false };
            }
            name_host(&mut request);
        }
        if !self.upgrades {
            request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>();
        }
        // What follows on the connection may be meant for somebody else than us.
        let closes = !http2 && matches!(*request.method(), Method::CONNECT | Method::TRACE);
        if request.extensions().is_empty() {
            *request.extensions_mut() = self.connection.extensions();
        } else {
            request.extensions_mut().insert(self.connection.clone());
        }
        let in_flight = Some(self.activity.request());
        let mut service = self.service.clone();
        let answer = match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Answering::Called { future: service.call(request) },
            Poll::Ready(Err(never)) => match never {},
            // It is asked again by whoever can be woken.
            Poll::Pending => Answering::Waiting { future: Box::pin(Oneshot::new(service, request)) },
        };
        ResponseFuture { answer, in_flight, closes }
    }
}

/// `:authority` as `Host`, where there is none (RFC 9113 §8.3.1): all above sees one form.
fn name_host(request: &mut Request<Incoming>) {
    if request.headers().contains_key(HOST) {
        return;
    }
    let host = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
}

pin_project! {
    /// The wait for an answer.
    pub(super) struct ResponseFuture<S: tower::Service<Request<Incoming>>> {
        #[pin]
        answer: Answering<S>,
        in_flight: Option<InFlight>,
        closes: bool,
    }
}

pin_project! {
    #[project = AnsweringProjection]
    enum Answering<S: tower::Service<Request<Incoming>>> {
        /// The service was ready, as most always are.
        Called { #[pin] future: S::Future },
        /// Boxed: it holds the request, which is large.
        Waiting { future: Pin<Box<Oneshot<S, Request<Incoming>>>> },
        /// The request had too many fields.
        Refused,
    }
}

impl<S, B> Future for ResponseFuture<S>
where
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
{
    type Output = Result<Response<TrackedBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = self.project();
        let answered = match me.answer.project() {
            AnsweringProjection::Called { future } => ready!(future.poll(cx)),
            AnsweringProjection::Waiting { future } => ready!(future.as_mut().poll(cx)),
            AnsweringProjection::Refused => {
                let mut response = Response::new(TrackedBody { body: None, _in_flight: me.in_flight.take() });
                *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
                return Poll::Ready(Ok(response));
            }
        };
        let Ok(mut response) = answered;
        if *me.closes && !response.status().is_success() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let in_flight = me.in_flight.take();
        Poll::Ready(Ok(response.map(|body| TrackedBody { body: Some(body), _in_flight: in_flight })))
    }
}

pin_project! {
    /// A body whose request is under way until it has been sent.
    pub(super) struct TrackedBody<B> {
        #[pin]
        body: Option<B>,
        _in_flight: Option<InFlight>,
    }
}

impl<B: HttpBody> HttpBody for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().body.as_pin_mut() {
            Some(body) => body.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}
