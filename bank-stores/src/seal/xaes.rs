//! XAES-256-GCM (<https://c2sp.org/XAES-256-GCM>): AES-256-GCM with a nonce of 192 bits.
//!
//! Half of the nonce derives a key for the one value (SP 800-108r1 with AES-CMAC), the other half is that key's nonce. So there is no
//! number of values after which a key is used up: of 2^80 random nonces, two are equal with a probability of 2^-32.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use aws_lc_rs::cipher::{AES_256, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use zeroize::Zeroizing;

/// The length of a nonce, in bytes.
pub(super) const NONCE_LEN: usize = 24;
/// The length of a tag, in bytes.
pub(super) const TAG_LEN: usize = 16;

/// How much of the nonce derives the key.
const DERIVES: usize = 12;
const BLOCK: usize = 16;

/// A key.
pub(super) struct Xaes {
    block: EncryptingKey,
    /// The subkey K1 of AES-CMAC, which every message of one whole block has.
    mask: Zeroizing<[u8; BLOCK]>,
}

impl Xaes {
    pub(super) fn new(key: &[u8; 32]) -> Result<Self, Unspecified> {
        let block = EncryptingKey::ecb(UnboundCipherKey::new(&AES_256, key)?)?;
        let mut mask = Zeroizing::new([0; BLOCK]);
        block.encrypt(mask.as_mut_slice())?;
        double(&mut mask);
        Ok(Self { block, mask })
    }

    /// Encrypts `in_out` in place, and gives the tag.
    pub(super) fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<Tag, Unspecified> {
        let (key, nonce) = self.derive(nonce)?;
        key.seal_in_place_separate_tag(nonce, Aad::from(aad), in_out)
    }

    /// Decrypts `in_out`, which ends in the tag, in place, and gives what was encrypted.
    pub(super) fn open<'a>(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &'a mut [u8],
    ) -> Result<&'a mut [u8], Unspecified> {
        let (key, nonce) = self.derive(nonce)?;
        key.open_in_place(nonce, Aad::from(aad), in_out)
    }

    /// The key of this nonce, and what is left of the nonce.
    fn derive(&self, nonce: &[u8; NONCE_LEN]) -> Result<(LessSafeKey, Nonce), Unspecified> {
        let (derives, rest) = nonce.split_at(DERIVES);
        let mut key = Zeroizing::new([0; 2 * BLOCK]);
        for (counter, half) in (1..).zip(key.chunks_exact_mut(BLOCK)) {
            half[..4].copy_from_slice(&[0, counter, b'X', 0]);
            half[4..].copy_from_slice(derives);
            half.iter_mut().zip(self.mask.iter()).for_each(|(byte, mask)| *byte ^= mask);
        }
        self.block.encrypt(key.as_mut_slice())?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice())?);
        Ok((key, Nonce::try_assume_unique_for_key(rest)?))
    }
}

impl fmt::Debug for Xaes {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Xaes(…)")
    }
}

/// Doubles in GF(2^128), without a branch on what is secret.
fn double(block: &mut [u8; BLOCK]) {
    let doubled = u128::from_be_bytes(*block);
    let carry = (doubled >> 127) * 0b1000_0111;
    *block = ((doubled << 1) ^ carry).to_be_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &[u8; NONCE_LEN] = b"ABCDEFGHIJKLMNOPQRSTUVWX";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Both vectors of the specification: a doubling without and with a carry.
    #[test]
    fn it_is_what_the_specification_says() {
        for (byte, aad, mask, sealed) in [
            (
                1,
                "",
                "e531954aca063d5b8d9c47a47d4cc6f0",
                "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
            ),
            (
                3,
                "c2sp.org/XAES-256-GCM",
                "23810ec50edb99f374409466ed1f4b7b",
                "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
            ),
        ] {
            let xaes = Xaes::new(&[byte; 32]).unwrap();
            assert_eq!(hex(xaes.mask.as_slice()), mask);
            let mut data = b"XAES-256-GCM".to_vec();
            let tag = xaes.seal(NONCE, aad.as_bytes(), &mut data).unwrap();
            data.extend_from_slice(tag.as_ref());
            assert_eq!(hex(&data), sealed);
            assert_eq!(xaes.open(NONCE, aad.as_bytes(), &mut data).unwrap(), b"XAES-256-GCM");
        }
    }

    #[test]
    fn each_half_of_a_nonce_matters() {
        let xaes = Xaes::new(&[1; 32]).unwrap();
        let seal = |nonce: &[u8; NONCE_LEN]| {
            let mut data = [0; 32];
            let _tag = xaes.seal(nonce, b"", &mut data).unwrap();
            data
        };
        for index in 0..NONCE_LEN {
            let mut other = *NONCE;
            other[index] ^= 1;
            assert_ne!(seal(NONCE), seal(&other), "{index}");
        }
    }
}
