//! What is missing in a declaration or contradicts itself.

use std::collections::{BTreeMap, BTreeSet};

use schemars::Schema;
use serde_json::Value;

use super::{Access, Api, EndpointDeclaration, Idempotency, Method};
use crate::openapi::components::{local_name, references};

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

impl Api {
    /// Finds what is missing or contradicts itself.
    ///
    /// # Errors
    /// Every fault, each with its endpoint and what to change.
    pub fn check(&self) -> Result<(), DeclarationError> {
        let mut faults = Vec::new();
        if !is_name(&self.name) {
            faults
                .push(format!("the service's name `{}` must be letters, digits, `-`, `_` or `.`", self.name));
        }
        let mut seen = BTreeSet::new();
        let mut ids = BTreeSet::new();
        let mut shapes: BTreeMap<String, &str> = BTreeMap::new();
        for endpoint in &self.endpoints {
            let mut found = Vec::new();
            if !seen.insert(endpoint.operation()) {
                found.push("is declared twice; remove one".to_owned());
            }
            let same = shapes.entry(shape(&endpoint.path)).or_insert(&endpoint.path);
            if **same != endpoint.path {
                found.push(format!("is the same path as {same}; name the parameters alike"));
            }
            if let Some(id) = &endpoint.operation_id {
                if !is_name(id) {
                    found.push(format!("`{id}` is no operation id; use letters, digits, `-`, `_` and `.`"));
                }
                if !ids.insert(id) {
                    found.push(format!("another endpoint has the operation id `{id}` too; rename one"));
                }
            }
            path(endpoint, &mut found);
            access(endpoint, &mut found);
            repetition(endpoint, &mut found);
            times(endpoint, &mut found);
            answer(endpoint, &mut found);
            schemas(endpoint, &mut found);
            examples(endpoint, &mut found);
            faults.extend(
                found.into_iter().map(|text| format!("{} {}: {text}", self.name, endpoint.operation())),
            );
        }
        if faults.is_empty() { Ok(()) } else { Err(DeclarationError { faults }) }
    }
}

/// A path template without the names of its parameters.
fn shape(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment.strip_prefix('{') {
        Some(name) if name.starts_with('*') => "{*}",
        Some(_) => "{}",
        None => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

fn path(endpoint: &EndpointDeclaration, faults: &mut Vec<String>) {
    let path = &endpoint.path;
    let mut fault = |text: &str| faults.push(text.to_owned());
    if !path.starts_with('/') || path.contains("//") {
        fault("the path must start with `/` and have no empty segment");
    }
    if path.bytes().any(|byte| !byte.is_ascii_graphic() || b"?#;%\\\"<>^`|".contains(&byte)) {
        fault("the path must be plain: visible ASCII without `?`, `#`, `;`, `%` or `\\`");
    }
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let mut names = BTreeSet::new();
    for (at, segment) in segments.iter().enumerate() {
        if matches!(*segment, "." | "..") {
            fault("the path must have no dot segment");
        }
        if !segment.contains(['{', '}']) {
            continue;
        }
        let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let name = inner.map(|name| name.strip_prefix('*').unwrap_or(name));
        match name {
            Some(name) if !name.is_empty() && !name.contains(['{', '}', '*']) => {
                if !names.insert(name) {
                    fault(&format!("the path names {{{name}}} twice; rename one"));
                }
            }
            _ => fault(&format!("`{segment}` is no parameter; write a whole segment such as {{id}}")),
        }
        if segment.starts_with("{*") && at + 1 != segments.len() {
            fault(&format!("{segment} takes the rest of the path and must stand at its end"));
        }
    }
    let known = endpoint.input.get("properties").and_then(|properties| properties.as_object());
    let closed = known.is_some() || is_empty_object(endpoint);
    for name in endpoint.path_parameters() {
        if closed && !known.is_some_and(|known| known.contains_key(name)) {
            fault(&format!(
                "the path names {{{name}}}, which the input has no field for; add the field or rename it"
            ));
        }
    }
}

/// Whether the input is a struct without fields.
fn is_empty_object(endpoint: &EndpointDeclaration) -> bool {
    let others = ["additionalProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf"];
    endpoint.input.get("type").and_then(|kind| kind.as_str()) == Some("object")
        && others.iter().all(|member| endpoint.input.get(*member).is_none())
}

fn access(endpoint: &EndpointDeclaration, faults: &mut Vec<String>) {
    let mut fault = |text: &str| faults.push(text.to_owned());
    match &endpoint.access {
        None => fault(
            "does not say who may call it; add .public(), .optional(), .login(), .authenticated(), .scope(…), .role(…) or \
             .internal(…)",
        ),
        Some(Access::Internal { callers }) if callers.is_empty() => {
            fault("is internal but names no service that may call it; name one in .internal(…)");
        }
        Some(Access::Internal { callers }) if !callers.iter().all(|caller| is_name(caller)) => {
            fault("is internal for a service without a proper name; correct .internal(…)");
        }
        Some(Access::Login) if endpoint.method != Method::Post => fault("is a login and must be a POST"),
        Some(Access::Authenticated { scopes, roles }) => {
            if !scopes.iter().chain(roles).all(|name| is_token(name)) {
                fault("names a scope or role that is empty or has a space or quote in it (RFC 6749 §3.3)");
            }
        }
        Some(_) => {}
    }
    if endpoint.limit_class.is_empty() {
        fault("has an empty class of limits; name one in .limit_class(…) or leave it out");
    }
}

fn repetition(endpoint: &EndpointDeclaration, faults: &mut Vec<String>) {
    let is_get = endpoint.method == Method::Get;
    match endpoint.idempotency {
        Idempotency::Safe if !is_get => faults.push(
            "is declared safe, which only GET is; say .idempotency_key(), .idempotent() or nothing"
                .to_owned(),
        ),
        class if class.has_key() && is_get => {
            let name = if class == Idempotency::Key { "idempotency_key" } else { "optional_idempotency_key" };
            faults.push(format!("is a GET and needs no idempotency key; remove .{name}()"));
        }
        _ => {}
    }
}

fn times(endpoint: &EndpointDeclaration, faults: &mut Vec<String>) {
    let mut fault = |text: &str| faults.push(text.to_owned());
    if endpoint.timeout_ms == 0 {
        fault("has no time at all; give .timeout(…) more than 0");
    }
    if endpoint.idle_timeout_ms == 0 {
        fault("has no time between two pieces of a body; give .idle_timeout(…) more than 0");
    }
    if endpoint.whole_timeout_ms.is_some_and(|whole| whole < endpoint.timeout_ms) {
        fault("must be whole before its head is due; give .whole_timeout(…) at least what .timeout(…) has");
    }
    if endpoint.stream && endpoint.method != Method::Get {
        fault("is a stream, which only a GET can be; make it a GET or remove .stream(…)");
    }
    if endpoint.stream && endpoint.long_poll {
        fault("is a stream, which begins at once, and a long poll, which does not; remove one of both");
    }
    if endpoint.upgrade && endpoint.method != Method::Get {
        fault("upgrades its connection, which only a GET can do; make it a GET or remove .upgrade()");
    }
    if endpoint.upgrade && endpoint.long_poll {
        fault("upgrades its connection and is a long poll; remove .upgrade() or .long_poll()");
    }
}

fn answer(endpoint: &EndpointDeclaration, faults: &mut Vec<String>) {
    if !(200..=299).contains(&endpoint.status) {
        faults.push(format!("answers with {}, which is no success; give 200 to 299", endpoint.status));
    }
    for (status, codes) in &endpoint.problems {
        if !(400..=599).contains(status) {
            faults.push(format!("refuses with {status}, which is no refusal; give 400 to 599"));
        }
        if let Some(code) = codes.iter().find(|code| !is_name(code)) {
            faults.push(format!("refuses with the code `{code}`; use letters, digits and `_`"));
        }
    }
    if endpoint.produces.is_empty() {
        faults.push("produces no media type; name one in .produces(…)".to_owned());
    }
    let mut seen = BTreeSet::new();
    for media_type in &endpoint.produces {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let whole = essence.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub));
        if !whole {
            faults.push(format!("produces `{media_type}`, which is no media type"));
        }
        if !seen.insert(essence.to_ascii_lowercase()) {
            faults.push(format!("produces `{media_type}` twice; remove one"));
        }
    }
}

/// A schema is whole: it refers to itself and to its own definitions only.
fn schemas(endpoint: &EndpointDeclaration, faults: &mut Vec<String>) {
    let events = endpoint.events.iter().map(|(name, schema)| (format!("event `{name}`"), schema));
    let sides = [("input".to_owned(), &endpoint.input), ("output".to_owned(), &endpoint.output)];
    for (name, schema) in sides.into_iter().chain(events) {
        let definitions = schema.get("$defs").and_then(|definitions| definitions.as_object());
        let known = |reference: &str| {
            let local = local_name(reference);
            reference == "#" || local.is_some_and(|local| definitions.is_some_and(|d| d.contains_key(&local)))
        };
        for reference in references(schema.as_value()).into_iter().filter(|reference| !known(reference)) {
            faults.push(format!(
                "the {name} refers to `{reference}`, which is not in its `$defs`; add it there"
            ));
        }
    }
}

/// An example shows what can be sent and what can come.
fn examples(endpoint: &EndpointDeclaration, faults: &mut Vec<String>) {
    if !endpoint.events.is_empty() && !endpoint.produces.iter().any(|kind| kind == "text/event-stream") {
        faults.push("has events, but produces no `text/event-stream`; add .stream(…)".to_owned());
    }
    let mut names = BTreeSet::new();
    for example in &endpoint.examples {
        let mut fault = |text: String| faults.push(format!("the example `{}` {text}", example.name));
        if !is_name(&example.name) {
            fault("needs a name of letters, digits, `-`, `_` and `.`".to_owned());
        }
        if !names.insert(&example.name) {
            fault("stands twice; rename one".to_owned());
        }
        if !endpoint.produces.contains(&example.media_type) {
            fault(format!("has an answer as `{}`, which is not produced", example.media_type));
        }
        if let Some(input) = &example.input {
            for text in misfits(&endpoint.input, input) {
                fault(format!("has an input that {text}"));
            }
        }
        if let Some(output) = &example.output {
            let is_json = example.media_type == "application/json";
            let texts = if is_json { misfits(&endpoint.output, output) } else { Vec::new() };
            for text in texts {
                fault(format!("has an answer that {text}"));
            }
        }
    }
}

/// Where an example's fields are not those of its schema. Their values are compared by nobody here.
fn misfits(schema: &Schema, value: &Value) -> Vec<String> {
    let described = schema.get("properties").and_then(Value::as_object);
    let Some(fields) = value.as_object() else {
        let is_other = described.is_some() || schema.get("type").is_some_and(|kind| kind == "object");
        return if is_other { vec!["is no JSON object; correct its text".to_owned()] } else { Vec::new() };
    };
    let Some(described) = described else { return Vec::new() };
    let unknown = fields.keys().filter(|name| !described.contains_key(*name));
    let unknown = unknown.map(|name| format!("has the field `{name}`, which is not declared; remove it"));
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let missing = required.filter_map(Value::as_str).filter(|name| !fields.contains_key(*name));
    unknown.chain(missing.map(|name| format!("has no field `{name}`; add it"))).collect()
}

/// A service's name, which stands in tokens, metrics and host names.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Visible ASCII without quotes and backslash: a scope by RFC 6749 §3.3.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::ExampleDeclaration;
    use super::*;
    use crate::{Empty, Endpoint};

    fn public(method: Method, path: &str) -> EndpointDeclaration {
        EndpointDeclaration::new(method, path).access(Access::Public)
    }

    fn shown(name: &str) -> ExampleDeclaration {
        ExampleDeclaration::new(name)
    }

    fn faults(endpoints: impl IntoIterator<Item = EndpointDeclaration>) -> String {
        let api = endpoints.into_iter().fold(Api::new("things"), Api::endpoint);
        api.check().err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn each_contradiction_is_found_and_says_what_to_change() {
        let get = |path| public(Method::Get, path);
        let post = || public(Method::Post, "/v1/x");
        let second = Duration::from_secs(1);
        let scopes = |scope: &str| Access::Authenticated { scopes: vec![scope.to_owned()], roles: vec![] };
        for (wrong, wanted) in [
            (get("v1"), "must start with `/`"),
            (get("/v1//x"), "no empty segment"),
            (get("/v1/../x"), "no dot segment"),
            (get("/v1/x?y"), "must be plain"),
            (get("/v1/{id}/x/{id}"), "names {id} twice"),
            (get("/v1/{id}.csv"), "`{id}.csv` is no parameter"),
            (get("/v1/{}"), "`{}` is no parameter"),
            (get("/v1/{*rest}/x"), "must stand at its end"),
            (get("/v1/x").access(scopes("")), "a scope or role"),
            (get("/v1/x").access(scopes("a b")), "a scope or role"),
            (get("/v1/x").access(Access::Internal { callers: vec![] }), "names no service"),
            (get("/v1/x").access(Access::Internal { callers: vec![" ".to_owned()] }), "proper name"),
            (get("/v1/x").access(Access::Login), "must be a POST"),
            (get("/v1/x").idempotency(Idempotency::Key), "remove .idempotency_key()"),
            (get("/v1/x").idempotency(Idempotency::OptionalKey), "remove .optional_idempotency_key()"),
            (post().idempotency(Idempotency::Safe), "only GET is"),
            (get("/v1/x").limit_class(""), ".limit_class(…)"),
            (get("/v1/x").timeout(Duration::ZERO), ".timeout(…)"),
            (get("/v1/x").idle_timeout(Duration::ZERO), ".idle_timeout(…)"),
            (get("/v1/x").whole_timeout(second), ".whole_timeout(…)"),
            (post().stream(), "remove .stream(…)"),
            (get("/v1/x").stream().long_poll(), "remove one of both"),
            (post().upgrade(), "remove .upgrade()"),
            (get("/v1/x").upgrade().long_poll(), "remove .upgrade() or .long_poll()"),
            (get("/v1/x").status(302), "no success"),
            (get("/v1/x").problem(302, "elsewhere"), "no refusal"),
            (get("/v1/x").problem(422, ""), "the code ``"),
            (get("/v1/x").operation_id("a b"), "no operation id"),
            (get("/v1/x").produces(Vec::<String>::new()), "no media type"),
            (get("/v1/x").produces(["text"]), "`text`, which is no media type"),
            (get("/v1/x").produces(["text/csv", "Text/CSV"]), "twice"),
            (get("/v1/x").event("news", super::super::no_schema()), "add .stream(…)"),
            (get("/v1/x").example(shown("a b")), "needs a name"),
            (get("/v1/x").example(shown("a")).example(shown("a")), "stands twice"),
            (get("/v1/x").example(shown("a").media_type("text/csv")), "which is not produced"),
        ] {
            let operation = wrong.operation();
            let text = faults([wrong]);
            assert!(text.contains(wanted) && text.contains(&operation), "no `{wanted}` in: {text}");
        }
        assert_eq!(faults([get("/v1/x").upgrade(), get("/v1/y").stream(), post().long_poll()]), "");
    }

    #[test]
    fn an_example_has_the_fields_of_its_schema() {
        let schema = serde_json::json!({
            "type": "object", "required": ["a"], "properties": { "a": {}, "b": {} },
        });
        let told = |input: Value, output: Value| {
            let schema = || Schema::try_from(schema.clone()).unwrap();
            let endpoint = public(Method::Post, "/v1/x").input(schema()).output(schema());
            faults([endpoint.example(shown("one").input(input).output(output))])
        };
        let fits = serde_json::json!({ "a": 1 });
        assert_eq!(told(fits.clone(), fits), "");
        let text = told(serde_json::json!({ "b": 1, "c": 1 }), "{".into());
        for wanted in ["has the field `c`", "has no field `a`", "has an answer that is no JSON object"] {
            assert!(text.contains(wanted), "no `{wanted}` in: {text}");
        }
    }

    #[test]
    fn one_path_has_one_set_of_names() {
        let text = faults([public(Method::Get, "/a/{x}"), public(Method::Delete, "/a/{y}")]);
        assert!(text.contains("DELETE /a/{y}: is the same path as /a/{x}"), "{text}");
        let text = faults([public(Method::Get, "/a/{x}"), public(Method::Get, "/a/{x}")]);
        assert!(text.contains("is declared twice"), "{text}");
        assert_eq!(faults([public(Method::Get, "/a/{x}"), public(Method::Get, "/a/{x}/b")]), "");
        let named = |path| public(Method::Get, path).operation_id("find");
        assert!(faults([named("/a"), named("/b")]).contains("has the operation id `find` too"));
    }

    #[test]
    fn a_schema_refers_to_what_is_there() {
        let refers = |reference: &str| {
            let text = serde_json::json!({
                "items": { "$ref": reference }, "$defs": { "A/b": {} },
            });
            faults([public(Method::Post, "/a").output(text.try_into().unwrap())])
        };
        assert_eq!((refers("#/$defs/A~1b"), refers("#")), (String::new(), String::new()));
        for dangling in ["#/$defs/B", "#/properties/x", "other.json"] {
            assert!(refers(dangling).contains("the output refers to"), "{dangling}");
        }
    }

    #[test]
    fn a_path_parameter_needs_its_field_in_an_input_without_fields_too() {
        let endpoint: Endpoint<Empty, Empty> = Endpoint::get("/v1/things/{id}").public();
        let text = faults([endpoint.declare()]);
        assert!(text.contains("the path names {id}"), "{text}");
    }
}
