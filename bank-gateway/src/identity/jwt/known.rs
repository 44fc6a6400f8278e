//! Tokens that were verified, until they expire or their key leaves the key set, within a bound in bytes (S11).

use std::fmt;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Weak};

use bank_sdk::Principal;

use crate::identity::cache::{Beginning, ByteCache, principal_bytes};
use crate::identity::keys::VerifyingKey;

/// SHA-256 of a token, by which it is known: tokens of a kilobyte and more would fill the cache with themselves.
pub(super) type TokenHash = [u8; 32];

/// Verified tokens and whose they are.
pub(super) struct KnownTokens {
    /// Only tokens that were verified are kept, so that nobody fills a place of the index with hashes of his choice.
    cache: ByteCache<TokenHash, KnownToken, BuildHasherDefault<Beginning>>,
}

struct KnownToken {
    principal: Arc<Principal>,
    /// Gone when it left the key set.
    key: Weak<VerifyingKey>,
    expires: i64,
}

impl KnownTokens {
    pub(super) fn new(bytes: usize) -> Self {
        Self { cache: ByteCache::new(bytes) }
    }

    /// Whose token it is, where it was verified and has not expired.
    pub(super) fn find(&self, token: &TokenHash, now: i64) -> Option<Arc<Principal>> {
        self.cache.read(token, |known| {
            let holds = now < known.expires && known.key.strong_count() > 0;
            holds.then(|| known.principal.clone())
        })?
    }

    pub(super) fn keep(
        &self,
        token: TokenHash,
        principal: Arc<Principal>,
        key: &Arc<VerifyingKey>,
        expires: i64,
    ) {
        let bytes = principal_bytes(&principal);
        self.cache.insert(token, KnownToken { principal, key: Arc::downgrade(key), expires }, bytes);
    }
}

impl fmt::Debug for KnownTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cache.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::DecodingKey;

    use super::*;

    fn hash(number: u32) -> TokenHash {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        hash
    }

    fn key() -> Arc<VerifyingKey> {
        Arc::new(VerifyingKey::test(DecodingKey::from_secret(&[1; 32])))
    }

    #[test]
    fn s11_a_known_token_outlives_neither_its_expiry_nor_its_key() {
        let (known, key) = (KnownTokens::new(1 << 20), key());
        known.keep(hash(1), Arc::new(Principal::customer("alice")), &key, 100);
        assert!(known.find(&hash(1), 99).is_some());
        assert!(known.find(&hash(1), 100).is_none());
        drop(key);
        assert!(known.find(&hash(1), 99).is_none());
    }

    #[test]
    fn s11_the_default_cache_holds_the_tokens_of_100_000_principals() {
        let (known, key) = (KnownTokens::new(super::super::CACHE_BYTES), key());
        let principal = || {
            let mut principal = Principal::customer("cus_0123456789abcdefghjkmnpqrs")
                .with_scope("accounts:read")
                .with_scope("transfers:write");
            principal.session = Some("ses_0123456789abcdefghjkmnpqrs".to_owned());
            principal.credential = Some("abcdefghijkl".to_owned());
            Arc::new(principal)
        };
        for number in 0..100_000 {
            known.keep(hash(number), principal(), &key, 100);
        }
        let found = (0..100_000).filter(|number| known.find(&hash(*number), 0).is_some()).count();
        assert_eq!(found, 100_000);
    }
}
