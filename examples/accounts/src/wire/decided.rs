//! What two members of staff decided, and what the ledger makes of it.

use bank_stores::{Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AccountStatus;

/// Names a posting in the path.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PostingPath {
    /// The posting.
    pub id: String,
}

/// A posting, as whoever thinks about undoing it sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostingFacts {
    /// The posting.
    pub id: String,
    /// What it moved, account by account.
    pub legs: Vec<PostingLeg>,
    /// Whether it can be undone: it was not undone before, and undoes nothing itself.
    pub reversible: bool,
}

/// What a posting does to one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostingLeg {
    /// The account.
    pub account: String,
    /// What is added; negative amounts are taken away.
    pub amount: Money,
}

/// Whether an account is to take part in payments.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NewStatus {
    /// The account.
    pub id: String,
    /// The caller's id of the change: the same id is the same change, however often it is sent.
    pub change: String,
    /// What it is from now on: open or frozen.
    pub status: AccountStatus,
}

/// A posting to be undone.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NewReversal {
    /// The caller's id of the reversal: the same id is the same reversal, however often it is sent.
    pub id: String,
    /// The posting.
    pub posting: String,
}

/// What became of what was decided. It is final: the same id never becomes anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Decided {
    /// It was done.
    Done {
        /// When.
        at: Timestamp,
    },
    /// The ledger's rules refuse it.
    Refused {
        /// Why, for a program.
        code: String,
    },
}
