//! What sends one request, and any tower service as such.

use std::fmt;
use std::future::Future;

use bank_sdk::client::send_in_process;
use bank_sdk::declaration::Idempotency;
use bank_sdk::http::Body;
use http::header::UPGRADE;
use http::{Request, Response};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt as _};

use super::{Failure, Outcome, Why};
use crate::exchange::{Exchange, Facts};

/// Sends a request on and gives the head of its answer: a connection, or a policy around one.
///
/// A policy of your own wraps another transport:
///
/// ```
/// use bank_gateway::outbound::{Failure, Sending, Transport};
/// use bank_sdk::http::Body;
/// use http::Response;
///
/// /// Says how long each answer took.
/// #[derive(Debug)]
/// struct Timed<T>(T);
///
/// impl<T: Transport> Transport for Timed<T> {
///     async fn send(&self, sending: &mut Sending) -> Result<Response<Body>, Failure> {
///         let start = std::time::Instant::now();
///         let answer = self.0.send(sending).await;
///         println!("{:?}", start.elapsed());
///         answer
///     }
/// }
/// ```
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends the request, which is taken out of `sending`. Where nothing of it was sent, it is put back.
    ///
    /// # Errors
    /// What became of it, where no answer came. Dropping the future abandons the request.
    fn send(&self, sending: &mut Sending) -> impl Future<Output = Result<Response<Body>, Failure>> + Send;
}

/// A request that is being sent on, perhaps more than once.
#[derive(Debug)]
#[non_exhaustive]
pub struct Sending {
    /// The request.
    pub request: Request<Body>,
    /// What is known of it.
    pub facts: Facts,
    /// Whether it has to go over a connection of its own: the one before it turned out to be stale.
    pub anew: bool,
    /// Whether this try was counted.
    pub(crate) counted: bool,
    /// The endpoints that were tried, so that another is chosen.
    pub(crate) tried: Tried,
}

/// The endpoints that a request was tried on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    ids: [u64; 8],
    count: usize,
}

impl Tried {
    pub(crate) fn push(&mut self, id: u64) {
        if let Some(place) = self.ids.get_mut(self.count) {
            *place = id;
            self.count += 1;
        }
    }

    /// The last one may be asked again.
    pub(crate) fn pop(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.ids[..self.count].contains(&id)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Sending {
    /// A request on its way out.
    #[must_use]
    #[inline]
    pub fn new(exchange: Exchange) -> Self {
        let Exchange { request, facts } = exchange;
        Self { request, facts, anew: false, counted: false, tried: Tried::default() }
    }

    /// Whether the call may be repeated, as its route declares.
    #[must_use]
    pub fn idempotency(&self) -> Option<Idempotency> {
        self.facts.route().map(|route| route.idempotency)
    }
}

/// Any tower service as a transport: an `axum::Router`, say, or a client of your own.
pub struct Tower(BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>);

impl Tower {
    /// Sends requests to this service.
    pub fn new<S, R>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError> + Send + Sync + 'static,
        R: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let erased = service.map_response(|response| response.map(Body::new)).map_err(Into::into);
        Self(BoxCloneSyncService::new(erased))
    }
}

impl Transport for Tower {
    async fn send(&self, sending: &mut Sending) -> Result<Response<Body>, Failure> {
        let mut request = std::mem::take(&mut sending.request);
        request.extensions_mut().insert(sending.facts.clone());
        let lost = |error: BoxError| Failure::caused(Outcome::Failed(Why::Lost), error);
        if request.headers().contains_key(UPGRADE) {
            // A connection that is handed over has two ends, of which the gateway holds one.
            return send_in_process(self.0.clone(), request).await.map_err(lost);
        }
        self.0.clone().oneshot(request).await.map_err(lost)
    }
}

impl fmt::Debug for Tower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tower")
    }
}
