//! What one member of staff proposes and another one decides.

use bank_sdk::Limit;
use bank_stores::{Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An account to be frozen or unfrozen.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NewStatusProposal {
    /// The account.
    pub id: String,
    /// Why, 1 to 200 characters.
    #[schemars(length(min = 1, max = 200))]
    pub reason: String,
}

/// A posting to be undone.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NewReversalProposal {
    /// The posting: a transfer, deposit, withdrawal or capture.
    pub posting: String,
    /// Why, 1 to 200 characters.
    #[schemars(length(min = 1, max = 200))]
    pub reason: String,
}

/// What was proposed waits for somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proposed {
    /// The approval that it needs, `apr_…`.
    pub approval: String,
}

/// Which page of the approvals.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ApprovalsOf {
    /// Only those that stand so; a page may then be short or empty while it has `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ApprovalStatus>,
    /// How many, 1 to 200; 50 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z0-9_~-]+$"))]
    pub after: Option<String>,
}

/// A decision about an approval.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Decision {
    /// The approval.
    pub id: String,
    /// Why, 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub reason: Option<String>,
}

/// What was proposed, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// Its id, `apr_…`.
    pub id: String,
    /// What is to be done.
    pub kind: ApprovalKind,
    /// The account to be frozen or unfrozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The posting to be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posting: Option<String>,
    /// What would be moved, account by account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<ApprovalMove>,
    /// Why it was proposed.
    pub reason: String,
    /// How far it is.
    pub status: ApprovalStatus,
    /// Why it could not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Who proposed it.
    pub proposed_by: StaffMember,
    /// When.
    pub proposed_at: Timestamp,
    /// Until when it can be decided.
    pub expires_at: Timestamp,
    /// Who decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<StaffMember>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
    /// Why it was decided so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_reason: Option<String>,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ApprovalKind {
    /// No money comes to an account or leaves it.
    Freeze,
    /// It does again.
    Unfreeze,
    /// A posting is undone by another one.
    Reversal,
}

/// What would be done to one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalMove {
    /// The account.
    pub account: String,
    /// What would be added; negative amounts would be taken away.
    pub amount: Money,
}

/// Somebody who works at the bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StaffMember {
    /// The id, `cus_…`.
    pub id: String,
    /// What they are called, where that could be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How far an approval is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ApprovalStatus {
    /// It waits for somebody else.
    Open,
    /// It was approved, and is being done; nobody has to ask again.
    Approved,
    /// It was approved and done.
    Completed,
    /// It was approved, and the ledger's rules refuse it.
    Failed,
    /// It was not approved, and will not be done.
    Rejected,
    /// Nobody decided it in time, and it will not be done.
    Expired,
}
