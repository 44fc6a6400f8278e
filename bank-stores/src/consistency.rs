//! How fresh a read has to be.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result};

/// How fresh a read has to be.
///
/// The embedded stores have one copy of the data and always answer as for [`Consistency::Current`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Consistency {
    /// All that was committed before the read began.
    #[default]
    Current,
    /// At least what the holder of this token wrote: a ledger's receipts carry one. Items and documents give no token, and answer as
    /// for [`Consistency::Current`].
    AtLeast(Freshness),
    /// Whatever copy answers first, possibly an old one.
    Any,
}

/// A token that stands for a state of a store: reads with it never see an older one.
///
/// Opaque: only the store that gave it out knows what the number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Freshness(u64);

impl Freshness {
    /// Made by an adapter, from its commit order.
    pub const fn from_sequence(sequence: u64) -> Self {
        Self(sequence)
    }

    /// Read by the adapter that made it.
    pub const fn sequence(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Freshness {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        crate::text::number("freshness", text).map(Self)
    }
}

impl Serialize for Freshness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Freshness {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::deserialize(deserializer)
    }
}
