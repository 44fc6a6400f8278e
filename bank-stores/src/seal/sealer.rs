//! One key: XAES-256-GCM over bytes and text, and a blind index.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::xaes::{NONCE_LEN, TAG_LEN, Xaes};
use crate::sealed::{MARK, MAX_KEY_ID, TEXT};
use crate::{Error, ErrorKind, Random as _, Result, SystemRandom};

const VERSION: &str = "1";

/// Seals and opens values with one key of 256 bits.
///
/// The key's id stands in what it seals, and the context in which a value belongs (its table, row and field) is bound in: a value
/// that was moved elsewhere does not open. Neither is a secret.
///
/// The cipher is [XAES-256-GCM](https://c2sp.org/XAES-256-GCM), which seals each value with an AES-256-GCM key of its own. One key may
/// seal any number of values: of 2^80, two share a nonce with a probability of 2^-32.
///
/// # Nonces
/// [`seal`](Self::seal) and [`seal_bytes`](Self::seal_bytes) draw the nonce of 192 bits. [`seal_write`](Self::seal_write) and
/// [`seal_bytes_write`](Self::seal_bytes_write) derive it: the first 192 bits of an HMAC-SHA-256, under a key of its own, over context,
/// write and value. So a write that is sent again has the same bytes, and a store sees that it is the same. The nonce of two writes is
/// the same where all three are the same, and then so is the ciphertext, which tells nothing new. Different ones share a nonce as
/// seldom as random nonces do.
pub struct Sealer {
    id: String,
    cipher: Xaes,
    nonces: hmac::Key,
    index: hmac::Key,
}

impl Sealer {
    /// A sealer with this key, known as `id`: 1 to 64 characters of `A-Z a-z 0-9 _ -`.
    ///
    /// # Errors
    /// `Invalid`, field `key`, for another id.
    pub fn new(id: impl Into<String>, key: [u8; 32]) -> Result<Self> {
        let (id, key) = (id.into(), Zeroizing::new(key));
        if !is_id(&id) {
            return Err(Error::invalid("key", "a key's id is 1 to 64 characters of A-Z a-z 0-9 _ -"));
        }
        // Derived, so that the same bytes never serve two algorithms.
        let root = hmac::Key::new(hmac::HMAC_SHA256, key.as_slice());
        let mut encryption = Zeroizing::new([0; 32]);
        encryption.copy_from_slice(hmac::sign(&root, b"bank seal encryption 1").as_ref());
        let cipher = Xaes::new(&encryption).map_err(|_| Error::invalid("key", "not a key of 32 bytes"))?;
        let derived = |purpose: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, purpose).as_ref());
        Ok(Self {
            id,
            cipher,
            nonces: derived(b"bank seal nonces 1"),
            index: derived(b"bank seal blind index 1"),
        })
    }

    /// The key's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Seals `plaintext` as text. `context` says where it belongs, and has to be the same to open it.
    ///
    /// # Errors
    /// `Invalid` for what is too long: 64 GiB.
    pub fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<String> {
        self.text(context, drawn(), plaintext)
    }

    /// Seals `plaintext` as text that is the same whenever this write seals it.
    ///
    /// # Errors
    /// As for [`seal`](Self::seal).
    pub fn seal_write(&self, context: &[u8], write: &str, plaintext: &[u8]) -> Result<String> {
        self.text(context, self.derived(context, write, plaintext), plaintext)
    }

    /// Seals `plaintext` as bytes, which are fewer than those of a text.
    ///
    /// # Errors
    /// As for [`seal`](Self::seal).
    pub fn seal_bytes(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
        self.bytes(context, drawn(), plaintext)
    }

    /// Seals `plaintext` as bytes that are the same whenever this write seals it.
    ///
    /// # Errors
    /// As for [`seal`](Self::seal).
    pub fn seal_bytes_write(&self, context: &[u8], write: &str, plaintext: &[u8]) -> Result<Vec<u8>> {
        self.bytes(context, self.derived(context, write, plaintext), plaintext)
    }

    /// Opens text that was sealed with this key in the same context.
    ///
    /// # Errors
    /// `Invalid` for what is not sealed text; `Denied` for what was changed, belongs elsewhere or was sealed with another key.
    pub fn open(&self, context: &[u8], sealed: &str) -> Result<Vec<u8>> {
        let Some((id, data)) = parse_text(sealed) else {
            return Err(Error::invalid("sealed", "not a sealed text"));
        };
        let data = URL_SAFE_NO_PAD.decode(data).map_err(|_| denied())?;
        self.decrypt(id, context, &data)
    }

    /// Opens bytes that were sealed with this key in the same context.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_bytes(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let Some((id, data)) = parse_bytes(sealed) else {
            return Err(Error::invalid("sealed", "not a sealed value"));
        };
        self.decrypt(id, context, data)
    }

    /// A text that is equal for equal values of one context (a field, not a row): for finding by a sealed field, and for unique
    /// keys over it. It gives nothing away but equality.
    pub fn blind_index(&self, context: &[u8], value: &[u8]) -> String {
        let mut mac = hmac::Context::with_key(&self.index);
        part(&mut mac, context);
        mac.update(value);
        URL_SAFE_NO_PAD.encode(mac.sign())
    }

    fn derived(&self, context: &[u8], write: &str, plaintext: &[u8]) -> [u8; NONCE_LEN] {
        let mut mac = hmac::Context::with_key(&self.nonces);
        part(&mut mac, context);
        part(&mut mac, write.as_bytes());
        mac.update(plaintext);
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&mac.sign().as_ref()[..NONCE_LEN]);
        nonce
    }

    fn text(&self, context: &[u8], nonce: [u8; NONCE_LEN], plaintext: &[u8]) -> Result<String> {
        let mut data = Vec::with_capacity(NONCE_LEN + plaintext.len() + TAG_LEN);
        self.encrypt(context, nonce, plaintext, &mut data)?;
        let mut text = String::with_capacity(TEXT.len() + self.id.len() + 1 + data.len().div_ceil(3) * 4);
        text.push_str(TEXT);
        text.push_str(&self.id);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(&data, &mut text);
        Ok(text)
    }

    fn bytes(&self, context: &[u8], nonce: [u8; NONCE_LEN], plaintext: &[u8]) -> Result<Vec<u8>> {
        let head = MARK.len() + 1 + self.id.len();
        let mut sealed = Vec::with_capacity(head + NONCE_LEN + plaintext.len() + TAG_LEN);
        sealed.extend_from_slice(&MARK);
        // An id has 64 bytes at most.
        sealed.push(self.id.len() as u8);
        sealed.extend_from_slice(self.id.as_bytes());
        self.encrypt(context, nonce, plaintext, &mut sealed)?;
        Ok(sealed)
    }

    /// Adds nonce, ciphertext and tag to `into`.
    fn encrypt(
        &self,
        context: &[u8],
        nonce: [u8; NONCE_LEN],
        plaintext: &[u8],
        into: &mut Vec<u8>,
    ) -> Result<()> {
        into.extend_from_slice(&nonce);
        let start = into.len();
        into.extend_from_slice(plaintext);
        let tag = self
            .cipher
            .seal(&nonce, &bound(&self.id, context), &mut into[start..])
            .map_err(|_| Error::invalid("plaintext", "too long to be sealed"))?;
        into.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn decrypt(&self, id: &str, context: &[u8], data: &[u8]) -> Result<Vec<u8>> {
        let Some((nonce, sealed)) = data.split_first_chunk::<NONCE_LEN>().filter(|_| id == self.id) else {
            return Err(denied());
        };
        let mut opened = sealed.to_vec();
        let length = self.cipher.open(nonce, &bound(id, context), &mut opened).map_err(|_| denied())?.len();
        opened.truncate(length);
        Ok(opened)
    }
}

impl fmt::Debug for Sealer {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("id", &self.id).finish_non_exhaustive()
    }
}

fn is_id(id: &str) -> bool {
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    plain && (1..=MAX_KEY_ID).contains(&id.len())
}

/// The id of the key that a text was sealed with, and the rest; nothing for what is no sealed text.
pub(super) fn parse_text(text: &str) -> Option<(&str, &str)> {
    let (id, data) = text.strip_prefix(TEXT)?.split_once('.')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    // Nonce and tag in base64 at least.
    (is_id(id) && data.len() >= (NONCE_LEN + TAG_LEN) * 4 / 3 && data.bytes().all(plain))
        .then_some((id, data))
}

/// The id of the key that bytes were sealed with, and the rest; nothing for what is not sealed.
pub(super) fn parse_bytes(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.strip_prefix(&MARK)?.split_first()?;
    let (id, data) = rest.split_at_checked(usize::from(*length))?;
    let id = std::str::from_utf8(id).ok()?;
    (is_id(id) && data.len() >= NONCE_LEN + TAG_LEN).then_some((id, data))
}

/// The parts of a context as bytes from which each can be told.
pub(super) fn context(parts: &[&str]) -> Vec<u8> {
    let mut context = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        // No part is as long as 4 GiB.
        context.extend_from_slice(&(part.len() as u32).to_be_bytes());
        context.extend_from_slice(part.as_bytes());
    }
    context
}

fn drawn() -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce);
    nonce
}

fn part(mac: &mut hmac::Context, part: &[u8]) {
    mac.update(&(part.len() as u64).to_be_bytes());
    mac.update(part);
}

/// The key's id is bound in too, so that a value cannot be passed off as sealed with another.
fn bound(id: &str, context: &[u8]) -> Vec<u8> {
    let mut bound = Vec::with_capacity(VERSION.len() + id.len() + context.len() + 2);
    for part in [VERSION.as_bytes(), b".", id.as_bytes(), b".", context] {
        bound.extend_from_slice(part);
    }
    bound
}

fn denied() -> Error {
    Error::new(ErrorKind::Denied, "the sealed value does not open here").with_field("sealed")
}

#[cfg(test)]
#[path = "sealer_tests.rs"]
mod tests;
