//! Transactions: conditional changes to several items, all or none.

use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;
use serde::Serialize;

use super::Key;
use super::key::{MAX_KEY, MAX_VALUE};
use crate::canonical::Canonical;
use crate::outbox::NewEvent;
use crate::{Error, Result, Timestamp, sealed};

/// The most changes of a transaction that has no events. Each event takes the place of two: changes and twice the events are
/// together at most so many.
pub const MAX_CHANGES: usize = 99;
/// The most bytes of a transaction: keys, values and events together.
pub const MAX_TRANSACTION: usize = 3 * 1_024 * 1_024;

/// What has to hold for an item, or the whole transaction does not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// There is no such item; otherwise `AlreadyExists`.
    Absent,
    /// There is one; otherwise `Conflict`.
    Exists,
    /// Its version is this; otherwise `Conflict`.
    Version(u64),
}

/// A change to one item.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Creates or replaces the item.
    Put {
        /// The item.
        key: Key,
        /// What it holds from now on.
        value: Bytes,
        /// From when on it counts as absent.
        expires_at: Option<Timestamp>,
        /// What has to hold.
        condition: Condition,
    },
    /// Removes the item, if it is there.
    Delete {
        /// The item.
        key: Key,
        /// What has to hold.
        condition: Condition,
    },
    /// Changes nothing; the condition has to hold all the same.
    Check {
        /// The item.
        key: Key,
        /// What has to hold.
        condition: Condition,
    },
}

impl Change {
    /// Puts `value` as JSON.
    pub fn put<T: Serialize + ?Sized>(key: Key, value: &T) -> Result<Self> {
        let json = serde_json::to_vec(value)
            .map_err(|source| Error::invalid("value", "cannot be written as JSON").with_source(source))?;
        Ok(Self::put_bytes(key, json))
    }

    /// Puts bytes as they are.
    pub fn put_bytes(key: Key, value: impl Into<Bytes>) -> Self {
        Self::Put { key, value: value.into(), expires_at: None, condition: Condition::Always }
    }

    /// Removes the item.
    pub fn delete(key: Key) -> Self {
        Self::Delete { key, condition: Condition::Always }
    }

    /// Only checks `condition`.
    pub fn check(key: Key, condition: Condition) -> Self {
        Self::Check { key, condition }
    }

    /// What has to hold.
    #[must_use]
    pub fn when(mut self, when: Condition) -> Self {
        match &mut self {
            Self::Put { condition, .. } | Self::Delete { condition, .. } | Self::Check { condition, .. } => {
                *condition = when;
            }
        }
        self
    }

    /// From when on the item counts as absent; means nothing but for a put.
    #[must_use]
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        if let Self::Put { expires_at, .. } = &mut self {
            *expires_at = Some(at);
        }
        self
    }

    /// The item it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }

    /// What has to hold.
    pub fn condition(&self) -> Condition {
        match self {
            Self::Put { condition, .. } | Self::Delete { condition, .. } | Self::Check { condition, .. } => {
                *condition
            }
        }
    }
}

impl fmt::Debug for Change {
    /// Without the value, which may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Put { .. } => "Put",
            Self::Delete { .. } => "Delete",
            Self::Check { .. } => "Check",
        };
        f.debug_struct(name)
            .field("key", self.key())
            .field("condition", &self.condition())
            .finish_non_exhaustive()
    }
}

/// Names a transaction: the same id again is the same transaction, whoever sends it.
///
/// 1 to 1,024 bytes, checked when it is used. Remembered for seven days at least, by a time that no clock's jump moves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WriteId(String);

impl WriteId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks the size.
    pub fn validate(&self) -> Result<()> {
        if (1..=MAX_KEY).contains(&self.0.len()) && !self.0.contains('\0') {
            return Ok(());
        }
        Err(Error::invalid("id", format!("1 to {MAX_KEY} bytes without NUL")))
    }
}

impl From<&str> for WriteId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for WriteId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&Self> for WriteId {
    fn from(id: &Self) -> Self {
        id.clone()
    }
}

impl From<&String> for WriteId {
    fn from(text: &String) -> Self {
        Self(text.clone())
    }
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Changes that happen together or not at all, with the events that tell of them.
///
/// The id makes it safe to send again: the same id and content gives the first outcome, marked as replayed; the same id
/// with other content is a `Conflict`. A transaction that was refused is not remembered: its id may be tried again, unless it was
/// [settled](super::Items::settle) in the meantime.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transaction {
    /// Names it.
    pub id: WriteId,
    /// What it changes; each key once.
    pub changes: Vec<Change>,
    /// What it tells.
    pub events: Vec<NewEvent>,
}

impl Transaction {
    /// A transaction without changes yet.
    pub fn new(id: impl Into<WriteId>) -> Self {
        Self { id: id.into(), changes: Vec::new(), events: Vec::new() }
    }

    /// Adds a change.
    #[must_use]
    pub fn change(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// Adds an event.
    #[must_use]
    pub fn event(mut self, event: NewEvent) -> Self {
        self.events.push(event);
        self
    }

    /// Checks what can be checked without the store; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        self.id.validate()?;
        if !(1..=MAX_CHANGES).contains(&self.changes.len()) {
            return Err(Error::invalid(
                "changes",
                format!("1 to {MAX_CHANGES} changes, not {}", self.changes.len()),
            ));
        }
        if self.changes.len() + 2 * self.events.len() > MAX_CHANGES {
            let message = format!("changes and twice the events are together at most {MAX_CHANGES}");
            return Err(Error::invalid("events", message));
        }
        self.events.iter().try_for_each(NewEvent::validate)?;
        let size = self.size();
        if size > MAX_TRANSACTION + self.sealed_more() {
            let message = format!("a transaction has at most {MAX_TRANSACTION} bytes, not {size}");
            return Err(Error::invalid("transaction", message));
        }
        for (index, change) in self.changes.iter().enumerate() {
            change.key().validate().map_err(|error| error.with_change(index))?;
            if let Change::Put { value, .. } = change
                && value.len() > sealed::most_of_bytes(value, MAX_VALUE)
            {
                let message = format!("a value has at most {MAX_VALUE} bytes, not {}", value.len());
                return Err(Error::invalid("value", message).with_change(index));
            }
        }
        let mut seen = HashSet::with_capacity(self.changes.len());
        match self.changes.iter().position(|change| !seen.insert(change.key())) {
            None => Ok(()),
            Some(index) => {
                Err(Error::invalid("key", "a key appears once in a transaction").with_change(index))
            }
        }
    }

    /// By how much sealing has lengthened it, at most.
    fn sealed_more(&self) -> usize {
        let value = |change: &Change| match change {
            Change::Put { value, .. } => sealed::most_of_bytes(value, 0),
            _ => 0,
        };
        let events = self.events.iter().map(|event| sealed::most_of_json(&event.payload, 0));
        self.changes.iter().map(value).chain(events).sum()
    }

    /// How many bytes it carries.
    pub(crate) fn size(&self) -> usize {
        let change = |change: &Change| {
            let value = match change {
                Change::Put { value, .. } => value.len(),
                _ => 0,
            };
            change.key().partition.len() + change.key().sort.len() + value
        };
        let events = self.events.iter().map(NewEvent::size);
        self.id.as_str().len() + self.changes.iter().map(change).chain(events).sum::<usize>()
    }

    /// What tells this content from any other under the same id.
    pub fn content(&self) -> [u8; 32] {
        let mut form = Canonical::new("items.2").text(self.id.as_str()).count(self.changes.len());
        for change in &self.changes {
            form = form.text(&change.key().partition).text(&change.key().sort);
            form = match change.condition() {
                Condition::Always => form.number(0),
                Condition::Absent => form.number(1),
                Condition::Exists => form.number(2),
                Condition::Version(version) => form.number(3).text(&version.to_string()),
            };
            form = match change {
                Change::Put { value, expires_at, .. } => {
                    form.number(0).bytes(value).optional(*expires_at, |form, at| form.number(at.micros()))
                }
                Change::Delete { .. } => form.number(1),
                Change::Check { .. } => form.number(2),
            };
        }
        form = form.count(self.events.len());
        for event in &self.events {
            form = form.text(&event.id).text(event.stream.as_str()).text(&event.topic);
            form = form.text(&event.payload.to_string());
        }
        form.finish()
    }
}

/// The outcome of a transaction that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// The transaction.
    pub id: WriteId,
    /// The version of each changed item, in the order of the changes: the new one for a put, 0 for a delete and a check.
    pub versions: Vec<u64>,
    /// Whether the effect is an earlier one, of the same transaction sent before.
    pub replayed: bool,
}

impl Committed {
    /// Made by an adapter.
    pub fn new(id: WriteId, versions: Vec<u64>) -> Self {
        Self { id, versions, replayed: false }
    }

    /// The same outcome for a transaction that had been committed before.
    #[must_use]
    pub fn replay(mut self) -> Self {
        self.replayed = true;
        self
    }
}

/// How a transaction ended, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It took effect.
    Committed(Committed),
    /// It did not, and never will: its id is refused.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(number: u32) -> NewEvent {
        NewEvent::new(number.to_string(), "s", "t", json!({}))
    }

    fn put() -> Change {
        Change::put(Key::new("p", "s"), &1).unwrap()
    }

    #[test]
    fn what_is_wrong_is_named() {
        let big = Change::put_bytes(Key::new("p", "s"), vec![0; MAX_VALUE + 1]);
        let cases = [
            (Transaction::new("").change(put()), "id"),
            (Transaction::new("t"), "changes"),
            (Transaction::new("t").change(put()).change(Change::delete(Key::new("p", "s"))), "key"),
            (Transaction::new("t").change(Change::delete(Key::new("", "s"))), "key.partition"),
            (Transaction::new("t").change(Change::delete(Key::new("p", "x".repeat(1_025)))), "key.sort"),
            (Transaction::new("t").change(big), "value"),
            ((0..50).fold(Transaction::new("t").change(put()), |t, n| t.event(event(n))), "events"),
            (Transaction::new("t").change(put()).event(NewEvent::new("", "s", "t", json!(1))), "event.id"),
            (
                (0..9).fold(Transaction::new("t"), |t, n| {
                    t.change(Change::put_bytes(Key::new("p", n.to_string()), vec![0; MAX_VALUE]))
                }),
                "transaction",
            ),
        ];
        for (transaction, field) in cases {
            assert_eq!(transaction.validate().unwrap_err().field(), Some(field));
        }
        let full = (0..49).fold(Transaction::new("t").change(put()), |t, n| t.event(event(n)));
        assert!(full.validate().is_ok());
    }

    #[test]
    fn condition_value_and_expiry_are_part_of_the_content() {
        let content = |change: Change| Transaction::new("t").change(change).content();
        let plain = content(put());
        assert_eq!(plain, content(put()));
        assert_ne!(plain, content(put().when(Condition::Absent)));
        assert_ne!(plain, content(put().expires_at(Timestamp::EPOCH)));
        assert_ne!(plain, content(Change::put(Key::new("p", "s"), &2).unwrap()));
    }
}
