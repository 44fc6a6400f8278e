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

mod spec;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use self::spec::{Event, Example, Names, Spec, StaticAccess};
use crate::declaration::{EndpointDeclaration, Idempotency, Method};

/// One operation: how it is called, who may call it, what goes in and what comes out.
///
/// `I` holds everything that goes in: the fields named in the path template, and the others from the query (`GET`,
/// `DELETE`) or from the JSON body (`POST`, `PUT`, `PATCH`). Unknown fields are refused.
pub struct Endpoint<I, O> {
    spec: Spec,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> Endpoint<I, O> {
    /// `GET`: safe.
    #[must_use]
    pub const fn get(path: &'static str) -> Self {
        Self::new(Method::Get, path)
    }

    /// `POST`: not repeated, unless it is declared [`idempotency_key`](Self::idempotency_key) or
    /// [`idempotent`](Self::idempotent).
    #[must_use]
    pub const fn post(path: &'static str) -> Self {
        Self::new(Method::Post, path)
    }

    /// `PUT`: idempotent by its meaning.
    #[must_use]
    pub const fn put(path: &'static str) -> Self {
        Self::new(Method::Put, path)
    }

    /// `PATCH`: not repeated, unless it is declared [`idempotency_key`](Self::idempotency_key) or
    /// [`idempotent`](Self::idempotent).
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
        Self { spec: Spec::new(method, path), types: PhantomData }
    }

    /// One line for people.
    #[must_use]
    pub const fn summary(mut self, summary: &'static str) -> Self {
        self.spec.summary = summary;
        self
    }

    /// What the one line leaves open, in Markdown.
    #[must_use]
    pub const fn description(mut self, description: &'static str) -> Self {
        self.spec.description = description;
        self
    }

    /// The operation's name in the OpenAPI document; one is made of method and path where it is left out.
    #[must_use]
    pub const fn operation_id(mut self, id: &'static str) -> Self {
        self.spec.operation_id = Some(id);
        self
    }

    /// Anybody may call it, without credentials.
    ///
    /// # Panics
    /// At compile time in a constant, where the endpoint says something else already. So do the other ways to say who
    /// may call it.
    #[must_use]
    pub const fn public(self) -> Self {
        self.access(StaticAccess::Public)
    }

    /// Anybody may call it, known or not. A credential that is presented must hold.
    ///
    /// # Panics
    /// As [`public`](Self::public).
    #[must_use]
    pub const fn optional(self) -> Self {
        self.access(StaticAccess::Optional)
    }

    /// The caller proves a user name and password at the gateway (HTTP Basic, or `username` and `password` in the JSON
    /// body); the service sees only calls whose credentials held.
    ///
    /// # Panics
    /// As [`public`](Self::public).
    #[must_use]
    pub const fn login(self) -> Self {
        self.access(StaticAccess::Login)
    }

    /// Anybody who is known may call it.
    ///
    /// # Panics
    /// As [`public`](Self::public).
    #[must_use]
    pub const fn authenticated(self) -> Self {
        self.access(StaticAccess::Authenticated)
    }

    /// The caller must be known and its credential must carry this scope; several are all needed.
    ///
    /// # Panics
    /// As [`public`](Self::public), and with more than eight.
    #[must_use]
    pub const fn scope(self, scope: &'static str) -> Self {
        let mut endpoint = self.access(StaticAccess::Authenticated);
        endpoint.spec.scopes = endpoint.spec.scopes.with(scope);
        endpoint
    }

    /// The caller must be known and have one of the roles named.
    ///
    /// # Panics
    /// As [`public`](Self::public), and with more than eight.
    #[must_use]
    pub const fn role(self, role: &'static str) -> Self {
        let mut endpoint = self.access(StaticAccess::Authenticated);
        endpoint.spec.roles = endpoint.spec.roles.with(role);
        endpoint
    }

    /// Only these services may call it, never anybody from outside.
    ///
    /// # Panics
    /// As [`public`](Self::public).
    #[must_use]
    pub const fn internal(self, callers: &'static [&'static str]) -> Self {
        self.access(StaticAccess::Internal(callers))
    }

    const fn access(mut self, access: StaticAccess) -> Self {
        use StaticAccess::Authenticated;
        assert!(
            matches!((self.spec.access, access), (None, _) | (Some(Authenticated), Authenticated)),
            "an endpoint says once who may call it: .public(), .optional(), .login(), .internal(…), or scopes and roles"
        );
        self.spec.access = Some(access);
        self
    }

    /// The call needs an `Idempotency-Key`, and may be repeated with it.
    #[must_use]
    pub const fn idempotency_key(mut self) -> Self {
        self.spec.idempotency = Idempotency::Key;
        self
    }

    /// The call may carry an `Idempotency-Key`, and may be repeated with it: for what does little harm when it is done twice.
    #[must_use]
    pub const fn optional_idempotency_key(mut self) -> Self {
        self.spec.idempotency = Idempotency::OptionalKey;
        self
    }

    /// The call is idempotent (RFC 9110 §9.2.2): done twice is done once. For example, its input carries an id of its own.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.spec.idempotency = Idempotency::Idempotent;
        self
    }

    /// The class of limits that counts this call; the gateway's configuration gives each class its quota.
    #[must_use]
    pub const fn limit_class(mut self, class: &'static str) -> Self {
        self.spec.limit_class = class;
        self
    }

    /// The largest body of a request, in bytes (64 KiB by default).
    #[must_use]
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.spec.body_limit = bytes;
        self
    }

    /// The time until the head of the answer has to be there (10 s by default).
    #[must_use]
    pub const fn timeout(mut self, time: Duration) -> Self {
        self.spec.timeout = time;
        self
    }

    /// The most time between two pieces of the answer's body, while its reader waits (30 s by default).
    #[must_use]
    pub const fn idle_timeout(mut self, time: Duration) -> Self {
        self.spec.idle_timeout = time;
        self
    }

    /// The time until the whole answer has to be there, body and all (no limit by default).
    #[must_use]
    pub const fn whole_timeout(mut self, time: Duration) -> Self {
        self.spec.whole_timeout = Some(time);
        self
    }

    /// The service may wait for news before it answers; such waits do not count as its latency.
    #[must_use]
    pub const fn long_poll(mut self) -> Self {
        self.spec.long_poll = true;
        self
    }

    /// The connection may become one of another protocol, such as a WebSocket (a `GET` only).
    #[must_use]
    pub const fn upgrade(mut self) -> Self {
        self.spec.upgrade = true;
        self
    }

    /// Success is `201 Created`.
    #[must_use]
    pub const fn created(mut self) -> Self {
        self.spec.status = 201;
        self
    }

    /// Success is `202 Accepted`: what was asked for is done later, or by somebody else.
    #[must_use]
    pub const fn accepted(mut self) -> Self {
        self.spec.status = 202;
        self
    }

    /// Success is `204 No Content`.
    #[must_use]
    pub const fn no_content(mut self) -> Self {
        self.spec.status = 204;
        self
    }

    /// The answer is a stream of this media type: it ends when the gateway or the service drains.
    #[must_use]
    pub const fn stream(mut self, media_type: &'static str) -> Self {
        self.spec.stream = true;
        self.produces(media_type)
    }

    /// The answer is something to look at, such as HTML, and no part of the API that the OpenAPI document describes.
    #[must_use]
    pub const fn page(mut self, media_type: &'static str) -> Self {
        self.spec.page = true;
        self.produces(media_type)
    }

    /// The answer's media type, where it is not JSON.
    #[must_use]
    pub const fn produces(mut self, media_type: &'static str) -> Self {
        self.spec.produces = Names::NONE.with(media_type);
        self
    }

    /// One more media type of the answer, which the caller chooses by `Accept`.
    ///
    /// # Panics
    /// At compile time in a constant, with more than eight.
    #[must_use]
    pub const fn also_produces(mut self, media_type: &'static str) -> Self {
        self.spec.produces = self.spec.produces.with(media_type);
        self
    }

    /// The service's own refusals, each as status and code. Those of the gateway and of this crate need not be named.
    #[must_use]
    pub const fn problems(mut self, problems: &'static [(u16, &'static str)]) -> Self {
        self.spec.problems = problems;
        self
    }

    /// One of the events of a stream of server-sent events: its name, and the type that its data is as JSON.
    ///
    /// # Panics
    /// At compile time in a constant, with more than four.
    #[must_use]
    pub const fn event<E: JsonSchema>(mut self, name: &'static str) -> Self {
        self.spec.events = self.spec.events.with(Event { name, data: written::<E> });
        self
    }

    /// A call for readers of the OpenAPI document, by a name: the whole input as one JSON object, with the fields of path,
    /// query and body, and the answer as JSON. Either may be empty.
    ///
    /// # Panics
    /// As [`example_as`](Self::example_as).
    #[must_use]
    pub const fn example(self, name: &'static str, input: &'static str, output: &'static str) -> Self {
        self.example_as("application/json", name, input, output)
    }

    /// As [`example`](Self::example), with an answer of another media type.
    ///
    /// # Panics
    /// At compile time in a constant, with more than four.
    #[must_use]
    pub const fn example_as(
        mut self,
        media_type: &'static str,
        name: &'static str,
        input: &'static str,
        output: &'static str,
    ) -> Self {
        self.spec.examples = self.spec.examples.with(Example { name, media_type, input, output });
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
        let settings = schemars::generate::SchemaSettings::draft2020_12();
        let input = settings.for_deserialize().into_generator().into_root_schema_for::<I>();
        EndpointDeclaration { input, output: written::<O>(), ..self.spec.declare() }
    }
}

/// The schema of a type as it is written.
fn written<T: JsonSchema>() -> Schema {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.for_serialize().into_generator().into_root_schema_for::<T>()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Access;

    #[test]
    fn more_than_four_scopes_are_all_declared() {
        const MANY: Endpoint<Empty, Empty> =
            Endpoint::get("/x").scope("a").scope("b").scope("c").scope("d").scope("e").role("r");
        let Some(Access::Authenticated { scopes, roles }) = MANY.declare().access else {
            panic!("not authenticated")
        };
        assert_eq!((scopes.join(""), roles.join("")), ("abcde".to_owned(), "r".to_owned()));
    }

    #[test]
    #[should_panic(expected = "at most eight scopes")]
    fn too_many_scopes_are_told_so() {
        let endpoint: Endpoint<Empty, Empty> = Endpoint::get("/x");
        let _ = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].into_iter().fold(endpoint, Endpoint::scope);
    }

    #[test]
    #[should_panic(expected = "says once who may call it")]
    fn a_scope_is_never_overruled_by_what_is_said_later() {
        let _: Endpoint<Empty, Empty> = Endpoint::get("/x").scope("a").public();
    }

    #[test]
    fn a_constant_and_its_plain_data_begin_alike() {
        for method in Method::ALL {
            let endpoint: Endpoint<Empty, Empty> = Endpoint::new(method, "/x");
            let mut plain = serde_json::to_value(EndpointDeclaration::new(method, "/x")).unwrap();
            let declared = serde_json::to_value(endpoint.declare()).unwrap();
            plain["input"] = declared["input"].clone();
            plain["output"] = declared["output"].clone();
            assert_eq!(declared, plain);
        }
    }
}
