//! Documents, collections and writes.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::Canonical;
use crate::items::WriteId;
use crate::{Error, ErrorKind, Result, Timestamp};

/// The largest body, in bytes of JSON.
pub const MAX_BODY: usize = 1_024 * 1_024;

/// A document as it is stored.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Document {
    /// Its name in the collection.
    pub id: String,
    /// Another number after each write, deleting and inserting again included; never 0.
    pub version: u64,
    /// What it holds: a JSON object.
    pub body: Value,
    /// From when on it counts as absent.
    pub expires_at: Option<Timestamp>,
    /// Its place in the order of insertion.
    pub created: u64,
}

impl Document {
    /// Made by an adapter.
    pub fn new(id: String, version: u64, body: Value, expires_at: Option<Timestamp>, created: u64) -> Self {
        Self { id, version, body, expires_at, created }
    }

    /// The body read as `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.body).map_err(|source| {
            Error::new(ErrorKind::Invalid, "the stored body is not of the form that was expected")
                .with_field("body")
                .with_source(source)
        })
    }
}

impl fmt::Debug for Document {
    /// Without the body, which may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("id", &self.id)
            .field("version", &self.version)
            .field("expires_at", &self.expires_at)
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}

/// A key that no two documents share.
///
/// A document that lacks one of the fields, or has null there, is not bound by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Unique {
    /// Its name, given by the error when it is broken.
    pub name: String,
    /// The fields that make it, `a.b` for nested ones.
    pub fields: Vec<String>,
}

impl Unique {
    /// A unique key `name` over `fields`.
    pub fn new<F: Into<String>>(name: impl Into<String>, fields: impl IntoIterator<Item = F>) -> Self {
        Self { name: name.into(), fields: fields.into_iter().map(Into::into).collect() }
    }
}

/// What a collection of documents is like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Collection {
    /// Its name: 1 to 48 characters of `a-z 0-9 _`, a letter first.
    pub name: String,
    /// Keys that no two documents share.
    pub unique: Vec<Unique>,
    /// Fields that are often searched by, together.
    pub indexes: Vec<Vec<String>>,
}

impl Collection {
    /// A collection without unique keys and indexes yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), unique: Vec::new(), indexes: Vec::new() }
    }

    /// Adds a unique key.
    #[must_use]
    pub fn unique<F: Into<String>>(
        mut self,
        name: impl Into<String>,
        fields: impl IntoIterator<Item = F>,
    ) -> Self {
        self.unique.push(Unique::new(name, fields));
        self
    }

    /// Adds an index.
    #[must_use]
    pub fn index<F: Into<String>>(mut self, fields: impl IntoIterator<Item = F>) -> Self {
        self.indexes.push(fields.into_iter().map(Into::into).collect());
        self
    }

    /// Checks the names; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        check_name("collection", &self.name)?;
        for unique in &self.unique {
            check_name("unique.name", &unique.name)?;
        }
        let lists = self.unique.iter().map(|unique| &unique.fields).chain(&self.indexes);
        for fields in lists {
            if !(1..=8).contains(&fields.len()) {
                return Err(Error::invalid("fields", "1 to 8 fields"));
            }
            for field in fields {
                check_field(field)?;
            }
        }
        Ok(())
    }
}

/// Checks the name of a collection or a key.
pub(crate) fn check_name(field: &'static str, name: &str) -> Result<()> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain && name.len() <= 48 && name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Ok(());
    }
    Err(Error::invalid(field, "1 to 48 characters of a-z 0-9 _, a letter first"))
}

/// Checks the name of a field: parts of `A-Z a-z 0-9 _`, with points between.
pub(crate) fn check_field(name: &str) -> Result<()> {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if name.len() <= 200 && name.split('.').all(part) {
        return Ok(());
    }
    Err(Error::invalid(
        "field",
        "a field's name has A-Z a-z 0-9 _, with points between the names of nested ones",
    ))
}

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
            Self::Insert { body, .. } | Self::Replace { body, .. } if !body.is_object() => {
                Err(Error::invalid("body", "a body is a JSON object"))
            }
            _ => Ok(()),
        }
    }
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

    #[test]
    fn names_that_could_mean_something_else_are_refused() {
        for bad in ["", "a b", "a'b", "a..b", ".a", "a\"", "$", "ä"] {
            assert!(check_field(bad).is_err(), "{bad}");
        }
        assert!(check_field("a.b_1.C").is_ok());
        for bad in ["", "Consents", "1a", "a-b", "a.b", &"a".repeat(49)] {
            assert!(Collection::new(bad).validate().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_body_is_an_object() {
        let write = DocumentWrite::new("w", DocumentChange::insert("a", &[1, 2]).unwrap());
        assert_eq!(write.validate().unwrap_err().field(), Some("body"));
    }
}
