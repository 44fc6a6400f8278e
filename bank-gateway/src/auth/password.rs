//! User names and passwords, checked at the gateway before any service sees them (S13).
//!
//! Only routes that declare themselves a login take them: HTTP Basic (RFC 7617), or `username` and `password` in a JSON
//! body. argon2id runs off the async threads, a bounded number at once. An unknown user costs the same. After five
//! failures an account waits, longer each time.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier as _};
use async_trait::async_trait;
use bank_sdk::http::{Body, ReadError};
use bank_sdk::{Principal, Problem};
use bank_stores::Error;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Request, StatusCode};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::authorization;

const MAX_BODY: usize = 16 * 1024;
const MAX_PASSWORD: usize = 512;
/// Failures that cost nothing; each further one doubles the wait.
const FREE_FAILURES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);
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
            return Err(refused());
        }
        self.throttle(&username)?;
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
                self.lock().remove(&username);
                Ok(principal)
            }
            _ => {
                self.note_failure(username);
                Err(refused())
            }
        }
    }

    fn throttle(&self, username: &str) -> Result<(), Problem> {
        let wait = self
            .lock()
            .get(username)
            .map(|failures| failures.until.saturating_duration_since(Instant::now()));
        match wait {
            Some(wait) if !wait.is_zero() => Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many failures for this user; wait before the next try",
            )
            .with_code("too_many_failures")
            .with_retry_after(wait)),
            _ => Ok(()),
        }
    }

    fn note_failure(&self, username: String) {
        let now = Instant::now();
        let mut throttled = self.lock();
        if throttled.len() >= MAX_THROTTLED && !throttled.contains_key(&username) {
            throttled.retain(|_, failures| failures.until + MAX_WAIT > now);
            if throttled.len() >= MAX_THROTTLED {
                // The limit by address still holds.
                return;
            }
        }
        let failures = throttled.entry(username).or_insert(Failures { count: 0, until: now });
        // A quarter of an hour without a failure forgives.
        failures.count = if failures.until + MAX_WAIT < now { 1 } else { failures.count.saturating_add(1) };
        let beyond = failures.count.saturating_sub(FREE_FAILURES);
        let wait = if failures.count < FREE_FAILURES {
            Duration::ZERO
        } else {
            FIRST_WAIT.saturating_mul(1 << beyond.min(10)).min(MAX_WAIT)
        };
        failures.until = now + wait;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn credentials(request: &mut Request<Body>) -> Result<Login, Problem> {
    if request.headers().contains_key(http::header::AUTHORIZATION) {
        let encoded = authorization(request.headers(), "basic").ok_or_else(refused)?;
        let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let (username, password) =
            decoded.as_deref().and_then(|text| text.split_once(':')).ok_or_else(refused)?;
        return Ok(Login { username: username.to_owned(), password: password.to_owned() });
    }
    let body = std::mem::take(request.body_mut());
    let bytes: Bytes = body.read(MAX_BODY).await.map_err(|error| match error {
        ReadError::TooLarge(_) => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the login is too large").with_code("body_too_large")
        }
        _ => Problem::bad_request("the body ended early").with_code("incomplete_body"),
    })?;
    let login = serde_json::from_slice(&bytes).map_err(|_| {
        Problem::bad_request("give `username` and `password` as JSON, or use HTTP Basic")
            .with_code("invalid_input")
    });
    *request.body_mut() = Body::from(bytes);
    login
}

/// The same for a wrong password and an unknown user.
fn refused() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "the user name or the password is wrong")
        .with_code("invalid_credentials")
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="bank", charset="UTF-8""#))
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("store", &self.store).finish_non_exhaustive()
    }
}
