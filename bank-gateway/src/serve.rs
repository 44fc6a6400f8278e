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

/// A server with a thread, a runtime, a listener and connections to upstreams of its own for each core. What must be known
/// to all (limits, sessions, endpoints' health) is shared.
#[derive(Debug)]
pub struct PerCore {
    listeners: Vec<std::net::TcpListener>,
    address: SocketAddr,
}

impl PerCore {
    /// Binds `threads` listeners to one address (`SO_REUSEPORT`). With port 0 all share the port that was free.
    ///
    /// # Errors
    /// An address that cannot be had.
    pub fn bind(address: SocketAddr, threads: usize) -> io::Result<Self> {
        // Without SO_REUSEPORT first, so that a port in use by another process is seen as such.
        let probe = std::net::TcpListener::bind(address)?;
        let address = probe.local_addr()?;
        drop(probe);
        let listeners = (0..threads.max(1)).map(|_| listen(address)).collect::<io::Result<_>>()?;
        Ok(Self { listeners, address })
    }

    /// The address, with the port that was chosen.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes and the requests in flight are done.
    ///
    /// # Errors
    /// A thread or runtime that cannot be started.
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
        for (number, listener) in self.listeners.into_iter().enumerate() {
            let (gateway, acceptor, limits, held) =
                (gateway.worker(), acceptor.clone(), limits.clone(), held.clone());
            let (mut stopped, done) = (stopped.clone(), done.clone());
            let runtime =
                tokio::runtime::Builder::new_current_thread().thread_keep_alive(IDLE).enable_all().build()?;
            std::thread::Builder::new().name(format!("gateway-{number}")).spawn(move || {
                let served = runtime.block_on(async move {
                    let listener = TcpListener::from_std(listener)?;
                    let signal = async move {
                        // A sender that is gone means the same.
                        let _ = stopped.wait_for(|stop| *stop).await;
                    };
                    serve(listener, gateway)
                        .acceptor(acceptor)
                        .limits(limits)
                        .together(held)
                        .shutdown(signal)
                        .await
                });
                if let Err(error) = served {
                    let _ = done.blocking_send(error);
                }
            })?;
        }
        drop(done);
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

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(4_096)?.into_std()
}
