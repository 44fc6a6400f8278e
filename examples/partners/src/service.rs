//! The service: what it is made of, and which handler serves which endpoint.

use std::sync::Arc;

use bank_sdk::client::Client;
use bank_sdk::{Api, BankService, Endpoints};
use bank_stores::cache::CacheMetrics;
use bank_stores::documents::Collection;
use bank_stores::{Documents, Result, SystemClock};
use identity::Names;
use moka::sync::Cache;
use tokio::sync::broadcast;

use crate::endpoints;
use crate::lag::Lag;
use crate::streams::Streams;

/// The collection of notifications.
pub(crate) const NOTIFICATIONS: &str = "notifications";
/// The collection of how far customers have read.
pub(crate) const INBOXES: &str = "inboxes";
/// The collection of the places up to which events were taken.
pub(crate) const POSITIONS: &str = "positions";
/// The key that gives each of a customer's notifications a number of its own.
pub(crate) const PLACE: &str = "place";

/// So many customers are woken at once before streams that are too slow look for themselves.
const WOKEN: usize = 1_024;
/// For so many customers the number of the last notification is remembered; it is looked up for the others.
const REMEMBERED: u64 = 100_000;

/// The partners service over a store of documents. Any number of copies may serve one store; clones are one copy.
#[derive(Clone, Debug)]
pub struct Partners {
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) client: Client,
    pub(crate) names: Names,
    pub(crate) lag: Lag,
    /// Whose notifications became more.
    pub(crate) changed: broadcast::Sender<Arc<str>>,
    pub(crate) streams: Streams,
    /// The number of a customer's last notification.
    pub(crate) last: Cache<String, u64>,
}

impl Partners {
    /// The service over `documents`, which calls transactions, accounts and identity with `client`. It declares its
    /// collections.
    ///
    /// [`follow_events`](Self::follow_events) must run beside it.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn new(documents: Arc<dyn Documents>, client: Client) -> Result<Self> {
        let notifications = Collection::new(NOTIFICATIONS)
            // In this order they are listed, streamed and counted.
            .unique(PLACE, ["customer", "number"])
            .sorted("number")
            // For stores whose unique keys find nothing.
            .index(["customer", "read"]);
        documents.declare(&notifications).await?;
        documents.declare(&Collection::new(INBOXES)).await?;
        documents.declare(&Collection::new(POSITIONS)).await?;
        Ok(Self {
            documents,
            names: Names::of_identity(client.clone(), Arc::new(SystemClock::new())),
            lag: Lag::default(),
            client,
            changed: broadcast::channel(WOKEN).0,
            streams: Streams::default(),
            last: Cache::new(REMEMBERED),
        })
    }
}

impl Partners {
    /// Adds its cache to what is measured.
    pub fn measure_caches(&self, metrics: &CacheMetrics) {
        self.names.measure(metrics);
    }

    /// How far it is behind the events that it follows.
    #[must_use]
    pub fn lag(&self) -> Lag {
        self.lag.clone()
    }
}

impl BankService for Partners {
    fn api() -> Api {
        crate::api()
    }

    fn endpoints() -> Endpoints<Self> {
        Endpoints::new()
            .bind(endpoints::LIST, Self::list)
            .bind(endpoints::READ, Self::read)
            .bind(endpoints::READ_BEFORE, Self::read_before)
            .bind(endpoints::EVENTS, Self::live)
    }
}
