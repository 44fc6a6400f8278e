//! What an endpoint's constant holds: all but its types.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::Schema;
use serde_json::Value;

use crate::declaration::{
    Access, DEFAULT_BODY_LIMIT, DEFAULT_IDLE_TIMEOUT, DEFAULT_TIMEOUT, EndpointDeclaration,
    ExampleDeclaration, Idempotency, Method, milliseconds, no_schema,
};

#[derive(Clone, Copy)]
pub(super) struct Spec {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) operation_id: Option<&'static str>,
    pub(super) page: bool,
    pub(super) access: Option<StaticAccess>,
    pub(super) scopes: Names,
    pub(super) roles: Names,
    pub(super) idempotency: Idempotency,
    pub(super) limit_class: &'static str,
    pub(super) body_limit: usize,
    pub(super) timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) whole_timeout: Option<Duration>,
    pub(super) long_poll: bool,
    pub(super) stream: bool,
    pub(super) upgrade: bool,
    pub(super) status: u16,
    pub(super) produces: Names,
    pub(super) problems: &'static [(u16, &'static str)],
    pub(super) events: Few<Event>,
    pub(super) examples: Few<Example>,
}

/// An event of a stream, and the schema of its data.
#[derive(Clone, Copy)]
pub(super) struct Event {
    pub(super) name: &'static str,
    pub(super) data: fn() -> Schema,
}

/// A call for readers, as text.
#[derive(Clone, Copy)]
pub(super) struct Example {
    pub(super) name: &'static str,
    pub(super) media_type: &'static str,
    pub(super) input: &'static str,
    pub(super) output: &'static str,
}

/// What was given one by one in a constant.
#[derive(Clone, Copy)]
pub(super) struct Few<T> {
    list: [Option<T>; MAX_FEW],
}

const MAX_FEW: usize = 4;

impl<T: Copy> Few<T> {
    pub(super) const NONE: Self = Self { list: [None; MAX_FEW] };

    pub(super) const fn with(mut self, one: T) -> Self {
        let mut at = 0;
        while at < MAX_FEW && self.list[at].is_some() {
            at += 1;
        }
        assert!(at < MAX_FEW, "an endpoint has at most four examples and four kinds of events");
        self.list[at] = Some(one);
        self
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.list.iter().flatten()
    }
}

impl Example {
    fn declare(&self) -> ExampleDeclaration {
        let mut example = ExampleDeclaration::new(self.name).media_type(self.media_type);
        // What is no JSON becomes a text, which the check of the declaration refuses.
        let json = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        if !self.input.is_empty() {
            example = example.input(json(self.input));
        }
        if !self.output.is_empty() {
            let is_json = self.media_type == "application/json";
            example = example.output(if is_json { json(self.output) } else { self.output.into() });
        }
        example
    }
}

#[derive(Clone, Copy)]
pub(super) enum StaticAccess {
    Public,
    Optional,
    Login,
    Authenticated,
    Internal(&'static [&'static str]),
}

/// Names that were given one by one in a constant.
#[derive(Clone, Copy)]
pub(super) struct Names {
    list: [&'static str; MAX_NAMES],
    count: usize,
}

const MAX_NAMES: usize = 8;

impl Names {
    pub(super) const NONE: Self = Self { list: [""; MAX_NAMES], count: 0 };

    pub(super) const fn with(mut self, name: &'static str) -> Self {
        assert!(
            self.count < MAX_NAMES,
            "an endpoint names at most eight scopes, eight roles and eight media types"
        );
        self.list[self.count] = name;
        self.count += 1;
        self
    }

    fn owned(&self) -> Vec<String> {
        self.list[..self.count].iter().map(|&name| name.to_owned()).collect()
    }
}

impl Spec {
    pub(super) const fn new(method: Method, path: &'static str) -> Self {
        Self {
            method,
            path,
            summary: "",
            description: "",
            operation_id: None,
            page: false,
            access: None,
            scopes: Names::NONE,
            roles: Names::NONE,
            idempotency: Idempotency::of_method(method),
            limit_class: "default",
            body_limit: DEFAULT_BODY_LIMIT,
            timeout: DEFAULT_TIMEOUT,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            whole_timeout: None,
            long_poll: false,
            stream: false,
            upgrade: false,
            status: 200,
            produces: Names::NONE.with("application/json"),
            problems: &[],
            events: Few::NONE,
            examples: Few::NONE,
        }
    }

    /// As plain data, without the schemas.
    pub(super) fn declare(&self) -> EndpointDeclaration {
        let access = self.access.map(|access| match access {
            StaticAccess::Public => Access::Public,
            StaticAccess::Optional => Access::Optional,
            StaticAccess::Login => Access::Login,
            StaticAccess::Authenticated => {
                Access::Authenticated { scopes: self.scopes.owned(), roles: self.roles.owned() }
            }
            StaticAccess::Internal(callers) => {
                Access::Internal { callers: callers.iter().map(|&caller| caller.to_owned()).collect() }
            }
        });
        let mut problems: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
        for &(status, code) in self.problems {
            problems.entry(status).or_default().insert(code.to_owned());
        }
        EndpointDeclaration {
            method: self.method,
            path: self.path.to_owned(),
            summary: self.summary.to_owned(),
            description: self.description.to_owned(),
            operation_id: self.operation_id.map(ToOwned::to_owned),
            page: self.page,
            access,
            idempotency: self.idempotency,
            limit_class: self.limit_class.to_owned(),
            body_limit: self.body_limit,
            timeout_ms: milliseconds(self.timeout),
            idle_timeout_ms: milliseconds(self.idle_timeout),
            whole_timeout_ms: self.whole_timeout.map(milliseconds),
            long_poll: self.long_poll,
            stream: self.stream,
            upgrade: self.upgrade,
            status: self.status,
            produces: self.produces.owned(),
            problems,
            input: no_schema(),
            output: no_schema(),
            events: self.events.iter().map(|event| (event.name.to_owned(), (event.data)())).collect(),
            examples: self.examples.iter().map(Example::declare).collect(),
        }
    }
}
