//! The reference bank: nothing but `bank-gateway`, `bank-sdk`, `bank-stores` and the services made with them.
//!
//! Read it in this order: [`parts`](../src/bank/parts.rs.html) makes each service from its stores, `edge` puts the gateway
//! in front of them, `run` starts one process with all of them, or one part.

mod about;
mod args;
mod audit_command;
mod backup;
mod banner;
mod config;
mod credentials;
mod demo;
mod doctor;
mod edge;
mod files;
mod ledger;
mod logging;
mod name_caller;
mod openapi;
mod parts;
mod progress;
mod run;
mod seal;
mod seal_command;
mod seed;
mod spelling;
mod status;
mod store_calls;
mod stores;
mod terminal;
mod used_sessions;
mod users;

use std::process::ExitCode;

/// Gives memory back: a password hash takes 19 MiB for a moment, which glibc would keep for each thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the program with the arguments of the process.
///
/// It ends with 0 where it is done, with 1 where it could not be done or what was checked does not hold, and with 2 where the command
/// line is wrong.
#[must_use]
pub fn main() -> ExitCode {
    match args::parse(std::env::args_os()).and_then(run::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            if fatal.is_answer {
                terminal::print(&fatal.text);
            } else {
                terminal::complain(&format!("bank: {fatal}"));
            }
            ExitCode::from(fatal.status)
        }
    }
}

/// What ends the program: one line for the person who started it.
#[derive(Debug)]
pub(crate) struct Fatal {
    text: String,
    status: u8,
    /// It is what was asked for, and goes where answers go.
    is_answer: bool,
}

impl Fatal {
    pub(crate) fn new(what: impl std::fmt::Display) -> Self {
        Self { text: what.to_string(), status: 1, is_answer: false }
    }

    /// The command line is wrong.
    pub(crate) fn usage(what: impl std::fmt::Display) -> Self {
        Self { status: 2, ..Self::new(what) }
    }

    /// What was checked does not hold, and this is the answer.
    pub(crate) fn found(answer: impl std::fmt::Display) -> Self {
        Self { is_answer: true, ..Self::new(answer) }
    }

    /// An error with everything behind it, on one line. What an error and its source both begin with is said once.
    pub(crate) fn caused(what: impl std::fmt::Display, error: &dyn std::error::Error) -> Self {
        let mut text = what.to_string();
        let mut next = Some(error);
        while let Some(error) = next {
            let said = error.to_string();
            let said = said.strip_prefix(&format!("{what}: ")).unwrap_or(&said);
            text.push_str(&format!(": {said}"));
            next = error.source();
        }
        Self::new(text.replace('\n', " "))
    }
}

impl std::fmt::Display for Fatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
