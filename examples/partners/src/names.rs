//! What customers are called, as far as it can be learnt quickly.

use std::time::Duration;

use bank_sdk::client::Client;
use identity::wire::CustomerPath;
use moka::sync::Cache;

/// So many names are remembered, for this long.
const REMEMBERED: u64 = 10_000;
const FOR: Duration = Duration::from_secs(600);
/// A notification waits no longer for a name.
const PATIENCE: Duration = Duration::from_secs(1);

/// The names of customers.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    client: Client,
    known: Cache<String, String>,
}

impl Names {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, known: Cache::builder().max_capacity(REMEMBERED).time_to_live(FOR).build() }
    }

    /// The customer's name, or nothing where it cannot be had now: a notification without a name is better than a late
    /// one.
    pub(crate) async fn of(&self, customer: &str) -> Option<String> {
        if let Some(name) = self.known.get(customer) {
            return Some(name);
        }
        let path = CustomerPath { id: customer.to_owned() };
        match self.client.call(identity::endpoints::BY_ID, &path).timeout(PATIENCE).send().await {
            Ok(found) => {
                self.known.insert(customer.to_owned(), found.name.clone());
                Some(found.name)
            }
            Err(error) => {
                tracing::debug!(%error, "a name cannot be had now");
                None
            }
        }
    }
}
