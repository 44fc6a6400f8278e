//! What makes HTTP's bytes of a TCP stream: nothing, TLS, or a wrapper of your own.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::TlsFacts;

/// Turns an accepted TCP stream into the I/O that HTTP runs on: TLS, or a wrapper that looks at the bytes first.
///
/// All of it together is given [`Limits::handshake_timeout`](super::Limits::handshake_timeout).
pub trait Acceptor: Clone + Send + Sync + 'static {
    /// What HTTP runs on.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Completes the handshake.
    fn accept(
        &self,
        stream: TcpStream,
    ) -> impl Future<Output = io::Result<(Self::Io, Option<TlsFacts>)>> + Send;

    /// Finds out whom the peer speaks for, before the handshake: itself, unless a wrapper such as
    /// [`ProxyProtocol`](super::ProxyProtocol) knows better. It takes no more bytes than say so.
    fn client(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
    ) -> impl Future<Output = io::Result<SocketAddr>> + Send {
        let _ = stream;
        async move { Ok(peer) }
    }

    /// Whether this peer speaks for others, by [`client`](Self::client). Its connections are counted as those of its
    /// clients then.
    fn speaks_for_others(&self, peer: IpAddr) -> bool {
        let _ = peer;
        false
    }
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
