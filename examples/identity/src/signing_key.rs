//! The key that signs access tokens: ES256, kept in a file that only its owner reads.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk as AnyJwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use crate::wire::{Jwk, JwkSet};

/// Signs access tokens.
#[derive(Clone, Debug)]
pub struct SigningKey {
    key: EncodingKey,
    public: Jwk,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningKeyError {
    /// The file cannot be read or written.
    #[error("the signing key {} cannot be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read the file.
    #[error("the signing key {} may be read by others; run chmod 600 on it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// No such key could be made, or the file holds something else.
    #[error("the signing key is not a P-256 key in PKCS#8")]
    Invalid,
}

impl SigningKey {
    /// The key in the file `path`, which is made with a new key where there is none. Of several processes that do so at
    /// once, all get the same key.
    ///
    /// # Errors
    /// [`SigningKeyError`].
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self, SigningKeyError> {
        let path = path.as_ref();
        let failed = |source| SigningKeyError::File { path: path.to_owned(), source };
        if !path.try_exists().map_err(failed)? {
            let new = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
            create(path, new.map_err(|_| SigningKeyError::Invalid)?.as_ref()).map_err(failed)?;
        }
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(SigningKeyError::Exposed { path: path.to_owned() });
        }
        Self::from_pkcs8(&fs::read(path).map_err(failed)?)
    }

    /// The key in a PKCS#8 document.
    ///
    /// # Errors
    /// [`SigningKeyError::Invalid`].
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, SigningKeyError> {
        let invalid = |_| SigningKeyError::Invalid;
        let key = EncodingKey::from_ec_der(document);
        let jwk = AnyJwk::from_encoding_key(&key, Algorithm::ES256).map_err(invalid)?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(invalid)?;
        let AlgorithmParameters::EllipticCurve(point) = jwk.algorithm else {
            return Err(SigningKeyError::Invalid);
        };
        let public = Jwk {
            kty: "EC".to_owned(),
            usage: "sig".to_owned(),
            kid,
            alg: "ES256".to_owned(),
            crv: "P-256".to_owned(),
            x: point.x,
            y: point.y,
        };
        Ok(Self { key, public })
    }

    /// The public half.
    #[must_use]
    pub fn jwks(&self) -> JwkSet {
        JwkSet { keys: vec![self.public.clone()] }
    }

    /// A compact JSON Web Signature of these claims.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> jsonwebtoken::errors::Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(self.public.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.key)
    }
}

/// Writes the file whole or not at all: a link to a finished file never replaces one that came first.
fn create(path: &Path, document: &[u8]) -> io::Result<()> {
    // Whoever else makes one at this moment writes to another file.
    let mut mark = [0; 8];
    aws_lc_rs::rand::fill(&mut mark).map_err(io::Error::other)?;
    let new = path.with_extension(format!("new-{:x}", u64::from_ne_bytes(mark)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    // The mode above is what the process's mask left of it.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(document)?;
    file.sync_all()?;
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The name itself must last too.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(directory)?.sync_all()
}
