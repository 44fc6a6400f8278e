//! A route that no service declares.

use std::collections::BTreeMap;
use std::time::Duration;

use bank_sdk::declaration::{Access, EndpointDeclaration, Idempotency, Method};

use super::Policy;

/// A route that is not declared by a service: a pass-through, or a fixed answer of the gateway itself.
#[derive(Clone, Debug)]
pub struct Route {
    pub(crate) declaration: EndpointDeclaration,
    pub(crate) when: Conditions,
    pub(crate) all_methods: bool,
    pub(crate) policy: Policy,
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
        let safe = if method == Method::Get { Idempotency::Safe } else { Idempotency::None };
        let declaration = EndpointDeclaration::new(method, path)
            .page()
            .idempotency(safe)
            .timeout(Duration::from_secs(30))
            .body_limit(16 * 1024 * 1024)
            .produces(["application/octet-stream"]);
        Self { declaration, when: Conditions::default(), all_methods: false, policy: Policy::new() }
    }

    /// Every method of a path template.
    pub fn all(path: impl Into<String>) -> Self {
        let mut route = Self { all_methods: true, ..Self::new(Method::Get, path) };
        // Among all methods are unsafe ones.
        route.declaration.idempotency = Idempotency::None;
        route
    }

    /// Its name: method and path template, with `*` for every method.
    pub(crate) fn operation(&self) -> String {
        if self.all_methods { format!("* {}", self.declaration.path) } else { self.declaration.operation() }
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
    pub fn limit_class(mut self, class: impl Into<String>) -> Self {
        self.declaration.limit_class = class.into();
        self
    }

    /// The time until the head of the answer: 30 s by default. [`Policy::times`] has the others.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.declaration.timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// What the team asks for on this route beside that.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Lets the connection become one of another protocol, such as a WebSocket (RFC 6455). It ends with either side, with the
    /// session of its caller, when the server drains, and when nothing has passed for
    /// [`Times::upgraded_idle`](crate::Times::upgraded_idle).
    #[must_use]
    pub const fn upgrade(mut self) -> Self {
        self.declaration.upgrade = true;
        self
    }

    /// The answer is a stream, which ends when the server drains.
    #[must_use]
    pub const fn stream(mut self) -> Self {
        self.declaration.stream = true;
        self
    }

    /// The upstream may wait for news before it answers: that is not its latency.
    #[must_use]
    pub const fn long_poll(mut self) -> Self {
        self.declaration.long_poll = true;
        self
    }
}
