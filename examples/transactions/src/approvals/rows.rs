//! The rows that an approval leaves in the store, and their keys.
//!
//! | Partition | Sort | Holds |
//! | --- | --- | --- |
//! | `approval#ID` | `approval` | the approval; stays |
//! | `approvals` | time `#` ID | the same, for the list |
//! | `approving` | ID | that it was approved and has to be done |
//! | `standing#ACCOUNT` | `standing` | which proposal to freeze or unfreeze the account came last; stays |

use std::time::Duration;

use bank_stores::items::{Change, Key};
use bank_stores::{Result, Timestamp};
use serde::{Deserialize, Serialize};

use crate::wire::{Approval, ApprovalKind, ApprovalMove, ApprovalStatus, StaffMember};

/// How long an approval can be decided.
const FOR: Duration = Duration::from_secs(24 * 3_600);

/// The partition of the list.
pub(super) const LIST: &str = "approvals";
/// The partition of what has to be done.
pub(super) const TO_DO: &str = "approving";

/// An approval as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) what: What,
    pub(super) reason: String,
    pub(super) proposed_by: StaffMember,
    pub(super) proposed_at: Timestamp,
    pub(super) decided: Option<Decided>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum What {
    Freeze { account: String },
    Unfreeze { account: String },
    Reversal { posting: String, moves: Vec<ApprovalMove> },
}

/// Who decided, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Decided {
    pub(super) by: StaffMember,
    pub(super) at: Timestamp,
    pub(super) reason: Option<String>,
    pub(super) outcome: Outcome,
}

/// What came of a decision. `Approved` becomes `Completed` or `Failed`, once; the others stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum Outcome {
    Rejected,
    Approved,
    Completed { at: Timestamp },
    Failed { code: String },
}

/// The last proposal about an account's status. While it is open or being done there is no other, so that what was proposed before
/// something else happened to the account is never done after it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) approval: String,
}

/// That an approval has to be done.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ToDo {
    pub(super) id: String,
    pub(super) approved_at: Timestamp,
}

impl What {
    /// What it is, and of which account or posting.
    pub(super) fn target(&self) -> (ApprovalKind, &str) {
        match self {
            Self::Freeze { account } => (ApprovalKind::Freeze, account),
            Self::Unfreeze { account } => (ApprovalKind::Unfreeze, account),
            Self::Reversal { posting, .. } => (ApprovalKind::Reversal, posting),
        }
    }

    /// The account whose status it changes.
    pub(super) fn standing(&self) -> Option<&str> {
        match self {
            Self::Freeze { account } | Self::Unfreeze { account } => Some(account),
            Self::Reversal { .. } => None,
        }
    }
}

impl Stored {
    /// Until when it can be decided.
    pub(super) fn expires_at(&self) -> Timestamp {
        self.proposed_at.saturating_add(FOR)
    }

    pub(super) fn status(&self, now: Timestamp) -> ApprovalStatus {
        match self.decided.as_ref().map(|decided| &decided.outcome) {
            None if now >= self.expires_at() => ApprovalStatus::Expired,
            None => ApprovalStatus::Open,
            Some(Outcome::Rejected) => ApprovalStatus::Rejected,
            Some(Outcome::Approved) => ApprovalStatus::Approved,
            Some(Outcome::Completed { .. }) => ApprovalStatus::Completed,
            Some(Outcome::Failed { .. }) => ApprovalStatus::Failed,
        }
    }

    /// Whether this person has decided so. What was approved stays so, whatever came of it.
    pub(super) fn was_decided(&self, by: &str, so: &Outcome) -> bool {
        self.decided.as_ref().is_some_and(|decided| {
            decided.by.id == by && (decided.outcome == Outcome::Rejected) == (*so == Outcome::Rejected)
        })
    }

    /// As members of staff see it.
    pub(super) fn seen(&self, now: Timestamp) -> Approval {
        let (kind, account, posting, moves) = match self.what.clone() {
            What::Freeze { account } => (ApprovalKind::Freeze, Some(account), None, Vec::new()),
            What::Unfreeze { account } => (ApprovalKind::Unfreeze, Some(account), None, Vec::new()),
            What::Reversal { posting, moves } => (ApprovalKind::Reversal, None, Some(posting), moves),
        };
        let decided = self.decided.as_ref();
        let (code, completed_at) = match decided.map(|decided| &decided.outcome) {
            Some(Outcome::Failed { code }) => (Some(code.clone()), None),
            Some(Outcome::Completed { at }) => (None, Some(*at)),
            _ => (None, None),
        };
        Approval {
            id: self.id.clone(),
            kind,
            account,
            posting,
            moves,
            reason: self.reason.clone(),
            status: self.status(now),
            code,
            proposed_by: self.proposed_by.clone(),
            proposed_at: self.proposed_at,
            expires_at: self.expires_at(),
            decided_by: decided.map(|decided| decided.by.clone()),
            decided_at: decided.map(|decided| decided.at),
            decision_reason: decided.and_then(|decided| decided.reason.clone()),
            completed_at,
        }
    }

    /// The change that writes it, to which a condition belongs, and the one that writes its copy in the list.
    pub(super) fn changes(&self) -> Result<(Change, Change)> {
        let place = format!("{:020}#{}", self.proposed_at.micros(), self.id);
        Ok((Change::put(approval_key(&self.id), self)?, Change::put(Key::new(LIST, place), self)?))
    }

    /// The id of the ledger's command that does it. Each approval has its own, so that it is done once.
    pub(super) fn command(&self) -> String {
        let prefix = match self.what {
            What::Freeze { .. } | What::Unfreeze { .. } => "chg_",
            What::Reversal { .. } => "rev_",
        };
        format!("{prefix}{}", self.id.strip_prefix(PREFIX).unwrap_or(&self.id))
    }
}

/// What an approval's id begins with.
pub(super) const PREFIX: &str = "apr_";

pub(super) fn approval_key(id: &str) -> Key {
    Key::new(format!("approval#{id}"), "approval")
}

pub(super) fn to_do_key(id: &str) -> Key {
    Key::new(TO_DO, id)
}

pub(super) fn standing_key(account: &str) -> Key {
    Key::new(format!("standing#{account}"), "standing")
}
