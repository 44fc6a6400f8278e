//! One time for the whole of a request: a caller may shorten it by `bank-timeout-ms`, never lengthen it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bank_sdk::Problem;
use bank_sdk::http::{BANK_TIMEOUT_MS, Body};
use http::{Request, Response};
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

use crate::Step;
use crate::step::{problem_instance, refusal};

/// Answers with 504 what has no answer in time. An answer whose body keeps its reader waiting beyond it is broken off.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Duration);

impl Deadline {
    /// So much time for each request.
    #[must_use]
    pub const fn after(time: Duration) -> Self {
        Self(time)
    }
}

impl Step for Deadline {
    async fn serve<S>(&self, mut request: Request<Body>, mut inner: S) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
    {
        let id = problem_instance(&request);
        let until = Instant::now() + self.0.min(time_left(&request));
        request.extensions_mut().insert(Until(until));
        let mut timer = Timer::until(until);
        match timer.within(inner.call(request)).await {
            Some(answer) => Ok(answer?.map(|body| body.ends_with(timer.into_sleep()))),
            None => Ok(refusal(&id, Problem::deadline_exceeded())),
        }
    }
}

/// When the answer is no longer wanted, for what passes the request on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until(pub(crate) Instant);

/// The one timer of a request: it bounds the wait for the head of the answer, and then the answer's body.
#[derive(Debug)]
pub(crate) struct Timer(Pin<Box<Sleep>>);

impl Timer {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self(Box::pin(sleep_until(deadline)))
    }

    /// What the future gives, or nothing where the time is over first.
    pub(crate) async fn within<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.0.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    pub(crate) fn into_sleep(self) -> Pin<Box<Sleep>> {
        self.0
    }
}

/// What the caller gives, where it says.
pub(crate) fn time_left(request: &Request<Body>) -> Duration {
    let header = request.headers().get(BANK_TIMEOUT_MS).and_then(|value| value.to_str().ok()?.parse().ok());
    header.map_or(Duration::MAX, Duration::from_millis)
}
