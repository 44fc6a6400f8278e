//! Who is it, what may they do, and how is a service told? Any number of schemes, one [`Principal`](bank_sdk::Principal) out
//! of them.
//!
//! Bearer-like credentials exclude each other: a request that carries two is refused (S16). Several schemes may read the same
//! one, such as two issuers' tokens: it is checked by the one whose it is. A scheme of your own is an implementation of
//! [`Scheme`]; [`api_key`] is a short example to start from.

pub mod api_key;
mod authenticate;
mod authorize;
mod cache;
mod caller;
mod credentials;
mod failure_budget;
#[cfg(feature = "passwords")]
mod hash_queue;
mod in_memory_keys;
#[cfg(feature = "jwt")]
mod jwk;
#[cfg(feature = "jwt")]
pub mod jwt;
#[cfg(feature = "jwt")]
pub mod keys;
#[cfg(feature = "passwords")]
mod login;
#[cfg(feature = "passwords")]
mod login_step;
mod mint;
#[cfg(feature = "passwords")]
pub mod password;
mod query;
mod scheme;
mod scheme_clock;
pub mod session;
mod short_memory;
#[cfg(any(feature = "jwt", feature = "passwords"))]
mod strict_json;
mod tell;
#[cfg(feature = "passwords")]
pub mod throttle;

use http::HeaderMap;

pub use api_key::ApiKeys;
pub use authenticate::Authenticate;
pub use authorize::{Authorize, Decide};
pub use caller::KnownCaller;
pub use credentials::{EndSessions, StripCredentials};
pub use in_memory_keys::InMemoryApiKeys;
#[cfg(feature = "jwt")]
pub use jwt::{Claims, Jwt};
#[cfg(feature = "jwt")]
pub use keys::KeySet;
#[cfg(feature = "passwords")]
pub use login_step::Login;
pub use mint::MintIdentity;
pub(crate) use mint::Stated;
#[cfg(feature = "passwords")]
pub use password::Passwords;
pub use query::NoCredentialInQuery;
pub use scheme::{Checked, Ownership, Scheme};
pub(crate) use scheme_clock::SchemeClock;
pub use session::Sessions;
pub(crate) use tell::Tell;
pub use tell::{ForwardPrincipal, PrincipalField};
#[cfg(feature = "passwords")]
pub use throttle::Throttle;

pub use crate::problem::refused_credential;

/// The one value of a header field; none where it is missing, stands there twice, or is not text.
#[must_use]
pub fn only_field<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

/// Whether `Authorization` names this scheme.
#[cfg(any(test, feature = "jwt", feature = "passwords"))]
pub(crate) fn is_authorization(headers: &HeaderMap, scheme: &str) -> bool {
    after_scheme(headers, scheme).is_some()
}

/// What stands after the scheme's name and a space.
#[cfg(any(test, feature = "jwt", feature = "passwords"))]
fn after_scheme<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a [u8]> {
    let (name, rest) = headers.get(http::header::AUTHORIZATION)?.as_bytes().split_at_checked(scheme.len())?;
    if name.eq_ignore_ascii_case(scheme.as_bytes()) { rest.strip_prefix(b" ") } else { None }
}

/// The credential after a scheme's name in `Authorization`.
#[cfg(any(test, feature = "jwt", feature = "passwords"))]
pub(crate) fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let credential = std::str::from_utf8(after_scheme(headers, scheme)?).ok()?;
    // Both look at many bytes at once, unlike `HeaderValue::to_str`.
    credential.is_ascii().then(|| credential.trim_start_matches(' '))
}
