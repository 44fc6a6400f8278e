//! Serves any tower service over TCP, with the bounds that a server on a network needs, and drains when told to.
//!
//! HTTP/1 or 2 is chosen here, by ALPN where the acceptor speaks TLS and by the connection preface otherwise. The server
//! starts no runtime and ends no process.

mod drain;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::BoxError;

pub use drain::{until, until_drained};

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
}

impl Connection {
    /// The facts for a request that another server accepted.
    #[must_use]
    pub fn new(peer: SocketAddr) -> Self {
        Self { peer, tls: None, draining: None }
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

/// The connections that servers hold together: given to several, their limits are for all of them.
#[derive(Clone, Debug)]
pub struct Held {
    permits: Arc<Semaphore>,
    addresses: Addresses,
}

impl Held {
    /// None yet, within these limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self { permits: Arc::new(Semaphore::new(limits.connections)), addresses: Addresses::default() }
    }
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
        Box::pin(run(self))
    }
}

async fn run<S, A, B>(serve: Serve<S, A>) -> io::Result<()>
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
    let Serve { listener, service, acceptor, limits, mut shutdown, held } = serve;
    let (drain, draining) = watch::channel(false);
    let Held { permits, addresses } = held.unwrap_or_else(|| Held::new(&limits));
    let mut tasks = JoinSet::new();
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let permit = permits.clone().acquire_owned().await.ok();
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = tasks.join_next() => continue,
            accepted = accepted => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_passing(&error) => continue,
            Err(error) => {
                // Out of file descriptors, most often: wait for some to come back instead of spinning.
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(slot) = addresses.enter(peer.ip(), limits.connections_per_address) else {
            tracing::debug!(%peer, "too many connections of one address");
            continue;
        };
        let connection = Connection { peer, tls: None, draining: Some(draining.clone()) };
        let (service, acceptor, limits) = (service.clone(), acceptor.clone(), limits.clone());
        tasks.spawn(async move {
            let _held = (permit, slot);
            if let Err(error) = serve_connection(stream, connection, service, acceptor, limits).await {
                tracing::debug!(%peer, error, "a connection ended");
            }
        });
    }
    drop(listener);
    drain.send_replace(true);
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain_timeout, drained).await.is_err() {
        tracing::warn!(connections = tasks.len(), "connections were cut at the end of the drain");
        tasks.shutdown().await;
    }
    Ok(())
}

async fn serve_connection<S, A, B>(
    stream: TcpStream,
    mut connection: Connection,
    service: S,
    acceptor: A,
    limits: Limits,
) -> Result<(), BoxError>
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
    stream.set_nodelay(true)?;
    let handshake = async {
        let preface = prior_knowledge(&stream).await?;
        let (io, tls) = acceptor.accept(stream).await?;
        Ok::<_, io::Error>((preface, io, tls))
    };
    let (preface, io, tls) = tokio::time::timeout(limits.handshake_timeout, handshake).await??;
    let h2 = preface || tls.as_ref().is_some_and(|tls| tls.protocol.as_deref() == Some(b"h2"));
    connection.tls = tls;
    let drained = connection.drained();
    let asked = Arc::new(AtomicBool::new(false));
    let service = PerConnection { service, connection: Arc::new(connection), asked: asked.clone() };
    let io = TokioIo::new(io);
    // Both kinds of connection drain alike; they share no trait.
    macro_rules! until_drained {
        ($serving:expr) => {{
            let mut serving = pin!($serving);
            let silent = silent(&asked, limits.handshake_timeout);
            tokio::select! {
                done = serving.as_mut() => done?,
                () = drained => {
                    serving.as_mut().graceful_shutdown();
                    serving.await?;
                }
                () = silent => return Err("no request came".into()),
            }
        }};
    }
    if h2 {
        let mut server = http2::Builder::new(TokioExecutor::new());
        server
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(limits.header_read_timeout);
        until_drained!(server.serve_connection(io, service));
    } else {
        let mut server = http1::Builder::new();
        server
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read_timeout)
            .max_headers(limits.header_fields)
            .max_buf_size(limits.header_bytes.max(8_192));
        until_drained!(server.serve_connection(io, service).with_upgrades());
    }
    Ok(())
}

/// Completes when no request has come in time; never, once one has. HTTP/1 has a time for the head of each request; in
/// HTTP/2 a peer could begin a connection and leave it so.
async fn silent(asked: &AtomicBool, limit: Duration) {
    tokio::time::sleep(limit).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

/// Whether a client starts with HTTP/2's preface, without taking the bytes.
async fn prior_knowledge(stream: &TcpStream) -> io::Result<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut start = [0; PREFACE.len()];
    let (mut seen, mut pause) = (0, Duration::from_millis(2));
    loop {
        let read = stream.peek(&mut start).await?;
        if read == PREFACE.len() || !PREFACE.starts_with(&start[..read]) || read == 0 {
            return Ok(&start[..read] == PREFACE);
        }
        if read == seen {
            // A part of the preface waits; look again when more may have come.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
        seen = read;
    }
}

/// Errors of one connection that failed before it was accepted.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Gives each request the facts of its connection.
struct PerConnection<S> {
    service: S,
    connection: Arc<Connection>,
    /// Whether a request has come.
    asked: Arc<AtomicBool>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for PerConnection<S>
where
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = tower::util::Oneshot<S, Request<Incoming>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(self.connection.clone());
        tower::util::Oneshot::new(self.service.clone(), request)
    }
}

/// Connections that are open, by address.
#[derive(Clone, Debug, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// What counts as one address: of IPv6 a whole /64, since one subscriber has all of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address => address,
    }
}

struct Slot {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    fn enter(&self, address: IpAddr, limit: usize) -> Option<Slot> {
        let address = network(address);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Slot { addresses: self.clone(), address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_bounded_number_of_connections() {
        let addresses = Addresses::default();
        let ip = IpAddr::from([127, 0, 0, 1]);
        let first = addresses.enter(ip, 2);
        let second = addresses.enter(ip, 2);
        assert!(first.is_some() && second.is_some() && addresses.enter(ip, 2).is_none());
        drop(first);
        assert!(addresses.enter(ip, 2).is_some());
    }
}
