//! Serves any tower service over TCP, with the bounds that a server on a network needs, and drains when told to.
//!
//! HTTP/1 or 2 is chosen here, by ALPN where the acceptor speaks TLS and by the connection preface otherwise. The server
//! starts no runtime and ends no process. What it gives a service has one form on both protocols: `Host` is there whenever the
//! client named one, the number and size of fields are bounded alike, and the extension `Arc<Connection>` tells about the
//! connection.
//!
//! | Concept | Type |
//! | --- | --- |
//! | every bound, with its default | [`Limits`] |
//! | TLS, the PROXY protocol, or what comes before HTTP otherwise | [`Acceptor`], [`Plain`], [`ProxyProtocol`] |
//! | who connected, how, and whether the server ends | [`Connection`], [`Drain`] |
//! | connections that several servers count together | [`Held`] |
//!
//! What hyper reads more leniently than RFC 9112 asks, and does not hand on: of several equal `Content-Length` fields one is
//! left; chunk extensions are passed over whatever bytes they have, and so are blanks after a chunk's size. A service sees the
//! body that they frame, and frames it anew for others.

mod acceptor;
mod activity;
mod alarm;
mod connection;
mod drain;
mod held;
mod http2;
mod io;
mod limits;
mod network;
mod proxy_protocol;
mod run;
mod service;
mod serving;
mod stall;

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io::Result;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tower::BoxError;

pub use acceptor::{Acceptor, Plain};
pub use connection::{Connection, Drain, Stage, TlsFacts};
pub use drain::{until, until_drained};
pub use held::Held;
pub use limits::{InvalidLimits, Limits};
pub use network::{InvalidNetwork, Network};
pub use proxy_protocol::ProxyProtocol;

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

    /// The bounds. Those that cannot be held to ([`Limits::check`]) end the server before it accepts anybody.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Counts its connections together with those of other servers.
    pub fn together(mut self, held: Held) -> Self {
        self.held = Some(held);
        self
    }

    /// Drains when this future completes: after [`Limits::drain_grace`] no new connection, idle ones closed, requests finished
    /// within [`Limits::drain_timeout`].
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
    type Output = Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

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
