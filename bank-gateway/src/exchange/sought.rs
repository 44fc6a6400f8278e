//! The fields that steps look for and most requests lack. The one pass that reads all fields finds out which of them are there, so
//! that nobody looks for one in vain.

/// A field that steps look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Sought {
    Cookie,
    Expect,
    IdempotencyKey,
    Timeout,
    Traceparent,
    Tracestate,
    Via,
}

impl Sought {
    /// Which of them a name is.
    pub(crate) const fn named(name: &str) -> Option<Self> {
        match name.as_bytes() {
            b"bank-timeout-ms" => Some(Self::Timeout),
            b"cookie" => Some(Self::Cookie),
            b"expect" => Some(Self::Expect),
            b"idempotency-key" => Some(Self::IdempotencyKey),
            b"traceparent" => Some(Self::Traceparent),
            b"tracestate" => Some(Self::Tracestate),
            b"via" => Some(Self::Via),
            _ => None,
        }
    }

    /// Its place in a set of them.
    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }
}
