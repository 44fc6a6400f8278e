//! Server-sent events (HTML Living Standard §9.2) as a body that its sender fills.

use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body::Frame;
use tokio::sync::mpsc;

use super::Body;

/// Sends events to one reader. It waits while the reader is slow, and fails when the reader is gone.
#[derive(Clone, Debug)]
pub struct EventSender(mpsc::Sender<Bytes>);

/// The reader is gone.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the reader of the events is gone")]
pub struct ReaderGone;

/// A response that streams events, and the sender that fills it.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let (events, response) = bank_sdk::http::event_stream();
/// events.send(Some("7"), "transfer", r#"{"id":"trf_1"}"#).await.unwrap();
/// drop(events);
/// let bytes = response.into_body().read(1000).await.unwrap();
/// assert_eq!(bytes, "id: 7\nevent: transfer\ndata: {\"id\":\"trf_1\"}\n\n");
/// # });
/// ```
#[must_use]
pub fn event_stream() -> (EventSender, Response<Body>) {
    let (sender, receiver) = mpsc::channel(16);
    let mut response = Response::new(Body::new(Events(receiver)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (EventSender(sender), response)
}

impl EventSender {
    /// Sends an event; `data` is one line, as JSON is.
    ///
    /// # Errors
    /// [`ReaderGone`].
    pub async fn send(&self, id: Option<&str>, name: &str, data: &str) -> Result<(), ReaderGone> {
        let mut text = String::with_capacity(data.len() + 64);
        if let Some(id) = id {
            let _ = writeln!(text, "id: {id}");
        }
        let _ = write!(text, "event: {name}\ndata: {data}\n\n");
        self.0.send(text.into()).await.map_err(|_| ReaderGone)
    }

    /// Sends a comment, which keeps the connection open and shows whether the reader is still there.
    ///
    /// # Errors
    /// [`ReaderGone`].
    pub async fn keep_alive(&self) -> Result<(), ReaderGone> {
        self.0.send(Bytes::from_static(b":\n\n")).await.map_err(|_| ReaderGone)
    }

    /// Completes when the reader is gone.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

struct Events(mpsc::Receiver<Bytes>);

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
