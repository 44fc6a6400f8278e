//! Redis: a cache with messages, limits and claims that several processes share, on one server (or a primary with replicas) or on a
//! cluster.
//!
//! ```no_run
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use bank_stores::Limits;
//! use bank_stores::limit::{NamedCharge, Rate};
//! use bank_stores::redis::{RedisLimits, RedisOptions};
//! use std::num::NonZeroU32;
//!
//! let limits = RedisLimits::open(RedisOptions::new("redis://127.0.0.1:6379")?).await?;
//! let charges = [NamedCharge::new("reads", Rate::per_minute(NonZeroU32::new(60).unwrap()), 1)];
//! let verdicts = limits.take("customer:ann", &charges).await?;
//! # Ok::<(), bank_stores::Error>(())
//! # }).unwrap();
//! ```
//!
//! Redis 7.0 or later. What is written to a primary that fails before its replica has it is lost: a limit may then be given once more,
//! and a value claimed once more. So a guard for money is claimed in [`Items`](crate::Items).
//!
//! While the server is away, calls are `Unavailable` at once, but for one now and then that looks whether it is back.

mod cache;
mod connection;
mod error;
mod limits;
mod messages;
mod once;
mod options;
mod script;

pub use cache::RedisCache;
pub use limits::RedisLimits;
pub use once::RedisOnce;
pub use options::RedisOptions;
