//! How these types look on the wire, as JSON Schema 2020-12.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::outbox::{Event, Position, ShardId, StreamKey};
use crate::{Currency, Money, Timestamp};

impl JsonSchema for Money {
    fn schema_name() -> Cow<'static, str> {
        "Money".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "An amount of money; it has at most as many decimals as its currency.",
            "required": ["amount", "currency"],
            "additionalProperties": false,
            "properties": {
                "amount": { "type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["12.34"] },
                "currency": generator.subschema_for::<Currency>(),
            },
            "examples": [{ "amount": "12.34", "currency": "EUR" }],
        })
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The code of a currency (ISO 4217).",
            "pattern": "^[A-Z]{3}$",
            "examples": ["EUR"],
        })
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "description": "RFC 3339, UTC." })
    }
}

impl JsonSchema for Position {
    fn schema_name() -> Cow<'static, str> {
        "Position".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^[0-9a-f]+\.[0-9]+\.[0-9]+$", "description": "A place in a shard of a store's events." })
    }
}

impl JsonSchema for ShardId {
    fn schema_name() -> Cow<'static, str> {
        "ShardId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": 65_535, "description": "A part of a store's events." })
    }
}

impl JsonSchema for StreamKey {
    fn schema_name() -> Cow<'static, str> {
        "StreamKey".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "What events are ordered by." })
    }
}

impl JsonSchema for Event {
    fn schema_name() -> Cow<'static, str> {
        "Event".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "required": ["position", "id", "stream", "topic", "at", "payload"],
            "properties": {
                "position": generator.subschema_for::<Position>(),
                "id": { "type": "string" },
                "stream": generator.subschema_for::<StreamKey>(),
                "topic": { "type": "string" },
                "at": generator.subschema_for::<Timestamp>(),
                "payload": true,
            },
        })
    }
}
