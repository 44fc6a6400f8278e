//! The windows that a client opens for answers, and whether it leaves them closed.
//!
//! What waits for a window waits in hyper, where nobody else sees it; but all that opens and uses windows passes by here.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::super::stall::Stall;

/// What every window is at first (RFC 9113 §6.9.2).
const FIRST: i64 = 65_535;

/// The windows of one connection and of its streams whose answers have not ended.
#[derive(Debug)]
pub(super) struct Windows {
    connection: Window,
    initial: i64,
    streams: HashMap<u32, Window>,
    /// Most streams that are followed; more than a server serves are refused by it at once.
    most: usize,
    progress: u32,
}

#[derive(Debug)]
struct Window {
    left: i64,
    stall: Stall,
    /// Whether the head of the answer has been sent.
    answered: bool,
}

impl Window {
    fn new(left: i64, now: Instant) -> Self {
        let mut window = Self { left, stall: Stall::default(), answered: false };
        window.look(now);
        window
    }

    fn add(&mut self, bytes: i64, now: Instant) {
        self.left = self.left.saturating_add(bytes);
        self.look(now);
    }

    fn take(&mut self, bytes: usize, progress: u32, now: Instant) {
        self.add(-i64::try_from(bytes).unwrap_or(i64::MAX), now);
        self.stall.took(bytes, progress, now);
    }

    fn look(&mut self, now: Instant) {
        if self.left <= 0 { self.stall.waits(now) } else { self.stall.flows(now) }
    }
}

/// More streams at once than are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooManyStreams;

impl Windows {
    pub(super) fn new(most: usize, progress: u32, now: Instant) -> Self {
        Self { connection: Window::new(FIRST, now), initial: FIRST, streams: HashMap::new(), most, progress }
    }

    pub(super) fn open(&mut self, stream: u32, now: Instant) -> Result<(), TooManyStreams> {
        if self.streams.len() >= self.most {
            return Err(TooManyStreams);
        }
        if self.streams.is_empty() {
            // Only while a stream is open does anything wait for the connection's window.
            self.connection = Window::new(self.connection.left, now);
        }
        self.streams.insert(stream, Window::new(self.initial, now));
        Ok(())
    }

    /// Whether it was open.
    pub(super) fn close(&mut self, stream: u32) -> bool {
        self.streams.remove(&stream).is_some()
    }

    pub(super) fn answer(&mut self, stream: u32) {
        if let Some(window) = self.streams.get_mut(&stream) {
            window.answered = true;
        }
    }

    /// Whether an answer is being sent.
    pub(super) fn is_answering(&self) -> bool {
        self.streams.values().any(|window| window.answered)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// A client lets so many bytes more come, on stream 0 for all.
    pub(super) fn update(&mut self, stream: u32, bytes: u32, now: Instant) {
        let window = if stream == 0 { Some(&mut self.connection) } else { self.streams.get_mut(&stream) };
        if let Some(window) = window {
            window.add(i64::from(bytes), now);
        }
    }

    /// What each window is at first; those of open streams change with it.
    pub(super) fn set_initial(&mut self, bytes: u32, now: Instant) {
        let change = i64::from(bytes) - self.initial;
        self.initial = i64::from(bytes);
        for window in self.streams.values_mut() {
            window.add(change, now);
        }
    }

    /// DATA was sent.
    pub(super) fn sent(&mut self, stream: u32, bytes: usize, now: Instant) {
        self.connection.take(bytes, self.progress, now);
        if let Some(window) = self.streams.get_mut(&stream) {
            window.take(bytes, self.progress, now);
        }
    }

    /// When the first of the windows that are closed now has been so for this long.
    pub(super) fn ends(&self, limit: Duration) -> Option<Instant> {
        let connection = Some(&self.connection).filter(|_| !self.streams.is_empty());
        self.streams.values().chain(connection).filter_map(|window| window.stall.ends(limit)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn s7_a_window_that_stays_closed_is_seen() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut windows = Windows::new(8, 4_096, start);
        windows.set_initial(10, start);
        windows.open(1, start).unwrap();
        assert_eq!(windows.ends(LIMIT), None, "nothing waits");
        windows.sent(1, 10, at(5));
        assert_eq!(windows.ends(LIMIT), Some(at(65)));
        // A byte now and then does not help.
        windows.update(1, 1, at(30));
        windows.sent(1, 1, at(30));
        assert_eq!(windows.ends(LIMIT), Some(at(65)));
        // Much does.
        windows.update(1, 8_192, at(40));
        assert_eq!(windows.ends(LIMIT), None);
        windows.sent(1, 8_192, at(41));
        assert_eq!(windows.ends(LIMIT), Some(at(101)));
        windows.close(1);
        assert_eq!((windows.ends(LIMIT), windows.len()), (None, 0));
    }

    #[test]
    fn s7_a_connection_s_window_that_stays_closed_is_seen_while_a_stream_waits() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut windows = Windows::new(8, 4_096, start);
        windows.open(1, start).unwrap();
        windows.update(1, 1 << 20, start);
        windows.sent(1, 65_535, at(1));
        assert_eq!(windows.ends(LIMIT), Some(at(61)));
        windows.close(1);
        assert_eq!(windows.ends(LIMIT), None);
        windows.open(3, at(100)).unwrap();
        assert_eq!(windows.ends(LIMIT), Some(at(160)));
        windows.update(0, 1, at(101));
        assert_eq!(windows.ends(LIMIT), None);
    }

    #[test]
    fn s33_no_more_streams_are_followed_than_there_may_be() {
        let now = Instant::now();
        let mut windows = Windows::new(2, 1, now);
        assert!(windows.open(1, now).is_ok() && windows.open(3, now).is_ok());
        assert_eq!(windows.open(5, now), Err(TooManyStreams));
        windows.close(1);
        assert!(windows.open(5, now).is_ok());
        windows.set_initial(u32::MAX, now);
        windows.update(3, u32::MAX, now);
        windows.set_initial(0, now);
    }
}
