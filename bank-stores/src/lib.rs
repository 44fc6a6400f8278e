#![doc = include_str!("../README.md")]

pub mod cache;
pub mod clock;
pub mod connect;
pub mod consistency;
pub mod documents;
pub mod error;
pub mod items;
pub mod ledger;
pub mod limit;
pub mod money;
pub mod once;
pub mod outbox;
pub mod page;
pub mod random;

#[cfg(feature = "aurora")]
pub mod aurora;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "mongodb")]
pub mod mongodb;
#[cfg(feature = "observed")]
pub mod observed;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "schema")]
mod schema;
#[cfg(feature = "seal")]
pub mod seal;

#[cfg(any(feature = "dynamodb", feature = "kms"))]
mod aws;
#[cfg(any(feature = "redis", feature = "dynamodb", feature = "mongodb"))]
mod breaker;
mod canonical;
mod sealed;
mod shared;
mod text;
#[cfg(any(feature = "embedded", feature = "aurora"))]
mod writer;

pub use cache::Cache;
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use consistency::{Consistency, Freshness};
pub use documents::{Documents, DocumentsExt};
pub use error::{Error, ErrorKind, Result};
pub use items::{Items, ItemsExt, ItemsScan};
pub use ledger::{Ledger, LedgerExt};
pub use limit::Limits;
pub use money::{Currency, Money};
pub use once::Once;
pub use outbox::Outbox;
pub use page::{Cursor, Direction, Page, PageRequest};
pub use random::{Random, SystemRandom};
