//! Tokens that were verified, until they expire or their key leaves the key set, within a bound (S11).

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bank_sdk::Principal;

use crate::auth::keys::VerifyingKey;

const SHARDS: usize = 16;
const EACH: usize = 2_048;

/// Verified tokens and whose they are.
pub(super) struct KnownTokens {
    hasher: RandomState,
    /// By a hash of the token's end; two tokens of one hash take each other's place.
    shards: [Mutex<HashMap<u64, Known>>; SHARDS],
}

struct Known {
    token: Box<str>,
    principal: Arc<Principal>,
    /// Gone when the key set that held it was replaced.
    key: Weak<VerifyingKey>,
    expires: i64,
}

impl Known {
    fn holds(&self, now: i64) -> bool {
        now < self.expires && self.key.strong_count() > 0
    }
}

impl KnownTokens {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Whose token it is, where it was verified and has not expired.
    pub(super) fn find(&self, token: &str, now: i64) -> Option<Arc<Principal>> {
        let (hash, shard) = self.place(token);
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shard.get(&hash).filter(|known| *known.token == *token && known.holds(now))?;
        Some(known.principal.clone())
    }

    pub(super) fn keep(
        &self,
        token: &str,
        principal: Arc<Principal>,
        key: &Arc<VerifyingKey>,
        expires: i64,
        now: i64,
    ) {
        let (hash, shard) = self.place(token);
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= EACH {
            shard.retain(|_, known| known.holds(now));
            // Forgetting costs a signature check and nothing else, so that any may go.
            while shard.len() >= EACH {
                let Some(any) = shard.keys().next().copied() else { break };
                shard.remove(&any);
            }
        }
        let known = Known { token: token.into(), principal, key: Arc::downgrade(key), expires };
        shard.insert(hash, known);
    }

    /// The signature is the part that differs; its end is as good as random.
    fn place(&self, token: &str) -> (u64, &Mutex<HashMap<u64, Known>>) {
        let tail = token.as_bytes().last_chunk::<16>().map_or(token.as_bytes(), |tail| tail);
        let hash = self.hasher.hash_one(tail);
        (hash, &self.shards[hash as usize % SHARDS])
    }
}

impl fmt::Debug for KnownTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KnownTokens")
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey};

    use super::*;

    #[test]
    fn s11_known_tokens_are_bounded_and_outlive_neither_their_expiry_nor_their_key() {
        let key =
            Arc::new(VerifyingKey { algorithm: Algorithm::HS256, key: DecodingKey::from_secret(&[1; 32]) });
        let known = KnownTokens::new();
        let alice = Arc::new(Principal::customer("alice"));
        for number in 0..SHARDS * EACH * 2 {
            known.keep(&format!("a.b.{number:012}"), alice.clone(), &key, 100, 0);
        }
        let kept: usize = known.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= SHARDS * EACH);
        known.keep("a.b.signature-here", alice, &key, 100, 0);
        assert!(known.find("a.b.signature-here", 99).is_some());
        assert!(known.find("a.b.signature-here", 100).is_none());
        drop(key);
        assert!(known.find("a.b.signature-here", 99).is_none());
    }
}
