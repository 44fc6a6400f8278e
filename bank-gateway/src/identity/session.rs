//! Browser sessions: a `__Host-` cookie, and a token that unsafe methods repeat (S17).
//!
//! Some browsers take no `Secure` cookie over plain HTTP, not even from this machine. Where
//! [`plain_cookie_on_loopback`](Sessions::plain_cookie_on_loopback) says so, such a request is known by another cookie,
//! [`LOOPBACK_COOKIE_NAME`], and by no other; everywhere else that one is not read.

mod known;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest;
use bank_sdk::http::{Body, CSRF_TOKEN, is_loopback_host};
use bank_sdk::serve::Connection;
use bank_sdk::{Principal, Problem};
use bank_stores::cache::{Cache, Message};
use bank_stores::{Clock, Error, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{COOKIE, HOST};
use http::{HeaderMap, Request, StatusCode};
use subtle::ConstantTimeEq as _;

use self::known::{KnownSessions, LiveSession, Recalled};
use super::SchemeClock;
use super::cache::principal_bytes;
use super::failure_budget::{FailureBudget, Network};
use super::scheme::{Checked, Scheme};
use crate::Quota;
use crate::inbound::ClientOrigin;
use crate::problem::refused_credential;
use bank_sdk::openapi::SecurityScheme;

/// The session cookie's name.
pub const COOKIE_NAME: &str = "__Host-session";
/// The name of the one that a browser on this machine sends without TLS. It has no prefix, which would ask for `Secure`.
pub const LOOPBACK_COOKIE_NAME: &str = "bank-session";
/// What the sessions that are known take at most, where nothing else is said: those of more than 100,000 principals.
const CACHE_BYTES: usize = 128 << 20;
/// Cookies of one network that name no session, or have not its secret, each of which asks the store.
const FAILURES: Quota = Quota::per_second(50).burst(200);
const MAX_ID: usize = 64;

/// Where sessions are kept.
#[async_trait]
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// The session of this id, `None` where it never was or has ended. A service may give a session another secret and another token:
    /// the new ones are good at once, and the old ones for less than a second more.
    async fn session(&self, id: &str) -> Result<Option<Session>, Error>;
}

/// A session that goes on.
#[derive(Clone)]
#[non_exhaustive]
pub struct Session {
    /// Who signed in.
    pub principal: Arc<Principal>,
    /// SHA-256 of the secret in the cookie.
    pub secret_hash: [u8; 32],
    /// SHA-256 of the token that unsafe methods repeat.
    pub csrf_hash: [u8; 32],
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("principal", &self.principal.subject).finish_non_exhaustive()
    }
}

impl Session {
    /// A session.
    #[must_use]
    pub const fn new(
        principal: Arc<Principal>,
        secret_hash: [u8; 32],
        csrf_hash: [u8; 32],
        expires_at: Timestamp,
    ) -> Self {
        Self { principal, secret_hash, csrf_hash, expires_at }
    }
}

/// The session cookie as a scheme, and the liveness of sessions for tokens that belong to one. Clones share what is known.
///
/// A session is asked for again after less than a second. One that has ended is refused at once, where this gateway saw it end
/// or [follows](Self::follow) the messages that say so. Sessions that are known and sessions that have ended are remembered apart, so that neither
/// strangers nor many users can make a gateway forget that one has ended.
#[derive(Clone)]
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    clock: SchemeClock,
    known: Arc<KnownSessions>,
    failures: Arc<FailureBudget>,
    plain_on_loopback: bool,
}

impl Sessions {
    /// Sessions of this store, which is asked again about each after less than a second.
    #[must_use]
    pub fn new(store: Arc<dyn SessionStore>) -> Self {
        Self {
            store,
            clock: SchemeClock::default(),
            known: KnownSessions::new(CACHE_BYTES),
            failures: Arc::new(FailureBudget::new(FAILURES)),
            plain_on_loopback: false,
        }
    }

    /// Knows a browser on this machine that asks without TLS by [`LOOPBACK_COOKIE_NAME`], which the service then sets instead of
    /// [`COOKIE_NAME`]: see [`is_plain_loopback`]. A proxy in front that ends TLS on this machine has to be a trusted one
    /// ([`ClientAddress::behind`](crate::ClientAddress::behind)), or to pass `Host` on.
    #[must_use]
    pub const fn plain_cookie_on_loopback(mut self) -> Self {
        self.plain_on_loopback = true;
        self
    }

    /// How many bytes the sessions that are known may take, 128 MiB by default, which is room for more than 100,000. When it is
    /// full, the least used go, and are asked for when they come again.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.known = KnownSessions::new(bytes);
        self
    }

    /// How many cookies that name no session, or have not its secret, one network may send, `Quota::per_second(50).burst(200)` by default. Beyond it,
    /// cookies from there that are not known to be good are answered 429, and the store is not asked.
    #[must_use]
    pub fn failure_limit(mut self, quota: Quota) -> Self {
        self.failures = Arc::new(FailureBudget::new(quota));
        self
    }

    /// A clock of its own. Without one they go by their gateway's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = SchemeClock::given(clock);
        self
    }

    /// The same sessions by the gateway's clock, where they were given none.
    pub(crate) fn on(&self, clock: &Arc<dyn Clock>) -> Self {
        Self { clock: self.clock.or(clock), ..self.clone() }
    }

    /// Follows the messages that name sessions which have ended, for ever: those are refused at once. Several ids in one message have
    /// commas between.
    pub async fn follow(self, cache: Arc<dyn Cache>, channel: &str) {
        loop {
            if let Ok(mut messages) = cache.subscribe(channel).await {
                // What was sent before the subscription is not known.
                self.known.doubt();
                while let Some(message) = messages.next().await {
                    match message {
                        Message::Message(ids) => {
                            String::from_utf8_lossy(&ids).split(',').for_each(|id| self.known.mark_ended(id));
                        }
                        _ => self.known.doubt(),
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Whether a session goes on.
    pub(crate) async fn is_live(&self, id: &str) -> Result<bool, Problem> {
        self.find(id, Network::default()).await.map(|session| session.is_some())
    }

    /// Whether it was found to go on so lately that nobody needs to be asked.
    #[cfg(feature = "jwt")]
    pub(crate) fn known_live(&self, id: &str) -> bool {
        matches!(self.known.recall(id), Recalled::Live(session) if session.expires_at > self.clock.now())
    }

    async fn find(&self, id: &str, network: Network) -> Result<Option<Session>, Problem> {
        match self.known.recall(id) {
            Recalled::Live(session) => Ok(Some(session).filter(|session| self.holds(session))),
            Recalled::Gone => Ok(None),
            Recalled::Ask { was_live } => {
                if !was_live {
                    self.failures.check(network)?;
                }
                self.ask(id, network, was_live).await
            }
        }
    }

    fn holds(&self, session: &Session) -> bool {
        session.expires_at > self.clock.now()
    }

    /// Asks the store.
    async fn ask(&self, id: &str, network: Network, was_live: bool) -> Result<Option<Session>, Problem> {
        let asked = self.known.now();
        let Some(session) = self.store.session(id).await?.filter(|session| self.holds(session)) else {
            if was_live {
                self.known.mark_ended(id);
            } else {
                self.known.mark_unknown(id);
                self.failures.charge(network);
            }
            return Ok(None);
        };
        // What was asked before a session ended says nothing about it now.
        if self.known.is_ended(id) {
            return Ok(None);
        }
        let bytes = id.len() + principal_bytes(&session.principal);
        self.known.live.insert(id.to_owned(), LiveSession { session: session.clone(), asked }, bytes);
        Ok(Some(session))
    }

    /// The value of the one cookie that counts for this request.
    fn cookie_value<'a>(&self, request: &'a Request<Body>) -> Option<&'a str> {
        if !request.headers().contains_key(COOKIE) {
            return None;
        }
        let is_plain = self.plain_on_loopback && is_plain_loopback(request);
        cookie_value(request.headers(), if is_plain { LOOPBACK_COOKIE_NAME } else { COOKIE_NAME })
    }

    /// The id and the secret in it.
    fn cookie<'a>(&self, request: &'a Request<Body>) -> Option<(&'a str, Vec<u8>)> {
        let (id, secret) = self.cookie_value(request)?.split_once('.')?;
        let is_id =
            id.len() <= MAX_ID && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !is_id {
            return None;
        }
        Some((id, URL_SAFE_NO_PAD.decode(secret).ok()?))
    }

    /// A session that is known, as it is now: the service may have given it another secret and another token. The store is asked as
    /// often as for cookies that name no session; beyond that, and while it is away, there is no answer.
    async fn renewed(&self, id: &str, network: Network) -> Option<Session> {
        self.failures.check(network).ok()?;
        self.ask(id, network, true).await.ok()?
    }

    /// The principal, where cookie and CSRF token fit the session.
    fn admit(
        &self,
        request: &Request<Body>,
        secret: &[u8],
        session: &Session,
    ) -> Result<Arc<Principal>, Problem> {
        if !bool::from(sha256(secret).ct_eq(&session.secret_hash)) {
            return Err(refused_credential());
        }
        if !request.method().is_safe() {
            let token =
                request.headers().get(CSRF_TOKEN).map(http::HeaderValue::as_bytes).unwrap_or_default();
            if !bool::from(sha256(token).ct_eq(&session.csrf_hash)) {
                return Err(Problem::new(
                    StatusCode::FORBIDDEN,
                    "with a session cookie this method needs the session's token in `X-CSRF-Token`",
                )
                .with_code("csrf_token"));
            }
        }
        Ok(session.principal.clone())
    }
}

/// Whether the client asked this machine for itself, without TLS: by `localhost`, a name below it or a loopback address. What a
/// trusted proxy says of how it was asked counts before the connection. A service behind finds the same in `X-Forwarded-Proto`
/// and `X-Forwarded-Host`.
#[must_use]
pub fn is_plain_loopback(request: &Request<Body>) -> bool {
    let Some(connection) = request.extensions().get::<Arc<Connection>>() else { return false };
    let origin = request.extensions().get::<ClientOrigin>();
    let is_secure = origin.and_then(|origin| origin.is_secure).unwrap_or(connection.tls.is_some());
    let host = origin.and_then(|origin| origin.host.as_ref()).or_else(|| request.headers().get(HOST));
    !is_secure && host.and_then(|host| host.to_str().ok()).is_some_and(is_loopback_host)
}

fn cookie_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut found = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='));
    let value = found.next()?;
    // Two of them are none: which one counts would be a guess.
    if found.next().is_some() { Some("") } else { Some(value) }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

impl Scheme for Sessions {
    fn by_clock(&self, clock: &Arc<dyn Clock>) -> Option<Arc<dyn Scheme>> {
        Some(Arc::new(self.on(clock)))
    }

    fn name(&self) -> &'static str {
        "session"
    }

    fn describe(&self) -> Option<SecurityScheme> {
        let session = SecurityScheme::api_key_cookie(COOKIE_NAME).named("session");
        Some(session.described("The session of a browser.").with_csrf_header("X-CSRF-Token"))
    }

    fn is_presented(&self, request: &Request<Body>) -> bool {
        self.cookie_value(request).is_some()
    }

    fn knows_session(&self, id: &str) -> bool {
        self.known.is_ended(id) || self.known.live.read(id, |_| ()).is_some()
    }

    fn is_session_live<'a>(&'a self, id: &'a str) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        // While the store is away nobody can say; the next look will.
        Box::pin(async move { self.is_live(id).await.unwrap_or(true) })
    }

    fn forget_session(&self, id: &str) {
        self.known.mark_ended(id);
    }

    fn recall(&self, request: &Request<Body>) -> Option<Arc<Principal>> {
        let (id, secret) = self.cookie(request)?;
        match self.known.recall(id) {
            Recalled::Live(session) if session.expires_at > self.clock.now() => {
                self.admit(request, &secret, &session).ok()
            }
            _ => None,
        }
    }

    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a> {
        Box::pin(async move {
            let (id, secret) = self.cookie(request).ok_or_else(refused_credential)?;
            let network = Network::of(request);
            let known = match self.known.recall(id) {
                Recalled::Live(session) if self.holds(&session) => session,
                _ => {
                    let session = self.find(id, network).await?.ok_or_else(refused_credential)?;
                    return self.admit(request, &secret, &session);
                }
            };
            let admitted = self.admit(request, &secret, &known);
            if admitted.is_ok() {
                return admitted;
            }
            let Some(session) = self.renewed(id, network).await else { return admitted };
            let admitted = self.admit(request, &secret, &session);
            if admitted.is_err() {
                self.failures.charge(network);
            }
            admitted
        })
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("store", &self.store).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
