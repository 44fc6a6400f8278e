//! Documents as they are stored, and what a write of one gives.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, ErrorKind, Result, Timestamp};

/// A document as it is stored.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Document {
    /// Its name in the collection.
    pub id: String,
    /// Another number after each write, deleting and inserting again included; never 0. It is drawn at random: two are equal or
    /// different, and neither is the later one.
    pub version: u64,
    /// What it holds: a JSON object.
    pub body: Value,
    /// From when on it counts as absent.
    pub expires_at: Option<Timestamp>,
    /// When it was inserted, by the writer's clock.
    pub created: Timestamp,
}

impl Document {
    /// Made by an adapter.
    pub fn new(
        id: String,
        version: u64,
        body: Value,
        expires_at: Option<Timestamp>,
        created: Timestamp,
    ) -> Self {
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

/// The outcome of a write that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The document.
    pub id: String,
    /// Its version from now on; 0 after a delete.
    pub version: u64,
    /// Whether the effect is an earlier one, of the same write sent before.
    pub replayed: bool,
}

impl Written {
    /// Made by an adapter.
    pub fn new(id: impl Into<String>, version: u64) -> Self {
        Self { id: id.into(), version, replayed: false }
    }

    /// The same outcome for a write that had taken effect before.
    #[must_use]
    pub fn replay(mut self) -> Self {
        self.replayed = true;
        self
    }
}
