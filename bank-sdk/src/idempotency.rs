//! Idempotency keys and the one fingerprint of what a key stands for
//! (draft-ietf-httpapi-idempotency-key-header, and `docs/errors.md`).

use std::fmt;

use aws_lc_rs::{digest, hmac};
use serde::{Deserialize, Serialize};

use crate::Problem;

/// A caller's key: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Reads the header's value: a structured-field string, `"key"`, or a bare token.
    ///
    /// # Errors
    /// A problem that says which form is expected.
    pub fn parse(value: &str) -> Result<Self, Problem> {
        let value = value.trim();
        let inner = match value.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').filter(|inner| !inner.contains(['"', '\\'])),
            None => Some(value).filter(|bare| !bare.contains([' ', '"', ',', ';', '\\'])),
        };
        inner.and_then(|inner| Self::try_from(inner.to_owned()).ok()).ok_or_else(|| {
            Problem::bad_request(
                "`Idempotency-Key` must be a quoted string of 1 to 128 visible ASCII characters",
            )
            .with_code("invalid_idempotency_key")
        })
    }

    /// The key, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An id that only this key, this principal and this operation give: repeating the call names the same effect, even
    /// when everything else about the key has been forgotten. 160 bits of HMAC-SHA256 as 32 characters.
    #[must_use]
    pub fn derive_id(
        &self,
        secret: &DerivationKey,
        prefix: &str,
        principal: &str,
        operation: &str,
    ) -> String {
        let mut context = hmac::Context::with_key(&secret.0);
        for part in [prefix, principal, operation, &self.0] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut id = prefix.to_owned();
        base32(&context.sign().as_ref()[..20], &mut id);
        id
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = (1..=128).contains(&text.len())
            && text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\');
        if fits { Ok(Self(text)) } else { Err("must have 1 to 128 visible ASCII characters") }
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The secret from which a service derives ids; it must outlive every key.
#[derive(Clone)]
pub struct DerivationKey(hmac::Key);

impl DerivationKey {
    /// From at least 32 secret bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl fmt::Debug for DerivationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivationKey(…)")
    }
}

/// What a key stands for: method, path, principal and content. Another content under the same key is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The fingerprint of a request. `content` is compared as the service understood it: it is serialized again, so that
    /// white space and the order of fields make no difference.
    #[must_use]
    pub fn of(operation: &str, path: &str, principal: &str, content: &impl Serialize) -> Self {
        let content = serde_json::to_vec(content).unwrap_or_default();
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [operation.as_bytes(), path.as_bytes(), principal.as_bytes(), &content] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut short = [0; 16];
        short.copy_from_slice(&context.finish().as_ref()[..16]);
        Self(short)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        base32(&self.0, &mut text);
        f.write_str(&text)
    }
}

/// Crockford's base 32 in lower case.
fn base32(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let (mut buffer, mut bits) = (0_u32, 0);
    for &byte in bytes {
        buffer = (buffer << 8 | u32::from(byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(DIGITS[(buffer >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        out.push(char::from(DIGITS[(buffer << (5 - bits) & 31) as usize]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_quoted_string_or_a_bare_token() {
        assert_eq!(IdempotencyKey::parse(r#""8e03-a b""#).unwrap().as_str(), "8e03-a b");
        assert_eq!(IdempotencyKey::parse("8e03").unwrap().as_str(), "8e03");
        for bad in ["", "\"\"", "\"a", "a b", "a\"b\"", "\"a\\\"b\"", &"x".repeat(129), "ü"] {
            assert!(IdempotencyKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn derived_ids_differ_by_principal_operation_key_and_secret() {
        let key = |text| IdempotencyKey::parse(text).unwrap();
        let (one, two) = (DerivationKey::new(&[1; 32]), DerivationKey::new(&[2; 32]));
        let ids = [
            key("k").derive_id(&one, "trf_", "alice", "POST /v1/transfers"),
            key("k").derive_id(&one, "trf_", "bob", "POST /v1/transfers"),
            key("k").derive_id(&one, "trf_", "alice", "POST /v1/deposits"),
            key("l").derive_id(&one, "trf_", "alice", "POST /v1/transfers"),
            key("k").derive_id(&two, "trf_", "alice", "POST /v1/transfers"),
        ];
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 5);
        assert_eq!(ids[0], key("k").derive_id(&one, "trf_", "alice", "POST /v1/transfers"));
        assert_eq!(ids[0].len(), 4 + 32);
    }

    #[test]
    fn a_fingerprint_sees_content_not_its_spelling() {
        let of = |text: &str| {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            Fingerprint::of("POST /v1/x", "/v1/x", "alice", &value)
        };
        assert_eq!(of(r#"{"a":1,"b":2}"#), of(r#"{ "b":2, "a":1 }"#));
        assert_ne!(of(r#"{"a":1,"b":2}"#), of(r#"{"a":1,"b":3}"#));
    }
}
