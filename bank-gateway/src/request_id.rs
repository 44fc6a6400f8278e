//! A name for each request, made here and never taken from a client: it is in the answer, in the log, in the audit record
//! and in the problem document.

use std::sync::Arc;

use bank_sdk::http::{Body, REQUEST_ID, RequestId};
use bank_stores::{Random, SystemRandom};
use http::{HeaderValue, Request, Response};
use tower::Service;

use crate::Step;

/// Gives each request a [`RequestId`], which its answer carries as `X-Request-Id`.
#[derive(Clone, Debug)]
pub struct NameRequests(Arc<dyn Random>);

impl NameRequests {
    /// Names of this source.
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self(random)
    }
}

impl Default for NameRequests {
    fn default() -> Self {
        Self::new(Arc::new(SystemRandom::new()))
    }
}

impl Step for NameRequests {
    async fn serve<S>(&self, mut request: Request<Body>, mut inner: S) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
    {
        let id = name(&*self.0);
        let value = id_value(&id);
        request.extensions_mut().insert(id);
        let mut response = inner.call(request).await?;
        response.headers_mut().insert(REQUEST_ID, value);
        Ok(response)
    }
}

pub(crate) fn name(random: &dyn Random) -> RequestId {
    RequestId(bank_stores::random::id(random, "req_").into())
}

/// An id of our own making is visible ASCII.
pub(crate) fn id_value(id: &RequestId) -> HeaderValue {
    HeaderValue::from_str(id.as_str()).unwrap_or(HeaderValue::from_static("req"))
}
