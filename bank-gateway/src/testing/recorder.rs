//! An upstream in the test's own process, which records what reaches it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bank_sdk::Principal;
use bank_sdk::http::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use tower::{BoxError, Service};

use crate::{Facts, Upstream};

/// A tower service that records each request and answers as its script says. Clones share what was recorded.
///
/// ```
/// use bank_gateway::testing::{Recorder, Reply};
///
/// // Lost at the first try, well at all others.
/// let notes = Recorder::in_turn("notes", [Reply::lost(), Reply::status(200).body("well")]);
/// # let _ = notes.upstream();
/// ```
#[derive(Clone)]
pub struct Recorder(Arc<Recording>);

struct Recording {
    name: String,
    script: Box<dyn Fn(&Received) -> Reply + Send + Sync>,
    received: Mutex<Vec<Received>>,
}

impl Recorder {
    /// Answers everything with 200 and `{}`. [`Harness::upstream`](super::Harness::upstream) finds it by this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self::answering(name, |_| Reply::status(200).header("content-type", "application/json").body("{}"))
    }

    /// Answers each request as `script` says.
    pub fn answering(
        name: impl Into<String>,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let received = Mutex::default();
        Self(Arc::new(Recording { name: name.into(), script: Box::new(script), received }))
    }

    /// Answers the first request with the first of these, and so on; the last one is for all that follow, and 200 where there
    /// is none.
    pub fn in_turn(name: impl Into<String>, replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: Mutex<Vec<Reply>> = Mutex::new(replies.into_iter().collect());
        Self::answering(name, move |_| {
            let mut replies = lock(&replies);
            match replies.len() {
                0 => Reply::status(200),
                1 => replies[0].clone(),
                _ => replies.remove(0),
            }
        })
    }

    /// The recorder behind a gateway's routes: [`Upstream::tower`]. Like any foreign service it is told who calls by
    /// [`Facts::principal`], which [`Received::principal`] shows; by header fields with
    /// [`forward_principal`](Upstream::forward_principal), and by a token with [`identity_keys`](Upstream::identity_keys).
    #[must_use]
    pub fn upstream(&self) -> Upstream {
        let mut upstream = Upstream::tower(self.clone());
        upstream.recorder = Some(self.clone());
        upstream
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// All that reached it so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.0.received).clone()
    }

    /// The only request that reached it.
    ///
    /// # Panics
    /// Where there were others, or none.
    #[must_use]
    #[track_caller]
    pub fn only(&self) -> Received {
        let mut received = self.received();
        assert_eq!(received.len(), 1, "`{}` got {received:?}", self.name());
        received.remove(0)
    }

    /// Forgets what reached it.
    pub fn clear(&self) {
        lock(&self.0.received).clear();
    }

    /// Whether it is the same recorder.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service<Request<Body>> for Recorder {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let recording = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let read = body.read(usize::MAX).await;
            let received = Received {
                method: head.method,
                uri: head.uri,
                headers: head.headers,
                is_whole: read.is_ok(),
                body: read.unwrap_or_default(),
                facts: head.extensions.get().cloned(),
            };
            lock(&recording.received).push(received.clone());
            (recording.script)(&received).answer().await
        })
    }
}

/// A request as it reached a [`Recorder`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received {
    /// The method.
    pub method: Method,
    /// Path and query, after any rewriting.
    pub uri: Uri,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body; empty where it broke off.
    pub body: Bytes,
    /// Whether the body came to its end.
    pub is_whole: bool,
    facts: Option<Facts>,
}

impl Received {
    /// The one value of a header field; nothing where it is missing, is no text, or stands there more than once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        crate::identity::only_field(&self.headers, name)
    }

    /// Who calls, as the gateway found out.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.facts.as_ref()?.principal().map(|principal| &**principal)
    }

    /// What the gateway knew of the request when it passed it on.
    #[must_use]
    pub const fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }
}

/// How a [`Recorder`] answers.
#[derive(Clone, Debug)]
pub struct Reply {
    /// `None` where the connection is lost.
    status: Option<StatusCode>,
    headers: HeaderMap,
    body: Bytes,
    after: Duration,
}

impl Reply {
    /// This status, without fields or body.
    ///
    /// # Panics
    /// Where there is no such status.
    #[must_use]
    #[track_caller]
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or_else(|_| panic!("{status} is no status"));
        Self { status: Some(status), headers: HeaderMap::new(), body: Bytes::new(), after: Duration::ZERO }
    }

    /// No answer: the connection is lost when the request has arrived.
    #[must_use]
    pub fn lost() -> Self {
        Self { status: None, headers: HeaderMap::new(), body: Bytes::new(), after: Duration::ZERO }
    }

    /// Adds a header field.
    ///
    /// # Panics
    /// Where it cannot be one.
    #[must_use]
    #[track_caller]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => self.headers.append(name, value),
            _ => panic!("`{name}: {value}` is no header field"),
        };
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// It takes this time, by tokio's clock.
    #[must_use]
    pub const fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    async fn answer(self) -> Result<Response<Body>, BoxError> {
        if !self.after.is_zero() {
            tokio::time::sleep(self.after).await;
        }
        let Some(status) = self.status else { return Err("the recorder lost the connection".into()) };
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = status;
        *response.headers_mut() = self.headers;
        Ok(response)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("name", &self.name()).finish_non_exhaustive()
    }
}
