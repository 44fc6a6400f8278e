//! Somebody else decides, once.

use std::sync::Arc;

use bank_sdk::{Call, Problem};
use bank_stores::items::{Change, Condition, Transaction};
use bank_stores::{ErrorKind, ItemsExt};
use http::StatusCode;

use crate::approvals::checked_reason;
use crate::approvals::rows::{Decided, Outcome, PREFIX, Stored, ToDo, to_do_key};
use crate::approvals::standing::superseded;
use crate::service::Transactions;
use crate::wire::{Approval, ApprovalStatus, Decision};

impl Transactions {
    /// Approves, then does what was approved. Where that takes longer than the call, it is done all the same.
    pub(crate) async fn approve(self: Arc<Self>, call: Call<Decision>) -> Result<Approval, Problem> {
        let (stored, version) = self.decide(&call, Outcome::Approved).await?;
        // A tenth of the time is left for the answer.
        let left = call.time_left();
        let patience = self.patience.min(left - left / 10);
        let done = tokio::time::timeout(patience, self.carry_out(&stored, version)).await;
        if let Ok(Err(problem)) = &done {
            tracing::warn!(approval = %stored.id, %problem, "what was approved has to wait");
        }
        // It is approved, whether or not the store can be asked how far it is by now.
        let now = match self.approval(&stored.id).await {
            Ok(now) => now.map_or(stored, |(stored, _)| stored),
            Err(problem) => {
                tracing::warn!(approval = %stored.id, %problem, "what was approved cannot be read again now");
                stored
            }
        };
        Ok(now.seen(self.clock.now()))
    }

    pub(crate) async fn reject(self: Arc<Self>, call: Call<Decision>) -> Result<Approval, Problem> {
        let (stored, _) = self.decide(&call, Outcome::Rejected).await?;
        Ok(stored.seen(self.clock.now()))
    }

    /// Writes a decision, if it may be made: the approval as decided, and its version. Where the caller has made the same decision
    /// before, it stands as it is: the first answer may have been lost.
    async fn decide(&self, call: &Call<Decision>, outcome: Outcome) -> Result<(Stored, u64), Problem> {
        let Decision { id, reason } = &call.input;
        let reason = reason.as_deref().map(checked_reason).transpose()?.map(ToOwned::to_owned);
        // What has not the form of an id names nothing.
        if !id.starts_with(PREFIX) || id.len() > 64 {
            return Err(Problem::not_found());
        }
        let (stored, version) = self.approval(id).await?.ok_or_else(Problem::not_found)?;
        let subject = call.subject()?;
        if stored.proposed_by.id == subject {
            let detail = "nobody decides what they proposed themselves; ask a colleague";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail).with_code("own_proposal"));
        }
        let now = self.clock.now();
        match stored.status(now) {
            ApprovalStatus::Open => {}
            ApprovalStatus::Expired => {
                let detail = "nobody decided this within a day; propose it again";
                return Err(Problem::new(StatusCode::CONFLICT, detail).with_code("approval_expired"));
            }
            _ if stored.was_decided(subject, &outcome) => return Ok((stored, version)),
            _ => return Err(already_decided()),
        }
        let approved = outcome == Outcome::Approved;
        let standing = match stored.what.standing().filter(|_| approved) {
            Some(account) => Some(self.still_stands(account, &stored).await?),
            None => None,
        };
        let by = self.staff_member(call).await?;
        let stored =
            Stored { decided: Some(Decided { by, at: now, reason, outcome: outcome.clone() }), ..stored };
        let (approval, listed) = stored.changes()?;
        // The request's own id: two decisions are never taken for one.
        let mut transaction = Transaction::new(format!("decide:{id}:{}", call.request_id.as_str()))
            .change(approval.when(Condition::Version(version)))
            .change(listed);
        if approved {
            let to_do = ToDo { id: id.clone(), approved_at: now };
            transaction = transaction.change(Change::put(to_do_key(id), &to_do)?.when(Condition::Absent));
        }
        let transaction = standing.into_iter().fold(transaction, Transaction::change);
        match self.items.commit_one(transaction).await {
            Ok(committed) => {
                let version = committed.versions.first().copied().ok_or_else(Problem::internal)?;
                Ok((stored, version))
            }
            // Somebody else was faster: with this approval, or with another one of the same account.
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Conflict) => {
                let (now, version) = self.approval(id).await?.ok_or_else(Problem::internal)?;
                match now.decided {
                    None => Err(superseded()),
                    Some(_) if now.was_decided(subject, &outcome) => Ok((now, version)),
                    Some(_) => Err(already_decided()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn already_decided() -> Problem {
    Problem::new(StatusCode::CONFLICT, "this was decided before").with_code("already_decided")
}
