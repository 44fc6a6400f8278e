//! The answer to the first request with a key: kept as bytes, so that a replay cannot differ.

use bank_sdk::http::{Body, IDEMPOTENCY_REPLAYED};
use bank_sdk::{Problem, Reply};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::{Deserialize, Serialize};

use crate::wire::Transfer;

/// The largest answer that is kept; ours are far smaller.
const MAX_ANSWER: usize = 64 * 1024;

/// Status, content headers and body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    status: u16,
    content_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    body: String,
}

impl Answer {
    /// 201 with the transfer.
    pub(crate) fn created(transfer: &Transfer) -> Result<Self, Problem> {
        let body = serde_json::to_string(transfer).map_err(|error| {
            tracing::error!(%error, "a transfer cannot be serialized");
            Problem::internal()
        })?;
        Ok(Self { status: 201, content_type: "application/json".to_owned(), cache_control: None, body })
    }

    /// A refusal, with the id of the request that was refused.
    pub(crate) async fn refusal(problem: Problem, request: &str) -> Result<Self, Problem> {
        let (parts, body) = problem.into_response(request).into_parts();
        let bytes = body.read(MAX_ANSWER).await.map_err(|_| Problem::internal())?;
        let text = |name: HeaderName| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
        };
        Ok(Self {
            status: parts.status.as_u16(),
            content_type: text(CONTENT_TYPE).unwrap_or_default(),
            cache_control: text(CACHE_CONTROL),
            body: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    /// The response for the first request.
    pub(crate) fn first(self) -> Result<Reply<Transfer>, Problem> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).map_err(|_| Problem::internal())?;
        let headers = [(CONTENT_TYPE, Some(self.content_type)), (CACHE_CONTROL, self.cache_control)];
        for (name, value) in headers {
            if let Some(value) = value {
                let value = HeaderValue::try_from(value).map_err(|_| Problem::internal())?;
                response.headers_mut().insert(name, value);
            }
        }
        Ok(Reply::raw(response))
    }

    /// The response for every later request with the same key.
    pub(crate) fn again(self) -> Result<Reply<Transfer>, Problem> {
        Ok(self.first()?.with_header(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true")))
    }
}
