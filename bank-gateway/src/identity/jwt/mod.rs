//! Access tokens as JSON Web Tokens (RFC 9068, RFC 7519), checked as S9 of the security page asks.
//!
//! | Asked for | |
//! | --- | --- |
//! | header | at most 8 KiB in all; `typ` as configured; no `crit`, `jku`, `x5u`, `x5c`, `jwk`, `zip`, `b64`; `kid` names a known key |
//! | algorithm | one that the key is for, never what the token would like: see [`KeySet`] |
//! | claims | `iss`, `sub`, `aud`, `exp`, `iat`, each of the right type; `nbf` where it stands; 10 s of leeway |
//! | not yet | tokens bound to a key (`cnf`) are refused, since the proof is not checked yet |
//!
//! A token that was verified is remembered until it expires, within a bound in bytes (S11), and then costs no signature check.
//!
//! What the identity providers that exist send:
//!
//! | Provider | `typ` | audience | to be mapped by [`Jwt::claims`] |
//! | --- | --- | --- | --- |
//! | Keycloak | `.token_type("JWT")` | `aud`, by a mapper of the client | `/realm_access/roles` |
//! | Entra ID | `.token_type("JWT")` | `aud` | `/scp` (a text), `/roles`, `/tid` |
//! | Auth0 | `at+jwt`, or `.token_type("JWT")` | `aud` | `/permissions`, names of your own |
//! | Okta | `.any_token_type()` | `aud` | `/scp` (a list), `/cid` |
//! | Cognito | `.any_token_type()` | `.audience_claim("client_id")` | `/cognito:groups`; `.require(…)` that `/token_use` is `access` |

mod claims;
mod known;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bank_sdk::http::Body;
use bank_sdk::{Principal, Problem};
use bank_stores::Clock;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Request};
use jsonwebtoken::Algorithm;

pub use self::claims::Claims;
use self::claims::{Header, Parts, media_type};
use self::known::{KnownTokens, TokenHash};
use super::failure_budget::{FailureBudget, Network};
use super::keys::{KeySet, VerifyingKey};
use super::scheme::{Checked, Ownership, Scheme};
use super::session::Sessions;
use super::{SchemeClock, authorization, is_authorization};
use crate::Quota;
use crate::problem::refused_credential;
use bank_sdk::openapi::SecurityScheme;

const MAX_TOKEN: usize = 8 * 1024;
/// What the tokens that are known take at most, where nothing else is said: those of more than 100,000 principals.
const CACHE_BYTES: usize = 128 << 20;
/// Tokens of one network that do not hold, each of which costs a signature check.
const FAILURES: Quota = Quota::per_second(200).burst(400);

/// `Authorization: Bearer` with an access token of one issuer, for one audience.
///
/// Several issuers are several of these in one gateway. A token is then judged by the one whose issuer and audience it
/// names; where none fits it is refused like any other token that does not hold.
///
/// ```no_run
/// use bank_gateway::identity::{Jwt, KeySet};
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let jwt = Jwt::new(KeySet::file("keys.json")?).issuer("https://bank.example").audience("bank");
/// # Ok(())
/// # }
/// ```
///
/// Clones share the tokens that are known, until one of them is told something else by any of the methods below: what one
/// of them verified says nothing about what another accepts.
#[derive(Clone)]
pub struct Jwt {
    keys: KeySet,
    issuer: Option<String>,
    audience: Option<String>,
    audience_claim: String,
    /// Accepted values of `typ`; `None` is any, and none at all.
    types: Option<Vec<String>>,
    types_are_default: bool,
    algorithms: Option<Vec<String>>,
    map: Option<Arc<Mapping>>,
    require: Option<Arc<Requirement>>,
    sessions: Option<Sessions>,
    clock: SchemeClock,
    known: Arc<KnownTokens>,
    cache_bytes: usize,
    failures: Arc<FailureBudget>,
}

type Mapping = dyn Fn(&Claims, &mut Principal) + Send + Sync;
type Requirement = dyn Fn(&Claims) -> bool + Send + Sync;

impl Jwt {
    /// Verifies by these keys. [`issuer`](Self::issuer) and [`audience`](Self::audience) must be given too.
    #[must_use]
    pub fn new(keys: KeySet) -> Self {
        Self {
            keys,
            issuer: None,
            audience: None,
            audience_claim: "aud".to_owned(),
            types: Some(vec!["at+jwt".to_owned()]),
            types_are_default: true,
            algorithms: None,
            map: None,
            require: None,
            sessions: None,
            clock: SchemeClock::default(),
            known: Arc::new(KnownTokens::new(CACHE_BYTES)),
            cache_bytes: CACHE_BYTES,
            failures: Arc::new(FailureBudget::new(FAILURES)),
        }
    }

    /// The one issuer that is believed.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self.anew()
    }

    /// The audience that tokens must be for.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self.anew()
    }

    /// The claim that names the audience, `aud` by default. Cognito's access tokens have it in `client_id`.
    #[must_use]
    pub fn audience_claim(mut self, name: impl Into<String>) -> Self {
        self.audience_claim = name.into();
        self.anew()
    }

    /// Accepts tokens whose `typ` is this one, in the place of `at+jwt` (RFC 9068); called again, this one too. An issuer that
    /// gives its id tokens the same type tells them apart by audience, or has to be asked for more by
    /// [`require`](Self::require).
    #[must_use]
    pub fn token_type(mut self, typ: impl AsRef<str>) -> Self {
        let mut types = self.types.take().filter(|_| !self.types_are_default).unwrap_or_default();
        types.push(media_type(typ.as_ref()));
        (self.types, self.types_are_default) = (Some(types), false);
        self.anew()
    }

    /// Accepts tokens of any `typ`, and those that state none.
    #[must_use]
    pub fn any_token_type(mut self) -> Self {
        (self.types, self.types_are_default) = (None, false);
        self.anew()
    }

    /// Accepts these algorithms only, by their names in RFC 7518, of those that the keys are for. So `["PS256", "ES256"]` leaves
    /// RS256 out where the issuer's keys do not say which of the two they are for.
    #[must_use]
    pub fn algorithms<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.algorithms = Some(names.into_iter().map(Into::into).collect());
        self.anew()
    }

    /// Makes the principal of the claims: it is called with what RFC 9068 makes of them, once for each token that is seen for
    /// the first time. With a mapping, `scope`, `roles`, `amr`, `acr`, `sid`, `tenant` and `auth_time` may be of any type;
    /// those of another than expected count as missing. Without one they make the token invalid.
    #[must_use]
    pub fn claims(mut self, map: impl Fn(&Claims, &mut Principal) + Send + Sync + 'static) -> Self {
        self.map = Some(Arc::new(map));
        self.anew()
    }

    /// Refuses tokens whose claims are not so, beside all that is asked for anyway.
    #[must_use]
    pub fn require(mut self, requirement: impl Fn(&Claims) -> bool + Send + Sync + 'static) -> Self {
        self.require = Some(Arc::new(requirement));
        self.anew()
    }

    /// Asks for a session (`sid`) that goes on: a token without one, or whose session has ended, is refused.
    #[must_use]
    pub fn sessions(mut self, sessions: Sessions) -> Self {
        self.sessions = Some(sessions);
        self.anew()
    }

    /// How many bytes the tokens that are known may take, 128 MiB by default, which is room for those of 100,000 principals
    /// and more. The bound holds for what is counted: the principals, and what keeping them costs. When it is full, the least
    /// used go, and cost a signature check when they come again.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self.anew()
    }

    /// How many tokens that do not hold one network may send, `Quota::per_second(200).burst(400)` by default. Beyond it, its
    /// tokens that are not known yet are answered 429 and not verified.
    #[must_use]
    pub fn failure_limit(mut self, quota: Quota) -> Self {
        self.failures = Arc::new(FailureBudget::new(quota));
        self
    }

    /// A clock of its own. Without one it goes by its gateway's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = SchemeClock::given(clock);
        self.anew()
    }

    /// Knows no token yet: what was verified under other conditions does not count.
    fn anew(mut self) -> Self {
        self.known = Arc::new(KnownTokens::new(self.cache_bytes));
        self
    }

    async fn verify(&self, token: &str, network: Network) -> Result<Arc<Principal>, Problem> {
        if token.len() > MAX_TOKEN {
            return Err(refused_credential());
        }
        // A key that has left the set takes what it verified with it.
        self.keys.refresh().await;
        let (hash, now) = (hash(token), self.clock.now().seconds());
        if let Some(principal) = self.known.find(&hash, now) {
            return self.live(principal).await;
        }
        self.failures.check(network)?;
        let verified = self.verify_new(token, hash, now).await;
        if verified.is_none() {
            self.failures.charge(network);
        }
        self.live(verified.ok_or_else(refused_credential)?).await
    }

    /// Verifies a token that is not known, and remembers it.
    async fn verify_new(&self, token: &str, hash: TokenHash, now: i64) -> Option<Arc<Principal>> {
        let parts = Parts::of(token)?;
        let header = parts.header()?;
        self.accepts(&header).then_some(())?;
        let key = self.signed_by(&parts, &header).await?;
        let claims = parts.claims()?;
        if !claims.is_meant(self.issuer.as_deref()?, &self.audience_claim, self.audience.as_deref()?)
            || !self.require.as_ref().is_none_or(|required| required(&claims))
        {
            return None;
        }
        let expires = claims.hold(now)?;
        let mut principal = claims.principal(URL_SAFE_NO_PAD.encode(&hash[..9]), self.map.is_some())?;
        if let Some(map) = &self.map {
            map(&claims, &mut principal);
        }
        let principal = Arc::new(principal);
        self.known.keep(hash, principal.clone(), &key, expires);
        Some(principal)
    }

    fn accepts(&self, header: &Header) -> bool {
        let has_type = match (&self.types, &header.typ) {
            (None, _) => true,
            (Some(types), Some(typ)) => types.contains(typ),
            (Some(_), None) => false,
        };
        has_type && self.algorithms.as_ref().is_none_or(|names| names.contains(&header.algorithm))
    }

    /// The key of the set that signed it, by an algorithm that the key is for.
    async fn signed_by(&self, parts: &Parts<'_>, header: &Header) -> Option<Arc<VerifyingKey>> {
        let named = algorithm(&header.algorithm)?;
        self.keys.find(&header.key).await.into_iter().find(|key| {
            key.algorithms.contains(&named)
                && jsonwebtoken::crypto::verify(parts.signature, parts.signed.as_bytes(), &key.key, named)
                    .unwrap_or(false)
        })
    }

    /// Whether the token's session goes on.
    async fn live(&self, principal: Arc<Principal>) -> Result<Arc<Principal>, Problem> {
        match (&self.sessions, &principal.session) {
            (None, _) => Ok(principal),
            (Some(sessions), Some(id)) if sessions.is_live(id).await? => Ok(principal),
            (Some(_), _) => Err(refused_credential()),
        }
    }
}

fn hash(token: &str) -> TokenHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

/// An algorithm by the name that a token gives it. What is not asymmetric has no name here.
fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        // RFC 9864 names it by its curve.
        "EdDSA" | "Ed25519" => Algorithm::EdDSA,
        _ => return None,
    })
}

impl Scheme for Jwt {
    fn by_clock(&self, clock: &Arc<dyn Clock>) -> Option<Arc<dyn Scheme>> {
        let sessions = self.sessions.as_ref().map(|sessions| sessions.on(clock));
        Some(Arc::new(Self { clock: self.clock.or(clock), sessions, ..self.clone() }))
    }

    fn name(&self) -> &'static str {
        "jwt"
    }

    fn describe(&self) -> Option<SecurityScheme> {
        Some(SecurityScheme::bearer("JWT").described("An access token."))
    }

    fn is_presented(&self, request: &Request<Body>) -> bool {
        is_authorization(request.headers(), "bearer")
    }

    fn owns(&self, request: &Request<Body>) -> Ownership {
        let token = authorization(request.headers(), "bearer").filter(|token| token.len() <= MAX_TOKEN);
        let claims = token.and_then(Parts::of).and_then(|parts| parts.claims());
        let (issuer, audience) = (self.issuer.as_deref(), self.audience.as_deref());
        let is_ours = claims.zip(issuer.zip(audience)).is_some_and(|(claims, (issuer, audience))| {
            claims.is_meant(issuer, &self.audience_claim, audience)
        });
        if is_ours { Ownership::Own } else { Ownership::Foreign }
    }

    fn recall(&self, request: &Request<Body>) -> Option<Arc<Principal>> {
        let token = authorization(request.headers(), "bearer").filter(|token| token.len() <= MAX_TOKEN)?;
        if !self.keys.is_current() {
            return None;
        }
        let principal = self.known.find(&hash(token), self.clock.now().seconds())?;
        match (&self.sessions, &principal.session) {
            (None, _) => Some(principal),
            (Some(sessions), Some(id)) => sessions.known_live(id).then_some(principal),
            (Some(_), None) => None,
        }
    }

    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a> {
        Box::pin(async move {
            let token = authorization(request.headers(), "bearer").ok_or_else(refused_credential)?;
            self.verify(token, Network::of(request)).await
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

    fn refusal_challenge(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from_static(r#"Bearer error="invalid_token""#))
    }

    fn knows_session(&self, id: &str) -> bool {
        // Without sessions a `sid` is the issuer's business: nobody here can say when it ends.
        self.sessions.as_ref().is_some_and(|sessions| sessions.knows_session(id))
    }

    fn is_session_live<'a>(&'a self, id: &'a str) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        match &self.sessions {
            Some(sessions) => sessions.is_session_live(id),
            None => Box::pin(std::future::ready(true)),
        }
    }

    fn fault(&self) -> Option<String> {
        let unknown = self.algorithms.iter().flatten().find(|name| algorithm(name).is_none());
        match (&self.issuer, &self.audience, unknown) {
            (None, _, _) => Some("the JWT scheme believes any issuer; add .issuer(…)".to_owned()),
            (_, None, _) => Some("the JWT scheme accepts tokens for anybody; add .audience(…)".to_owned()),
            (_, _, Some(name)) => Some(format!(
                "the JWT scheme cannot verify by `{name}`; take RS256, PS256, ES256, ES384 or EdDSA"
            )),
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

#[cfg(test)]
mod tests;
