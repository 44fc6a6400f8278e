//! An endpoint as a typed value, apart from its handler: the gateway and the client need only this.
//!
//! ```
//! use bank_sdk::{Empty, Endpoint};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, schemars::JsonSchema)]
//! struct NewNote { text: String }
//!
//! const CREATE: Endpoint<NewNote, Empty> =
//!     Endpoint::post("/v1/notes").summary("Keeps a note").scope("notes:write").created();
//! assert_eq!(CREATE.operation(), "POST /v1/notes");
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::declaration::{Access, EndpointDeclaration, FailMode, Idempotency, Method};

/// One operation: how it is called, who may call it, what goes in and what comes out.
///
/// `I` holds everything that goes in: the fields named in the path template, and the others from the query (`GET`,
/// `DELETE`) or from the JSON body (`POST`, `PUT`, `PATCH`). Unknown fields are refused.
pub struct Endpoint<I, O> {
    spec: Spec,
    types: PhantomData<fn(I) -> O>,
}

#[derive(Clone, Copy)]
struct Spec {
    method: Method,
    path: &'static str,
    summary: &'static str,
    access: Option<StaticAccess>,
    scopes: [Option<&'static str>; 4],
    roles: [Option<&'static str>; 4],
    idempotency: Option<Idempotency>,
    rate: &'static str,
    timeout: Duration,
    body_limit: usize,
    status: u16,
    produces: &'static str,
    stream: bool,
    page: bool,
    sensitive: &'static [&'static str],
    limit_store_down: FailMode,
}

#[derive(Clone, Copy)]
enum StaticAccess {
    Public,
    Login,
    Authenticated,
    Internal(&'static [&'static str]),
}

impl<I, O> Endpoint<I, O> {
    /// `GET`: safe.
    #[must_use]
    pub const fn get(path: &'static str) -> Self {
        Self::new(Method::Get, path)
    }

    /// `POST`: not repeated, unless it is declared [`idempotent`](Self::idempotent).
    #[must_use]
    pub const fn post(path: &'static str) -> Self {
        Self::new(Method::Post, path)
    }

    /// `PUT`: idempotent by its meaning.
    #[must_use]
    pub const fn put(path: &'static str) -> Self {
        Self::new(Method::Put, path)
    }

    /// `PATCH`: not repeated, unless it is declared [`idempotent`](Self::idempotent).
    #[must_use]
    pub const fn patch(path: &'static str) -> Self {
        Self::new(Method::Patch, path)
    }

    /// `DELETE`: idempotent by its meaning.
    #[must_use]
    pub const fn delete(path: &'static str) -> Self {
        Self::new(Method::Delete, path)
    }

    const fn new(method: Method, path: &'static str) -> Self {
        let spec = Spec {
            method,
            path,
            summary: "",
            access: None,
            scopes: [None; 4],
            roles: [None; 4],
            idempotency: None,
            rate: "default",
            timeout: Duration::from_secs(10),
            body_limit: 64 * 1024,
            status: 200,
            produces: "application/json",
            stream: false,
            page: false,
            sensitive: &[],
            limit_store_down: FailMode::Local,
        };
        Self { spec, types: PhantomData }
    }

    /// One line for people.
    #[must_use]
    pub const fn summary(mut self, summary: &'static str) -> Self {
        self.spec.summary = summary;
        self
    }

    /// Anybody may call it, without credentials.
    #[must_use]
    pub const fn public(mut self) -> Self {
        self.spec.access = Some(StaticAccess::Public);
        self
    }

    /// The caller proves a user name and password at the gateway (HTTP Basic, or `username` and `password` in the JSON
    /// body); the service sees only calls whose credentials held.
    #[must_use]
    pub const fn login(mut self) -> Self {
        self.spec.access = Some(StaticAccess::Login);
        self
    }

    /// Anybody who is known may call it.
    #[must_use]
    pub const fn authenticated(mut self) -> Self {
        self.spec.access = Some(StaticAccess::Authenticated);
        self
    }

    /// The caller must be known and its credential must carry this scope; several are all needed.
    ///
    /// # Panics
    /// At compile time, with more than four.
    #[must_use]
    pub const fn scope(mut self, scope: &'static str) -> Self {
        self.spec.access = Some(StaticAccess::Authenticated);
        self.spec.scopes = push(self.spec.scopes, scope);
        self
    }

    /// The caller must be known and have one of the roles named.
    ///
    /// # Panics
    /// At compile time, with more than four.
    #[must_use]
    pub const fn role(mut self, role: &'static str) -> Self {
        self.spec.access = Some(StaticAccess::Authenticated);
        self.spec.roles = push(self.spec.roles, role);
        self
    }

    /// Only these services may call it, never anybody from outside.
    #[must_use]
    pub const fn internal(mut self, callers: &'static [&'static str]) -> Self {
        self.spec.access = Some(StaticAccess::Internal(callers));
        self
    }

    /// The call needs an `Idempotency-Key` and may be repeated with it.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.spec.idempotency = Some(Idempotency::Key);
        self
    }

    /// The call carries an id of its own in its input, so that repeating it is harmless (calls between services).
    #[must_use]
    pub const fn repeatable(mut self) -> Self {
        self.spec.idempotency = Some(Idempotency::Natural);
        self
    }

    /// The class of limits that counts this call; the gateway's configuration gives each class its quota.
    #[must_use]
    pub const fn rate(mut self, class: &'static str) -> Self {
        self.spec.rate = class;
        self
    }

    /// The time for the whole call (10 s by default).
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.spec.timeout = timeout;
        self
    }

    /// The largest body, in bytes (64 KiB by default).
    #[must_use]
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.spec.body_limit = bytes;
        self
    }

    /// Success is `201 Created`.
    #[must_use]
    pub const fn created(mut self) -> Self {
        self.spec.status = 201;
        self
    }

    /// Success is `204 No Content`.
    #[must_use]
    pub const fn no_content(mut self) -> Self {
        self.spec.status = 204;
        self
    }

    /// The answer is a stream of this media type: it has no deadline and ends when the gateway drains.
    #[must_use]
    pub const fn stream(mut self, media_type: &'static str) -> Self {
        self.spec.produces = media_type;
        self.spec.stream = true;
        self
    }

    /// The answer is something to look at, such as HTML, and no part of the API that the OpenAPI document describes.
    #[must_use]
    pub const fn page(mut self, media_type: &'static str) -> Self {
        self.spec.produces = media_type;
        self.spec.page = true;
        self
    }

    /// The answer's media type, where it is not JSON.
    #[must_use]
    pub const fn produces(mut self, media_type: &'static str) -> Self {
        self.spec.produces = media_type;
        self
    }

    /// Fields of the input that are secret or personal: they never reach a log.
    #[must_use]
    pub const fn sensitive(mut self, fields: &'static [&'static str]) -> Self {
        self.spec.sensitive = fields;
        self
    }

    /// What to do while the store of the limits is away.
    #[must_use]
    pub const fn when_limits_are_away(mut self, mode: FailMode) -> Self {
        self.spec.limit_store_down = mode;
        self
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.spec.method
    }

    /// The path template.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        self.spec.path
    }

    /// Method and path template, which name the operation everywhere.
    #[must_use]
    pub fn operation(&self) -> String {
        format!("{} {}", self.spec.method, self.spec.path)
    }
}

impl<I, O> Endpoint<I, O>
where
    I: Serialize + DeserializeOwned + JsonSchema,
    O: Serialize + DeserializeOwned + JsonSchema,
{
    /// The declaration as plain data.
    #[must_use]
    pub fn declare(&self) -> EndpointDeclaration {
        let spec = &self.spec;
        let names =
            |list: &[Option<&str>]| list.iter().flatten().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let access = spec.access.map(|access| match access {
            StaticAccess::Public => Access::Public,
            StaticAccess::Login => Access::Login,
            StaticAccess::Authenticated => {
                Access::Authenticated { scopes: names(&spec.scopes), roles: names(&spec.roles) }
            }
            StaticAccess::Internal(callers) => {
                Access::Internal { callers: callers.iter().map(|&caller| caller.to_owned()).collect() }
            }
        });
        let idempotency = spec.idempotency.unwrap_or(match spec.method {
            Method::Get => Idempotency::Safe,
            Method::Put | Method::Delete => Idempotency::Natural,
            Method::Post | Method::Patch => Idempotency::None,
        });
        EndpointDeclaration {
            method: spec.method,
            path: spec.path.to_owned(),
            summary: spec.summary.to_owned(),
            access,
            idempotency,
            rate: spec.rate.to_owned(),
            timeout_ms: u64::try_from(spec.timeout.as_millis()).unwrap_or(u64::MAX),
            body_limit: spec.body_limit,
            status: spec.status,
            produces: spec.produces.to_owned(),
            stream: spec.stream,
            page: spec.page,
            sensitive: spec.sensitive.iter().map(|&field| field.to_owned()).collect(),
            limit_store_down: spec.limit_store_down,
            input: schemars::generate::SchemaSettings::draft2020_12()
                .for_deserialize()
                .into_generator()
                .into_root_schema_for::<I>(),
            output: schemars::generate::SchemaSettings::draft2020_12()
                .for_serialize()
                .into_generator()
                .into_root_schema_for::<O>(),
        }
    }
}

const fn push(mut list: [Option<&'static str>; 4], item: &'static str) -> [Option<&'static str>; 4] {
    let mut at = 0;
    while list[at].is_some() {
        at += 1;
        assert!(at < 4, "an endpoint names at most four scopes and four roles");
    }
    list[at] = Some(item);
    list
}

impl<I, O> Clone for Endpoint<I, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I, O> Copy for Endpoint<I, O> {}

impl<I, O> fmt::Debug for Endpoint<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({} {})", self.spec.method, self.spec.path)
    }
}

/// Nothing goes in, or nothing comes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}
