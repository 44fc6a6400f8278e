//! The header fields of answers and the key of a call, described once.

use serde_json::{Map, Value, json};

/// The document's `components.headers`.
pub(super) fn components() -> Map<String, Value> {
    let Value::Object(headers) = json!({
        "X-Request-Id": {
            "description": "The request's id, also in problem documents and in the log.",
            "required": true,
            "schema": { "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[!-~]+$" },
        },
        "RateLimit": {
            "description": "What the caller has left of each quota that was counted, and seconds until it is whole again.",
            "schema": { "type": "string", "examples": ["\"default\";r=50;t=30"] },
        },
        "RateLimit-Policy": {
            "description": "Each quota that was counted, and its window in seconds.",
            "schema": { "type": "string", "examples": ["\"default\";q=100;w=60"] },
        },
        "Retry-After": {
            "description": "Seconds until the request is worth another try.",
            "schema": { "type": "integer", "minimum": 1, "examples": [1] },
        },
        "WWW-Authenticate": {
            "description": "What credential would do.",
            "schema": { "type": "string" },
        },
        "Idempotency-Replayed": {
            "description": "Present where the answer repeats the one to an earlier request with the same key.",
            "schema": { "type": "string", "const": "true" },
        },
    }) else {
        return Map::new();
    };
    headers
}

/// The fields of a success.
pub(super) fn of_success(has_key: bool) -> Value {
    let replayed = has_key.then_some("Idempotency-Replayed");
    refer(["X-Request-Id", "RateLimit", "RateLimit-Policy"].into_iter().chain(replayed))
}

/// The fields of a refusal. A refusal that a key remembers is repeated as a success is.
pub(super) fn of_problem(status: u16, has_key: bool) -> Value {
    let own = match status {
        401 => Some("WWW-Authenticate"),
        403 => Some("WWW-Authenticate"),
        409 | 429 | 503 => Some("Retry-After"),
        404 | 422 if has_key => Some("Idempotency-Replayed"),
        _ => None,
    };
    refer(["X-Request-Id", "RateLimit", "RateLimit-Policy"].into_iter().chain(own))
}

fn refer<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    let header = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
    names.map(|name| (name.to_owned(), header(name))).collect::<Map<_, _>>().into()
}

/// The parameter of a call that needs a key.
pub(super) fn idempotency_key(required: bool) -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": required,
        "description": "Made by the caller before the first try and repeated on every retry: 1 to 128 visible ASCII \
                        characters, in quotes or as a bare token.",
        "schema": {
            "type": "string", "minLength": 1, "maxLength": 130,
            "pattern": r#"^("[ !#-\[\]-~]{1,128}"|[!#-+\--:<-\[\]-~]{1,128})$"#,
            "examples": ["\"8e03978e-40d5-43dd-bc93-6894a57f9324\""],
        },
    })
}
