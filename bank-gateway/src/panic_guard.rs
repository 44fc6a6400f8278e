//! A panic is one request's failure, and nothing else's.

use std::future::Future as _;
use std::panic::AssertUnwindSafe;
use std::task::Poll;

use bank_sdk::Problem;
use bank_sdk::http::{Body, RequestId};
use http::{Request, Response};
use tower::Service;

use crate::Step;
use crate::request_id::id_value;
use crate::step::problem_instance;

/// Answers with a 500 where what is behind it panics.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PanicGuard;

impl Step for PanicGuard {
    async fn serve<S>(&self, request: Request<Body>, mut inner: S) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
    {
        let id = problem_instance(&request);
        let mut answer = Box::pin(async move { inner.call(request).await });
        std::future::poll_fn(|cx| match guarded(|| answer.as_mut().poll(cx)) {
            Some(poll) => poll,
            None => Poll::Ready(Ok(after_panic(id.as_ref()))),
        })
        .await
    }
}

/// What the closure gives; nothing where it panicked. What it left half done must not be polled again.
pub(crate) fn guarded<T>(poll: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(AssertUnwindSafe(poll)).ok()
}

/// The answer to a request that ended in a panic.
pub(crate) fn after_panic(id: Option<&RequestId>) -> Response<Body> {
    let name = id.map_or("", RequestId::as_str);
    tracing::error!(request = name, "a request ended in a panic");
    let mut response = Problem::internal().into_response(name);
    if let Some(id) = id {
        response.headers_mut().insert(bank_sdk::http::REQUEST_ID, id_value(id));
    }
    response
}
