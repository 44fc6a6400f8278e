//! One endpoint as plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::Schema;
use serde::{Deserialize, Serialize};

use super::{Access, ExampleDeclaration, Idempotency, Method, media_types, no_schema};

/// One endpoint. [`EndpointDeclaration::new`] begins one; its setters have the names of the fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EndpointDeclaration {
    /// The HTTP method.
    pub method: Method,
    /// The path template, for example `/v1/accounts/{id}`.
    pub path: String,
    /// One line for people.
    #[serde(default)]
    pub summary: String,
    /// What the one line leaves open, in Markdown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The operation's name in the OpenAPI document; one is made of method and path where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<String>,
    /// Whether the OpenAPI document leaves it out: it is a page, not a call.
    #[serde(default)]
    pub page: bool,

    /// Who may call it. Without this the gateway does not build.
    pub access: Option<Access>,
    /// Whether a call may be repeated.
    #[serde(default)]
    pub idempotency: Idempotency,
    /// The class of limits that counts a call; the gateway's configuration gives each class its quota.
    #[serde(default = "default_limit_class", alias = "rate")]
    pub limit_class: String,
    /// The largest body of a request, in bytes.
    #[serde(default = "default_body_limit")]
    pub body_limit: usize,

    /// Milliseconds until the head of the answer has to be there.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    /// The most milliseconds between two pieces of the answer's body, while its reader waits.
    #[serde(default = "default_idle_timeout")]
    pub idle_timeout_ms: u64,
    /// Milliseconds until the whole answer has to be there, body and all. There is no such limit by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_timeout_ms: Option<u64>,
    /// Whether the service may wait for news before it answers. Such waits do not count as its latency.
    #[serde(default)]
    pub long_poll: bool,
    /// Whether the answer is a stream: it ends when the gateway or the service drains.
    #[serde(default)]
    pub stream: bool,
    /// Whether the connection may become one of another protocol, such as a WebSocket.
    #[serde(default)]
    pub upgrade: bool,

    /// The status of success.
    #[serde(default = "default_status")]
    pub status: u16,
    /// The media types of success, the preferred one first. In a file, one may stand without a list.
    #[serde(default = "media_types::json", with = "media_types")]
    pub produces: Vec<String>,
    /// The service's own refusals: the codes of its problem documents, by status. Those of the gateway and of this crate
    /// need not be named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub problems: BTreeMap<u16, BTreeSet<String>>,
    /// What goes in (JSON Schema 2020-12).
    #[serde(default)]
    pub input: Schema,
    /// What comes out as JSON (JSON Schema 2020-12).
    #[serde(default)]
    pub output: Schema,
    /// The events of a stream of server-sent events, by name, and what their data is as JSON (JSON Schema 2020-12).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub events: BTreeMap<String, Schema>,
    /// Calls for readers of the OpenAPI document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<ExampleDeclaration>,
}

/// The time until the head of an answer, where an endpoint declares no other.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between two pieces of a body, where an endpoint declares no other.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest body of a request, in bytes, where an endpoint declares no other.
pub const DEFAULT_BODY_LIMIT: usize = 64 * 1024;

fn default_limit_class() -> String {
    "default".to_owned()
}
fn default_timeout() -> u64 {
    milliseconds(DEFAULT_TIMEOUT)
}
fn default_idle_timeout() -> u64 {
    milliseconds(DEFAULT_IDLE_TIMEOUT)
}
const fn default_body_limit() -> usize {
    DEFAULT_BODY_LIMIT
}
const fn default_status() -> u16 {
    200
}

pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl EndpointDeclaration {
    /// An endpoint of this method and path template, with the method's [`Idempotency`] and the default times and limits.
    ///
    /// It does not say yet who may call it: that is [`access`](Self::access), without which the gateway does not build.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            summary: String::new(),
            description: String::new(),
            operation_id: None,
            page: false,
            access: None,
            idempotency: Idempotency::of_method(method),
            limit_class: default_limit_class(),
            body_limit: DEFAULT_BODY_LIMIT,
            timeout_ms: default_timeout(),
            idle_timeout_ms: default_idle_timeout(),
            whole_timeout_ms: None,
            long_poll: false,
            stream: false,
            upgrade: false,
            status: default_status(),
            produces: media_types::json(),
            problems: BTreeMap::new(),
            input: no_schema(),
            output: no_schema(),
            events: BTreeMap::new(),
            examples: Vec::new(),
        }
    }

    /// One line for people.
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    /// What the one line leaves open, in Markdown.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// The operation's name in the OpenAPI document.
    #[must_use]
    pub fn operation_id(mut self, id: impl Into<String>) -> Self {
        self.operation_id = Some(id.into());
        self
    }

    /// The OpenAPI document leaves it out: it is a page, not a call.
    #[must_use]
    pub const fn page(mut self) -> Self {
        self.page = true;
        self
    }

    /// Who may call it.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = Some(access);
        self
    }

    /// Whether a call may be repeated.
    #[must_use]
    pub const fn idempotency(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = idempotency;
        self
    }

    /// The class of limits that counts a call.
    #[must_use]
    pub fn limit_class(mut self, class: impl Into<String>) -> Self {
        self.limit_class = class.into();
        self
    }

    /// The largest body of a request, in bytes.
    #[must_use]
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// The time until the head of the answer has to be there.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout_ms = milliseconds(time);
        self
    }

    /// The most time between two pieces of a body.
    #[must_use]
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.idle_timeout_ms = milliseconds(time);
        self
    }

    /// The time until the whole answer has to be there.
    #[must_use]
    pub fn whole_timeout(mut self, time: Duration) -> Self {
        self.whole_timeout_ms = Some(milliseconds(time));
        self
    }

    /// The service may wait for news before it answers.
    #[must_use]
    pub const fn long_poll(mut self) -> Self {
        self.long_poll = true;
        self
    }

    /// The answer is a stream.
    #[must_use]
    pub const fn stream(mut self) -> Self {
        self.stream = true;
        self
    }

    /// The connection may become one of another protocol, such as a WebSocket.
    #[must_use]
    pub const fn upgrade(mut self) -> Self {
        self.upgrade = true;
        self
    }

    /// The status of success.
    #[must_use]
    pub const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The media types of success, the preferred one first.
    #[must_use]
    pub fn produces<T: Into<String>>(mut self, media_types: impl IntoIterator<Item = T>) -> Self {
        self.produces = media_types.into_iter().map(Into::into).collect();
        self
    }

    /// One of the service's own refusals.
    #[must_use]
    pub fn problem(mut self, status: u16, code: impl Into<String>) -> Self {
        self.problems.entry(status).or_default().insert(code.into());
        self
    }

    /// What goes in.
    #[must_use]
    pub fn input(mut self, schema: Schema) -> Self {
        self.input = schema;
        self
    }

    /// What comes out as JSON.
    #[must_use]
    pub fn output(mut self, schema: Schema) -> Self {
        self.output = schema;
        self
    }

    /// An event of a stream of server-sent events, and what its data is as JSON.
    #[must_use]
    pub fn event(mut self, name: impl Into<String>, data: Schema) -> Self {
        self.events.insert(name.into(), data);
        self
    }

    /// A call for readers of the OpenAPI document.
    #[must_use]
    pub fn example(mut self, example: ExampleDeclaration) -> Self {
        self.examples.push(example);
        self
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_earlier_form_is_still_read() {
        let read: EndpointDeclaration = serde_json::from_str(
            r#"{"method":"PUT","path":"/v1/x","access":{"who":"public"},"rate":"slow","idempotency":"natural",
                "produces":"text/csv"}"#,
        )
        .unwrap();
        assert_eq!((&*read.limit_class, read.idempotency), ("slow", Idempotency::Idempotent));
        assert_eq!(read.produces, ["text/csv"]);
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(written["limit_class"], "slow");
        assert_eq!(written["idempotency"], "idempotent");
        assert_eq!(written["produces"], "text/csv");
    }

    #[test]
    fn what_a_declaration_does_not_have_is_refused() {
        let text = r#"{"method":"GET","path":"/v1/x","access":{"who":"public"},"sensitive":["a"]}"#;
        assert!(serde_json::from_str::<EndpointDeclaration>(text).is_err());
    }

    #[test]
    fn what_a_file_leaves_out_is_what_new_gives() {
        let read: EndpointDeclaration =
            serde_json::from_str(r#"{"method":"POST","path":"/v1/x","access":null}"#).unwrap();
        let new = EndpointDeclaration::new(Method::Post, "/v1/x");
        assert_eq!(serde_json::to_value(read).unwrap(), serde_json::to_value(new).unwrap());
    }
}
