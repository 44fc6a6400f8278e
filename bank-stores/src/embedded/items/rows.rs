//! Rows of items and of transactions' ids, as they are read.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::engine::Known;
use crate::embedded::error::damaged;
use crate::items::{Committed, Item, Key, WriteId};
use crate::{Error, Result, Timestamp};

/// An item from a row of partition, sort, value, version, expiry.
pub(super) fn item(row: &SqliteRow) -> Item {
    let key = Key::new(row.get::<String, _>(0), row.get::<String, _>(1));
    let value = row.get::<Vec<u8>, _>(2).into();
    let expires_at = row.get::<Option<i64>, _>(4).map(Timestamp::from_micros);
    Item::new(key, value, row.get::<i64, _>(3) as u64, expires_at)
}

/// What is known of an id; one without versions was settled.
pub(super) fn known(id: &WriteId, versions: Option<&str>, content: Option<&[u8]>) -> Result<Known> {
    let Some(versions) = versions else { return Ok(Known::Never) };
    let versions = serde_json::from_str(versions)
        .map_err(|source| damaged(Error::invalid("versions", "not a list").with_source(source)))?;
    let content = content.and_then(|content| content.try_into().ok());
    let content = content.ok_or_else(|| damaged(Error::invalid("content", "not a fingerprint")))?;
    Ok(Known::Committed(content, Committed::new(id.clone(), versions)))
}
