//! Encryption of chosen fields: AES-256-GCM with the row's identity bound in, keys by id, and a blind index.
//!
//! ```
//! use bank_stores::seal::Sealer;
//!
//! let sealer = Sealer::new("k1", [7; 32])?;
//! let sealed = sealer.seal(b"user/u_1/email", b"ada@example.com")?;
//! assert!(sealed.starts_with("v1.k1."));
//! assert_eq!(sealer.open(b"user/u_1/email", &sealed)?, b"ada@example.com");
//! // Moved to another row, it does not open.
//! assert!(sealer.open(b"user/u_2/email", &sealed).is_err());
//! # Ok::<(), bank_stores::Error>(())
//! ```
//!
//! A sealed value reads `v1.KEYID.DATA`, where the data is nonce, ciphertext and tag in unpadded base64url. The nonce is
//! drawn at random, so that one key should seal fewer than 2^32 values (NIST SP 800-38D §8.3): rotate before that.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{Zeroize, Zeroizing};

use crate::ledger::MAX_ID;
use crate::{Error, ErrorKind, Random, Result, SystemRandom};

const VERSION: &str = "v1";

/// Seals and opens fields.
pub struct Sealer {
    keys: Vec<Key>,
    current: usize,
    index: Index,
}

/// One encryption key; the crypto library wipes its own form of it.
struct Key {
    id: String,
    aead: LessSafeKey,
}

/// The blind index has a key of its own, which rotation of the encryption keys leaves alone: indexes stay comparable.
struct Index(hmac::Key);

impl Sealer {
    /// A sealer whose current key is `key`, known as `id`; the blind index is keyed from it.
    ///
    /// With several keys, give the index a key of its own by [`Sealer::with_index_key`] before values are indexed.
    pub fn new(id: impl Into<String>, key: [u8; 32]) -> Result<Self> {
        let secret = Zeroizing::new(key);
        // Derived, so that the same bytes never serve two algorithms.
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret.as_slice());
        let index =
            Index(hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, b"bank blind index 1").as_ref()));
        Ok(Self { keys: vec![Key::new(id.into(), key)?], current: 0, index })
    }

    /// Adds a key that older values are sealed with; it opens and never seals.
    pub fn with_old_key(mut self, id: impl Into<String>, key: [u8; 32]) -> Result<Self> {
        let key = Key::new(id.into(), key)?;
        if self.keys.iter().any(|known| known.id == key.id) {
            return Err(Error::invalid("key", format!("two keys have the id {}", key.id)));
        }
        self.keys.push(key);
        Ok(self)
    }

    /// Gives the blind index its own key, which stays when encryption keys are rotated.
    #[must_use]
    pub fn with_index_key(mut self, mut key: [u8; 32]) -> Self {
        self.index = Index(hmac::Key::new(hmac::HMAC_SHA256, &key));
        key.zeroize();
        self
    }

    /// The id of the key that seals.
    pub fn current_key(&self) -> &str {
        &self.keys[self.current].id
    }

    /// Encrypts `plaintext`; `context` says where it belongs (table, row, field) and has to be the same to open it.
    pub fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<String> {
        let key = &self.keys[self.current];
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce);
        let mut data = Vec::with_capacity(NONCE_LEN + plaintext.len() + AES_256_GCM.tag_len());
        data.extend_from_slice(&nonce);
        data.extend_from_slice(plaintext);
        let aad = Aad::from(bound(&key.id, context));
        let tag = key
            .aead
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut data[NONCE_LEN..])
            .map_err(|_| Error::invalid("plaintext", "too long to be sealed"))?;
        data.extend_from_slice(tag.as_ref());
        Ok(format!("{VERSION}.{}.{}", key.id, URL_SAFE_NO_PAD.encode(data)))
    }

    /// Decrypts what [`Sealer::seal`] gave for the same `context`.
    ///
    /// `Denied` when it was changed, belongs elsewhere, or its key is not known: which of these is not told apart, but
    /// for the unknown key, whose id is no secret.
    pub fn open(&self, context: &[u8], sealed: &str) -> Result<Vec<u8>> {
        let denied =
            || Error::new(ErrorKind::Denied, "the sealed value does not open here").with_field("sealed");
        let mut parts = sealed.splitn(3, '.');
        let (Some(VERSION), Some(id), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Error::invalid("sealed", "not a sealed value"));
        };
        let Some(key) = self.keys.iter().find(|key| key.id == id) else {
            return Err(Error::new(ErrorKind::Denied, "sealed with a key that is not known here")
                .with_field("sealed"));
        };
        let mut data = URL_SAFE_NO_PAD.decode(text).map_err(|_| denied())?;
        let nonce = data
            .get(..NONCE_LEN)
            .and_then(|nonce| <[u8; NONCE_LEN]>::try_from(nonce).ok())
            .ok_or_else(denied)?;
        let aad = Aad::from(bound(id, context));
        let opened = key
            .aead
            .open_in_place(Nonce::assume_unique_for_key(nonce), aad, &mut data[NONCE_LEN..])
            .map(|plaintext| plaintext.to_vec());
        data.zeroize();
        opened.map_err(|_| denied())
    }

    /// Whether a sealed value should be sealed again, since its key is no longer the current one.
    pub fn is_outdated(&self, sealed: &str) -> bool {
        sealed.split('.').nth(1) != Some(self.current_key())
    }

    /// A text that is equal for equal values of one context (a field, not a row): for finding by a sealed field, and for
    /// unique keys over it. It gives nothing away but equality.
    pub fn blind_index(&self, context: &[u8], value: &[u8]) -> String {
        let mut mac = hmac::Context::with_key(&self.index.0);
        mac.update(&(context.len() as u64).to_be_bytes());
        mac.update(context);
        mac.update(value);
        URL_SAFE_NO_PAD.encode(mac.sign())
    }
}

impl Key {
    fn new(id: String, mut key: [u8; 32]) -> Result<Self> {
        let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if !plain || !(1..=MAX_ID).contains(&id.len()) {
            return Err(Error::invalid("key", "a key's id is 1 to 64 characters of A-Z a-z 0-9 _ -"));
        }
        let unbound = UnboundKey::new(&AES_256_GCM, &key);
        key.zeroize();
        let unbound = unbound.map_err(|_| Error::invalid("key", "not a key of 32 bytes"))?;
        Ok(Self { id, aead: LessSafeKey::new(unbound) })
    }
}

/// The key's id is bound in too, so that a value cannot be passed off as sealed with another.
fn bound(id: &str, context: &[u8]) -> Vec<u8> {
    let mut bound = Vec::with_capacity(VERSION.len() + id.len() + context.len() + 2);
    for part in [VERSION.as_bytes(), b".", id.as_bytes(), b".", context] {
        bound.extend_from_slice(part);
    }
    bound
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.keys.iter().map(|key| key.id.as_str()).collect();
        f.debug_struct("Sealer")
            .field("current", &self.current_key())
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_or_moved_does_not_open() {
        let sealer = Sealer::new("k1", [1; 32]).unwrap();
        let sealed = sealer.seal(b"row", b"secret").unwrap();
        assert_eq!(sealer.open(b"row", &sealed).unwrap(), b"secret");
        assert_eq!(sealer.open(b"other", &sealed).unwrap_err().kind(), ErrorKind::Denied);
        for index in "v1.k1.".len()..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            assert!(sealer.open(b"row", std::str::from_utf8(&bytes).unwrap()).is_err(), "{index}");
        }
        for junk in ["", "v1", "v1.k1", "v1.k1.", "v2.k1.AAAA", "v1.k1.AAAA"] {
            assert!(sealer.open(b"row", junk).is_err(), "{junk}");
        }
    }

    #[test]
    fn a_rotated_key_still_opens_and_a_missing_one_does_not() {
        let sealed = Sealer::new("k1", [1; 32]).unwrap().seal(b"row", b"secret").unwrap();
        let rotated = Sealer::new("k2", [2; 32]).unwrap().with_old_key("k1", [1; 32]).unwrap();
        assert_eq!(rotated.open(b"row", &sealed).unwrap(), b"secret");
        assert!(rotated.is_outdated(&sealed));
        assert!(!rotated.is_outdated(&rotated.seal(b"row", b"secret").unwrap()));
        assert!(Sealer::new("k2", [2; 32]).unwrap().open(b"row", &sealed).is_err());
        assert!(rotated.with_old_key("k2", [3; 32]).is_err());
    }

    #[test]
    fn the_blind_index_tells_equality_within_a_context_only() {
        let sealer = Sealer::new("k1", [1; 32]).unwrap().with_index_key([9; 32]);
        let rotated = Sealer::new("k2", [2; 32]).unwrap().with_index_key([9; 32]);
        let index = sealer.blind_index(b"email", b"a@example.com");
        assert_eq!(index, rotated.blind_index(b"email", b"a@example.com"));
        assert_ne!(index, sealer.blind_index(b"name", b"a@example.com"));
        assert_ne!(sealer.blind_index(b"ab", b"c"), sealer.blind_index(b"a", b"bc"));
    }

    #[test]
    fn no_key_is_shown() {
        let sealer = Sealer::new("k1", [171; 32]).unwrap();
        let shown = format!("{sealer:?}");
        assert!(shown.contains("k1") && !shown.contains("171") && !shown.contains("abab"), "{shown}");
    }
}
