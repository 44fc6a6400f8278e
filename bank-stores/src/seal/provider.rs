//! Where master keys are: a provider wraps data keys under them and never gives them out.

use std::fmt;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::{Random as _, Result, SystemRandom};

/// Wraps and unwraps data keys under master keys, which stay with the provider.
///
/// A provider knows old master keys as long as data keys are wrapped under them.
#[async_trait]
pub trait KeyProvider: fmt::Debug + Send + Sync + 'static {
    /// The name of the master key that wraps from now on; at most 2,048 bytes.
    ///
    /// # Errors
    /// `Unavailable` where it cannot be told now.
    async fn current(&self) -> Result<String>;

    /// Wraps a data key under the current master key. `context` has to be the same to unwrap it.
    ///
    /// # Errors
    /// `Unavailable` where it may be tried again, `Denied` where it may not be used.
    async fn wrap(&self, key: &KeyMaterial, context: &str) -> Result<WrappedKey>;

    /// Unwraps a data key, under whichever master key it is.
    ///
    /// # Errors
    /// `Denied` where the master key is not known or does not open it here; `Unavailable` where it may be tried again.
    async fn unwrap(&self, wrapped: &WrappedKey, context: &str) -> Result<KeyMaterial>;
}

/// A key of 256 bits, wiped from memory when it is dropped.
pub struct KeyMaterial(Zeroizing<[u8; 32]>);

impl KeyMaterial {
    /// The key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new key, drawn at random.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(bytes.as_mut_slice());
        Self(bytes)
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaterial(…)")
    }
}

/// A data key that only its provider can read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrappedKey {
    /// The name of the master key.
    pub master: String,
    /// The data key, encrypted under it.
    pub bytes: Vec<u8>,
}

impl WrappedKey {
    /// Made by a provider, and from what was stored.
    pub fn new(master: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { master: master.into(), bytes }
    }
}
