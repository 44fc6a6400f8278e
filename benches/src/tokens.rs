//! Access tokens like the bank's own: ES256, with the claims that a session's token has.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use bank_stores::{Clock as _, SystemClock, random};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};

use crate::Failure;

/// Who makes the tokens.
pub const ISSUER: &str = "https://bank.example";
/// Whom they are for.
pub const AUDIENCE: &str = "bank";
/// What they may be used for, among other things.
pub const SCOPE: &str = "accounts:read";

const KEY_ID: &str = "bench";

/// Signs tokens with a key of its own.
#[derive(Debug)]
pub struct Issuer {
    key: EncodingKey,
    keys: JwkSet,
    public: Vec<u8>,
}

impl Issuer {
    /// An issuer with a new key.
    ///
    /// # Errors
    /// A key that cannot be made.
    pub fn new() -> Result<Self, Failure> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref())?;
        let key = EncodingKey::from_ec_der(document.as_ref());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        jwk.common.key_id = Some(KEY_ID.to_owned());
        Ok(Self { key, keys: JwkSet { keys: vec![jwk] }, public: pair.public_key().as_ref().to_vec() })
    }

    /// The keys by which its tokens are verified.
    #[must_use]
    pub const fn keys(&self) -> &JwkSet {
        &self.keys
    }

    /// The public key as a point, uncompressed.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// A token that holds for a day and was never seen before.
    ///
    /// # Errors
    /// A signature that cannot be made.
    pub fn token(&self, subject: &str) -> Result<String, Failure> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(KEY_ID.to_owned());
        let now = SystemClock::new().now().seconds();
        let source = bank_stores::SystemRandom::new();
        let claims = serde_json::json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": now,
            "exp": now + 86_400,
            "jti": random::id(&source, "tok_"),
            "sid": random::id(&source, "ses_"),
            "scope": format!("{SCOPE} accounts:write transfers:read transfers:write notifications:read profile"),
            "roles": [],
            "auth_time": now,
            "amr": ["pwd"],
            "client_id": "bank-web",
        });
        Ok(jsonwebtoken::encode(&header, &claims, &self.key)?)
    }
}
