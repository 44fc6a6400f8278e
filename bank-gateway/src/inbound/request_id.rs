//! A name for each request, made here and never taken from a client: it is in the answer, in the log, in the audit record
//! and in the problem document.

use std::sync::Arc;

use bank_sdk::http::{REQUEST_ID, RequestId};
use bank_stores::{Random, SystemRandom};

use crate::exchange::{Exchange, Facts};
use crate::step::{Answer, Flow, Refusal, Step};

/// Gives each request a name, [`Facts::id`], which its answer carries as `X-Request-Id`.
///
/// ```
/// use bank_gateway::{NameRequests, StepLayer};
/// use bank_sdk::http::Body;
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let service = ServiceBuilder::new()
///     .layer(StepLayer::new(NameRequests::default()))
///     .service_fn(|_: Request<Body>| async { Ok::<_, std::convert::Infallible>(Response::new(Body::empty())) });
/// let answer = service.oneshot(Request::new(Body::empty())).await.unwrap();
/// assert!(answer.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
/// # });
/// ```
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
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        if exchange.facts.id().is_none() {
            exchange.facts.set_own_id(RequestId::random(&*self.0));
        }
        Ok(Flow::Pass)
    }

    fn after(&self, (): (), facts: &Facts, answer: &mut Answer) {
        if let (Ok(response), Some(id)) = (answer, facts.id_field()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
    }
}
