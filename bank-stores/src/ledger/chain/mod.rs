//! The hash chain over everything that the ledger has done, so that a row which is changed, removed, inserted or moved is
//! found.
//!
//! Engines cut the commit order into blocks of up to 256 commands, off the hot path, and keep one hash a block: SHA-256
//! over the hash before it and the rows of each command. Whoever keeps a [`ChainHead`] elsewhere can tell later that nothing
//! up to it was changed, not even by somebody who computed the whole chain anew.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

#[cfg(any(feature = "embedded", feature = "aurora"))]
mod facts;
#[cfg(any(feature = "embedded", feature = "aurora"))]
mod verifier;
#[cfg(any(feature = "embedded", feature = "aurora"))]
mod walk;

#[cfg(any(feature = "embedded", feature = "aurora"))]
pub(crate) use walk::{NextBlocks, due_holds, head, next_blocks, verify};

/// Where the chain stands. Its text is the sequence and the hash, such as `1204:5d41…`; a head that was kept so is read back
/// from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChainHead {
    /// The last command that is in the chain; 0 before the first.
    pub sequence: u64,
    /// The hash of the last block, as 64 hexadecimal digits; empty before the first.
    pub hash: String,
    /// How many commands came after it and are not in the chain yet.
    pub pending: u64,
}

impl ChainHead {
    /// Made by an adapter.
    pub fn new(sequence: u64, hash: Option<[u8; 32]>, pending: u64) -> Self {
        Self { sequence, hash: hash.map(hex).unwrap_or_default(), pending }
    }
}

impl fmt::Display for ChainHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hash)
    }
}

impl FromStr for ChainHead {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid("head", "a sequence, a colon and 64 lower-case hexadecimal digits");
        let (sequence, hash) = text.split_once(':').ok_or_else(wrong)?;
        let sequence = sequence.parse().map_err(|_| wrong())?;
        let digits = hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let right = digits && if sequence == 0 { hash.is_empty() } else { hash.len() == 64 };
        right.then(|| Self { sequence, hash: hash.to_owned(), pending: 0 }).ok_or_else(wrong)
    }
}

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The last command that was checked.
    pub checked: u64,
    /// The last command that there is to check.
    pub of: u64,
}

impl Progress {
    /// Made by an adapter.
    pub fn new(checked: u64, of: u64) -> Self {
        Self { checked, of }
    }
}

/// Where the ledger is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Breach {
    /// The first command that may be wrong.
    pub from: u64,
    /// The last one; the same where it is known exactly.
    pub to: u64,
    /// What is wrong.
    pub what: String,
}

impl Breach {
    /// Made by an adapter.
    pub fn new(from: u64, to: u64, what: impl Into<String>) -> Self {
        Self { from, to, what: what.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "between commands {} and {}: {}", self.from, self.to, self.what)
    }
}

/// What a verification found. A breach is no error: the call did what it was asked for.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verified {
    /// Where the chain stood.
    pub head: ChainHead,
    /// The first breach, if there is one.
    pub breach: Option<Breach>,
}

impl Verified {
    /// Made by an adapter.
    pub fn new(head: ChainHead, breach: Option<Breach>) -> Self {
        Self { head, breach }
    }

    /// Whether everything is as it was written.
    pub fn is_intact(&self) -> bool {
        self.breach.is_none()
    }
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_back_from_its_text() {
        for head in [ChainHead::default(), ChainHead::new(1204, Some([0xab; 32]), 0)] {
            assert_eq!(head.to_string().parse::<ChainHead>().unwrap(), head);
        }
        for wrong in ["", "12", "12:", "x:", "0:ab", &format!("12:{}", "AB".repeat(32)), "-1:"] {
            assert_eq!(wrong.parse::<ChainHead>().unwrap_err().field(), Some("head"), "{wrong}");
        }
    }
}
