//! How much may a body hold? One that says too much is refused at once; one that turns out to be too large is cut, and its
//! request is answered with 413 whatever the service made of the cut.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bank_sdk::Problem;
use bank_sdk::http::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tower::{BoxError, Service};

use crate::Step;
use crate::problem::body_too_large;
use crate::step::{problem_instance, refusal};

/// Refuses bodies of more than so many bytes with 413.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit(u64);

impl BodyLimit {
    /// At most so many bytes.
    #[must_use]
    pub const fn bytes(limit: u64) -> Self {
        Self(limit)
    }
}

impl Step for BodyLimit {
    async fn serve<S>(&self, mut request: Request<Body>, mut inner: S) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
    {
        let id = problem_instance(&request);
        let cut = match limit_body(&mut request, self.0) {
            Ok(cut) => cut,
            Err(problem) => return Ok(refusal(&id, problem)),
        };
        let answer = inner.call(request).await;
        match cut.as_ref().and_then(Cut::problem) {
            Some(problem) => Ok(refusal(&id, problem)),
            None => answer,
        }
    }
}

/// Whether a body was cut.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    limit: u64,
    happened: Arc<AtomicBool>,
}

impl Cut {
    /// The refusal of a request whose body was cut.
    pub(crate) fn problem(&self) -> Option<Problem> {
        self.happened.load(Ordering::Relaxed).then(|| body_too_large(self.limit))
    }
}

/// Bounds a request's body. Where its size is known beforehand, nothing is wrapped.
pub(crate) fn limit_body(request: &mut Request<Body>, limit: u64) -> Result<Option<Cut>, Problem> {
    let size = request.body().size_hint();
    if size.lower() > limit {
        return Err(body_too_large(limit));
    }
    if size.upper().is_some_and(|upper| upper <= limit) {
        return Ok(None);
    }
    let cut = Cut { limit, happened: Arc::default() };
    let body = std::mem::take(request.body_mut());
    *request.body_mut() = Body::new(Limited { body, left: limit, cut: cut.clone() });
    Ok(Some(cut))
}

struct Limited {
    body: Body,
    left: u64,
    cut: Cut,
}

#[derive(Debug, thiserror::Error)]
#[error("the body is larger than its endpoint allows")]
struct TooLarge;

impl HttpBody for Limited {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => frame,
        };
        let size = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.left.checked_sub(size) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                self.cut.happened.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err(TooLarge.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that does not say how large it is.
    struct Chunks(usize);

    impl HttpBody for Chunks {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            let next = self.0.checked_sub(1);
            self.0 = next.unwrap_or_default();
            Poll::Ready(next.map(|_| Ok(Frame::data(Bytes::from_static(b"12345")))))
        }
    }

    #[tokio::test]
    async fn s7_a_body_of_unknown_size_is_cut_at_its_limit() {
        for (chunks, fits) in [(2, true), (3, false)] {
            let mut request = Request::new(Body::new(Chunks(chunks)));
            let cut = limit_body(&mut request, 10).unwrap().unwrap();
            let read = request.into_body().read(1_000).await;
            assert_eq!((read.is_ok(), cut.problem().is_none()), (fits, fits), "{chunks}");
        }
        assert_eq!(limit_body(&mut Request::new(Body::from("12345")), 4).unwrap_err().status(), 413);
        assert!(limit_body(&mut Request::new(Body::from("1234")), 4).unwrap().is_none());
    }
}
