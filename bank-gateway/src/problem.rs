//! What the edge says when it refuses. Documents are made of these in one place, where the answer leaves the gateway.

use std::time::Duration;

use bank_sdk::Problem;
use bank_sdk::http::ReadError;
use bank_stores::limit::Verdict;
use http::header::{CONNECTION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

/// 400 for what two readers could read in two ways; the next bytes of this connection cannot be trusted either.
pub(crate) fn ambiguous(code: &'static str, what: &'static str) -> Problem {
    Problem::bad_request(what).with_code(code).with_header(CONNECTION, HeaderValue::from_static("close"))
}

/// 401 where nobody is known to call.
pub(crate) fn unauthenticated() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "this needs a credential: sign in first")
        .with_code("unauthenticated")
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// The one answer to a credential that does not hold, whatever is wrong with it.
#[must_use]
pub fn refused_credential() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "the credential does not hold, or holds no longer: sign in again")
        .with_code("invalid_token")
}

/// The same for a wrong password and an unknown user. Basic is offered to those who came with it: a browser would open a box of
/// its own over a page that sent the password otherwise.
#[cfg(feature = "passwords")]
pub(crate) fn wrong_password(offers_basic: bool) -> Problem {
    let challenge =
        if offers_basic { r#"Basic realm="bank", charset="UTF-8""# } else { r#"Login realm="bank""# };
    Problem::new(StatusCode::UNAUTHORIZED, "the user name or the password is wrong")
        .with_code("invalid_credentials")
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// 401 for a call between services whose caller is not known.
pub(crate) fn unknown_service() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "the calling service is not known here")
        .with_code("unknown_service")
}

/// 403 for a credential that lacks a scope. It tells which would do, which helps an honest client and no other.
pub(crate) fn insufficient_scope(scopes: &[String]) -> Problem {
    let scopes = scopes.join(" ");
    let problem = Problem::new(StatusCode::FORBIDDEN, format!("this needs the scope `{scopes}`"))
        .with_code("insufficient_scope");
    match HeaderValue::try_from(format!(r#"Bearer error="insufficient_scope", scope="{scopes}""#)) {
        Ok(challenge) => problem.with_header(WWW_AUTHENTICATE, challenge),
        Err(_) => problem,
    }
}

/// 413.
pub(crate) fn body_too_large(limit: u64) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body may have at most {limit} bytes"))
        .with_code("body_too_large")
}

/// The problem of a body that could not be read whole: for a scheme that reads it. What it read it puts back.
pub fn unreadable_body(error: &ReadError) -> Problem {
    match error {
        ReadError::TooLarge(limit) => body_too_large(*limit as u64),
        _ => incomplete_body(),
    }
}

/// 400 for a body that broke off.
pub(crate) fn incomplete_body() -> Problem {
    Problem::bad_request("the body ended early").with_code("incomplete_body")
}

/// 429 with how long to wait.
pub(crate) fn too_many(verdict: Verdict) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests; wait as long as `Retry-After` says")
        .with_code("rate_limited")
        .with_retry_after(verdict.retry_after.unwrap_or(Duration::from_secs(1)))
}

/// 502 for a request that was sent and never answered: it may have had its effect.
pub(crate) fn lost_answer() -> Problem {
    Problem::new(
        StatusCode::BAD_GATEWAY,
        "the service went away before it answered; repeat the request with the same key to learn its outcome",
    )
    .with_code("indeterminate")
}
