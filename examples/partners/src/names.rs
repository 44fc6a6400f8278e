//! What customers are called, as far as it can be learnt quickly.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bank_sdk::client::Client;
use bank_stores::cache::{CacheMetrics, Load, Loaded, ReadThrough, ReadThroughOptions};
use bank_stores::{Error, ErrorKind, Result};
use http::StatusCode;
use identity::wire::CustomerPath;
use tokio::time::Instant;

/// So many names are remembered, for this long.
const REMEMBERED: u64 = 10_000;
const FOR: Duration = Duration::from_secs(600);
/// A notification waits no longer for a name.
const PATIENCE: Duration = Duration::from_secs(1);
/// After identity did not answer, it is not asked for so long: one slow call may not become one for each notification.
const RESPITE: Duration = Duration::from_secs(2);

/// The names of customers. They stay in this process: a shared cache would hold them in the clear.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    by_id: ReadThrough<String>,
}

impl Names {
    pub(crate) fn new(client: Client) -> Self {
        let options = ReadThroughOptions::new("names")
            .and_then(|options| options.local_ttl(FOR)?.negative_ttl(FOR)?.load_timeout(PATIENCE * 2));
        let options = options.expect("a plain name and minutes").local_capacity(REMEMBERED);
        let profiles = Profiles { client, respite: Mutex::default() };
        Self { by_id: ReadThrough::local(profiles, options) }
    }

    pub(crate) fn measure(&self, metrics: &CacheMetrics) {
        metrics.add(&self.by_id);
    }

    /// The customer's name, or nothing where it cannot be had now: a notification without a name is better than a late
    /// one.
    pub(crate) async fn of(&self, customer: &str) -> Option<String> {
        let name = self.by_id.get_or_load(customer).await.ok()??;
        Some((*name).clone())
    }
}

struct Profiles {
    client: Client,
    /// Until when identity is not asked.
    respite: Mutex<Option<Instant>>,
}

#[async_trait]
impl Load<String> for Profiles {
    async fn load(&self, customer: &str) -> Result<Loaded<String>> {
        let unavailable = || Error::new(ErrorKind::Unavailable, "names cannot be had now");
        if self.respite.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|end| Instant::now() < end)
        {
            return Err(unavailable());
        }
        let path = CustomerPath { id: customer.to_owned() };
        match self.client.call(identity::endpoints::BY_ID, &path).timeout(PATIENCE).send().await {
            Ok(found) => Ok(Loaded::found(found.name, 1)),
            // Nobody's name: a partner's program, say.
            Err(error)
                if error.problem().is_some_and(|problem| problem.status() == StatusCode::NOT_FOUND) =>
            {
                Ok(Loaded::nothing())
            }
            Err(error) => {
                tracing::warn!(%error, "names cannot be had now");
                *self.respite.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + RESPITE);
                Err(unavailable())
            }
        }
    }
}
