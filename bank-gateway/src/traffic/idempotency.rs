//! The edge's part of idempotency: a call that must carry a key does, and the key has the form that it must have.
//!
//! The truth about a key is in the service's own transaction, with the effect.

use bank_sdk::http::IDEMPOTENCY_KEY;
use bank_sdk::{IdempotencyKey, Problem};
use http::HeaderMap;

use crate::exchange::{Exchange, Sought};
use crate::step::{Flow, Refusal, Step};

/// Asks for an `Idempotency-Key` on every request that passes; one that is there must be well formed.
///
/// ```
/// use bank_gateway::{RequireIdempotencyKey, StepLayer};
/// use bank_sdk::http::Body;
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let service = ServiceBuilder::new()
///     .layer(StepLayer::new(RequireIdempotencyKey::default()))
///     .service_fn(|_: Request<Body>| async { Ok::<_, std::convert::Infallible>(Response::new(Body::empty())) });
/// assert_eq!(service.oneshot(Request::post("/").body(Body::empty()).unwrap()).await.unwrap().status(), 400);
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RequireIdempotencyKey {
    optional: bool,
}

impl RequireIdempotencyKey {
    /// A request without a key passes.
    #[must_use]
    pub const fn if_present() -> Self {
        Self { optional: true }
    }
}

impl Step for RequireIdempotencyKey {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        if !(self.optional && exchange.facts.lacks(Sought::IdempotencyKey)) {
            check_key(self.optional, exchange.headers())?;
        }
        Ok(Flow::Pass)
    }
}

fn check_key(optional: bool, headers: &HeaderMap) -> Result<(), Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (keys.next(), keys.next()) {
        (None, _) if optional => Ok(()),
        (None, _) => Err(Problem::bad_request(
            "this call needs an `Idempotency-Key`: make one before the first try and repeat it on every retry",
        )
        .with_code("missing_idempotency_key")),
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("`Idempotency-Key` is given twice").with_code("invalid_idempotency_key"))
        }
        (Some(value), None) => IdempotencyKey::parse(value.to_str().unwrap_or_default()).map(|_| ()),
    }
}
