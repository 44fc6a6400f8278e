//! What the bank's black-box tests share: the real program as a process, customers, a browser, and what `edge-tests` has.
//!
//! Nothing here looks into the bank. A test talks to it as anybody would, over sockets; what it finds wrong ends it with a
//! panic that says what was seen.

#![allow(clippy::unwrap_used, reason = "this package is tests only: what fails here fails the test")]

mod docs;
mod support;

pub use edge_tests::{
    Client, Connection, Edge, Event, Events, HeldPort, OneKey, Proxy, Received, Recorder, Reply, Request,
    Response, identity_keys, patience, raw, until, until_ok,
};

pub use support::bank::{Bank, Part, Shape, exit_of, line_of, shared};
pub use support::browser::{Browser, Element};
pub use support::customer::{Customer, cents, euros};
pub use support::java::JavaServer;
pub use support::postgres::Postgres;
pub use support::redis::Redis;
pub use support::seeded::Seeded;
pub use support::servers::Servers;
pub use support::told::Told;

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
