//! What happens on one connection, and when it has been quiet, slow or in the way for too long.
//!
//! A connection is in one of these states; the one timer that it has looks at them when the earliest could be over.
//!
//! | State | Ends it |
//! | --- | --- |
//! | no request came yet | `handshake_timeout` after its beginning |
//! | a head comes in (HTTP/1.1) | `header_read_timeout` after its first byte |
//! | requests are under way | nothing here: services have deadlines of their own |
//! | none is | `idle_timeout` after the last one |
//! | in each of them: bytes wait for the client | `write_timeout` without progress |

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;
use super::http2::Watcher;
use super::stall::Stall;

/// How long a connection that should end is waited for, while no request is under way on it.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// What happens on one connection. What is touched with every request is atomic; the rest is locked, by nobody else as a rule.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    http2: bool,
    /// Requests under way, to the end of their answers.
    requests: AtomicU32,
    /// Requests that were taken up since this was last asked.
    served: AtomicU32,
    /// Requests that were refused since then.
    refused: AtomicU32,
    /// Microseconds from the start to the end of the last request; 0 before the first one.
    idle_since: AtomicU64,
    /// Microseconds from the start to the first byte of a head; 0 outside of one.
    head_since: AtomicU64,
    /// Whether bytes may wait for the socket.
    waits: AtomicBool,
    wire: Mutex<Wire>,
}

#[derive(Debug)]
struct Wire {
    socket: Stall,
    http2: Option<Watcher>,
    /// When the connection was ended for an excess.
    ended: Option<Instant>,
}

/// The times by which a connection is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    first: Duration,
    head: Duration,
    idle: Duration,
    write: Duration,
}

impl Times {
    pub(super) const fn of(limits: &Limits) -> Self {
        Self {
            first: limits.handshake_timeout,
            head: limits.header_read_timeout,
            idle: limits.idle_timeout,
            write: limits.write_timeout,
        }
    }

    /// Where places are scarce.
    pub(super) fn scarce(self) -> Self {
        Self { idle: self.idle.min(self.head), ..self }
    }

    fn shortest(&self) -> Duration {
        self.first.min(self.head).min(self.idle).min(self.write)
    }
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on; look again then.
    GoesOn(Instant),
    /// It is asked to end: no request is under way.
    Idle,
    /// It is cut.
    Cut(&'static str),
}

impl Activity {
    pub(super) fn new(http2: bool, limits: &Limits) -> Arc<Self> {
        let start = Instant::now();
        let watcher = http2.then(|| Watcher::new(limits, start));
        Arc::new(Self {
            start,
            http2,
            requests: AtomicU32::new(0),
            served: AtomicU32::new(0),
            refused: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            wire: Mutex::new(Wire { socket: Stall::default(), http2: watcher, ended: None }),
        })
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds since the start, and never 0.
    fn micros(&self) -> u64 {
        let passed = self.start.elapsed().as_micros();
        u64::try_from(passed).unwrap_or(u64::MAX).max(1)
    }

    fn at(&self, micros: u64) -> Instant {
        self.start + Duration::from_micros(micros)
    }

    /// A request was taken up; it is under way until the answer to this goes.
    pub(super) fn request(self: &Arc<Self>) -> InFlight {
        self.head_since.store(0, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        if self.http2 {
            self.served.fetch_add(1, Ordering::Relaxed);
        }
        InFlight(self.clone())
    }

    /// A request was refused without being taken up.
    pub(super) fn refuse(self: &Arc<Self>) -> InFlight {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// Bytes came by HTTP/1.1. Outside of requests they are a head's.
    pub(super) fn head_byte(&self) {
        if self.requests.load(Ordering::Relaxed) == 0 && self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.micros(), Ordering::Relaxed);
        }
    }

    /// Bytes came by HTTP/2. Where they are too much, the frame that says so is returned, if there is room for one.
    pub(super) fn frames_received(&self, bytes: &[u8]) -> Result<(), Option<[u8; 17]>> {
        let mut wire = self.wire();
        let Some(watcher) = &mut wire.http2 else { return Ok(()) };
        let now = Instant::now();
        self.tell(watcher);
        if watcher.received(bytes, now).is_ok() {
            return Ok(());
        }
        let goaway = watcher.goaway();
        wire.ended = Some(now);
        Err(goaway)
    }

    /// What became of requests since this was last told: before frames are looked at, which may be their answers.
    fn tell(&self, watcher: &mut Watcher) {
        watcher.judged(self.served.swap(0, Ordering::Relaxed), self.refused.swap(0, Ordering::Relaxed));
    }

    /// Bytes went out, over HTTP/2 these frames.
    pub(super) fn sent<'a>(&self, frames: impl Iterator<Item = &'a [u8]>, bytes: usize, progress: u32) {
        let waited = self.waits.load(Ordering::Relaxed);
        if !waited && !self.http2 {
            return;
        }
        let now = Instant::now();
        let mut wire = self.wire();
        if waited {
            wire.socket.flows(now);
            wire.socket.took(bytes, progress, now);
            self.waits.store(!wire.socket.is_none(), Ordering::Relaxed);
        }
        if let Some(watcher) = &mut wire.http2 {
            self.tell(watcher);
            let mut left = bytes;
            for frames in frames {
                let written = &frames[..left.min(frames.len())];
                left -= written.len();
                watcher.sent(written, now);
            }
        }
    }

    /// The socket takes no more bytes at present.
    pub(super) fn blocked(&self) {
        self.waits.store(true, Ordering::Relaxed);
        self.wire().socket.waits(Instant::now());
    }

    /// All bytes are with the kernel.
    pub(super) fn flushed(&self) {
        if self.waits.swap(false, Ordering::Relaxed) {
            self.wire().socket.done();
        }
    }

    /// What becomes of the connection, which is `leaving` where it was asked to end.
    pub(super) fn verdict(&self, now: Instant, times: Times, leaving: Option<Instant>) -> Verdict {
        let mut next = now + times.shortest();
        let (answering, unfinished) = {
            let wire = self.wire();
            if let Some(ended) = wire.ended {
                let end = ended + LINGER;
                return if end <= now {
                    Verdict::Cut("too many control frames")
                } else {
                    Verdict::GoesOn(end)
                };
            }
            let windows = wire.http2.as_ref().and_then(|watcher| watcher.stall_ends(times.write));
            for end in wire.socket.ends(times.write).into_iter().chain(windows) {
                if end <= now {
                    return Verdict::Cut("the client does not read");
                }
                next = next.min(end);
            }
            let watcher = wire.http2.as_ref();
            (watcher.is_some_and(Watcher::is_answering), watcher.and_then(Watcher::unfinished))
        };
        const SLOW_HEAD: Verdict = Verdict::Cut("the head of a request took too long");
        // On HTTP/2 other requests may be under way beside it.
        if let Some(since) = unfinished {
            let end = since + times.head;
            if end <= now {
                return SLOW_HEAD;
            }
            next = next.min(end);
        }
        if leaving.is_some() {
            next = next.min(now + LINGER);
        }
        // An answer that is whole in hyper, and waits there for its window, is under way as well.
        if answering || self.requests.load(Ordering::Acquire) > 0 {
            return Verdict::GoesOn(next);
        }
        let idle_since = self.idle_since.load(Ordering::Relaxed);
        let head_since = self.head_since.load(Ordering::Relaxed);
        let (end, verdict) = if let Some(leaving) = leaving {
            (leaving.max(self.at(idle_since)) + LINGER, Verdict::Cut("it did not end when it was asked to"))
        } else if head_since > 0 {
            (self.at(head_since) + times.head, SLOW_HEAD)
        } else if idle_since == 0 {
            (self.start + times.first, Verdict::Cut("no request came"))
        } else {
            (self.at(idle_since) + times.idle, Verdict::Idle)
        };
        if end <= now { verdict } else { Verdict::GoesOn(next.min(end)) }
    }
}

/// A request that is under way, until this goes.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        // First the time: nobody may see a connection without requests that ended long ago.
        self.0.idle_since.store(self.0.micros(), Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn times() -> Times {
        Times::of(&Limits::default())
    }

    /// How many seconds it takes until the connection is not left alone any more, if it is within 1,000.
    async fn lasts(activity: &Activity, leaving: Option<Instant>) -> Option<(u64, Verdict)> {
        let start = Instant::now();
        loop {
            match activity.verdict(Instant::now(), times(), leaving) {
                Verdict::GoesOn(next) => advance(next - Instant::now()).await,
                verdict => return Some((start.elapsed().as_secs(), verdict)),
            }
            if start.elapsed() > Duration::from_secs(1_000) {
                return None;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_state_of_a_connection_has_its_own_time() {
        for http2 in [false, true] {
            let activity = Activity::new(http2, &Limits::default());
            assert_eq!(lasts(&activity, None).await, Some((10, Verdict::Cut("no request came"))));
            let request = activity.request();
            assert_eq!(lasts(&activity, None).await, None, "a request may take as long as it takes");
            drop(request);
            assert_eq!(lasts(&activity, None).await, Some((75, Verdict::Idle)));
        }
        let activity = Activity::new(false, &Limits::default());
        advance(Duration::from_secs(9)).await;
        activity.head_byte();
        advance(Duration::from_secs(4)).await;
        activity.head_byte();
        let slow = Verdict::Cut("the head of a request took too long");
        assert_eq!(lasts(&activity, None).await, Some((6, slow)));
        drop(activity.request());
        advance(Duration::from_secs(70)).await;
        activity.head_byte();
        assert_eq!(lasts(&activity, None).await, Some((10, slow)), "its time begins with its first byte");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_are_kept_for_less_long_where_places_are_scarce() {
        let activity = Activity::new(false, &Limits::default());
        drop(activity.request());
        advance(Duration::from_secs(11)).await;
        assert_eq!(activity.verdict(Instant::now(), times().scarce(), None), Verdict::Idle);
        assert!(matches!(activity.verdict(Instant::now(), times(), None), Verdict::GoesOn(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn s7_a_client_that_does_not_read_is_cut() {
        let activity = Activity::new(false, &Limits::default());
        let _request = activity.request();
        activity.blocked();
        advance(Duration::from_secs(59)).await;
        activity.sent(std::iter::empty(), 10, 4_096);
        activity.blocked();
        let cut = Verdict::Cut("the client does not read");
        assert_eq!(lasts(&activity, None).await, Some((1, cut)));
        activity.flushed();
        assert_eq!(lasts(&activity, None).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_leaves_is_waited_for_only_while_requests_are_in_flight() {
        let activity = Activity::new(true, &Limits::default());
        let request = activity.request();
        let leaving = Some(Instant::now());
        assert_eq!(lasts(&activity, leaving).await, None);
        drop(request);
        let late = Verdict::Cut("it did not end when it was asked to");
        assert_eq!(lasts(&activity, leaving).await, Some((1, late)));
    }
}
