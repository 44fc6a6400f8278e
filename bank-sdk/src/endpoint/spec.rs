//! What an endpoint's constant holds: all but its types.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::declaration::{
    Access, DEFAULT_BODY_LIMIT, DEFAULT_IDLE_TIMEOUT, DEFAULT_TIMEOUT, EndpointDeclaration, Idempotency,
    Method, milliseconds, no_schema,
};

#[derive(Clone, Copy)]
pub(super) struct Spec {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
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
        }
    }
}
