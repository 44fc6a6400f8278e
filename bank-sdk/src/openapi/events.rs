//! The events of a stream (`text/event-stream`). OpenAPI 3.1 has no word for them, JSON Schema has: the schema of a text's content.

use schemars::Schema;
use serde_json::{Map, Value, json};

use super::components::Components;
use super::read_schema::{Source, schema};
use crate::declaration::EndpointDeclaration;

/// The media type of a stream of server-sent events.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// The schema of a stream: a text whose content is a list of the endpoint's events, each with JSON as its data.
pub(super) fn stream_schema(endpoint: &EndpointDeclaration, components: &Components) -> Value {
    let events: Vec<Value> = endpoint
        .events
        .iter()
        .map(|(name, data)| {
            json!({
                "title": name,
                "type": "object",
                "required": ["event", "data"],
                "properties": {
                    "event": { "const": name },
                    "id": { "type": "string", "description": "For `Last-Event-ID`, where the event has one." },
                    "data": {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": components.refer(data.as_value(), name),
                    },
                },
            })
        })
        .collect();
    let mut schema = json!({ "type": "string", "contentMediaType": EVENT_STREAM });
    if !events.is_empty() {
        schema["contentSchema"] = json!({ "type": "array", "items": { "oneOf": events } });
    }
    schema
}

/// The events that such a schema names.
pub(super) fn read(source: &Source<'_>, stream: &Value) -> Result<Vec<(String, Schema)>, String> {
    let events = stream.pointer("/contentSchema/items/oneOf").and_then(Value::as_array);
    let properties = events.into_iter().flatten().filter_map(|event| event.get("properties")?.as_object());
    properties.filter_map(|properties| event(source, properties).transpose()).collect()
}

fn event(source: &Source<'_>, properties: &Map<String, Value>) -> Result<Option<(String, Schema)>, String> {
    let name = properties.get("event").and_then(|event| event.get("const")?.as_str());
    let data = properties.get("data").and_then(|data| data.get("contentSchema"));
    let (Some(name), Some(data)) = (name, data) else { return Ok(None) };
    Ok(Some((name.to_owned(), schema(source, data)?)))
}
