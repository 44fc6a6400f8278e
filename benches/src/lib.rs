//! What the measuring programs and the benches share.
//!
//! | Module | Does |
//! | --- | --- |
//! | [`process`] | starts programs, and reads what they cost from the system's accounting |
//! | [`load`], [`nginx`] | drives `wrk`, and nginx with a configuration of its own |
//! | [`upstream`], [`gateways`], [`tokens`] | what stands behind a proxy, our proxies, and the tokens that they check |
//! | [`lean`], [`handwritten`] | the proxies that ours are compared with |
//! | [`loopback`] | a client and an upstream that take nothing from the heap, for counts |
//! | [`serving`] | a proxy as a process |
//! | `bank`, `posting` | the bank as a process with customers, and the ledger without anything around it |
//! | `ledger_load` | transfers on any ledger, so many in flight |
//! | [`calls`] | calls of a role beside its driver's |
//! | [`sample`] | medians and percentiles |
#![allow(clippy::float_arithmetic, reason = "times and ratios, never money")]

pub mod arguments;
#[cfg(feature = "bank")]
pub mod bank;
pub mod calls;
pub mod gateways;
pub mod handwritten;
pub mod lean;
#[cfg(feature = "bank")]
pub mod ledger_load;
pub mod load;
pub mod loopback;
pub mod nginx;
#[cfg(feature = "bank")]
pub mod posting;
pub mod process;
pub mod sample;
pub mod serving;
pub mod tokens;
pub mod upstream;

/// Whatever ends a measurement.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
