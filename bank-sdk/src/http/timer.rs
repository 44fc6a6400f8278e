//! When an answer is no longer wanted.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// The one timer of a request: it bounds the wait for the head of the answer, and then the [body](super::Body::within).
///
/// Made by [`Connection::timer`](crate::serve::Connection::timer), it goes back to its connection when it is dropped, and the
/// next request there uses it again. It is moved only where it would end too late: one that ends too early is looked at then.
pub struct Timer {
    deadline: Instant,
    /// Nothing until somebody waits. It may end earlier than the deadline, and is set anew then.
    sleep: Option<Pin<Box<Sleep>>>,
    spare: Option<Spare>,
}

/// The place of a timer that nobody uses now.
#[derive(Clone, Default)]
pub(crate) struct Spare(Arc<Mutex<Option<Pin<Box<Sleep>>>>>);

impl Spare {
    pub(crate) fn until(&self, deadline: Instant) -> Timer {
        Timer { deadline, sleep: None, spare: Some(self.clone()) }
    }

    fn take(&self) -> Option<Pin<Box<Sleep>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Timer {
    /// A timer that nobody uses after this request.
    #[must_use]
    pub fn until(deadline: Instant) -> Self {
        Self { deadline, sleep: None, spare: None }
    }

    /// What the future gives, or nothing where the time is over first. It is pinned by the caller, who would hold a large one
    /// twice otherwise.
    pub async fn within<F: Future>(&mut self, mut future: Pin<&mut F>) -> Option<F::Output> {
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_over(cx).map(|()| None),
        })
        .await
    }

    /// Sets another end.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Ready when the time is over.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (deadline, spare) = (self.deadline, &self.spare);
        let sleep = self.sleep.get_or_insert_with(|| {
            spare.as_ref().and_then(Spare::take).unwrap_or_else(|| Box::pin(sleep_until(deadline)))
        });
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            // It was set for a request before this one.
            sleep.as_mut().reset(deadline);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(spare) = &self.spare
            && self.sleep.is_some()
        {
            // Another that lies there ends outside of the lock: what it would have woken may be dropped with it.
            let other = {
                let mut place = spare.0.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::replace(&mut *place, self.sleep.take())
            };
            drop(other);
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timer")
    }
}

impl fmt::Debug for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spare")
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use tokio::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_used_again_ends_when_its_new_request_says() {
        let (spare, start) = (Spare::default(), Instant::now());
        for (seconds, end) in [(5, 5), (1, 6), (3, 9)] {
            let mut timer = spare.until(Instant::now() + Duration::from_secs(seconds));
            assert!(timer.within(pin!(pending::<()>())).await.is_none());
            assert_eq!(start.elapsed().as_secs(), end);
        }
        // One that was not over yet, and is set to an earlier time.
        let mut long = spare.until(Instant::now() + Duration::from_secs(60));
        assert_eq!(long.within(pin!(async { 7 })).await, Some(7));
        assert!(
            tokio::time::timeout(Duration::from_secs(1), long.within(pin!(pending::<()>()))).await.is_err()
        );
        drop(long);
        let mut short = spare.until(Instant::now() + Duration::from_secs(2));
        assert!(short.within(pin!(pending::<()>())).await.is_none());
        assert_eq!(start.elapsed().as_secs(), 12);
        // One that was not over yet, and is set to a later time.
        let mut early = spare.until(Instant::now() + Duration::from_secs(2));
        assert!(
            tokio::time::timeout(Duration::from_secs(1), early.within(pin!(pending::<()>()))).await.is_err()
        );
        drop(early);
        let mut late = spare.until(Instant::now() + Duration::from_secs(5));
        assert!(late.within(pin!(pending::<()>())).await.is_none());
        assert_eq!(start.elapsed().as_secs(), 18);
    }
}
