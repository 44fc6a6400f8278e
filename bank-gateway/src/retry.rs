//! Go again, or not. Outside the balancer, so that another endpoint may serve; budgeted, so that a failure is not
//! multiplied; and never for a request that may have had an effect, unless its endpoint declared that repeating is harmless
//! (S21).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bank_sdk::declaration::Idempotency;
use bank_sdk::http::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use tower::retry::budget::{Budget, TpsBudget};
use tower::{Service, ServiceExt as _};

use crate::Step;
use crate::problem::unreadable_body;
use crate::step::{problem_instance, refusal};

/// The largest body that is kept for another try.
const MAX_KEPT: u64 = 64 * 1024;
/// The most tries of one request, the first among them.
pub(crate) const MAX_TRIES: usize = 3;

/// Sends again what failed and may be repeated: where `class` says so, for a body of at most 64 KiB, within a budget of a
/// fifth of the live traffic and ten a second. A failure is an error, a 502 or a 503.
#[derive(Clone, Debug)]
pub struct Retry {
    class: Idempotency,
    budget: RetryBudget,
}

impl Retry {
    /// For requests of this class; clones share the budget.
    #[must_use]
    pub fn new(class: Idempotency) -> Self {
        Self { class, budget: RetryBudget::new() }
    }
}

impl Step for Retry {
    async fn serve<S>(&self, mut request: Request<Body>, mut inner: S) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
    {
        let (id, extensions) = (problem_instance(&request), request.extensions().clone());
        let kept = match Kept::keep(self.class, &mut request).await {
            Ok(kept) => kept,
            Err(error) => return Ok(refusal(&id, unreadable_body(&error))),
        };
        self.budget.deposit();
        let mut answer = inner.call(request).await;
        let Some(kept) = kept else { return answer };
        for _ in 1..MAX_TRIES {
            let failed = answer.as_ref().map_or(true, |response| is_worth_another(response.status()));
            if !failed || !self.budget.withdraw() {
                break;
            }
            let mut request = kept.again();
            *request.extensions_mut() = extensions.clone();
            answer = inner.ready().await?.call(request).await;
        }
        answer
    }
}

/// The share of requests that may be tried again, of one upstream.
#[derive(Clone)]
pub(crate) struct RetryBudget(Arc<TpsBudget>);

impl RetryBudget {
    /// A fifth of the live traffic, and ten a second besides.
    pub(crate) fn new() -> Self {
        Self(Arc::new(TpsBudget::new(Duration::from_secs(10), 10, 0.2)))
    }

    pub(crate) fn deposit(&self) {
        self.0.deposit();
    }

    pub(crate) fn withdraw(&self) -> bool {
        self.0.withdraw()
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryBudget")
    }
}

/// Whether an answer says that another endpoint might do better. A 504 does not: the time is over.
pub(crate) const fn is_worth_another(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE)
}

/// A request that can be sent again.
pub(crate) struct Kept {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Kept {
    /// Keeps a request for another try, where its endpoint allows one and its body is small.
    pub(crate) async fn keep(
        class: Idempotency,
        request: &mut Request<Body>,
    ) -> Result<Option<Self>, bank_sdk::http::ReadError> {
        let small = request.body().size_hint().upper().is_some_and(|size| size <= MAX_KEPT);
        let may_repeat = class.may_repeat() && (class != Idempotency::Safe || request.method().is_safe());
        if !may_repeat || !small {
            return Ok(None);
        }
        let mut body = Bytes::new();
        if !request.body().is_end_stream() {
            body = Box::pin(std::mem::take(request.body_mut()).read(MAX_KEPT as usize)).await?;
            *request.body_mut() = Body::from(body.clone());
        }
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Ok(Some(Self { method, uri, headers: request.headers().clone(), body }))
    }

    pub(crate) fn again(&self) -> Request<Body> {
        let mut request = Request::new(Body::from(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        *request.version_mut() = Version::HTTP_11;
        request
    }
}
