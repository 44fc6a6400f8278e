//! Scripts: one round trip, also where the server does not know them yet.

use std::sync::OnceLock;
use std::time::Duration;

use redis::{ErrorKind as Kind, FromRedisValue, ServerErrorKind};

use super::connection::Connection;
use super::error::Effect;
use crate::Result;

/// No key is held longer than a century, which Redis can count.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// For how many milliseconds a key is held; never none, which Redis takes for a mistake.
pub(super) fn milliseconds(ttl: Duration) -> u64 {
    (ttl.min(LONGEST).as_micros().div_ceil(1_000) as u64).max(1)
}

/// A script, and the name that servers give it.
pub(super) struct Script {
    text: &'static str,
    hash: OnceLock<String>,
}

impl Script {
    pub(super) const fn new(text: &'static str) -> Self {
        Self { text, hash: OnceLock::new() }
    }

    /// Runs it over these keys, which lie in one slot.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        connection: &Connection,
        keys: &[String],
        arguments: &[Vec<u8>],
    ) -> Result<T> {
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        let hash = self.hash.get_or_init(|| redis::Script::new(self.text).get_hash().to_owned());
        match connection.try_call(&command("EVALSHA", hash)).await? {
            // A new server, or one that has failed over: scripts are not replicated. It knows the script from then on.
            Err(error) if error.kind() == Kind::Server(ServerErrorKind::NoScript) => {
                connection.call(&command("EVAL", self.text), Effect::Some).await
            }
            answer => answer.map_err(|error| connection.meaning(error, Effect::Some)),
        }
    }
}
