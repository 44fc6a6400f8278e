//! One immutable table from host, path, method, header and query to what is done with a request.
//!
//! The most specific route wins: a literal path segment over a parameter over the rest; then, among the routes of one path
//! template and method, one that names a host over one that does not, then the one with more conditions. Two routes that
//! could both win are a build error that names both.

mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bank_sdk::declaration::{Access, EndpointDeclaration, Idempotency, Method};
use bank_sdk::http::Body;
use http::Response;

pub(crate) use table::{NoRoute, Table};

use crate::forward::Backend;
use crate::identity::Stated;
use crate::metrics::RouteMetrics;

/// A route that is not declared by a service: a pass-through, or a fixed answer of the gateway itself.
#[derive(Clone, Debug)]
pub struct Route {
    pub(crate) declaration: EndpointDeclaration,
    pub(crate) when: Conditions,
    pub(crate) all_methods: bool,
}

/// What a request must have beside path and method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    pub(crate) host: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) query: BTreeMap<String, String>,
}

impl Route {
    /// A method and a path template, such as `/files/{*rest}`.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        let declaration = EndpointDeclaration {
            method,
            path: path.into(),
            summary: String::new(),
            access: None,
            idempotency: if method == Method::Get { Idempotency::Safe } else { Idempotency::None },
            rate: "default".to_owned(),
            timeout_ms: 30_000,
            body_limit: 16 * 1024 * 1024,
            status: 200,
            produces: "application/octet-stream".to_owned(),
            stream: false,
            page: true,
            sensitive: Vec::new(),
            limit_store_down: bank_sdk::declaration::FailMode::Local,
            input: bank_sdk::declaration::no_schema(),
            output: bank_sdk::declaration::no_schema(),
        };
        Self { declaration, when: Conditions::default(), all_methods: false }
    }

    /// Every method of a path template.
    pub fn all(path: impl Into<String>) -> Self {
        let mut route = Self { all_methods: true, ..Self::new(Method::Get, path) };
        // Among all methods are unsafe ones.
        route.declaration.idempotency = Idempotency::None;
        route
    }

    /// Who may call it. Without this the gateway does not build.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.declaration.access = Some(access);
        self
    }

    /// Whether a request may be sent again; a `GET` may, anything else may not unless this says so.
    #[must_use]
    pub const fn idempotency(mut self, idempotency: Idempotency) -> Self {
        self.declaration.idempotency = idempotency;
        self
    }

    /// The largest body, in bytes (16 MiB by default).
    #[must_use]
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.declaration.body_limit = bytes;
        self
    }

    /// Only for this host.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.when.host = Some(host.into().to_ascii_lowercase());
        self
    }

    /// Only where a header field has this value.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.when.headers.insert(name.to_ascii_lowercase(), value.into());
        self
    }

    /// Only where a query parameter has this value.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.when.query.insert(name.into(), value.into());
        self
    }

    /// The class of limits.
    #[must_use]
    pub fn rate(mut self, class: impl Into<String>) -> Self {
        self.declaration.rate = class.into();
        self
    }

    /// The time for the whole request.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.declaration.timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self
    }
}

/// A route in force.
pub(crate) struct Entry {
    pub(crate) service: Arc<str>,
    pub(crate) operation: Arc<str>,
    pub(crate) method: Option<Method>,
    pub(crate) path: String,
    pub(crate) when: Conditions,
    pub(crate) access: Access,
    pub(crate) idempotency: Idempotency,
    pub(crate) rate: String,
    pub(crate) timeout: Duration,
    pub(crate) body_limit: u64,
    pub(crate) stream: bool,
    pub(crate) target: Target,
    /// What its requests' identities have in common.
    pub(crate) stated: Stated,
    pub(crate) metrics: RouteMetrics,
}

/// What is done with a request.
#[derive(Clone)]
pub(crate) enum Target {
    Backend(Arc<Backend>),
    Answer(Answer),
}

/// An answer of the gateway itself.
pub(crate) type Answer = Arc<dyn Fn() -> Answering + Send + Sync>;
pub(crate) type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

impl Entry {
    pub(crate) fn of(
        service: &Arc<str>,
        declaration: &EndpointDeclaration,
        when: Conditions,
        target: Target,
        issuer: &Arc<str>,
        metrics: RouteMetrics,
    ) -> Option<Self> {
        let operation: Arc<str> = declaration.operation().into();
        let audience = match &target {
            Target::Backend(backend) => backend.name.clone(),
            Target::Answer(_) => service.clone(),
        };
        Some(Self {
            service: service.clone(),
            stated: Stated::new(issuer.clone(), audience, operation.clone()),
            operation,
            method: Some(declaration.method),
            path: declaration.path.clone(),
            when,
            access: declaration.access.clone()?,
            idempotency: declaration.idempotency,
            rate: declaration.rate.clone(),
            timeout: Duration::from_millis(declaration.timeout_ms),
            body_limit: declaration.body_limit as u64,
            stream: declaration.stream,
            target,
            metrics,
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("service", &self.service)
            .field("operation", &self.operation)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
