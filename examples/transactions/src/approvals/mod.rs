//! Four eyes: what one member of staff proposes is done when another one approves it.
//!
//! ```text
//!           propose              approve (one transaction)               carry out
//! teller ──▶ open ──▶ another ──▶ approved, and a row of what is to do ──▶ accounts ──▶ completed | failed
//!              │          └─────▶ rejected
//!              └── a day ───────▶ expired
//! ```
//!
//! The ledger's command has an id that only the approval gives, so that it may be sent again by anybody at any time: whoever dies
//! between the decision and its effect leaves the row of what is to do, and [`Transactions::resume`] finds it.
//!
//! An account has one proposal at a time to freeze or unfreeze it: the next one waits until the first is done, rejected or expired. So
//! no old decision undoes a later one.

use std::sync::Arc;
use std::time::Duration;

use accounts::wire::{AccountPath, AccountStatus, PostingPath};
use bank_sdk::http::IDEMPOTENCY_REPLAYED;
use bank_sdk::text::is_printable;
use bank_sdk::{Call, List, Principal, Problem, Reply, page};
use bank_stores::items::{Condition, Query, Transaction};
use bank_stores::ledger::{AccountId, PostingId};
use bank_stores::{Consistency, ErrorKind, ItemsExt, random};
use http::{HeaderValue, StatusCode};
use identity::wire::CustomerPath;

use crate::approvals::rows::{LIST, PREFIX, Stored, What, approval_key};
use crate::begin::unprocessable;
use crate::replay::key_reused;
use crate::service::{Transactions, found};
use crate::wire::{
    Approval, ApprovalKind, ApprovalMove, ApprovalsOf, NewReversalProposal, NewStatusProposal, Proposed,
    StaffMember,
};

mod carry_out;
mod decide;
mod rows;
mod standing;

/// The longest reason, in characters.
const MAX_REASON: usize = 200;
/// A decision waits no longer for the name of who made it.
const NAMED_IN: Duration = Duration::from_secs(1);

impl Transactions {
    pub(crate) async fn propose_freeze(
        self: Arc<Self>,
        call: Call<NewStatusProposal>,
    ) -> Result<Reply<Proposed>, Problem> {
        self.propose(&call, ApprovalKind::Freeze, &call.input.id, &call.input.reason).await
    }

    pub(crate) async fn propose_unfreeze(
        self: Arc<Self>,
        call: Call<NewStatusProposal>,
    ) -> Result<Reply<Proposed>, Problem> {
        self.propose(&call, ApprovalKind::Unfreeze, &call.input.id, &call.input.reason).await
    }

    pub(crate) async fn propose_reversal(
        self: Arc<Self>,
        call: Call<NewReversalProposal>,
    ) -> Result<Reply<Proposed>, Problem> {
        self.propose(&call, ApprovalKind::Reversal, &call.input.posting, &call.input.reason).await
    }

    pub(crate) async fn approvals(
        self: Arc<Self>,
        call: Call<ApprovalsOf>,
    ) -> Result<List<Approval>, Problem> {
        let ApprovalsOf { status, limit, after } = &call.input;
        let query = Query::partition(LIST).page(page::newest_first(*limit, after.as_deref())?);
        let (page, now) = (self.items.query(&query).await?, self.clock.now());
        let mut items = Vec::with_capacity(page.items.len());
        for item in &page.items {
            // The others can be read, and one of them may be urgent.
            let approval = match item.json::<Stored>() {
                Ok(stored) => stored.seen(now),
                Err(error) => {
                    tracing::error!(%error, row = ?item.key, "an approval cannot be read and is left out");
                    continue;
                }
            };
            if status.is_none_or(|status| status == approval.status) {
                items.push(approval);
            }
        }
        Ok(List { items, next: page.next.map(|cursor| cursor.to_string()) })
    }

    async fn propose<I: Sync>(
        &self,
        call: &Call<I>,
        kind: ApprovalKind,
        target: &str,
        reason: &str,
    ) -> Result<Reply<Proposed>, Problem> {
        let reason = checked_reason(reason)?;
        let subject = call.subject()?;
        let key = call.idempotency_key.as_ref();
        let id = match key {
            Some(key) => key.derive_id(&self.derivation, PREFIX, subject, &call.operation),
            None => random::id(&*self.random, PREFIX),
        };
        // What the key stands for was looked at when it came first.
        if key.is_some()
            && let Some((stored, _)) = self.approval(&id).await?
        {
            return stored.proposed_again(kind, target, reason);
        }
        let what = match kind {
            ApprovalKind::Freeze => What::Freeze {
                account: self.account_that_is(call, target, AccountStatus::Open, "account_not_open").await?,
            },
            ApprovalKind::Unfreeze => What::Unfreeze {
                account: self
                    .account_that_is(call, target, AccountStatus::Frozen, "account_not_frozen")
                    .await?,
            },
            ApprovalKind::Reversal => self.reversal_of(call, target).await?,
        };
        let standing = match what.standing() {
            Some(account) => Some(self.stand(account, &id).await?),
            None => None,
        };
        let stored = Stored {
            id: id.clone(),
            what,
            reason: reason.to_owned(),
            proposed_by: self.staff_member(call).await?,
            proposed_at: self.clock.now(),
            decided: None,
        };
        let (approval, listed) = stored.changes()?;
        let account = stored.what.standing().map(ToOwned::to_owned);
        // The request's own id: two proposals are never taken for one.
        let transaction = Transaction::new(format!("propose:{id}:{}", call.request_id.as_str()))
            .change(approval.when(Condition::Absent))
            .change(listed.when(Condition::Absent));
        let transaction = standing.into_iter().fold(transaction, Transaction::change);
        match self.items.commit_one(transaction).await {
            Ok(_) => Ok(Reply::new(Proposed { approval: id })),
            // The same request came twice at once, or another one about the same account.
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Conflict) => {
                if let Some((stored, _)) = self.approval(&id).await? {
                    return stored.proposed_again(kind, target, reason);
                }
                let account = account.ok_or_else(Problem::internal)?;
                // Should the other one have ended by now, this one can be made.
                self.stand(&account, &id).await?;
                Err(Problem::unavailable())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The id of a customer's account, if it has this status.
    async fn account_that_is<I: Sync>(
        &self,
        call: &Call<I>,
        id: &str,
        status: AccountStatus,
        code: &'static str,
    ) -> Result<String, Problem> {
        // What has not the form of an id names nothing.
        AccountId::new(id).map_err(|_| Problem::not_found())?;
        let path = AccountPath { id: id.to_owned() };
        let asking = self.client.call(accounts::endpoints::RECORD, &path).on_behalf_of(caller(call)?);
        let account = found(asking.timeout(call.time_left()).send().await)?.ok_or_else(Problem::not_found)?;
        if account.status == status {
            return Ok(account.id);
        }
        let detail = match code {
            "account_not_open" => "the account is not open, so that it cannot be frozen",
            _ => "the account is not frozen",
        };
        Err(Problem::new(StatusCode::CONFLICT, detail).with_code(code))
    }

    async fn reversal_of<I: Sync>(&self, call: &Call<I>, posting: &str) -> Result<What, Problem> {
        PostingId::new(posting).map_err(|_| Problem::not_found())?;
        let path = PostingPath { id: posting.to_owned() };
        let asking = self.client.call(accounts::endpoints::POSTING, &path).on_behalf_of(caller(call)?);
        let facts = found(asking.timeout(call.time_left()).send().await)?.ok_or_else(Problem::not_found)?;
        if !facts.reversible {
            let detail = "the posting was undone before, or undoes another one";
            return Err(Problem::new(StatusCode::CONFLICT, detail).with_code("not_reversible"));
        }
        let mut moves = Vec::with_capacity(facts.legs.len());
        for leg in facts.legs {
            moves.push(ApprovalMove { account: leg.account, amount: leg.amount.checked_neg()? });
        }
        Ok(What::Reversal { posting: facts.id, moves })
    }

    /// Who calls, with a name where it can be had now.
    async fn staff_member<I: Sync>(&self, call: &Call<I>) -> Result<StaffMember, Problem> {
        let id = call.subject()?.to_owned();
        let path = CustomerPath { id: id.clone() };
        let asking = self.client.call(identity::endpoints::BY_ID, &path).on_behalf_of(caller(call)?);
        let name = asking.timeout(NAMED_IN.min(call.time_left() / 2)).send().await.ok();
        Ok(StaffMember { id, name: name.map(|customer| customer.name) })
    }

    /// The approval as it stands, and its version.
    async fn approval(&self, id: &str) -> Result<Option<(Stored, u64)>, Problem> {
        Ok(self.items.get_json(&approval_key(id), Consistency::Current).await?)
    }
}

impl Stored {
    /// The answer to the same proposal once more, whatever became of it; 422 where it is another one.
    fn proposed_again(
        &self,
        kind: ApprovalKind,
        target: &str,
        reason: &str,
    ) -> Result<Reply<Proposed>, Problem> {
        if self.what.target() != (kind, target) || self.reason != reason {
            return Err(key_reused());
        }
        let reply = Reply::new(Proposed { approval: self.id.clone() });
        Ok(reply.with_header(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true")))
    }
}

fn caller<I>(call: &Call<I>) -> Result<Arc<Principal>, Problem> {
    call.principal.clone().ok_or_else(Problem::internal)
}

fn checked_reason(reason: &str) -> Result<&str, Problem> {
    let trimmed = reason.trim();
    if (1..=MAX_REASON).contains(&trimmed.chars().count()) && is_printable(trimmed) {
        return Ok(trimmed);
    }
    Err(unprocessable("invalid_reason", "reason", "must have 1 to 200 printable characters"))
}
