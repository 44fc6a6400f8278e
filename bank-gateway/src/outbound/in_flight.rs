//! How many requests go to one service at once, and how many wait. Without a bound a service that hangs would turn into file
//! descriptors and memory of the gateway.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bank_sdk::http::Body;
use http::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Failure, Outcome, Sending, Transport, Unsent};
use crate::exchange::Facts;

/// Lets so many requests through at once; some more wait in a queue, as long as their deadlines allow, and all others are
/// refused at once with 503. A request is in flight until its answer has been read to the end. Streams, long polls and
/// upgraded connections count up to the head of their answer only.
pub struct InFlightLimit<T> {
    inner: T,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
}

impl<T: Transport> InFlightLimit<T> {
    /// At most `limit` at once, and `queue` that wait.
    #[must_use]
    pub fn around(inner: T, limit: usize, queue: usize) -> Self {
        let permits = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
        Self { inner, permits, waiting: AtomicUsize::new(0), queue }
    }

    /// What stands behind it.
    pub(crate) const fn inner(&self) -> &T {
        &self.inner
    }

    async fn enter(&self, facts: &Facts) -> Result<OwnedSemaphorePermit, Failure> {
        let busy = || Failure::new(Outcome::Unsent(Unsent::Busy));
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(busy());
        }
        let mut waits = Waits { waiting: &self.waiting, facts, served: false };
        let permit = self.permits.clone().acquire_owned().await;
        waits.served = permit.is_ok();
        permit.map_err(|_| busy())
    }
}

/// A place in the queue.
struct Waits<'a> {
    waiting: &'a AtomicUsize,
    facts: &'a Facts,
    served: bool,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        if !self.served {
            // Its time was over, or its caller gave up, before its turn came.
            self.facts.set_outcome(Outcome::Unsent(Unsent::Busy));
        }
    }
}

impl<T: Transport> Transport for InFlightLimit<T> {
    async fn send(&self, sending: &mut Sending) -> Result<Response<Body>, Failure> {
        let permit = self.enter(&sending.facts).await?;
        let mut response = self.inner.send(sending).await?;
        let short = response.status() != StatusCode::SWITCHING_PROTOCOLS
            && sending.facts.route().is_none_or(|route| !route.stream && !route.long_poll);
        if short {
            response.body_mut().hold(permit);
        }
        Ok(response)
    }
}

impl<T: fmt::Debug> fmt::Debug for InFlightLimit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlightLimit")
            .field("inner", &self.inner)
            .field("free", &self.permits.available_permits())
            .finish_non_exhaustive()
    }
}
