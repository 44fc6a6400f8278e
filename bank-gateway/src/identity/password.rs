//! User names and passwords, checked at the gateway before any service sees them (S13).
//!
//! Only routes that declare themselves a login take them: HTTP Basic (RFC 7617), or `username` and `password` in a JSON
//! body. argon2id runs off the async threads, a bounded number at once, fair among networks. An unknown user costs the same.
//! Failures are counted for each user, by one gateway or by several together, and make further ones wait: see
//! [`throttle`](super::throttle).
//!
//! A password counts in one spelling ([`opaque_string`](bank_sdk::opaque_string)), whichever system it was typed on; one that was
//! hashed before this was so is tried as it was given as well.
//!
//! The service behind gets the body without `password`, and every other member as it was.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier as _};
use async_trait::async_trait;
use bank_sdk::http::Body;
use bank_sdk::{Principal, Problem, password_spellings};
use bank_stores::{Error, Limits};
use http::{Request, StatusCode};
use tokio::time::Instant;

use super::failure_budget::{FailureBudget, Network};
use super::hash_queue::HashQueue;
use super::login::Login;
use super::throttle::{Account, Attempt, Entrance, LoginThrottle, Origin, SharedFailures, Throttle};
use crate::Quota;
use crate::problem::wrong_password;
use bank_sdk::openapi::SecurityScheme;

const MAX_PASSWORD: usize = 512;
/// As it was typed it may be longer than in its one spelling: letters and their marks apart.
const MAX_TYPED: usize = 4 * MAX_PASSWORD;
const MAX_USERNAME: usize = 128;
/// So long a login waits for its turn, and for other tries of the same user; then it is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);
const AT_ONCE: usize = 2;
const WAITING: usize = 64;
/// Logins of one network that fail, each of which asks the store.
const FAILURES: Quota = Quota::per_second(50).burst(200);
/// A hash of nobody's password with the parameters of new ones (m = 19 MiB, t = 2, p = 1), so that an unknown user costs
/// what a known one does.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Where passwords are kept.
#[async_trait]
pub trait PasswordStore: fmt::Debug + Send + Sync + 'static {
    /// The user of this name. The password is checked some time later: seconds, where many sign in at once. A principal whose
    /// [`credential`](Principal::credential) names what was read (a version of the user, say) lets the service that opens the session
    /// refuse a login whose password is another one by then.
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

type KnownDevice = dyn Fn(&Request<Body>, &str) -> Option<String> + Send + Sync;

/// The check of user names and passwords. Clones share the throttle and the queue for hashes: give a clone to the builder of
/// a [`reload`](crate::Gateway::reload), so that failures are not forgotten by it.
#[derive(Clone)]
pub struct Passwords {
    store: Arc<dyn PasswordStore>,
    throttle: Arc<LoginThrottle>,
    shared: Option<Arc<SharedFailures>>,
    queue: HashQueue,
    at_once: usize,
    waiting: usize,
    failures: Arc<FailureBudget>,
    known_device: Option<Arc<KnownDevice>>,
    redacts: bool,
}

impl Passwords {
    /// Passwords of this store.
    #[must_use]
    pub fn new(store: Arc<dyn PasswordStore>) -> Self {
        Self {
            store,
            throttle: LoginThrottle::new(Throttle::new()),
            shared: None,
            queue: HashQueue::new(AT_ONCE, WAITING),
            at_once: AT_ONCE,
            waiting: WAITING,
            failures: Arc::new(FailureBudget::new(FAILURES)),
            known_device: None,
            redacts: true,
        }
    }

    /// How many hashes are computed at once, 2 by default; each takes 19 MiB.
    #[must_use]
    pub fn at_once(mut self, hashes: usize) -> Self {
        self.at_once = hashes;
        self.queue = HashQueue::new(self.at_once, self.waiting);
        self
    }

    /// How many logins of one network wait for their turn to be hashed, 64 by default. Those beyond are answered 429.
    #[must_use]
    pub fn waiting(mut self, logins: usize) -> Self {
        self.waiting = logins;
        self.queue = HashQueue::new(self.at_once, self.waiting);
        self
    }

    /// How often a password may be guessed.
    #[must_use]
    pub fn throttle(mut self, throttle: Throttle) -> Self {
        self.throttle = LoginThrottle::new(throttle);
        self
    }

    /// Counts failures together with other gateways, in a store that all of them share, such as
    /// [`RedisLimits`](https://docs.rs/bank-stores/latest/bank_stores/redis/struct.RedisLimits.html). Give all of them the same
    /// [`Throttle`].
    ///
    /// A login waits for the store 250 ms at most, and once. While it is away each gateway counts by itself, as without it. As many
    /// tries of one user at once as cost no wait go on at each gateway.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use bank_gateway::identity::Passwords;
    /// use bank_stores::Limits;
    /// # fn example(passwords: Passwords, limits: Arc<dyn Limits>) -> Passwords {
    /// passwords.shared_failures(limits)
    /// # }
    /// ```
    #[must_use]
    pub fn shared_failures(mut self, limits: Arc<dyn Limits>) -> Self {
        self.shared = Some(SharedFailures::new(limits));
        self
    }

    /// How many logins of one network may fail, `Quota::per_second(50).burst(200)` by default. Beyond it they are answered 429
    /// and the store is not asked.
    #[must_use]
    pub fn failure_limit(mut self, quota: Quota) -> Self {
        self.failures = Arc::new(FailureBudget::new(quota));
        self
    }

    /// Tells a device from which this user has signed in before: its id, where the request proves it. Failures of others, on
    /// the same network or elsewhere, do not keep a known device waiting; its own failures do.
    ///
    /// Such a proof is something long-lived that a login gives the browser and that only the bank can make, a cookie for
    /// instance with the user's name under a MAC. It is no credential: it proves nothing but that somebody with the password was here.
    ///
    /// ```
    /// use bank_gateway::identity::Passwords;
    /// # fn verified(cookie: &str, username: &str) -> Option<String> { None }
    /// # fn example(passwords: Passwords) -> Passwords {
    /// passwords.known_device(|request, username| {
    ///     let cookie = request.headers().get("cookie")?.to_str().ok()?;
    ///     verified(cookie, username)
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn known_device(
        mut self,
        device: impl Fn(&Request<Body>, &str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.known_device = Some(Arc::new(device));
        self
    }

    /// Leaves the password in the body that goes on to the service. It then has to be kept out of that service's logs and
    /// memory as well.
    #[must_use]
    pub const fn dangerous_pass_password_on(mut self) -> Self {
        self.redacts = false;
        self
    }

    /// How a login is sent otherwise than by a JSON body, for an OpenAPI document.
    #[must_use]
    pub fn describe(&self) -> SecurityScheme {
        SecurityScheme::basic().described("User name and password, at a login.").for_login()
    }

    /// Who proves a user name and password in this request. The password is taken out of the body.
    pub(crate) async fn identify(&self, request: &mut Request<Body>) -> Result<Arc<Principal>, Problem> {
        let Login { username, password, offers_basic } = Login::read(request, self.redacts).await?;
        let spellings = spellings(&password);
        if spellings.is_empty() || username.len() > MAX_USERNAME {
            return Err(wrong_password(offers_basic));
        }
        let network = Network::of(request);
        let device = self.known_device.as_ref().and_then(|known| known(request, &username));
        if device.is_none() {
            self.failures.check(network)?;
        }
        let checked = self.check(&username, spellings, network, device.as_deref()).await;
        match checked? {
            Some(principal) => Ok(principal),
            None => {
                self.failures.charge(network);
                Err(wrong_password(offers_basic))
            }
        }
    }

    /// Whose password it is; nobody's where it is wrong in each spelling.
    async fn check(
        &self,
        username: &str,
        spellings: Vec<String>,
        network: Network,
        device: Option<&str>,
    ) -> Result<Option<Arc<Principal>>, Problem> {
        let stored = self.store.password(username).await?;
        let (hash, principal) = match stored {
            Some(stored) => (stored.hash, Some(stored.principal)),
            None => (NOBODY.to_owned(), None),
        };
        let folded = username.to_lowercase();
        let account = match &principal {
            Some(principal) => Account::User(&principal.subject),
            None => Account::Name(&folded),
        };
        let origin = device.map_or(Origin::Network(network), Origin::Device);
        // What is dropped on the way, by an error or by a caller who hangs up, is given back: it was no try.
        let attempt = self.enter(account, origin).await?;
        let queued = tokio::time::timeout(PATIENCE, self.queue.enter(network, attempt.is_known)).await;
        let permit = queued.map_err(|_| Problem::unavailable())?.map_err(|_| busy())?;
        let matches = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            PasswordHash::new(&hash).is_ok_and(|hash| {
                let fits = |spelling: &String| Argon2::default().verify_password(spelling.as_bytes(), &hash);
                spellings.iter().any(|spelling| fits(spelling).is_ok())
            })
        })
        .await
        .map_err(|_| Problem::internal())?;
        match principal {
            Some(principal) if matches => {
                attempt.succeed(Instant::now());
                Ok(Some(principal))
            }
            _ => {
                attempt.fail_together().await;
                Ok(None)
            }
        }
    }

    /// Waits for tries of the same user whose outcome decides, for a bounded time.
    async fn enter(&self, account: Account<'_>, origin: Origin<'_>) -> Result<Attempt, Problem> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.throttle.enter(account, origin, Instant::now()) {
                Entrance::Go(attempt) => return self.enter_together(attempt, account).await,
                Entrance::Refused(wait) => return Err(too_many_failures(wait)),
                Entrance::Wait(waiting) => {
                    let ended = tokio::time::timeout_at(until, waiting.ended()).await;
                    ended.map_err(|_| Problem::unavailable())?;
                }
            }
        }
    }
}

impl Passwords {
    /// Lets a try go on where what has failed at all gateways does, too.
    async fn enter_together(&self, attempt: Attempt, account: Account<'_>) -> Result<Attempt, Problem> {
        match &self.shared {
            Some(shared) => shared.enter(attempt, account).await.map_err(too_many_failures),
            None => Ok(attempt),
        }
    }
}

/// How a password may have been written when it was hashed. None where it is too long.
fn spellings(password: &str) -> Vec<String> {
    if password.len() > MAX_TYPED {
        return Vec::new();
    }
    let fitting = password_spellings(password).filter(|spelling| spelling.len() <= MAX_PASSWORD);
    fitting.map(std::borrow::Cow::into_owned).collect()
}

fn too_many_failures(wait: Duration) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many failures for this user; wait before the next try")
        .with_code("too_many_failures")
        .with_retry_after(wait)
}

fn busy() -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many logins from here at once; try again")
        .with_code("rate_limited")
        .with_retry_after(Duration::from_secs(1))
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords")
            .field("store", &self.store)
            .field("throttle", &self.throttle)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
