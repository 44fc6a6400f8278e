//! Access tokens as JSON Web Tokens (RFC 9068), checked as S9 of the security page asks.
//!
//! | Asked for | |
//! | --- | --- |
//! | header | at most 8 KiB in all; `typ` is `at+jwt`; no `crit`, `jku`, `x5u`, `jwk`, `zip`, `b64`; `kid` names a known key |
//! | algorithm | the key's, never the token's: ES256, PS256, EdDSA |
//! | claims | `iss`, `sub`, `aud`, `exp`, `iat`, each of the right type; `nbf` where it stands; 10 s of leeway |
//! | not yet | tokens bound to a key (`cnf`) are refused, since the proof is not checked yet |
//!
//! A token that was verified is remembered until it expires, within a bound (S11), and then costs no signature check.

mod claims;
mod known;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bank_sdk::http::Body;
use bank_sdk::{Principal, Problem};
use bank_stores::{Clock, SystemClock};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Request};
use jsonwebtoken::Validation;

use self::claims::{Claims, key_id};
use self::known::KnownTokens;
use super::keys::{KeySet, VerifyingKey};
use super::session::Sessions;
use super::{Checked, Scheme, authorization, is_authorization};
use crate::problem::invalid_credential;

const MAX_TOKEN: usize = 8 * 1024;

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
    known: Arc<KnownTokens>,
}

impl Jwt {
    /// Verifies by these keys. [`issuer`](Self::issuer) and [`audience`](Self::audience) must be given too.
    #[must_use]
    pub fn new(keys: KeySet) -> Self {
        let (clock, known) = (Arc::new(SystemClock::new()), Arc::new(KnownTokens::new()));
        Self { keys, issuer: None, audience: None, sessions: None, clock, known }
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

    /// Asks for a session (`sid`) that goes on: a token without one, or whose session has ended, is refused.
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
        let now = self.clock.now().seconds();
        if let Some(principal) = self.known.find(token, now) {
            return self.live(principal).await;
        }
        let (claims, key) = self.verify_signature(token).await.ok_or_else(invalid_credential)?;
        let (issuer, audience) = (self.issuer.as_deref(), self.audience.as_deref());
        if !claims.hold(issuer.ok_or_else(invalid_credential)?, audience.ok_or_else(invalid_credential)?, now)
        {
            return Err(invalid_credential());
        }
        let expires = claims.exp;
        let name = URL_SAFE_NO_PAD.encode(&digest(&SHA256, token.as_bytes()).as_ref()[..9]);
        let principal = Arc::new(claims.into_principal(name));
        self.known.keep(token, principal.clone(), &key, expires, now);
        self.live(principal).await
    }

    async fn verify_signature(&self, token: &str) -> Option<(Claims, Arc<VerifyingKey>)> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        for key in self.keys.find(&key_id(token)?).await {
            let mut validation = Validation::new(key.algorithm);
            // Signature and algorithm are jsonwebtoken's to check; the claims, more strictly, ours.
            validation.validate_exp = false;
            validation.validate_aud = false;
            validation.required_spec_claims.clear();
            if let Ok(data) = jsonwebtoken::decode::<Claims>(token, &key.key, &validation) {
                return Some((data.claims, key));
            }
        }
        None
    }

    /// Whether the token's session goes on.
    async fn live(&self, principal: Arc<Principal>) -> Result<Arc<Principal>, Problem> {
        match (&self.sessions, &principal.session) {
            (None, _) => Ok(principal),
            (Some(sessions), Some(id)) if sessions.is_live(id).await? => Ok(principal),
            (Some(_), _) => Err(invalid_credential()),
        }
    }
}

impl Scheme for Jwt {
    fn name(&self) -> &'static str {
        "jwt"
    }

    fn is_presented(&self, request: &Request<Body>) -> bool {
        is_authorization(request.headers(), "bearer")
    }

    fn recall(&self, request: &Request<Body>) -> Option<Arc<Principal>> {
        let token = authorization(request.headers(), "bearer")?;
        let principal = self.known.find(token, self.clock.now().seconds())?;
        match (&self.sessions, &principal.session) {
            (None, _) => Some(principal),
            (Some(sessions), Some(id)) => sessions.known_live(id).then_some(principal),
            (Some(_), None) => None,
        }
    }

    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a> {
        Box::pin(async move {
            let token = authorization(request.headers(), "bearer").ok_or_else(invalid_credential)?;
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

    fn refusal_challenge(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from_static(r#"Bearer error="invalid_token""#))
    }

    fn is_session_live<'a>(&'a self, id: &'a str) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        match &self.sessions {
            Some(sessions) => sessions.is_session_live(id),
            None => Box::pin(std::future::ready(true)),
        }
    }

    fn fault(&self) -> Option<String> {
        match (&self.issuer, &self.audience) {
            (None, _) => Some("the JWT scheme believes any issuer; add .issuer(…)".to_owned()),
            (_, None) => Some("the JWT scheme accepts tokens for anybody; add .audience(…)".to_owned()),
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
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use bank_stores::{ManualClock, Timestamp};
    use jsonwebtoken::jwk::{Jwk, JwkSet};
    use jsonwebtoken::{Algorithm, EncodingKey};
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_900_000_000;

    struct Issuer {
        key: EncodingKey,
        jwk: Jwk,
    }

    impl Issuer {
        fn new(kid: &str) -> Self {
            let der =
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
            let key = EncodingKey::from_ec_der(der.as_ref());
            let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
            jwk.common.key_id = Some(kid.to_owned());
            Self { key, jwk }
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", part(header), part(claims));
            let tag = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, Algorithm::ES256).unwrap();
            format!("{signed}.{tag}")
        }
    }

    fn header() -> Value {
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": "one" })
    }

    fn claims() -> Value {
        json!({ "iss": "https://bank.example", "sub": "cus_1", "aud": "bank", "iat": NOW, "exp": NOW + 600, "scope": "a b" })
    }

    fn with(mut base: Value, name: &str, value: Value) -> Value {
        base[name] = value;
        base
    }

    fn without(mut base: Value, name: &str) -> Value {
        base.as_object_mut().unwrap().remove(name);
        base
    }

    fn scheme(issuer: &Issuer) -> (Jwt, ManualClock) {
        let clock = ManualClock::at(Timestamp::from_seconds(NOW));
        let keys = KeySet::fixed(&JwkSet { keys: vec![issuer.jwk.clone()] }).unwrap();
        let jwt =
            Jwt::new(keys).issuer("https://bank.example").audience("bank").clock(Arc::new(clock.clone()));
        (jwt, clock)
    }

    #[tokio::test]
    async fn a_good_token_gives_its_principal() {
        let issuer = Issuer::new("one");
        let (jwt, _) = scheme(&issuer);
        let principal = jwt.verify(&issuer.sign(&header(), &claims())).await.unwrap();
        assert_eq!((&*principal.subject, principal.scopes.len()), ("cus_1", 2));
        let several = with(claims(), "aud", json!(["other", "bank"]));
        assert!(jwt.verify(&issuer.sign(&header(), &several)).await.is_ok());
    }

    #[tokio::test]
    async fn s9_a_header_that_asks_for_more_or_is_of_another_type_is_refused() {
        let issuer = Issuer::new("one");
        let (jwt, _) = scheme(&issuer);
        let bad = [
            without(header(), "typ"),
            with(header(), "typ", json!("JWT")),
            without(header(), "kid"),
            with(header(), "kid", json!("two")),
            with(header(), "crit", json!(["exp"])),
            with(header(), "jku", json!("https://evil.example")),
            with(header(), "x5u", json!("https://evil.example")),
            with(header(), "jwk", json!({})),
            with(header(), "zip", json!("DEF")),
            with(header(), "b64", json!(false)),
            with(header(), "alg", json!("none")),
            with(header(), "alg", json!("HS256")),
            with(header(), "alg", json!("ES384")),
        ];
        for header in bad {
            assert!(jwt.verify(&issuer.sign(&header, &claims())).await.is_err(), "{header}");
        }
    }

    #[tokio::test]
    async fn s9_a_claim_that_is_missing_or_of_another_type_is_refused() {
        let issuer = Issuer::new("one");
        let (jwt, _) = scheme(&issuer);
        let mut bad: Vec<Value> =
            ["iss", "sub", "aud", "exp", "iat"].map(|name| without(claims(), name)).into();
        bad.extend([
            with(claims(), "iss", json!(["https://bank.example"])),
            with(claims(), "iss", json!("https://other.example")),
            with(claims(), "aud", json!({})),
            with(claims(), "aud", json!("other")),
            with(claims(), "aud", json!([])),
            with(claims(), "exp", json!((NOW + 600).to_string())),
            with(claims(), "exp", json!(NOW - 11)),
            with(claims(), "iat", json!(NOW + 60)),
            with(claims(), "nbf", json!(NOW + 60)),
            with(claims(), "nbf", json!("x")),
            with(claims(), "sub", json!("")),
            with(claims(), "exp", json!(-1)),
            with(claims(), "cnf", json!({ "jkt": "x" })),
        ]);
        for claims in bad {
            assert!(jwt.verify(&issuer.sign(&header(), &claims)).await.is_err(), "{claims}");
        }
    }

    #[tokio::test]
    async fn s9_forged_altered_and_oversized_tokens_are_refused() {
        let (issuer, forger) = (Issuer::new("one"), Issuer::new("one"));
        let (jwt, _) = scheme(&issuer);
        assert!(jwt.verify(&forger.sign(&header(), &claims())).await.is_err());
        let token = issuer.sign(&header(), &claims());
        for bad in [
            format!("{token}="),
            format!("{token}.x"),
            token.replace('.', ""),
            token[..token.len() - 2].to_owned(),
            String::new(),
        ] {
            assert!(jwt.verify(&bad).await.is_err(), "{bad}");
        }
        let large = with(claims(), "scope", json!("x".repeat(9_000)));
        assert!(jwt.verify(&issuer.sign(&header(), &large)).await.is_err());
    }

    #[tokio::test]
    async fn s11_a_remembered_token_ends_with_its_expiry() {
        let issuer = Issuer::new("one");
        let (jwt, clock) = scheme(&issuer);
        let token = issuer.sign(&header(), &claims());
        let request =
            Request::get("/").header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
        assert!(jwt.recall(&request).is_none());
        jwt.verify(&token).await.unwrap();
        assert!(jwt.recall(&request).is_some());
        clock.set(Timestamp::from_seconds(NOW + 611));
        assert!(jwt.recall(&request).is_none() && jwt.verify(&token).await.is_err());
    }
}
