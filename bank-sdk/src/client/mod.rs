//! The typed client of any declared endpoint.
//!
//! ```no_run
//! # use bank_sdk::{Empty, Endpoint};
//! # use bank_sdk::client::{Client, ConnectOptions, Connections};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! const HEALTH: Endpoint<Empty, Empty> = Endpoint::get("/v1/health").public();
//!
//! let connections = Connections::new(&"http://127.0.0.1:8080".parse()?, ConnectOptions::default())?;
//! let client = Client::new(connections);
//! client.call(HEALTH, &Empty {}).send().await?;
//! # Ok(())
//! # }
//! ```

mod error;
mod http2;
mod in_process;
mod pool;
#[cfg(feature = "tls")]
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bank_stores::{Clock, Random, SystemClock, SystemRandom};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceExt as _};

pub use self::error::{InvalidAddress, SendError};
pub use self::in_process::send_in_process;
pub(crate) use self::pool::PooledSender;
pub use self::pool::{ConnectOptions, Connections};
use crate::http::{BANK_IDENTITY, BANK_TIMEOUT_MS, Body, IDEMPOTENCY_KEY};
use crate::identity::{Identity, IdentityKeys};
use crate::outage::Outages;
use crate::{Endpoint, IdempotencyKey, Principal, Problem, input};

/// The largest answer that a typed call reads.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// Calls endpoints over any transport: [`Connections`], a gateway in this process, or a service under test.
#[derive(Clone)]
pub struct Client {
    transport: BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>,
    authority: HeaderValue,
    credential: Credential,
    /// What a service's log says of calls that fail.
    outages: Arc<Outages>,
}

#[derive(Clone)]
enum Credential {
    None,
    Header(HeaderName, HeaderValue),
    Service(Arc<ServiceCredential>),
}

/// A service's own key, with which it calls others through the gateway.
struct ServiceCredential {
    name: String,
    gateway: String,
    keys: IdentityKeys,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Client {
    /// A client without credentials.
    pub fn new<T, E>(transport: T) -> Self
    where
        T: tower::Service<Request<Body>, Response = Response<Body>, Error = E>
            + Clone
            + Send
            + Sync
            + 'static,
        T::Future: Send + 'static,
        E: Into<BoxError> + Send + Sync + 'static,
    {
        Self {
            transport: BoxCloneSyncService::new(transport.map_err(Into::into)),
            authority: HeaderValue::from_static("bank.internal"),
            credential: Credential::None,
            outages: Arc::default(),
        }
    }

    /// Calls with `Authorization: Bearer`.
    ///
    /// # Errors
    /// Where the token holds bytes that a header field cannot carry.
    pub fn bearer(mut self, token: &str) -> Result<Self, http::header::InvalidHeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
        value.set_sensitive(true);
        self.credential = Credential::Header(AUTHORIZATION, value);
        Ok(self)
    }

    /// Calls as this service, through the gateway of that name, which knows its key.
    #[must_use]
    pub fn as_service(
        mut self,
        name: impl Into<String>,
        gateway: impl Into<String>,
        keys: IdentityKeys,
    ) -> Self {
        self.credential = Credential::Service(Arc::new(ServiceCredential {
            name: name.into(),
            gateway: gateway.into(),
            keys,
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom::new()),
        }));
        self
    }

    /// The value of `Host`, where the transport sets none.
    #[must_use]
    pub fn host(mut self, authority: HeaderValue) -> Self {
        self.authority = authority;
        self
    }

    /// A call of an endpoint, to be completed and sent.
    pub fn call<'a, I, O>(&'a self, endpoint: Endpoint<I, O>, input: &'a I) -> Calling<'a, I, O> {
        Calling { client: self, endpoint, input, key: None, principal: None, timeout: None }
    }
}

/// A call that has not been sent yet.
#[must_use]
pub struct Calling<'a, I, O> {
    client: &'a Client,
    endpoint: Endpoint<I, O>,
    input: &'a I,
    key: Option<&'a IdempotencyKey>,
    principal: Option<Arc<Principal>>,
    timeout: Option<Duration>,
}

impl<'a, I, O> Calling<'a, I, O>
where
    I: Serialize + Sync,
    O: DeserializeOwned + Send,
{
    /// The key under which the call may be repeated.
    pub fn key(mut self, key: &'a IdempotencyKey) -> Self {
        self.key = Some(key);
        self
    }

    /// For whom a service acts.
    pub fn on_behalf_of(mut self, principal: Arc<Principal>) -> Self {
        self.principal = Some(principal);
        self
    }

    /// The time that is left for it.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Errors
    /// See [`CallError`]; dropped or timed out, an unsafe call may have had its effect.
    pub async fn send(self) -> Result<O, CallError> {
        let (client, path) = (self.client, self.endpoint.path());
        let outcome = self.send_once().await;
        if matches!(client.credential, Credential::Service(_)) {
            match &outcome {
                Err(error) if error.is_outage() => client.outages.failed(path, error),
                _ => client.outages.recovered(path),
            }
        }
        outcome
    }

    async fn send_once(self) -> Result<O, CallError> {
        let request = self.request()?;
        let unsafe_call = self.endpoint.method() != crate::declaration::Method::Get;
        let exchange = async {
            let response = self.client.transport.clone().oneshot(request).await.map_err(|source| {
                let unsent = matches!(
                    source.downcast_ref::<SendError>(),
                    Some(SendError::Connect(_) | SendError::Refused(_))
                );
                CallError::Lost { indeterminate: unsafe_call && !unsent, source }
            })?;
            let (parts, body) = response.into_parts();
            let bytes = body
                .read(MAX_ANSWER)
                .await
                .map_err(|error| CallError::Lost { indeterminate: unsafe_call, source: error.into() })?;
            Ok((parts.status, bytes))
        };
        let (status, bytes) = match self.timeout {
            Some(limit) => tokio::time::timeout(limit, exchange).await.map_err(|elapsed| {
                CallError::Lost { indeterminate: unsafe_call, source: elapsed.into() }
            })??,
            None => exchange.await?,
        };
        if !status.is_success() {
            return Err(CallError::Refused(Problem::from_document(status, &bytes)));
        }
        let bytes = if bytes.is_empty() { &b"{}"[..] } else { &bytes };
        serde_json::from_slice(bytes).map_err(CallError::Output)
    }

    fn request(&self) -> Result<Request<Body>, CallError> {
        let fields = match serde_json::to_value(self.input).map_err(CallError::Input)? {
            serde_json::Value::Object(fields) => fields,
            _ => serde_json::Map::new(),
        };
        let (target, rest) = fill(self.endpoint.path(), fields)?;
        let mut request = Request::new(Body::empty());
        *request.method_mut() = self.endpoint.method().into();
        let mut target = target;
        if self.endpoint.method().has_body() {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Body::from(serde_json::to_vec(&rest).map_err(CallError::Input)?);
        } else {
            append_query(&mut target, rest);
        }
        *request.uri_mut() = target.parse().map_err(not_sendable)?;
        let headers = request.headers_mut();
        headers.insert(http::header::HOST, self.client.authority.clone());
        if let Some(key) = self.key {
            let value = HeaderValue::from_str(&format!("\"{key}\"")).map_err(not_sendable)?;
            headers.insert(IDEMPOTENCY_KEY, value);
        }
        if let Some(limit) = self.timeout {
            headers.insert(
                BANK_TIMEOUT_MS,
                HeaderValue::from(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            );
        }
        match &self.client.credential {
            Credential::None => {}
            Credential::Header(name, value) => {
                headers.insert(name, value.clone());
            }
            Credential::Service(service) => {
                let token = service.token(&self.endpoint.operation(), self.principal.clone());
                headers.insert(BANK_IDENTITY, HeaderValue::from_str(&token).map_err(not_sendable)?);
            }
        }
        Ok(request)
    }
}

impl ServiceCredential {
    fn token(&self, operation: &str, principal: Option<Arc<Principal>>) -> String {
        let request_id = bank_stores::random::id(&*self.random, "req_");
        let identity = Identity::new(&*self.name, &*self.gateway, operation, request_id, self.clock.now());
        self.keys.sign(&identity.for_principal(principal))
    }
}

/// Fills a path template from the input's fields and returns what is left of them.
fn fill(template: &str, mut fields: Fields) -> Result<(String, Fields), CallError> {
    let mut path = String::new();
    for segment in template.split('/').skip(1) {
        path.push('/');
        match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => {
                let (name, is_rest) = name.strip_prefix('*').map_or((name, false), |name| (name, true));
                let value = fields.remove(name).map(|value| plain(&value)).filter(|value| !value.is_empty());
                let value = value.ok_or_else(|| not_sendable(format!("the path needs `{name}`")))?;
                let separator = if is_rest { "/" } else { "" };
                let mut encoded = Vec::new();
                for part in if is_rest { value.split('/').collect() } else { vec![&*value] } {
                    // A path with such a segment is another path to whoever reads it, however the dots are written.
                    if matches!(part, "." | "..") {
                        return Err(CallError::Refused(names_nothing(name)));
                    }
                    let mut text = String::new();
                    input::percent_encode(part, &mut text);
                    encoded.push(text);
                }
                path.push_str(&encoded.join(separator));
            }
            None => path.push_str(segment),
        }
    }
    Ok((path, fields))
}

/// 404: no path has such a segment, so that nothing was asked.
fn names_nothing(field: &str) -> Problem {
    Problem::not_found().with_field(field, "must not be `.` or `..`")
}

fn not_sendable(reason: impl fmt::Display) -> CallError {
    CallError::Input(serde::ser::Error::custom(reason))
}

type Fields = serde_json::Map<String, serde_json::Value>;

fn append_query(target: &mut String, fields: serde_json::Map<String, serde_json::Value>) {
    let mut separator = '?';
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_null()) {
        target.push(separator);
        input::percent_encode(&name, target);
        target.push('=');
        input::percent_encode(&plain(&value), target);
        separator = '&';
    }
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// Why a typed call gave no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The other side refused, and said why. A field of the path that is `.` or `..` is refused with 404 without being sent: such a
    /// path would lead elsewhere.
    #[error(transparent)]
    Refused(Problem),
    /// No whole answer came.
    #[error("no answer came")]
    Lost {
        /// Whether the call may have had an effect all the same.
        indeterminate: bool,
        /// What the transport said.
        #[source]
        source: BoxError,
    },
    /// The input cannot be sent.
    #[error("the input cannot be sent")]
    Input(#[source] serde_json::Error),
    /// The answer is not what the endpoint declares.
    #[error("the answer is not what the endpoint declares")]
    Output(#[source] serde_json::Error),
}

impl CallError {
    /// Whether the call, if it changes anything at all, may have had its effect: it is to be looked up or repeated under its
    /// key, not given up.
    #[must_use]
    pub fn is_indeterminate(&self) -> bool {
        match self {
            Self::Refused(problem) => {
                problem.status().is_server_error() || problem.status() == StatusCode::REQUEST_TIMEOUT
            }
            Self::Lost { indeterminate, .. } => *indeterminate,
            Self::Output(_) => true,
            Self::Input(_) => false,
        }
    }

    /// Whether the other side is away, or at its end.
    fn is_outage(&self) -> bool {
        match self {
            Self::Refused(problem) => problem.status().is_server_error(),
            Self::Lost { .. } => true,
            Self::Output(_) | Self::Input(_) => false,
        }
    }

    /// The problem, where the other side refused.
    #[must_use]
    pub const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }
}

/// What a service tells its own caller when a call of its own failed.
impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(problem) if problem.status().is_client_error() => {
                tracing::warn!(%problem, "a call between services was refused");
                Self::internal()
            }
            error if error.is_outage() => {
                // The client has told that it began, and tells when it ends.
                tracing::debug!(%error, "a call between services failed");
                Self::unavailable()
            }
            error => {
                tracing::warn!(%error, "a call between services failed");
                Self::unavailable()
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl<I, O> fmt::Debug for Calling<'_, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calling").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, value: &str) -> Result<String, CallError> {
        let mut fields = Fields::new();
        fields.insert("id".to_owned(), value.into());
        fill(template, fields).map(|(path, _)| path)
    }

    #[test]
    fn a_field_of_dots_makes_no_path() {
        for (template, dots) in
            [("/a/{id}", "."), ("/a/{id}/b", ".."), ("/a/{*id}", "x/../y"), ("/a/{*id}", ".")]
        {
            let refused = filled(template, dots).unwrap_err();
            let problem = refused.problem().unwrap();
            assert_eq!((problem.status(), &*problem.errors()[0].field), (StatusCode::NOT_FOUND, "id"));
        }
        for (plain, path) in [("...", "/a/..."), (".b", "/a/.b"), ("b..", "/a/b.."), ("a.b", "/a/a.b")] {
            assert_eq!(filled("/a/{id}", plain).unwrap(), path);
        }
    }
}
