//! One time for the whole of a request: a caller may shorten it by `bank-timeout-ms`, never lengthen it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bank_sdk::Problem;
use bank_sdk::http::{BANK_TIMEOUT_MS, Body, Timer};
use bank_sdk::serve::Connection;
use http::{Request, Response};
use tokio::time::Instant;
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
        let mut timer = timer(until, &request);
        match timer.within(pin!(inner.call(request))).await {
            Some(answer) => Ok(answer?.map(|body| body.ends_with(timer))),
            None => Ok(refusal(&id, Problem::deadline_exceeded())),
        }
    }
}

/// When the answer is no longer wanted, for what passes the request on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until(pub(crate) Instant);

/// The timer of a request, of its connection where that is known.
pub(crate) fn timer(until: Instant, request: &Request<Body>) -> Timer {
    match request.extensions().get::<Arc<Connection>>() {
        Some(connection) => connection.timer(until),
        None => Timer::until(until),
    }
}

/// What the caller gives, where it says.
pub(crate) fn time_left(request: &Request<Body>) -> Duration {
    let header = request.headers().get(BANK_TIMEOUT_MS).and_then(|value| value.to_str().ok()?.parse().ok());
    header.map_or(Duration::MAX, Duration::from_millis)
}
