//! One operation of the document.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::components::Components;
use super::responses::Responses;
use super::{SecurityScheme, events, examples, headers, problems, request_name, response_name};
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
    let mut operation = json!({
        "operationId": around.id,
        "summary": endpoint.summary,
        "tags": [around.service],
    });
    if !endpoint.description.is_empty() {
        operation["description"] = json!(endpoint.description);
    }
    extensions(endpoint, &mut operation);
    let mut parameters = parameters(endpoint, around);
    if let Some(body) = body(endpoint) {
        // A body of which nothing is needed may be left out.
        let required = fields(&body).is_none() || required(&body).next().is_some();
        let mut content = json!({ "schema": around.components.refer(&body, &request_name(around.id)) });
        if let Some(examples) = examples::of_body(endpoint) {
            content["examples"] = examples;
        }
        operation["requestBody"] =
            json!({ "required": required, "content": { "application/json": content } });
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

/// The input's fields in path and query.
fn parameters(endpoint: &EndpointDeclaration, around: &Around<'_>) -> Vec<Value> {
    let input = around.components.inline(endpoint.input.as_value(), around.id);
    let (in_path, rest) = split(&input, &endpoint.path_parameters());
    let parameter = |name: &str, place: &str, required: bool, mut schema: Value| {
        // The text of a field is that of its parameter.
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let mut parameter = json!({ "name": name, "in": place, "required": required, "schema": schema });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        if let Some(example) = examples::of_parameter(endpoint, name) {
            parameter["example"] = example;
        }
        parameter
    };
    let mut parameters: Vec<Value> =
        in_path.into_iter().map(|(name, schema)| parameter(&name, "path", true, schema)).collect();
    if let Some(fields) = fields(&rest).filter(|_| !endpoint.method.has_body()) {
        let required: Vec<&str> = required(&rest).collect();
        parameters.extend(fields.iter().map(|(name, schema)| {
            parameter(name, "query", required.contains(&name.as_str()), without_null(schema))
        }));
    }
    parameters
}

/// The schema of an endpoint's body: its input without the path's fields. Nothing where it has none.
pub(super) fn body(endpoint: &EndpointDeclaration) -> Option<Value> {
    if !endpoint.method.has_body() {
        return None;
    }
    let (_, rest) = split(endpoint.input.as_value(), &endpoint.path_parameters());
    let is_described = fields(&rest).is_some() || !is_plain_object(&rest);
    (is_described && rest.as_object().is_some_and(|rest| !rest.is_empty())).then_some(rest)
}

/// Whether its output stands in the document.
pub(super) fn answers_json(endpoint: &EndpointDeclaration) -> bool {
    endpoint.status != 204 && endpoint.produces.iter().any(|media_type| media_type == "application/json")
}

fn fields(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object).filter(|fields| !fields.is_empty())
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
    let reason = StatusCode::from_u16(endpoint.status).ok().and_then(|status| status.canonical_reason());
    let mut success =
        json!({ "description": reason.unwrap_or("Success"), "headers": headers::of_success(has_key) });
    if endpoint.status != 204 {
        for media_type in &endpoint.produces {
            let schema = match media_type.as_str() {
                "application/json" => {
                    around.components.refer(endpoint.output.as_value(), &response_name(around.id))
                }
                events::EVENT_STREAM => events::stream_schema(endpoint, around.components),
                _ => json!({ "type": "string" }),
            };
            let mut content = json!({ "schema": schema });
            if let Some(examples) = examples::of_answer(endpoint, media_type) {
                content["examples"] = examples;
            }
            success["content"][media_type.as_str()] = content;
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
