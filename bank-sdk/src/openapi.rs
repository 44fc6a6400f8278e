//! The OpenAPI 3.1 document of any number of services, from their declarations alone; and declarations from a document.
//!
//! ```
//! use bank_sdk::openapi::{self, SecurityScheme};
//! use bank_sdk::{Api, Empty, Endpoint};
//!
//! const PING: Endpoint<Empty, Empty> = Endpoint::get("/v1/ping").authenticated();
//! let api = Api::new("pings").endpoint(PING.declare());
//! let document = openapi::document("Pings", "1", [&api], &[SecurityScheme::bearer("JWT")]);
//! assert_eq!(document["paths"]["/v1/ping"]["get"]["security"][0]["bearer"], serde_json::json!([]));
//!
//! let read = Api::from_openapi("pings", &document)?;
//! assert_eq!(read.endpoints[0].operation(), "GET /v1/ping");
//! # Ok::<(), bank_sdk::DeclarationError>(())
//! ```

pub(crate) mod components;
mod events;
mod examples;
mod headers;
mod info;
mod operation;
mod problems;
mod read;
mod read_parameters;
mod read_schema;
mod responses;
mod security;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use self::components::{Components, first_free};
pub use self::info::Info;
use self::operation::{Around, answers_json, body, operation};
use self::responses::{Responses, problem_schema};
pub use self::security::SecurityScheme;
use crate::declaration::{Api, EndpointDeclaration};

/// The document for what can be reached from outside: pages and internal endpoints are left out.
///
/// Schemas are JSON Schema 2020-12. What HTTP has no word for stands in `x-bank-…` members of each operation. `security`
/// lists the ways to prove who calls that the gateway accepts.
#[must_use]
pub fn document<'a>(
    title: &str,
    version: &str,
    apis: impl IntoIterator<Item = &'a Api>,
    security: &[SecurityScheme],
) -> Value {
    let apis: Vec<&Api> = apis.into_iter().collect();
    Info::new(title, version).document(&apis, security)
}

impl Info {
    /// The document of these services, as [`document`] has it.
    #[must_use]
    pub fn document(&self, apis: &[&Api], security: &[SecurityScheme]) -> Value {
        let (tags, mut members) = described(apis, security);
        let mut document = json!({
            "openapi": "3.1.0",
            "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
            "info": self.to_value(),
            "servers": self.to_servers(),
            "tags": tags,
        });
        for member in ["paths", "components"] {
            document[member] = members[member].take();
        }
        document
    }
}

/// The tags, and what stands under them.
fn described(apis: &[&Api], security: &[SecurityScheme]) -> (Vec<Value>, Value) {
    let mut offered: Vec<(&str, &EndpointDeclaration)> = apis
        .iter()
        .flat_map(|api| api.endpoints.iter().map(|endpoint| (api.name.as_str(), endpoint)))
        .filter(|(_, e)| !e.page && e.access.as_ref().is_some_and(|access| !access.is_internal()))
        .collect();
    let mut tags: Vec<Value> = Vec::new();
    for api in apis {
        let is_offered = offered.iter().any(|(service, _)| *service == api.name);
        if is_offered && tags.iter().all(|tag| tag["name"] != api.name) {
            tags.push(tag(api));
        }
    }
    // What is numbered in the document does not depend on the order of the declarations.
    offered.sort_by_key(|(service, endpoint)| (&endpoint.path, endpoint.method, *service));
    let ids = operation_ids(&offered);
    let mut components = Components::with_own([("Problem", problem_schema())]);
    for ((service, endpoint), id) in offered.iter().zip(&ids) {
        match body(endpoint) {
            Some(body) => components.collect_named(service, &body, &request_name(id)),
            None => components.collect(service, endpoint.input.as_value(), id),
        }
        if answers_json(endpoint) {
            components.collect_named(service, endpoint.output.as_value(), &response_name(id));
        }
        for (name, event) in &endpoint.events {
            components.collect_named(service, event.as_value(), name);
        }
    }
    components.assign_names();
    let (mut paths, mut responses) = (Map::new(), Responses::default());
    for (&(service, endpoint), id) in offered.iter().zip(&ids) {
        let around = Around { service, id, security, components: &components };
        let operation = operation(endpoint, &around, &mut responses);
        let item = paths.entry(openapi_path(&endpoint.path)).or_insert_with(|| json!({}));
        item[endpoint.method.as_str().to_ascii_lowercase()] = operation;
    }
    let components = json!({
        "schemas": components.into_schemas(),
        "responses": responses.into_responses(),
        "headers": headers::components(),
        "securitySchemes": security_schemes(security),
    });
    (tags, json!({ "paths": paths, "components": components }))
}

fn tag(api: &Api) -> Value {
    let mut tag = json!({ "name": api.name });
    if !api.description.is_empty() {
        tag["description"] = json!(api.description);
    }
    tag
}

/// The name of a body whose type has none.
fn request_name(id: &str) -> String {
    format!("{id}Request")
}

/// The name of an answer whose type has none.
fn response_name(id: &str) -> String {
    format!("{id}Response")
}

/// `/files/{*rest}` is `/files/{rest}` in OpenAPI, which has no word for more than one segment.
fn openapi_path(path: &str) -> String {
    path.replace("{*", "{")
}

fn security_schemes(security: &[SecurityScheme]) -> Map<String, Value> {
    let mut schemes = Map::new();
    for scheme in security {
        schemes.insert(scheme.name().to_owned(), scheme.as_value().clone());
        if let Some(field) = scheme.csrf_header() {
            let csrf = json!({
                "type": "apiKey", "in": "header", "name": field,
                "description": format!("The token of the session, beside `{}`, on calls that change something.", scheme.name()),
            });
            schemes.insert(scheme.csrf_name(), csrf);
        }
    }
    schemes
}

/// A name for each operation, which no other has.
fn operation_ids(offered: &[(&str, &EndpointDeclaration)]) -> Vec<String> {
    let mut alike: BTreeMap<String, usize> = BTreeMap::new();
    for (_, endpoint) in offered {
        *alike.entry(plain_id(endpoint)).or_default() += 1;
    }
    let declared = offered.iter().filter_map(|(_, endpoint)| endpoint.operation_id.clone());
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    taken.extend(declared);
    let mut ids = Vec::new();
    for (service, endpoint) in offered {
        ids.push(match &endpoint.operation_id {
            Some(id) if seen.insert(id.clone()) => id.clone(),
            Some(id) => first_free(&format!("{service}.{id}"), &mut taken),
            None => {
                let plain = plain_id(endpoint);
                let only = alike.get(&plain) == Some(&1);
                first_free(&if only { plain } else { exact_id(endpoint) }, &mut taken)
            }
        });
    }
    ids
}

/// `POST /v1/accounts/{id}` becomes `post_v1_accounts_id`.
fn plain_id(endpoint: &EndpointDeclaration) -> String {
    id_of(endpoint, &endpoint.path)
}

/// `POST /v1/accounts/{id}` becomes `post_v1_accounts_by_id`, where `POST /v1/accounts/id` is there too.
fn exact_id(endpoint: &EndpointDeclaration) -> String {
    id_of(endpoint, &endpoint.path.replace('{', "{by_"))
}

fn id_of(endpoint: &EndpointDeclaration, path: &str) -> String {
    let mut id = endpoint.method.as_str().to_ascii_lowercase();
    for word in path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        id.push('_');
        id.push_str(word);
    }
    id
}

#[cfg(test)]
mod tests;
