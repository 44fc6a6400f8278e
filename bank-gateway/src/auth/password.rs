//! User names and passwords, checked at the gateway before any service sees them (S13).
//!
//! Only routes that declare themselves a login take them: HTTP Basic (RFC 7617), or `username` and `password` in a JSON
//! body. argon2id runs off the async threads, a bounded number at once. An unknown user costs the same. After five
//! failures an account waits, longer each time: up to a quarter of an hour for the network that guesses, up to a minute for
//! others, and not at all for a network from which its owner signed in.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier as _};
use async_trait::async_trait;
use bank_sdk::http::Body;
use bank_sdk::{Principal, Problem};
use bank_stores::Error;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::authorization;
use crate::problem::{invalid_credentials, unreadable_body};

const MAX_BODY: usize = 16 * 1024;
const MAX_PASSWORD: usize = 512;
/// Failures that cost nothing; each further one doubles the wait.
const FREE_FAILURES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);
/// A stranger who guesses keeps the owner out for no longer than this, and from no network where they signed in before.
const MAX_WAIT_ANYWHERE: Duration = Duration::from_secs(60);
const MAX_THROTTLED: usize = 65_536;
/// A hash of nobody's password with the parameters of new ones (m = 19 MiB, t = 2, p = 1), so that an unknown user costs
/// what a known one does.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Where passwords are kept.
#[async_trait]
pub trait PasswordStore: fmt::Debug + Send + Sync + 'static {
    /// The user of this name.
    async fn password(&self, username: &str) -> Result<Option<StoredPassword>, Error>;
}

/// A password as it is kept.
#[derive(Clone)]
#[non_exhaustive]
pub struct StoredPassword {
    /// The argon2id hash in the PHC string format.
    pub hash: String,
    /// Whose it is.
    pub principal: Arc<Principal>,
}

impl StoredPassword {
    /// A user's password.
    pub fn new(hash: impl Into<String>, principal: Arc<Principal>) -> Self {
        Self { hash: hash.into(), principal }
    }
}

impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredPassword").field("principal", &self.principal.subject).finish_non_exhaustive()
    }
}

/// The check of user names and passwords. Clones share the throttle.
#[derive(Clone)]
pub struct Passwords {
    store: Arc<dyn PasswordStore>,
    at_once: Arc<Semaphore>,
    failures: Arc<Mutex<HashMap<String, Failures>>>,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    until: Instant,
    /// Whether the owner signed in from here.
    good: bool,
}

#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
}

impl Passwords {
    /// Passwords of this store.
    #[must_use]
    pub fn new(store: Arc<dyn PasswordStore>) -> Self {
        Self { store, at_once: Arc::new(Semaphore::new(2)), failures: Arc::default() }
    }

    /// How many hashes are computed at once, 2 by default; each takes 19 MiB.
    #[must_use]
    pub fn at_once(mut self, hashes: usize) -> Self {
        self.at_once = Arc::new(Semaphore::new(hashes.max(1)));
        self
    }

    /// Who proves a user name and password in this request. The body stays whole for the service.
    pub(crate) async fn identify(&self, request: &mut Request<Body>) -> Result<Arc<Principal>, Problem> {
        let Login { username, password } = credentials(request).await?;
        if password.len() > MAX_PASSWORD || username.len() > 128 {
            return Err(invalid_credentials());
        }
        let account = Account::of(&username, request);
        // Counted before it is known to be one, so that many at once count as many; a success takes it back.
        self.reserve(&account)?;
        let stored = self.store.password(&username).await?;
        let (hash, principal) = match stored {
            Some(stored) => (stored.hash, Some(stored.principal)),
            None => (NOBODY.to_owned(), None),
        };
        // The semaphore is never closed. Those who wait longer than a moment are told to come back.
        let waiting = tokio::time::timeout(Duration::from_secs(5), self.at_once.clone().acquire_owned());
        let permit = waiting.await.map_err(|_| Problem::unavailable())?;
        let matches = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        })
        .await
        .map_err(|_| Problem::internal())?;
        match principal {
            Some(principal) if matches => {
                self.forgive(&account);
                Ok(principal)
            }
            _ => Err(invalid_credentials()),
        }
    }

    /// Counts a failure, unless one has to wait.
    fn reserve(&self, account: &Account) -> Result<(), Problem> {
        let now = Instant::now();
        let mut failures = self.lock();
        let here = failures.get(&account.here);
        // From where its owner signed in before, an account does not wait for what strangers do elsewhere.
        let is_known = here.is_some_and(|held| held.good);
        let anywhere = failures.get(&account.anywhere).filter(|_| !is_known);
        let until = [here, anywhere].into_iter().flatten().map(|held| held.until).max();
        let wait = until.map(|until| until.saturating_duration_since(now)).unwrap_or_default();
        if !wait.is_zero() {
            return Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many failures for this user; wait before the next try",
            )
            .with_code("too_many_failures")
            .with_retry_after(wait));
        }
        for (name, longest) in [(&account.here, MAX_WAIT), (&account.anywhere, MAX_WAIT_ANYWHERE)] {
            make_room(&mut failures, name);
            let held = failures.entry(name.clone()).or_insert(Failures { count: 0, until: now, good: false });
            // A quarter of an hour without a failure forgives.
            held.count = if held.until + MAX_WAIT < now { 1 } else { held.count.saturating_add(1) };
            held.until = now + wait_after(held.count, longest);
        }
        Ok(())
    }

    fn forgive(&self, account: &Account) {
        let mut failures = self.lock();
        failures.remove(&account.anywhere);
        make_room(&mut failures, &account.here);
        failures.insert(account.here.clone(), Failures { count: 0, until: Instant::now(), good: true });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is throttled: the user from the network of this request, and from anywhere.
struct Account {
    here: String,
    anywhere: String,
}

impl Account {
    fn of(username: &str, request: &Request<Body>) -> Self {
        let network = crate::rate_limit::address(request);
        Self { here: format!("{username} {network}"), anywhere: username.to_owned() }
    }
}

fn wait_after(count: u32, longest: Duration) -> Duration {
    match count.checked_sub(FREE_FAILURES) {
        None => Duration::ZERO,
        Some(beyond) => FIRST_WAIT.saturating_mul(1 << beyond.min(10)).min(longest),
    }
}

/// In a full table the account with the fewest failures of some gives way: made-up names have one each.
fn make_room(failures: &mut HashMap<String, Failures>, account: &str) {
    if failures.len() >= MAX_THROTTLED && !failures.contains_key(account) {
        let least = failures.iter().take(16).min_by_key(|(_, held)| held.count).map(|(name, _)| name.clone());
        least.map(|name| failures.remove(&name));
    }
}

async fn credentials(request: &mut Request<Body>) -> Result<Login, Problem> {
    if request.headers().contains_key(http::header::AUTHORIZATION) {
        let encoded = authorization(request.headers(), "basic").ok_or_else(invalid_credentials)?;
        let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let (username, password) =
            decoded.as_deref().and_then(|text| text.split_once(':')).ok_or_else(invalid_credentials)?;
        return Ok(Login { username: username.to_owned(), password: password.to_owned() });
    }
    let body = std::mem::take(request.body_mut());
    let bytes: Bytes = body.read(MAX_BODY).await.map_err(|error| unreadable_body(&error))?;
    let login = serde_json::from_slice(&bytes).map_err(|_| {
        Problem::bad_request("give `username` and `password` as JSON, or use HTTP Basic")
            .with_code("invalid_input")
    });
    *request.body_mut() = Body::from(bytes);
    login
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("store", &self.store).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use argon2::PasswordHasher as _;

    use super::*;

    #[derive(Debug)]
    struct One(String);

    #[async_trait]
    impl PasswordStore for One {
        async fn password(&self, username: &str) -> Result<Option<StoredPassword>, Error> {
            let stored = || StoredPassword::new(self.0.clone(), Arc::new(Principal::customer("cus_1")));
            Ok((username == "alice").then(stored))
        }
    }

    fn passwords() -> Passwords {
        // Cheap parameters: what is tested here is what is done with the outcome.
        let params = argon2::Params::new(8, 1, 1, None).unwrap();
        let argon = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let hash = argon.hash_password_with_salt(b"right", b"0123456789abcdef").unwrap();
        Passwords::new(Arc::new(One(hash.to_string())))
    }

    fn json(username: &str, password: &str) -> Request<Body> {
        Request::new(Body::from(format!(r#"{{"username":"{username}","password":"{password}"}}"#)))
    }

    async fn status(passwords: &Passwords, mut request: Request<Body>) -> u16 {
        passwords.identify(&mut request).await.map_or_else(|problem| problem.status().as_u16(), |_| 200)
    }

    #[tokio::test]
    async fn s13_json_and_basic_prove_the_same_and_the_body_stays_whole() {
        let passwords = passwords();
        let mut request = json("alice", "right");
        assert_eq!(passwords.identify(&mut request).await.unwrap().subject, "cus_1");
        let body = std::mem::take(request.body_mut()).read(1_000).await.unwrap();
        assert_eq!(body, r#"{"username":"alice","password":"right"}"#);
        let basic = |text: &str| {
            let value = format!("Basic {}", STANDARD.encode(text));
            Request::get("/").header("authorization", value).body(Body::empty()).unwrap()
        };
        assert_eq!(status(&passwords, basic("alice:right")).await, 200);
        assert_eq!(status(&passwords, basic("alice:wrong")).await, 401);
        assert_eq!(status(&passwords, basic("alice")).await, 401);
        assert_eq!(status(&passwords, Request::new(Body::from("[]"))).await, 400);
    }

    #[tokio::test]
    async fn s13_an_unknown_user_is_answered_like_a_wrong_password() {
        let passwords = passwords();
        let mut answers = Vec::new();
        for username in ["alice", "nobody"] {
            let problem = passwords.identify(&mut json(username, "wrong")).await.unwrap_err();
            answers.push((
                problem.status(),
                problem.code().map(ToOwned::to_owned),
                problem.detail().to_owned(),
            ));
        }
        assert_eq!(answers[0], answers[1]);
        assert!(PasswordHash::new(NOBODY).is_ok(), "the stand-in must cost a real check");
    }

    #[tokio::test(start_paused = true)]
    async fn s13_after_five_failures_an_account_waits_longer_each_time_and_success_forgives() {
        let passwords = passwords();
        for _ in 0..5 {
            assert_eq!(status(&passwords, json("alice", "wrong")).await, 401);
        }
        assert_eq!(status(&passwords, json("alice", "right")).await, 429);
        tokio::time::advance(Duration::from_millis(1_001)).await;
        assert_eq!(status(&passwords, json("alice", "wrong")).await, 401);
        tokio::time::advance(Duration::from_millis(1_500)).await;
        assert_eq!(status(&passwords, json("alice", "right")).await, 429, "the wait doubles");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(status(&passwords, json("alice", "right")).await, 200);
        assert_eq!(status(&passwords, json("alice", "wrong")).await, 401);
    }
}
