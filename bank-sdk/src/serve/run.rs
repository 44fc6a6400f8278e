//! The accept loop.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tower::BoxError;

use super::held::{Place, Slot};
use super::serving::{LAST_CALL, Serving, serve_connection};
use super::{Acceptor, Connection, Drain, Held, Serve, Stage};

/// A connection that was accepted and waits for a place.
struct Waiting {
    stream: TcpStream,
    peer: SocketAddr,
    slot: Option<Slot>,
}

/// Stages, each of which follows from the one before: it serves; it was asked to end and serves until its grace is over;
/// who had knocked by then is still let in, since the kernel would reset whom nobody accepted; it drains.
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
    limits.check()?;
    let (stage, drain) = Drain::new();
    let held = held.unwrap_or_else(|| Held::new(&limits));
    let (grace, drain_timeout) = (limits.drain_grace, limits.drain_timeout);
    let serving = Arc::new(Serving { service, acceptor, limits, held: held.clone(), drain });
    let mut tasks = JoinSet::new();
    // An upgraded connection is open when its task has ended: each holds a sender until it is closed.
    let (open, mut all_closed) = tokio::sync::mpsc::channel::<()>(1);
    // No place is taken for somebody who has not come yet: several servers may share them.
    let mut waiting: Option<Waiting> = None;
    let mut grace_ends: Option<Instant> = None;
    let mut last_call: Option<Instant> = None;
    while last_call.is_none_or(|since| since.elapsed() < LAST_CALL) {
        let permit = tokio::select! {
            biased;
            () = &mut shutdown, if grace_ends.is_none() => {
                stage.send_replace(Stage::Leaving);
                grace_ends = Some(Instant::now() + grace);
                if grace.is_zero() {
                    last_call = Some(Instant::now());
                }
                continue;
            }
            () = ends(grace_ends), if last_call.is_none() => {
                last_call = Some(Instant::now());
                continue;
            }
            permit = held.permit(), if waiting.is_some() => permit,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept(), if waiting.is_none() => {
                waiting = admit(accepted, &serving.acceptor, &held).await;
                continue;
            }
            // Nobody is left at the door.
            () = tokio::time::sleep(Duration::from_millis(1)), if last_call.is_some() => break,
        };
        let Some(Waiting { stream, peer, slot }) = waiting.take() else { continue };
        let (serving, open) = (serving.clone(), open.clone());
        tasks.spawn(async move {
            let mut connection = Connection::new(peer);
            connection.drain = Some(serving.drain.clone());
            let place = Place { _permit: permit, slot, _open: open };
            if let Err(error) = serve_connection(stream, connection, place, &serving).await {
                tracing::debug!(%peer, error, "a connection ended");
            }
        });
    }
    drop((listener, waiting, open));
    stage.send_replace(Stage::Draining);
    let drained = async {
        while tasks.join_next().await.is_some() {}
        all_closed.recv().await;
    };
    if tokio::time::timeout(drain_timeout, drained).await.is_err() {
        tracing::warn!(connections = tasks.len(), "connections were cut at the end of the drain");
        tasks.shutdown().await;
    }
    Ok(())
}

/// Completes at this time, if there is one.
async fn ends(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Lets a connection wait for its place, unless its address holds as many as it may.
async fn admit<A: Acceptor>(
    accepted: io::Result<(TcpStream, SocketAddr)>,
    acceptor: &A,
    held: &Held,
) -> Option<Waiting> {
    let (stream, peer) = match accepted {
        Ok(accepted) => accepted,
        Err(error) if is_passing(&error) => return None,
        Err(error) => {
            // Out of file descriptors, most often: wait for some to come back instead of spinning.
            tracing::error!(%error, "no connection can be accepted");
            tokio::time::sleep(Duration::from_millis(100)).await;
            return None;
        }
    };
    if acceptor.speaks_for_others(peer.ip()) {
        return Some(Waiting { stream, peer, slot: None });
    }
    let slot = held.enter(peer.ip());
    if slot.is_none() {
        tracing::debug!(%peer, "too many connections of one address");
    }
    slot.map(|slot| Waiting { stream, peer, slot: Some(slot) })
}

/// Errors of one connection that failed before it was accepted.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
