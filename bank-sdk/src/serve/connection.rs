//! The facts of a connection, and how its server stands.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::Extensions;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::http::{Spare, Timer};

/// The facts of a connection, as the request extension `Arc<Connection>`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connection {
    /// Who connected; behind a proxy, the proxy, unless it speaks the [PROXY protocol](super::ProxyProtocol).
    pub peer: SocketAddr,
    /// What the handshake showed, where there was one.
    pub tls: Option<TlsFacts>,
    /// How its server stands, where that is known.
    pub(super) drain: Option<Drain>,
    /// Of its last request, for its next.
    spare: Spare,
    /// The same, empty.
    extensions: Arc<Mutex<Option<Extensions>>>,
}

impl Connection {
    /// The facts for a request that another server accepted.
    #[must_use]
    pub fn new(peer: SocketAddr) -> Self {
        Self { peer, tls: None, drain: None, spare: Spare::default(), extensions: Arc::default() }
    }

    /// The timer of a request that came by this connection.
    #[must_use]
    pub fn timer(&self, deadline: Instant) -> Timer {
        self.spare.until(deadline)
    }

    /// Takes the extensions of a request that nobody looks at any more, whose memory the next request there uses again.
    pub fn recycle(&self, mut extensions: Extensions) {
        extensions.clear();
        *self.extensions.lock().unwrap_or_else(PoisonError::into_inner) = Some(extensions);
    }

    /// Extensions without anything in them.
    pub(super) fn extensions(&self) -> Extensions {
        self.extensions.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    /// Whether its server was asked to end: from then on a readiness check says 503. See
    /// [`Limits::drain_grace`](super::Limits::drain_grace).
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.stage() != Stage::Serving)
    }

    /// How its server stands, where that is known.
    #[must_use]
    pub const fn drain(&self) -> Option<&Drain> {
        self.drain.as_ref()
    }

    /// Whether the peer is on this machine. What is said to browsers for good, such as HSTS, is not said there.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.peer.ip().to_canonical().is_loopback()
    }

    /// Completes when the server drains.
    pub(super) fn drained(&self) -> impl Future<Output = ()> + Send + 'static {
        let drain = self.drain.clone();
        async move {
            match drain {
                Some(drain) => drain.began().await,
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

/// How a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It serves.
    Serving,
    /// It was asked to end and serves all the same, until its grace is over.
    Leaving,
    /// It accepts nobody any more, and ends connections as their requests end.
    Draining,
}

/// Tells how a server stands. Its clones tell the same.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<Stage>);

impl Drain {
    pub(super) fn new() -> (watch::Sender<Stage>, Self) {
        let (sender, receiver) = watch::channel(Stage::Serving);
        (sender, Self(receiver))
    }

    /// How the server stands now.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.0.borrow()
    }

    /// Completes when the server was asked to end.
    pub async fn asked(mut self) {
        // A server that is gone has drained.
        drop(self.0.wait_for(|stage| *stage >= Stage::Leaving).await);
    }

    /// Completes when the server drains.
    pub async fn began(mut self) {
        drop(self.0.wait_for(|stage| *stage == Stage::Draining).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_request_carried_the_next_one_does_not_see() {
        let connection = Connection::new(([127, 0, 0, 1], 1).into());
        let mut extensions = connection.extensions();
        extensions.insert("secret");
        connection.recycle(extensions);
        assert!(connection.extensions().is_empty());
    }
}
