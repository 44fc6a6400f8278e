//! The commands, as they are typed.

use std::path::PathBuf;

use bank_stores::ledger::ChainHead;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::options::{PlaceOptions, RunOptions};
use super::part::{ServiceName, Started};
use super::texts;
use super::users::UserVerb;

#[derive(Debug, Parser)]
#[command(name = "bank", version, about = texts::ABOUT, after_help = texts::EXAMPLES, after_long_help = texts::MORE)]
#[command(styles = texts::STYLES)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) place: PlaceOptions,
    #[command(flatten)]
    pub(super) run: RunOptions,
    #[command(subcommand)]
    pub(super) verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
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
    /// Copies the whole bank into a new directory, beside a bank that runs
    #[command(after_help = texts::BACKUP)]
    Backup {
        /// The directory, which is not there yet
        directory: PathBuf,
        /// A part that is left out, since the server that has its data copies it; may be given several times
        #[arg(long, value_name = "PART")]
        without: Vec<ServiceName>,
    },
    /// Puts a backup into the data directory, while no bank runs
    #[command(after_help = texts::RESTORE)]
    Restore {
        /// The backup
        directory: PathBuf,
        /// This part alone; may be given several times
        #[arg(long = "part", value_name = "PART")]
        parts: Vec<ServiceName>,
        /// Also where there is data already, which is kept as FILE.replaced-…
        #[arg(long)]
        replace: bool,
    },
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
pub(super) struct Output {
    /// Prints JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
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
pub(super) enum AuditVerb {
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
pub(super) enum LedgerVerb {
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
pub(super) enum SealVerb {
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
    /// Seals what was written in the clear before, while no bank runs
    Reseal,
}
