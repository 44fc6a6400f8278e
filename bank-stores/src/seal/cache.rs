//! A cache whose values are sealed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::data_keys::DataKeys;
use super::sealer::context;
use super::values::Opened;
use crate::cache::{Cached, Subscription};
use crate::{Cache, ErrorKind, Result};

/// A [`Cache`] over another: it seals each value with the common key, which all processes that share the cache have.
///
/// What does not open is as absent: what nobody has sealed, what was moved to another key or version, or was changed. Keys, versions
/// and messages stay as they are: put nothing personal into them.
#[derive(Clone)]
pub struct SealedCache {
    inner: Arc<dyn Cache>,
    keys: DataKeys,
    name: Arc<str>,
}

impl SealedCache {
    /// Seals what is in `inner`. `name` is bound into each value: give each cache its own, and all processes that share it the same.
    pub fn new(inner: Arc<dyn Cache>, keys: DataKeys, name: impl Into<String>) -> Self {
        let name: String = name.into();
        Self { inner, keys, name: name.into() }
    }
}

#[async_trait]
impl Cache for SealedCache {
    async fn get(&self, key: &str) -> Result<Option<Cached>> {
        let Some(Cached { value, version }) = self.inner.get(key).await? else { return Ok(None) };
        let number = version.to_string();
        match self.keys.open_bytes(&["cache", &self.name, key, &number], value).await {
            Ok(Opened::Sealed(value)) => Ok(Some(Cached::new(value, version))),
            Ok(Opened::Plain(_) | Opened::Erased) => Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Damaged) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn set(&self, key: &str, value: Bytes, version: u64, ttl: Duration) -> Result<bool> {
        let sealer = self.keys.of(None).await?;
        let number = version.to_string();
        let sealed = sealer.seal_bytes(&context(&["cache", &self.name, key, &number]), &value)?;
        self.inner.set(key, sealed.into(), version, ttl).await
    }

    async fn remove(&self, key: &str, version: u64, ttl: Duration) -> Result<()> {
        self.inner.remove(key, version, ttl).await
    }

    async fn publish(&self, channel: &str, message: Bytes) -> Result<()> {
        self.inner.publish(channel, message).await
    }

    async fn subscribe(&self, channel: &str) -> Result<Subscription> {
        self.inner.subscribe(channel).await
    }
}

impl fmt::Debug for SealedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedCache")
            .field("name", &self.name)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
