//! One time for the whole of a request: a caller may shorten it by `bank-timeout-ms`, never lengthen it.

use std::time::Duration;

use bank_sdk::Problem;
use bank_sdk::http::{BANK_TIMEOUT_MS, Body};
use http::{Request, Response};
use tokio::time::Instant;
use tower::Service;

use crate::Step;
use crate::step::{problem_instance, refusal};

/// Answers with 504 what has no answer in time. It counts to the head of the answer; what is behind it is dropped.
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
        match tokio::time::timeout_at(until, inner.call(request)).await {
            Ok(answer) => answer,
            Err(_) => Ok(refusal(&id, Problem::deadline_exceeded())),
        }
    }
}

/// When the answer is no longer wanted, for what passes the request on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until(pub(crate) Instant);

/// What the caller gives, where it says.
pub(crate) fn time_left(request: &Request<Body>) -> Duration {
    let header = request.headers().get(BANK_TIMEOUT_MS).and_then(|value| value.to_str().ok()?.parse().ok());
    header.map_or(Duration::MAX, Duration::from_millis)
}
