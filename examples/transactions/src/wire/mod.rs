//! What goes over the wire.

use bank_sdk::Limit;
use bank_stores::{Currency, Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod approvals;

pub use approvals::{
    Approval, ApprovalKind, ApprovalMove, ApprovalStatus, ApprovalsOf, Decision, NewReversalProposal,
    NewStatusProposal, Proposed, StaffMember,
};

/// The longest reference, in characters.
pub const MAX_REFERENCE: usize = 140;
/// What is longer than this cannot be an account's id.
pub const MAX_ACCOUNT: usize = 128;

/// Money to be sent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NewTransfer {
    /// From which account of the caller.
    pub from: String,
    /// To which account.
    #[schemars(length(min = 1, max = MAX_ACCOUNT))]
    pub to: String,
    /// How much, more than nothing.
    pub amount: Money,
    /// What both sides read, at most 140 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_REFERENCE))]
    pub reference: Option<String>,
}

/// A transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transfer {
    /// Its id, `trf_…`.
    pub id: String,
    /// How far it is.
    pub status: TransferStatus,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// From which account.
    pub from: String,
    /// To which account.
    pub to: String,
    /// How much.
    pub amount: Money,
    /// What both sides read.
    pub reference: Option<String>,
    /// Whether the caller sends or receives; money between two accounts of the caller is sent, unless the account asked
    /// for is the one that receives.
    pub direction: Direction,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the money was moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TransferStatus {
    /// It is being worked on, and will end in one of the others without being asked for again.
    Pending,
    /// The money was moved.
    Completed,
    /// The money was not moved, and will not be.
    Rejected,
}

/// Which way the money goes, seen from the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To the caller.
    In,
    /// From the caller.
    Out,
}

/// Names a transfer in the path.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TransferPath {
    /// The transfer.
    pub id: String,
}

/// Which page of which transfers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TransfersOf {
    /// Of which account of the caller; of all where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// How many, 1 to 200; 50 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z0-9_~-]+$"))]
    pub after: Option<String>,
}

/// Whom to find.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PayeesOf {
    /// The whole user name.
    pub username: String,
    /// How many of the customer's accounts, 1 to 200; 50 where it is left out. A page may have fewer while it has `next`, since
    /// accounts that are not open are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z0-9_~-]+$"))]
    pub after: Option<String>,
}

/// Names an account in the path.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PayeePath {
    /// The account.
    pub account: String,
}

/// Who would be paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Payee {
    /// The account that would be paid.
    pub account: String,
    /// The name of whose it is.
    pub name: String,
    /// The currency it takes.
    pub currency: Currency,
}

/// The topics of the events, and what they carry.
pub mod event {
    use super::{Deserialize, Direction, Money, Serialize, Timestamp};

    /// The money was moved.
    pub const COMPLETED: &str = "transfer.completed";
    /// The money was not moved, and will not be.
    pub const REJECTED: &str = "transfer.rejected";

    /// What happened to a transfer, as it is told to one of its sides.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Settled {
        /// The transfer.
        pub transfer: String,
        /// Who is told: the sender of what went out, or the receiver of what came in.
        pub side: Direction,
        /// From which account.
        pub from: String,
        /// To which account.
        pub to: String,
        /// How much.
        pub amount: Money,
        /// What both sides read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reference: Option<String>,
        /// Who sent it.
        pub from_owner: String,
        /// Who received it; nobody, where it was rejected.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub to_owner: Option<String>,
        /// Why it was rejected.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub code: Option<String>,
        /// When this happened.
        pub at: Timestamp,
    }
}
