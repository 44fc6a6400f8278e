//! The reference bank: nothing but `bank-gateway`, `bank-sdk`, `bank-stores` and the services made with them.
//!
//! Read it in this order: [`parts`](../src/bank/parts.rs.html) makes each service from its stores, `edge` puts the gateway
//! in front of them, `run` starts one process with all of them, or one part.

mod args;
mod config;
mod credentials;
mod demo;
mod edge;
mod files;
mod ledger;
mod logging;
mod openapi;
mod parts;
mod run;
mod seal;
mod seal_command;
mod store_calls;
mod stores;

use std::process::ExitCode;

/// Gives memory back: a password hash takes 19 MiB for a moment, which glibc would keep for each thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)).and_then(run::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bank: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What ends the program: one line for the person who started it.
#[derive(Debug)]
pub(crate) struct Fatal(String);

impl Fatal {
    pub(crate) fn new(what: impl std::fmt::Display) -> Self {
        Self(what.to_string())
    }

    /// An error with everything behind it, on one line.
    pub(crate) fn caused(what: impl std::fmt::Display, error: &dyn std::error::Error) -> Self {
        let mut text = format!("{what}: {error}");
        let mut next = error.source();
        while let Some(source) = next {
            text.push_str(&format!(": {source}"));
            next = source.source();
        }
        Self(text.replace('\n', " "))
    }
}

impl std::fmt::Display for Fatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
