//! Refusals that several calls have.

use bank_sdk::Problem;
use http::StatusCode;

/// 422: a field asks for what the bank's rules do not allow.
pub(crate) fn unprocessable(code: &'static str, field: &'static str, wanted: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("`{field}` {wanted}"))
        .with_code(code)
        .with_field(field, wanted)
}

/// 400: a field is not of the form that it has to have.
pub(crate) fn invalid(field: &'static str, wanted: &'static str) -> Problem {
    Problem::bad_request(format!("`{field}` {wanted}")).with_code("invalid_input").with_field(field, wanted)
}

/// 422: the key stands for another request.
pub(crate) fn key_reused() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "this `Idempotency-Key` was used for another request; make a new one",
    )
    .with_code("idempotency_key_reused")
}
