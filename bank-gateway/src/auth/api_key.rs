//! API keys: `X-API-Key: bk_ID_SECRET`, kept as keyed hashes (S12).

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use bank_sdk::http::Body;
use bank_sdk::{Principal, Problem};
use bank_stores::{Clock, Error, SystemClock, Timestamp};
use http::{HeaderName, HeaderValue, Request};

use super::{Checked, Scheme, only_field};
use crate::problem::invalid_credential;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The visible start of every key, by which scanners find leaked ones.
const PREFIX: &str = "bk_";

/// Where keys are kept.
#[async_trait]
pub trait ApiKeyStore: fmt::Debug + Send + Sync + 'static {
    /// The key of this id.
    async fn api_key(&self, id: &str) -> Result<Option<StoredKey>, Error>;
}

/// A key as it is kept: nothing in it gives the key back.
#[derive(Clone)]
#[non_exhaustive]
pub struct StoredKey {
    /// The keyed hash that [`ApiKeys::hash`] gave when the key was made.
    pub hash: [u8; 32],
    /// Whose it is.
    pub principal: Arc<Principal>,
    /// When it holds no longer.
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKey").field("principal", &self.principal.subject).finish_non_exhaustive()
    }
}

impl StoredKey {
    /// A key without expiry.
    #[must_use]
    pub const fn new(hash: [u8; 32], principal: Arc<Principal>) -> Self {
        Self { hash, principal, expires_at: None }
    }

    /// The key holds until then.
    #[must_use]
    pub const fn expires_at(mut self, at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self
    }
}

/// The scheme.
#[derive(Clone)]
pub struct ApiKeys {
    store: Arc<dyn ApiKeyStore>,
    pepper: hmac::Key,
    clock: Arc<dyn Clock>,
}

impl ApiKeys {
    /// Keys of this store, hashed under this secret.
    pub fn new(store: Arc<dyn ApiKeyStore>, pepper: &[u8; 32]) -> Self {
        Self { store, pepper: hmac::Key::new(hmac::HMAC_SHA256, pepper), clock: Arc::new(SystemClock::new()) }
    }

    /// The clock, where a test decides the time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What is kept of a key.
    #[must_use]
    pub fn hash(&self, key: &str) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(hmac::sign(&self.pepper, key.as_bytes()).as_ref());
        hash
    }
}

impl Scheme for ApiKeys {
    fn name(&self) -> &'static str {
        "api-key"
    }

    fn is_presented(&self, request: &Request<Body>) -> bool {
        request.headers().contains_key(X_API_KEY)
    }

    fn credential_fields(&self) -> &[&'static str] {
        &["x-api-key"]
    }

    fn challenge(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from_static("ApiKey"))
    }

    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a> {
        Box::pin(async move {
            let key = only_field(request.headers(), "x-api-key")
                .filter(|key| key.len() <= 256)
                .ok_or_else(invalid_credential)?;
            let (id, _) = key
                .strip_prefix(PREFIX)
                .and_then(|rest| rest.split_once('_'))
                .ok_or_else(invalid_credential)?;
            let stored =
                self.store.api_key(id).await.map_err(Problem::from)?.ok_or_else(invalid_credential)?;
            // In constant time, by HMAC's own verification.
            hmac::verify(&self.pepper, key.as_bytes(), &stored.hash).map_err(|_| invalid_credential())?;
            if stored.expires_at.is_some_and(|at| at <= self.clock.now()) {
                return Err(invalid_credential());
            }
            Ok(stored.principal)
        })
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").field("store", &self.store).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bank_stores::ManualClock;

    use super::*;

    #[derive(Debug)]
    struct One(StoredKey);

    #[async_trait]
    impl ApiKeyStore for One {
        async fn api_key(&self, id: &str) -> Result<Option<StoredKey>, Error> {
            Ok((id == "id1").then(|| self.0.clone()))
        }
    }

    async fn check(keys: &ApiKeys, values: &[&str]) -> Result<Arc<Principal>, Problem> {
        let mut request = Request::new(Body::empty());
        for value in values {
            request.headers_mut().append(X_API_KEY, value.parse().unwrap());
        }
        keys.check(&mut request).await
    }

    #[tokio::test]
    async fn s12_a_key_holds_until_it_expires_and_nothing_kept_gives_it_back() {
        const KEY: &str = "bk_id1_secret-of-the-partner";
        let pepper = [7; 32];
        let clock = ManualClock::at(Timestamp::from_seconds(100));
        let hash =
            ApiKeys::new(Arc::new(One(StoredKey::new([0; 32], Arc::new(Principal::customer("x"))))), &pepper)
                .hash(KEY);
        let partner = Arc::new(Principal::new("ptn_1", bank_sdk::PrincipalKind::Partner));
        let stored = StoredKey::new(hash, partner).expires_at(Timestamp::from_seconds(200));
        let keys = ApiKeys::new(Arc::new(One(stored)), &pepper).clock(Arc::new(clock.clone()));
        assert_eq!(check(&keys, &[KEY]).await.unwrap().subject, "ptn_1");
        for bad in [
            "bk_id1_secret-of-the-partneR",
            "bk_id2_secret-of-the-partner",
            "id1_secret",
            "bk_id1",
            "",
            "bk_id1_",
        ] {
            assert_eq!(check(&keys, &[bad]).await.unwrap_err().status(), 401, "{bad}");
        }
        assert!(check(&keys, &[KEY, KEY]).await.is_err());
        clock.set(Timestamp::from_seconds(200));
        assert!(check(&keys, &[KEY]).await.is_err());
    }
}
