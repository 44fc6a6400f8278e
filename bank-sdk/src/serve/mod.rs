//! Serves any tower service over TCP, with the bounds that a server on a network needs, and drains when told to.
//!
//! HTTP/1 or 2 is chosen here, by ALPN where the acceptor speaks TLS and by the connection preface otherwise. The server
//! starts no runtime and ends no process.

mod drain;
mod held;
mod run;

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::BoxError;

use crate::http::{Spare, Timer};

pub use drain::{until, until_drained};
pub use held::Held;

/// The facts of a connection, as the request extension `Arc<Connection>`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connection {
    /// Who connected; behind a proxy, the proxy.
    pub peer: SocketAddr,
    /// What the handshake showed, where there was one.
    pub tls: Option<TlsFacts>,
    /// Turns true when the server drains, where that is known.
    draining: Option<watch::Receiver<bool>>,
    /// Of its last request, for its next.
    spare: Spare,
}

impl Connection {
    /// The facts for a request that another server accepted.
    #[must_use]
    pub fn new(peer: SocketAddr) -> Self {
        Self { peer, tls: None, draining: None, spare: Spare::default() }
    }

    /// The timer of a request that came by this connection.
    #[must_use]
    pub fn timer(&self, deadline: Instant) -> Timer {
        self.spare.until(deadline)
    }

    /// Completes when the server drains.
    fn drained(&self) -> impl Future<Output = ()> + Send + 'static {
        let draining = self.draining.clone();
        async move {
            match draining {
                // A server that is gone has drained.
                Some(mut draining) => drop(draining.wait_for(|draining| *draining).await),
                None => std::future::pending().await,
            }
        }
    }
}

/// What a TLS handshake showed.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TlsFacts {
    /// The application protocol agreed on, `h2` or `http/1.1`.
    pub protocol: Option<Vec<u8>>,
    /// The server name that the client asked for.
    pub server_name: Option<String>,
    /// The client's certificate chain in DER, leaf first.
    pub client_certificates: Vec<Vec<u8>>,
}

/// Turns an accepted TCP stream into the I/O that HTTP runs on: TLS, or a wrapper that looks at the bytes first.
pub trait Acceptor: Clone + Send + Sync + 'static {
    /// What HTTP runs on.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Completes the handshake. It is given [`Limits::handshake_timeout`].
    fn accept(
        &self,
        stream: TcpStream,
    ) -> impl Future<Output = io::Result<(Self::Io, Option<TlsFacts>)>> + Send;
}

/// Plain TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Acceptor for Plain {
    type Io = TcpStream;

    async fn accept(&self, stream: TcpStream) -> io::Result<(TcpStream, Option<TlsFacts>)> {
        Ok((stream, None))
    }
}

/// What one server takes on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections in all; further ones wait to be accepted.
    pub connections: usize,
    /// Connections of one address; further ones are closed.
    pub connections_per_address: usize,
    /// For the TLS handshake and the first bytes.
    pub handshake_timeout: Duration,
    /// For the whole head of a request.
    pub header_read_timeout: Duration,
    /// The largest head of a request in bytes, at least 8,192; beyond it the answer is 431.
    pub header_bytes: usize,
    /// The largest number of header fields; beyond it the answer is 431.
    pub header_fields: usize,
    /// HTTP/2 streams at once on one connection.
    pub streams: u32,
    /// How long requests may go on after shutdown was asked for.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_address: 4_096,
            handshake_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(10),
            header_bytes: 32 * 1024,
            header_fields: 100,
            streams: 128,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// A server to be awaited.
#[must_use = "a server does nothing until it is awaited"]
pub struct Serve<S, A = Plain> {
    listener: TcpListener,
    service: S,
    acceptor: A,
    limits: Limits,
    shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
    held: Option<Held>,
}

/// Serves `service` on `listener` until its shutdown completes.
///
/// ```
/// # use bank_sdk::{http::Body, serve::serve};
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let service = tower::service_fn(|_| async {
///     Ok::<_, std::convert::Infallible>(http::Response::new(Body::from("hello")))
/// });
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// serve(listener, service).shutdown(async {}).await?;
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub fn serve<S>(listener: TcpListener, service: S) -> Serve<S> {
    Serve {
        listener,
        service,
        acceptor: Plain,
        limits: Limits::default(),
        shutdown: Box::pin(std::future::pending()),
        held: None,
    }
}

impl<S, A> Serve<S, A> {
    /// Wraps each connection.
    pub fn acceptor<T: Acceptor>(self, acceptor: T) -> Serve<S, T> {
        let Self { listener, service, limits, shutdown, held, .. } = self;
        Serve { listener, service, acceptor, limits, shutdown, held }
    }

    /// The bounds.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Counts its connections together with those of other servers.
    pub fn together(mut self, held: Held) -> Self {
        self.held = Some(held);
        self
    }

    /// Drains when this future completes: no new connection, idle ones closed, requests finished within
    /// [`Limits::drain_timeout`].
    pub fn shutdown(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.shutdown = Box::pin(signal);
        self
    }
}

impl<S, A, B> IntoFuture for Serve<S, A>
where
    A: Acceptor,
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run::run(self))
    }
}

impl<S, A> fmt::Debug for Serve<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("listener", &self.listener)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
