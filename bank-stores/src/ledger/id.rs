//! The names that callers give to things of the ledger.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result};

/// The longest id.
pub const MAX_ID: usize = 64;

/// Whether `text` has the form of an id: 1 to 64 of `A-Z a-z 0-9 _ . : -`.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-'))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 64 characters of `A-Z a-z 0-9 _ . : -`; cloning is cheap.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the form; `Invalid` otherwise.
            pub fn new(text: impl AsRef<str>) -> Result<Self> {
                let text = text.as_ref();
                if is_id(text) {
                    return Ok(Self(text.into()));
                }
                Err(Error::invalid($field, "an id is 1 to 64 characters of A-Z a-z 0-9 _ . : -"))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::text::deserialize(deserializer)
            }
        }
    };
}

id! {
    /// Names an account.
    AccountId, "account"
}
id! {
    /// Names a posting: the same id again is the same posting, whoever sends it.
    PostingId, "posting"
}
id! {
    /// Names a hold: the same id again is the same hold.
    HoldId, "hold"
}
id! {
    /// Names a change of an account, or a note that is added to a posting: the same id again is the same change.
    ChangeId, "change"
}
id! {
    /// Names who reads events, so that its position is kept.
    ConsumerId, "consumer"
}
id! {
    /// Names whom an account belongs to; the ledger knows nothing else about owners.
    OwnerId, "owner"
}

/// Names a command, so that its outcome can be looked up.
///
/// Accounts, postings, holds and changes are named apart: one text may name one of each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CommandId {
    /// The opening of this account.
    Account(AccountId),
    /// This posting, reversal or capture.
    Posting(PostingId),
    /// The placing of this hold.
    Hold(HoldId),
    /// The voiding of this hold.
    Void(HoldId),
    /// This change of an account, or what was added to a posting under this id.
    Change(ChangeId),
}

impl From<AccountId> for CommandId {
    fn from(id: AccountId) -> Self {
        Self::Account(id)
    }
}

impl From<ChangeId> for CommandId {
    fn from(id: ChangeId) -> Self {
        Self::Change(id)
    }
}

impl From<PostingId> for CommandId {
    fn from(id: PostingId) -> Self {
        Self::Posting(id)
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account {id}"),
            Self::Posting(id) => write!(f, "posting {id}"),
            Self::Hold(id) => write!(f, "hold {id}"),
            Self::Void(id) => write!(f, "the voiding of hold {id}"),
            Self::Change(id) => write!(f, "change {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_characters_make_an_id() {
        for good in ["a", "acc_1", "A.b:c-9", &"x".repeat(64)] {
            assert_eq!(AccountId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", " ", "a b", "ä", "a/b", "a\0", &"x".repeat(65)] {
            assert_eq!(AccountId::new(bad).unwrap_err().field(), Some("account"), "{bad}");
        }
        assert!(serde_json::from_str::<PostingId>("\"a b\"").is_err());
        assert_eq!(serde_json::to_string(&PostingId::new("p1").unwrap()).unwrap(), "\"p1\"");
    }
}
