//! The rows that data keys are kept in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::provider::WrappedKey;
use crate::items::Key;
use crate::{Error, ErrorKind, Result};

/// Rows are spread over so many partitions, so that none is too large to be served by one machine.
pub(super) const SHARDS: u8 = 16;

/// What the partitions of the rows begin with.
const NAMES: &str = "seal.names#";
const KEYS: &str = "seal.keys#";

/// Which key seals now for a name.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) key: String,
}

impl Named {
    pub(super) fn key(name: &str) -> Key {
        Key::new(format!("{NAMES}{:02}", shard(name)), name)
    }
}

/// A data key.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    /// Whose it is, as in the row that names it.
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) held: Held,
}

/// What there is of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Held {
    /// The key, wrapped.
    Wrapped {
        /// Under which master key.
        master: String,
        /// In unpadded base64url.
        bytes: String,
    },
    /// It was shredded, for good.
    Erased {},
}

impl Held {
    pub(super) fn wrapped(&self) -> Result<Option<WrappedKey>> {
        let Self::Wrapped { master, bytes } = self else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(bytes).map_err(|source| {
            Error::new(ErrorKind::Damaged, "a stored data key cannot be read").with_source(source)
        })?;
        Ok(Some(WrappedKey::new(&**master, bytes)))
    }
}

impl From<WrappedKey> for Held {
    fn from(wrapped: WrappedKey) -> Self {
        Self::Wrapped { bytes: URL_SAFE_NO_PAD.encode(&wrapped.bytes), master: wrapped.master }
    }
}

/// The name of a subject's key.
pub(super) fn name_of(subject: &str) -> String {
    format!("of:{subject}")
}

/// Where a data key is kept.
pub(super) fn key_of(id: &str) -> Key {
    Key::new(partition(shard(id)), id)
}

/// Whether an item is a row of this store, which is never sealed.
pub(super) fn is_own(key: &Key) -> bool {
    [NAMES, KEYS].iter().any(|prefix| key.partition.starts_with(prefix))
}

/// A partition of data keys.
pub(super) fn partition(shard: u8) -> String {
    format!("{KEYS}{shard:02}")
}

fn shard(text: &str) -> u8 {
    Sha256::digest(text.as_bytes())[0] % SHARDS
}
