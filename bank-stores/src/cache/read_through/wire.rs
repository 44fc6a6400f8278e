//! What stands in the shared cache and in messages.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result, Timestamp};

const VALUE: u8 = b'v';
const NOTHING: u8 = b'n';

/// What stands in the shared cache: a value, or that there is none, and when the loader was asked for it.
#[derive(Debug, PartialEq)]
pub(super) struct SharedValue<V> {
    pub(super) value: Option<V>,
    /// By the clock of the process that asked.
    pub(super) loaded_at: Timestamp,
}

/// A value as JSON, or that there is none, behind the time in microseconds: `v1700000000000000 "Ann"`, `n1700000000000000 `.
pub(super) fn bytes<V: Serialize>(value: Option<&V>, loaded_at: Timestamp) -> Result<Bytes> {
    let kind = if value.is_some() { VALUE } else { NOTHING };
    let mut bytes = vec![kind];
    bytes.extend_from_slice(format!("{} ", loaded_at.micros()).as_bytes());
    if let Some(value) = value {
        serde_json::to_writer(&mut bytes, value)
            .map_err(|source| Error::invalid("value", "it has no JSON").with_source(source))?;
    }
    Ok(bytes.into())
}

/// What `bytes` wrote; `None` where it cannot be read.
pub(super) fn value<V: DeserializeOwned>(bytes: &[u8]) -> Option<SharedValue<V>> {
    let (kind, rest) = bytes.split_first()?;
    let space = rest.iter().position(|byte| *byte == b' ')?;
    let (micros, json) = (std::str::from_utf8(&rest[..space]).ok()?, &rest[space + 1..]);
    let loaded_at = Timestamp::from_micros(micros.parse().ok()?);
    let value = match (*kind, json) {
        (VALUE, json) => Some(serde_json::from_slice(json).ok()?),
        (NOTHING, []) => None,
        _ => return None,
    };
    Some(SharedValue { value, loaded_at })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_with_its_time() {
        let loaded_at = Timestamp::from_micros(1_700_000_000_000_001);
        for value in [Some("Ann A. Example".to_owned()), None] {
            let bytes = bytes(value.as_ref(), loaded_at).unwrap();
            assert_eq!(super::value(&bytes), Some(SharedValue { value, loaded_at }));
        }
    }

    #[test]
    fn what_others_wrote_is_not_read() {
        for foreign in
            ["", "v", "v1", "v\"Ann\"", "v1 ", "v1 {}", "vx \"Ann\"", "x1 \"Ann\"", "n", "n1", "n1 x"]
        {
            assert_eq!(value::<String>(foreign.as_bytes()), None, "{foreign}");
        }
    }
}
