//! Whether a call may be repeated.

use serde::{Deserialize, Serialize};

use super::Method;

/// Whether and how a call may be repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Idempotency {
    /// It changes nothing (RFC 9110 §9.2.1).
    Safe,
    /// Done twice is done once (RFC 9110 §9.2.2).
    #[serde(alias = "natural")]
    Idempotent,
    /// With its `Idempotency-Key`, which it must carry.
    Key,
    /// With its `Idempotency-Key`, where it carries one.
    OptionalKey,
    /// Never.
    #[default]
    None,
}

impl Idempotency {
    /// Whether a call may carry an `Idempotency-Key` that means something.
    #[must_use]
    pub const fn has_key(self) -> bool {
        matches!(self, Self::Key | Self::OptionalKey)
    }

    /// Whether a call whose outcome is unknown may be sent again; with the same key, where it has one to carry.
    #[must_use]
    pub const fn may_repeat(self) -> bool {
        !matches!(self, Self::None)
    }

    /// What HTTP says of a method whose endpoint declares nothing.
    #[must_use]
    pub const fn of_method(method: Method) -> Self {
        match method {
            Method::Get => Self::Safe,
            Method::Put | Method::Delete => Self::Idempotent,
            Method::Post | Method::Patch => Self::None,
        }
    }
}
