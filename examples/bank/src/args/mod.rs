//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use bank_stores::ledger::ChainHead;
use clap::error::ContextKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::Fatal;

mod options;
mod part;
mod texts;

pub(crate) use options::{Options, TlsChoice};
use options::{PlaceOptions, RunOptions, repeated};
pub(crate) use part::{Part, Started};

#[derive(Debug, Parser)]
#[command(name = "bank", version, about = texts::ABOUT, after_help = texts::EXAMPLES, after_long_help = texts::MORE)]
#[command(styles = texts::STYLES)]
struct Cli {
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    run: RunOptions,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs the gateway alone, in front of parts that are processes of their own
    #[command(after_help = texts::GATEWAY)]
    Gateway(RunOptions),
    /// Runs the accounts service alone: the ledger
    Accounts(RunOptions),
    /// Runs the transactions service alone: transfers
    Transactions(RunOptions),
    /// Runs the identity service alone: users and sessions
    Identity(RunOptions),
    /// Runs the partners service alone: notifications
    Partners(RunOptions),
    /// Asks a bank that runs how it is
    #[command(after_help = texts::STATUS)]
    Status {
        /// The address of the admin pages
        #[arg(long, value_name = "ADDR")]
        admin: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Checks the configuration, and names all that is wrong with it
    #[command(after_help = texts::CHECK)]
    Check {
        /// As if this were started; without it, whatever the file is for
        #[arg(value_name = "WHAT")]
        started: Option<Started>,
        #[command(flatten)]
        run: RunOptions,
        #[command(flatten)]
        output: Output,
    },
    /// Shows the configuration, and what can stand in it
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Looks at the machine and the data: what is well, and what to do about the rest
    #[command(after_help = texts::DOCTOR)]
    Doctor(Output),
    /// Adds staff, changes passwords and roles, and locks users out
    #[command(subcommand, after_help = texts::USER)]
    User(UserVerb),
    /// Fills a bank with customers who have lived with it for a while
    #[command(after_help = texts::SEED)]
    Seed(Seed),
    /// Checks the audit
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Verifies, copies and puts back the ledger's file
    #[command(subcommand, after_help = texts::LEDGER)]
    Ledger(LedgerVerb),
    /// Looks after the keys that data is sealed with
    #[command(subcommand)]
    Seal(SealVerb),
    /// Prints what a shell needs to complete commands
    #[command(after_help = texts::COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints the manual page
    Man,
}

#[derive(Clone, Copy, Debug, Default, Args)]
struct Output {
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Prints the value of each key, and who said it; passwords are left out
    Show {
        /// As if this were started
        #[arg(value_name = "WHAT")]
        started: Option<Started>,
        #[command(flatten)]
        run: RunOptions,
        #[command(flatten)]
        output: Output,
    },
    /// Prints the reference of all keys, in markdown
    Reference,
}

#[derive(Debug, Subcommand)]
enum UserVerb {
    /// Makes a user; the password is asked for, or read from standard input
    Add(NewUser),
    /// Gives a user another password, and ends their sessions
    Passwd {
        /// The name to sign in with
        username: String,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Says which roles a user has from now on, and ends their sessions
    Role {
        /// The name to sign in with
        username: String,
        /// The roles; none for a customer without any
        #[arg(value_name = "ROLE")]
        roles: Vec<Role>,
    },
    /// Locks a user out: they cannot sign in, and their sessions end
    Disable {
        /// The name to sign in with
        username: String,
    },
    /// Lets a user in again
    Enable {
        /// The name to sign in with
        username: String,
    },
    /// Lists staff, and users who are locked out
    List(Output),
}

#[derive(Debug, Args)]
pub(crate) struct NewUser {
    /// The name to sign in with: 3 to 32 of a-z, 0-9, `.`, `_` and `-`
    pub(crate) username: String,
    /// What the user is in the bank; may be given several times
    #[arg(long = "role", value_name = "ROLE")]
    pub(crate) roles: Vec<Role>,
    /// What people call them; the name to sign in with, without it
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Where they are reached
    #[arg(long)]
    pub(crate) email: Option<String>,
    #[command(flatten)]
    pub(crate) password: PasswordSource,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PasswordSource {
    /// Makes a password and prints it
    #[arg(long)]
    pub(crate) generate: bool,
}

/// What a member of staff may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Pays cash in and out
    Teller,
    /// Reads the books
    Auditor,
    /// Admits partners
    Operator,
}

impl Role {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Teller => "teller",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
        }
    }
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Seed {
    /// How many customers there are
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub(crate) customers: u32,
    /// For how many days they have been there
    #[arg(long, value_name = "D", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub(crate) days: u32,
}

#[derive(Debug, Subcommand)]
enum AuditVerb {
    /// Checks the chain of an audit file, and of those that were rotated away beside it
    #[command(after_help = texts::AUDIT)]
    Verify {
        /// The file that is appended to
        file: PathBuf,
        /// A head that was kept: its record must still be there
        #[arg(long, value_name = "[N:]HASH")]
        head: Option<String>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
enum LedgerVerb {
    /// Checks the chain, and balances against entries
    Verify {
        /// A head of the chain that was kept: all up to it must be as it was
        #[arg(long, value_name = "N:HASH", value_parser = head)]
        head: Option<ChainHead>,
        #[command(flatten)]
        output: Output,
    },
    /// Copies the ledger, beside a bank that runs, and verifies the copy
    Backup {
        /// The copy, which is not there yet
        file: PathBuf,
    },
    /// Puts a verified copy in the ledger's place, while no bank runs
    Restore {
        /// The copy
        file: PathBuf,
    },
}

fn head(text: &str) -> Result<ChainHead, String> {
    text.parse().map_err(|error: bank_stores::Error| error.to_string())
}

#[derive(Debug, Subcommand)]
enum SealVerb {
    /// Tells under which master key the data keys of each part are
    Status(Output),
    /// Makes a new master key; a bank that runs takes it up by itself
    Rotate,
    /// Removes an old master key that nothing is under any more
    Retire {
        /// Its name, as `bank seal status` tells it
        key: String,
    },
    /// Makes what is sealed of a customer unreadable for good, while no bank runs
    Shred {
        /// The customer's id, `cus_…`
        customer: String,
    },
    /// Seals notifications that were written before, while no bank runs
    Reseal,
}

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

/// What is done with users.
#[derive(Debug)]
pub(crate) enum UserCommand {
    Add(NewUser),
    Password { username: String, generate: bool },
    Roles { username: String, roles: Vec<Role> },
    Disable { username: String, is_disabled: bool },
    List { as_json: bool },
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

/// Reads the command line, the program's name first.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, Fatal> {
    let arguments: Vec<OsString> = arguments.collect();
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

fn command(Cli { place, run, verb }: Cli) -> Result<Command, Fatal> {
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

/// One manual for the program and all of its commands.
fn manual() -> Result<String, Fatal> {
    let mut page = Vec::new();
    let mut whole = Cli::command();
    whole.build();
    clap_mangen::Man::new(whole.clone()).render(&mut page).map_err(Fatal::new)?;
    for command in whole.get_subcommands() {
        section_of(command, &mut page)?;
    }
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// A section for a command, and one for each of those below it.
fn section_of(command: &clap::Command, page: &mut Vec<u8>) -> Result<(), Fatal> {
    if command.get_name() == "help" {
        return Ok(());
    }
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_uppercase();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let man = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    man.render_synopsis_section(&mut text).map_err(Fatal::new)?;
    man.render_options_section(&mut text).map_err(Fatal::new)?;
    let text = String::from_utf8_lossy(&text).replace(".SH SYNOPSIS\n", "").replace(".SH OPTIONS\n", "");
    page.extend_from_slice(format!(".SH \"{name}\"\n{about}.\n.PP\n{text}").as_bytes());
    command.get_subcommands().try_for_each(|inner| section_of(inner, page))
}

/// What is wrong with a command line, and what would do.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut said: Vec<String> = Vec::new();
    for paragraph in text.split("\n\n") {
        let words = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_advice = words.starts_with("Usage:") || words.starts_with("For more information");
        if !words.is_empty() && !is_advice {
            said.push(words.strip_prefix("error: ").unwrap_or(&words).to_owned());
        }
    }
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let command = commands_of(&usage);
    format!("{}; see `{command} --help`", said.join("; "))
}

/// The commands at the start of a line of usage: `bank ledger verify`.
fn commands_of(usage: &str) -> String {
    let words = usage.trim_start_matches("Usage:").split_whitespace();
    let plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let words: Vec<&str> = words.take_while(plain).collect();
    if words.is_empty() { "bank".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests;
