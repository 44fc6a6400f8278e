//! A connection that becomes one of another protocol, such as a WebSocket (RFC 9110 §7.8): the client's side and the
//! server's, joined until one of them ends.

use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy_bidirectional};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::{End, Watch};

/// How long the two sides of a connection that ends are waited for, to be told so.
const LINGER: Duration = Duration::from_secs(1);

/// Where one side has said its last, the other is waited for so long after each of its bytes. Few protocols go on in one
/// direction, and a side that is gone altogether looks the same.
const HALF_CLOSED: Duration = Duration::from_secs(5);

/// The connection of a request that asks for another protocol. It is handed over once `101 Switching Protocols` was sent.
pub struct Upgrade(OnUpgrade);

impl Upgrade {
    /// Takes it from a request; nothing where the request does not ask, or its server does not hand connections over.
    pub fn of<B>(request: &mut Request<B>) -> Option<Self> {
        request.extensions_mut().remove::<OnUpgrade>().map(Self)
    }
}

/// What ends two sides that were joined, besides the sides themselves.
///
/// ```
/// use bank_sdk::http::JoinedUntil;
/// use std::time::Duration;
///
/// let until = JoinedUntil::idle(Duration::from_secs(60)).end(async { /* the session has ended */ });
/// # let _ = until;
/// ```
#[must_use]
pub struct JoinedUntil {
    idle: Duration,
    whole: Option<Instant>,
    ends: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl JoinedUntil {
    /// Until no byte has passed in either direction for so long.
    pub fn idle(idle: Duration) -> Self {
        Self { idle, whole: None, ends: Vec::new() }
    }

    /// And until this time at the latest.
    pub const fn whole(mut self, whole: Option<Instant>) -> Self {
        self.whole = whole;
        self
    }

    /// And until this future completes.
    pub fn end(mut self, end: impl Future<Output = ()> + Send + 'static) -> Self {
        self.ends.push(Box::pin(end));
        self
    }
}

/// The server's side, and those who watch.
pub(super) struct Switched {
    server: Mutex<Option<OnUpgrade>>,
    watching: Mutex<Watching>,
}

enum Watching {
    Goes(Vec<Box<dyn Watch>>),
    Over(End),
}

impl Switched {
    pub(super) fn new(server: OnUpgrade) -> Arc<Self> {
        Arc::new(Self { server: Mutex::new(Some(server)), watching: Mutex::new(Watching::Goes(Vec::new())) })
    }

    fn watching(&self) -> std::sync::MutexGuard<'_, Watching> {
        self.watching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn watched_by(&self, mut watch: Box<dyn Watch>) {
        let over = match &mut *self.watching() {
            Watching::Goes(watching) => {
                watching.push(watch);
                return;
            }
            Watching::Over(end) => *end,
        };
        watch.ended(over);
    }

    /// So many bytes went to the client.
    fn passed(&self, bytes: usize) -> io::Result<()> {
        let Watching::Goes(watching) = &mut *self.watching() else { return Ok(()) };
        watching.iter_mut().try_for_each(|watch| watch.passed(bytes)).map_err(io::Error::other)
    }

    fn ended(&self, end: End) {
        let before = std::mem::replace(&mut *self.watching(), Watching::Over(end));
        if let Watching::Goes(watching) = before {
            watching.into_iter().for_each(|mut watch| watch.ended(end));
        }
    }

    /// Joins both sides in a task of their own; false where that was done already.
    pub(super) fn join(self: &Arc<Self>, client: Upgrade, until: JoinedUntil) -> bool {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(server) = server else { return false };
        let switched = self.clone();
        tokio::spawn(async move {
            let end = joined(&switched, client.0, server, until).await;
            switched.ended(end);
        });
        true
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        self.ended(End::Dropped);
    }
}

async fn joined(switched: &Arc<Switched>, client: OnUpgrade, server: OnUpgrade, until: JoinedUntil) -> End {
    let JoinedUntil { idle, whole, ends } = until;
    let mut ends = pin!(first(ends));
    let both = async {
        // It comes when the client has been told, and fails where something else was said to it.
        let Ok(client) = client.await else { return Err(End::Dropped) };
        let Ok(server) = server.await else { return Err(End::Broken) };
        Ok((client, server))
    };
    let (client, server) = tokio::select! {
        biased;
        () = &mut ends => return End::Whole,
        both = both => match both {
            Ok(both) => both,
            Err(end) => return end,
        },
    };
    let pulse = Arc::new(Pulse::default());
    let mut client =
        Side { io: TokioIo::new(client), pulse: pulse.clone(), switched: Some(switched.clone()) };
    let mut server = Side { io: TokioIo::new(server), pulse: pulse.clone(), switched: None };
    let end = tokio::select! {
        biased;
        () = &mut ends => End::Whole,
        end = pulse.over(idle, whole) => end,
        done = copy_bidirectional(&mut client, &mut server) => match done {
            Ok(_) => End::Whole,
            Err(_) if pulse.client_failed.load(Ordering::Relaxed) => End::Dropped,
            Err(_) => End::Broken,
        },
    };
    // They may be gone already.
    let _ = timeout(LINGER, async { tokio::join!(client.shutdown(), server.shutdown()) }).await;
    end
}

/// Completes with the first of these.
async fn first(mut ends: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    std::future::poll_fn(|cx| match ends.iter_mut().any(|end| end.as_mut().poll(cx).is_ready()) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// When a byte has passed last, and whose fault it was that none can.
struct Pulse {
    start: Instant,
    /// Milliseconds after the start.
    last: AtomicU64,
    client_failed: AtomicBool,
    half_closed: AtomicBool,
    /// Wakes whoever waits for the end when a side has said its last.
    closed: Notify,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
            client_failed: AtomicBool::new(false),
            half_closed: AtomicBool::new(false),
            closed: Notify::new(),
        }
    }
}

impl Pulse {
    fn beat(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::Relaxed);
    }

    fn close(&self) {
        self.half_closed.store(true, Ordering::Relaxed);
        self.closed.notify_one();
    }

    /// Completes when nothing has passed for too long, or the time for all is over.
    async fn over(&self, idle: Duration, whole: Option<Instant>) -> End {
        loop {
            let half_closed = self.half_closed.load(Ordering::Relaxed);
            let idle = if half_closed { idle.min(HALF_CLOSED) } else { idle };
            let last = self.start + Duration::from_millis(self.last.load(Ordering::Relaxed));
            // A time that no clock reaches is none.
            let ends = [last.checked_add(idle), whole].into_iter().flatten().min();
            match ends {
                Some(ends) if ends <= Instant::now() => {
                    return if half_closed { End::Whole } else { End::Broken };
                }
                Some(ends) => tokio::select! {
                    () = sleep_until(ends) => {}
                    () = self.closed.notified() => {}
                },
                None => self.closed.notified().await,
            }
        }
    }
}

/// One side. What is written to the client's counts.
struct Side {
    io: TokioIo<Upgraded>,
    pulse: Arc<Pulse>,
    /// Of the client's side.
    switched: Option<Arc<Switched>>,
}

impl Side {
    fn seen<T>(&self, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &done {
            Poll::Ready(Ok(_)) => self.pulse.beat(),
            Poll::Ready(Err(_)) if self.switched.is_some() => {
                self.pulse.client_failed.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
        done
    }
}

impl AsyncRead for Side {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let done = Pin::new(&mut self.io).poll_read(cx, buf);
        if matches!(done, Poll::Ready(Ok(()))) && buf.filled().len() == before {
            self.pulse.close();
        }
        self.seen(done)
    }
}

impl AsyncWrite for Side {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let (Poll::Ready(Ok(bytes)), Some(switched)) = (&done, &self.switched) {
            switched.passed(*bytes)?;
        }
        self.seen(done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upgrade")
    }
}

impl fmt::Debug for JoinedUntil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinedUntil")
            .field("idle", &self.idle)
            .field("whole", &self.whole)
            .field("ends", &self.ends.len())
            .finish()
    }
}
