//! Public keys by which tokens are verified (RFC 7517), and where they come from.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// After a key was looked for in vain the source is not asked again for so long.
const COOL_DOWN: Duration = Duration::from_secs(1);

/// A set of keys. Clones share it.
#[derive(Clone)]
pub struct KeySet {
    shared: Arc<Shared>,
}

struct Shared {
    keys: ArcSwap<Keys>,
    file: Option<PathBuf>,
    asked: Mutex<Asked>,
}

/// When the source was last asked, and what it said.
#[derive(Default)]
struct Asked {
    at: Option<Instant>,
    bytes: Vec<u8>,
}

type Keys = HashMap<String, Vec<Arc<VerifyingKey>>>;

/// One key and the one algorithm that it is for.
pub(crate) struct VerifyingKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

impl KeySet {
    /// These keys.
    ///
    /// # Errors
    /// A key that has no id, is of a kind that is not accepted, or cannot be read.
    pub fn fixed(keys: &JwkSet) -> Result<Self, KeyError> {
        Ok(Self::build(read(keys)?, None))
    }

    /// The keys in a file that holds a JWK set. The file is read again when a token names a key that is not known, at most
    /// once a second; a file that cannot be read then leaves the keys as they are.
    ///
    /// # Errors
    /// As [`KeySet::fixed`], or where the file cannot be read.
    pub fn file(path: impl Into<PathBuf>) -> Result<Self, KeyError> {
        let path = path.into();
        let keys = read_file(&path)?;
        Ok(Self::build(keys, Some(path)))
    }

    fn build(keys: Keys, file: Option<PathBuf>) -> Self {
        let shared = Shared { keys: ArcSwap::from_pointee(keys), file, asked: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// The keys of an id; asks the source where there is none.
    pub(crate) async fn find(&self, id: &str) -> Vec<Arc<VerifyingKey>> {
        if let Some(keys) = self.shared.keys.load().get(id) {
            return keys.clone();
        }
        self.refresh().await;
        self.shared.keys.load().get(id).cloned().unwrap_or_default()
    }

    /// One refresh at a time; who waited for it does not start another.
    async fn refresh(&self) {
        let Some(path) = self.shared.file.clone() else { return };
        let mut asked = self.shared.asked.lock().await;
        if asked.at.is_some_and(|at| at.elapsed() < COOL_DOWN) {
            return;
        }
        asked.at = Some(Instant::now());
        let read = tokio::task::spawn_blocking(move || {
            Ok::<_, KeyError>((std::fs::read(&path).unwrap_or_default(), read_file(&path)?))
        })
        .await;
        match read {
            // The same keys are kept as they are, with all that was verified by them.
            Ok(Ok((bytes, _))) if bytes == asked.bytes => {}
            Ok(Ok((bytes, keys))) => {
                asked.bytes = bytes;
                self.shared.keys.store(Arc::new(keys));
            }
            Ok(Err(error)) => tracing::warn!(%error, "the key set stays as it is"),
            Err(error) => tracing::warn!(%error, "the key set stays as it is"),
        }
    }
}

fn read_file(path: &std::path::Path) -> Result<Keys, KeyError> {
    let named = |detail: String| KeyError(format!("{}: {detail}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| named(error.to_string()))?;
    let set = serde_json::from_slice(&bytes).map_err(|error| named(error.to_string()))?;
    read(&set).map_err(|error| named(error.0))
}

fn read(set: &JwkSet) -> Result<Keys, KeyError> {
    let mut keys = Keys::new();
    for jwk in &set.keys {
        if jwk.common.public_key_use == Some(PublicKeyUse::Encryption) {
            continue;
        }
        let id = jwk.common.key_id.clone().ok_or_else(|| KeyError("a key has no `kid`".to_owned()))?;
        let fault = |what: &str| KeyError(format!("key `{id}` {what}"));
        let algorithm = algorithm(jwk).ok_or_else(|| {
            fault("is of no accepted kind; accepted are ES256, PS256 from 2048 bits, and EdDSA")
        })?;
        let key = DecodingKey::from_jwk(jwk).map_err(|error| fault(&format!("cannot be read: {error}")))?;
        keys.entry(id).or_default().push(Arc::new(VerifyingKey { algorithm, key }));
    }
    Ok(keys)
}

/// The one algorithm of a key: what its kind allows, and what it says itself where it says anything (S9).
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    let (own, named) = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        // 2048 bits are 256 bytes, which are 342 characters of base64url.
        AlgorithmParameters::RSA(key) if key.n.len() >= 342 => (Algorithm::PS256, KeyAlgorithm::PS256),
        _ => return None,
    };
    jwk.common.key_algorithm.is_none_or(|stated| stated == named).then_some(own)
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.shared.keys.load().keys()).finish()
    }
}

/// Why a key set cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);
