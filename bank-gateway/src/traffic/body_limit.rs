//! How much may a body hold? One that says too much is refused at once; one that turns out to be too large is cut, and its
//! request is answered with 413 whatever the service made of the cut.

use bank_sdk::http::{End, Watch};
use http_body::Body as _;
use tower::BoxError;

use crate::exchange::{Exchange, Facts, Upload};
use crate::problem::body_too_large;
use crate::step::{Answer, Flow, Refusal, Step};

/// Refuses bodies of more than so many bytes with 413, and notes how far a body has come: what waits for a caller that sends
/// slowly is nobody else's fault.
///
/// ```
/// use bank_gateway::{BodyLimit, StepLayer};
/// use bank_sdk::http::Body;
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let service = ServiceBuilder::new()
///     .layer(StepLayer::new(BodyLimit::bytes(4)))
///     .service_fn(|_: Request<Body>| async { Ok::<_, std::convert::Infallible>(Response::new(Body::empty())) });
/// let post = |body: &'static str| Request::post("/").body(Body::from(body)).unwrap();
/// assert_eq!(service.clone().oneshot(post("1234")).await.unwrap().status(), 200);
/// assert_eq!(service.oneshot(post("12345")).await.unwrap().status(), 413);
/// # });
/// ```
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
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        let body = exchange.request.body();
        if body.size_hint().lower() > self.0 {
            return Err(body_too_large(self.0).into());
        }
        if body.is_end_stream() {
            return Ok(Flow::Pass);
        }
        exchange.facts.set_upload(Upload::Unread);
        let meter = Meter { facts: exchange.facts.clone(), left: self.0 };
        exchange.request.body_mut().watch(meter);
        Ok(Flow::Pass)
    }

    fn after(&self, (): (), facts: &Facts, answer: &mut Answer) {
        if facts.upload() == Upload::TooLarge {
            *answer = Err(body_too_large(self.0));
        }
    }
}

/// Counts the bytes of a request's body.
struct Meter {
    facts: Facts,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the body is larger than its endpoint allows")]
struct TooLarge;

impl Watch for Meter {
    fn passed(&mut self, bytes: usize) -> Result<(), BoxError> {
        match self.left.checked_sub(bytes as u64) {
            Some(left) => {
                self.left = left;
                self.facts.set_upload(Upload::Unread);
                Ok(())
            }
            None => {
                self.facts.set_upload(Upload::TooLarge);
                Err(TooLarge.into())
            }
        }
    }

    fn waits(&mut self) {
        self.facts.set_upload(Upload::Open);
    }

    fn ended(&mut self, end: End) {
        match end {
            End::Whole => self.facts.set_upload(Upload::Done),
            End::Broken if self.facts.upload() != Upload::TooLarge => self.facts.set_upload(Upload::Broken),
            // Who let go of it did not want the rest.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bank_sdk::http::Body;
    use bytes::Bytes;
    use http::Request;
    use http_body::Frame;

    use super::*;

    /// A body that does not say how large it is.
    struct Chunks(usize);

    impl http_body::Body for Chunks {
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
            let mut exchange = Exchange::new(Request::new(Body::new(Chunks(chunks))));
            BodyLimit::bytes(10).before(&mut exchange, &mut ()).unwrap();
            let read = exchange.request.into_body().read(1_000).await;
            let upload = if fits { Upload::Done } else { Upload::TooLarge };
            assert_eq!((read.is_ok(), exchange.facts.upload()), (fits, upload), "{chunks}");
        }
    }
}
