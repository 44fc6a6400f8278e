//! One proposal at a time about the status of an account.

use bank_sdk::Problem;
use bank_stores::items::{Change, Condition};
use bank_stores::{Consistency, ItemsExt};
use http::StatusCode;

use crate::approvals::rows::{Standing, Stored, standing_key};
use crate::service::Transactions;
use crate::wire::{ApprovalKind, ApprovalStatus};

impl Transactions {
    /// The change that makes this the account's last proposal: 409, which names the other one, where that is open or being done.
    pub(super) async fn stand(&self, account: &str, approval: &str) -> Result<Change, Problem> {
        let change = Change::put(standing_key(account), &Standing { approval: approval.to_owned() })?;
        let Some((last, version)) = self.standing(account).await? else {
            return Ok(change.when(Condition::Absent));
        };
        if let Some((last, _)) = self.approval(&last.approval).await? {
            let status = last.status(self.clock.now());
            if matches!(status, ApprovalStatus::Open | ApprovalStatus::Approved) {
                return Err(already_proposed(&last, status));
            }
        }
        Ok(change.when(Condition::Version(version)))
    }

    /// The change under which an approval of this is still the account's last proposal: 409 where another one came after it.
    pub(super) async fn still_stands(&self, account: &str, stored: &Stored) -> Result<Change, Problem> {
        match self.standing(account).await? {
            Some((last, version)) if last.approval == stored.id => {
                Ok(Change::check(standing_key(account), Condition::Version(version)))
            }
            Some(_) => Err(superseded()),
            // It was proposed before proposals were noted by account: the first one that is approved is the only one.
            None => {
                let standing = Standing { approval: stored.id.clone() };
                Ok(Change::put(standing_key(account), &standing)?.when(Condition::Absent))
            }
        }
    }

    async fn standing(&self, account: &str) -> Result<Option<(Standing, u64)>, Problem> {
        Ok(self.items.get_json(&standing_key(account), Consistency::Current).await?)
    }
}

/// 409: something else was proposed of the account since.
pub(super) fn superseded() -> Problem {
    let detail = "another proposal about this account came after this one; propose it again";
    Problem::new(StatusCode::CONFLICT, detail).with_code("superseded")
}

fn already_proposed(last: &Stored, status: ApprovalStatus) -> Problem {
    let what = match last.what.target().0 {
        ApprovalKind::Unfreeze => "unfreeze",
        _ => "freeze",
    };
    let id = &last.id;
    let detail = match status {
        ApprovalStatus::Open => {
            format!("approval `{id}` to {what} this account is open: approve or reject it first")
        }
        _ => format!("approval `{id}` to {what} this account is being carried out: wait until it is done"),
    };
    Problem::new(StatusCode::CONFLICT, detail).with_code("already_proposed").with_field("approval", id)
}
