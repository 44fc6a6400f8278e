//! The bank's customers and their sessions: users and sessions in [`Items`](bank_stores::Items), with a
//! [`Cache`](bank_stores::Cache) in front.
//!
//! ```
//! let api = identity::api();
//! assert_eq!(api.name, "identity");
//! assert!(api.check().is_ok());
//! ```
//!
//! Passwords are checked by the gateway, which reads the same users through [`Users`]; [`Identity`] sees a login only
//! after its credentials held. [`Sessions`] is what the gateway asks of each session cookie and access token.
//!
//! | Type | Does |
//! | --- | --- |
//! | [`Identity`] | the service: registers, opens, refreshes, lists and ends sessions, changes passwords |
//! | [`Users`], [`Sessions`] | reads users and sessions, over a read-only store too |
//! | [`Passwords`] | argon2id, off the async threads, bounded in number at once |
//! | [`SigningKey`] | signs access tokens; its public half is in `/.well-known/jwks.json` |
//!
//! Without its default feature `service` the crate is just its endpoints and wire types. With the feature `names` it also has
//! [`Names`], with which another service learns what customers are called.

pub mod endpoints;
mod examples;
pub mod wire;

#[cfg(feature = "service")]
mod browser;
#[cfg(feature = "service")]
mod change_password;
#[cfg(feature = "service")]
mod cookie;
#[cfg(feature = "service")]
mod guesses;
#[cfg(feature = "names")]
mod names;
#[cfg(feature = "service")]
mod own_sessions;
#[cfg(feature = "service")]
mod password;
#[cfg(feature = "service")]
mod profile;
#[cfg(feature = "service")]
mod refresh;
#[cfg(feature = "service")]
mod register;
#[cfg(feature = "service")]
mod service;
#[cfg(feature = "service")]
mod session;
#[cfg(feature = "service")]
mod session_entry;
#[cfg(feature = "service")]
mod sign_in;
#[cfg(feature = "service")]
mod signing_key;
#[cfg(feature = "service")]
mod staff;
#[cfg(feature = "service")]
mod token;
#[cfg(feature = "service")]
mod user;

pub use endpoints::api;
#[cfg(feature = "names")]
pub use names::Names;
#[cfg(feature = "service")]
pub use password::Passwords;
#[cfg(feature = "service")]
pub use register::NewUser;
#[cfg(feature = "service")]
pub use service::Identity;
#[cfg(feature = "service")]
pub use session::{SESSIONS_ENDED, Session, Sessions};
#[cfg(feature = "service")]
pub use signing_key::{SigningKey, SigningKeyError};
#[cfg(feature = "service")]
pub use token::{AUDIENCE, ISSUER};
#[cfg(feature = "service")]
pub use user::{User, Users};

/// The name of the session cookie.
pub const SESSION_COOKIE: &str = "__Host-session";

/// The name of the session cookie of a browser on this machine that asks without TLS: some take no `Secure` cookie there.
pub const LOOPBACK_COOKIE: &str = "bank-session";

/// What a caller has who came by the session cookie, and nobody who came by a token: it may be told the token that is repeated in
/// `X-CSRF-Token`. The gateway gives it, and no access token carries it.
pub const CSRF_SCOPE: &str = "session:csrf";

/// What a customer's session may be used for.
pub const SCOPES: [&str; 7] = [
    "accounts:read",
    "accounts:write",
    "transfers:read",
    "transfers:write",
    "notifications:read",
    "payees:read",
    "profile",
];
