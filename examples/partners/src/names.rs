//! What customers are called, as far as it can be learnt quickly.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bank_sdk::client::Client;
use http::StatusCode;
use identity::wire::CustomerPath;
use moka::sync::Cache;
use tokio::time::Instant;

/// So many names are remembered, for this long.
const REMEMBERED: u64 = 10_000;
const FOR: Duration = Duration::from_secs(600);
/// A notification waits no longer for a name.
const PATIENCE: Duration = Duration::from_secs(1);
/// After identity did not answer, it is not asked for so long: one slow call may not become one for each notification.
const RESPITE: Duration = Duration::from_secs(2);

/// The names of customers.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    client: Client,
    known: Cache<String, Option<String>>,
    /// Until when identity is not asked.
    respite: Arc<Mutex<Option<Instant>>>,
}

impl Names {
    pub(crate) fn new(client: Client) -> Self {
        let known = Cache::builder().max_capacity(REMEMBERED).time_to_live(FOR).build();
        Self { client, known, respite: Arc::default() }
    }

    /// The customer's name, or nothing where it cannot be had now: a notification without a name is better than a late
    /// one.
    pub(crate) async fn of(&self, customer: &str) -> Option<String> {
        if let Some(name) = self.known.get(customer) {
            return name;
        }
        if self.respite.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|end| Instant::now() < end)
        {
            return None;
        }
        let path = CustomerPath { id: customer.to_owned() };
        match self.client.call(identity::endpoints::BY_ID, &path).timeout(PATIENCE).send().await {
            Ok(found) => {
                self.known.insert(customer.to_owned(), Some(found.name.clone()));
                Some(found.name)
            }
            // Nobody's name: a partner's program, say.
            Err(error)
                if error.problem().is_some_and(|problem| problem.status() == StatusCode::NOT_FOUND) =>
            {
                self.known.insert(customer.to_owned(), None);
                None
            }
            Err(error) => {
                tracing::warn!(%error, "names cannot be had now");
                *self.respite.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + RESPITE);
                None
            }
        }
    }
}
