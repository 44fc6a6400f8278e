//! The facts of a connection, and how its server stands.

use std::any::Any;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

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
    /// The same, with the connection in it and nothing else.
    extensions: Arc<Mutex<SpareExtensions>>,
    /// Of whoever serves it.
    kept: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Connection {
    /// The facts for a request that another server accepted.
    #[must_use]
    pub fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            tls: None,
            drain: None,
            spare: Spare::default(),
            extensions: Arc::default(),
            kept: OnceLock::new(),
        }
    }

    /// What a service makes once for a connection and looks at with each of its requests. There is room for one type: where
    /// another was kept before, there is nothing.
    pub fn kept<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        let kept: &(dyn Any + Send + Sync) = &**self.kept.get_or_init(|| Arc::new(make()));
        kept.downcast_ref()
    }

    /// The timer of a request that came by this connection.
    #[must_use]
    pub fn timer(&self, deadline: Instant) -> Timer {
        self.spare.until(deadline)
    }

    /// Takes the extensions of a request that nobody looks at any more, whose memory the next request there uses again: where its
    /// server does so, and they hold nothing but this connection.
    pub fn recycle(&self, extensions: Extensions) {
        let own = extensions.get::<Arc<Self>>();
        if extensions.len() == 1 && own.is_some_and(|own| std::ptr::eq(&**own, self)) {
            let mut spare = self.spare_extensions();
            if let SpareExtensions::Used(place) = &mut *spare {
                *place = Some(extensions);
            }
        }
    }

    fn spare_extensions(&self) -> MutexGuard<'_, SpareExtensions> {
        self.extensions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the extensions of a request are used again, until [`end`](Self::end).
    pub(super) fn begin(&self) {
        *self.spare_extensions() = SpareExtensions::Used(None);
    }

    pub(super) fn end(&self) {
        *self.spare_extensions() = SpareExtensions::Unused;
    }

    /// Extensions with the connection in them and nothing else.
    pub(super) fn extensions(self: &Arc<Self>) -> Extensions {
        let kept = match &mut *self.spare_extensions() {
            SpareExtensions::Used(place) => place.take(),
            SpareExtensions::Unused => None,
        };
        kept.unwrap_or_else(|| {
            let mut extensions = Extensions::new();
            extensions.insert(self.clone());
            extensions
        })
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

/// The extensions of a connection's last request, for its next.
#[derive(Debug, Default)]
enum SpareExtensions {
    /// Nobody uses them again. They hold the connection that holds them, and would keep each other alive.
    #[default]
    Unused,
    Used(Option<Extensions>),
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
        let connection = Arc::new(Connection::new(([127, 0, 0, 1], 1).into()));
        connection.begin();
        let mut extensions = connection.extensions();
        extensions.insert("secret");
        connection.recycle(extensions);
        assert_eq!(connection.extensions().len(), 1);
        assert!(connection.extensions().get::<Arc<Connection>>().is_some());
    }

    #[test]
    fn extensions_are_used_again_and_do_not_keep_their_connection() {
        let connection = Arc::new(Connection::new(([127, 0, 0, 1], 1).into()));
        connection.recycle(connection.extensions());
        assert_eq!(Arc::strong_count(&connection), 1, "nobody would let go of them");
        connection.begin();
        connection.recycle(connection.extensions());
        assert_eq!(Arc::strong_count(&connection), 2);
        let (late, again) = (connection.extensions(), connection.extensions());
        connection.end();
        connection.recycle(late);
        drop(again);
        assert_eq!(Arc::strong_count(&connection), 1);
    }
}
