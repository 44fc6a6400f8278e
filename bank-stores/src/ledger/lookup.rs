//! What is told of one thing in the ledger: an account with what is held on it, and a posting with all that belongs to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Account, Entry, Hold, HoldId, Note, PostingId};
use crate::{Page, Timestamp};

/// What is held on an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OpenHolds {
    /// The account at the same moment: what all its open holds keep is its `held`.
    pub account: Account,
    /// This page of its open holds, in the order they were placed.
    pub holds: Page<Hold>,
}

impl OpenHolds {
    /// Made by an adapter.
    pub fn new(account: Account, holds: Page<Hold>) -> Self {
        Self { account, holds }
    }
}

/// A posting as it was made, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PostingRecord {
    /// Its name.
    pub id: PostingId,
    /// Its place in the ledger's commit order.
    pub sequence: u64,
    /// What kind of posting it is.
    pub kind: String,
    /// What people read.
    pub reference: Option<String>,
    /// What the caller kept with it.
    pub metadata: BTreeMap<String, String>,
    /// When it was booked.
    pub booked_at: Timestamp,
    /// When it takes effect.
    pub value_at: Timestamp,
    /// One entry a leg, in the order of the legs.
    pub entries: Vec<Entry>,
    /// The hold that it paid out of.
    pub hold: Option<HoldId>,
    /// The posting that it undid.
    pub reverses: Option<PostingId>,
    /// The posting that undid it.
    pub reversed_by: Option<PostingId>,
    /// What was added to it later, in that order.
    pub notes: Vec<Note>,
}

impl PostingRecord {
    /// Made by an adapter: a posting with its entries and nothing else.
    pub fn new(id: PostingId, sequence: u64, kind: String, entries: Vec<Entry>) -> Self {
        let at = |time: fn(&Entry) -> Timestamp| entries.first().map(time).unwrap_or_default();
        Self {
            id,
            sequence,
            kind,
            reference: None,
            metadata: BTreeMap::new(),
            booked_at: at(|entry| entry.booked_at),
            value_at: at(|entry| entry.value_at),
            entries,
            hold: None,
            reverses: None,
            reversed_by: None,
            notes: Vec::new(),
        }
    }

    /// Tells what was added to it by a command of this kind.
    #[cfg(any(feature = "embedded", feature = "aurora"))]
    pub(crate) fn add(
        &mut self,
        kind: &str,
        id: super::ChangeId,
        state: serde_json::Map<String, serde_json::Value>,
        at: Timestamp,
    ) -> crate::Result<()> {
        use serde_json::Value;

        use super::annotation::{Addition as _, Annotation};
        use crate::Error;

        let text = |field: &'static str| match state.get(field) {
            Some(Value::String(text)) => Ok(text.clone()),
            _ => Err(Error::invalid(field, "not a text")),
        };
        match kind {
            Annotation::KIND => self.notes.push(Note::new(id, text("note")?, at)),
            _ => return Err(Error::invalid("kind", "not what is added to a posting")),
        }
        Ok(())
    }
}
