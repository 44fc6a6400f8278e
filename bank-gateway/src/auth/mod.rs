//! Who is it? Any number of schemes, one [`Principal`] out of them.
//!
//! Bearer-like credentials exclude each other: a request that carries two is refused (S16). A scheme of your own is an
//! implementation of [`Scheme`]; [`api_key`] is a short example to start from.

pub mod api_key;
pub mod jwt;
pub mod keys;
#[cfg(feature = "passwords")]
pub mod password;
pub mod session;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bank_sdk::http::Body;
use bank_sdk::{Principal, Problem};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, Request, StatusCode};

pub use api_key::ApiKeys;
pub use jwt::Jwt;
pub use keys::KeySet;
#[cfg(feature = "passwords")]
pub use password::Passwords;
pub use session::Sessions;

use crate::Gate;
pub use crate::problem::invalid_credential;
use crate::strict_http::is_reserved;

/// How soon a stream notices that its session has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What a scheme's check returns: `Box::pin(async move { … })`, or `Box::pin(std::future::ready(…))` where nothing is
/// waited for.
pub type Checked<'a> = Pin<Box<dyn Future<Output = Result<Arc<Principal>, Problem>> + Send + 'a>>;

/// A way to prove who calls.
pub trait Scheme: fmt::Debug + Send + Sync + 'static {
    /// Its name, for people: in the faults that `build()` finds, say.
    fn name(&self) -> &'static str;

    /// Whether the request carries this scheme's credential, right or wrong.
    fn is_presented(&self, request: &Request<Body>) -> bool;

    /// The header fields that carry it, beside `Authorization` and `Cookie`: they are for the gateway, not for services.
    /// Names that only the gateway may set, such as `x-user-…`, do not build: they are removed before anybody reads them.
    fn credential_fields(&self) -> &[&'static str] {
        &[]
    }

    /// Who a credential belongs to that was checked lately and needs no wait: the fast path.
    fn recall(&self, _request: &Request<Body>) -> Option<Arc<Principal>> {
        None
    }

    /// Checks the credential. It may read the body within a bound and must leave it whole for the service.
    ///
    /// # Errors
    /// [`invalid_credential`] for one that does not hold, the same whatever is wrong with it; 503 where it cannot be
    /// checked now.
    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a>;

    /// A session has ended: nothing that was remembered of it holds any longer.
    fn forget_session(&self, _id: &str) {}

    /// Whether a session goes on, as far as this scheme knows. It ends streams that would outlive their session.
    fn is_session_live<'a>(&'a self, _id: &'a str) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(true))
    }

    /// What to offer in `WWW-Authenticate`.
    fn challenge(&self) -> Option<HeaderValue> {
        None
    }

    /// What to say in `WWW-Authenticate` when the credential did not hold.
    fn refusal_challenge(&self) -> Option<HeaderValue> {
        self.challenge()
    }

    /// What is missing for the scheme to be safe; the gateway does not build then.
    fn fault(&self) -> Option<String> {
        None
    }
}

impl<S: Scheme + ?Sized> Scheme for Arc<S> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn is_presented(&self, request: &Request<Body>) -> bool {
        (**self).is_presented(request)
    }

    fn credential_fields(&self) -> &[&'static str] {
        (**self).credential_fields()
    }

    fn recall(&self, request: &Request<Body>) -> Option<Arc<Principal>> {
        (**self).recall(request)
    }

    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a> {
        (**self).check(request)
    }

    fn forget_session(&self, id: &str) {
        (**self).forget_session(id);
    }

    fn is_session_live<'a>(&'a self, id: &'a str) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        (**self).is_session_live(id)
    }

    fn challenge(&self) -> Option<HeaderValue> {
        (**self).challenge()
    }

    fn refusal_challenge(&self) -> Option<HeaderValue> {
        (**self).refusal_challenge()
    }

    fn fault(&self) -> Option<String> {
        (**self).fault()
    }
}

/// Finds out who calls, by whichever scheme the request's credential is of.
///
/// As a [`Gate`] it leaves the request extension `Arc<Principal>`, and lets a request without credential pass as nobody:
/// [`Authorize`](crate::Authorize) decides what nobody may do.
#[derive(Clone, Debug, Default)]
pub struct Authenticate {
    schemes: Arc<[Arc<dyn Scheme>]>,
}

impl Authenticate {
    /// Accepts these schemes.
    pub fn new(schemes: impl IntoIterator<Item = Arc<dyn Scheme>>) -> Self {
        Self { schemes: schemes.into_iter().collect() }
    }

    /// Tells every scheme that a session has ended.
    pub(crate) fn forget_session(&self, id: &str) {
        self.schemes.iter().for_each(|scheme| scheme.forget_session(id));
    }

    /// Completes when a session has ended.
    pub(crate) async fn session_ended(self, id: String) {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            for scheme in &*self.schemes {
                if !scheme.is_session_live(&id).await {
                    return;
                }
            }
        }
    }

    /// Removes every scheme's credential.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        headers.remove(http::header::AUTHORIZATION);
        headers.remove(http::header::COOKIE);
        for name in self.schemes.iter().flat_map(|scheme| scheme.credential_fields()) {
            headers.remove(*name);
        }
        // Servers behind may fold `_` into `-`.
        if headers.keys().any(|name| name.as_str().contains('_')) {
            let is_credential = |name: &str| {
                let mut fields = self.schemes.iter().flat_map(|scheme| scheme.credential_fields());
                fields.any(|field| *field == name)
            };
            let folded: Vec<_> = headers
                .keys()
                .filter(|name| name.as_str().contains('_') && is_credential(&name.as_str().replace('_', "-")))
                .cloned()
                .collect();
            for name in folded {
                headers.remove(name);
            }
        }
    }

    /// What keeps these schemes from working, or from being safe.
    pub(crate) fn faults(&self) -> impl Iterator<Item = String> {
        self.schemes.iter().flat_map(|scheme| {
            let fields = scheme.credential_fields().iter().filter(|field| is_reserved(field));
            let reserved = fields.map(|field| {
                let name = scheme.name();
                format!(
                    "the scheme `{name}` reads `{field}`, which only the gateway may set; use another name"
                )
            });
            scheme.fault().into_iter().chain(reserved)
        })
    }

    /// Which scheme tells who calls, and whether anybody must be waited for to know it.
    pub(crate) fn choose(&self, request: &mut Request<Body>) -> Result<Chosen, Problem> {
        let (first, second) = {
            let mut presented = self.schemes.iter().filter(|scheme| scheme.is_presented(request));
            (presented.next().cloned(), presented.next().is_some())
        };
        let second = second || first.as_ref().is_some_and(|first| has_another(&**first, request));
        let scheme = match (first, second) {
            (Some(scheme), false) => scheme,
            (Some(_), true) => {
                let problem = Problem::bad_request("the request carries two credentials; send one");
                return Err(problem.with_code("two_credentials"));
            }
            (None, _) if request.headers().contains_key(http::header::AUTHORIZATION) => {
                return Err(self.refuse("this scheme of `Authorization` is not known here"));
            }
            (None, _) => return Ok(Chosen::Nobody),
        };
        Ok(match scheme.recall(request) {
            Some(principal) => Chosen::Known(principal),
            None => Chosen::Unchecked(scheme),
        })
    }

    /// Who calls, or nobody.
    async fn identify(&self, request: &mut Request<Body>) -> Result<Option<Arc<Principal>>, Problem> {
        match self.choose(request)? {
            Chosen::Nobody => Ok(None),
            Chosen::Known(principal) => Ok(Some(principal)),
            Chosen::Unchecked(scheme) => check(&*scheme, request).await.map(Some),
        }
    }

    /// 401, with what each scheme offers.
    fn refuse(&self, detail: &'static str) -> Problem {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, detail).with_code("unauthenticated");
        let mut challenges = self.schemes.iter().filter_map(|scheme| scheme.challenge()).peekable();
        if challenges.peek().is_none() {
            // RFC 9110 §15.5.2 wants one; a session begins with a cookie.
            return problem.with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Cookie"));
        }
        challenges.fold(problem, |problem, challenge| problem.with_header(WWW_AUTHENTICATE, challenge))
    }

    /// Refuses nobody where somebody is needed.
    pub(crate) fn challenge(&self) -> Problem {
        self.refuse("this needs a credential: sign in first")
    }
}

/// How a request's caller becomes known.
pub(crate) enum Chosen {
    /// It carries no credential.
    Nobody,
    /// It was checked lately.
    Known(Arc<Principal>),
    /// This scheme has to check it.
    Unchecked(Arc<dyn Scheme>),
}

/// Checks a credential; a refusal says what the scheme wants.
pub(crate) async fn check(
    scheme: &dyn Scheme,
    request: &mut Request<Body>,
) -> Result<Arc<Principal>, Problem> {
    scheme.check(request).await.map_err(|problem| match scheme.refusal_challenge() {
        Some(challenge) if problem.status() == StatusCode::UNAUTHORIZED => {
            problem.with_header(WWW_AUTHENTICATE, challenge)
        }
        _ => problem,
    })
}

impl Gate for Authenticate {
    async fn check(&self, request: &mut Request<Body>) -> Result<(), Problem> {
        request.extensions_mut().remove::<Arc<Principal>>();
        check_query(request)?;
        if let Some(principal) = self.identify(request).await? {
            request.extensions_mut().insert(principal);
        }
        Ok(())
    }
}

/// Whether the request carries a credential beside this scheme's, even one that nobody here knows (S16).
fn has_another(scheme: &dyn Scheme, request: &mut Request<Body>) -> bool {
    const KEY: &str = "x-api-key";
    if request.headers().contains_key(KEY) && !scheme.credential_fields().contains(&KEY) {
        return true;
    }
    // A scheme that finds its credential without `Authorization` has no use for what stands there.
    let Some(value) = request.headers_mut().remove(http::header::AUTHORIZATION) else { return false };
    let other = scheme.is_presented(request);
    request.headers_mut().insert(http::header::AUTHORIZATION, value);
    other
}

/// Refuses a credential in the address, on whichever route (S16).
pub(crate) fn check_query(request: &Request<Body>) -> Result<(), Problem> {
    if request.uri().query().is_some_and(has_credential) {
        let problem = Problem::bad_request("a credential must not stand in the address: it ends up in logs");
        return Err(problem.with_code("credential_in_query"));
    }
    Ok(())
}

/// Names under which credentials are put into addresses (RFC 6750 §2.3, which RFC 9700 forbids).
fn has_credential(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let name = if name.contains('%') { &*unescape(name) } else { name };
        ["access_token", "api_key", "apikey", "token", "password", "refresh_token"]
            .iter()
            .any(|credential| name.eq_ignore_ascii_case(credential))
    })
}

/// The text with its escapes of ASCII characters undone; others do not matter here.
fn unescape(text: &str) -> String {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if byte.is_ascii() => {
                plain.push(char::from(byte));
                plain.push_str(&part[2..]);
            }
            _ => plain.push_str(part),
        }
    }
    plain
}

/// The one value of a header field; none where it is missing, stands there twice, or is not text.
#[must_use]
pub fn only_field<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

/// Whether `Authorization` names this scheme.
pub(crate) fn is_authorization(headers: &HeaderMap, scheme: &str) -> bool {
    headers.get(http::header::AUTHORIZATION).is_some_and(|value| {
        let (value, name) = (value.as_bytes(), scheme.as_bytes());
        value.get(name.len()) == Some(&b' ') && value[..name.len()].eq_ignore_ascii_case(name)
    })
}

/// The credential after a scheme's name in `Authorization`.
pub(crate) fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    if !is_authorization(headers, scheme) {
        return None;
    }
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    Some(value[scheme.len()..].trim_start_matches(' '))
}
