//! The accept loop, and the life of one connection.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::BoxError;

use super::{Acceptor, Connection, Held, Limits, Serve};

/// How long connections are accepted after the end was asked for, while new ones keep coming.
const LAST_CALL: Duration = Duration::from_millis(50);

pub(super) async fn run<S, A, B>(serve: Serve<S, A>) -> io::Result<()>
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
    // Who had knocked before the door closes is still let in: the kernel would reset whom nobody accepted.
    let mut last_call: Option<Instant> = None;
    while last_call.is_none_or(|since| since.elapsed() < LAST_CALL) {
        let accepted = async {
            // The semaphore is never closed.
            let permit = permits.clone().acquire_owned().await.ok();
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            biased;
            () = &mut shutdown, if last_call.is_none() => {
                last_call = Some(Instant::now());
                continue;
            }
            Some(_) = tasks.join_next() => continue,
            accepted = accepted => accepted,
            // Nobody is left at the door.
            () = tokio::time::sleep(Duration::from_millis(1)), if last_call.is_some() => break,
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
        let mut connection = Connection::new(peer);
        connection.draining = Some(draining.clone());
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
                biased;
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
