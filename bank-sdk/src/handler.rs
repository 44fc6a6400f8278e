//! Handlers: bound to endpoints, given decoded input, their outcome encoded.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::call::{Answer, Call, Reply, missing_key};
use crate::declaration::{Access, EndpointDeclaration, Idempotency, Method};
use crate::endpoint::Endpoint;
use crate::http::{Body, IDEMPOTENCY_KEY, ReadError, RequestId, check_content_coding, check_json};
use crate::{IdempotencyKey, Principal, Problem, input};

pub(crate) type Handled = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
pub(crate) type Erased<S> = Arc<dyn Fn(Arc<S>, RawCall) -> Handled + Send + Sync>;

/// Handlers bound to endpoints.
pub struct Endpoints<S> {
    pub(crate) bound: BTreeMap<String, Erased<S>>,
    pub(crate) twice: Vec<String>,
}

/// A request whose caller is known, before its input is decoded.
pub(crate) struct RawCall {
    pub(crate) request: Request<Body>,
    pub(crate) path: Vec<(String, String)>,
    pub(crate) principal: Option<Arc<Principal>>,
    pub(crate) request_id: RequestId,
    pub(crate) endpoint: Arc<Bound>,
    pub(crate) deadline: Instant,
}

/// What of a declaration is needed for each call.
pub(crate) struct Bound {
    pub(crate) method: Method,
    pub(crate) operation: Arc<str>,
    pub(crate) access: Access,
    pub(crate) idempotency: Idempotency,
    pub(crate) timeout: Duration,
    pub(crate) body_limit: usize,
    pub(crate) status: u16,
    pub(crate) stream: bool,
}

impl Bound {
    pub(crate) fn of(endpoint: &EndpointDeclaration) -> Option<Self> {
        Some(Self {
            method: endpoint.method,
            operation: endpoint.operation().into(),
            access: endpoint.access.clone()?,
            idempotency: endpoint.idempotency,
            timeout: Duration::from_millis(endpoint.timeout_ms),
            body_limit: endpoint.body_limit,
            status: endpoint.status,
            stream: endpoint.stream,
        })
    }
}

impl<S: Send + Sync + 'static> Endpoints<S> {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self { bound: BTreeMap::new(), twice: Vec::new() }
    }

    /// Binds a handler, `async fn(Arc<S>, Call<I>) -> Result<O, Problem>`. It may also return a [`Reply`] where it sets
    /// header fields or answers in another form.
    #[must_use]
    pub fn bind<I, O, F, Fut, R>(mut self, endpoint: Endpoint<I, O>, handler: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + Send + 'static,
        F: Fn(Arc<S>, Call<I>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Problem>> + Send + 'static,
        R: Into<Reply<O>> + Send,
    {
        let handler = Arc::new(handler);
        let erased: Erased<S> = Arc::new(move |service, raw| {
            let handler = handler.clone();
            Box::pin(async move {
                let id = raw.request_id;
                let status = raw.endpoint.status;
                match serve_call(service, raw, &*handler).await {
                    Ok(reply) => encode(reply, status),
                    Err(problem) => Err(problem),
                }
                .unwrap_or_else(|problem| problem.into_response(id.as_str()))
            })
        });
        let operation = endpoint.operation();
        if self.bound.insert(operation.clone(), erased).is_some() {
            self.twice.push(operation);
        }
        self
    }
}

async fn serve_call<S, I, O, F, Fut, R>(
    service: Arc<S>,
    raw: RawCall,
    handler: &F,
) -> Result<Reply<O>, Problem>
where
    S: Send + Sync,
    I: DeserializeOwned + Send,
    O: Send,
    F: Fn(Arc<S>, Call<I>) -> Fut + Sync,
    Fut: Future<Output = Result<R, Problem>> + Send,
    R: Into<Reply<O>> + Send,
{
    let RawCall { request, path, principal, request_id, endpoint, deadline } = raw;
    let (parts, body) = request.into_parts();
    let idempotency_key = match (endpoint.idempotency, parts.headers.get(IDEMPOTENCY_KEY)) {
        (Idempotency::Key, None) => return Err(missing_key()),
        (_, None) => None,
        (_, Some(value)) => Some(IdempotencyKey::parse(value.to_str().unwrap_or_default())?),
    };
    let work = async {
        check_content_coding(&parts.headers)?;
        let bytes = if endpoint.method.has_body() {
            let bytes = body.read(endpoint.body_limit).await.map_err(read_problem)?;
            if !bytes.is_empty() {
                check_json(&parts.headers)?;
            }
            bytes
        } else {
            body.read(0).await.map_err(|error| match error {
                ReadError::TooLarge(_) => {
                    input::invalid("body", "does not belong to this method; leave it out")
                }
                error => read_problem(error),
            })?
        };
        let input = input::decode(endpoint.method, path, parts.uri.query(), &bytes)?;
        let call = Call {
            input,
            principal,
            idempotency_key,
            request_id,
            deadline,
            operation: endpoint.operation.clone(),
            path: parts.uri.path().to_owned(),
            headers: parts.headers,
        };
        handler(service, call).await.map(Into::into)
    };
    if endpoint.stream {
        return work.await;
    }
    tokio::time::timeout_at(deadline, work).await.unwrap_or_else(|_| Err(Problem::deadline_exceeded()))
}

fn read_problem(error: ReadError) -> Problem {
    match error {
        ReadError::TooLarge(limit) => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body may have at most {limit} bytes"))
                .with_code("body_too_large")
        }
        ReadError::Broken(_) => Problem::bad_request("the body ended early").with_code("incomplete_body"),
    }
}

fn encode<O: Serialize>(reply: Reply<O>, status: u16) -> Result<Response<Body>, Problem> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut response = match reply.answer {
        Answer::Raw(response) => *response,
        Answer::Output(_) if status == StatusCode::NO_CONTENT => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            response
        }
        Answer::Output(output) => {
            let bytes = serde_json::to_vec(&output).map_err(|error| {
                tracing::error!(%error, "an output cannot be serialized");
                Problem::internal()
            })?;
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
    };
    response.headers_mut().extend(reply.headers);
    Ok(response)
}

impl<S: Send + Sync + 'static> Default for Endpoints<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for Endpoints<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.bound.keys()).finish()
    }
}
