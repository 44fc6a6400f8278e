//! Ends streams when their server drains: they have no deadline of their own.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::Connection;
use crate::http::{Body, BodyError};

/// A response whose body ends when the server of this connection drains.
#[must_use]
pub fn until_drained(response: Response<Body>, connection: &Connection) -> Response<Body> {
    until(response, connection.drained())
}

/// A response whose body ends when `end` completes, at the latest.
#[must_use]
pub fn until(response: Response<Body>, end: impl Future<Output = ()> + Send + 'static) -> Response<Body> {
    response.map(|body| Body::new(Until { body, end: Some(Box::pin(end)) }))
}

struct Until {
    body: Body,
    end: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl HttpBody for Until {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.end.as_mut().is_some_and(|end| end.as_mut().poll(cx).is_ready()) {
            (self.end, self.body) = (None, Body::empty());
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
