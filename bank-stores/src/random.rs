//! Randomness, passed in, and ids made of it.
//!
//! ```
//! use bank_stores::{SystemRandom, random};
//!
//! let id = random::id(&SystemRandom::new(), "tr_");
//! assert!(id.starts_with("tr_") && id.len() == 3 + 26);
//! ```

use std::cell::RefCell;
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
        if buffer.len() > SMALL {
            return draw(buffer);
        }
        DRAWN.with_borrow_mut(|drawn| drawn.give(buffer));
    }
}

fn draw(buffer: &mut [u8]) {
    // Going on with predictable keys would be worse than stopping.
    getrandom::fill(buffer).expect("the operating system gives random bytes");
}

/// So many bytes are drawn at once for what asks for few: a system call for each id would cost more than the id.
const AT_ONCE: usize = 512;
const SMALL: usize = 32;

thread_local! {
    static DRAWN: RefCell<Drawn> = const { RefCell::new(Drawn { bytes: [0; AT_ONCE], left: 0 }) };
}

/// Bytes of this thread that were drawn and not given yet. What was given is forgotten here.
struct Drawn {
    bytes: [u8; AT_ONCE],
    left: usize,
}

impl Drawn {
    fn give(&mut self, buffer: &mut [u8]) {
        if self.left < buffer.len() {
            draw(&mut self.bytes);
            self.left = AT_ONCE;
        }
        let given = &mut self.bytes[self.left - buffer.len()..self.left];
        buffer.copy_from_slice(given);
        given.fill(0);
        self.left -= buffer.len();
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

/// Another version of an item or a document: drawn at random, so that none comes again after a delete, or after an older copy of the
/// store was put back. 63 bits, as it has to fit a signed column, and never 0.
#[cfg(any(feature = "dynamodb", feature = "embedded", feature = "mongodb"))]
pub(crate) fn version() -> u64 {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes);
    (u64::from_be_bytes(bytes) >> 1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_requests_are_never_given_the_same_bytes() {
        let random = SystemRandom::new();
        let mut seen = std::collections::HashSet::new();
        for length in (8..=40).cycle().take(2_000) {
            let mut bytes = vec![0; length];
            random.fill(&mut bytes);
            assert!(seen.insert(bytes[..8].to_vec()));
        }
    }

    #[test]
    fn ids_are_fixed_in_length_and_keep_all_bits() {
        assert_eq!(text("", [0; 16]), "0".repeat(26));
        assert_eq!(text("x", [255; 16]), format!("x7{}", "z".repeat(25)));
        assert_ne!(id(&SystemRandom, ""), id(&SystemRandom, ""));
    }
}
