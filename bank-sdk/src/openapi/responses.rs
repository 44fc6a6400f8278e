//! The refusals that operations share, and the problem document.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::components::first_free;
use super::headers;

/// The document's `components.responses`: each refusal once, with its status, codes and header fields.
#[derive(Default)]
pub(super) struct Responses {
    named: BTreeMap<String, Value>,
}

impl Responses {
    /// A reference to the refusal with this status and these codes.
    pub(super) fn refer(&mut self, status: u16, codes: &BTreeSet<String>, has_key: bool) -> Value {
        let response = problem(status, codes, has_key);
        let known = self.named.iter().find(|(_, known)| **known == response).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| {
            let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
            let plain: String = reason.unwrap_or("Problem").split([' ', '-', '\'']).collect();
            let name = first_free(&plain, &mut self.named.keys().cloned().collect());
            self.named.insert(name.clone(), response);
            name
        });
        json!({ "$ref": format!("#/components/responses/{name}") })
    }

    pub(super) fn into_responses(self) -> Map<String, Value> {
        self.named.into_iter().collect()
    }
}

fn problem(status: u16, codes: &BTreeSet<String>, has_key: bool) -> Value {
    let mut properties = json!({ "status": { "const": status } });
    let mut description = format!("{status}");
    if !codes.is_empty() {
        properties["code"] = json!({ "enum": codes });
        let list = codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ");
        description = format!("{status}: {list}");
    }
    json!({
        "description": description,
        "headers": headers::of_problem(status, has_key),
        "content": {
            "application/problem+json": {
                "schema": { "allOf": [{ "$ref": "#/components/schemas/Problem" }], "properties": properties },
            },
        },
    })
}

/// The document of every refusal.
pub(super) fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "A refusal (RFC 9457).",
        "required": ["type", "title", "status", "detail", "instance"],
        "properties": {
            "type": { "type": "string", "description": "`urn:bank:problem:` and the code." },
            "title": { "type": "string", "description": "The status in words." },
            "status": { "type": "integer", "minimum": 400, "maximum": 599, "description": "The status of the answer." },
            "detail": { "type": "string", "description": "For people: what to change." },
            "instance": { "type": "string", "description": "The request's id, which is also in `X-Request-Id`." },
            "code": { "type": "string", "description": "For programs: it does not change.", "pattern": "^[a-z0-9_]+$" },
            "errors": {
                "type": "array",
                "description": "The fields at fault.",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": {
                        "field": { "type": "string", "description": "For example `amount.currency`." },
                        "message": { "type": "string", "description": "What is wrong with it." },
                    },
                },
            },
        },
        "examples": [{
            "type": "urn:bank:problem:insufficient_scope", "title": "Forbidden", "status": 403,
            "detail": "this needs the scope `transfers:write`", "instance": "req_794bpyepcdh7xyjkzvpnbkx2qc",
            "code": "insufficient_scope",
        }],
    })
}
