//! Annotations: a posting is never changed, but a note may be added to it later.

use serde::{Deserialize, Serialize};

use super::{ChangeId, MAX_TEXT, PostingId};
use crate::canonical::Canonical;
use crate::{Error, Result, Timestamp, sealed};

/// The most that is added to one posting.
pub const MAX_ADDITIONS: u64 = 100;

/// A command that adds something to a posting. Stores keep it, tell it with the posting and as an event, and chain it, whatever it
/// is.
#[cfg(any(feature = "embedded", feature = "aurora", test))]
pub(crate) trait Addition {
    /// What it adds, in one word: its event's topic begins with it, and [`PostingRecord`](super::PostingRecord) reads it back by it.
    const KIND: &'static str;

    fn id(&self) -> &ChangeId;

    fn posting(&self) -> &PostingId;

    fn content(&self) -> [u8; 32];

    /// The rest of what it says, an object that is kept for good; its event has the same fields, beside `change`, `posting` and `at`.
    fn state(&self) -> serde_json::Value;
}

#[cfg(any(feature = "embedded", feature = "aurora", test))]
impl Addition for Annotation {
    const KIND: &'static str = "note";

    fn id(&self) -> &ChangeId {
        &self.id
    }

    fn posting(&self) -> &PostingId {
        &self.posting
    }

    fn content(&self) -> [u8; 32] {
        self.content()
    }

    fn state(&self) -> serde_json::Value {
        serde_json::json!({ "note": self.note })
    }
}

/// The command that adds a note to a posting.
///
/// Refused where there is no such posting (`NotFound`, field `posting`), or where [`MAX_ADDITIONS`] were added to it (`Rejected`, field `posting`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Annotation {
    /// Names it, among changes of accounts too.
    pub id: ChangeId,
    /// Which posting.
    pub posting: PostingId,
    /// What people read.
    pub note: String,
}

impl Annotation {
    /// A note of at most 1,024 bytes.
    pub fn new(id: ChangeId, posting: PostingId, note: impl Into<String>) -> Self {
        Self { id, posting, note: note.into() }
    }

    /// Checks what can be checked without the ledger; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        if self.note.is_empty() || self.note.len() > sealed::most_of_text(&self.note, MAX_TEXT) {
            return Err(Error::invalid("note", format!("a note has 1 to {MAX_TEXT} bytes")));
        }
        if self.note.contains('\0') {
            return Err(Error::invalid("note", "a note holds no NUL"));
        }
        Ok(())
    }

    /// What tells this content from any other under the same id.
    pub fn content(&self) -> [u8; 32] {
        let Self { id, posting, note } = self;
        Canonical::new("annotation.1").text(id.as_str()).text(posting.as_str()).text(note).finish()
    }
}

/// A note, as it is read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Note {
    /// The command that added it.
    pub id: ChangeId,
    /// What people read.
    pub text: String,
    /// When it was added.
    pub at: Timestamp,
}

impl Note {
    /// Made by an adapter.
    pub fn new(id: ChangeId, text: String, at: Timestamp) -> Self {
        Self { id, text, at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_part_of_the_content() {
        let of = |id: &str, posting: &str, note: &str| {
            Annotation::new(ChangeId::new(id).unwrap(), PostingId::new(posting).unwrap(), note).content()
        };
        let all = [of("c", "p", "n"), of("d", "p", "n"), of("c", "q", "n"), of("c", "p", "m")];
        assert!((0..4).all(|at| !all[at + 1..].contains(&all[at])));
    }
}
