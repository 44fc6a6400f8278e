//! What the bank tells: notifications and live events, over [`Documents`](bank_stores::Documents).
//!
//! ```
//! let api = partners::api();
//! assert_eq!(api.name, "partners");
//! assert!(api.check().is_ok());
//! ```
//!
//! The service follows the events of transactions and accounts, keeps one notification for each side of each of them,
//! and streams what it keeps to whoever listens. A notification's id is derived from its event, so that an event that is
//! delivered twice, or to two copies of this service, is notified once.
//!
//! Without its default feature `service` the crate is just its endpoints and wire types.

pub mod endpoints;
mod examples;
pub mod wire;

#[cfg(feature = "service")]
mod follow;
#[cfg(feature = "service")]
mod inbox;
#[cfg(feature = "service")]
mod lag;
#[cfg(feature = "service")]
mod live;
#[cfg(feature = "service")]
mod note;
#[cfg(feature = "service")]
mod notice;
#[cfg(feature = "service")]
mod record;
#[cfg(feature = "service")]
mod service;
#[cfg(feature = "service")]
mod streams;

pub use endpoints::api;
#[cfg(feature = "service")]
pub use lag::Lag;
#[cfg(feature = "service")]
pub use service::Partners;
