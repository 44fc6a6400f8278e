//! What was asked for.

use std::path::PathBuf;

use bank_stores::ledger::ChainHead;
use clap::CommandFactory as _;

use super::manual::manual;
use super::options::{Options, RunOptions};
use super::part::{Part, ServiceName, Started};
use super::users::{UserCommand, UserVerb};
use super::verbs::{AuditVerb, Cli, ConfigVerb, LedgerVerb, Output, SealVerb, Seed, Verb};
use crate::Fatal;
use crate::backup::Restore;

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Command {
    Run(Options),
    Status {
        options: Options,
        as_json: bool,
    },
    Check {
        options: Options,
        started: Option<Started>,
        as_json: bool,
    },
    ShowConfig {
        options: Options,
        as_json: bool,
    },
    ConfigReference,
    Doctor {
        options: Options,
        as_json: bool,
    },
    User(UserCommand, Options),
    Seed(Seed, Options),
    Backup {
        directory: PathBuf,
        without: Vec<Part>,
        options: Options,
    },
    Restore {
        directory: PathBuf,
        what: Restore,
        options: Options,
    },
    VerifyAudit {
        file: PathBuf,
        head: Option<String>,
        as_json: bool,
    },
    Ledger {
        what: Ledger,
        options: Options,
        as_json: bool,
    },
    Seal {
        what: SealCommand,
        options: Options,
        as_json: bool,
    },
    /// This text.
    Print(String),
}

/// What is done with the ledger in a data directory.
#[derive(Debug)]
pub(crate) enum Ledger {
    Verify(Option<ChainHead>),
    Backup(PathBuf),
    Restore(PathBuf),
}

/// What is done with the keys that data is sealed with.
#[derive(Debug)]
pub(crate) enum SealCommand {
    Status,
    Rotate,
    Retire(String),
    Shred(String),
    Reseal,
}

/// What a command line asks for.
pub(super) fn command(Cli { place, run, verb }: Cli) -> Result<Command, Fatal> {
    let Some(verb) = verb else { return Ok(Command::Run(run.at(place, None))) };
    let part =
        |part: Part, own: RunOptions| Command::Run(run.clone().with(own).at(place.clone(), Some(part)));
    let only = |allowed: &[&str]| run.nothing_but(allowed);
    let options = || RunOptions::default().at(place.clone(), None);
    Ok(match verb {
        Verb::Gateway(own) => part(Part::Gateway, own),
        Verb::Accounts(own) => part(Part::Accounts, own),
        Verb::Transactions(own) => part(Part::Transactions, own),
        Verb::Identity(own) => part(Part::Identity, own),
        Verb::Partners(own) => part(Part::Partners, own),
        Verb::Status { admin, output } => {
            only(&["--admin"])?;
            let admin = RunOptions { admin, ..RunOptions::default() };
            Command::Status { options: run.with(admin).at(place, None), as_json: output.json }
        }
        Verb::Check { started, run: own, output } => {
            let part = started.and_then(Started::part);
            Command::Check { options: run.with(own).at(place, part), started, as_json: output.json }
        }
        Verb::Config(ConfigVerb::Show { started, run: own, output }) => {
            let part = started.and_then(Started::part);
            Command::ShowConfig { options: run.with(own).at(place, part), as_json: output.json }
        }
        Verb::Config(ConfigVerb::Reference) => Command::ConfigReference,
        Verb::Doctor(output) => {
            only(&[])?;
            Command::Doctor { options: options(), as_json: output.json }
        }
        Verb::User(verb) => {
            only(&[])?;
            let what = match verb {
                UserVerb::Add(new) => UserCommand::Add(new),
                UserVerb::Passwd { username, password } => {
                    UserCommand::Password { username, generate: password.generate }
                }
                UserVerb::Role { username, roles } => UserCommand::Roles { username, roles },
                UserVerb::Disable { username } => UserCommand::Disable { username, is_disabled: true },
                UserVerb::Enable { username } => UserCommand::Disable { username, is_disabled: false },
                UserVerb::List(output) => UserCommand::List { as_json: output.json },
            };
            Command::User(what, options())
        }
        Verb::Seed(seed) => {
            only(&[])?;
            Command::Seed(seed, options())
        }
        Verb::Backup { directory, without } => {
            only(&[])?;
            let without = without.into_iter().map(ServiceName::part).collect();
            Command::Backup { directory, without, options: options() }
        }
        Verb::Restore { directory, parts, replace } => {
            only(&[])?;
            let what = Restore { only: parts.into_iter().map(ServiceName::part).collect(), replace };
            Command::Restore { directory, what, options: options() }
        }
        Verb::Audit(AuditVerb::Verify { file, head, output }) => {
            only(&[])?;
            Command::VerifyAudit { file, head, as_json: output.json }
        }
        Verb::Ledger(verb) => {
            only(&[])?;
            let (what, output) = match verb {
                LedgerVerb::Verify { head, output } => (Ledger::Verify(head), output),
                LedgerVerb::Backup { file } => (Ledger::Backup(file), Output::default()),
                LedgerVerb::Restore { file } => (Ledger::Restore(file), Output::default()),
            };
            Command::Ledger { what, options: options(), as_json: output.json }
        }
        Verb::Seal(verb) => {
            only(&[])?;
            let (what, output) = match verb {
                SealVerb::Status(output) => (SealCommand::Status, output),
                SealVerb::Rotate => (SealCommand::Rotate, Output::default()),
                SealVerb::Retire { key } => (SealCommand::Retire(key), Output::default()),
                SealVerb::Shred { customer } => (SealCommand::Shred(customer), Output::default()),
                SealVerb::Reseal => (SealCommand::Reseal, Output::default()),
            };
            Command::Seal { what, options: options(), as_json: output.json }
        }
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "bank", &mut script);
            Command::Print(String::from_utf8_lossy(&script).into_owned())
        }
        Verb::Man => Command::Print(manual()?),
    })
}
