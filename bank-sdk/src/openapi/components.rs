//! The schemas that operations share. Equal ones stand once; different ones of one name are told apart by their service.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// Where a declaration's schema keeps what it refers to.
pub(super) const LOCAL: &str = "#/$defs/";
/// Where a document keeps it.
pub(super) const SHARED: &str = "#/components/schemas/";

/// Every schema that some declaration refers to, with its name in the document.
#[derive(Default)]
pub(super) struct Components {
    /// By its name in the declaration; then those of the name that differ, in the order in which they came.
    variants: BTreeMap<String, Vec<Variant>>,
}

struct Variant {
    /// The schema and all that it refers to: two variants are the same where these are.
    signature: String,
    services: BTreeSet<String>,
    schema: Value,
    definitions: Map<String, Value>,
    /// Its name in the document.
    name: String,
}

impl Components {
    /// With the document's own schemas, whose names no service takes.
    pub(super) fn with_own(own: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let mut components = Self::default();
        for (name, schema) in own {
            components.insert("", name, schema, Map::new());
        }
        components
    }

    /// Takes up what a service's schema refers to. `fallback` names the schema itself, where it refers to itself.
    pub(super) fn collect(&mut self, service: &str, schema: &Value, fallback: &str) {
        let (_, definitions) = split_definitions(schema, fallback);
        for (name, definition) in &definitions {
            self.insert(service, name, definition.clone(), definitions.clone());
        }
    }

    /// As [`collect`](Self::collect), and the schema itself becomes one of the document's: a body, or an answer.
    pub(super) fn collect_named(&mut self, service: &str, schema: &Value, fallback: &str) {
        self.collect(service, schema, fallback);
        let (schema, definitions) = split_definitions(schema, fallback);
        if let Some((name, schema)) = named(&schema, fallback) {
            self.insert(service, &name, schema, definitions);
        }
    }

    fn insert(&mut self, service: &str, name: &str, schema: Value, definitions: Map<String, Value>) {
        let signature = signature(&schema, &definitions);
        let variants = self.variants.entry(name.to_owned()).or_default();
        match variants.iter_mut().find(|variant| variant.signature == signature) {
            Some(variant) => drop(variant.services.insert(service.to_owned())),
            None => {
                let services = BTreeSet::from([service.to_owned()]);
                variants.push(Variant { signature, services, schema, definitions, name: String::new() });
            }
        }
    }

    /// Gives each schema its name, when all have been collected.
    pub(super) fn assign_names(&mut self) {
        let mut taken = BTreeSet::new();
        // A plain name goes to a schema that has it for itself, or that is the document's own.
        for (name, variants) in &mut self.variants {
            let alone = variants.len() == 1;
            if let Some(first) = variants.first_mut().filter(|first| alone || first.services.contains("")) {
                first.name = valid_name(name);
                taken.insert(first.name.clone());
            }
        }
        for (name, variants) in &mut self.variants {
            let services: BTreeSet<&String> = variants.iter().flat_map(|variant| &variant.services).collect();
            let of_one_service = services.len() == 1;
            for variant in variants.iter_mut().filter(|variant| variant.name.is_empty()) {
                let service = variant.services.first().map_or("", String::as_str);
                let wanted =
                    valid_name(&if of_one_service { name.clone() } else { format!("{service}.{name}") });
                variant.name = first_free(&wanted, &mut taken);
            }
        }
    }

    /// A service's schema as it stands in an operation: what it refers to is in the document's components.
    pub(super) fn inline(&self, schema: &Value, fallback: &str) -> Value {
        let (schema, definitions) = split_definitions(schema, fallback);
        self.repoint(schema, &definitions)
    }

    /// A reference to a schema that was [collected under its name](Self::collect_named).
    pub(super) fn refer(&self, schema: &Value, fallback: &str) -> Value {
        let (schema, definitions) = split_definitions(schema, fallback);
        let variant = named(&schema, fallback).and_then(|(name, schema)| {
            let signature = signature(&schema, &definitions);
            self.variants.get(&name)?.iter().find(|variant| variant.signature == signature)
        });
        match variant {
            Some(variant) => json!({ "$ref": format!("{SHARED}{}", variant.name) }),
            None => self.repoint(schema, &definitions),
        }
    }

    /// All schemas, by their names in the document.
    pub(super) fn into_schemas(self) -> Map<String, Value> {
        let all = self.variants.values().flatten();
        all.map(|variant| (variant.name.clone(), self.repoint(variant.schema.clone(), &variant.definitions)))
            .collect()
    }

    fn repoint(&self, mut schema: Value, definitions: &Map<String, Value>) -> Value {
        map_references(&mut schema, &mut |reference| {
            let local = local_name(reference)?;
            let definition = definitions.get(&local)?;
            let signature = signature(definition, definitions);
            let variant = self.variants.get(&local)?.iter().find(|variant| variant.signature == signature)?;
            Some(format!("{SHARED}{}", variant.name))
        });
        schema
    }
}

/// A schema's name and the schema without its title, which is the name; nothing where it only refers to another or
/// describes nothing.
fn named(schema: &Value, fallback: &str) -> Option<(String, Value)> {
    let object = schema.as_object().filter(|object| !object.contains_key("$ref"))?;
    let title = object.get("title").and_then(Value::as_str);
    let describes = ["properties", "oneOf", "anyOf", "allOf", "items", "enum"];
    if title.is_none() && !describes.iter().any(|member| object.contains_key(*member)) {
        return None;
    }
    let name = title.unwrap_or(fallback).to_owned();
    Some((name, untitled(schema)))
}

fn untitled(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(object) = schema.as_object_mut() {
        object.remove("title");
    }
    schema
}

/// A name that nobody has yet: the wanted one, or with a number behind it.
pub(super) fn first_free(wanted: &str, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2_u32..).map(|number| format!("{wanted}{number}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    // The numbers do not end before the schemas do.
    let free = names.find(|name| !taken.contains(name)).unwrap_or_default();
    taken.insert(free.clone());
    free
}

/// A component's name has letters, digits, `.`, `-` and `_` (OpenAPI 3.1 §4.8.7.1).
fn valid_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' }).collect()
}

/// A schema without its definitions, and the definitions. A schema that refers to itself as `#` becomes one of them.
fn split_definitions(schema: &Value, fallback: &str) -> (Value, Map<String, Value>) {
    let mut schema = schema.clone();
    let Some(object) = schema.as_object_mut() else { return (schema, Map::new()) };
    object.remove("$schema");
    let mut definitions = match object.remove("$defs") {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    };
    let mut refers_to_itself = false;
    let mut look = |reference: &str| {
        refers_to_itself |= reference == "#";
        None
    };
    map_references(&mut schema, &mut look);
    definitions.values_mut().for_each(|definition| map_references(definition, &mut look));
    if refers_to_itself {
        let title = schema.get("title").and_then(Value::as_str).unwrap_or(fallback).to_owned();
        let name = first_free(&title, &mut definitions.keys().cloned().collect());
        let mut name_it = |reference: &str| (reference == "#").then(|| format!("{LOCAL}{}", escaped(&name)));
        map_references(&mut schema, &mut name_it);
        definitions.values_mut().for_each(|definition| map_references(definition, &mut name_it));
        definitions.insert(name, untitled(&schema));
    }
    (schema, definitions)
}

/// What a schema is, with everything that it refers to.
fn signature(schema: &Value, definitions: &Map<String, Value>) -> String {
    let mut reached: BTreeMap<String, &Value> = BTreeMap::new();
    let mut open = vec![schema];
    while let Some(schema) = open.pop() {
        for name in references(schema).iter().filter_map(|reference| local_name(reference)) {
            if let Some((name, definition)) = definitions.get_key_value(&name)
                && reached.insert(name.clone(), definition).is_none()
            {
                open.push(definition);
            }
        }
    }
    json!([schema, reached]).to_string()
}

pub(crate) fn local_name(reference: &str) -> Option<String> {
    Some(reference.strip_prefix(LOCAL)?.replace("~1", "/").replace("~0", "~"))
}

/// A name as one step of a JSON pointer (RFC 6901).
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Every reference in a schema.
pub(crate) fn references(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut schema = schema.clone();
    map_references(&mut schema, &mut |reference| {
        found.push(reference.to_owned());
        None
    });
    found
}

/// Replaces each reference in a schema for which there is something else. What is data and no schema is left alone.
pub(super) fn map_references(schema: &mut Value, replace: &mut dyn FnMut(&str) -> Option<String>) {
    match schema {
        Value::Object(object) => {
            for (member, value) in object {
                match (member.as_str(), &mut *value) {
                    ("$ref", Value::String(reference)) => {
                        if let Some(other) = replace(reference) {
                            *reference = other;
                        }
                    }
                    ("const" | "enum" | "default" | "example" | "examples", _) => {}
                    // The members of these are names, whatever they are called.
                    (
                        "properties" | "patternProperties" | "$defs" | "dependentSchemas",
                        Value::Object(named),
                    ) => {
                        named.values_mut().for_each(|schema| map_references(schema, replace));
                    }
                    _ => map_references(value, replace),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| map_references(item, replace)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemas(of: &[(&str, Value)]) -> (Map<String, Value>, Vec<Value>) {
        let mut components = Components::with_own([("Problem", json!({ "type": "object" }))]);
        of.iter().for_each(|(service, schema)| components.collect(service, schema, "Root"));
        components.assign_names();
        let inlined = of.iter().map(|(_, schema)| components.inline(schema, "Root")).collect();
        (components.into_schemas(), inlined)
    }

    #[test]
    fn equal_schemas_are_shared_and_different_ones_bear_their_service_s_name() {
        let of = |definitions: Value| json!({ "$ref": "#/$defs/Entry", "$defs": definitions });
        let text = json!({ "Entry": { "$ref": "#/$defs/Text" }, "Text": { "type": "string" } });
        let number = json!({ "Entry": { "$ref": "#/$defs/Text" }, "Text": { "type": "integer" } });
        let (all, inlined) = schemas(&[("a", of(text.clone())), ("b", of(text)), ("c", of(number))]);
        // `Entry` reads the same in all, and means something else in `c`.
        assert_eq!(
            json!(all),
            json!({
                "Problem": { "type": "object" },
                "a.Entry": { "$ref": "#/components/schemas/a.Text" },
                "a.Text": { "type": "string" },
                "c.Entry": { "$ref": "#/components/schemas/c.Text" },
                "c.Text": { "type": "integer" },
            })
        );
        let shared = json!({ "$ref": "#/components/schemas/a.Entry" });
        assert_eq!(inlined, [shared.clone(), shared, json!({ "$ref": "#/components/schemas/c.Entry" })]);
    }

    #[test]
    fn one_service_s_two_forms_of_a_type_are_numbered_and_the_document_s_own_names_stay() {
        let of = |name: &str, kind: &str| json!({ "$ref": format!("#/$defs/{name}"), "$defs": { name: { "type": kind } } });
        let (all, _) =
            schemas(&[("a", of("X", "string")), ("a", of("X", "null")), ("a", of("Problem", "string"))]);
        let names: Vec<_> = all.keys().map(String::as_str).collect();
        assert_eq!(names, ["Problem", "X", "X2", "a.Problem"]);
        assert_eq!(all["Problem"], json!({ "type": "object" }));
    }

    #[test]
    fn a_type_that_holds_itself_becomes_a_component() {
        let tree = json!({ "title": "Tree", "properties": { "left": { "$ref": "#" } } });
        let (all, inlined) = schemas(&[("a", tree)]);
        let properties = json!({ "left": { "$ref": "#/components/schemas/Tree" } });
        // Its title is the component's name.
        assert_eq!(all["Tree"], json!({ "properties": properties }));
        assert_eq!(inlined[0], json!({ "title": "Tree", "properties": properties }));
    }

    #[test]
    fn a_field_that_is_called_ref_and_data_are_no_references() {
        let odd = json!({
            "properties": { "$ref": { "type": "string" }, "enum": { "$ref": "#/$defs/A" } },
            "default": { "$ref": "#/$defs/A" },
        });
        assert_eq!(references(&odd), ["#/$defs/A"]);
    }
}
