//! What a service declares, as plain data: from it come routes, policies, documents and clients.
//!
//! ```
//! use std::time::Duration;
//! use bank_sdk::declaration::{Access, Api, EndpointDeclaration, Method};
//!
//! let read = EndpointDeclaration::new(Method::Get, "/v1/notes/{id}")
//!     .access(Access::Authenticated { scopes: vec!["notes:read".to_owned()], roles: vec![] })
//!     .timeout(Duration::from_secs(2));
//! assert!(Api::new("notes").endpoint(read).check().is_ok());
//!
//! let unclear = EndpointDeclaration::new(Method::Get, "/v1/notes");
//! let error = Api::new("notes").endpoint(unclear).check().unwrap_err();
//! assert!(error.to_string().contains("notes GET /v1/notes: does not say who may call it"));
//! ```

mod access;
mod check;
mod endpoint;
mod example;
mod idempotency;
mod media_types;
mod method;

use schemars::Schema;
use serde::{Deserialize, Serialize};

pub use access::{Access, Denied};
pub use check::DeclarationError;
pub(crate) use endpoint::milliseconds;
pub use endpoint::{DEFAULT_BODY_LIMIT, DEFAULT_IDLE_TIMEOUT, DEFAULT_TIMEOUT, EndpointDeclaration};
pub use example::ExampleDeclaration;
pub use idempotency::Idempotency;
pub use method::Method;

/// Everything that a service offers. It can also be read from a file, for a service that is not written in Rust.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Api {
    /// The service's name, which is also the audience of its identity tokens.
    pub name: String,
    /// What it is for, in a sentence or two of Markdown: the text of its tag in the OpenAPI document.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its endpoints.
    pub endpoints: Vec<EndpointDeclaration>,
}

impl Api {
    /// A service without endpoints yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), description: String::new(), endpoints: Vec::new() }
    }

    /// The same endpoints under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What it is for, in a sentence or two of Markdown.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Adds an endpoint.
    #[must_use]
    pub fn endpoint(mut self, endpoint: EndpointDeclaration) -> Self {
        self.endpoints.push(endpoint);
        self
    }
}

/// The schema of what is not described: anything.
#[must_use]
pub fn no_schema() -> Schema {
    Schema::default()
}
