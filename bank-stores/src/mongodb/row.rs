//! Documents as they are stored.
//!
//! | Field | What it holds |
//! | --- | --- |
//! | `_id` | the id |
//! | `v` | the version |
//! | `w`, `f` | the write that it was left by, and the fingerprint of its content |
//! | `c` | when it was inserted, in microseconds |
//! | `x`, `ttl` | from when on it counts as absent, in microseconds and as a date; both are missing where it does not |
//! | `body` | the body |
//! | `k` | the computed unique keys under their names |
//! | `s` | what it is sorted by, under the fields' names |

use ::mongodb::bson::{Bson, DateTime, Document as Bsons, doc};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::body::{from_bson, to_bson};
use super::definition::Definition;
use super::filter::any;
use super::keys::{sort_keys, unique_keys};
use crate::documents::{Document, DocumentWrite};
use crate::error::damaged;
use crate::{Error, Result, Timestamp};

/// What a write sets, the id and the time of the insert aside.
pub(super) fn written(
    definition: &Definition,
    write: &DocumentWrite,
    version: u64,
    body: &Value,
    expires_at: Option<Timestamp>,
) -> Bsons {
    let mut fields = doc! {
        "v": version as i64,
        "w": write.write.as_str(),
        "f": fingerprint(write),
        "body": to_bson(body),
        "k": unique_keys(definition.uniques(), body),
        "s": sort_keys(definition.sorted(), body),
    };
    if let Some(at) = expires_at {
        fields.insert("x", at.micros());
        // The server removes it by its own clock, an hour later.
        fields.insert("ttl", DateTime::from_millis(at.micros().div_euclid(1_000)));
    }
    fields
}

/// The fingerprint of a write's content, as text.
pub(super) fn fingerprint(write: &DocumentWrite) -> String {
    URL_SAFE_NO_PAD.encode(write.content())
}

/// That a document has not expired.
pub(super) fn is_alive(now: Timestamp) -> Bsons {
    any([doc! { "x": { "$exists": false } }, doc! { "x": { "$gt": now.micros() } }])
}

/// That a document has expired.
pub(super) fn has_expired(now: Timestamp) -> Bsons {
    doc! { "x": { "$exists": true, "$lte": now.micros() } }
}

/// What is known of a stored document without its body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) version: u64,
    pub(super) write: String,
    pub(super) content: String,
    pub(super) expires_at: Option<Timestamp>,
}

impl Head {
    /// The fields that it is read from.
    pub(super) fn projection() -> Bsons {
        doc! { "_id": 1, "v": 1, "w": 1, "f": 1, "x": 1 }
    }

    pub(super) fn read(row: &Bsons) -> Result<Self> {
        Ok(Self {
            id: text(row, "_id")?,
            version: whole(row, "v")? as u64,
            write: text(row, "w")?,
            content: text(row, "f")?,
            expires_at: expires_at(row)?,
        })
    }

    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// The document of a row.
pub(super) fn document(mut row: Bsons) -> Result<Document> {
    let body = from_bson(row.remove("body").unwrap_or(Bson::Undefined))?;
    let (id, version) = (text(&row, "_id")?, whole(&row, "v")? as u64);
    let created = Timestamp::from_micros(whole(&row, "c")?);
    Ok(Document::new(id, version, body, expires_at(&row)?, created))
}

fn expires_at(row: &Bsons) -> Result<Option<Timestamp>> {
    if !row.contains_key("x") {
        return Ok(None);
    }
    whole(row, "x").map(Timestamp::from_micros).map(Some)
}

fn text(row: &Bsons, field: &'static str) -> Result<String> {
    row.get_str(field).map(ToOwned::to_owned).map_err(|source| wrong(field, source))
}

pub(super) fn whole(row: &Bsons, field: &'static str) -> Result<i64> {
    match row.get(field) {
        // Another hand may have written the number in its shell.
        Some(Bson::Int32(number)) => Ok(i64::from(*number)),
        _ => row.get_i64(field).map_err(|source| wrong(field, source)),
    }
}

fn wrong(field: &'static str, source: ::mongodb::bson::error::Error) -> Error {
    damaged(Error::invalid(field, "missing, or of another type").with_source(source))
}
