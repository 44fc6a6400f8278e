//! Public keys by which tokens are verified (RFC 7517), and where they come from.
//!
//! A key that cannot be used, whatever is wrong with it, does not keep the others of its set from being used
//! (RFC 7517 §5). What is accepted stands in the table of [`KeySet`].

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use serde_json::Value;

pub(crate) use super::jwk::VerifyingKey;
use super::strict_json;
use crate::watched::{self, Files, Schedule, Watched};

/// A set is at most so long.
const MAX_KEYS: usize = 1_000;

/// A set of keys. Clones share it.
///
/// | Key | Verifies, where it states no `alg` |
/// | --- | --- |
/// | RSA from 2,048 bits | RS256 and PS256 |
/// | EC P-256, P-384 | ES256, ES384 |
/// | OKP Ed25519 | EdDSA |
///
/// A key that states an `alg` verifies that one alone. Not used are keys without `kid`, with a `use` other than `sig`, with
/// `key_ops` that lack `verify`, and symmetric or private ones; each is named in the log once.
#[derive(Clone)]
pub struct KeySet {
    watched: Watched<Keys>,
}

/// How a key set stands: for an admin page, or a ready check.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeySetStatus {
    /// The ids of the keys that are believed, in their order.
    pub ids: Vec<String>,
    /// Which keys of the set are not used, and why.
    pub ignored: Vec<String>,
    /// How long ago the source was looked at; zero for a fixed set.
    pub checked: Duration,
    /// How long the set has been the same.
    pub unchanged: Duration,
    /// Why the source could not be read when it was last looked at.
    pub error: Option<String>,
}

/// The keys of a set, by id. Two keys may have one.
#[derive(Default)]
struct Keys {
    by_id: HashMap<String, Vec<Arc<VerifyingKey>>>,
    ignored: Vec<String>,
}

impl KeySet {
    /// These keys, for ever.
    ///
    /// # Errors
    /// No key of the set can be used.
    pub fn fixed(keys: &JwkSet) -> Result<Self, KeyError> {
        let value = serde_json::to_value(keys).map_err(|error| KeyError(error.to_string()))?;
        Ok(Self { watched: Watched::fixed(Keys::first(&value)?) })
    }

    /// The keys in the text of a JWK set, for ever.
    ///
    /// # Errors
    /// It is no JWK set, or no key of it can be used.
    pub fn json(text: &str) -> Result<Self, KeyError> {
        Ok(Self { watched: Watched::fixed(Keys::first(&parse(text.as_bytes()).map_err(KeyError)?)?) })
    }

    /// The keys in a file that holds a JWK set.
    ///
    /// While tokens come, the file is read once a second, off the async threads and without anybody waiting for it; after a
    /// quiet time it is read before the next token is believed. So a key that is taken out of the file is believed for no
    /// more than three seconds, tokens that were verified by it before included. A token that names an unknown key has the
    /// file read at once, at most once a second. A file that cannot be read, or holds no JWK set, leaves the keys as they are;
    /// [`status`](Self::status) tells. A set in which no key can be used is put in force all the same, and so is a file that
    /// is found without a byte twice in a row: no token is believed then.
    ///
    /// # Errors
    /// The file cannot be read, holds no JWK set, or no key of it can be used.
    pub fn file(path: impl Into<PathBuf>) -> Result<Self, KeyError> {
        let path = path.into();
        let paths = vec![path.clone()];
        let bytes = watched::read(&paths).map_err(|error| KeyError(error.to_string()))?;
        let named = |error: String| KeyError(format!("{}: {error}", path.display()));
        let keys = Keys::first(&parse(&bytes[0]).map_err(named)?).map_err(|error| named(error.0))?;
        // Empty at the last look: whoever writes it anew may have been about to.
        let was_blank = AtomicBool::new(false);
        let source = Files::new(paths, bytes, move |bytes, current| changed(&bytes[0], &was_blank, current));
        Ok(Self { watched: Watched::new(path.display().to_string(), keys, source, Schedule::default()) })
    }

    /// How the set stands.
    #[must_use]
    pub fn status(&self) -> KeySetStatus {
        let (keys, watch) = (self.watched.peek(), self.watched.status());
        let mut ids: Vec<String> = keys.by_id.keys().cloned().collect();
        ids.sort_unstable();
        KeySetStatus {
            ids,
            ignored: keys.ignored.clone(),
            checked: watch.checked,
            unchanged: watch.unchanged,
            error: watch.error,
        }
    }

    /// Whether what was verified by these keys may be believed without a wait.
    pub(crate) fn is_current(&self) -> bool {
        self.watched.is_current()
    }

    /// Waits until what was verified by these keys may be believed.
    pub(crate) async fn refresh(&self) {
        if !self.watched.is_current() {
            self.watched.current().await;
        }
    }

    /// The keys of an id; the source is asked where there is none.
    pub(crate) async fn find(&self, id: &str) -> Vec<Arc<VerifyingKey>> {
        if let Some(keys) = self.watched.current().await.by_id.get(id) {
            return keys.clone();
        }
        self.watched.ask_again().await.by_id.get(id).cloned().unwrap_or_default()
    }
}

impl Keys {
    fn first(set: &Value) -> Result<Self, KeyError> {
        let keys = Self::read(set, &Self::default()).map_err(KeyError)?;
        if keys.by_id.is_empty() {
            let why =
                if keys.ignored.is_empty() { "it is empty".to_owned() } else { keys.ignored.join("; ") };
            return Err(KeyError(format!("no key of the set can be used: {why}")));
        }
        keys.log_ignored();
        Ok(keys)
    }

    /// Reads a set. Keys that were there `before` stay the same ones, with all that was verified by them.
    fn read(set: &Value, before: &Self) -> Result<Self, String> {
        let set =
            set.get("keys").and_then(Value::as_array).ok_or("it is no JWK set: it has no list `keys`")?;
        if set.len() > MAX_KEYS {
            return Err(format!("it has more than {MAX_KEYS} keys"));
        }
        let mut keys = Self::default();
        for jwk in set {
            match VerifyingKey::read(jwk) {
                Ok((id, key)) => {
                    let same =
                        before.by_id.get(&id).and_then(|keys| keys.iter().find(|old| old.jwk == key.jwk));
                    let key = same.cloned().unwrap_or_else(|| Arc::new(key));
                    keys.by_id.entry(id).or_default().push(key);
                }
                Err(why) => keys.ignored.push(why),
            }
        }
        Ok(keys)
    }

    fn log_ignored(&self) {
        for why in &self.ignored {
            tracing::warn!(%why, "a key of the set is not used");
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Value, String> {
    strict_json::parse(bytes).ok_or_else(|| "it is no JSON, or has two members of one name".to_owned())
}

fn changed(bytes: &[u8], was_blank: &AtomicBool, current: &Keys) -> Result<Option<Keys>, String> {
    let is_blank = bytes.trim_ascii().is_empty();
    let keys = match was_blank.swap(is_blank, Ordering::AcqRel) {
        // Emptied, and not just being written: nobody is to be believed.
        true if is_blank => Keys::default(),
        _ if is_blank => return Err("the file is empty".to_owned()),
        _ => Keys::read(&parse(bytes)?, current)?,
    };
    if keys.ignored != current.ignored {
        keys.log_ignored();
    }
    if keys.by_id.is_empty() {
        tracing::error!("the set has no usable key any more: no token is believed");
    }
    Ok(Some(keys))
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.watched.peek().by_id.keys()).finish()
    }
}

/// Why a key set cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A public key of P-256, from RFC 7515 appendix A.3.
    fn p256(kid: &str) -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "kid": kid,
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
        })
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    fn rsa(bits: usize, exponent: &str) -> Value {
        use base64::Engine as _;
        let mut modulus = vec![0xff; bits / 8];
        modulus[0] = 0x80;
        let modulus = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(modulus);
        json!({ "kty": "RSA", "kid": "rsa", "n": modulus, "e": exponent })
    }

    fn read(keys: Vec<Value>) -> Keys {
        Keys::read(&json!({ "keys": keys }), &Keys::default()).unwrap()
    }

    #[test]
    fn s38_a_key_that_cannot_be_used_does_not_fault_the_others() {
        let unusable = [
            json!({ "kty": "oct", "kid": "a", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0" }),
            json!({ "kty": "EC", "crv": "secp256k1", "kid": "a", "x": "AA", "y": "AA" }),
            json!({ "kty": "EC", "crv": "Ed25519", "kid": "a", "x": "AA", "y": "AA" }),
            json!({ "kty": "new", "kid": "a" }),
            json!("no key"),
            json!({}),
            json!({ "kty": 1, "kid": "a" }),
            with(p256("a"), "kid", json!(7)),
            with(p256("a"), "kid", json!("")),
            with(p256("a"), "use", json!("enc")),
            with(p256("a"), "use", json!("other")),
            with(p256("a"), "use", Value::Null),
            with(p256("a"), "key_ops", json!(["sign"])),
            with(p256("a"), "key_ops", json!("verify")),
            with(p256("a"), "alg", json!("ES384")),
            with(p256("a"), "alg", json!("HS256")),
            with(p256("a"), "alg", json!("none")),
            with(p256("a"), "d", json!("AAAA")),
            with(p256("a"), "x", json!("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEV")),
            with(p256("a"), "y", json!("AA")),
            rsa(1_024, "AQAB"),
            rsa(2_040, "AQAB"),
            rsa(16_384, "AQAB"),
            rsa(2_048, "AQ"),
            rsa(2_048, "AQAA"),
            rsa(2_048, ""),
            with(rsa(2_048, "AQAB"), "alg", json!("RSA-OAEP")),
            with(rsa(2_048, "AQAB"), "alg", json!("ES256")),
            with(rsa(2_048, "AQAB"), "p", json!("AA")),
        ];
        for key in &unusable {
            let keys = read(vec![key.clone(), p256("good")]);
            assert_eq!(keys.by_id.keys().collect::<Vec<_>>(), ["good"], "{key}");
            assert_eq!(keys.ignored.len(), 1);
        }
        let all = json!({ "keys": unusable.to_vec() }).to_string();
        assert!(KeySet::json(&all).unwrap_err().to_string().contains("no key of the set can be used"));
        assert!(KeySet::json(r#"{"keys":[]}"#).is_err() && KeySet::json("[]").is_err());
    }

    #[test]
    fn s9_the_key_decides_the_algorithm() {
        use jsonwebtoken::Algorithm::{ES256, PS256, PS512, RS256};
        let of = |key: Value| {
            let keys = read(vec![key]);
            keys.by_id.into_values().next().unwrap()[0].algorithms
        };
        assert_eq!(of(p256("a")), [ES256]);
        assert_eq!(of(with(p256("a"), "key_ops", json!(["sign", "verify"]))), [ES256]);
        assert_eq!(of(rsa(2_048, "AQAB")), [RS256, PS256]);
        assert_eq!(of(with(rsa(2_048, "AQAB"), "alg", json!("RS256"))), [RS256]);
        assert_eq!(of(with(rsa(2_048, "Aw"), "alg", json!("PS512"))), [PS512]);
    }

    #[test]
    fn a_key_that_stays_in_the_set_stays_the_same_one() {
        let before = read(vec![p256("a"), p256("b")]);
        let after = Keys::read(&json!({ "keys": [p256("b"), rsa(2_048, "AQAB")] }), &before).unwrap();
        assert!(Arc::ptr_eq(&before.by_id["b"][0], &after.by_id["b"][0]));
        assert!(!after.by_id.contains_key("a"));
    }
}
