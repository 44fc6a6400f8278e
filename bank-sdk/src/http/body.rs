//! The one body type between the edge and a handler: what only passes through is not boxed, buffered or copied.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tower::BoxError;

use super::Timer;
use crate::client::PooledSender;

/// An opaque, `Send` HTTP body.
///
/// ```
/// # use bank_sdk::http::Body;
/// use http_body::Body as _;
/// assert!(Body::empty().is_end_stream());
/// assert_eq!(Body::from("hello").size_hint().exact(), Some(5));
/// ```
pub struct Body {
    kind: Kind,
    /// When it breaks off, if it does.
    until: Option<Timer>,
}

enum Kind {
    Empty,
    Full(Bytes),
    Incoming(Incoming, Option<Lease>),
    Boxed(Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>),
}

/// A client connection lent to a response: it goes back to its pool when the body has been read to its end.
pub(crate) struct Lease(pub(crate) PooledSender);

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
#[error("the body ended early")]
pub struct BodyError(#[source] BoxError);

impl Body {
    /// A body without bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self::of(Kind::Empty)
    }

    const fn of(kind: Kind) -> Self {
        Self { kind, until: None }
    }

    /// The same body, which breaks off where its sender keeps its reader waiting until this timer is over. It takes the timer
    /// that its request has waited with already: another one for each request would cost more than most bodies.
    #[must_use]
    pub fn ends_with(mut self, timer: Timer) -> Self {
        self.until = matches!(self.kind, Kind::Incoming(..) | Kind::Boxed(_)).then_some(timer);
        self
    }

    /// Erases any body once. One of ours, or hyper's, is taken as it is.
    pub fn new<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut slot = Some(body);
        let any: &mut dyn Any = &mut slot;
        if let Some(own) = any.downcast_mut::<Option<Self>>() {
            return own.take().unwrap_or_default();
        }
        if let Some(incoming) = any.downcast_mut::<Option<Incoming>>() {
            return incoming.take().map(Self::from).unwrap_or_default();
        }
        match slot {
            Some(body) if body.is_end_stream() => Self::empty(),
            Some(body) => {
                use http_body_util::BodyExt as _;
                Self::of(Kind::Boxed(Box::pin(body.map_err(Into::into))))
            }
            None => Self::empty(),
        }
    }

    pub(crate) const fn leased(body: Incoming, lease: Lease) -> Self {
        Self::of(Kind::Incoming(body, Some(lease)))
    }

    /// Reads the whole body, at most `limit` bytes.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`] where more came, [`ReadError::Broken`] where it ended early.
    pub async fn read(self, limit: usize) -> Result<Bytes, ReadError> {
        use http_body_util::{BodyExt as _, LengthLimitError, Limited};
        if let Kind::Full(bytes) = self.kind {
            return if bytes.len() > limit { Err(ReadError::TooLarge(limit)) } else { Ok(bytes) };
        }
        match Limited::new(self, limit).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(ReadError::TooLarge(limit)),
            Err(error) => Err(ReadError::Broken(BodyError(error))),
        }
    }
}

/// Why a body could not be read whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// More bytes than the endpoint allows.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The sender went away or broke the framing.
    #[error(transparent)]
    Broken(BodyError),
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::empty() } else { Self::of(Kind::Full(bytes)) }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<Incoming> for Body {
    fn from(body: Incoming) -> Self {
        if body.is_end_stream() { Self::empty() } else { Self::of(Kind::Incoming(body, None)) }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = self.poll_kind(cx);
        let Some(until) = self.until.as_mut().filter(|_| polled.is_pending()) else { return polled };
        ready!(until.poll_over(cx));
        // What comes later comes to nobody; a connection that was lent is dropped.
        *self = Self::empty();
        Poll::Ready(Some(Err(BodyError("its sender took longer than its deadline".into()))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Incoming(body, _) => body.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Incoming(body, _) => body.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
        }
    }
}

impl Body {
    fn poll_kind(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Incoming(body, lease) => {
                let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
                let ended = match &frame {
                    None => true,
                    Some(Ok(_)) => body.is_end_stream(),
                    Some(Err(_)) => {
                        // The connection cannot be trusted any more: it is dropped, not lent again.
                        lease.take();
                        false
                    }
                };
                if ended && let Some(Lease(sender)) = lease.take() {
                    sender.give_back();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(|error| BodyError(error.into()))))
            }
            Kind::Boxed(body) => {
                body.as_mut().poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(BodyError)))
            }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Empty => "empty",
            Kind::Full(_) => "full",
            Kind::Incoming(..) => "incoming",
            Kind::Boxed(_) => "boxed",
        };
        f.debug_struct("Body").field("kind", &kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_over_its_limit_is_refused() {
        assert!(matches!(Body::from("12345").read(4).await, Err(ReadError::TooLarge(4))));
        assert_eq!(Body::from("1234").read(4).await.unwrap(), "1234");
    }

    /// A body that has one frame and then nothing for ever.
    struct Stalls(bool);

    impl HttpBody for Stalls {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            match std::mem::take(&mut self.0) {
                true => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"abc"))))),
                false => Poll::Pending,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn s7_a_body_whose_sender_stalls_breaks_off_at_its_deadline() {
        use http_body_util::BodyExt as _;
        use tokio::time::{Duration, Instant};
        let start = Instant::now();
        let body = Body::new(Stalls(true)).ends_with(Timer::until(start + Duration::from_secs(2)));
        let mut body = std::pin::pin!(body);
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_err());
        assert_eq!(start.elapsed().as_secs(), 2);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_foreign_body_is_erased_once_and_keeps_its_bytes() {
        let body = Body::new(http_body_util::Full::new(Bytes::from_static(b"abc")));
        assert_eq!(Body::new(body).read(10).await.unwrap(), "abc");
    }
}
