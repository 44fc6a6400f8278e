//! Schemas of a document as a declaration has them: whole, with all that they refer to in `$defs`.

use schemars::Schema;
use serde_json::{Map, Value};

use super::components::{LOCAL, SHARED, map_references, references};

/// So many references lead to one another at most.
const MAX_STEPS: usize = 32;

/// The document that is read.
pub(super) struct Source<'d> {
    document: &'d Value,
}

impl<'d> Source<'d> {
    pub(super) const fn new(document: &'d Value) -> Self {
        Self { document }
    }

    /// What a reference object stands for; anything else stands for itself.
    pub(super) fn resolve(&self, mut value: &'d Value) -> Result<&'d Value, String> {
        for _ in 0..MAX_STEPS {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return Ok(value) };
            let pointer = reference.strip_prefix('#').ok_or_else(|| elsewhere(reference))?;
            value = self
                .document
                .pointer(pointer)
                .filter(|_| pointer.starts_with('/'))
                .ok_or_else(|| format!("`{reference}` leads to nothing"))?;
        }
        Err("its references lead round in a circle".to_owned())
    }
}

fn elsewhere(reference: &str) -> String {
    format!("`{reference}` is in another document, which is not read; put it into `components`")
}

/// A schema of the document as a declaration's.
pub(super) fn schema(source: &Source<'_>, schema: &Value) -> Result<Schema, String> {
    with_definitions(source, schema.clone())
}

/// A schema with all that it refers to.
pub(super) fn with_definitions(source: &Source<'_>, mut schema: Value) -> Result<Schema, String> {
    let mut definitions: Map<String, Value> = Map::new();
    let mut open = localize(&mut schema)?;
    while let Some(name) = open.pop() {
        if definitions.contains_key(&name) {
            continue;
        }
        let schemas = source.document.pointer("/components/schemas");
        let mut definition = schemas
            .and_then(|schemas| schemas.get(&name))
            .cloned()
            .ok_or_else(|| format!("the schema `{name}` is not in `components`"))?;
        open.extend(localize(&mut definition)?);
        definitions.insert(name, definition);
    }
    if !definitions.is_empty() {
        let object = schema.as_object_mut().ok_or("a schema must be an object")?;
        object.insert("$defs".to_owned(), Value::Object(definitions));
    }
    Schema::try_from(schema).map_err(|_| "a schema must be an object, or true or false".to_owned())
}

/// Points a schema's references into its `$defs`, and says which schemas have to be there.
fn localize(schema: &mut Value) -> Result<Vec<String>, String> {
    if let Some(member) = foreign_member(schema) {
        return Err(format!("a schema with `{member}` cannot be carried"));
    }
    let mut names = Vec::new();
    for reference in references(schema) {
        let name = reference.strip_prefix(SHARED).ok_or_else(|| {
            if reference.starts_with('#') {
                format!("`{reference}` is no schema of `components`")
            } else {
                elsewhere(&reference)
            }
        })?;
        names.push(name.replace("~1", "/").replace("~0", "~"));
    }
    map_references(schema, &mut |reference| Some(format!("{LOCAL}{}", reference.strip_prefix(SHARED)?)));
    Ok(names)
}

/// A member that changes what references mean.
fn foreign_member(schema: &Value) -> Option<&'static str> {
    const FOREIGN: [&str; 5] = ["$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$defs"];
    match schema {
        Value::Object(object) => {
            let own = FOREIGN.into_iter().find(|member| object.contains_key(*member));
            own.or_else(|| {
                object.iter().find_map(|(member, value)| match (member.as_str(), value) {
                    ("const" | "enum" | "default" | "example" | "examples", _) => None,
                    ("properties" | "patternProperties", Value::Object(named)) => {
                        named.values().find_map(foreign_member)
                    }
                    _ => foreign_member(value),
                })
            })
        }
        Value::Array(items) => items.iter().find_map(foreign_member),
        _ => None,
    }
}

/// Whether a schema is an object with named fields and nothing else, so that more fields can join it.
pub(super) fn plain(schema: &Value) -> bool {
    let choices = ["allOf", "anyOf", "oneOf", "patternProperties", "if", "not"];
    let open = schema.get("additionalProperties").is_some_and(Value::is_object);
    schema.get("type").is_none_or(|kind| kind == "object")
        && (schema.get("type").is_some() || schema.get("properties").is_some())
        && !open
        && !choices.iter().any(|choice| schema.get(*choice).is_some())
}
