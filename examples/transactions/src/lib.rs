//! The bank's transfers: durable state machines over [`Items`](bank_stores::Items).
//!
//! ```
//! let api = transactions::api();
//! assert_eq!(api.name, "transactions");
//! assert!(api.check().is_ok());
//! ```
//!
//! A transfer is written down before it is tried, under an id that only its caller and its key give. What then happens
//! may be repeated by anybody at any time, since the ledger knows a posting by that same id:
//!
//! ```text
//!             begin (one transaction)                        settle (one transaction)
//! request ──▶ transfer: pending        ──▶ accounts posts ──▶ transfer: completed | rejected | refused
//!             key: no answer yet           under that id      key: the answer's bytes
//!             to do: this transfer                            to do: nothing
//!             the sender's activity                           both sides' activity, the event
//! ```
//!
//! Whoever dies between the two leaves the row of what is to do; [`Transactions::resume`] finds it.
//!
//! Without its default feature `service` the crate is just its endpoints and wire types.

pub mod endpoints;
mod examples;
pub mod wire;

#[cfg(feature = "service")]
mod activity;
#[cfg(feature = "service")]
mod answer;
#[cfg(feature = "service")]
mod approvals;
#[cfg(feature = "service")]
mod begin;
#[cfg(feature = "service")]
mod drive;
#[cfg(feature = "service")]
mod payees;
#[cfg(feature = "service")]
mod replay;
#[cfg(feature = "service")]
mod resume;
#[cfg(feature = "service")]
mod rows;
#[cfg(feature = "service")]
mod service;
#[cfg(feature = "service")]
mod settle;

pub use endpoints::api;
#[cfg(feature = "service")]
pub use service::Transactions;
