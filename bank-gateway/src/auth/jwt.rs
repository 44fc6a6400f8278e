//! Access tokens as JSON Web Tokens (RFC 9068), checked as S9 of the security page asks.
//!
//! | Asked for | |
//! | --- | --- |
//! | header | at most 8 KiB in all; `typ` is `at+jwt`; no `crit`, `jku`, `x5u`, `jwk`, `zip`; `kid` names a known key |
//! | algorithm | the key's, never the token's: ES256, PS256, EdDSA |
//! | claims | `iss`, `sub`, `aud`, `exp`, `iat`, each of the right type; `nbf` where it stands; 10 s of leeway |
//!
//! A token that was verified is remembered until it expires, within a bound (S11), and then costs no signature check.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use bank_sdk::http::Body;
use bank_sdk::{Principal, PrincipalKind, Problem};
use bank_stores::{Clock, SystemClock, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Request};
use jsonwebtoken::Validation;
use serde::Deserialize;

use super::keys::{KeySet, VerifyingKey};
use super::session::Sessions;
use super::{Checked, Scheme, authorization, invalid_token};

const MAX_TOKEN: usize = 8 * 1024;
/// Clocks may differ by so many seconds.
const LEEWAY: i64 = 10;
const SHARDS: usize = 16;
const REMEMBERED_A_SHARD: usize = 2_048;

/// `Authorization: Bearer` with an access token.
///
/// ```no_run
/// use bank_gateway::auth::{Jwt, KeySet};
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let jwt = Jwt::new(KeySet::file("keys.json")?).issuer("https://bank.example").audience("bank");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Jwt {
    keys: KeySet,
    issuer: Option<String>,
    audience: Option<String>,
    sessions: Option<Sessions>,
    clock: Arc<dyn Clock>,
    known: Arc<Known>,
}

/// Tokens that were verified.
struct Known {
    hasher: RandomState,
    shards: [Mutex<HashMap<Box<str>, Verified>>; SHARDS],
}

#[derive(Clone)]
struct Verified {
    principal: Arc<Principal>,
    expires: i64,
}

#[derive(Deserialize)]
struct Header {
    typ: Option<String>,
    kid: Option<String>,
    crit: Option<serde::de::IgnoredAny>,
    jku: Option<serde::de::IgnoredAny>,
    x5u: Option<serde::de::IgnoredAny>,
    jwk: Option<serde::de::IgnoredAny>,
    zip: Option<serde::de::IgnoredAny>,
    b64: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
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
    cnf: std::collections::BTreeMap<String, String>,
    tenant: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Jwt {
    /// Verifies by these keys. [`issuer`](Self::issuer) and [`audience`](Self::audience) must be given too.
    #[must_use]
    pub fn new(keys: KeySet) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self {
            keys,
            issuer: None,
            audience: None,
            sessions: None,
            clock: Arc::new(SystemClock::new()),
            known: Arc::new(Known { hasher: RandomState::new(), shards }),
        }
    }

    /// The one issuer that is believed.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// The audience that tokens must be for.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Refuses tokens whose session (`sid`) has ended.
    #[must_use]
    pub fn sessions(mut self, sessions: Sessions) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// The clock, where a test decides the time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    async fn verify(&self, token: &str) -> Result<Arc<Principal>, Problem> {
        if let Some(verified) = self.remembered(token) {
            return self.live(verified).await;
        }
        let (claims, digest) = self.verify_signature(token).await.ok_or_else(invalid_token)?;
        let now = self.clock.now().seconds();
        if !self.holds(&claims, now) {
            return Err(invalid_token());
        }
        let verified = Verified { expires: claims.exp, principal: Arc::new(principal(claims, digest)) };
        self.remember(token, verified.clone());
        self.live(verified.principal).await
    }

    async fn verify_signature(&self, token: &str) -> Option<(Claims, String)> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let encoded = token.split('.').next()?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
        let Header { typ, kid, crit, jku, x5u, jwk, zip, b64 } = header;
        let typed = typ.is_some_and(|typ| {
            typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt")
        });
        if !typed || [crit, jku, x5u, jwk, zip, b64].iter().any(Option::is_some) {
            return None;
        }
        for key in self.keys.find(&kid?).await {
            let VerifyingKey { algorithm, key } = &*key;
            let mut validation = Validation::new(*algorithm);
            // Signature and algorithm are jsonwebtoken's to check; the claims, more strictly, ours.
            validation.validate_exp = false;
            validation.validate_aud = false;
            validation.required_spec_claims.clear();
            if let Ok(data) = jsonwebtoken::decode::<Claims>(token, key, &validation) {
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
                return Some((data.claims, URL_SAFE_NO_PAD.encode(&digest.as_ref()[..9])));
            }
        }
        None
    }

    fn holds(&self, claims: &Claims, now: i64) -> bool {
        let audience = self.audience.as_deref();
        let for_us = match &claims.aud {
            Audience::One(one) => audience == Some(one),
            Audience::Several(several) => several.iter().any(|one| audience == Some(one)),
        };
        self.issuer.as_deref() == Some(&claims.iss)
            && for_us
            && !claims.sub.is_empty()
            && now < claims.exp.saturating_add(LEEWAY)
            && claims.iat <= now + LEEWAY
            && claims.nbf.is_none_or(|nbf| nbf <= now + LEEWAY)
    }

    fn shard(&self, token: &str) -> &Mutex<HashMap<Box<str>, Verified>> {
        // The signature is the part that differs; its last bytes are as good as random.
        let tail = token.as_bytes().last_chunk::<12>().map_or(&[][..], |tail| tail);
        &self.known.shards[self.known.hasher.hash_one(tail) as usize % SHARDS]
    }

    fn remembered(&self, token: &str) -> Option<Arc<Principal>> {
        let shard = self.shard(token).lock().unwrap_or_else(PoisonError::into_inner);
        let verified = shard.get(token)?;
        (self.clock.now().seconds() < verified.expires).then(|| verified.principal.clone())
    }

    fn remember(&self, token: &str, verified: Verified) {
        let mut shard = self.shard(token).lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= REMEMBERED_A_SHARD {
            let now = self.clock.now().seconds();
            shard.retain(|_, verified| verified.expires > now);
            // Forgetting costs a signature check and nothing else, so that any may go.
            while shard.len() >= REMEMBERED_A_SHARD {
                let Some(any) = shard.keys().next().cloned() else { break };
                shard.remove(&any);
            }
        }
        shard.insert(token.into(), verified);
    }

    /// Whether the token's session goes on.
    async fn live(&self, principal: Arc<Principal>) -> Result<Arc<Principal>, Problem> {
        match (&self.sessions, &principal.session) {
            (Some(sessions), Some(id)) if !sessions.is_live(id).await? => Err(invalid_token()),
            _ => Ok(principal),
        }
    }
}

fn principal(claims: Claims, credential: String) -> Principal {
    let mut principal = Principal::new(claims.sub, PrincipalKind::Customer);
    principal.scopes = claims
        .scope
        .unwrap_or_default()
        .split(' ')
        .filter(|s| !s.is_empty())
        .map(ToOwned::to_owned)
        .collect();
    principal.roles = claims.roles;
    principal.session = claims.sid;
    principal.acr = claims.acr;
    principal.amr = claims.amr;
    principal.auth_time = claims.auth_time.map(Timestamp::from_seconds);
    principal.cnf = claims.cnf;
    principal.tenant = claims.tenant;
    principal.credential = Some(credential);
    principal
}

impl Scheme for Jwt {
    fn name(&self) -> &'static str {
        "jwt"
    }

    fn is_presented(&self, headers: &HeaderMap) -> bool {
        authorization(headers, "bearer").is_some()
    }

    fn recall(&self, request: &Request<Body>) -> Option<Arc<Principal>> {
        let principal = self.remembered(authorization(request.headers(), "bearer")?)?;
        match (&self.sessions, &principal.session) {
            (Some(sessions), Some(id)) => sessions.known_live(id).then_some(principal),
            _ => Some(principal),
        }
    }

    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a> {
        Box::pin(async move {
            let token = authorization(request.headers(), "bearer").ok_or_else(invalid_token)?;
            self.verify(token).await
        })
    }

    fn forget_session(&self, id: &str) {
        if let Some(sessions) = &self.sessions {
            sessions.forget_session(id);
        }
    }

    fn challenge(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from_static("Bearer"))
    }

    fn fault(&self) -> Option<&'static str> {
        match (&self.issuer, &self.audience) {
            (None, _) => Some("the JWT scheme believes any issuer; add .issuer(…)"),
            (_, None) => Some("the JWT scheme accepts tokens for anybody; add .audience(…)"),
            _ => None,
        }
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("keys", &self.keys)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}
