//! The OpenAPI 3.1 document of any number of services, from their declarations alone.

use serde_json::{Map, Value, json};

use crate::declaration::{Access, Api, EndpointDeclaration, Idempotency};

/// The document for what can be reached from outside. Internal endpoints are left out.
///
/// Schemas are JSON Schema 2020-12; what HTTP has no word for stands in `x-bank-…` members of each operation.
#[must_use]
pub fn document<'a>(title: &str, version: &str, apis: impl IntoIterator<Item = &'a Api>) -> Value {
    let mut schemas = Map::new();
    let mut paths = Map::new();
    let mut tags = Vec::new();
    schemas.insert("Problem".to_owned(), problem_schema());
    for api in apis {
        let outside = api
            .endpoints
            .iter()
            .filter(|e| !e.page && e.access.as_ref().is_some_and(|access| !access.is_internal()));
        let before = paths.len();
        for endpoint in outside {
            let operation = operation(&api.name, endpoint, &mut schemas);
            let item = paths.entry(endpoint.path.clone()).or_insert_with(|| json!({}));
            item[endpoint.method.as_str().to_ascii_lowercase()] = operation;
        }
        if paths.len() > before {
            tags.push(json!({ "name": api.name }));
        }
    }
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": { "title": title, "version": version },
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "basic": { "type": "http", "scheme": "basic" },
                "session": { "type": "apiKey", "in": "cookie", "name": "__Host-session" },
                "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
            },
        },
    })
}

fn operation(service: &str, endpoint: &EndpointDeclaration, schemas: &mut Map<String, Value>) -> Value {
    let input = hoist(endpoint.input.as_value(), schemas);
    let output = hoist(endpoint.output.as_value(), schemas);
    let mut operation = json!({
        "operationId": operation_id(endpoint),
        "summary": endpoint.summary,
        "tags": [service],
        "x-bank-idempotency": endpoint.idempotency,
        "x-bank-rate-class": endpoint.rate,
        "x-bank-timeout-ms": endpoint.timeout_ms,
    });
    let mut parameters = Vec::new();
    let (in_path, rest) = split(&input, &endpoint.path_parameters());
    parameters.extend(
        in_path
            .into_iter()
            .map(|(name, schema)| json!({ "name": name, "in": "path", "required": true, "schema": schema })),
    );
    if endpoint.method.has_body() {
        if rest.get("properties").and_then(Value::as_object).is_some_and(|fields| !fields.is_empty()) {
            operation["requestBody"] =
                json!({ "required": true, "content": { "application/json": { "schema": rest } } });
        }
    } else if let Some(fields) = rest.get("properties").and_then(Value::as_object) {
        let required: Vec<&str> = required(&rest).collect();
        parameters.extend(fields.iter().map(|(name, schema)| {
            let needed = required.contains(&name.as_str());
            json!({ "name": name, "in": "query", "required": needed, "schema": schema })
        }));
    }
    if endpoint.idempotency == Idempotency::Key {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": true,
            "description": "Made by the caller before the first try and repeated on every retry.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 128 },
        }));
    }
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    let mut success = json!({ "description": "success" });
    if endpoint.status != 204 {
        let schema =
            if endpoint.produces == "application/json" { output } else { json!({ "type": "string" }) };
        success["content"] = json!({ endpoint.produces.clone(): { "schema": schema } });
    }
    operation["responses"] = json!({
        endpoint.status.to_string(): success,
        "default": {
            "description": "a problem",
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
        },
    });
    match &endpoint.access {
        Some(Access::Authenticated { scopes, roles }) => {
            operation["security"] = json!([{ "bearer": scopes }, { "session": [] }, { "apiKey": [] }]);
            operation["x-bank-scopes"] = json!(scopes);
            operation["x-bank-roles"] = json!(roles);
        }
        Some(Access::Login) => operation["security"] = json!([{ "basic": [] }, {}]),
        _ => operation["security"] = json!([]),
    }
    operation
}

/// `POST /v1/accounts/{id}` becomes `post_v1_accounts_id`.
fn operation_id(endpoint: &EndpointDeclaration) -> String {
    let mut id = endpoint.method.as_str().to_ascii_lowercase();
    for word in endpoint.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        id.push('_');
        id.push_str(word);
    }
    id
}

/// Moves a schema's definitions to the document's components and points its references there.
fn hoist(schema: &Value, schemas: &mut Map<String, Value>) -> Value {
    let mut schema = schema.clone();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        if let Some(Value::Object(definitions)) = object.remove("$defs") {
            for (name, mut definition) in definitions {
                repoint(&mut definition);
                schemas.entry(name).or_insert(definition);
            }
        }
    }
    repoint(&mut schema);
    schema
}

fn repoint(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get_mut("$ref") {
                *reference = reference.replace("#/$defs/", "#/components/schemas/");
            }
            object.values_mut().for_each(repoint);
        }
        Value::Array(items) => items.iter_mut().for_each(repoint),
        _ => {}
    }
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
    (taken, rest)
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "detail", "instance"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "what to change" },
            "instance": { "type": "string", "description": "the request's id" },
            "code": { "type": "string", "description": "stable, for programs" },
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": { "field": { "type": "string" }, "message": { "type": "string" } },
                },
            },
        },
    })
}
