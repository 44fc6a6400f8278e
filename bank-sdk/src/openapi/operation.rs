//! One operation of the document.

use serde_json::{Map, Value, json};

use super::components::Components;
use super::responses::Responses;
use super::{SecurityScheme, headers, problems};
use crate::declaration::{Access, EndpointDeclaration, Idempotency, Method};

/// What an operation of the document needs beside its declaration.
pub(super) struct Around<'a> {
    pub(super) service: &'a str,
    pub(super) id: &'a str,
    pub(super) security: &'a [SecurityScheme],
    pub(super) components: &'a Components,
}

pub(super) fn operation(
    endpoint: &EndpointDeclaration,
    around: &Around<'_>,
    shared: &mut Responses,
) -> Value {
    let input = around.components.inline(endpoint.input.as_value(), around.id);
    let mut operation = json!({
        "operationId": around.id,
        "summary": endpoint.summary,
        "tags": [around.service],
    });
    extensions(endpoint, &mut operation);
    let mut parameters = Vec::new();
    let (in_path, rest) = split(&input, &endpoint.path_parameters());
    parameters.extend(
        in_path
            .into_iter()
            .map(|(name, schema)| json!({ "name": name, "in": "path", "required": true, "schema": schema })),
    );
    let fields = rest.get("properties").and_then(Value::as_object).filter(|fields| !fields.is_empty());
    if endpoint.method.has_body() {
        let is_described = fields.is_some() || !is_plain_object(&rest);
        if is_described && rest.as_object().is_some_and(|rest| !rest.is_empty()) {
            // A body of which nothing is needed may be left out.
            let required = fields.is_none() || required(&rest).next().is_some();
            operation["requestBody"] =
                json!({ "required": required, "content": { "application/json": { "schema": rest } } });
        }
    } else if let Some(fields) = fields {
        let required: Vec<&str> = required(&rest).collect();
        parameters.extend(fields.iter().map(|(name, schema)| {
            let needed = required.contains(&name.as_str());
            json!({ "name": name, "in": "query", "required": needed, "schema": without_null(schema) })
        }));
    }
    if endpoint.idempotency.has_key() {
        parameters.push(headers::idempotency_key(endpoint.idempotency == Idempotency::Key));
    }
    security(endpoint, around.security, &mut operation, &mut parameters);
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    operation["responses"] = responses(endpoint, around, shared);
    operation
}

/// What HTTP has no word for.
fn extensions(endpoint: &EndpointDeclaration, operation: &mut Value) {
    operation["x-bank-access"] = json!(endpoint.access);
    if let Some(Access::Authenticated { scopes, roles }) = &endpoint.access {
        operation["x-bank-scopes"] = json!(scopes);
        operation["x-bank-roles"] = json!(roles);
    }
    operation["x-bank-idempotency"] = json!(endpoint.idempotency);
    operation["x-bank-limit-class"] = json!(endpoint.limit_class);
    operation["x-bank-body-limit"] = json!(endpoint.body_limit);
    operation["x-bank-timeout-ms"] = json!(endpoint.timeout_ms);
    operation["x-bank-idle-timeout-ms"] = json!(endpoint.idle_timeout_ms);
    if let Some(whole) = endpoint.whole_timeout_ms {
        operation["x-bank-whole-timeout-ms"] = json!(whole);
    }
    if endpoint.path.contains("{*") {
        operation["x-bank-path"] = json!(endpoint.path);
    }
    for (name, is_so) in [
        ("x-bank-long-poll", endpoint.long_poll),
        ("x-bank-stream", endpoint.stream),
        ("x-bank-upgrade", endpoint.upgrade),
    ] {
        if is_so {
            operation[name] = json!(true);
        }
    }
}

/// Which credentials do: one of the alternatives, each with all that it names.
fn security(
    endpoint: &EndpointDeclaration,
    schemes: &[SecurityScheme],
    operation: &mut Value,
    parameters: &mut Vec<Value>,
) {
    let is_unsafe = endpoint.method != Method::Get;
    let (for_login, scopes) = match &endpoint.access {
        Some(Access::Authenticated { scopes, .. }) => (false, scopes.as_slice()),
        Some(Access::Optional) => (false, [].as_slice()),
        Some(Access::Login) => (true, [].as_slice()),
        _ => {
            operation["security"] = json!([]);
            return;
        }
    };
    let mut alternatives = Vec::new();
    for scheme in schemes.iter().filter(|scheme| scheme.is_for_login() == for_login) {
        let mut needed = Map::from_iter([(scheme.name().to_owned(), json!(scopes))]);
        if let Some(field) = scheme.csrf_header().filter(|_| is_unsafe) {
            needed.insert(scheme.csrf_name(), json!([]));
            parameters.push(json!({
                "name": field, "in": "header", "required": false,
                "description": format!("The token of the session, beside `{}`.", scheme.name()),
                "schema": { "type": "string", "minLength": 1 },
            }));
        }
        alternatives.push(Value::Object(needed));
    }
    if for_login || endpoint.access == Some(Access::Optional) {
        // User name and password may stand in the body; an optional credential may be left out.
        alternatives.push(json!({}));
    }
    if !alternatives.is_empty() {
        operation["security"] = Value::Array(alternatives);
    }
}

fn responses(endpoint: &EndpointDeclaration, around: &Around<'_>, shared: &mut Responses) -> Value {
    let has_key = endpoint.idempotency.has_key();
    let mut success = json!({ "description": "success", "headers": headers::of_success(has_key) });
    if endpoint.status != 204 {
        for media_type in &endpoint.produces {
            let schema = if media_type == "application/json" {
                around.components.inline(endpoint.output.as_value(), around.id)
            } else {
                json!({ "type": "string" })
            };
            success["content"][media_type.as_str()] = json!({ "schema": schema });
        }
    }
    let mut responses = Map::from_iter([(endpoint.status.to_string(), success)]);
    if endpoint.upgrade {
        responses
            .insert("101".to_owned(), json!({ "description": "the connection speaks another protocol" }));
    }
    for (status, codes) in problems::all(endpoint) {
        responses.insert(status.to_string(), shared.refer(status, &codes, has_key));
    }
    responses.into()
}

/// Takes the path's fields out of an input's schema.
fn split(input: &Value, path: &[&str]) -> (Vec<(String, Value)>, Value) {
    let mut rest = input.clone();
    let mut taken = Vec::new();
    if let Some(fields) = rest.get_mut("properties").and_then(Value::as_object_mut) {
        for name in path {
            if let Some(schema) = fields.remove(*name) {
                taken.push(((*name).to_owned(), schema));
            }
        }
    }
    let left: Vec<String> =
        required(input).filter(|name| !path.contains(name)).map(ToOwned::to_owned).collect();
    if let Some(object) = rest.as_object_mut() {
        if left.is_empty() {
            object.remove("required");
        } else {
            object.insert("required".to_owned(), json!(left));
        }
        if object.contains_key("properties") {
            object.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
    }
    // Where nothing describes the input, the path's fields are texts.
    for name in path {
        if !taken.iter().any(|(known, _)| known == name) {
            taken.push(((*name).to_owned(), json!({ "type": "string" })));
        }
    }
    (taken, rest)
}

/// Whether a schema says no more than that it is an object.
fn is_plain_object(schema: &Value) -> bool {
    let says_more = ["additionalProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf"];
    let open = |member: &&str| schema.get(*member).is_some_and(|value| *value != json!(false));
    schema.get("type").is_some_and(|kind| kind == "object") && !says_more.iter().any(open)
}

/// A query says that there is nothing by leaving a parameter out.
fn without_null(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let Some(object) = schema.as_object_mut() else { return schema };
    if let Some(Value::Array(kinds)) = object.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            object.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| *choice != json!({ "type": "null" }));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            // What was said beside the choice, a description say, is nearer.
            for (member, value) in only {
                object.entry(member).or_insert(value);
            }
        }
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
    schema
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}
