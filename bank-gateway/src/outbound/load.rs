//! How an endpoint does: its peak latency, which decays, times what it has in flight.
#![allow(clippy::float_arithmetic, reason = "an estimate of load, never money")]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A peak is half forgotten after about 7 seconds.
const DECAY: f64 = 10.0;
/// A failure counts as an answer that took at least this long.
const PENALTY: Duration = Duration::from_secs(1);

/// The estimate: peak EWMA, as in Finagle.
#[derive(Debug, Default)]
pub(crate) struct Load {
    latency: Mutex<Option<Latency>>,
    in_flight: AtomicU32,
    served: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Latency {
    seconds: f64,
    at: Instant,
}

impl Load {
    /// What one more request would cost here.
    pub(crate) fn cost(&self, now: Instant) -> f64 {
        let latency = *self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = latency.map_or(0.0, |latency| latency.seconds * decay(latency.at, now));
        // Unknown endpoints count as fast ones, so that they are tried.
        (seconds + 1e-6) * f64::from(self.in_flight.load(Ordering::Relaxed) + 1)
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How many requests it has had.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    pub(crate) fn latency(&self) -> Option<Duration> {
        let latency = *self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        latency.map(|latency| Duration::from_secs_f64(latency.seconds))
    }

    /// A request begins; [`leave`](Self::leave) ends it.
    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, took: Duration, now: Instant) {
        self.sample(took, now);
    }

    pub(crate) fn failed(&self, took: Duration, now: Instant) {
        self.sample(took.max(PENALTY), now);
    }

    fn sample(&self, took: Duration, now: Instant) {
        let seconds = took.as_secs_f64();
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = latency.map_or(seconds, |held| {
            let weight = decay(held.at, now);
            seconds.max(held.seconds * weight + seconds * (1.0 - weight))
        });
        *latency = Some(Latency { seconds, at: now });
    }
}

fn decay(since: Instant, now: Instant) -> f64 {
    (-now.saturating_duration_since(since).as_secs_f64() / DECAY).exp()
}
