//! The four servers that a whole bank may stand on, together.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::java::JavaServer;
use super::postgres::Postgres;
use super::redis::Redis;

/// One server of each kind.
#[derive(Debug)]
pub struct Servers {
    /// Where ledgers are kept.
    pub postgres: Postgres,
    /// Where items are kept.
    pub dynamo: JavaServer,
    /// Where documents are kept.
    pub mongo: JavaServer,
    /// What gateways share.
    pub redis: Redis,
}

impl Servers {
    /// Starts one of each; nothing, and a word why, where a program is missing.
    ///
    /// # Panics
    /// Where one does not start; and with `BANK_TEST_REQUIRE` where a program is missing.
    #[must_use]
    pub fn start(test: &str) -> Option<Self> {
        Some(Self {
            postgres: Postgres::start(test)?,
            dynamo: JavaServer::dynamo(test)?,
            mongo: JavaServer::mongo(test)?,
            redis: Redis::start_durable(test)?,
        })
    }

    /// Those that the tests of one program share.
    ///
    /// # Panics
    /// As [`Servers::start`].
    pub fn shared(test: &str) -> Option<MutexGuard<'static, Self>> {
        static SERVERS: OnceLock<Result<Option<Mutex<Servers>>, ()>> = OnceLock::new();
        // What does not start does so once: the next test does not wait for it again.
        let start = || std::panic::catch_unwind(|| Self::start(test).map(Mutex::new)).map_err(drop);
        let Ok(servers) = SERVERS.get_or_init(start) else {
            panic!("{test}: the servers did not start, as another test tells");
        };
        servers.as_ref().map(|servers| servers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where the files of all of them are.
    #[must_use]
    pub fn directories(&self) -> Vec<PathBuf> {
        let Self { postgres, dynamo, mongo, redis } = self;
        let all = [postgres.directory(), dynamo.directory(), mongo.directory(), redis.directory()];
        all.map(Path::to_path_buf).into()
    }

    /// Where a bank keeps its data on them, as lines of its file for each part, and what its gateways share. No other bank has the same
    /// places.
    #[must_use]
    pub(crate) fn places(&self) -> Places {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bank_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.postgres.sql(&format!("CREATE DATABASE {name}"));
        let (postgres, dynamo, mongo) = (self.postgres.port(), self.dynamo.port(), self.mongo.port());
        let table = |part: &str| {
            format!("store = \"dynamodb:{name}.{part}?endpoint=http://127.0.0.1:{dynamo}&create=true\"\n")
        };
        let redis = self.redis.url();
        Places {
            accounts: format!("store = \"postgres://bank@127.0.0.1:{postgres}/{name}\"\n"),
            transactions: table("transactions"),
            identity: table("identity"),
            partners: format!("store = \"mongodb://127.0.0.1:{mongo}/{name}\"\n"),
            shared: format!(
                "[shared]\ncache = \"{redis}\"\nlimits = \"{redis}\"\ngateways = 2\nprefix = \"{name}\"\n"
            ),
        }
    }
}

/// Lines of a bank's file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub(crate) accounts: String,
    pub(crate) transactions: String,
    pub(crate) identity: String,
    pub(crate) partners: String,
    /// A section of its own.
    pub(crate) shared: String,
}
