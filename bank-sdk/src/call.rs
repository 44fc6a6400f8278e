//! What a handler is given, and what it gives back.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::time::Instant;

use crate::http::{Body, RequestId};
use crate::{Fingerprint, IdempotencyKey, Principal, Problem};

/// One call of an endpoint: its decoded input, and who makes it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call<I> {
    /// What goes in.
    pub input: I,
    /// Who the call acts for; nobody on a public endpoint.
    pub principal: Option<Arc<Principal>>,
    /// The caller's key; always there on an endpoint that needs one.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The id of this request.
    pub request_id: RequestId,
    /// When the answer is no longer wanted.
    pub deadline: Instant,
    /// Method and path template.
    pub operation: Arc<str>,
    /// The path as it was called.
    pub path: String,
    /// The request's header fields.
    pub headers: HeaderMap,
}

impl<I> Call<I> {
    /// The subject that the call acts for.
    ///
    /// # Errors
    /// 401, where nobody is known: an endpoint that asks this must not be public.
    pub fn subject(&self) -> Result<&str, Problem> {
        self.principal.as_deref().map(|principal| principal.subject.as_str()).ok_or_else(|| {
            Problem::new(StatusCode::UNAUTHORIZED, "this call needs a credential")
                .with_code("unauthenticated")
        })
    }

    /// The key of a call that must have one.
    ///
    /// # Errors
    /// 400, where it is missing.
    pub fn key(&self) -> Result<&IdempotencyKey, Problem> {
        self.idempotency_key.as_ref().ok_or_else(missing_key)
    }

    /// What the caller's key stands for.
    ///
    /// # Errors
    /// 401, as [`Call::subject`].
    pub fn fingerprint(&self) -> Result<Fingerprint, Problem>
    where
        I: serde::Serialize,
    {
        Ok(Fingerprint::of(&self.operation, &self.path, self.subject()?, &self.input))
    }

    /// The time left.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// The problem of a call without the key that it needs.
pub(crate) fn missing_key() -> Problem {
    Problem::bad_request(
        "this call moves money and needs an `Idempotency-Key`; make one and repeat it on a retry",
    )
    .with_code("missing_idempotency_key")
}

/// What a handler gives back: the declared output, or the same in another representation.
#[derive(Debug)]
pub struct Reply<O> {
    pub(crate) answer: Answer<O>,
    pub(crate) headers: HeaderMap,
}

#[derive(Debug)]
pub(crate) enum Answer<O> {
    Output(O),
    Raw(Box<Response<Body>>),
}

impl<O> Reply<O> {
    /// The declared output.
    #[must_use]
    pub fn new(output: O) -> Self {
        Self { answer: Answer::Output(output), headers: HeaderMap::new() }
    }

    /// A response as it is: a stream, a page, a replay of earlier bytes.
    #[must_use]
    pub fn raw(response: Response<Body>) -> Self {
        Self { answer: Answer::Raw(Box::new(response)), headers: HeaderMap::new() }
    }

    /// Adds a header field.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

impl<O> From<O> for Reply<O> {
    fn from(output: O) -> Self {
        Self::new(output)
    }
}
