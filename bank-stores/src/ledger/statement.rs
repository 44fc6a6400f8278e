//! What an account held at a time, and what happened on it between two.

use serde::{Deserialize, Serialize};

use super::{AccountId, Entry};
use crate::{Error, Money, Page, Result, Timestamp};

/// Which entries count for a balance as of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AsOf {
    /// Those that were booked by then: exact. Commands that are being committed may still be booked for the moment just past;
    /// for what lies before the newest receipt the answer never changes.
    Booked(Timestamp),
    /// Those whose value date has come by then: what is booked later may still change the answer.
    Value(Timestamp),
}

/// A time of booking: from one moment on and before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Period {
    /// The first moment that belongs to it.
    pub from: Timestamp,
    /// The first moment that does not.
    pub until: Timestamp,
}

impl Period {
    /// From one moment on and before another; `Invalid`, field `until`, where it ends before it begins.
    pub fn new(from: Timestamp, until: Timestamp) -> Result<Self> {
        let period = Self { from, until };
        period.validate().map(|()| period)
    }

    /// Checks that it does not end before it begins; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        if self.until < self.from {
            return Err(Error::invalid("until", "a period does not end before it begins"));
        }
        Ok(())
    }
}

/// An account's statement: the entries that were booked in a period, between the balances before and after.
///
/// Opening and closing are the whole period's on every page: the opening and all amounts add up to the closing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Statement {
    /// Whose.
    pub account: AccountId,
    /// The period.
    pub period: Period,
    /// The balance at its beginning.
    pub opening: Money,
    /// The balance at its end.
    pub closing: Money,
    /// How many entries there are in all.
    pub entry_count: u64,
    /// This page of them.
    pub entries: Page<Entry>,
}

impl Statement {
    /// Made by an adapter.
    pub fn new(
        account: AccountId,
        period: Period,
        opening: Money,
        closing: Money,
        entry_count: u64,
        entries: Page<Entry>,
    ) -> Self {
        Self { account, period, opening, closing, entry_count, entries }
    }
}
