//! Fingerprints of content: SHA-256 over parts with their lengths, so that no two contents read the same.

use sha2::{Digest, Sha256};

pub(crate) type Content = [u8; 32];

/// Takes the parts of a content one by one.
pub(crate) struct Canonical(Sha256);

impl Canonical {
    /// `form` names the type and the version of the form.
    pub(crate) fn new(form: &str) -> Self {
        Self(Sha256::new()).text(form)
    }

    pub(crate) fn bytes(mut self, part: &[u8]) -> Self {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
        self
    }

    pub(crate) fn text(self, part: &str) -> Self {
        self.bytes(part.as_bytes())
    }

    pub(crate) fn number(mut self, part: i64) -> Self {
        self.0.update(part.to_be_bytes());
        self
    }

    pub(crate) fn count(self, part: usize) -> Self {
        self.number(part as i64)
    }

    /// Absent and empty are two different contents.
    pub(crate) fn optional<T>(self, part: Option<T>, add: impl FnOnce(Self, T) -> Self) -> Self {
        match part {
            None => self.number(0),
            Some(part) => add(self.number(1), part),
        }
    }

    pub(crate) fn finish(self) -> Content {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_border_changes_the_fingerprint() {
        let print = |a: &str, b: &str| Canonical::new("test").text(a).text(b).finish();
        assert_ne!(print("ab", "c"), print("a", "bc"));
        let optional = |part: Option<&str>| Canonical::new("test").optional(part, Canonical::text).finish();
        assert_ne!(optional(None), optional(Some("")));
    }
}
