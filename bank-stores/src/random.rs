//! Randomness, passed in, and ids made of it.
//!
//! ```
//! use bank_stores::{SystemRandom, random};
//!
//! let id = random::id(&SystemRandom::new(), "tr_");
//! assert!(id.starts_with("tr_") && id.len() == 3 + 26);
//! ```

use std::fmt;

/// Lower-case Crockford base32: no `i`, `l`, `o` or `u`, so that ids survive being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Where random bytes come from; they are used for ids and keys and have to be unpredictable.
pub trait Random: fmt::Debug + Send + Sync + 'static {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's random number generator.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemRandom;

impl SystemRandom {
    /// The operating system's random number generator.
    pub const fn new() -> Self {
        Self
    }
}

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) {
        // Going on with predictable keys would be worse than stopping.
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }
}

/// `prefix` and 26 characters that stand for 16 random bytes.
pub fn id(random: &dyn Random, prefix: &str) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    text(prefix, bytes)
}

/// `prefix` and `bytes` in lower-case Crockford base32: for ids that are derived, by HMAC say, and not drawn.
pub fn text(prefix: &str, bytes: [u8; 16]) -> String {
    let number = u128::from_be_bytes(bytes);
    let mut id = String::with_capacity(prefix.len() + 26);
    id.push_str(prefix);
    for place in (0..26).rev() {
        // 26 digits of 5 bits are 130 bits: the first digit holds the top three only.
        let digit = (number >> (place * 5)) & 31;
        id.push(char::from(ALPHABET[digit as usize]));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_fixed_in_length_and_keep_all_bits() {
        assert_eq!(text("", [0; 16]), "0".repeat(26));
        assert_eq!(text("x", [255; 16]), format!("x7{}", "z".repeat(25)));
        assert_ne!(id(&SystemRandom, ""), id(&SystemRandom, ""));
    }
}
