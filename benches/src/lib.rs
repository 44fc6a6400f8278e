//! What the measuring programs and the benches share.
//!
//! | Module | Does |
//! | --- | --- |
//! | [`process`] | starts programs, and reads what they cost from the system's accounting |
//! | [`load`], [`nginx`] | drives `wrk`, and nginx with a configuration of its own |
//! | [`upstream`], [`gateways`], [`tokens`] | what stands behind a proxy, our proxies, and the tokens that they check |
//! | [`bank`], [`posting`] | the bank as a process with customers, and the ledger without anything around it |
//! | [`ledger_load`] | transfers on any ledger, so many in flight |
//! | [`sample`] | medians and percentiles |
#![allow(clippy::float_arithmetic, reason = "times and ratios, never money")]

pub mod arguments;
pub mod bank;
pub mod gateways;
pub mod ledger_load;
pub mod load;
pub mod nginx;
pub mod posting;
pub mod process;
pub mod sample;
pub mod tokens;
pub mod upstream;

/// Whatever ends a measurement.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
