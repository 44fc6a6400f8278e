//! The cache on Redis.
//!
//! A value is one string: its version in 20 digits, whether it is one or was removed, and its bytes. Versions are compared as text, since
//! a script's numbers have 53 bits.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::RedisOptions;
use super::connection::Connection;
use super::error::Effect;
use super::messages::Hub;
use super::script::{Script, milliseconds};
use crate::cache::{Cached, Subscription};
use crate::error::damaged;
use crate::{Cache, Error, Result};

/// Sets the key to what it is given, unless what it holds has a newer version.
static SET: Script = Script::new(
    "local held = redis.call('GETRANGE', KEYS[1], 0, 19)
     if held > string.sub(ARGV[1], 1, 20) then return 0 end
     redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
     return 1",
);

/// How many digits the largest version has.
const DIGITS: usize = 20;
const VALUE: u8 = b'v';
const REMOVED: u8 = b'r';

/// A cache that several processes share.
///
/// Any memory policy of the server will do: what it evicts is gone from the cache. A key is at most 512 MB with its value, as Redis has it;
/// keep values small.
#[derive(Debug)]
pub struct RedisCache {
    options: RedisOptions,
    connection: Connection,
    hub: Hub,
}

impl RedisCache {
    /// Connects. A second connection, for messages, is made when somebody subscribes.
    pub async fn open(options: RedisOptions) -> Result<Self> {
        let connection = Connection::open(&options).await?;
        Ok(Self { hub: Hub::new(options.clone()), options, connection })
    }

    async fn put(&self, key: &str, version: u64, kind: u8, value: &[u8], ttl: Duration) -> Result<bool> {
        let key = self.options.key('c', key);
        let mut held = format!("{version:0DIGITS$}").into_bytes();
        held.push(kind);
        held.extend_from_slice(value);
        let arguments = [held, milliseconds(ttl).to_string().into_bytes()];
        let set: i64 = SET.run(&self.connection, &[key], &arguments).await?;
        Ok(set == 1)
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &str) -> Result<Option<Cached>> {
        let key = self.options.key('c', key);
        let held: Option<Bytes> = self.connection.call(redis::cmd("GET").arg(key), Effect::None).await?;
        let Some(held) = held else { return Ok(None) };
        let wrong = || damaged(Error::invalid("value", "not what a cache puts there"));
        let version = held.get(..DIGITS).and_then(|digits| std::str::from_utf8(digits).ok());
        let version: u64 = version.and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
        match held.get(DIGITS) {
            Some(&VALUE) => Ok(Some(Cached::new(held.slice(DIGITS + 1..), version))),
            Some(&REMOVED) => Ok(None),
            _ => Err(wrong()),
        }
    }

    async fn set(&self, key: &str, value: Bytes, version: u64, ttl: Duration) -> Result<bool> {
        self.put(key, version, VALUE, &value, ttl).await
    }

    async fn remove(&self, key: &str, version: u64, ttl: Duration) -> Result<()> {
        self.put(key, version, REMOVED, &[], ttl).await.map(drop)
    }

    async fn publish(&self, channel: &str, message: Bytes) -> Result<()> {
        let channel = self.options.key('m', channel);
        let publish = if self.connection.is_cluster() { "SPUBLISH" } else { "PUBLISH" };
        let command = redis::cmd(publish).arg(channel).arg(&message[..]).to_owned();
        let _receivers: i64 = self.connection.call(&command, Effect::Some).await?;
        Ok(())
    }

    async fn subscribe(&self, channel: &str) -> Result<Subscription> {
        self.hub.subscribe(&self.options.key('m', channel)).await
    }
}
