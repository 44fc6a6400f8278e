//! Browser sessions: a `__Host-` cookie, and a token that unsafe methods repeat (S17).

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest;
use bank_sdk::http::{Body, CSRF_TOKEN};
use bank_sdk::{Principal, Problem};
use bank_stores::cache::{Cache, Message};
use bank_stores::{Clock, Error, SystemClock, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::COOKIE;
use http::{HeaderMap, Request, StatusCode};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::{Checked, Scheme};
use crate::problem::invalid_credential;

/// The session cookie's name.
pub const COOKIE_NAME: &str = "__Host-session";
/// How old an answer of the store may be: a session that ended elsewhere is refused after this at the latest.
const MAX_AGE: Duration = Duration::from_millis(900);
const MAX_KNOWN: usize = 16_384;
const MAX_ID: usize = 64;

/// Where sessions are kept.
#[async_trait]
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// The session of this id, `None` where it never was or has ended.
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
#[derive(Clone)]
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

struct Known {
    session: Option<Session>,
    at: Instant,
}

impl Sessions {
    /// Sessions of this store, which is asked again about each after less than a second.
    #[must_use]
    pub fn new(store: Arc<dyn SessionStore>) -> Self {
        Self { store, clock: Arc::new(SystemClock::new()), known: Arc::default() }
    }

    /// Follows the messages that name sessions which have ended, for ever: those are refused at once.
    pub async fn follow(self, cache: Arc<dyn Cache>, channel: &str) {
        loop {
            if let Ok(mut messages) = cache.subscribe(channel).await {
                // What was sent before the subscription is not known.
                self.lock().clear();
                while let Some(message) = messages.next().await {
                    match message {
                        Message::Message(id) => self.mark_ended(&String::from_utf8_lossy(&id)),
                        _ => self.lock().clear(),
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Whether a session goes on.
    pub(crate) async fn is_live(&self, id: &str) -> Result<bool, Problem> {
        self.find(id).await.map(|session| session.is_some())
    }

    /// Whether it was found to go on so lately that nobody needs to be asked.
    pub(crate) fn known_live(&self, id: &str) -> bool {
        matches!(self.recalled(id), Some(Some(_)))
    }

    fn recalled(&self, id: &str) -> Option<Option<Session>> {
        let known = self.lock();
        let found = known.get(id).filter(|known| known.at.elapsed() < MAX_AGE)?;
        let now = self.clock.now();
        Some(found.session.clone().filter(|session| session.expires_at > now))
    }

    async fn find(&self, id: &str) -> Result<Option<Session>, Problem> {
        if let Some(session) = self.recalled(id) {
            return Ok(session);
        }
        let at = Instant::now();
        let session = self.store.session(id).await?.filter(|session| session.expires_at > self.clock.now());
        if session.is_none() {
            // What strangers make up is not worth remembering.
            return Ok(None);
        }
        let mut known = self.lock();
        if known.len() >= MAX_KNOWN && !known.contains_key(id) {
            known.retain(|_, known| known.at.elapsed() < MAX_AGE);
            if known.len() >= MAX_KNOWN {
                let any = known.keys().next().cloned();
                any.map(|any| known.remove(&any));
            }
        }
        // What was asked before a session ended says nothing about it now.
        if known.get(id).is_none_or(|other| other.at <= at) {
            known.insert(id.to_owned(), Known { session: session.clone(), at });
        }
        Ok(session)
    }

    fn mark_ended(&self, id: &str) {
        let mut known = self.lock();
        if known.len() < MAX_KNOWN || known.contains_key(id) {
            known.insert(id.to_owned(), Known { session: None, at: Instant::now() });
        } else {
            // No place to note it: what is known is asked for anew.
            known.clear();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The principal, where cookie and CSRF token fit the session.
    fn admit(
        &self,
        request: &Request<Body>,
        secret: &[u8],
        session: &Session,
    ) -> Result<Arc<Principal>, Problem> {
        if !bool::from(sha256(secret).ct_eq(&session.secret_hash)) {
            return Err(invalid_credential());
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

/// The id and the secret in the cookie.
fn cookie(headers: &HeaderMap) -> Option<(&str, Vec<u8>)> {
    let value = cookie_value(headers)?;
    let (id, secret) = value.split_once('.')?;
    let is_id = id.len() <= MAX_ID && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !is_id {
        return None;
    }
    Some((id, URL_SAFE_NO_PAD.decode(secret).ok()?))
}

fn cookie_value(headers: &HeaderMap) -> Option<&str> {
    let mut found = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='));
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
    fn name(&self) -> &'static str {
        "session"
    }

    fn is_presented(&self, request: &Request<Body>) -> bool {
        cookie_value(request.headers()).is_some()
    }

    fn is_session_live<'a>(&'a self, id: &'a str) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        // While the store is away nobody can say; the next look will.
        Box::pin(async move { self.is_live(id).await.unwrap_or(true) })
    }

    fn forget_session(&self, id: &str) {
        self.mark_ended(id);
    }

    fn recall(&self, request: &Request<Body>) -> Option<Arc<Principal>> {
        let (id, secret) = cookie(request.headers())?;
        let session = self.recalled(id)??;
        self.admit(request, &secret, &session).ok()
    }

    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a> {
        Box::pin(async move {
            let (id, secret) = cookie(request.headers()).ok_or_else(invalid_credential)?;
            let session = self.find(id).await?.ok_or_else(invalid_credential)?;
            self.admit(request, &secret, &session)
        })
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("store", &self.store).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Store {
        ended: AtomicBool,
        asked: AtomicUsize,
    }

    #[async_trait]
    impl SessionStore for Store {
        async fn session(&self, id: &str) -> Result<Option<Session>, Error> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if id != "ses_1" || self.ended.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let far = Timestamp::from_seconds(4_000_000_000);
            Ok(Some(Session::new(
                Arc::new(Principal::customer("cus_1")),
                sha256(b"secret"),
                sha256(b"csrf"),
                far,
            )))
        }
    }

    fn request(method: http::Method, cookies: &[&str], csrf: Option<&str>) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        for cookie in cookies {
            request.headers_mut().append(COOKIE, cookie.parse().unwrap());
        }
        if let Some(csrf) = csrf {
            request.headers_mut().insert(CSRF_TOKEN, csrf.parse().unwrap());
        }
        request
    }

    fn good() -> String {
        format!("theme=dark; {COOKIE_NAME}=ses_1.{}", URL_SAFE_NO_PAD.encode("secret"))
    }

    #[tokio::test]
    async fn s17_a_cookie_needs_its_secret_and_on_unsafe_methods_its_csrf_token() {
        let sessions = Sessions::new(Arc::new(Store::default()));
        let (get, post) = (http::Method::GET, http::Method::POST);
        let status = async |mut request| {
            sessions.check(&mut request).await.map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(status(request(get.clone(), &[&good()], None)).await.unwrap().subject, "cus_1");
        assert!(status(request(post.clone(), &[&good()], Some("csrf"))).await.is_ok());
        assert_eq!(status(request(post.clone(), &[&good()], None)).await.unwrap_err(), 403);
        assert_eq!(status(request(post, &[&good()], Some("other"))).await.unwrap_err(), 403);
        let other = format!("{COOKIE_NAME}=ses_1.{}", URL_SAFE_NO_PAD.encode("Secret"));
        for bad in [&other, "__Host-session=ses_2.c2VjcmV0", "__Host-session=ses_1", "__Host-session="] {
            assert_eq!(status(request(get.clone(), &[bad], None)).await.unwrap_err(), 401, "{bad}");
        }
        assert_eq!(status(request(get, &[&good(), &good()], None)).await.unwrap_err(), 401, "two cookies");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_ended_elsewhere_is_refused_within_a_second_and_one_that_ended_here_at_once() {
        let store = Arc::new(Store::default());
        let sessions = Sessions::new(store.clone());
        assert!(sessions.is_live("ses_1").await.unwrap() && sessions.is_live("ses_1").await.unwrap());
        assert_eq!(store.asked.load(Ordering::Relaxed), 1);
        store.ended.store(true, Ordering::Relaxed);
        tokio::time::advance(Duration::from_millis(999)).await;
        assert!(!sessions.is_live("ses_1").await.unwrap());

        let store = Arc::new(Store::default());
        let sessions = Sessions::new(store);
        assert!(sessions.is_live("ses_1").await.unwrap());
        sessions.forget_session("ses_1");
        assert!(!sessions.known_live("ses_1"));
        assert!(!sessions.is_live("ses_1").await.unwrap());
    }
}
