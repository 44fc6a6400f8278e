//! What goes over the wire.

use std::fmt;
use std::ops::RangeInclusive;

use bank_sdk::Limit;
use bank_stores::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long a user name may be, in characters.
pub const USERNAME_LENGTH: RangeInclusive<usize> = 3..=32;
/// How long a password may be, in characters.
pub const PASSWORD_LENGTH: RangeInclusive<usize> = 10..=128;
/// How long a customer's name may be, in characters.
pub const NAME_LENGTH: RangeInclusive<usize> = 1..=80;
/// How long an email address may be, in bytes.
pub const EMAIL_LENGTH: RangeInclusive<usize> = 3..=254;

/// Text that never shows in `Debug`: a password, a token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A customer who registers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NewCustomer {
    /// 3 to 32 of `a-z 0-9 . _ -`, a letter or digit first.
    #[schemars(length(min = *USERNAME_LENGTH.start(), max = *USERNAME_LENGTH.end()), regex(pattern = "^[a-z0-9][a-z0-9._-]*$"))]
    pub username: String,
    /// 10 to 128 characters, none of them a control character. How a keyboard composes letters makes no difference.
    #[schemars(extend("minLength" = PASSWORD_LENGTH.start(), "maxLength" = PASSWORD_LENGTH.end()))]
    pub password: Secret,
    /// What the customer is called, 1 to 80 characters.
    #[schemars(length(min = *NAME_LENGTH.start(), max = *NAME_LENGTH.end()))]
    pub name: String,
    /// Where the customer is reached.
    #[schemars(length(min = *EMAIL_LENGTH.start(), max = *EMAIL_LENGTH.end()), extend("format" = "email"))]
    pub email: String,
}

/// A customer, as others may know them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Customer {
    /// The id, `cus_…`.
    pub id: String,
    /// The user name.
    pub username: String,
    /// What the customer is called.
    pub name: String,
}

/// User name and password; both are left out where HTTP Basic carries them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Credentials {
    /// The user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

/// The tokens of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionTokens {
    /// A signed token (RFC 9068) for `Authorization: Bearer`.
    pub access_token: Secret,
    /// `Bearer`.
    pub token_type: String,
    /// How many seconds the access token holds.
    pub expires_in: u64,
    /// For the next pair of tokens; good for one use.
    pub refresh_token: Secret,
    /// What a browser sends as `X-CSRF-Token` beside the session cookie.
    pub csrf_token: Secret,
}

/// The refresh token of a session.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Refresh {
    /// The newest one.
    pub refresh_token: Secret,
}

/// The session that a credential is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CurrentSession {
    /// The session, `ses_…`.
    pub id: String,
    /// The user name.
    pub username: String,
    /// What the customer is called, where that can be had now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The customer, `cus_…`.
    pub customer: String,
    /// What a browser sends as `X-CSRF-Token` beside the session cookie. Only a browser is told that came by that cookie, from a
    /// page of the bank's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csrf_token: Option<Secret>,
    /// When the customer signed in.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// A session of the caller's that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionView {
    /// The session, `ses_…`.
    pub id: String,
    /// Whether the call came by it.
    pub current: bool,
    /// When the customer signed in.
    pub created_at: Timestamp,
    /// When it was used last, to a few minutes.
    pub last_used_at: Timestamp,
    /// What the program that signed in calls itself, at most 200 characters.
    pub user_agent: Option<String>,
    /// From which network the customer signed in: a /24, of IPv6 a /48.
    pub network: Option<String>,
}

/// Which page of the caller's sessions.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PageOf {
    /// How many, 1 to 200; 50 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z0-9_~-]+$"))]
    pub after: Option<String>,
}

/// Names a session in the path.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SessionPath {
    /// The session.
    pub id: String,
}

/// Another password.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NewPassword {
    /// The one until now.
    pub current: Secret,
    /// The one from now on: 10 to 128 characters, none of them a control character.
    #[schemars(extend("minLength" = 10, "maxLength" = 128))]
    pub new: Secret,
}

/// Sessions that were used lately.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct UsedSessions {
    /// Their ids, at most 200.
    #[schemars(length(max = 200))]
    pub ids: Vec<String>,
}

/// The caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Me {
    /// The id, `cus_…`.
    pub id: String,
    /// The user name.
    pub username: String,
    /// What the customer is called.
    pub name: String,
    /// Where the customer is reached.
    pub email: String,
    /// What the caller is in the bank by the session or token that the call came by, for example `teller`.
    pub roles: Vec<String>,
}

/// Public keys (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// A public key on a curve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Jwk {
    /// The type, `EC`.
    pub kty: String,
    /// What it is for, `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// Its name, which is its thumbprint (RFC 7638).
    pub kid: String,
    /// The algorithm, `ES256`.
    pub alg: String,
    /// The curve, `P-256`.
    pub crv: String,
    /// The first coordinate.
    pub x: String,
    /// The second coordinate.
    pub y: String,
}

/// Names a customer in the query.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Named {
    /// The whole user name.
    pub username: String,
}

/// Names a customer in the path.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CustomerPath {
    /// The customer.
    pub id: String,
}
