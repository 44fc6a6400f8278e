//! What stands in the shared cache and in messages.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

const VALUE: u8 = b'v';
const NOTHING: u8 = b'n';

/// A value as JSON, or that there is none.
pub(super) fn bytes<V: Serialize>(value: Option<&V>) -> Result<Bytes> {
    let mut bytes = vec![if value.is_some() { VALUE } else { NOTHING }];
    if let Some(value) = value {
        serde_json::to_writer(&mut bytes, value)
            .map_err(|source| Error::invalid("value", "it has no JSON").with_source(source))?;
    }
    Ok(bytes.into())
}

/// What `bytes` wrote; `None` where it cannot be read.
pub(super) fn value<V: DeserializeOwned>(bytes: &[u8]) -> Option<Option<V>> {
    match bytes.split_first()? {
        (&VALUE, json) => serde_json::from_slice(json).ok().map(Some),
        (&NOTHING, []) => Some(None),
        _ => None,
    }
}

/// That states of `key` before `version` are over.
pub(super) fn message(key: &str, version: u64) -> Bytes {
    format!("{version} {key}").into()
}

/// What `message` wrote.
pub(super) fn invalidated(message: &[u8]) -> Option<(String, u64)> {
    let (version, key) = std::str::from_utf8(message).ok()?.split_once(' ')?;
    Some((key.to_owned(), version.parse().ok()?))
}
