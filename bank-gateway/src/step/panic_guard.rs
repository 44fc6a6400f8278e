//! A panic is one request's failure, and nothing else's.

use super::{Flow, Refusal, Step};
use crate::exchange::Exchange;

/// Answers with a 500 where what is behind it panics, or one of the steps in its list does. Steps in front of it see that
/// answer like any other.
///
/// ```
/// use bank_gateway::{PanicGuard, StepLayer};
/// use bank_sdk::http::Body;
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let service = ServiceBuilder::new().layer(StepLayer::new(PanicGuard::default())).service_fn(
///     |request: Request<Body>| async move {
///         assert_eq!(request.uri().path(), "/", "not what was expected");
///         Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
///     },
/// );
/// let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
/// assert_eq!(service.clone().oneshot(get("/x")).await.unwrap().status(), 500);
/// assert_eq!(service.oneshot(get("/")).await.unwrap().status(), 200);
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PanicGuard;

impl Step for PanicGuard {
    type Held = ();
    const GUARDS: bool = true;

    fn before(&self, _: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        Ok(Flow::Pass)
    }
}
