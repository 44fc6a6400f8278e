//! What stands in the table: every kind of row has keys of its own, told by the letter that its partition begins with.
//!
//! | `pk` | `sk` | Row | Attributes |
//! | --- | --- | --- | --- |
//! | `i#PARTITION` | the item's sort | an item | `v` value, `ver` version, `x` expiry in microseconds, `ttl` |
//! | `w#ID` | `w` | a transaction's id | `f` content, `vs` versions, `o` whose call it was; or `never`; `ttl` |
//! | `e#SHARD` | the slot, 16 digits | an event, or a slot taken away | `e` nonce, `at`; `id`, `s` stream, `t` topic, `p` payload |
//! | `h#STREAM` | `h` | the newest slot of a stream | `n`, `ttl` |
//! | `c#SHARD` | `c` | the newest slot of a shard that was reserved | `n`, `floor` the newest that was forgotten |
//! | `p` | consumer and shard | how far a consumer has come | `n`, `e`, `c` consumer, `sh` shard |
//! | `r` | `r` | counts the consumers that came | `n` |
//! | `m` | `m` | the store | `shards`, `e` epoch |

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;

use crate::error::damaged;
use crate::items::{Item, Key};
use crate::outbox::{Event, NewEvent, Position, ShardId};
use crate::{Error, Result, Timestamp};

pub(super) type Row = HashMap<String, AttributeValue>;

/// How long a transaction's id is remembered: a day more than is promised.
pub(super) const REMEMBERED: Duration = Duration::from_secs(8 * 86_400);
/// How long the table keeps an item that has expired, for those whose clocks are behind.
const KEPT: Duration = Duration::from_secs(3_600);

pub(super) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(super) fn bytes(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// A row's key.
#[derive(Clone, Debug)]
pub(super) struct At {
    pub(super) pk: String,
    pub(super) sk: String,
}

impl At {
    pub(super) fn item(key: &Key) -> Self {
        Self { pk: partition(&key.partition), sk: key.sort.clone() }
    }

    pub(super) fn id(id: &str) -> Self {
        Self { pk: format!("w#{id}"), sk: "w".to_owned() }
    }

    pub(super) fn slot(shard: u16, slot: u64) -> Self {
        Self { pk: slots(shard), sk: slot_sort(slot) }
    }

    pub(super) fn head(stream: &str) -> Self {
        Self { pk: format!("h#{stream}"), sk: "h".to_owned() }
    }

    pub(super) fn counter(shard: u16) -> Self {
        Self { pk: format!("c#{shard}"), sk: "c".to_owned() }
    }

    pub(super) fn consumer(consumer: &str, shard: u16) -> Self {
        Self { pk: CONSUMERS.to_owned(), sk: format!("{}{shard:05}", consumer_sort(consumer)) }
    }

    pub(super) fn register() -> Self {
        Self { pk: "r".to_owned(), sk: "r".to_owned() }
    }

    pub(super) fn store() -> Self {
        Self { pk: "m".to_owned(), sk: "m".to_owned() }
    }

    pub(super) fn row(self) -> Row {
        HashMap::from([("pk".to_owned(), text(self.pk)), ("sk".to_owned(), text(self.sk))])
    }
}

pub(super) const CONSUMERS: &str = "p";

/// The partition of a partition's items.
pub(super) fn partition(partition: &str) -> String {
    format!("i#{partition}")
}

/// The partition of a shard's slots.
pub(super) fn slots(shard: u16) -> String {
    format!("e#{shard}")
}

pub(super) fn slot_sort(slot: u64) -> String {
    format!("{slot:016}")
}

/// What the sorts of one consumer begin with, and those of no other.
pub(super) fn consumer_sort(consumer: &str) -> String {
    format!("{:03}{consumer}", consumer.len())
}

/// An attribute of a row that was read.
pub(super) fn number_of(row: &Row, name: &'static str) -> Result<u64> {
    optional_number(row, name)?.ok_or_else(|| unreadable(name))
}

pub(super) fn optional_number<T: std::str::FromStr>(row: &Row, name: &'static str) -> Result<Option<T>> {
    match row.get(name) {
        None => Ok(None),
        Some(AttributeValue::N(digits)) => digits.parse().map(Some).map_err(|_| unreadable(name)),
        Some(_) => Err(unreadable(name)),
    }
}

pub(super) fn text_of<'a>(row: &'a Row, name: &'static str) -> Result<&'a str> {
    match row.get(name) {
        Some(AttributeValue::S(text)) => Ok(text),
        _ => Err(unreadable(name)),
    }
}

pub(super) fn bytes_of<'a>(row: &'a Row, name: &'static str) -> Result<&'a [u8]> {
    match row.get(name) {
        Some(AttributeValue::B(bytes)) => Ok(bytes.as_ref()),
        _ => Err(unreadable(name)),
    }
}

pub(super) fn unreadable(name: &'static str) -> Error {
    damaged(Error::invalid(name, "not what was written"))
}

/// A put item's row.
pub(super) fn put(key: &Key, value: &Bytes, version: u64, expires_at: Option<Timestamp>) -> Row {
    let mut row = At::item(key).row();
    row.insert("v".to_owned(), bytes(value.to_vec()));
    row.insert("ver".to_owned(), number(version));
    if let Some(at) = expires_at {
        row.insert("x".to_owned(), number(at.micros()));
        row.insert("ttl".to_owned(), number(at.saturating_add(KEPT).seconds().max(0)));
    }
    row
}

/// The item that a row is.
pub(super) fn item(row: &Row) -> Result<Item> {
    let pk = text_of(row, "pk")?;
    let partition = pk.strip_prefix("i#").ok_or_else(|| unreadable("pk"))?;
    let key = Key::new(partition, text_of(row, "sk")?);
    let value = Bytes::copy_from_slice(bytes_of(row, "v")?);
    let expires_at = optional_number(row, "x")?.map(Timestamp::from_micros);
    Ok(Item::new(key, value, number_of(row, "ver")?, expires_at))
}

/// When the table may remove what it has to remember from this time on.
pub(super) fn remembered(from: Timestamp) -> AttributeValue {
    number(from.saturating_add(REMEMBERED).seconds())
}

/// The row of an event in its slot.
pub(super) fn event(shard: u16, slot: u64, nonce: u64, event: &NewEvent, at: Timestamp) -> Row {
    let mut row = empty(shard, slot, nonce, at);
    row.insert("id".to_owned(), text(&event.id));
    row.insert("s".to_owned(), text(event.stream.as_str()));
    row.insert("t".to_owned(), text(&event.topic));
    row.insert("p".to_owned(), text(event.payload.to_string()));
    row
}

/// The row of a slot that no event will take, since this time.
pub(super) fn empty(shard: u16, slot: u64, nonce: u64, at: Timestamp) -> Row {
    let mut row = At::slot(shard, slot).row();
    row.insert("e".to_owned(), number(nonce));
    row.insert("at".to_owned(), number(at.micros()));
    row
}

/// What stands in a slot.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: u64,
    pub(super) nonce: u64,
    /// When the event was committed, or the slot taken away.
    pub(super) at: Timestamp,
    pub(super) event: Option<Event>,
}

impl Slot {
    pub(super) fn read(shard: ShardId, row: &Row) -> Result<Self> {
        let number = text_of(row, "sk")?.parse().map_err(|_| unreadable("sk"))?;
        let nonce = number_of(row, "e")?;
        let at = optional_number(row, "at")?.map(Timestamp::from_micros).ok_or_else(|| unreadable("at"))?;
        if !row.contains_key("id") {
            return Ok(Self { number, nonce, at, event: None });
        }
        let payload = serde_json::from_str(text_of(row, "p")?).map_err(|_| unreadable("p"))?;
        let told = NewEvent::new(text_of(row, "id")?, text_of(row, "s")?, text_of(row, "t")?, payload);
        let event = Event::new(Position::new(nonce, shard, number), at, told);
        Ok(Self { number, nonce, at, event: Some(event) })
    }
}
