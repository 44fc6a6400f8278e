//! The identity of one request, as the gateway tells it to a service.
//!
//! Between processes it is a JSON Web Signature (RFC 7515, compact, HS256) in the `bank-identity` field, with a key for
//! each service, for one audience, one operation and one request, at most 60 seconds old. In one process it is a typed
//! request extension which carries a secret that only the gateway was handed, so that nobody else can make one.

mod statement;
mod verify;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use bank_stores::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::Principal;
use crate::http::RequestId;
use statement::Encoded;
pub use statement::Statement;
pub use verify::{IdentityVerifier, Verified, VerifyIdentity};

/// How long an identity token may be used.
pub const MAX_LIFETIME: Duration = Duration::from_secs(60);
/// Clocks of two machines may differ by this much.
const SKEW: Duration = Duration::from_secs(5);

/// What the maker of an identity token states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Identity {
    /// Who made it: the gateway, or a service that calls the gateway.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// The one service that may believe it.
    #[serde(rename = "aud")]
    pub audience: String,
    /// The one operation, for example `POST /v1/transfers`.
    #[serde(rename = "op")]
    pub operation: String,
    /// The one request.
    #[serde(rename = "rid")]
    pub request_id: String,
    /// Seconds since the epoch.
    #[serde(rename = "iat")]
    pub issued_at: i64,
    /// Seconds since the epoch, at most 60 later.
    #[serde(rename = "exp")]
    pub expires_at: i64,
    /// Who the request acts for; nobody on a public operation.
    #[serde(default, rename = "prn", skip_serializing_if = "Option::is_none")]
    pub principal: Option<Arc<Principal>>,
}

impl Identity {
    /// An identity that holds from `now` for its full lifetime.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        operation: impl Into<String>,
        request_id: impl Into<String>,
        now: Timestamp,
    ) -> Self {
        let issued_at = now.seconds();
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            operation: operation.into(),
            request_id: request_id.into(),
            issued_at,
            expires_at: issued_at + 60,
            principal: None,
        }
    }

    /// Acts for this principal.
    #[must_use]
    pub fn for_principal(mut self, principal: impl Into<Option<Arc<Principal>>>) -> Self {
        self.principal = principal.into();
        self
    }

    /// The request's id, where it can be one. A request that nobody gave an id has the [default](RequestId::default).
    #[must_use]
    pub fn request(&self) -> Option<RequestId> {
        if self.request_id.is_empty() { Some(RequestId::default()) } else { RequestId::new(&self.request_id) }
    }

    /// Whether this issuer made it.
    ///
    /// # Errors
    /// [`IdentityError::Issuer`].
    pub fn check_issuer(&self, issuer: &str) -> Result<(), IdentityError> {
        if self.issuer == issuer { Ok(()) } else { Err(IdentityError::Issuer) }
    }

    /// Whether this identity is for that audience and operation, and holds now.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self, audience: &str, operation: &str, now: Timestamp) -> Result<(), IdentityError> {
        let (now, skew) = (now.seconds(), SKEW.as_secs() as i64);
        if self.audience != audience {
            return Err(IdentityError::Audience);
        }
        if self.operation != operation {
            return Err(IdentityError::Operation);
        }
        let lifetime = self.expires_at.saturating_sub(self.issued_at);
        if lifetime > MAX_LIFETIME.as_secs() as i64
            || now >= self.expires_at.saturating_add(skew)
            || self.issued_at > now.saturating_add(skew)
        {
            return Err(IdentityError::Expired);
        }
        Ok(())
    }
}

/// Why an identity is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// There is none.
    #[error("the request carries no identity")]
    Missing,
    /// Not of the form, of an unknown key, or with a wrong signature.
    #[error("the identity was not made by the gateway")]
    Forged,
    /// Made by another than the gateway.
    #[error("the identity is of another issuer")]
    Issuer,
    /// Made for another service.
    #[error("the identity is for another service")]
    Audience,
    /// Made for another operation.
    #[error("the identity is for another operation")]
    Operation,
    /// Too old, too new, or made to last too long.
    #[error("the identity has expired")]
    Expired,
}

/// The shared secrets of the gateway and one service: the first signs, all verify, so that a key can be replaced with
/// an overlap.
#[derive(Clone)]
pub struct IdentityKeys {
    keys: Arc<[Key]>,
    encoded: Arc<Encoded>,
}

struct Key {
    id: String,
    /// The whole encoded header and its dot: equality with it is the check of `alg`, `typ` and `kid`.
    header: String,
    mac: hmac::Key,
}

impl IdentityKeys {
    /// Keys as `(id, secret)`, the signing one first.
    ///
    /// # Errors
    /// Where there is none, an id is not visible ASCII without quotes, or a secret is shorter than 32 bytes.
    pub fn new<I, S>(keys: impl IntoIterator<Item = (I, S)>) -> Result<Self, InvalidKeys>
    where
        I: Into<String>,
        S: AsRef<[u8]>,
    {
        let keys: Vec<Key> = keys
            .into_iter()
            .map(|(id, secret)| {
                let id = id.into();
                if id.is_empty() || !id.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\') {
                    return Err(InvalidKeys("a key's id must be visible ASCII without quotes"));
                }
                if secret.as_ref().len() < 32 {
                    return Err(InvalidKeys("a key must have at least 32 bytes"));
                }
                let json = format!(r#"{{"alg":"HS256","kid":"{id}","typ":"bank-identity+jwt"}}"#);
                let header = format!("{}.", URL_SAFE_NO_PAD.encode(json));
                Ok(Key { id, header, mac: hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref()) })
            })
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(InvalidKeys("at least one key is needed"));
        }
        Ok(Self { keys: keys.into(), encoded: Arc::new(Encoded::new()) })
    }

    /// The token for an identity.
    #[must_use]
    pub fn sign(&self, identity: &Identity) -> String {
        let payload = serde_json::to_vec(identity).unwrap_or_default();
        let mut token = String::with_capacity(payload.len() * 4 / 3 + 128);
        self.signed(&mut token, |token| URL_SAFE_NO_PAD.encode_string(payload, token));
        token
    }

    /// The token for one request of an operation: what [`sign`](Self::sign) gives for the same identity, for less.
    #[must_use]
    pub fn state(
        &self,
        statement: &Statement,
        request_id: &str,
        now: Timestamp,
        principal: Option<&Arc<Principal>>,
    ) -> String {
        let mut token = String::with_capacity(768);
        self.write_state(&mut token, statement, request_id, now, principal);
        token
    }

    /// Writes the same token into an empty text, whose memory may so be used again.
    pub fn write_state(
        &self,
        token: &mut String,
        statement: &Statement,
        request_id: &str,
        now: Timestamp,
        principal: Option<&Arc<Principal>>,
    ) {
        let who = principal.map(|principal| self.encoded.of(principal));
        self.signed(token, |token| statement::payload(token, statement, request_id, now, who.as_deref()));
    }

    fn signed(&self, token: &mut String, payload: impl FnOnce(&mut String)) {
        let key = &self.keys[0];
        token.push_str(&key.header);
        payload(token);
        let tag = hmac::sign(&key.mac, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(tag, token);
    }

    /// The identity in a token whose signature holds. Audience, operation and time are for [`Identity::check`].
    ///
    /// # Errors
    /// [`IdentityError::Forged`].
    pub fn verify(&self, token: &str) -> Result<Identity, IdentityError> {
        let forged = IdentityError::Forged;
        let key = self.keys.iter().find(|key| token.starts_with(&key.header)).ok_or(forged)?;
        let (signed, tag) = token.rsplit_once('.').ok_or(forged)?;
        let payload = signed.get(key.header.len()..).ok_or(forged)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| forged)?;
        hmac::verify(&key.mac, signed.as_bytes(), &tag).map_err(|_| forged)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| forged)?;
        serde_json::from_slice(&payload).map_err(|_| forged)
    }
}

impl fmt::Debug for IdentityKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

/// Why keys cannot be used.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidKeys(&'static str);

/// The right to state an identity to one service in the same process. Whoever mounts the service is handed it.
#[derive(Clone)]
pub struct LocalKey(Arc<()>);

impl LocalKey {
    pub(crate) fn new() -> Self {
        Self(Arc::new(()))
    }

    /// The request extension by which the service knows who calls.
    #[must_use]
    pub fn state(&self, identity: Identity) -> LocalIdentity {
        LocalIdentity { key: self.clone(), identity }
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalKey")
    }
}

/// An identity stated in process.
#[derive(Clone, Debug)]
pub struct LocalIdentity {
    key: LocalKey,
    identity: Identity,
}

impl LocalIdentity {
    pub(crate) fn open(self, key: &LocalKey) -> Result<Identity, IdentityError> {
        if Arc::ptr_eq(&self.key.0, &key.0) { Ok(self.identity) } else { Err(IdentityError::Forged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(id: &str, byte: u8) -> IdentityKeys {
        IdentityKeys::new([(id, [byte; 32])]).unwrap()
    }

    fn identity() -> Identity {
        Identity::new("gateway", "accounts", "GET /v1/accounts", "req_1", Timestamp::from_seconds(1_000))
            .for_principal(Arc::new(Principal::customer("cus_1").with_actor("transactions")))
    }

    #[test]
    fn a_signed_identity_is_read_back_whole() {
        let keys = keys("a1", 7);
        assert_eq!(keys.verify(&keys.sign(&identity())), Ok(identity()));
    }

    #[test]
    fn s18_any_changed_byte_and_any_other_key_is_refused() {
        let keys = keys("a1", 7);
        let token = keys.sign(&identity());
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_ne!(keys.verify(&String::from_utf8(bytes).unwrap()), Ok(identity()), "byte {at}");
        }
        assert_eq!(super::tests::keys("a1", 8).verify(&token), Err(IdentityError::Forged));
        assert_eq!(super::tests::keys("a2", 7).verify(&token), Err(IdentityError::Forged));
    }

    #[test]
    fn s18_an_identity_is_for_one_audience_one_operation_and_a_minute() {
        let at = Timestamp::from_seconds;
        let check = |aud, op, now| identity().check(aud, op, at(now));
        assert_eq!(check("accounts", "GET /v1/accounts", 1_030), Ok(()));
        assert_eq!(check("identity", "GET /v1/accounts", 1_030), Err(IdentityError::Audience));
        assert_eq!(check("accounts", "POST /v1/accounts", 1_030), Err(IdentityError::Operation));
        assert_eq!(check("accounts", "GET /v1/accounts", 1_066), Err(IdentityError::Expired));
        assert_eq!(check("accounts", "GET /v1/accounts", 990), Err(IdentityError::Expired));
        let mut long = identity();
        long.expires_at += 1;
        assert_eq!(long.check("accounts", "GET /v1/accounts", at(1_000)), Err(IdentityError::Expired));
    }

    #[test]
    fn keys_rotate_with_an_overlap() {
        let old = keys("a1", 7);
        let both = IdentityKeys::new([("a2", [9; 32]), ("a1", [7; 32])]).unwrap();
        assert_eq!(both.verify(&old.sign(&identity())), Ok(identity()));
        assert_eq!(keys("a2", 9).verify(&both.sign(&identity())), Ok(identity()));
    }

    #[test]
    fn only_the_holder_of_the_service_s_key_states_an_identity_in_process() {
        let (ours, theirs) = (LocalKey::new(), LocalKey::new());
        assert_eq!(ours.state(identity()).open(&ours), Ok(identity()));
        assert_eq!(theirs.state(identity()).open(&ours), Err(IdentityError::Forged));
    }
}
