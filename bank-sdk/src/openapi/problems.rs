//! Which refusals an endpoint may answer with, by its declaration: the gateway's, this crate's and the service's own.

use std::collections::{BTreeMap, BTreeSet};

use crate::declaration::{Access, EndpointDeclaration, Idempotency, Method};

/// Codes by status.
pub(super) type Problems = BTreeMap<u16, BTreeSet<String>>;

/// Every refusal of an endpoint.
pub(super) fn all(endpoint: &EndpointDeclaration) -> Problems {
    let mut problems = usual(endpoint);
    for (status, codes) in &endpoint.problems {
        problems.entry(*status).or_default().extend(codes.iter().cloned());
    }
    problems
}

/// The refusals that follow from what the endpoint declares, whatever its service does.
pub(super) fn usual(endpoint: &EndpointDeclaration) -> Problems {
    let mut problems = Problems::new();
    let mut add = |status: u16, codes: &[&str]| {
        problems.entry(status).or_default().extend(codes.iter().map(|&code| code.to_owned()));
    };
    let has_body = endpoint.method.has_body();
    let is_unsafe = endpoint.method != Method::Get;
    // `docs/errors.md` says what each means.
    add(400, &["ambiguous_path", "ambiguous_host", "ambiguous_fields", "credential_in_query"]);
    add(400, &["invalid_input", "invalid_escape", "incomplete_body", "invalid_idempotency_key"]);
    add(404, &["not_found"]);
    add(408, &["timeout"]);
    add(413, &["body_too_large"]);
    add(415, &["unsupported_content_coding"]);
    add(429, &["rate_limited"]);
    add(500, &["internal"]);
    add(502, &["indeterminate"]);
    add(503, &["unavailable", "overloaded", "indeterminate"]);
    add(504, &["deadline_exceeded"]);
    if has_body {
        add(400, &["invalid_json"]);
        add(415, &["unsupported_media_type"]);
    }
    if endpoint.idempotency == Idempotency::Key {
        add(400, &["missing_idempotency_key"]);
    }
    match &endpoint.access {
        Some(Access::Login) => {
            add(401, &["invalid_credentials", "unauthenticated"]);
            add(403, &["cross_site"]);
            add(429, &["too_many_failures"]);
        }
        Some(Access::Optional) => {
            add(400, &["two_credentials"]);
            add(401, &["unauthenticated", "invalid_token"]);
        }
        Some(Access::Authenticated { scopes, roles }) => {
            add(400, &["two_credentials"]);
            add(401, &["unauthenticated", "invalid_token"]);
            if !scopes.is_empty() {
                add(403, &["insufficient_scope"]);
            }
            if !scopes.is_empty() || !roles.is_empty() {
                add(403, &["forbidden"]);
            }
        }
        Some(Access::Internal { .. }) => add(401, &["unknown_service"]),
        Some(Access::Public) | None => {}
    }
    if is_unsafe && !matches!(endpoint.access, Some(Access::Internal { .. })) {
        add(403, &["cross_site"]);
        if matches!(endpoint.access, Some(Access::Authenticated { .. } | Access::Optional)) {
            add(403, &["csrf_token"]);
        }
    }
    problems
}
