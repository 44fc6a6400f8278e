//! A declaration from an OpenAPI 3.1 document, for a service whose contract is kept there.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::read_parameters::input;
use super::read_schema::{Source, schema};
use super::{events, problems};
use crate::declaration::{Access, Api, DeclarationError, EndpointDeclaration, Idempotency, Method};

impl Api {
    /// The declaration of the service `name` whose contract is this document.
    ///
    /// Carried are: paths, methods, operation ids, summaries, descriptions, parameters of path and query, JSON bodies, answers
    /// with their media types and events, and the codes of problem documents. What OpenAPI has no word for stands in an operation's members:
    ///
    /// | Member | Like |
    /// | --- | --- |
    /// | `x-bank-access` (needed) | [`Access`], for example `{"who": "authenticated", "scopes": ["notes:read"]}` |
    /// | `x-bank-idempotency` | [`Idempotency`]; by default what HTTP says of the method, `key` where `Idempotency-Key` is required, and `optional_key` where it may be given |
    /// | `x-bank-limit-class`, `x-bank-body-limit` | the fields of [`EndpointDeclaration`] |
    /// | `x-bank-timeout-ms`, `x-bank-idle-timeout-ms`, `x-bank-whole-timeout-ms` | the same |
    /// | `x-bank-long-poll`, `x-bank-stream`, `x-bank-upgrade` | the same |
    /// | `x-bank-path` | the path template, where it ends in `{*rest}` |
    ///
    /// What else is there for readers only is left out: examples, tags, header fields of answers, `security`.
    ///
    /// # Errors
    /// Each fault with its operation: an access that is missing, and what a declaration cannot carry, such as a cookie
    /// parameter, a body that is not JSON, a callback, or a reference to another document.
    pub fn from_openapi(name: impl Into<String>, document: &Value) -> Result<Self, DeclarationError> {
        let mut api = Self::new(name);
        let mut faults: Vec<String> =
            of_document(document).into_iter().map(|text| format!("{}: {text}", api.name)).collect();
        let paths = document.get("paths").and_then(Value::as_object);
        for (path, item) in paths.into_iter().flatten() {
            for read in of_path(document, path, item) {
                match read {
                    Ok(endpoint) => api.endpoints.push(endpoint),
                    Err((operation, text)) => faults.push(format!("{} {operation}: {text}", api.name)),
                }
            }
        }
        if !faults.is_empty() {
            return Err(DeclarationError { faults });
        }
        api.check().map(|()| api)
    }
}

/// What of the document as a whole cannot be carried.
fn of_document(document: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
    if !version.starts_with("3.1") {
        faults.push(format!("is of OpenAPI `{version}`; only 3.1 can be read"));
    }
    let dialect = document.get("jsonSchemaDialect").and_then(Value::as_str);
    if dialect.is_some_and(|dialect| !dialect.contains("2020-12") && !dialect.contains("oas/3.1")) {
        faults.push("its schemas must be JSON Schema 2020-12 (`jsonSchemaDialect`)".to_owned());
    }
    if document.get("webhooks").is_some_and(|hooks| hooks.as_object().is_none_or(|hooks| !hooks.is_empty())) {
        faults.push("`webhooks` cannot be carried; the gateway takes calls only".to_owned());
    }
    if document.get("servers").is_some_and(has_base_path) {
        faults.push("its `servers` have a base path; write it in front of each path".to_owned());
    }
    faults
}

fn has_base_path(servers: &Value) -> bool {
    let urls = servers.as_array().into_iter().flatten().filter_map(|server| server.get("url")?.as_str());
    urls.into_iter().any(|url| {
        let behind_host =
            url.split_once("://").map_or(url, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
        !behind_host.trim_end_matches('/').is_empty()
    })
}

type Read = Result<EndpointDeclaration, (String, String)>;

fn of_path(document: &Value, path: &str, item: &Value) -> Vec<Read> {
    let source = Source::new(document);
    let item = match source.resolve(item) {
        Ok(item) => item,
        Err(text) => return vec![Err((path.to_owned(), text))],
    };
    let mut read = Vec::new();
    for (member, operation) in item.as_object().into_iter().flatten() {
        let method = Method::ALL.into_iter().find(|method| method.as_str().to_ascii_lowercase() == *member);
        let name = |text| (format!("{} {path}", member.to_ascii_uppercase()), text);
        match (method, member.as_str()) {
            (Some(method), _) => {
                read.push(of_operation(&source, method, path, item, operation).map_err(name))
            }
            (None, "parameters" | "summary" | "description") => {}
            (None, "servers") => {
                read.push(Err((path.to_owned(), "`servers` of one path cannot be carried".to_owned())));
            }
            (None, extension) if extension.starts_with("x-") => {}
            (None, _) => read.push(Err(name("no endpoint can have this method".to_owned()))),
        }
    }
    read
}

fn of_operation(
    source: &Source<'_>,
    method: Method,
    path: &str,
    item: &Value,
    operation: &Value,
) -> Result<EndpointDeclaration, String> {
    for member in ["callbacks", "servers"] {
        if operation.get(member).is_some() {
            return Err(format!("`{member}` cannot be carried"));
        }
    }
    let path = extension::<String>(operation, "x-bank-path")?.unwrap_or_else(|| path.to_owned());
    let mut endpoint = EndpointDeclaration::new(method, path);
    let text = |of: &Value, member: &str| of.get(member).and_then(Value::as_str).map(ToOwned::to_owned);
    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    endpoint.summary = text(operation, "summary")
        .or_else(|| text(operation, "description").map(first_line))
        .or_else(|| text(item, "summary"))
        .unwrap_or_default();
    endpoint.description = text(operation, "description").unwrap_or_default();
    endpoint.operation_id = text(operation, "operationId");
    endpoint.input = input(source, &mut endpoint, item, operation)?;
    extensions(&mut endpoint, operation)?;
    if endpoint.access.is_none() {
        let example = r#"{"who":"authenticated"}"#;
        return Err(format!("does not say who may call it; add `x-bank-access`, for example {example}"));
    }
    answers(source, &mut endpoint, operation)?;
    Ok(endpoint)
}

fn extensions(endpoint: &mut EndpointDeclaration, operation: &Value) -> Result<(), String> {
    const KNOWN: [&str; 13] = [
        "x-bank-access",
        "x-bank-scopes",
        "x-bank-roles",
        "x-bank-idempotency",
        "x-bank-limit-class",
        "x-bank-body-limit",
        "x-bank-timeout-ms",
        "x-bank-idle-timeout-ms",
        "x-bank-whole-timeout-ms",
        "x-bank-long-poll",
        "x-bank-stream",
        "x-bank-upgrade",
        "x-bank-path",
    ];
    let mut members = operation.as_object().into_iter().flat_map(|members| members.keys());
    if let Some(unknown) = members.find(|name| name.starts_with("x-bank-") && !KNOWN.contains(&name.as_str()))
    {
        return Err(format!("`{unknown}` is not known"));
    }
    fn set<T: DeserializeOwned>(field: &mut T, operation: &Value, name: &str) -> Result<(), String> {
        if let Some(value) = extension(operation, name)? {
            *field = value;
        }
        Ok(())
    }
    endpoint.access = extension::<Access>(operation, "x-bank-access")?;
    let key = endpoint.idempotency == Idempotency::Key;
    set(&mut endpoint.idempotency, operation, "x-bank-idempotency")?;
    if key && endpoint.idempotency != Idempotency::Key {
        return Err("`Idempotency-Key` is required, but `x-bank-idempotency` is not `key`".to_owned());
    }
    set(&mut endpoint.limit_class, operation, "x-bank-limit-class")?;
    set(&mut endpoint.body_limit, operation, "x-bank-body-limit")?;
    set(&mut endpoint.timeout_ms, operation, "x-bank-timeout-ms")?;
    set(&mut endpoint.idle_timeout_ms, operation, "x-bank-idle-timeout-ms")?;
    set(&mut endpoint.whole_timeout_ms, operation, "x-bank-whole-timeout-ms")?;
    set(&mut endpoint.long_poll, operation, "x-bank-long-poll")?;
    set(&mut endpoint.stream, operation, "x-bank-stream")?;
    set(&mut endpoint.upgrade, operation, "x-bank-upgrade")
}

fn extension<T: DeserializeOwned>(operation: &Value, name: &str) -> Result<Option<T>, String> {
    let value = operation.get(name).filter(|value| !value.is_null()).cloned();
    value.map(|value| serde_json::from_value(value).map_err(|error| format!("`{name}`: {error}"))).transpose()
}

/// Status, media types and schema of success, and the service's own refusals.
fn answers(source: &Source<'_>, endpoint: &mut EndpointDeclaration, operation: &Value) -> Result<(), String> {
    let mut refusals: BTreeMap<u16, &Value> = BTreeMap::new();
    let mut success = None;
    let responses = operation.get("responses").and_then(Value::as_object);
    for (status, response) in responses.into_iter().flatten() {
        match status.parse::<u16>() {
            Ok(101) => endpoint.upgrade = true,
            Ok(status @ 200..=299) => {
                if success.replace((status, source.resolve(response)?)).is_some() {
                    return Err("has two statuses of success; an endpoint has one".to_owned());
                }
            }
            Ok(304) => {}
            Ok(status @ 400..=599) => drop(refusals.insert(status, source.resolve(response)?)),
            // Ranges stand for what the document does not name.
            Err(_) if status == "default" || status == "4XX" || status == "5XX" => {}
            _ => return Err(format!("answers with `{status}`, which cannot be declared")),
        }
    }
    let Some((status, response)) = success else {
        return Err("names no status of success".to_owned());
    };
    endpoint.status = status;
    let content = response.get("content").and_then(Value::as_object);
    if let Some(content) = content.filter(|content| !content.is_empty()) {
        endpoint.produces = content.keys().cloned().collect();
        // JSON is what a caller gets who asks for nothing.
        endpoint.produces.sort_by_key(|media_type| media_type != "application/json");
    }
    for (media_type, described) in content.into_iter().flatten() {
        let Some(of_answer) = described.get("schema") else { continue };
        if media_type == "application/json" {
            endpoint.output = schema(source, of_answer)?;
        } else if media_type == events::EVENT_STREAM {
            endpoint.events = events::read(source, of_answer)?.into_iter().collect();
        } else if source.resolve(of_answer)?.get("type").is_some_and(|kind| kind != "string") {
            return Err(format!("describes an answer as `{media_type}`; only JSON can be described"));
        }
    }
    let usual = problems::usual(endpoint);
    for (status, response) in refusals {
        let known = usual.get(&status);
        let of_problem = response.pointer("/content/application~1problem+json/schema");
        let codes = of_problem.and_then(|schema| schema.pointer("/properties/code/enum")?.as_array());
        let codes = codes.into_iter().flatten().filter_map(Value::as_str);
        let own: Vec<&str> = codes.filter(|code| known.is_none_or(|known| !known.contains(*code))).collect();
        if known.is_none() || !own.is_empty() {
            endpoint.problems.entry(status).or_default().extend(own.into_iter().map(ToOwned::to_owned));
        }
    }
    Ok(())
}
