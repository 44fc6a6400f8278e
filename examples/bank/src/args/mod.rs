//! The command line.

use std::ffi::OsString;

use clap::Parser as _;

use crate::Fatal;

mod command;
mod manual;
mod one_line;
mod options;
mod part;
mod texts;
mod users;
mod verbs;

use command::command;
pub(crate) use command::{Command, Ledger, SealCommand};
use one_line::one_line;
use options::repeated;
pub(crate) use options::{Options, TlsChoice};
pub(crate) use part::{Part, Started};
pub(crate) use users::{Role, UserCommand};
use verbs::Cli;
pub(crate) use verbs::Seed;

/// Reads the command line, the program's name first.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, Fatal> {
    // It says `bank` of itself, whatever its file is called.
    let arguments: Vec<OsString> = std::iter::once("bank".into()).chain(arguments.skip(1)).collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            // On a terminal in colours.
            return match error.print() {
                Ok(()) => Ok(Command::Print(String::new())),
                Err(error) => Err(Fatal::new(error)),
            };
        }
        Err(error) => return Err(Fatal::usage(one_line(&error))),
    };
    // Before a command and behind it they are two options to the parser, and one to whoever types them.
    if let Some(option) = repeated(&arguments) {
        return Err(Fatal::usage(format!("{option} is given twice; give it once")));
    }
    command(cli)
}

#[cfg(test)]
mod tests;
