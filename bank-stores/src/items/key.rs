//! Keys, items and queries.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{Consistency, Error, ErrorKind, PageRequest, Result, Timestamp};

/// The longest part of a key, in bytes.
pub const MAX_KEY: usize = 1_024;
/// The largest value, in bytes: what fits a DynamoDB item with its key and attributes.
pub const MAX_VALUE: usize = 380 * 1_024;

/// Names an item: items of one partition are ordered by `sort` and read together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Key {
    /// What belongs together.
    pub partition: String,
    /// The place within the partition, in byte order.
    pub sort: String,
}

impl Key {
    /// The item `sort` of `partition`; each has 1 to 1,024 bytes, checked when it is used.
    pub fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self { partition: partition.into(), sort: sort.into() }
    }

    /// Checks the sizes; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        check("key.partition", &self.partition)?;
        check("key.sort", &self.sort)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.sort)
    }
}

fn check(field: &'static str, text: &str) -> Result<()> {
    if !(1..=MAX_KEY).contains(&text.len()) {
        return Err(Error::invalid(field, format!("1 to {MAX_KEY} bytes")));
    }
    if text.contains('\0') {
        return Err(Error::invalid(field, "no NUL"));
    }
    Ok(())
}

/// An item as it is stored.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// Its name.
    pub key: Key,
    /// What it holds.
    pub value: Bytes,
    /// Another number after each write, deleting and putting again included; never 0. It is drawn at random: two are equal or
    /// different, and neither is the later one.
    pub version: u64,
    /// From when on it counts as absent.
    pub expires_at: Option<Timestamp>,
}

impl Item {
    /// Made by an adapter.
    pub fn new(key: Key, value: Bytes, version: u64, expires_at: Option<Timestamp>) -> Self {
        Self { key, value, version, expires_at }
    }

    /// The value read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.value).map_err(|source| {
            Error::new(ErrorKind::Invalid, "the stored value is not the JSON that was expected")
                .with_field("value")
                .with_source(source)
        })
    }
}

impl fmt::Debug for Item {
    /// Without the value, which may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("key", &self.key)
            .field("bytes", &self.value.len())
            .field("version", &self.version)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// Which items of a partition are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SortRange {
    /// All of them.
    All,
    /// Those whose `sort` starts so.
    Prefix(String),
    /// Those from the first to the second, both included.
    Between(String, String),
}

/// A query over one partition, in the order of `sort`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// The partition.
    pub partition: String,
    /// Which of its items.
    pub range: SortRange,
    /// Which page of them.
    pub page: PageRequest,
    /// How fresh.
    pub read: Consistency,
}

impl Query {
    /// The first 100 items of `partition`.
    pub fn partition(partition: impl Into<String>) -> Self {
        Self {
            partition: partition.into(),
            range: SortRange::All,
            page: PageRequest::first(100),
            read: Consistency::Current,
        }
    }

    /// Only items whose `sort` starts with `prefix`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.range = SortRange::Prefix(prefix.into());
        self
    }

    /// Only items whose `sort` lies between `from` and `to`, both included.
    #[must_use]
    pub fn between(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.range = SortRange::Between(from.into(), to.into());
        self
    }

    /// Which page.
    #[must_use]
    pub fn page(mut self, page: PageRequest) -> Self {
        self.page = page;
        self
    }

    /// How fresh.
    #[must_use]
    pub fn read(mut self, read: Consistency) -> Self {
        self.read = read;
        self
    }

    /// Checks what can be checked without the store; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        check("partition", &self.partition)?;
        let longest = match &self.range {
            SortRange::All => 0,
            SortRange::Prefix(prefix) => prefix.len(),
            SortRange::Between(from, to) => from.len().max(to.len()),
        };
        if longest > MAX_KEY {
            return Err(Error::invalid("range", format!("a range has texts of at most {MAX_KEY} bytes")));
        }
        self.page.validate()
    }

    /// What a cursor of this query is bound to.
    pub fn identity(&self) -> Vec<&str> {
        let direction = match self.page.direction {
            crate::Direction::Forward => "forward",
            crate::Direction::Backward => "backward",
        };
        let mut parts = vec!["items", direction, &self.partition];
        match &self.range {
            SortRange::All => parts.push("all"),
            SortRange::Prefix(prefix) => parts.extend(["prefix", prefix]),
            SortRange::Between(from, to) => parts.extend(["between", from, to]),
        }
        parts
    }
}
