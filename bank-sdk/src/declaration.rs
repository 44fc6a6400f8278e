//! What a service declares, as plain data: from it come routes, policies, documents and clients.

use std::collections::BTreeSet;
use std::fmt;

use schemars::Schema;
use serde::{Deserialize, Serialize};

use crate::Principal;

/// Everything that a service offers. It can also be read from a file, for a service that is not written in Rust.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// The service's name, which is also the audience of its identity tokens.
    pub name: String,
    /// Its endpoints.
    pub endpoints: Vec<EndpointDeclaration>,
}

/// One endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointDeclaration {
    /// The HTTP method.
    pub method: Method,
    /// The path template, for example `/v1/accounts/{id}`.
    pub path: String,
    /// One line for people.
    #[serde(default)]
    pub summary: String,
    /// Who may call it. Without this the gateway does not build.
    pub access: Option<Access>,
    /// Whether a call may be repeated.
    #[serde(default)]
    pub idempotency: Idempotency,
    /// The class of limits.
    #[serde(default = "default_rate")]
    pub rate: String,
    /// Milliseconds for the whole call.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    /// The largest body in bytes.
    #[serde(default = "default_body_limit")]
    pub body_limit: usize,
    /// The status of success.
    #[serde(default = "default_status")]
    pub status: u16,
    /// The media type of success.
    #[serde(default = "default_produces")]
    pub produces: String,
    /// Whether the answer is a stream without deadline.
    #[serde(default)]
    pub stream: bool,
    /// Input fields that never reach a log.
    #[serde(default)]
    pub sensitive: Vec<String>,
    /// What to do while the store of the limits is away.
    #[serde(default)]
    pub limit_store_down: FailMode,
    /// Whether the OpenAPI document leaves it out: it is a page, not a call.
    #[serde(default)]
    pub page: bool,
    /// What goes in (JSON Schema 2020-12).
    #[serde(default)]
    pub input: Schema,
    /// What comes out (JSON Schema 2020-12).
    #[serde(default)]
    pub output: Schema,
}

fn default_rate() -> String {
    "default".to_owned()
}
const fn default_timeout() -> u64 {
    10_000
}
const fn default_body_limit() -> usize {
    64 * 1024
}
const fn default_status() -> u16 {
    200
}
fn default_produces() -> String {
    "application/json".to_owned()
}

/// The methods that an endpoint may have. `HEAD` works wherever `GET` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or does.
    Post,
    /// Replaces.
    Put,
    /// Changes in part.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// As it stands in a request line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The declared method that serves a request's method: `HEAD` is served by `GET`.
    #[must_use]
    pub fn serving(method: &http::Method) -> Option<Self> {
        match method.as_str() {
            "GET" | "HEAD" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            "PATCH" => Some(Self::Patch),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    /// Whether input that is not in the path comes in the body, not in the query.
    #[must_use]
    pub const fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}

/// Who may call an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "who")]
#[non_exhaustive]
pub enum Access {
    /// Anybody.
    Public,
    /// Who proves a user name and password in this very call.
    Login,
    /// Who is known, holds all scopes and one of the roles.
    Authenticated {
        /// All are needed.
        #[serde(default)]
        scopes: Vec<String>,
        /// One is needed, where any is named.
        #[serde(default)]
        roles: Vec<String>,
    },
    /// These services only.
    Internal {
        /// The names of the services.
        callers: Vec<String>,
    },
}

/// Why a principal may not call an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// Nobody is known to call.
    Unauthenticated,
    /// These scopes are needed.
    Scopes(Vec<String>),
    /// One of these roles is needed.
    Roles(Vec<String>),
    /// Not for this caller; from the outside it does not exist.
    Internal,
}

impl Access {
    /// Whether the principal may call. Edge and service ask this same function.
    ///
    /// # Errors
    /// What is missing.
    pub fn permit(&self, principal: Option<&Principal>) -> Result<(), Denied> {
        match (self, principal) {
            (Self::Public, _) | (Self::Login, Some(_)) => Ok(()),
            (Self::Internal { callers }, Some(principal)) => match principal.calling_service() {
                Some(service) if callers.iter().any(|caller| caller == service) => Ok(()),
                _ => Err(Denied::Internal),
            },
            (Self::Internal { .. }, None) => Err(Denied::Internal),
            (Self::Login | Self::Authenticated { .. }, None) => Err(Denied::Unauthenticated),
            (Self::Authenticated { scopes, roles }, Some(principal)) => {
                if !scopes.iter().all(|scope| principal.has_scope(scope)) {
                    return Err(Denied::Scopes(scopes.clone()));
                }
                if !roles.is_empty() && !roles.iter().any(|role| principal.has_role(role)) {
                    return Err(Denied::Roles(roles.clone()));
                }
                Ok(())
            }
        }
    }

    /// Whether the endpoint is for services only.
    #[must_use]
    pub const fn is_internal(&self) -> bool {
        matches!(self, Self::Internal { .. })
    }
}

/// Whether and how a call may be repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Idempotency {
    /// It changes nothing.
    Safe,
    /// Done twice is done once.
    Natural,
    /// With its `Idempotency-Key`, which it must carry.
    Key,
    /// Never.
    #[default]
    None,
}

impl Idempotency {
    /// Whether a call whose outcome is unknown may be sent again.
    #[must_use]
    pub const fn may_repeat(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// What a limit does while its store is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailMode {
    /// Lets the call pass.
    Open,
    /// Refuses it.
    Closed,
    /// Each gateway counts on its own meanwhile.
    #[default]
    Local,
}

impl EndpointDeclaration {
    /// Method and path template, which name the operation everywhere.
    #[must_use]
    pub fn operation(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The names in the path template.
    #[must_use]
    pub fn path_parameters(&self) -> Vec<&str> {
        self.path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| name.trim_start_matches('*'))
            .collect()
    }
}

impl Api {
    /// A service without endpoints yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), endpoints: Vec::new() }
    }

    /// Adds an endpoint.
    #[must_use]
    pub fn endpoint(mut self, endpoint: EndpointDeclaration) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Finds what is missing or contradicts itself.
    ///
    /// # Errors
    /// Every fault, each with its endpoint and what to change.
    pub fn check(&self) -> Result<(), DeclarationError> {
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        for endpoint in &self.endpoints {
            let mut fault =
                |text: String| faults.push(format!("{} {}: {text}", self.name, endpoint.operation()));
            if !seen.insert(endpoint.operation()) {
                fault("is declared twice; remove one".to_owned());
            }
            if !endpoint.path.starts_with('/') || endpoint.path.contains("//") {
                fault("the path must start with `/` and have no empty segment".to_owned());
            }
            match &endpoint.access {
                None => fault(
                    "says not who may call it; add .public(), .login(), .authenticated(), .scope(…), .role(…) or .internal(…)"
                        .to_owned(),
                ),
                Some(Access::Internal { callers }) if callers.is_empty() => {
                    fault("is internal but names no service that may call it; name one in .internal(…)".to_owned());
                }
                Some(Access::Login) if endpoint.method != Method::Post => {
                    fault("is a login and must be a POST".to_owned());
                }
                Some(_) => {}
            }
            if endpoint.idempotency == Idempotency::Safe && endpoint.method != Method::Get {
                fault(
                    "is declared safe, which only GET is; say .idempotent(), .repeatable() or nothing"
                        .to_owned(),
                );
            }
            if endpoint.idempotency == Idempotency::Key && endpoint.method == Method::Get {
                fault("is a GET and needs no idempotency key; remove .idempotent()".to_owned());
            }
            if endpoint.timeout_ms == 0 {
                fault("has no time at all; give .timeout(…) more than 0".to_owned());
            }
            if endpoint.stream && endpoint.method != Method::Get {
                fault("is a stream, which only a GET can be; make it a GET or remove .stream(…)".to_owned());
            }
            if !(200..=299).contains(&endpoint.status) {
                fault(format!("answers with {}, which is no success; give 200 to 299", endpoint.status));
            }
            let properties = endpoint.input.get("properties").and_then(|properties| properties.as_object());
            for name in endpoint.path_parameters() {
                if properties.is_some_and(|known| !known.contains_key(name)) {
                    fault(format!(
                        "the path names {{{name}}}, which the input has no field for; add the field or rename it"
                    ));
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(DeclarationError { faults }) }
    }
}

/// A declaration that cannot be served.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", faults.join("; "))]
pub struct DeclarationError {
    pub(crate) faults: Vec<String>,
}

impl DeclarationError {
    /// Each fault, with its endpoint and what to change.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        &self.faults
    }
}

/// The schema of what is not described: anything.
#[must_use]
pub fn no_schema() -> Schema {
    Schema::default()
}
