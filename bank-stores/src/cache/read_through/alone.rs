//! A process without a shared cache.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::cache::{Cache, Cached, Subscription};
use crate::{Error, ErrorKind, Result};

/// A cache that holds nothing, and in which nobody else is told anything.
#[derive(Debug)]
pub(super) struct Alone;

#[async_trait]
impl Cache for Alone {
    async fn get(&self, _key: &str) -> Result<Option<Cached>> {
        Ok(None)
    }

    async fn set(&self, _key: &str, _value: Bytes, _version: u64, _ttl: Duration) -> Result<bool> {
        Ok(true)
    }

    async fn remove(&self, _key: &str, _version: u64, _ttl: Duration) -> Result<()> {
        Ok(())
    }

    async fn publish(&self, _channel: &str, _message: Bytes) -> Result<()> {
        Ok(())
    }

    async fn subscribe(&self, _channel: &str) -> Result<Subscription> {
        Err(Error::new(ErrorKind::Unavailable, "nobody else is there"))
    }
}
