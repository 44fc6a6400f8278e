//! Events that leave a store in commit order, written in the same transaction as their cause.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result, Timestamp};

/// A place in the order of a store's events.
///
/// A consumer keeps the position of the last event it has handled together with its effect, and reads on from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);

    /// Made by an adapter; the first event is at 1.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        crate::text::number("position", text).map(Self)
    }
}

impl Serialize for Position {
    /// A string, since numbers above 2^53 do not survive in every language.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::deserialize(deserializer)
    }
}

/// Something that has happened, as consumers read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// Its place in the commit order.
    pub position: Position,
    /// Names it for good: a consumer drops an id that it has seen.
    pub id: String,
    /// What kind of thing happened, such as `posting.transfer`.
    pub topic: String,
    /// When it was committed.
    pub at: Timestamp,
    /// What happened.
    pub payload: serde_json::Value,
}

impl Event {
    /// Made by an adapter.
    pub fn new(position: Position, at: Timestamp, event: NewEvent) -> Self {
        Self { position, id: event.id, topic: event.topic, at, payload: event.payload }
    }
}

/// An event to be written with a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NewEvent {
    /// Names it for good; the caller keeps it unique.
    pub id: String,
    /// What kind of thing happened.
    pub topic: String,
    /// What happened.
    pub payload: serde_json::Value,
}

impl NewEvent {
    /// An event of `topic`, named `id`.
    pub fn new(id: impl Into<String>, topic: impl Into<String>, payload: serde_json::Value) -> Self {
        Self { id: id.into(), topic: topic.into(), payload }
    }
}
