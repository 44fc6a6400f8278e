//! The bank's accounts: a service over a [`Ledger`](bank_stores::Ledger).
//!
//! ```
//! let api = accounts::api();
//! assert_eq!(api.name, "accounts");
//! assert!(api.check().is_ok());
//! ```
//!
//! | Endpoint | Who | Does |
//! | --- | --- | --- |
//! | [`OPEN`](endpoints::OPEN), [`LIST`](endpoints::LIST), [`FIND`](endpoints::FIND), [`BALANCE`](endpoints::BALANCE), [`ENTRIES`](endpoints::ENTRIES), [`STATEMENT`](endpoints::STATEMENT) | customers | their own accounts; another's is as one that does not exist |
//! | [`PLACE_HOLD`](endpoints::PLACE_HOLD), [`FIND_HOLD`](endpoints::FIND_HOLD), [`CAPTURE_HOLD`](endpoints::CAPTURE_HOLD), [`VOID_HOLD`](endpoints::VOID_HOLD) | customers | money kept for a payment to come |
//! | [`DEPOSIT`](endpoints::DEPOSIT) | tellers | cash into an account |
//! | [`TRIAL_BALANCE`](endpoints::TRIAL_BALANCE) | auditors | the totals, which sum to zero |
//! | [`POST`](endpoints::POST), [`RECORD`](endpoints::RECORD), [`OWNED`](endpoints::OWNED), [`EVENTS`](endpoints::EVENTS) | other services | postings, ownership, events |
//!
//! Without its default feature `service` the crate is just its endpoints and wire types.

pub mod endpoints;
pub mod wire;

#[cfg(feature = "service")]
mod customer;
#[cfg(feature = "service")]
mod deposit;
#[cfg(feature = "service")]
mod directory;
#[cfg(feature = "service")]
mod hold;
#[cfg(feature = "service")]
mod internal;
#[cfg(feature = "service")]
mod posting;
#[cfg(feature = "service")]
mod service;
#[cfg(feature = "service")]
mod statement;
#[cfg(feature = "service")]
mod trial_balance;

use bank_sdk::Api;
#[cfg(feature = "service")]
pub use service::Accounts;

/// What the service offers.
#[must_use]
pub fn api() -> Api {
    Api::new("accounts")
        .endpoint(endpoints::OPEN.declare())
        .endpoint(endpoints::LIST.declare())
        .endpoint(endpoints::FIND.declare())
        .endpoint(endpoints::BALANCE.declare())
        .endpoint(endpoints::STATEMENT.declare())
        .endpoint(endpoints::ENTRIES.declare())
        .endpoint(endpoints::PLACE_HOLD.declare())
        .endpoint(endpoints::FIND_HOLD.declare())
        .endpoint(endpoints::CAPTURE_HOLD.declare())
        .endpoint(endpoints::VOID_HOLD.declare())
        .endpoint(endpoints::DEPOSIT.declare())
        .endpoint(endpoints::TRIAL_BALANCE.declare())
        .endpoint(endpoints::POST.declare())
        .endpoint(endpoints::RECORD.declare())
        .endpoint(endpoints::OWNED.declare())
        .endpoint(endpoints::EVENTS.declare())
}
