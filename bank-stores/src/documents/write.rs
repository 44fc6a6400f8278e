//! Writes of documents.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::canonical::Canonical;
use crate::items::WriteId;
use crate::{Error, Result, Timestamp, sealed};

/// The largest body, in bytes of JSON.
pub const MAX_BODY: usize = 1_024 * 1_024;
/// How deep objects and lists may be nested in a body.
pub const MAX_DEPTH: usize = 100;
/// A write: a change to one document under the caller's id.
///
/// While the document is as a write has left it, the same write again gives the first outcome; other content under its id
/// is a `Conflict`, field `write`. So a write whose reply was lost is sent again: it took effect once, or another write
/// came after it, which the version tells.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DocumentWrite {
    /// Names it.
    pub write: WriteId,
    /// What it does.
    pub change: DocumentChange,
}

impl DocumentWrite {
    /// The change under this id.
    pub fn new(write: impl Into<WriteId>, change: DocumentChange) -> Self {
        Self { write: write.into(), change }
    }

    /// Checks what can be checked without the store; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        self.write.validate()?;
        self.change.validate()
    }

    /// What tells this content from any other under the same id.
    pub fn content(&self) -> [u8; 32] {
        let form = Canonical::new("document.1").text(self.change.id());
        let put = |form: Canonical, body: &Value, expires_at: &Option<Timestamp>| {
            form.text(&body.to_string()).optional(*expires_at, |form, at| form.number(at.micros()))
        };
        match &self.change {
            DocumentChange::Insert { body, expires_at, .. } => put(form.text("insert"), body, expires_at),
            DocumentChange::Replace { version, body, expires_at, .. } => {
                put(form.text("replace").number(*version as i64), body, expires_at)
            }
            DocumentChange::Delete { version, .. } => form.text("delete").number(*version as i64),
        }
        .finish()
    }
}

/// A change to one document.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum DocumentChange {
    /// Creates it; `AlreadyExists` if the id or a unique key is taken.
    Insert {
        /// Its name.
        id: String,
        /// What it holds: a JSON object.
        body: Value,
        /// From when on it counts as absent.
        expires_at: Option<Timestamp>,
    },
    /// Replaces it, if its version is still this; `Conflict` otherwise.
    Replace {
        /// Its name.
        id: String,
        /// The version that was read.
        version: u64,
        /// What it holds from now on.
        body: Value,
        /// From when on it counts as absent.
        expires_at: Option<Timestamp>,
    },
    /// Removes it, if its version is still this; `Conflict` otherwise.
    Delete {
        /// Its name.
        id: String,
        /// The version that was read.
        version: u64,
    },
}

impl DocumentChange {
    /// Creates a document.
    pub fn insert<T: Serialize + ?Sized>(id: impl Into<String>, body: &T) -> Result<Self> {
        Ok(Self::Insert { id: id.into(), body: to_body(body)?, expires_at: None })
    }

    /// Replaces a document whose version is still `version`.
    pub fn replace<T: Serialize + ?Sized>(id: impl Into<String>, version: u64, body: &T) -> Result<Self> {
        Ok(Self::Replace { id: id.into(), version, body: to_body(body)?, expires_at: None })
    }

    /// Removes a document whose version is still `version`.
    pub fn delete(id: impl Into<String>, version: u64) -> Self {
        Self::Delete { id: id.into(), version }
    }

    /// From when on the document counts as absent; means nothing for a delete.
    #[must_use]
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        if let Self::Insert { expires_at, .. } | Self::Replace { expires_at, .. } = &mut self {
            *expires_at = Some(at);
        }
        self
    }

    /// The document it is about.
    pub fn id(&self) -> &str {
        match self {
            Self::Insert { id, .. } | Self::Replace { id, .. } | Self::Delete { id, .. } => id,
        }
    }

    /// Checks what can be checked without the store; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        if !(1..=1_024).contains(&self.id().len()) || self.id().contains('\0') {
            return Err(Error::invalid("id", "1 to 1024 bytes without NUL"));
        }
        match self {
            Self::Insert { body, .. } | Self::Replace { body, .. } => check_body(body),
            Self::Delete { .. } => Ok(()),
        }
    }

    /// How many bytes it carries.
    #[cfg(feature = "embedded")]
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Insert { id, body, .. } | Self::Replace { id, body, .. } => {
                id.len() + crate::text::json_size(body)
            }
            Self::Delete { id, .. } => id.len(),
        }
    }
}

/// What an engine cannot hold is refused on every engine.
fn check_body(body: &Value) -> Result<()> {
    if !body.is_object() {
        return Err(Error::invalid("body", "a body is a JSON object"));
    }
    check_value(body, 1)?;
    let size = crate::text::json_size(body);
    if size > most(body) {
        return Err(Error::invalid("body", format!("a body has at most {MAX_BODY} bytes, not {size}")));
    }
    Ok(())
}

/// How large a body may be: sealed fields are longer than what was sealed, and some have a blind index.
fn most(body: &Value) -> usize {
    let fields = body.as_object().into_iter().flatten().filter(|(_, value)| sealed::text_of(value).is_some());
    match fields.count() {
        0 => MAX_BODY,
        count => sealed::longest_text(MAX_BODY) + count * 512,
    }
}

fn check_value(value: &Value, depth: usize) -> Result<()> {
    let nested = value.is_object() || value.is_array();
    if nested && depth > MAX_DEPTH {
        return Err(Error::invalid("body", format!("nested more than {MAX_DEPTH} deep")));
    }
    match value {
        Value::Number(number) if !holds(number) => {
            Err(Error::invalid("body", "whole numbers are from -2^63 to 2^63 - 1"))
        }
        Value::Array(list) => list.iter().try_for_each(|value| check_value(value, depth + 1)),
        Value::Object(object) => object.iter().try_for_each(|(name, value)| {
            if name.contains('\0') {
                return Err(Error::invalid("body", "names of fields hold no NUL"));
            }
            check_value(value, depth + 1)
        }),
        _ => Ok(()),
    }
}

/// Whether every engine holds the number as it is.
pub(super) fn holds(number: &serde_json::Number) -> bool {
    number.is_i64() || number.is_f64()
}

fn to_body<T: Serialize + ?Sized>(body: &T) -> Result<Value> {
    serde_json::to_value(body)
        .map_err(|source| Error::invalid("body", "cannot be written as JSON").with_source(source))
}

impl fmt::Debug for DocumentChange {
    /// Without the body, which may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Insert { .. } => "Insert",
            Self::Replace { .. } => "Replace",
            Self::Delete { .. } => "Delete",
        };
        f.debug_struct(name).field("id", &self.id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_an_engine_cannot_hold_is_refused() {
        let insert = |body: Value| DocumentChange::insert("a", &body).unwrap().validate().err();
        let nested = |depth: usize| (1..depth).fold(json!({}), |inner, _| json!({ "a": inner }));
        assert!(insert(nested(MAX_DEPTH)).is_none());
        let wide = "x".repeat(MAX_BODY - 8);
        assert!(insert(json!({ "a": wide })).is_none());
        let names =
            json!({ "$a": 1, "a.b": 2, "": 3, "_id": 4, "big": i64::MIN, "most": i64::MAX, "real": 1e300 });
        assert!(insert(names).is_none());
        for body in [
            nested(MAX_DEPTH + 1),
            json!({ "a": wide + "x" }),
            json!({ "a": 1_u64 << 63 }),
            json!({ "a\0": 1 }),
        ] {
            assert_eq!(insert(body).unwrap().field(), Some("body"));
        }
    }

    #[test]
    fn a_body_is_an_object() {
        let write = DocumentWrite::new("w", DocumentChange::insert("a", &[1, 2]).unwrap());
        assert_eq!(write.validate().unwrap_err().field(), Some("body"));
    }
}
