//! What can be started.

use clap::ValueEnum;

/// A part of the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Gateway,
    Accounts,
    Transactions,
    Identity,
    Partners,
}

impl Part {
    pub(crate) const SERVICES: [Self; 4] =
        [Self::Accounts, Self::Transactions, Self::Identity, Self::Partners];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Accounts => "accounts",
            Self::Transactions => "transactions",
            Self::Identity => "identity",
            Self::Partners => "partners",
        }
    }
}

/// A service, as it is named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceName {
    /// The ledger
    Accounts,
    /// Transfers
    Transactions,
    /// Users and sessions
    Identity,
    /// Notifications
    Partners,
}

impl ServiceName {
    pub(crate) const fn part(self) -> Part {
        match self {
            Self::Accounts => Part::Accounts,
            Self::Transactions => Part::Transactions,
            Self::Identity => Part::Identity,
            Self::Partners => Part::Partners,
        }
    }
}

/// The whole bank, or a part of it, as it would be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Started {
    /// All in one process
    Bank,
    /// `bank gateway`
    Gateway,
    /// `bank accounts`
    Accounts,
    /// `bank transactions`
    Transactions,
    /// `bank identity`
    Identity,
    /// `bank partners`
    Partners,
}

impl Started {
    /// One by one.
    pub(crate) const PARTS: [Self; 5] =
        [Self::Gateway, Self::Accounts, Self::Transactions, Self::Identity, Self::Partners];

    /// The part, where it is one.
    pub(crate) const fn part(self) -> Option<Part> {
        match self {
            Self::Bank => None,
            Self::Gateway => Some(Part::Gateway),
            Self::Accounts => Some(Part::Accounts),
            Self::Transactions => Some(Part::Transactions),
            Self::Identity => Some(Part::Identity),
            Self::Partners => Some(Part::Partners),
        }
    }

    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        self.part().map_or("the whole bank", Part::name)
    }
}
