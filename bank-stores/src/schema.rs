//! How these types look on the wire, as JSON Schema 2020-12.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{Currency, Event, Money, Position, Timestamp};

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
        json_schema!({ "type": "string", "pattern": "^[0-9]+$", "description": "A place in an outbox." })
    }
}

impl JsonSchema for Event {
    fn schema_name() -> Cow<'static, str> {
        "Event".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "required": ["position", "id", "topic", "at", "payload"],
            "properties": {
                "position": generator.subschema_for::<Position>(),
                "id": { "type": "string" },
                "topic": { "type": "string" },
                "at": generator.subschema_for::<Timestamp>(),
                "payload": true,
            },
        })
    }
}
