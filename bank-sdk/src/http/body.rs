//! The one body type between the edge and a handler: what only passes through is not boxed, buffered or copied.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Duration, Instant};
use tower::BoxError;

use super::upgrade::Switched;
use super::watch::{End, Watch, Watched};
use super::{JoinedUntil, Timer, Upgrade};
use crate::client::PooledSender;

/// An opaque, `Send` HTTP body.
///
/// ```
/// # use bank_sdk::http::Body;
/// use http_body::Body as _;
/// assert!(Body::empty().is_end_stream());
/// assert_eq!(Body::from("hello").size_hint().exact(), Some(5));
/// ```
///
/// It is as large as a pointer: on its way through a gateway it is moved some fifty times.
pub struct Body(Option<Box<Inner>>);

/// A body that is not empty.
struct Inner {
    kind: Kind,
    /// How long its sender may keep its reader waiting, where that is bounded.
    patience: Option<Patience>,
    /// Who looks on.
    watched: Watched,
}

/// A time that nobody waits for: longer ones could not be added to the clock.
const FAR_AWAY: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// How long a reader waits for the next piece, and in all.
struct Patience {
    timer: Timer,
    idle: Duration,
    whole: Option<Instant>,
    /// Whether the reader waits now, so that the timer runs.
    waiting: bool,
}

/// So many bodies that are over are kept by a thread, whose memory it uses again.
const SPARES: usize = 64;

#[allow(clippy::vec_box, reason = "what is kept are the boxes")]
type Spare = RefCell<Vec<Box<Inner>>>;

thread_local!(static SPARE: Spare = const { RefCell::new(Vec::new()) });

impl Drop for Body {
    fn drop(&mut self) {
        let Some(mut inner) = self.0.take() else { return };
        // Those who look on are told here, and may drop other bodies.
        *inner = Inner::over();
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARES {
                spare.push(inner);
            }
        });
    }
}

enum Kind {
    /// Nothing, or nothing more.
    Empty,
    Full(Bytes),
    Incoming(Incoming, Option<Lease>),
    Boxed(Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>),
    /// None: the connection speaks another protocol from now on.
    Switched(Arc<Switched>),
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
        Self(None)
    }

    fn of(kind: Kind) -> Self {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        let mut inner = spare.unwrap_or_else(|| Box::new(Inner::over()));
        inner.kind = kind;
        Self(Some(inner))
    }

    /// The same body, which breaks off where its sender keeps its reader waiting for the next piece for longer than `idle`, or
    /// is not done when `whole` is over. A reader who takes its time is not bounded by `idle`. It takes the timer that its
    /// request has waited with already: another one for each request would cost more than most bodies.
    #[must_use]
    pub fn within(mut self, timer: Timer, idle: Duration, whole: Option<Instant>) -> Self {
        self.limit_time(timer, idle, whole);
        self
    }

    /// [`within`](Self::within) for a body that stays in its place.
    pub fn limit_time(&mut self, timer: Timer, idle: Duration, whole: Option<Instant>) {
        let Some(inner) = &mut self.0 else { return };
        inner.patience = matches!(inner.kind, Kind::Incoming(..) | Kind::Boxed(_)).then_some(Patience {
            timer,
            idle: idle.min(FAR_AWAY),
            whole,
            waiting: false,
        });
    }

    /// The same body, with somebody who looks on. Where others do already, all are told.
    #[must_use]
    pub fn watched_by(mut self, watch: impl Watch + 'static) -> Self {
        self.watch(watch);
        self
    }

    /// [`watched_by`](Self::watched_by) for a body that stays in its place.
    pub fn watch(&mut self, mut watch: impl Watch + 'static) {
        match &mut self.0 {
            Some(inner) => match &inner.kind {
                Kind::Switched(switched) => switched.watched_by(Box::new(watch)),
                kind if kind.is_over() => watch.ended(End::Whole),
                _ => inner.watched.add(Box::new(watch)),
            },
            None => watch.ended(End::Whole),
        }
    }

    /// The same body, which holds a permit until its end. Where somebody looks on who has room for it, it takes no memory.
    #[must_use]
    pub fn holding(mut self, permit: OwnedSemaphorePermit) -> Self {
        self.hold(permit);
        self
    }

    /// [`holding`](Self::holding) for a body that stays in its place.
    pub fn hold(&mut self, permit: OwnedSemaphorePermit) {
        if let Some(inner) = self.0.as_mut().filter(|inner| !inner.kind.is_over()) {
            inner.watched.hold(permit);
        }
    }

    /// Erases any body once. One of ours, or hyper's, is taken as it is.
    #[inline]
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

    pub(crate) fn leased(body: Incoming, lease: Lease) -> Self {
        Self::of(Kind::Incoming(body, Some(lease)))
    }

    /// What stands in the place of a body behind `101 Switching Protocols`.
    pub(crate) fn switched(server: hyper::upgrade::OnUpgrade) -> Self {
        Self::of(Kind::Switched(Switched::new(server)))
    }

    /// Joins the server's side of an answer `101 Switching Protocols` with the client's, in a task that goes on until one of
    /// them, or what `until` says, ends it. Those who [watch](Self::watched_by) the body see the bytes that go to the client,
    /// and the end: [`End::Dropped`] where the client broke off, [`End::Broken`] where the server did or a time was over.
    ///
    /// False where the answer did not come from [`Connections`](crate::client::Connections) with that status, or the sides
    /// are joined already.
    #[must_use]
    pub fn join(&self, client: Upgrade, until: JoinedUntil) -> bool {
        match self.kind() {
            Kind::Switched(switched) => switched.join(client, until),
            _ => false,
        }
    }

    fn kind(&self) -> &Kind {
        self.0.as_ref().map_or(&Kind::Empty, |inner| &inner.kind)
    }

    /// Reads the whole body, at most `limit` bytes.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`] where more came, [`ReadError::Broken`] where it ended early.
    pub async fn read(self, limit: usize) -> Result<Bytes, ReadError> {
        use http_body_util::{BodyExt as _, LengthLimitError, Limited};
        if let Some(Inner { kind: Kind::Full(bytes), watched, .. }) = self.0.as_deref()
            && watched.is_empty()
        {
            return if bytes.len() > limit { Err(ReadError::TooLarge(limit)) } else { Ok(bytes.clone()) };
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
        match &mut self.0 {
            Some(inner) => inner.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.kind().is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match self.kind() {
            Kind::Empty | Kind::Switched(_) => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Incoming(body, _) => body.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
        }
    }
}

impl Patience {
    /// Ready when the reader has waited for long enough.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waiting {
            self.waiting = true;
            let next = Instant::now() + self.idle;
            self.timer.reset(self.whole.map_or(next, |whole| whole.min(next)));
        }
        self.timer.poll_over(cx)
    }

    /// Whether the time for the whole body is over.
    fn is_late(&self) -> bool {
        self.whole.is_some_and(|whole| Instant::now() >= whole)
    }
}

impl Kind {
    /// Whether nothing more comes.
    fn is_over(&self) -> bool {
        match self {
            Self::Empty | Self::Switched(_) => true,
            Self::Full(_) => false,
            Self::Incoming(body, _) => body.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }
}

impl Inner {
    const fn over() -> Self {
        Self { kind: Kind::Empty, patience: None, watched: Watched::nobody() }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(mut frame) = self.poll_kind(cx) else {
            self.watched.waits();
            let Some(patience) = &mut self.patience else { return Poll::Pending };
            ready!(patience.poll_over(cx));
            let end = if patience.is_late() { End::TooLate } else { End::Broken };
            return Poll::Ready(Some(Err(self.break_off(end, "its sender took too long"))));
        };
        if let Some(patience) = &mut self.patience {
            if patience.is_late() {
                return Poll::Ready(Some(Err(self.break_off(End::TooLate, "it took too long"))));
            }
            patience.waiting = false;
        }
        match &mut frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if let Some(trailers) = frame.trailers_mut() {
                    self.watched.trailers(trailers);
                }
                if let Err(error) = self.watched.passed(bytes) {
                    self.break_off(End::Broken, "");
                    return Poll::Ready(Some(Err(BodyError(error))));
                }
                if self.kind.is_over() {
                    self.watched.ended(End::Whole);
                }
            }
            Some(Err(_)) => self.watched.ended(End::Broken),
            None => self.watched.ended(End::Whole),
        }
        Poll::Ready(frame)
    }

    /// What comes later comes to nobody; a connection that was lent is dropped.
    fn break_off(&mut self, end: End, why: &'static str) -> BodyError {
        self.kind = Kind::Empty;
        self.patience = None;
        self.watched.ended(end);
        BodyError(why.into())
    }

    fn poll_kind(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.kind {
            Kind::Empty | Kind::Switched(_) => Poll::Ready(None),
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
        let kind = match self.kind() {
            Kind::Empty => "empty",
            Kind::Full(_) => "full",
            Kind::Incoming(..) => "incoming",
            Kind::Boxed(_) => "boxed",
            Kind::Switched(_) => "switched",
        };
        f.debug_struct("Body").field("kind", &kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
