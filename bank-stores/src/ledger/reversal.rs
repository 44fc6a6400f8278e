//! Reversals: a posting is never changed or removed; what was wrong is undone by another posting.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::PostingId;
use super::posting::{check_details, details_content};
use crate::canonical::Canonical;
use crate::{Result, Timestamp};

/// The kind of the posting that a reversal makes.
pub const REVERSAL: &str = "reversal";

/// The command that undoes a posting: a posting of kind `reversal` with its legs' opposites, in their order.
///
/// A posting is reversed once, and a reversal never is. The accounts' rules hold for a reversal as for any posting.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reversal {
    /// Names the posting that it makes.
    pub id: PostingId,
    /// The posting that it undoes.
    pub reverses: PostingId,
    /// What the customer reads on the statement.
    pub reference: Option<String>,
    /// When it takes effect; the time of booking where it is not said.
    pub value_time: Option<Timestamp>,
    /// What the caller wants to find again; not interpreted.
    pub metadata: BTreeMap<String, String>,
    /// Whether a refusal takes the id, as for [`Posting`](super::Posting). Not part of the content.
    pub remember: bool,
}

impl Reversal {
    /// Undoes `reverses`.
    pub fn new(id: PostingId, reverses: PostingId) -> Self {
        Self { id, reverses, reference: None, value_time: None, metadata: BTreeMap::new(), remember: false }
    }

    /// What the customer reads on the statement; at most 1,024 bytes.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// When it takes effect, where that is not the time of booking.
    #[must_use]
    pub fn value_time(mut self, at: Timestamp) -> Self {
        self.value_time = Some(at);
        self
    }

    /// Adds a piece of metadata; the later of two with the same key stays.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// A refusal by the ledger takes the id for good.
    #[must_use]
    pub fn remember_refusal(mut self) -> Self {
        self.remember = true;
        self
    }

    /// Checks what can be checked without the ledger; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        check_details(self.reference.as_deref(), self.value_time, &self.metadata)
    }

    /// What tells this content from any other under the same id.
    pub fn content(&self) -> [u8; 32] {
        let form = Canonical::new("reversal.1").text(self.id.as_str()).text(self.reverses.as_str());
        details_content(form, self.reference.as_deref(), self.value_time, &self.metadata).finish()
    }
}
