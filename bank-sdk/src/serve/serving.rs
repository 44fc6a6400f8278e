//! The life of one connection: it says whom it speaks for, shakes hands, serves requests, and ends.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower::BoxError;

use super::activity::{Activity, Times, Verdict};
use super::alarm::Alarm;
use super::held::Place;
use super::io::ObservedIo;
use super::service::PerConnection;
use super::{Acceptor, Connection, Drain, Held, Limits, TlsFacts};

/// How long connections are accepted after the end has come, while new ones keep coming.
pub(super) const LAST_CALL: Duration = Duration::from_millis(50);

/// The smallest buffer that hyper reads into.
const LEAST_BUFFER: usize = 8_192;

/// The number of fields for which hyper takes no memory from the heap.
const USUAL_FIELDS: usize = 100;

/// What all connections of a server have in common.
pub(super) struct Serving<S, A> {
    pub(super) service: S,
    pub(super) acceptor: A,
    pub(super) limits: Limits,
    pub(super) held: Held,
    pub(super) drain: Drain,
}

/// What a handshake gives.
struct Ready<Io> {
    io: Io,
    tls: Option<TlsFacts>,
    client: SocketAddr,
    place: Place,
    http2: bool,
}

pub(super) async fn serve_connection<S, A, B>(
    stream: TcpStream,
    mut connection: Connection,
    place: Place,
    serving: &Serving<S, A>,
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
    let Serving { limits, held, drain, .. } = serving;
    prepare(&stream, limits)?;
    let ready = {
        let handshake = handshake(stream, connection.peer, place, &serving.acceptor, held);
        let handshake = timeout(limits.handshake_timeout, handshake);
        let drained = async {
            drain.clone().began().await;
            sleep(LAST_CALL).await;
        };
        tokio::select! {
            biased;
            ready = handshake => ready??,
            // Nothing was asked yet.
            () = drained => return Ok(()),
        }
    };
    let Ready { io, tls, client, place, http2 } = ready;
    (connection.tls, connection.peer) = (tls, client);
    let activity = Activity::new(http2, limits);
    let connection = Arc::new(connection);
    connection.begin();
    let service = PerConnection {
        service: serving.service.clone(),
        connection,
        activity: activity.clone(),
        header_fields: limits.header_fields,
        upgrades: limits.upgrades,
    };
    let io = TokioIo::new(ObservedIo::new(io, activity.clone(), http2, limits.write_progress, place));
    let watch = Watch { activity, times: Times::of(limits), held, drain: drain.clone() };
    if http2 {
        let server = http2_server(limits);
        watch.drive(server.serve_connection(io, service), |server| server.graceful_shutdown()).await
    } else {
        let server = http1_server(limits);
        // Where upgrades are off, the service cannot take one: see `PerConnection`.
        let server = server.serve_connection(io, service).with_upgrades();
        watch.drive(server, |server| server.graceful_shutdown()).await
    }
}

/// What the kernel is told about a connection.
fn prepare(stream: &TcpStream, limits: &Limits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(limits.unsent_bytes) {
        // Some sandboxes do not know it; without it slow readers hold more of the kernel's memory, and nothing else.
        tracing::debug!(%error, "unsent bytes have no bound of their own");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = limits.unsent_bytes;
    Ok(())
}

async fn handshake<A: Acceptor>(
    mut stream: TcpStream,
    peer: SocketAddr,
    mut place: Place,
    acceptor: &A,
    held: &Held,
) -> io::Result<Ready<A::Io>> {
    let client = acceptor.client(&mut stream, peer).await?;
    if place.slot.is_none() {
        place.slot = held.enter(client.ip());
        if place.slot.is_none() {
            return Err(io::Error::other("too many connections of one address"));
        }
    }
    let preface = prior_knowledge(&stream).await?;
    let (io, tls) = acceptor.accept(stream).await?;
    let http2 = preface || tls.as_ref().is_some_and(|tls| tls.protocol.as_deref() == Some(b"h2"));
    Ok(Ready { io, tls, client, place, http2 })
}

fn http2_server(limits: &Limits) -> http2::Builder<TokioExecutor> {
    // One more than may pass: h2 refuses a list that has reached its limit.
    let list = u32::try_from(limits.header_bytes).unwrap_or(u32::MAX).saturating_add(1);
    let buffer = usize::try_from(limits.stream_send_buffer).unwrap_or(usize::MAX);
    let mut server = http2::Builder::new(TokioExecutor::new());
    server
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_send_buf_size(buffer)
        .max_header_list_size(list)
        .max_pending_accept_reset_streams(limits.pending_resets)
        .max_local_error_reset_streams(limits.faulty_streams)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout);
    server
}

fn http1_server(limits: &Limits) -> http1::Builder {
    let mut server = http1::Builder::new();
    // The time for heads is kept by `Activity`: hyper would make a timer for each request, and could not tell an idle
    // connection from a slow head.
    server
        .header_read_timeout(None)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(LEAST_BUFFER));
    if limits.header_fields != USUAL_FIELDS {
        server.max_headers(limits.header_fields);
    }
    server
}

/// What happens to a connection.
enum Event<T> {
    Done(T),
    Drained,
    /// It is time to look at it.
    Due,
}

/// What ends a connection, besides its client.
struct Watch<'a> {
    activity: Arc<Activity>,
    times: Times,
    held: &'a Held,
    drain: Drain,
}

impl Watch<'_> {
    /// Drives a connection to its end. It is asked to end, by `leave`, when the server drains and when it has been idle for
    /// too long; it is cut where it does not heed that, or stands in the way.
    async fn drive<C, E>(self, connection: C, leave: impl Fn(Pin<&mut C>)) -> Result<(), BoxError>
    where
        C: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        let mut connection = pin!(connection);
        let mut drained = pin!(self.drain.clone().began());
        let mut timer = pin!(sleep_until(self.next(None).unwrap_or_else(|_| Instant::now())));
        let (mut alarm, mut leaving) = (Alarm::new(), None);
        loop {
            let event = poll_fn(|cx| {
                if let Poll::Ready(done) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Event::Done(done));
                }
                alarm.poll(cx, |cx| {
                    if leaving.is_none() && drained.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Event::Drained);
                    }
                    timer.as_mut().poll(cx).map(|()| Event::Due)
                })
            });
            match event.await {
                Event::Done(done) => return done.map_err(Into::into),
                Event::Drained => {}
                Event::Due => match self.next(leaving) {
                    Ok(next) => {
                        timer.as_mut().reset(next);
                        continue;
                    }
                    Err(Verdict::Cut(reason)) => return Err(reason.into()),
                    Err(_) => {}
                },
            }
            leave(connection.as_mut());
            leaving = Some(Instant::now());
            timer.as_mut().reset(Instant::now());
        }
    }

    /// When to look again, or what becomes of the connection.
    fn next(&self, leaving: Option<Instant>) -> Result<Instant, Verdict> {
        let times = if self.held.is_scarce() { self.times.scarce() } else { self.times };
        match self.activity.verdict(Instant::now(), times, leaving) {
            Verdict::GoesOn(next) => Ok(next),
            verdict => Err(verdict),
        }
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
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
        seen = read;
    }
}
