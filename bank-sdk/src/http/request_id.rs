//! The id of a request.

use std::fmt;

use bank_stores::Random;

/// So long is the longest id.
const MAX: usize = 63;

/// The id of this request, as a request extension: at most 63 visible ASCII bytes, held without an allocation.
///
/// ```
/// use bank_sdk::http::RequestId;
///
/// assert_eq!(RequestId::new("req_1").unwrap().as_str(), "req_1");
/// assert!(RequestId::new("two words").is_none() && RequestId::new("").is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    /// Zeros behind the id.
    bytes: [u8; MAX],
    length: u8,
}

impl RequestId {
    /// An id, where the text can be one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut bytes = [0; MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { bytes, length: text.len() as u8 })
    }

    /// A new id: `req_` and 26 characters that stand for 16 random bytes.
    #[must_use]
    pub fn random(random: &dyn Random) -> Self {
        const PREFIX: &[u8] = b"req_";
        const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut drawn = [0; 16];
        random.fill(&mut drawn);
        let number = u128::from_be_bytes(drawn);
        let mut bytes = [0; MAX];
        bytes[..PREFIX.len()].copy_from_slice(PREFIX);
        for place in 0..26 {
            let digit = (number >> ((25 - place) * 5)) & 31;
            bytes[PREFIX.len() + place] = DIGITS[digit as usize];
        }
        Self { bytes, length: PREFIX.len() as u8 + 26 }
    }

    /// The id as bytes, all of them visible ASCII.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It is ASCII since it was made.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// `-`: the id of a request that nobody gave one.
impl Default for RequestId {
    fn default() -> Self {
        let mut bytes = [0; MAX];
        bytes[0] = b'-';
        Self { bytes, length: 1 }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use bank_stores::SystemRandom;

    use super::*;

    #[test]
    fn an_id_is_1_to_63_visible_ascii_bytes() {
        let longest = "x".repeat(63);
        assert_eq!(RequestId::new(&longest).unwrap().to_string(), longest);
        for wrong in ["", "a b", "ü", "a\n", "\0", &"x".repeat(64)] {
            assert_eq!(RequestId::new(wrong), None, "{wrong:?}");
        }
        assert_ne!(RequestId::new("a"), RequestId::new("a0"));
        assert_eq!(RequestId::default().as_str(), "-");
        assert_eq!(size_of::<RequestId>(), 64);
    }

    #[test]
    fn a_random_id_is_what_the_stores_make_of_the_same_bytes() {
        #[derive(Debug)]
        struct Fixed;
        impl Random for Fixed {
            fn fill(&self, buffer: &mut [u8]) {
                buffer.iter_mut().zip(7_u8..).for_each(|(byte, value)| *byte = value.wrapping_mul(83));
            }
        }
        assert_eq!(RequestId::random(&Fixed).as_str(), bank_stores::random::id(&Fixed, "req_"));
        assert_ne!(RequestId::random(&SystemRandom::new()), RequestId::random(&SystemRandom::new()));
    }
}
