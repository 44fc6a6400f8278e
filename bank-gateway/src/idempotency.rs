//! The edge's part of idempotency: a call that must carry a key does, and the key has the form that it must have.
//!
//! The truth about a key is in the service's own transaction, with the effect.

use bank_sdk::declaration::Idempotency;
use bank_sdk::http::{Body, IDEMPOTENCY_KEY};
use bank_sdk::{IdempotencyKey, Problem};
use http::{HeaderMap, Request};

use crate::Gate;

/// Asks for an `Idempotency-Key` on every request that passes.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RequireIdempotencyKey;

impl Gate for RequireIdempotencyKey {
    async fn check(&self, request: &mut Request<Body>) -> Result<(), Problem> {
        check_key(Idempotency::Key, request.headers())
    }
}

pub(crate) fn check_key(class: Idempotency, headers: &HeaderMap) -> Result<(), Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (keys.next(), keys.next()) {
        (None, _) if class == Idempotency::Key => Err(Problem::bad_request(
            "this call needs an `Idempotency-Key`: make one before the first try and repeat it on every retry",
        )
        .with_code("missing_idempotency_key")),
        (None, _) => Ok(()),
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("`Idempotency-Key` is given twice").with_code("invalid_idempotency_key"))
        }
        (Some(value), None) => IdempotencyKey::parse(value.to_str().unwrap_or_default()).map(|_| ()),
    }
}
