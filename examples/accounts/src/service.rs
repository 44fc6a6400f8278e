//! The service: what it is made of, and which handler serves which endpoint.

use std::sync::Arc;

use bank_sdk::client::Client;
use bank_sdk::events::Retention;
use bank_sdk::{Api, BankService, DerivationKey, Endpoints};
use bank_stores::cache::CacheMetrics;
use bank_stores::{Clock, Ledger, Random};
use identity::Names;

use crate::directory::Directory;
use crate::endpoints;

/// The accounts service over a ledger. Any number of copies may serve one ledger.
#[derive(Clone, Debug)]
pub struct Accounts {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) directory: Directory,
    pub(crate) derivation: DerivationKey,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) retention: Retention,
    /// What customers are called.
    pub(crate) names: Names,
    /// The way to identity, which knows customers.
    pub(crate) customers: Option<Client>,
}

impl Accounts {
    /// The service over `ledger`. Ids are derived from callers' keys with `derivation`, which must be the
    /// same for every copy and for as long as the ledger lives.
    ///
    /// [`forget_events`](Self::forget_events) should run beside it.
    #[must_use]
    pub fn new(
        ledger: Arc<dyn Ledger>,
        derivation: DerivationKey,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let (directory, retention) = (Directory::new(ledger.clone()), Retention::of(endpoints::EVENTS));
        let names = Names::unknown();
        Self { directory, ledger, derivation, clock, random, retention, names, customers: None }
    }

    /// Learns with `client` from identity who customers are. Without it no counterparty has a name, and members of staff find nobody.
    #[must_use]
    pub fn identity(mut self, client: Client) -> Self {
        self.names = Names::of_identity(client.clone(), self.clock.clone());
        self.customers = Some(client);
        self
    }

    /// Adds its cache to what is measured.
    pub fn measure_caches(&self, metrics: &CacheMetrics) {
        self.directory.measure(metrics);
    }
}

impl BankService for Accounts {
    fn api() -> Api {
        crate::api()
    }

    fn endpoints() -> Endpoints<Self> {
        Endpoints::new()
            .bind(endpoints::OPEN, Self::open)
            .bind(endpoints::LIST, Self::list)
            .bind(endpoints::FIND, Self::find)
            .bind(endpoints::RENAME, Self::rename)
            .bind(endpoints::CLOSE, Self::close)
            .bind(endpoints::BALANCE, Self::balance)
            .bind(endpoints::STATEMENT, Self::statement)
            .bind(endpoints::ENTRIES, Self::entries)
            .bind(endpoints::ACTIVITY, Self::activity)
            .bind(endpoints::HOLDS, Self::open_holds)
            .bind(endpoints::PLACE_HOLD, Self::place_hold)
            .bind(endpoints::FIND_HOLD, Self::find_hold)
            .bind(endpoints::CAPTURE_HOLD, Self::capture_hold)
            .bind(endpoints::VOID_HOLD, Self::void_hold)
            .bind(endpoints::DEPOSIT, Self::deposit)
            .bind(endpoints::WITHDRAW, Self::withdraw)
            .bind(endpoints::CUSTOMERS, Self::customers)
            .bind(endpoints::TRIAL_BALANCE, Self::trial_balance)
            .bind(endpoints::POST, Self::post)
            .bind(endpoints::POSTING, Self::posting_facts)
            .bind(endpoints::REVERSE, Self::reverse)
            .bind(endpoints::SET_STATUS, Self::set_status)
            .bind(endpoints::RECORD, Self::record)
            .bind(endpoints::OWNED, Self::owned)
            .bind(endpoints::EVENTS, Self::events)
    }
}
