//! The one place where a refusal becomes an answer: `application/problem+json` (RFC 9457).
//!
//! ```
//! use bank_sdk::Problem;
//! use http::StatusCode;
//!
//! let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the amount must be positive")
//!     .with_code("invalid_amount")
//!     .with_field("amount", "must be positive");
//! let response = problem.into_response("req_1");
//! assert_eq!(response.status(), 422);
//! assert_eq!(response.headers()["content-type"], "application/problem+json");
//! ```

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bank_stores::{Error, ErrorKind};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::{Deserialize, Serialize};

use crate::http::Body;

/// A refusal or failure that a client is told about. Nothing in it comes from inside: no driver's text, no path.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: Option<Cow<'static, str>>,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    headers: Option<Box<HeaderMap>>,
}

/// One field of the input and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Where in the input, for example `amount.currency`.
    pub field: String,
    /// What to change.
    pub message: String,
}

/// The document on the wire.
#[derive(Debug, Serialize, Deserialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    title: Cow<'a, str>,
    status: u16,
    detail: Cow<'a, str>,
    instance: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl Problem {
    /// A problem with this status; `detail` says to the client what to change.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code: None, detail: detail.into(), errors: Vec::new(), headers: None }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404, the same for what does not exist and for what is another's.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing here that you may see").with_code("not_found")
    }

    /// 503: a part that is needed does not answer; the call may be tried again.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "a part of the bank does not answer; try again")
            .with_code("unavailable")
            .with_retry_after(Duration::from_secs(1))
    }

    /// 504: the time for the request ran out; whether it had an effect is not known.
    #[must_use]
    pub fn deadline_exceeded() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "the time for this request ran out; repeat it with the same key to learn its outcome",
        )
        .with_code("deadline_exceeded")
    }

    /// 500, which reveals nothing; the cause goes to the log beside the request's id.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong on our side").with_code("internal")
    }

    /// A stable word that a client's program can act on.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Names a field of the input and what is wrong with it.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.errors.push(FieldError { field: field.into(), message: message.into() });
        self
    }

    /// `Retry-After`, rounded up to whole seconds.
    #[must_use]
    pub fn with_retry_after(self, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        let mut problem = self;
        problem.headers.get_or_insert_default().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        problem
    }

    /// One more header field of the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().append(name, value);
        self
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code, where there is one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// What the client is told.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The fields at fault.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// The answer; `instance` is the request's id.
    #[must_use]
    pub fn into_response(self, instance: &str) -> Response<Body> {
        self.into_bytes_response(instance).map(Body::from)
    }

    /// The answer with its bytes, for a body of another type.
    pub(crate) fn into_bytes_response(self, instance: &str) -> Response<Bytes> {
        let kind = self
            .code
            .as_ref()
            .map_or(Cow::Borrowed("about:blank"), |code| Cow::Owned(format!("urn:bank:problem:{code}")));
        let document = Document {
            kind,
            title: Cow::Borrowed(self.status.canonical_reason().unwrap_or("Error")),
            status: self.status.as_u16(),
            detail: self.detail,
            instance: Cow::Borrowed(instance),
            code: self.code,
            errors: self.errors,
        };
        // A document of strings and numbers always serializes.
        let bytes = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Bytes::from(bytes));
        *response.status_mut() = self.status;
        if let Some(headers) = self.headers {
            *response.headers_mut() = *headers;
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// Reads a problem document that a service answered with.
    #[must_use]
    pub fn from_document(status: StatusCode, bytes: &[u8]) -> Self {
        let Ok(document) = serde_json::from_slice::<Document<'_>>(bytes) else {
            return Self::new(status, "the service gave no reason");
        };
        Self {
            status,
            code: document.code.map(|code| Cow::Owned(code.into_owned())),
            detail: Cow::Owned(document.detail.into_owned()),
            errors: document.errors,
            headers: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.detail)
    }
}

impl std::error::Error for Problem {}

/// 401: a service was called past its gateway.
pub(crate) fn no_identity() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "this service is reached through the gateway only")
        .with_code("no_identity")
}

/// What a store says, in the words of HTTP. The cause stays inside and is logged.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let problem = match error.kind() {
            ErrorKind::NotFound => Self::not_found(),
            ErrorKind::AlreadyExists => {
                Self::new(StatusCode::CONFLICT, "this exists already").with_code("already_exists")
            }
            ErrorKind::Conflict => {
                Self::new(StatusCode::CONFLICT, "this was changed meanwhile, or its id names something else")
                    .with_code("conflict")
            }
            ErrorKind::Rejected => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "the bank's rules refuse this")
                    .with_code("rejected")
            }
            ErrorKind::InsufficientFunds => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "there is not enough money on the account")
                    .with_code("insufficient_funds")
            }
            ErrorKind::Invalid => {
                Self::new(StatusCode::BAD_REQUEST, "the input is not valid").with_code("invalid_input")
            }
            ErrorKind::Indeterminate => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the outcome is not known yet; repeat the request with the same key to learn it",
            )
            .with_code("indeterminate")
            .with_retry_after(Duration::from_secs(1)),
            ErrorKind::Unavailable => Self::unavailable(),
            _ => Self::internal(),
        };
        if problem.status.is_server_error() {
            tracing::warn!(error = %Chain(&error), "a store failed");
        }
        match error.field() {
            // Of what does not exist nothing is told: it may be another's.
            Some(field) if problem.status.is_client_error() && error.kind() != ErrorKind::NotFound => {
                problem.with_field(field.to_owned(), error.to_string())
            }
            _ => problem,
        }
    }
}

/// An error with its sources, for the log.
struct Chain<'a>(&'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_document_names_type_title_status_detail_instance_code_and_fields() {
        let problem = Problem::bad_request("no").with_code("bad").with_field("a.b", "missing");
        let body = problem.into_response("req_7").into_body().read(1000).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"type": "urn:bank:problem:bad", "title": "Bad Request", "status": 400, "detail": "no",
                "instance": "req_7", "code": "bad", "errors": [{"field": "a.b", "message": "missing"}]})
        );
    }

    #[test]
    fn retry_after_rounds_up_to_whole_seconds() {
        let problem = Problem::unavailable().with_retry_after(Duration::from_millis(1_200));
        let response = problem.into_response("r");
        assert!(response.headers().get_all(RETRY_AFTER).iter().any(|value| value == "2"));
    }

    #[test]
    fn a_store_s_failure_reveals_nothing_inside() {
        let error = Error::new(ErrorKind::Unavailable, "connection to 10.0.0.3 refused: password=x");
        let problem = Problem::from(error);
        assert_eq!(problem.status(), 503);
        assert!(!problem.to_string().contains("10.0.0.3"));
    }
}
