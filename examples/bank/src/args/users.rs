//! `bank user`, as it is typed and as it was asked for.

use clap::{Args, Subcommand, ValueEnum};

use super::verbs::Output;

#[derive(Debug, Subcommand)]
pub(super) enum UserVerb {
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
    /// Watches how the bank runs, and decides on what others propose
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

/// What is done with users.
#[derive(Debug)]
pub(crate) enum UserCommand {
    Add(NewUser),
    Password { username: String, generate: bool },
    Roles { username: String, roles: Vec<Role> },
    Disable { username: String, is_disabled: bool },
    List { as_json: bool },
}
