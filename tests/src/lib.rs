//! What the black-box tests share: the real program as a process, a client that can send anything, customers, a browser,
//! and an upstream that records what reaches it.
//!
//! Nothing here looks into the bank. A test talks to it as anybody would, over sockets; what it finds wrong ends it with a
//! panic that says what was seen.

#![allow(clippy::unwrap_used, reason = "this package is tests only: what fails here fails the test")]

mod docs;
mod support;

pub use support::bank::{Bank, Part, Shape, exit_of, line_of, shared};
pub use support::browser::{Browser, Element};
pub use support::client::{Client, Connection, Event, Events, Request, Response, raw};
pub use support::customer::{Customer, cents, euros};
pub use support::edge::{Edge, OneKey, identity_keys};
pub use support::postgres::Postgres;
pub use support::proxy::Proxy;
pub use support::recorder::{Received, Recorder, Reply};
pub use support::seeded::Seeded;
pub use support::wait::{patience, until};

/// The path of the program under test. Cargo knows it in a test only.
#[macro_export]
macro_rules! program {
    () => {
        std::path::Path::new(env!("CARGO_BIN_EXE_bank_under_test"))
    };
}

/// The bank that the tests of one file share. In `five_processes` it is five processes and two gateways.
#[macro_export]
macro_rules! shared_bank {
    () => {
        $crate::shared($crate::program!(), module_path!())
    };
}
