//! What has happened, as it is written and as it is read.

use serde::{Deserialize, Serialize};

use super::{Position, StreamKey};
use crate::documents::MAX_DEPTH;
use crate::text::{is_at_most, json_size};
use crate::{Error, Result, Timestamp, sealed};

/// The longest id, topic, stream key and name of a consumer, in bytes.
pub const MAX_NAME: usize = 256;
/// The largest payload, in bytes of JSON.
pub const MAX_PAYLOAD: usize = 64 * 1_024;

/// Something that has happened, as consumers read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// Its place in its shard.
    pub position: Position,
    /// Names it for good: a consumer drops an id that it has seen.
    pub id: String,
    /// What it is ordered by.
    pub stream: StreamKey,
    /// What kind of thing happened, such as `posting.transfer`.
    pub topic: String,
    /// When it was committed, by the writer's clock.
    pub at: Timestamp,
    /// What happened.
    pub payload: serde_json::Value,
}

impl Event {
    /// Made by an adapter.
    pub fn new(position: Position, at: Timestamp, event: NewEvent) -> Self {
        let NewEvent { id, stream, topic, payload } = event;
        Self { position, id, stream, topic, at, payload }
    }
}

/// Events of one shard, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Events {
    /// The events, in the shard's order.
    pub events: Vec<Event>,
    /// Behind them. It may have moved on where there was no event: keep it, and not the last event's position.
    pub next: Position,
}

impl Events {
    /// Made by an adapter.
    pub fn new(events: Vec<Event>, next: Position) -> Self {
        Self { events, next }
    }
}

/// An event to be written with a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NewEvent {
    /// Names it for good; the caller keeps it unique. 1 to 256 bytes.
    pub id: String,
    /// What it is ordered by: events of one key keep their commit order.
    pub stream: StreamKey,
    /// What kind of thing happened. 1 to 256 bytes.
    pub topic: String,
    /// What happened, at most 64 KiB of JSON, nested up to 100 deep.
    pub payload: serde_json::Value,
}

impl NewEvent {
    /// An event of `topic`, named `id`, in the order of `stream`.
    pub fn new(
        id: impl Into<String>,
        stream: impl Into<StreamKey>,
        topic: impl Into<String>,
        payload: serde_json::Value,
    ) -> Self {
        Self { id: id.into(), stream: stream.into(), topic: topic.into(), payload }
    }

    /// Checks the sizes; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        check_name("event.id", &self.id)?;
        check_name("event.stream", self.stream.as_str())?;
        check_name("event.topic", &self.topic)?;
        if !is_at_most(&self.payload, MAX_DEPTH) {
            return Err(Error::invalid("event.payload", format!("nested more than {MAX_DEPTH} deep")));
        }
        let size = json_size(&self.payload);
        if size > sealed::most_of_json(&self.payload, MAX_PAYLOAD) {
            let message = format!("a payload has at most {MAX_PAYLOAD} bytes, not {size}");
            return Err(Error::invalid("event.payload", message));
        }
        Ok(())
    }

    /// How many bytes it is.
    pub(crate) fn size(&self) -> usize {
        self.id.len() + self.stream.as_str().len() + self.topic.len() + json_size(&self.payload)
    }
}

pub(super) fn check_name(field: &'static str, text: &str) -> Result<()> {
    if (1..=MAX_NAME).contains(&text.len()) && !text.contains('\0') {
        return Ok(());
    }
    Err(Error::invalid(field, format!("1 to {MAX_NAME} bytes without NUL")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn nested(depth: usize) -> serde_json::Value {
        (0..depth).fold(json!(1), |inner, _| json!([inner]))
    }

    #[test]
    fn what_is_wrong_with_an_event_is_named() {
        let long = "x".repeat(MAX_NAME + 1);
        for (event, field) in [
            (NewEvent::new("", "s", "t", json!({})), "event.id"),
            (NewEvent::new("e", &*long, "t", json!({})), "event.stream"),
            (NewEvent::new("e", "s", "", json!({})), "event.topic"),
            (NewEvent::new("e", "s", "t", json!("x".repeat(MAX_PAYLOAD - 1))), "event.payload"),
            (NewEvent::new("e", "s", "t", nested(MAX_DEPTH + 1)), "event.payload"),
        ] {
            assert_eq!(event.validate().unwrap_err().field(), Some(field));
        }
        assert!(NewEvent::new("e", "s", "t", json!("x".repeat(MAX_PAYLOAD - 2))).validate().is_ok());
        assert!(NewEvent::new("e", "s", "t", nested(MAX_DEPTH)).validate().is_ok());
    }
}
