//! Places in a store's events.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// What events are ordered by, such as a customer: events of one key keep their commit order. 1 to 256 bytes, checked when it is
/// used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamKey(String);

impl StreamKey {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Asked by an adapter: which of so many shards it lies in. It never changes.
    pub fn shard(&self, shards: u16) -> ShardId {
        let hash = Sha256::digest(self.0.as_bytes());
        let number =
            u64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]]);
        ShardId((number % u64::from(shards.max(1))) as u16)
    }
}

impl From<&str> for StreamKey {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for StreamKey {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&String> for StreamKey {
    fn from(text: &String) -> Self {
        Self(text.clone())
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Part of a store's events; a stream key is in the same one for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(u16);

impl ShardId {
    /// Made by an adapter; the first one is 0.
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Read by the adapter that made it.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which end of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edge {
    /// Before the oldest event that is kept.
    Oldest,
    /// Behind the newest event.
    Newest,
}

/// A place in one shard of one store: opaque, and text outside.
///
/// It names the epoch in which it lies, a random number that an older copy of the store cannot know. So a consumer whose store
/// was restored, replaced by another file or taken back by a failover is told at once, and misses nothing by going on behind
/// events that are other ones now.
///
/// Two positions of one shard and epoch have an order; others have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    epoch: u64,
    shard: ShardId,
    number: u64,
}

impl Position {
    /// Made by an adapter. Numbers grow within a shard; they need not be adjacent.
    pub const fn new(epoch: u64, shard: ShardId, number: u64) -> Self {
        Self { epoch, shard, number }
    }

    /// Which shard it lies in.
    pub const fn shard(self) -> ShardId {
        self.shard
    }

    /// Read by the adapter that made it: the epoch.
    pub const fn epoch(self) -> u64 {
        self.epoch
    }

    /// Read by the adapter that made it: the number in the shard.
    pub const fn number(self) -> u64 {
        self.number
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.epoch == other.epoch && self.shard == other.shard).then(|| self.number.cmp(&other.number))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}.{}", self.epoch, self.shard, self.number)
    }
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid("position", "not a position that a store gave out");
        let mut parts = text.split('.');
        let (Some(epoch), Some(shard), Some(number), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| wrong())?;
        let shard = shard.parse().map_err(|_| wrong())?;
        let position = Self::new(epoch, ShardId(shard), number.parse().map_err(|_| wrong())?);
        // One place has one text.
        if position.to_string() == text { Ok(position) } else { Err(wrong()) }
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_what_it_writes_and_nothing_else() {
        let position = Position::new(0x1f_00ab, ShardId(7), 42);
        assert_eq!(position.to_string(), "1f00ab.7.42");
        assert_eq!("1f00ab.7.42".parse::<Position>().unwrap(), position);
        for wrong in
            ["", "42", "1f00ab.7", "1f00ab.7.42.1", "01.7.42", "1F.7.42", "1.+7.42", "1.7.042", "1.70000.1"]
        {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_positions_of_one_shard_and_epoch_have_an_order() {
        let at = |epoch, shard, number| Position::new(epoch, ShardId(shard), number);
        assert!(at(1, 0, 1) < at(1, 0, 2));
        assert_eq!(at(1, 0, 1).partial_cmp(&at(2, 0, 2)), None);
        assert_eq!(at(1, 0, 1).partial_cmp(&at(1, 1, 2)), None);
    }

    #[test]
    fn a_stream_key_stays_in_its_shard() {
        let shards: Vec<u16> =
            ["ann", "bob", "cat"].map(|key| StreamKey::from(key).shard(16).number()).into();
        assert_eq!(shards, ["ann", "bob", "cat"].map(|key| StreamKey::from(key).shard(16).number()));
        assert!(shards.iter().all(|shard| *shard < 16));
        assert_eq!(StreamKey::from("ann").shard(1), ShardId(0));
    }
}
