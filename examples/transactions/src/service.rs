//! The service: what it is made of, and which handler serves which endpoint.

use std::sync::Arc;
use std::time::Duration;

use bank_sdk::client::{CallError, Client};
use bank_sdk::events::{EventList, EventsAfter, Retention};
use bank_sdk::{Api, BankService, Call, DerivationKey, Endpoints, Problem};
use bank_stores::{Clock, Items, Random, SystemRandom};
use http::StatusCode;

use crate::drive::Running;
use crate::endpoints;
use crate::resume::Resuming;

/// A reader waits no longer for an event and asks again, so that one who waits does not hold up the service's end.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The transactions service over a store of items. Any number of copies may serve one store; clones are one copy.
#[derive(Clone, Debug)]
pub struct Transactions {
    pub(crate) items: Arc<dyn Items>,
    pub(crate) client: Client,
    pub(crate) derivation: DerivationKey,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) running: Running,
    pub(crate) resuming: Resuming,
    pub(crate) patience: Duration,
    pub(crate) retention: Retention,
}

impl Transactions {
    /// The service over `items`, which calls accounts and identity with `client`. Ids of transfers are derived from
    /// callers' keys with `derivation`, which must be the same for every copy and for as long as the store lives.
    ///
    /// [`resume`](Self::resume) must run beside it, and [`forget_events`](Self::forget_events) should.
    #[must_use]
    pub fn new(
        items: Arc<dyn Items>,
        client: Client,
        derivation: DerivationKey,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            items,
            client,
            derivation,
            clock,
            random: Arc::new(SystemRandom::new()),
            running: Running::default(),
            resuming: Resuming::default(),
            patience: Duration::from_secs(5),
            retention: Retention::of(endpoints::EVENTS),
        }
    }

    /// Where the ids of what is proposed without a key come from; the operating system otherwise.
    #[must_use]
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = random;
        self
    }

    /// How long a request waits for accounts before it answers `pending`; five seconds otherwise.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Forgets events that are older than `keep` and taken by all who follow them, now and then, for ever.
    pub async fn forget_events(self, keep: Duration) {
        self.retention.run(&self.items, &*self.clock, keep).await;
    }

    /// Does so once; gives how many were forgotten.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    pub async fn forget_events_once(&self, keep: Duration) -> Result<u64, Problem> {
        Ok(self.retention.forget(&self.items, &*self.clock, keep).await?)
    }

    async fn events(self: Arc<Self>, call: Call<EventsAfter>) -> Result<EventList, Problem> {
        self.retention.read(&call, &self.items, LONGEST_WAIT).await
    }
}

impl BankService for Transactions {
    fn api() -> Api {
        crate::api()
    }

    fn endpoints() -> Endpoints<Self> {
        Endpoints::new()
            .bind(endpoints::CREATE, Self::create)
            .bind(endpoints::FIND, Self::find)
            .bind(endpoints::LIST, Self::list)
            .bind(endpoints::PAYEES, Self::payees)
            .bind(endpoints::PAYEE, Self::payee)
            .bind(endpoints::FREEZE, Self::propose_freeze)
            .bind(endpoints::UNFREEZE, Self::propose_unfreeze)
            .bind(endpoints::REVERSE, Self::propose_reversal)
            .bind(endpoints::APPROVALS, Self::approvals)
            .bind(endpoints::APPROVE, Self::approve)
            .bind(endpoints::REJECT, Self::reject)
            .bind(endpoints::EVENTS, Self::events)
    }
}

/// What another service was asked for, if it has it.
pub(crate) fn found<T>(answer: Result<T, CallError>) -> Result<Option<T>, Problem> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(CallError::Refused(problem)) if problem.status() == StatusCode::NOT_FOUND => Ok(None),
        Err(error) => Err(error.into()),
    }
}
