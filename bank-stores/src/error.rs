//! One error for every store, which says what kind of outcome it is.
//!
//! ```
//! use bank_stores::{Error, ErrorKind};
//!
//! let error = Error::new(ErrorKind::Unavailable, "the disk is full");
//! assert!(error.is_retryable());
//! assert_eq!(error.to_string(), "the disk is full");
//! ```

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The result of a call to a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an [`Error`] means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was named does not exist.
    NotFound,
    /// What was to be created exists already.
    AlreadyExists,
    /// Somebody else changed it in the meantime, or the same id was used for other content.
    Conflict,
    /// A rule of the store refuses it: a frozen account, for one.
    Rejected,
    /// A balance would fall below the account's floor.
    InsufficientFunds,
    /// The store cannot be reached or is full; nothing happened and it may be tried again.
    Unavailable,
    /// The reply was lost: the effect may or may not have happened.
    ///
    /// This is an outcome that is looked up by the write's id ([`Ledger::receipt`](crate::ledger::Ledger::receipt),
    /// [`Items::committed`](crate::items::Items::committed)), never a reason to repeat blindly.
    Indeterminate,
    /// The request itself is wrong; [`Error::field`] names the part.
    Invalid,
    /// The store may not be used so: opened read-only, or owned by another process.
    Denied,
    /// What is stored does not read as what was written: a foreign hand or a failing disk. Trying again changes nothing.
    Damaged,
}

impl ErrorKind {
    /// The kind's name in words, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
            Self::InsufficientFunds => "insufficient funds",
            Self::Unavailable => "unavailable",
            Self::Indeterminate => "indeterminate",
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::Damaged => "damaged",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What went wrong in a store.
///
/// Cloning is cheap, since the failure of one group commit is given to every caller whose command was in it.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    field: Option<Cow<'static, str>>,
    change: Option<usize>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`, whose `message` is for people who operate or develop, not for customers.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), field: None, change: None, source: None }))
    }

    /// An [`ErrorKind::Invalid`] error about `field`.
    pub fn invalid(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Invalid, message).with_field(field)
    }

    /// Keeps what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Names the part of the request that is wrong, such as `legs[1].account`.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Gives the index of the change that failed in a transaction of many.
    #[must_use]
    pub fn with_change(mut self, index: usize) -> Self {
        self.0.change = Some(index);
        self
    }

    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message without the field.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The part of the request that is wrong, where one is.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// The index of the change that failed in an [`Items`](crate::items::Items) transaction.
    pub fn change(&self) -> Option<usize> {
        self.0.change
    }

    /// Whether what was asked for was erased, by shredding the key that it was sealed with: nobody has it any more.
    pub fn is_erased(&self) -> bool {
        self.0.kind == ErrorKind::Denied && self.0.field.as_deref() == Some("erased")
    }

    /// Whether the same call may simply be made again: nothing happened, and the cause may pass.
    ///
    /// `Conflict` is not among these (read again first), nor is `Indeterminate` (look it up).
    pub fn is_retryable(&self) -> bool {
        self.0.kind == ErrorKind::Unavailable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.field {
            Some(field) => write!(f, "{field}: {}", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.0.kind).field("message", &self.0.message);
        if let Some(field) = &self.0.field {
            debug.field("field", field);
        }
        if let Some(change) = self.0.change {
            debug.field("change", &change);
        }
        if let Some(source) = &self.0.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// A row that does not read as what was written: only a foreign hand or a failing disk does that.
#[cfg(any(
    feature = "aurora",
    feature = "dynamodb",
    feature = "embedded",
    feature = "mongodb",
    feature = "redis"
))]
pub(crate) fn damaged(source: Error) -> Error {
    Error::new(ErrorKind::Damaged, "the store holds a row that cannot be read").with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_says_one_level_and_the_source_the_rest() {
        let cause = std::io::Error::other("no space left");
        let error = Error::new(ErrorKind::Unavailable, "the disk is full").with_source(cause);
        assert_eq!(error.to_string(), "the disk is full");
        let given_on = error.clone();
        for error in [error, given_on] {
            assert_eq!(error.source().unwrap().to_string(), "no space left");
        }
    }

    #[test]
    fn only_unavailable_is_retryable() {
        use ErrorKind::{Conflict, Damaged, Denied, Indeterminate, Invalid};
        for kind in [Conflict, Damaged, Denied, Indeterminate, Invalid] {
            assert!(!Error::new(kind, "x").is_retryable());
        }
        assert!(Error::new(ErrorKind::Unavailable, "x").is_retryable());
    }

    #[test]
    fn the_field_is_named() {
        let error = Error::invalid("legs", "two at least").with_change(3);
        assert_eq!(error.to_string(), "legs: two at least");
        assert_eq!((error.field(), error.change()), (Some("legs"), Some(3)));
    }
}
