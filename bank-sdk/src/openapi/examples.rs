//! An endpoint's examples, each where OpenAPI wants its part.

use serde_json::{Map, Value, json};

use crate::declaration::EndpointDeclaration;

/// The bodies: what of each input is neither in the path nor in the query.
pub(super) fn of_body(endpoint: &EndpointDeclaration) -> Option<Value> {
    let path = endpoint.path_parameters();
    let bodies = endpoint.examples.iter().filter_map(|example| {
        let mut input = example.input.clone()?;
        if let Some(fields) = input.as_object_mut() {
            fields.retain(|name, _| !path.contains(&name.as_str()));
        }
        Some((example.name.as_str(), input))
    });
    distinct(bodies)
}

/// The answers of one media type.
pub(super) fn of_answer(endpoint: &EndpointDeclaration, media_type: &str) -> Option<Value> {
    let answers = endpoint.examples.iter().filter(|example| example.media_type == media_type);
    distinct(answers.filter_map(|example| Some((example.name.as_str(), example.output.clone()?))))
}

/// A parameter's value in the first example that has one.
pub(super) fn of_parameter(endpoint: &EndpointDeclaration, name: &str) -> Option<Value> {
    endpoint.examples.iter().find_map(|example| example.input.as_ref()?.get(name).cloned())
}

/// Equal values stand once, under the first name.
fn distinct<'a>(examples: impl Iterator<Item = (&'a str, Value)>) -> Option<Value> {
    let mut named: Map<String, Value> = Map::new();
    for (name, value) in examples {
        if !named.values().any(|known| known["value"] == value) {
            named.insert(name.to_owned(), json!({ "value": value }));
        }
    }
    (!named.is_empty()).then_some(Value::Object(named))
}
