//! An endpoint's one input, from an operation's parameters and body.

use schemars::Schema;
use serde_json::{Map, Value, json};

use super::read_schema::{Source, plain, with_definitions};
use crate::declaration::{EndpointDeclaration, Idempotency};
use crate::http::{CSRF_TOKEN, IDEMPOTENCY_KEY};

/// The schema of the input. A parameter that stands for something else is noted at the endpoint.
pub(super) fn input(
    source: &Source<'_>,
    endpoint: &mut EndpointDeclaration,
    item: &Value,
    operation: &Value,
) -> Result<Schema, String> {
    let has_body = endpoint.method.has_body();
    let mut fields = Fields::default();
    for parameter in parameters(source, item, operation)? {
        let member = |name: &str| parameter.get(name).and_then(Value::as_str).unwrap_or_default();
        let (name, place) = (member("name"), member("in"));
        let required = parameter.get("required") == Some(&json!(true));
        match place {
            "path" => {}
            "query" if !has_body => {}
            "header" if name.eq_ignore_ascii_case(IDEMPOTENCY_KEY.as_str()) => {
                if required {
                    endpoint.idempotency = Idempotency::Key;
                } else if endpoint.idempotency == Idempotency::None {
                    endpoint.idempotency = Idempotency::OptionalKey;
                }
                continue;
            }
            // The gateway asks for it where it is needed.
            "header" if name.eq_ignore_ascii_case(CSRF_TOKEN.as_str()) => continue,
            // OpenAPI says itself that these three mean nothing here.
            "header"
                if ["accept", "content-type", "authorization"].contains(&&*name.to_ascii_lowercase()) =>
            {
                continue;
            }
            _ => {
                return Err(format!(
                    "the parameter `{name}` in `{place}` cannot be carried; input comes from path and {}",
                    if has_body { "body" } else { "query" }
                ));
            }
        }
        let schema =
            parameter.get("schema").ok_or_else(|| format!("the parameter `{name}` has no schema"))?;
        let usual = if place == "path" { "simple" } else { "form" };
        let is_usual = parameter.get("style").is_none_or(|style| style == usual);
        let is_one =
            ["array", "object"].iter().all(|kind| source.resolve(schema).is_ok_and(|s| s["type"] != *kind));
        if !is_usual || !is_one || parameter.get("allowReserved") == Some(&json!(true)) {
            return Err(format!("the parameter `{name}` must be a single plain value"));
        }
        let mut schema = schema.clone();
        if let (Some(text), Some(object)) = (parameter.get("description"), schema.as_object_mut()) {
            object.entry("description").or_insert_with(|| text.clone());
        }
        fields.add(name, &schema, required || place == "path")?;
    }
    let names = endpoint.path_parameters();
    if let Some(missing) = names.iter().find(|name| !fields.properties.contains_key(**name)) {
        return Err(format!("the path names {{{missing}}}, which no parameter describes"));
    }
    let Some(body) = operation.get("requestBody") else {
        return with_definitions(source, fields.into_schema(Map::new()));
    };
    if !has_body {
        return Err("this method has no body; remove `requestBody`".to_owned());
    }
    let schema = json_body(source.resolve(body)?)?;
    let whole = source.resolve(schema)?;
    if plain(whole) {
        let mut object = whole.as_object().cloned().unwrap_or_default();
        if let Some(name) =
            schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next())
        {
            object.entry("title").or_insert_with(|| json!(name));
        }
        let required = object.remove("required");
        if let Some(Value::Object(properties)) = object.remove("properties") {
            for (name, schema) in &properties {
                fields.add(name, schema, false)?;
            }
        }
        let required = required.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
        fields.required.extend(required.map(ToOwned::to_owned));
        return with_definitions(source, fields.into_schema(object));
    }
    if fields.properties.is_empty() {
        return with_definitions(source, schema.clone());
    }
    Err("its body is no plain object, which the path's parameters could join".to_owned())
}

/// The parameters of an operation, which overrule those of its path (OpenAPI 3.1 §4.8.9).
fn parameters<'d>(
    source: &Source<'d>,
    item: &'d Value,
    operation: &'d Value,
) -> Result<Vec<&'d Value>, String> {
    let of = |of: &'d Value| of.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let mut all: Vec<&Value> = Vec::new();
    for parameter in of(item).chain(of(operation)) {
        let parameter = source.resolve(parameter)?;
        all.retain(|known| known["name"] != parameter["name"] || known["in"] != parameter["in"]);
        all.push(parameter);
    }
    Ok(all)
}

fn json_body(body: &Value) -> Result<&Value, String> {
    let content = body.get("content").and_then(Value::as_object);
    let mut content = content.into_iter().flatten();
    match (content.next(), content.next()) {
        (Some((media_type, described)), None) if media_type == "application/json" => {
            described.get("schema").ok_or_else(|| "its body has no schema".to_owned())
        }
        _ => Err("its body must be `application/json` and nothing else".to_owned()),
    }
}

#[derive(Default)]
struct Fields {
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl Fields {
    fn add(&mut self, name: &str, schema: &Value, required: bool) -> Result<(), String> {
        if self.properties.insert(name.to_owned(), schema.clone()).is_some() {
            return Err(format!("two parts of the input are called `{name}`; rename one"));
        }
        if required {
            self.required.push(name.to_owned());
        }
        Ok(())
    }

    /// The whole input: these fields, beside what else is said of it.
    fn into_schema(self, mut object: Map<String, Value>) -> Value {
        object.insert("type".to_owned(), json!("object"));
        if !self.properties.is_empty() {
            object.insert("properties".to_owned(), Value::Object(self.properties));
        }
        if !self.required.is_empty() {
            object.insert("required".to_owned(), json!(self.required));
        }
        object.into()
    }
}
