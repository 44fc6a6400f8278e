//! Serves a gateway: as one task on the caller's runtime, or with a thread for each core.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bank_sdk::serve::{Acceptor, Held, Limits, Serve, serve as serve_service};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use crate::Gateway;

/// How long a thread that hashed a password waits for the next one. Longer than the second for which mimalloc keeps what was
/// freed, so that the end of the thread gives the hash's 19 MiB back.
const IDLE: Duration = Duration::from_millis(1_200);

/// Serves a gateway on the caller's runtime.
///
/// ```no_run
/// # async fn example(gateway: bank_gateway::Gateway, tls: bank_gateway::Tls) -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("0.0.0.0:8443").await?;
/// bank_gateway::serve(listener, gateway).acceptor(tls).await
/// # }
/// ```
pub fn serve(listener: TcpListener, gateway: Gateway) -> Serve<Gateway> {
    serve_service(listener, gateway)
}

/// A server with a thread, a runtime and a listener of its own for each core. What must be known to all (limits, sessions,
/// endpoints' health) is shared. Idle connections to upstreams are kept by core; a thread takes its own first.
#[derive(Debug)]
pub struct PerCore {
    listeners: Vec<std::net::TcpListener>,
    address: SocketAddr,
}

impl PerCore {
    /// Binds `threads` listeners to one address (`SO_REUSEPORT`). With port 0 all share the port that was free.
    ///
    /// # Errors
    /// An address that cannot be had, or that another process serves.
    pub fn bind(address: SocketAddr, threads: usize) -> io::Result<Self> {
        // Without SO_REUSEPORT first, so that a port in use by another process is seen as such.
        let probe = std::net::TcpListener::bind(address)?;
        let address = probe.local_addr()?;
        drop(probe);
        Self::bind_beside(address, threads)
    }

    /// The same beside another process of the same user that is bound in this way, such as the generation before this one:
    /// each connection comes to one of them. Any other server there is an error.
    ///
    /// # Errors
    /// An address that cannot be had.
    pub fn bind_beside(address: SocketAddr, threads: usize) -> io::Result<Self> {
        let first = listen(address)?;
        let address = first.local_addr()?;
        let others = (1..threads).map(|_| listen(address));
        let listeners = std::iter::once(Ok(first)).chain(others).collect::<io::Result<_>>()?;
        Ok(Self { listeners, address })
    }

    /// The address, with the port that was chosen.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes and the requests in flight are done. A thread that fails ends all of them: its share of
    /// the connections would wait for nobody.
    ///
    /// # Errors
    /// A thread or runtime that cannot be started, or a thread that failed or panicked.
    pub async fn serve<A: Acceptor>(
        self,
        gateway: Gateway,
        acceptor: A,
        limits: Limits,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let (stop, stopped) = watch::channel(false);
        let held = Held::new(&limits);
        let (done, mut ended) = tokio::sync::mpsc::channel::<io::Error>(1);
        let (serving, served) = watch::channel(());
        for (number, listener) in self.listeners.into_iter().enumerate() {
            let (gateway, acceptor, limits, held) =
                (gateway.clone(), acceptor.clone(), limits.clone(), held.clone());
            let (mut stopped, done) = (stopped.clone(), done.clone());
            let (serving, mut served) = (serving.clone(), served.clone());
            let runtime =
                tokio::runtime::Builder::new_current_thread().thread_keep_alive(IDLE).enable_all().build()?;
            std::thread::Builder::new().name(format!("gateway-{number}")).spawn(move || {
                let fallen = Fallen(done.clone());
                runtime.block_on(async move {
                    let signal = async move {
                        // A sender that is gone means the same.
                        let _ = stopped.wait_for(|stop| *stop).await;
                    };
                    let ended = match TcpListener::from_std(listener) {
                        Ok(listener) => {
                            let server = serve(listener, gateway).acceptor(acceptor).limits(limits);
                            server.together(held).shutdown(signal).await
                        }
                        Err(error) => Err(error),
                    };
                    if let Err(error) = ended {
                        // One error is enough.
                        let _ = done.try_send(error);
                    }
                    drop(serving);
                    // Requests of other threads may be under way on connections to upstreams that this one drives.
                    let _ = served.wait_for(|()| false).await;
                });
                drop(fallen);
            })?;
        }
        drop((done, serving));
        tokio::select! {
            () = shutdown => {}
            Some(error) = ended.recv() => return Err(error),
        }
        stop.send_replace(true);
        // The channel closes when the last thread has ended.
        match ended.recv().await {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Tells of a thread that ends in a panic.
struct Fallen(tokio::sync::mpsc::Sender<io::Error>);

impl Drop for Fallen {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.try_send(io::Error::other("a thread of the server panicked"));
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(4_096)?.into_std()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use bank_sdk::serve::{Plain, TlsFacts};
    use tokio::net::TcpStream;

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn two_generations_share_an_address_and_nobody_else_does() {
        let first = PerCore::bind(ANY, 2).unwrap();
        assert!(PerCore::bind_beside(first.address(), 2).is_ok(), "the next generation");
        assert!(PerCore::bind(first.address(), 2).is_err(), "nobody shares a port unasked");
        assert!(std::net::TcpListener::bind(first.address()).is_err());
        let other = std::net::TcpListener::bind(ANY).unwrap();
        assert!(PerCore::bind(other.local_addr().unwrap(), 1).is_err());
        let another = PerCore::bind(ANY, 1).unwrap();
        assert_ne!(another.address(), first.address());
    }

    /// Panics in the thread that accepts, not in a connection's task.
    #[derive(Clone)]
    struct Falls;

    impl Acceptor for Falls {
        type Io = TcpStream;

        async fn accept(&self, stream: TcpStream) -> io::Result<(TcpStream, Option<TlsFacts>)> {
            Plain.accept(stream).await
        }

        fn speaks_for_others(&self, _: std::net::IpAddr) -> bool {
            panic!("as the test wants it")
        }
    }

    #[tokio::test]
    async fn a_thread_that_panics_is_noticed_at_once() {
        let server = PerCore::bind(ANY, 2).unwrap();
        let address = server.address();
        let gateway = Gateway::builder().build().unwrap();
        let serving = server.serve(gateway, Falls, Limits::default(), std::future::pending());
        let knock = async {
            let _stream = TcpStream::connect(address).await.unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            served = serving => assert!(served.unwrap_err().to_string().contains("panicked")),
            () = knock => {}
        }
    }
}
