//! What customers are called, for services that show it: as far as it can be learnt quickly.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bank_sdk::client::Client;
use bank_stores::cache::{CacheMetrics, Load, Loaded, ReadThrough, ReadThroughOptions};
use bank_stores::{Clock, Error, ErrorKind, Result};
use http::StatusCode;

use crate::endpoints;
use crate::wire::CustomerPath;

/// So many names are remembered, for this long.
const REMEMBERED: u64 = 100_000;
const FOR: Duration = Duration::from_secs(600);
/// Nobody waits longer for one name.
const PATIENCE: Duration = Duration::from_secs(1);
/// After identity did not answer, it is not asked for so long: one slow call may not become one for each row.
const RESPITE: Duration = Duration::from_secs(2);

/// The names of customers, asked for by their ids. They stay in this process: a shared cache would hold them in the clear.
#[derive(Clone, Debug)]
pub struct Names(Option<ReadThrough<String>>);

impl Names {
    /// Nobody can be asked, so that nobody has a name.
    #[must_use]
    pub const fn unknown() -> Self {
        Self(None)
    }

    /// Asks identity with `client`.
    #[must_use]
    pub fn of_identity(client: Client, clock: Arc<dyn Clock>) -> Self {
        let options = ReadThroughOptions::new("names")
            .and_then(|options| options.local_ttl(FOR)?.negative_ttl(FOR)?.load_timeout(PATIENCE * 2));
        let options = options.expect("a plain name and minutes").local_capacity(REMEMBERED);
        Self(Some(ReadThrough::local(Profiles { client, clock, respite: Mutex::default() }, options)))
    }

    /// The customer's name, if there is one.
    ///
    /// # Errors
    /// `Unavailable` where it cannot be had now.
    pub async fn of(&self, customer: &str) -> Result<Option<String>> {
        let Some(names) = &self.0 else { return Ok(None) };
        Ok(names.get_or_load(customer).await?.map(|name| (*name).clone()))
    }

    /// Adds its cache to what is measured.
    pub fn measure(&self, metrics: &CacheMetrics) {
        if let Some(names) = &self.0 {
            metrics.add(names);
        }
    }
}

struct Profiles {
    client: Client,
    clock: Arc<dyn Clock>,
    /// Until when identity is not asked, in time that has passed.
    respite: Mutex<Option<Duration>>,
}

impl Profiles {
    fn rests(&self) -> bool {
        let respite = *self.respite.lock().unwrap_or_else(PoisonError::into_inner);
        respite.is_some_and(|end| self.clock.elapsed() < end)
    }
}

#[async_trait]
impl Load<String> for Profiles {
    async fn load(&self, customer: &str) -> Result<Loaded<String>> {
        let unavailable = || Error::new(ErrorKind::Unavailable, "names cannot be had now");
        if self.rests() {
            return Err(unavailable());
        }
        let path = CustomerPath { id: customer.to_owned() };
        match self.client.call(endpoints::BY_ID, &path).timeout(PATIENCE).send().await {
            Ok(found) => Ok(Loaded::found(found.name, 1)),
            // Nobody's name: a partner's program, say, or whoever is erased.
            Err(error)
                if error.problem().is_some_and(|problem| problem.status() == StatusCode::NOT_FOUND) =>
            {
                Ok(Loaded::nothing())
            }
            Err(error) => {
                tracing::warn!(%error, "names cannot be had now");
                let end = self.clock.elapsed() + RESPITE;
                *self.respite.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
                Err(unavailable())
            }
        }
    }
}

impl fmt::Debug for Profiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profiles").finish_non_exhaustive()
    }
}
