//! The bank's accounts: a service over a [`Ledger`](bank_stores::Ledger).
//!
//! ```
//! let api = accounts::api();
//! assert_eq!(api.name, "accounts");
//! assert!(api.check().is_ok());
//! ```
//!
//! Without its default feature `service` the crate is just its endpoints and wire types.

pub mod endpoints;
mod examples;
pub mod wire;

#[cfg(feature = "service")]
mod activity;
#[cfg(feature = "service")]
mod cash;
#[cfg(feature = "service")]
mod counterparties;
#[cfg(feature = "service")]
mod customer;
#[cfg(feature = "service")]
mod decided;
#[cfg(feature = "service")]
mod directory;
#[cfg(feature = "service")]
mod hold;
#[cfg(feature = "service")]
mod internal;
#[cfg(feature = "service")]
mod manage;
#[cfg(feature = "service")]
mod posting;
#[cfg(feature = "service")]
mod problems;
#[cfg(feature = "service")]
mod service;
#[cfg(feature = "service")]
mod staff;
#[cfg(feature = "service")]
mod statement;
#[cfg(feature = "service")]
mod table;
#[cfg(feature = "service")]
mod trial_balance;

pub use endpoints::api;
#[cfg(feature = "service")]
pub use service::Accounts;
