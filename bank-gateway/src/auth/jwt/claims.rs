//! What stands in a token, and what of it is asked for (S9; RFC 9068, RFC 8725).

use std::collections::BTreeMap;

use bank_sdk::{Principal, PrincipalKind};
use bank_stores::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Clocks may differ by so many seconds.
const LEEWAY: i64 = 10;

/// The header, read once. Whatever would make us fetch, unpack or skip something is refused.
#[derive(Deserialize)]
struct Header {
    typ: Option<String>,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
}

/// The id of the key that an acceptable header names.
pub(super) fn key_id(token: &str) -> Option<String> {
    let encoded = token.split('.').next()?;
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
    let Header { typ, kid, crit, jku, x5u, jwk, zip, b64 } = header;
    let is_access_token = typ.is_some_and(|typ| {
        typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt")
    });
    let is_plain = [crit, jku, x5u, jwk, zip, b64].iter().all(Option::is_none);
    kid.filter(|_| is_access_token && is_plain)
}

/// The claims. One that is missing, or of another type than this, makes the token invalid.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    pub(super) exp: i64,
    iat: i64,
    nbf: Option<i64>,
    scope: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    sid: Option<String>,
    acr: Option<String>,
    #[serde(default)]
    amr: Vec<String>,
    auth_time: Option<i64>,
    #[serde(default)]
    cnf: BTreeMap<String, String>,
    tenant: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Claims {
    /// Whether the token is from that issuer, for that audience, and holds now.
    pub(super) fn hold(&self, issuer: &str, audience: &str, now: i64) -> bool {
        let for_us = match &self.aud {
            Audience::One(one) => one == audience,
            Audience::Several(several) => several.iter().any(|one| one == audience),
        };
        self.iss == issuer
            && for_us
            && !self.sub.is_empty()
            && now < self.exp.saturating_add(LEEWAY)
            && self.iat <= now.saturating_add(LEEWAY)
            && self.nbf.is_none_or(|nbf| nbf <= now.saturating_add(LEEWAY))
            // A token that is bound to a key proves nothing without the proof.
            && self.cnf.is_empty()
    }

    /// Who calls. `credential` names the token in records.
    pub(super) fn into_principal(self, credential: String) -> Principal {
        let mut principal = Principal::new(self.sub, PrincipalKind::Customer);
        let scopes = self.scope.unwrap_or_default();
        principal.scopes =
            scopes.split(' ').filter(|scope| !scope.is_empty()).map(ToOwned::to_owned).collect();
        principal.roles = self.roles;
        principal.session = self.sid;
        principal.acr = self.acr;
        principal.amr = self.amr;
        principal.auth_time = self.auth_time.map(Timestamp::from_seconds);
        principal.tenant = self.tenant;
        principal.credential = Some(credential);
        principal
    }
}
