//! Stores on servers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::aurora::{AuroraLedger, AuroraOptions, FixedPassword};
use bank_stores::dynamodb::{DynamoItems, DynamoOptions};
use bank_stores::mongodb::{MongoDocuments, MongoOptions};
use bank_stores::redis::{RedisCache, RedisLimits, RedisOptions};
use bank_stores::{Cache, Documents, ItemsScan, Ledger, Limits};

use super::{Close, Opened, close, waiting};
use crate::Fatal;
use crate::config::Place;

close!(AuroraLedger MongoDocuments);

#[async_trait]
impl Close for DynamoItems {
    /// Each of its calls is done when it is answered.
    async fn close(&self) {}
}

pub(super) async fn ledger(at: &Place) -> Result<Opened<dyn Ledger>, Fatal> {
    let mut options = AuroraOptions::new(&at.url).map_err(|error| at.wrong(&error))?;
    if let Some(readers) = &at.readers {
        options = options.readers(readers).map_err(|error| at.wrong(&error))?;
    }
    open_ledger(at, options).await
}

/// A ledger in another schema than the bank's own.
pub(super) async fn ledger_in(at: &Place, schema: &str) -> Result<Opened<dyn Ledger>, Fatal> {
    let options = AuroraOptions::new(&at.url).and_then(|options| options.schema(schema));
    open_ledger(at, options.map_err(|error| at.wrong(&error))?).await
}

async fn open_ledger(at: &Place, mut options: AuroraOptions) -> Result<Opened<dyn Ledger>, Fatal> {
    if let Some(authorities) = &at.authorities {
        options = options.root_certificates(authorities);
    }
    if let Some(password) = at.password()? {
        options = options.password(Arc::new(FixedPassword::new(password)));
    }
    let ledger = Arc::new(Box::pin(open(at, || AuroraLedger::open(options.clone()))).await?);
    Ok(Opened { role: ledger.clone(), close: ledger })
}

pub(super) async fn items(at: &Place) -> Result<Opened<dyn ItemsScan>, Fatal> {
    let options = DynamoOptions::at(&at.url).map_err(|error| at.wrong(&error))?;
    let items = Arc::new(Box::pin(open(at, || DynamoItems::open(options.clone()))).await?);
    Ok(Opened { role: items.clone(), close: items })
}

pub(super) async fn documents(at: &Place) -> Result<Opened<dyn Documents>, Fatal> {
    let mut options = MongoOptions::new(&at.url).map_err(|error| at.wrong(&error))?;
    if let Some(authorities) = &at.authorities {
        options = options.root_certificates(authorities);
    }
    if let Some(password) = at.password()? {
        options = options.password(password);
    }
    let documents = Arc::new(Box::pin(open(at, || MongoDocuments::open(options.clone()))).await?);
    Ok(Opened { role: documents.clone(), close: documents })
}

pub(super) async fn cache(at: &Place, prefix: &str) -> Result<Arc<dyn Cache>, Fatal> {
    let options = redis(at, prefix)?;
    Ok(Arc::new(open(at, || RedisCache::open(options.clone())).await?))
}

pub(super) async fn limits(at: &Place, prefix: &str) -> Result<Arc<dyn Limits>, Fatal> {
    let options = redis(at, prefix)?;
    Ok(Arc::new(open(at, || RedisLimits::open(options.clone())).await?))
}

fn redis(at: &Place, prefix: &str) -> Result<RedisOptions, Fatal> {
    let options = RedisOptions::at(&at.url).and_then(|options| options.prefix(prefix));
    // Whoever waits for it is a customer.
    let options = options.map_err(|error| at.wrong(&error))?.response_timeout(Duration::from_millis(250));
    let options = match at.password()? {
        Some(password) => options.password(password),
        None => options,
    };
    Ok(match &at.authorities {
        Some(authorities) => options.root_certificates(authorities),
        None => options,
    })
}

/// Opens a store. A server that is away may come; one that refuses, a wrong password say, goes on refusing.
async fn open<T, F>(at: &Place, mut attempt: impl FnMut() -> F) -> Result<T, Fatal>
where
    F: Future<Output = bank_stores::Result<T>>,
{
    let unless_away = || {
        let opened = attempt();
        async move {
            match opened.await {
                Err(error) if error.is_retryable() => Err(error),
                opened => Ok(opened),
            }
        }
    };
    let opened = waiting(&format!("{} cannot be reached", at.name), unless_away).await?;
    opened.map_err(|error| at.wrong(&error))
}
