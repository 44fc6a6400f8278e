//! Connections to one server, kept and lent again (HTTP/1.1), or one for all requests (HTTP/2).
//!
//! A request takes the connection that was used last; a connection goes back when its response has been read to the end.
//! What was lost is told apart: nothing sent, or perhaps an effect.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::error::{InvalidAddress, SendError};
use super::http2::Multiplexed;
use crate::http::{Body, Lease};

/// A connection that is lent again gets so long to finish what it was doing, where no other is at hand.
const SETTLE: Duration = Duration::from_millis(10);

/// The number of fields for which hyper takes no memory from the heap.
const USUAL_FIELDS: usize = 100;

/// Connections to one `http` or `https` address. Clones share them.
#[derive(Clone)]
pub struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    authority: Authority,
    host: HeaderValue,
    options: ConnectOptions,
    #[cfg(feature = "tls")]
    tls: Option<super::tls::Tls>,
    /// Of HTTP/2.
    multiplexed: Option<Multiplexed>,
    /// One part a core: threads that work beside each other take from different ones.
    idle: Box<[Mutex<Vec<Idle>>]>,
}

/// The bytes of a connection, with or without TLS. One type for both: HTTP over them is compiled once.
pub(super) type Wire = Box<dyn Stream>;

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

struct Idle {
    sender: SendRequest<Body>,
    since: Instant,
}

/// Times and bounds of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// For the TCP and TLS handshakes together: 2 s by default.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept: 30 s by default.
    pub idle_timeout: Duration,
    /// How many unused connections are kept: 256 by default.
    pub max_idle: usize,
    /// The largest head of an answer in bytes, at least 8,192: 64 KiB by default.
    pub head_bytes: usize,
    /// The largest number of fields in the head of an answer: 100 by default.
    pub head_fields: usize,
    /// Whether HTTP/2 is spoken: over `https` as agreed in the handshake (ALPN), over `http` with prior knowledge. One
    /// connection carries all requests then, and the two bounds above do not apply but `head_bytes`. Not by default.
    pub http2: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(30),
            max_idle: 256,
            head_bytes: 64 * 1024,
            head_fields: 100,
            http2: false,
        }
    }
}

/// A connection that is not in its pool.
pub(crate) struct PooledSender {
    sender: SendRequest<Body>,
    pool: Weak<Shared>,
}

impl PooledSender {
    /// Back into the pool, from where the next request takes it.
    pub(crate) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        if let Some(pool) = self.pool.upgrade() {
            pool.keep(self.sender);
        }
    }
}

/// Tells threads apart, so that each has a part of a pool for itself.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    NUMBER.with(|number| *number)
}

impl Shared {
    fn part(&self, offset: usize) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        let part = &self.idle[(thread_number() + offset) % self.idle.len()];
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, sender: SendRequest<Body>) {
        let mut idle = self.part(0);
        if idle.len() < self.options.max_idle.div_ceil(self.idle.len()) {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }

    /// The connection that was used last and takes a request now; otherwise one that may do so in a moment. This thread's
    /// come first: another thread's is still better than a new one.
    fn take(&self) -> Option<SendRequest<Body>> {
        let mut settling = None;
        for offset in 0..self.idle.len() {
            let mut idle = self.part(offset);
            // The oldest stand first.
            let limit = self.options.idle_timeout;
            if idle.first().is_some_and(|oldest| oldest.since.elapsed() > limit) {
                let expired = idle.partition_point(|held| held.since.elapsed() > limit);
                idle.drain(..expired);
            }
            while idle.last().is_some_and(|held| held.sender.is_closed()) {
                idle.pop();
            }
            if let Some(at) = idle.iter().rposition(|held| held.sender.is_ready()) {
                return Some(idle.remove(at).sender);
            }
            if settling.is_none() {
                settling = idle.pop().map(|held| held.sender);
            }
        }
        settling
    }
}

impl Connections {
    /// Connections to `http://host:port`.
    ///
    /// # Errors
    /// Where the address has no host, or another scheme than this constructor serves.
    pub fn new(address: &Uri, options: ConnectOptions) -> Result<Self, InvalidAddress> {
        if address.scheme() != Some(&Scheme::HTTP) {
            return Err(InvalidAddress(address.to_string(), "must start with http://"));
        }
        Self::build(
            address,
            options,
            #[cfg(feature = "tls")]
            None,
        )
    }

    /// Connections to `https://host:port`; the server's certificate is verified as `config` says.
    ///
    /// # Errors
    /// Where the address has no host, or another scheme.
    #[cfg(feature = "tls")]
    pub fn tls(
        address: &Uri,
        options: ConnectOptions,
        config: Arc<rustls::ClientConfig>,
    ) -> Result<Self, InvalidAddress> {
        if address.scheme() != Some(&Scheme::HTTPS) {
            return Err(InvalidAddress(address.to_string(), "must start with https://"));
        }
        let tls = super::tls::Tls::new(address, config, options.http2)?;
        Self::build(address, options, Some(tls))
    }

    fn build(
        address: &Uri,
        options: ConnectOptions,
        #[cfg(feature = "tls")] tls: Option<super::tls::Tls>,
    ) -> Result<Self, InvalidAddress> {
        let no_host = || InvalidAddress(address.to_string(), "must name a host");
        let authority = address.authority().cloned().ok_or_else(no_host)?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| no_host())?;
        let shared = Shared {
            authority,
            host,
            multiplexed: options.http2.then(Multiplexed::default),
            options,
            #[cfg(feature = "tls")]
            tls,
            idle: parts(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Sends a request and returns the head of its response, with the body still to be read.
    ///
    /// The target is sent in origin form; `Host` is set where it is missing.
    ///
    /// # Errors
    /// See [`SendError`]. Dropping the future drops the connection.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, SendError> {
        self.send_over(&mut request, true).await
    }

    /// The same for a request that stays where it is until it is sent: to hand it on costs more than to lend it. It is taken, and
    /// stands in its place again where nothing of it was sent. With `reuse` it may go over a connection that was kept.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_over(
        &self,
        request: &mut Request<Body>,
        reuse: bool,
    ) -> Result<Response<Body>, SendError> {
        if let Some(multiplexed) = &self.shared.multiplexed {
            return self.send_stream(multiplexed, request, !reuse).await;
        }
        self.prepare(request);
        let mut may_reuse = reuse;
        loop {
            let idle = if may_reuse { self.shared.take() } else { None };
            let (mut sender, reused) = match idle {
                Some(sender) => (sender, true),
                // Boxed: it is large, and rare beside a connection that is lent again.
                None => match Box::pin(self.connect()).await {
                    Ok(sender) => (sender, false),
                    Err(source) => return Err(SendError::Connect(source)),
                },
            };
            if reused && !is_settled(&mut sender).await {
                // One that lingers is enough: the next is a new one.
                may_reuse = false;
                continue;
            }
            match sender.try_send_request(std::mem::take(request)).await {
                Ok(response) => return Ok(self.lend(sender, response)),
                Err(mut error) => match error.take_message() {
                    // The server closed an idle connection just now and saw none of this request.
                    Some(unsent) => {
                        *request = unsent;
                        if !reused {
                            return Err(SendError::Connect(io::ErrorKind::ConnectionReset.into()));
                        }
                    }
                    None => {
                        let source = error.into_error();
                        // A parse error means that something was answered.
                        let reused = reused && !source.is_parse() && !source.is_user();
                        return Err(SendError::Lost { source, reused });
                    }
                },
            }
        }
    }

    fn prepare(&self, request: &mut Request<Body>) {
        origin_form(request);
        if !request.headers().contains_key(http::header::HOST) {
            request.headers_mut().insert(http::header::HOST, self.shared.host.clone());
        }
    }

    fn lend(&self, sender: SendRequest<Body>, mut response: Response<Incoming>) -> Response<Body> {
        use http_body::Body as _;
        // One that speaks another protocol from now on is lent to nobody else.
        if let Some(body) = switched(&mut response) {
            return response.map(|_| body);
        }
        let sender = PooledSender { sender, pool: Arc::downgrade(&self.shared) };
        if response.body().is_end_stream() {
            sender.give_back();
            return response.map(|_| Body::empty());
        }
        response.map(|body| Body::leased(body, Lease(sender)))
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.shared.authority
    }

    pub(super) fn is_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.shared.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    async fn connect(&self) -> io::Result<SendRequest<Body>> {
        self.in_time(async { self.drive(self.dial().await?).await }).await
    }

    pub(super) async fn connect_http2(&self) -> io::Result<http2::SendRequest<Body>> {
        self.in_time(async { super::http2::drive(self.dial().await?, &self.shared.options).await }).await
    }

    async fn in_time<T>(&self, connect: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio::time::timeout(self.shared.options.connect_timeout, connect)
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the connection took too long")))
    }

    async fn dial(&self) -> io::Result<Wire> {
        let authority = &self.shared.authority;
        let default_port = if self.is_tls() { 443 } else { 80 };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(default_port))).await?;
        stream.set_nodelay(true)?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.shared.tls {
            return Ok(Box::new(tls.connect(stream).await?));
        }
        Ok(Box::new(stream))
    }

    async fn drive(&self, stream: Wire) -> io::Result<SendRequest<Body>> {
        let options = &self.shared.options;
        let mut client = http1::Builder::new();
        client
            .max_buf_size(options.head_bytes.max(8_192))
            // Most requests are a head alone, which is written faster as one piece.
            .writev(false);
        if options.head_fields != USUAL_FIELDS {
            client.max_headers(options.head_fields);
        }
        let (sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a server ended");
            }
        });
        Ok(sender)
    }
}

fn parts() -> Box<[Mutex<Vec<Idle>>]> {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get).min(64);
    (0..count).map(|_| Mutex::default()).collect()
}

/// The request as HTTP/1.1 writes it.
pub(super) fn origin_form(request: &mut Request<Body>) {
    if request.uri().authority().is_some() || request.uri().scheme().is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    }
    *request.version_mut() = http::Version::HTTP_11;
    frame_body(request);
}

/// The connection that speaks another protocol from this answer on.
pub(super) fn switched(response: &mut Response<Incoming>) -> Option<Body> {
    let is_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    is_switched.then(|| Body::switched(hyper::upgrade::on(response)))
}

/// Says that a body comes whose length is not known: with methods that rarely have one, hyper would leave it out.
fn frame_body(request: &mut Request<Body>) {
    use http::Method;
    use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
    use http_body::Body as _;
    let rarely = matches!(*request.method(), Method::GET | Method::HEAD);
    let unknown = !request.body().is_end_stream() && request.body().size_hint().exact().is_none();
    if rarely && unknown && !request.headers().contains_key(CONTENT_LENGTH) {
        request.headers_mut().insert(TRANSFER_ENCODING, http::HeaderValue::from_static("chunked"));
    }
}

/// Whether a connection takes a request now. One that was lent again while its last request was still being sent may take
/// long, or for ever: another is used then.
async fn is_settled(sender: &mut SendRequest<Body>) -> bool {
    sender.is_ready() || matches!(tokio::time::timeout(SETTLE, sender.ready()).await, Ok(Ok(())))
}

impl tower::Service<Request<Body>> for Connections {
    type Response = Response<Body>;
    type Error = SendError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, SendError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connections = self.clone();
        Box::pin(async move { connections.send(request).await })
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("authority", &self.shared.authority).finish_non_exhaustive()
    }
}
