//! Claims on Redis.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::RedisOptions;
use super::connection::Connection;
use super::error::Effect;
use super::script::{Script, milliseconds};
use crate::once::{Once, Strength, check};
use crate::{Error, ErrorKind, Result};

/// Removes the key, if it holds this value.
static RELEASE: Script = Script::new(
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
     return redis.call('DEL', KEYS[1])",
);

/// Claims that several processes share, on a server of its own that evicts nothing.
#[derive(Debug)]
pub struct RedisOnce {
    options: RedisOptions,
    connection: Connection,
}

impl RedisOnce {
    /// Connects.
    ///
    /// # Errors
    /// `Denied`, field `maxmemory_policy`, where the server (or one of a cluster) may evict what was claimed: it has to say
    /// `noeviction`.
    pub async fn open(options: RedisOptions) -> Result<Self> {
        let once = Self { connection: Connection::open(&options).await?, options };
        once.check_policy().await?;
        Ok(once)
    }

    async fn check_policy(&self) -> Result<()> {
        for told in self.connection.tell(redis::cmd("INFO").arg("memory")).await? {
            let policy = told.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
            match policy.map(str::trim) {
                Some("noeviction") => {}
                policy => {
                    let policy = policy.unwrap_or("of an unknown kind");
                    let message =
                        format!("is {policy}: what was claimed could be evicted; set it to noeviction");
                    return Err(Error::new(ErrorKind::Denied, message).with_field("maxmemory_policy"));
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Once for RedisOnce {
    async fn claim(&self, key: &str, value: Bytes, ttl: Duration) -> Result<Option<Bytes>> {
        check(key, &value)?;
        let mut command = redis::cmd("SET");
        command.arg(self.options.key('o', key)).arg(&value[..]).arg("NX").arg("GET").arg("PX");
        command.arg(milliseconds(ttl));
        self.connection.call(&command, Effect::Some).await
    }

    async fn release(&self, key: &str, value: &[u8]) -> Result<bool> {
        check(key, value)?;
        let (key, arguments) = (self.options.key('o', key), [value.to_vec()]);
        if !self.connection.is_cluster() {
            return Ok(RELEASE.run::<i64>(&self.connection, &[key], &arguments).await? == 1);
        }
        // Where a reply is lost, a cluster's driver sends the script again, which then finds nothing: so who holds the key is asked before.
        let holder: Option<Bytes> = self.connection.call(redis::cmd("GET").arg(&key), Effect::None).await?;
        if holder.as_deref() != Some(value) {
            return Ok(false);
        }
        RELEASE.run::<i64>(&self.connection, &[key], &arguments).await?;
        Ok(true)
    }

    fn strength(&self) -> Strength {
        Strength::UnlessFailover
    }
}
