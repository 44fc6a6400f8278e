//! API keys: `X-API-Key: bk_ID_SECRET`, kept as keyed hashes (S12).
//!
//! ```
//! use bank_gateway::identity::ApiKeys;
//! use bank_sdk::{Principal, PrincipalKind};
//!
//! let keys = ApiKeys::in_memory(&[7; 32]);
//! let partner = Principal::new("ptn_1", PrincipalKind::Partner).with_scope("rates:read");
//! let key = keys.issue("the partner's first key", partner); // Shown once: what is kept does not give it back.
//! assert!(key.starts_with("bk_"));
//! let builder = bank_gateway::Gateway::builder().authenticate(keys);
//! ```

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use bank_sdk::http::Body;
use bank_sdk::{Principal, Problem};
use bank_stores::{Clock, Error, Timestamp};
use http::{HeaderName, HeaderValue, Request};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::SchemeClock;
use super::cache::ByteCache;
use super::failure_budget::{FailureBudget, Network};
use super::only_field;
use super::scheme::{Checked, Scheme};
use super::short_memory::ShortMemory;
use crate::Quota;
use crate::problem::refused_credential;
use bank_sdk::openapi::SecurityScheme;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The visible start of every key, by which scanners find leaked ones.
pub(super) const PREFIX: &str = "bk_";
const MAX_KEY: usize = 256;
/// An id that nobody has is not asked for again for so long: a key that is made meanwhile is found after it.
const UNKNOWN: Duration = Duration::from_millis(900);
const MAX_UNKNOWN: usize = 65_536;
/// Keys that held before are told from strangers' in so many bytes, without which their network's failures count for them too.
const SEEN_BYTES: usize = 4 << 20;
/// Keys of one network that do not hold, each of which asks the store.
const FAILURES: Quota = Quota::per_second(50).burst(200);

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

/// The scheme. Clones share what is known of keys that do not hold.
#[derive(Clone)]
pub struct ApiKeys {
    store: Arc<dyn ApiKeyStore>,
    pepper: hmac::Key,
    clock: SchemeClock,
    unknown: Arc<Mutex<ShortMemory>>,
    seen: Arc<ByteCache<[u8; 32], ()>>,
    failures: Arc<FailureBudget>,
}

impl ApiKeys {
    /// Keys of this store, hashed under this secret.
    pub fn new(store: Arc<dyn ApiKeyStore>, pepper: &[u8; 32]) -> Self {
        Self {
            store,
            pepper: hmac::Key::new(hmac::HMAC_SHA256, pepper),
            clock: SchemeClock::default(),
            unknown: Arc::new(Mutex::new(ShortMemory::new(UNKNOWN, MAX_UNKNOWN))),
            seen: Arc::new(ByteCache::new(SEEN_BYTES)),
            failures: Arc::new(FailureBudget::new(FAILURES)),
        }
    }

    /// A clock of their own. Without one they go by their gateway's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = SchemeClock::given(clock);
        self
    }

    /// The same keys by the gateway's clock, where they were given none.
    pub(crate) fn on(&self, clock: &Arc<dyn Clock>) -> Self {
        Self { clock: self.clock.or(clock), ..self.clone() }
    }

    /// How many keys that do not hold one network may send, `Quota::per_second(50).burst(200)` by default. Beyond it, keys from
    /// there that did not hold before are answered 429, and the store is not asked.
    #[must_use]
    pub fn failure_limit(mut self, quota: Quota) -> Self {
        self.failures = Arc::new(FailureBudget::new(quota));
        self
    }

    /// What is kept of a key.
    #[must_use]
    pub fn hash(&self, key: &str) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(hmac::sign(&self.pepper, key.as_bytes()).as_ref());
        hash
    }

    async fn find(&self, key: &str, network: Network) -> Result<Arc<Principal>, Problem> {
        let id = key.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).map(|(id, _)| id);
        let id = id.filter(|_| key.len() <= MAX_KEY).ok_or_else(refused_credential)?;
        if self.unknown().noted(id, Instant::now()).is_some() {
            return Err(refused_credential());
        }
        let hash = self.hash(key);
        if self.seen.read(&hash, |()| ()).is_none() {
            self.failures.check(network)?;
        }
        let stored = self.store.api_key(id).await.map_err(Problem::from)?;
        if stored.is_none() {
            // Without room the store is asked again.
            let _ = self.unknown().note(id, Instant::now());
        }
        let holds = |stored: &StoredKey| {
            let is_same = bool::from(stored.hash.ct_eq(&hash));
            is_same && stored.expires_at.is_none_or(|at| at > self.clock.now())
        };
        let Some(stored) = stored.filter(holds) else {
            self.seen.remove(&hash);
            self.failures.charge(network);
            return Err(refused_credential());
        };
        if self.seen.read(&hash, |()| ()).is_none() {
            self.seen.insert(hash, (), 0);
        }
        Ok(stored.principal)
    }

    fn unknown(&self) -> std::sync::MutexGuard<'_, ShortMemory> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scheme for ApiKeys {
    fn by_clock(&self, clock: &Arc<dyn Clock>) -> Option<Arc<dyn Scheme>> {
        Some(Arc::new(self.on(clock)))
    }

    fn name(&self) -> &'static str {
        "api-key"
    }

    fn describe(&self) -> Option<SecurityScheme> {
        Some(SecurityScheme::api_key_header("X-API-Key"))
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
            let key = only_field(request.headers(), "x-api-key").ok_or_else(refused_credential)?;
            self.find(key, Network::of(request)).await
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

    #[derive(Debug, Default)]
    struct Counting(std::sync::atomic::AtomicUsize, std::sync::atomic::AtomicBool, [u8; 32]);

    #[async_trait]
    impl ApiKeyStore for Counting {
        async fn api_key(&self, id: &str) -> Result<Option<StoredKey>, Error> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let exists = id == "good" || (id == "new" && self.1.load(std::sync::atomic::Ordering::SeqCst));
            Ok(exists.then(|| StoredKey::new(self.2, Arc::new(Principal::customer("ann")))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_do_not_hold_ask_the_store_a_bounded_number_of_times() {
        use std::sync::atomic::Ordering::SeqCst;
        let hash = ApiKeys::new(Arc::new(Counting::default()), &[7; 32]).hash("bk_good_secret");
        let store = Arc::new(Counting(0.into(), false.into(), hash));
        let keys = ApiKeys::new(store.clone(), &[7; 32]).failure_limit(Quota::per_second(1).burst(10));
        let send = async |key: &str| {
            let mut request = Request::new(Body::empty());
            request.headers_mut().append(X_API_KEY, key.parse().unwrap());
            request.extensions_mut().insert(crate::ClientAddr([10, 0, 0, 1].into()));
            keys.check(&mut request).await.map_or_else(|problem| problem.status().as_u16(), |_| 200)
        };
        assert_eq!(send("bk_good_secret").await, 200);
        for _ in 0..100 {
            assert_eq!(send("bk_new_x").await, 401);
        }
        assert_eq!(store.0.load(SeqCst), 2, "an id that nobody has");
        let mut statuses = Vec::new();
        for number in 0..50 {
            // Made-up ids, and wrong secrets of one that exists.
            statuses.push(send(&format!("bk_no{number}_x")).await);
            statuses.push(send(&format!("bk_good_{number}")).await);
        }
        assert_eq!((&statuses[..9], &statuses[9..]), (&[401; 9][..], &[429; 91][..]));
        assert_eq!(store.0.load(SeqCst), 11);
        assert_eq!(
            send("bk_good_secret").await,
            200,
            "a key that held before is let in from the same network"
        );
        store.1.store(true, SeqCst);
        tokio::time::advance(Duration::from_secs(2)).await;
        send("bk_new_y").await;
        assert_eq!(store.0.load(SeqCst), 13, "made up no longer than a second");
    }
}
