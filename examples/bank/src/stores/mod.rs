//! Where each part keeps its data: in files of the data directory, or on servers that its copies share.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::embedded::{SqliteDocuments, SqliteItems, SqliteLedger, SqliteOptions};
use bank_stores::{Cache, Clock, Documents, Items, ItemsScan, Ledger, Limits, SystemClock};
use tokio::time::Instant;

use crate::Fatal;
use crate::config::{Place, Shared};
use crate::files::Files;

#[cfg(feature = "servers")]
mod servers;
#[cfg(not(feature = "servers"))]
#[path = "no_servers.rs"]
mod servers;

/// How long a part that starts waits for another one.
const PATIENCE: Duration = Duration::from_secs(30);

/// The ledger's file in the data directory.
pub(crate) const LEDGER: &str = "accounts/ledger.db";
/// The file of users and sessions.
pub(crate) const IDENTITY: &str = "identity/items.db";
/// The file of transfers.
pub(crate) const TRANSACTIONS: &str = "transactions/items.db";
/// The file of notifications.
pub(crate) const PARTNERS: &str = "partners/documents.db";

/// A store that is flushed when its part ends.
#[async_trait]
pub(crate) trait Close: Send + Sync {
    async fn close(&self);

    /// Leaves nothing of what was changed or removed in its file, where it has one.
    async fn vacuum(&self) -> bank_stores::Result<()> {
        Ok(())
    }
}

/// A store in its role, and how it is closed.
pub(crate) struct Opened<R: ?Sized> {
    pub(crate) role: Arc<R>,
    pub(crate) close: Arc<dyn Close>,
}

macro_rules! close {
    ($($store:ty)*) => {
        $(
            #[async_trait]
            impl Close for $store {
                async fn close(&self) {
                    <$store>::close(self).await;
                }
            }
        )*
    };
}
#[cfg_attr(not(feature = "servers"), allow(unused_imports, reason = "files need it here only"))]
use close;

close!(SqliteLedger);

#[async_trait]
impl Close for SqliteItems {
    async fn close(&self) {
        Self::close(self).await;
    }

    async fn vacuum(&self) -> bank_stores::Result<()> {
        Self::vacuum(self).await
    }
}

#[async_trait]
impl Close for SqliteDocuments {
    async fn close(&self) {
        Self::close(self).await;
    }

    async fn vacuum(&self) -> bank_stores::Result<()> {
        Self::vacuum(self).await
    }
}

/// A ledger in a file, by this clock, or in a PostgreSQL database, which has its own.
pub(crate) async fn ledger(
    files: &Files,
    at: Option<&Place>,
    clock: &Arc<dyn Clock>,
) -> Result<Opened<dyn Ledger>, Fatal> {
    if let Some(at) = at {
        return servers::ledger(at).await;
    }
    let options = SqliteOptions::new(files.path(LEDGER)).clock(clock.clone());
    let ledger = SqliteLedger::open(options).await;
    let ledger = Arc::new(ledger.map_err(opening)?);
    Ok(Opened { role: ledger.clone(), close: ledger })
}

/// A ledger in a PostgreSQL database that is not the bank's own yet.
#[cfg(feature = "servers")]
pub(crate) async fn ledger_in(at: &Place, schema: &str) -> Result<Opened<dyn Ledger>, Fatal> {
    servers::ledger_in(at, schema).await
}

/// Items in a file, or in a table of DynamoDB.
pub(crate) async fn items(
    files: &Files,
    file: &str,
    at: Option<&Place>,
) -> Result<Opened<dyn ItemsScan>, Fatal> {
    items_by(files, file, at, &(Arc::new(SystemClock::new()) as Arc<dyn Clock>)).await
}

/// The same; those in a file by this clock.
pub(crate) async fn items_by(
    files: &Files,
    file: &str,
    at: Option<&Place>,
    clock: &Arc<dyn Clock>,
) -> Result<Opened<dyn ItemsScan>, Fatal> {
    if let Some(at) = at {
        return servers::items(at).await;
    }
    let options = SqliteOptions::new(files.path(file)).clock(clock.clone());
    let items = Arc::new(SqliteItems::open(options).await.map_err(opening)?);
    Ok(Opened { role: items.clone(), close: items })
}

/// Documents in a file, or in a database of MongoDB.
pub(crate) async fn documents(
    files: &Files,
    file: &str,
    at: Option<&Place>,
) -> Result<Opened<dyn Documents>, Fatal> {
    if let Some(at) = at {
        return servers::documents(at).await;
    }
    let documents = SqliteDocuments::open(SqliteOptions::new(files.path(file))).await;
    let documents = Arc::new(documents.map_err(opening)?);
    Ok(Opened { role: documents.clone(), close: documents })
}

/// What a gateway reads of identity's data while identity runs as a process of its own.
pub(crate) async fn identity_readers(files: &Files, at: Option<&Place>) -> Result<Arc<dyn Items>, Fatal> {
    if let Some(at) = at {
        return Ok(servers::items(at).await?.role);
    }
    let file = files.path(IDENTITY);
    let options = || SqliteOptions::new(&file).read_only();
    let reason = format!("identity has not made its data in {} yet; start `bank identity`", file.display());
    let items = waiting(&reason, || SqliteItems::open(options())).await?;
    Ok(Arc::new(items))
}

/// The cache that all copies of the parts share, where there is one.
pub(crate) async fn shared_cache(shared: &Shared) -> Result<Option<Arc<dyn Cache>>, Fatal> {
    match &shared.cache {
        Some(at) => servers::cache(at, &shared.prefix).await.map(Some),
        None => Ok(None),
    }
}

/// The limits that all gateways share, where they do.
pub(crate) async fn shared_limits(shared: &Shared) -> Result<Option<Arc<dyn Limits>>, Fatal> {
    match &shared.limits {
        Some(at) => servers::limits(at, &shared.prefix).await.map(Some),
        None => Ok(None),
    }
}

/// Tries again for half a minute: parts start in any order. After a second the log says what is waited for.
pub(crate) async fn waiting<T, E, F>(reason: &str, mut attempt: impl FnMut() -> F) -> Result<T, Fatal>
where
    F: Future<Output = Result<T, E>>,
    E: std::fmt::Display,
{
    let (start, mut is_told) = (Instant::now(), false);
    let deadline = start + PATIENCE;
    loop {
        match attempt().await {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() >= deadline => return Err(Fatal::new(format!("{reason}: {error}"))),
            Err(error) => {
                if !is_told && start.elapsed() >= Duration::from_secs(1) {
                    is_told = true;
                    tracing::warn!(%error, "waiting for half a minute at most: {reason}");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn opening(error: bank_stores::Error) -> Fatal {
    Fatal::caused("the data cannot be opened", &error)
}
