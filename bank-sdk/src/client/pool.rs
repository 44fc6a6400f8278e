//! Connections to one server, kept and lent again (HTTP/1.1).
//!
//! A request takes the connection that was used last; a connection goes back when its response has been read to the end.
//! What was lost is told apart: nothing sent, or perhaps an effect.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::http::{Body, Lease};

/// A connection that is lent again gets so long to finish what it was doing.
const SETTLE: Duration = Duration::from_millis(50);

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
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    sender: SendRequest<Body>,
    since: Instant,
}

/// Times and bounds of connections.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// For the TCP and TLS handshakes together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How many unused connections are kept.
    pub max_idle: usize,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(2), idle_timeout: Duration::from_secs(30), max_idle: 256 }
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
            let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < pool.options.max_idle {
                idle.push(Idle { sender: self.sender, since: Instant::now() });
            }
        }
    }
}

/// Why no response came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// No connection could be made: nothing was sent. The request comes back.
    #[error("no connection could be made")]
    Connect {
        /// What the network said.
        #[source]
        source: io::Error,
        /// The request, whole.
        request: Box<Request<Body>>,
    },
    /// The connection was lost after bytes had been sent: the request may have had an effect.
    #[error("the connection was lost before the response came")]
    Lost(#[source] hyper::Error),
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
        let tls = super::tls::Tls::new(address, config)?;
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
            options,
            #[cfg(feature = "tls")]
            tls,
            idle: Mutex::new(Vec::new()),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The same server, with connections of its own: for a worker thread that shares none with others.
    #[must_use]
    pub fn unshared(&self) -> Self {
        let shared = Shared {
            authority: self.shared.authority.clone(),
            host: self.shared.host.clone(),
            options: self.shared.options.clone(),
            #[cfg(feature = "tls")]
            tls: self.shared.tls.clone(),
            idle: Mutex::new(Vec::new()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sends a request and returns the head of its response, with the body still to be read.
    ///
    /// The target is sent in origin form; `Host` is set where it is missing.
    ///
    /// # Errors
    /// See [`SendError`]. Dropping the future drops the connection.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, SendError> {
        self.prepare(&mut request);
        let mut idle_are_good = true;
        loop {
            let idle = if idle_are_good { self.take_idle() } else { None };
            let (mut sender, reused) = match idle {
                Some(sender) => (sender, true),
                // Boxed: it is large, and rare beside a connection that is lent again.
                None => match Box::pin(self.connect()).await {
                    Ok(sender) => (sender, false),
                    Err(source) => return Err(SendError::Connect { source, request: Box::new(request) }),
                },
            };
            if reused && !is_settled(&mut sender).await {
                // One that lingers is enough: the next is a new one.
                idle_are_good = false;
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.lend(sender, response)),
                Err(mut error) => match error.take_message() {
                    // The server closed an idle connection just now and saw none of this request.
                    Some(unsent) if reused => request = unsent,
                    Some(unsent) => {
                        let source = io::Error::from(io::ErrorKind::ConnectionReset);
                        return Err(SendError::Connect { source, request: Box::new(unsent) });
                    }
                    None => return Err(SendError::Lost(error.into_error())),
                },
            }
        }
    }

    fn prepare(&self, request: &mut Request<Body>) {
        if request.uri().authority().is_some() || request.uri().scheme().is_some() {
            let path = request.uri().path_and_query().cloned();
            *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        }
        *request.version_mut() = http::Version::HTTP_11;
        if !request.headers().contains_key(http::header::HOST) {
            request.headers_mut().insert(http::header::HOST, self.shared.host.clone());
        }
    }

    fn lend(&self, sender: SendRequest<Body>, response: Response<hyper::body::Incoming>) -> Response<Body> {
        use http_body::Body as _;
        let sender = PooledSender { sender, pool: Arc::downgrade(&self.shared) };
        if response.body().is_end_stream() {
            sender.give_back();
            return response.map(|_| Body::empty());
        }
        response.map(|body| Body::leased(body, Lease(sender)))
    }

    fn take_idle(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The oldest stand first.
        let limit = self.shared.options.idle_timeout;
        if idle.first().is_some_and(|oldest| oldest.since.elapsed() > limit) {
            let expired = idle.partition_point(|held| held.since.elapsed() > limit);
            idle.drain(..expired);
        }
        loop {
            let candidate = idle.pop()?;
            if !candidate.sender.is_closed() {
                return Some(candidate.sender);
            }
        }
    }

    async fn connect(&self) -> io::Result<SendRequest<Body>> {
        let limit = self.shared.options.connect_timeout;
        tokio::time::timeout(limit, self.handshake())
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the connection took too long")))
    }

    async fn handshake(&self) -> io::Result<SendRequest<Body>> {
        let authority = &self.shared.authority;
        #[cfg(feature = "tls")]
        let default_port = if self.shared.tls.is_some() { 443 } else { 80 };
        #[cfg(not(feature = "tls"))]
        let default_port = 80;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(default_port))).await?;
        stream.set_nodelay(true)?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.shared.tls {
            return drive(tls.connect(stream).await?).await;
        }
        drive(stream).await
    }
}

/// Whether a connection takes a request now. One that was lent again while its last request was still being sent may take
/// long, or for ever: another is used then.
async fn is_settled(sender: &mut SendRequest<Body>) -> bool {
    sender.is_ready() || matches!(tokio::time::timeout(SETTLE, sender.ready()).await, Ok(Ok(())))
}

async fn drive<T>(stream: T) -> io::Result<SendRequest<Body>>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a server ended");
        }
    });
    Ok(sender)
}

/// Why a service over connections gave no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection could be made: nothing was sent.
    #[error("no connection could be made")]
    Connect(#[source] io::Error),
    /// The connection was lost after bytes had been sent.
    #[error("the connection was lost before the response came")]
    Lost(#[source] hyper::Error),
}

impl From<SendError> for TransportError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Connect { source, .. } => Self::Connect(source),
            SendError::Lost(error) => Self::Lost(error),
        }
    }
}

impl tower::Service<Request<Body>> for Connections {
    type Response = Response<Body>;
    type Error = TransportError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, TransportError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connections = self.clone();
        Box::pin(async move { connections.send(request).await.map_err(Into::into) })
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("authority", &self.shared.authority).finish_non_exhaustive()
    }
}

/// An address that names no server.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{0}` {1}")]
pub struct InvalidAddress(pub(crate) String, pub(crate) &'static str);
