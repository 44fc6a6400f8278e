//! API keys without a store of one's own.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bank_sdk::Principal;
use bank_sdk::http::Body;
use bank_stores::{Clock, Error, Random, SystemRandom, Timestamp, random};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Request};

use super::api_key::{ApiKeyStore, ApiKeys, PREFIX, StoredKey};
use super::scheme::{Checked, Scheme};
use bank_sdk::openapi::SecurityScheme;

/// API keys in memory; made by [`ApiKeys::in_memory`]. Clones share them.
#[derive(Clone, Debug)]
pub struct InMemoryApiKeys {
    keys: ApiKeys,
    store: Arc<Memory>,
    random: Arc<dyn Random>,
}

impl ApiKeys {
    /// Keys that are kept in memory, hashed under this secret: for programs that make their keys when they start, for tests,
    /// and to begin with.
    #[must_use]
    pub fn in_memory(pepper: &[u8; 32]) -> InMemoryApiKeys {
        InMemoryApiKeys::new(pepper)
    }
}

impl InMemoryApiKeys {
    pub(super) fn new(pepper: &[u8; 32]) -> Self {
        let store = Arc::new(Memory::default());
        Self { keys: ApiKeys::new(store.clone(), pepper), store, random: Arc::new(SystemRandom::new()) }
    }

    /// Makes a key of this name for a principal, and returns it: it is shown once, since what is kept does not give it back. One
    /// name may have several keys, so that a new one can be handed out before the old one goes.
    #[must_use = "the key is shown once"]
    pub fn issue(&self, name: impl Into<String>, principal: Principal) -> String {
        self.add(name.into(), principal, None)
    }

    /// The same, for a key that holds until then.
    #[must_use = "the key is shown once"]
    pub fn issue_until(&self, name: impl Into<String>, principal: Principal, at: Timestamp) -> String {
        self.add(name.into(), principal, Some(at))
    }

    fn add(&self, name: String, principal: Principal, expires_at: Option<Timestamp>) -> String {
        let mut secret = [0; 32];
        self.random.fill(&mut secret);
        let id = random::id(&*self.random, "");
        let key = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
        let stored = StoredKey::new(self.keys.hash(&key), Arc::new(principal));
        let stored = expires_at.into_iter().fold(stored, StoredKey::expires_at);
        self.store.keys.write().unwrap_or_else(PoisonError::into_inner).insert(id, (name, stored));
        key
    }

    /// Ends all keys of a name, and returns how many there were.
    pub fn revoke(&self, name: &str) -> usize {
        let mut keys = self.store.keys.write().unwrap_or_else(PoisonError::into_inner);
        let before = keys.len();
        keys.retain(|_, (own, _)| own != name);
        before - keys.len()
    }

    /// A clock of their own. Without one they go by their gateway's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.keys = self.keys.clock(clock);
        self
    }

    /// Where secrets come from: the operating system, where nothing else is said.
    #[must_use]
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = random;
        self
    }
}

#[derive(Default)]
struct Memory {
    keys: RwLock<HashMap<String, (String, StoredKey)>>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[async_trait]
impl ApiKeyStore for Memory {
    async fn api_key(&self, id: &str) -> Result<Option<StoredKey>, Error> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        Ok(keys.get(id).map(|(_, stored)| stored.clone()))
    }
}

impl Scheme for InMemoryApiKeys {
    fn by_clock(&self, clock: &Arc<dyn Clock>) -> Option<Arc<dyn Scheme>> {
        Some(Arc::new(Self { keys: self.keys.on(clock), ..self.clone() }))
    }

    fn name(&self) -> &'static str {
        self.keys.name()
    }

    fn describe(&self) -> Option<SecurityScheme> {
        self.keys.describe()
    }

    fn is_presented(&self, request: &Request<Body>) -> bool {
        self.keys.is_presented(request)
    }

    fn credential_fields(&self) -> &[&'static str] {
        self.keys.credential_fields()
    }

    fn challenge(&self) -> Option<HeaderValue> {
        self.keys.challenge()
    }

    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a> {
        self.keys.check(request)
    }
}

#[cfg(test)]
mod tests {
    use bank_stores::ManualClock;

    use super::*;

    async fn check(keys: &InMemoryApiKeys, key: &str) -> Result<Arc<Principal>, bank_sdk::Problem> {
        let mut request = Request::new(Body::empty());
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
        keys.check(&mut request).await
    }

    #[tokio::test]
    async fn a_key_in_memory_is_its_principal_s_until_it_is_revoked() {
        let clock = ManualClock::at(Timestamp::from_seconds(100));
        let keys = ApiKeys::in_memory(&[7; 32]).clock(Arc::new(clock.clone()));
        let first = keys.issue("ann", Principal::customer("ann"));
        let second = keys.issue_until("ann", Principal::customer("ann"), Timestamp::from_seconds(200));
        let other = keys.issue("bea", Principal::customer("bea"));
        assert!(first != second && !format!("{keys:?}").contains(&first));
        assert_eq!(check(&keys, &second).await.unwrap().subject, "ann");
        assert_eq!(check(&keys, &other).await.unwrap().subject, "bea");
        assert!(check(&keys, &format!("{first}x")).await.is_err());
        clock.set(Timestamp::from_seconds(200));
        assert!(check(&keys, &second).await.is_err());
        assert!(check(&keys, &first).await.is_ok());
        assert_eq!((keys.revoke("ann"), keys.revoke("ann")), (2, 0));
        assert!(check(&keys, &first).await.is_err());
        assert!(check(&keys, &other).await.is_ok());
    }
}
