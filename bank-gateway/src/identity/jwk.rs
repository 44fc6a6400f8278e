//! One key of a set (RFC 7517), read so that it can be used for one thing only: verifying signatures of its own kind.
//!
//! | Key | Algorithms, where it states none in `alg` |
//! | --- | --- |
//! | RSA, 2,048 to 8,192 bits, odd exponent from 3 | RS256 and PS256 |
//! | EC P-256 | ES256 |
//! | EC P-384 | ES384 |
//! | OKP Ed25519 | EdDSA |
//!
//! A key that states an `alg` is for that one alone; RS384, RS512, PS384 and PS512 have to be stated. Whatever else stands in
//! a set (symmetric and private keys, keys for encryption, other curves, keys without `kid`) is not used, and does not keep the
//! others from being used.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

/// One key, and the algorithms that it may verify.
pub(crate) struct VerifyingKey {
    pub(crate) algorithms: &'static [Algorithm],
    pub(crate) key: DecodingKey,
    /// As it stood in the set.
    pub(super) jwk: Value,
}

/// Members that only private and symmetric keys have.
const SECRET: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

impl VerifyingKey {
    /// Reads a key and its id.
    ///
    /// # Errors
    /// Why it is not used.
    pub(super) fn read(jwk: &Value) -> Result<(String, Self), String> {
        let object = jwk.as_object().ok_or("something that is no key")?;
        let id = text(object, "kid")?.filter(|id| !id.is_empty()).ok_or("a key without `kid`")?;
        let why = |what: String| format!("key `{}`: {what}", shown(id));
        Self::usable(object)
            .map(|(algorithms, key)| (id.to_owned(), Self { algorithms, key, jwk: jwk.clone() }))
            .map_err(why)
    }

    fn usable(jwk: &Map<String, Value>) -> Result<(&'static [Algorithm], DecodingKey), String> {
        if let Some(secret) = SECRET.iter().find(|name| jwk.contains_key(**name)) {
            return Err(format!(
                "has the secret member `{secret}`; a set for verifying holds public keys only"
            ));
        }
        if text(jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
            return Err("is not for signatures (`use`)".to_owned());
        }
        match jwk.get("key_ops") {
            None => {}
            Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => {}
            Some(_) => return Err("is not for verifying (`key_ops`)".to_owned()),
        }
        let stated = text(jwk, "alg")?;
        let (algorithms, key) = match (text(jwk, "kty")?, text(jwk, "crv")?) {
            (Some("RSA"), _) => (rsa_algorithms(stated), rsa(jwk)?),
            (Some("EC"), Some("P-256")) => (one(&[Algorithm::ES256], "ES256", stated), ec(jwk, 32)?),
            (Some("EC"), Some("P-384")) => (one(&[Algorithm::ES384], "ES384", stated), ec(jwk, 48)?),
            // RFC 9864 names it by its curve.
            (Some("OKP"), Some("Ed25519")) => {
                let stated = stated.filter(|stated| *stated != "Ed25519");
                (one(&[Algorithm::EdDSA], "EdDSA", stated), ed25519(jwk)?)
            }
            _ => return Err("is of no accepted kind; accepted are RSA, P-256, P-384 and Ed25519".to_owned()),
        };
        let algorithms = algorithms.ok_or_else(|| {
            format!("states the algorithm `{}`, which is not for its kind", shown(stated.unwrap_or_default()))
        })?;
        Ok((algorithms, key))
    }
}

fn one(only: &'static [Algorithm], name: &str, stated: Option<&str>) -> Option<&'static [Algorithm]> {
    stated.is_none_or(|stated| stated == name).then_some(only)
}

fn rsa_algorithms(stated: Option<&str>) -> Option<&'static [Algorithm]> {
    Some(match stated {
        None => &[Algorithm::RS256, Algorithm::PS256],
        Some("RS256") => &[Algorithm::RS256],
        Some("RS384") => &[Algorithm::RS384],
        Some("RS512") => &[Algorithm::RS512],
        Some("PS256") => &[Algorithm::PS256],
        Some("PS384") => &[Algorithm::PS384],
        Some("PS512") => &[Algorithm::PS512],
        Some(_) => return None,
    })
}

fn rsa(jwk: &Map<String, Value>) -> Result<DecodingKey, String> {
    let (modulus, exponent) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
    let modulus = without_leading_zeros(&modulus);
    let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
    if !(2_048..=8_192).contains(&bits) {
        return Err(format!("has {bits} bits; accepted are 2,048 to 8,192"));
    }
    let exponent = without_leading_zeros(&exponent);
    let is_sound = match exponent {
        [] => false,
        [one] => *one >= 3 && one % 2 == 1,
        [.., last] => exponent.len() <= 4 && last % 2 == 1,
    };
    if !is_sound {
        return Err("has an exponent that is not odd, or is 1, or has more than 32 bits".to_owned());
    }
    Ok(DecodingKey::from_rsa_raw_components(modulus, exponent))
}

fn ec(jwk: &Map<String, Value>, size: usize) -> Result<DecodingKey, String> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != size || y.len() != size {
        return Err(format!("has coordinates that are not of {size} bytes"));
    }
    let mut point = vec![4];
    point.extend_from_slice(&x);
    point.extend_from_slice(&y);
    // A point that is not on the curve would be found out with each token only.
    let algorithm = if size == 32 { &ECDSA_P256_SHA256_FIXED } else { &ECDSA_P384_SHA384_FIXED };
    ParsedPublicKey::new(algorithm, &point).map_err(|_| "is not a point of its curve".to_owned())?;
    Ok(DecodingKey::from_ec_der(&point))
}

fn ed25519(jwk: &Map<String, Value>) -> Result<DecodingKey, String> {
    let x = bytes(jwk, "x")?;
    if x.len() != 32 {
        return Err("is not of 32 bytes".to_owned());
    }
    ParsedPublicKey::new(&ED25519, &x).map_err(|_| "is not a point of its curve".to_owned())?;
    Ok(DecodingKey::from_ed_der(&x))
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("has a member `{name}` that is no text")),
    }
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    let encoded = text(jwk, name)?.ok_or_else(|| format!("has no `{name}`"))?;
    URL_SAFE_NO_PAD.decode(encoded).map_err(|_| format!("has a member `{name}` that is no base64url"))
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// A foreign text for a log line.
fn shown(text: &str) -> String {
    text.chars().take(64).filter(|c| c.is_ascii_graphic()).collect()
}

#[cfg(test)]
impl VerifyingKey {
    /// A key for tests of what is kept beside it.
    pub(crate) const fn test(key: DecodingKey) -> Self {
        Self { algorithms: &[], key, jwk: Value::Null }
    }
}
