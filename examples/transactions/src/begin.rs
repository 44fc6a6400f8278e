//! A transfer is written down before it is tried.

use std::sync::Arc;

use bank_sdk::text::is_printable;
use bank_sdk::{Call, Problem, Reply};
use bank_stores::items::{Change, Condition, Transaction};
use bank_stores::ledger::AccountId;
use bank_stores::{ErrorKind, ItemsExt};
use http::StatusCode;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::drive::{Begun, Outcome};
use crate::resume::ToDo;
use crate::rows::{ANSWER_KEPT, KeyRow, State, Stored};
use crate::service::Transactions;
use crate::wire::{Direction, MAX_ACCOUNT, MAX_REFERENCE, NewTransfer, Transfer};

impl Transactions {
    pub(crate) async fn create(self: Arc<Self>, call: Call<NewTransfer>) -> Result<Reply<Transfer>, Problem> {
        check(&call.input)?;
        let fingerprint = call.fingerprint()?;
        let owner = call.subject()?;
        let id = call.key()?.derive_id(&self.derivation, "trf_", owner, &call.operation);
        if self.running.find(&id).is_some() {
            return self.replay(&id, fingerprint, call.deadline).await;
        }
        let NewTransfer { from, to, amount, reference } = call.input.clone();
        let stored = Stored {
            id: id.clone(),
            owner: owner.to_owned(),
            from,
            to,
            amount,
            reference,
            created_at: self.clock.now(),
            fingerprint,
            request: call.request_id.as_str().to_owned(),
            state: State::Pending,
        };
        match self.begin(stored).await? {
            Some(begun) => self.first_answer(begun, call.deadline).await,
            None => self.replay(&id, fingerprint, call.deadline).await,
        }
    }

    /// Writes the transfer, its key and what is to do, if the key is new.
    async fn begin(&self, stored: Stored) -> Result<Option<Begun>, Problem> {
        let seen = stored.seen(Direction::Out);
        let key = KeyRow { owner: stored.owner.clone(), fingerprint: stored.fingerprint, answer: None };
        let to_do = ToDo { id: stored.id.clone(), created_at: stored.created_at };
        let transaction = Transaction::new(format!("begin:{}", stored.id))
            .change(Change::put(stored.key(), &stored)?.when(Condition::Absent))
            .change(
                Change::put(stored.answer_key(), &key)?
                    .when(Condition::Absent)
                    .expires_at(stored.created_at.saturating_add(ANSWER_KEPT)),
            )
            .change(Change::put(stored.pending_key(), &to_do)?.when(Condition::Absent))
            .change(Change::put(stored.activity_key(&stored.owner), &seen)?)
            .change(Change::put(stored.account_activity_key(&stored.owner, &stored.from), &seen)?);
        match self.items.commit_one(transaction).await {
            Ok(committed) => {
                let version = committed.versions.first().copied().ok_or_else(Problem::internal)?;
                Ok(Some(Begun { stored, version, unanswered: committed.versions.get(1).copied() }))
            }
            // Somebody was here with this key: found by its rows, or by the transaction's id and another request in it.
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Conflict) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the outcome, and answers `pending` where it takes too long.
    async fn first_answer(&self, begun: Begun, deadline: Instant) -> Result<Reply<Transfer>, Problem> {
        let outcome = self.drive(begun.clone(), None);
        // A tenth of the time is left for writing down that the answer was `pending`.
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = self.patience.min(left - left / 10);
        match tokio::time::timeout(patience, outcome.answer()).await {
            Ok(Some(answer)) => answer.first(),
            // Too late, or whoever drove it has given it up for now.
            Ok(None) | Err(_) => self.answer_pending(begun).await?.first(),
        }
    }

    /// Makes `pending` the answer of this key, unless the outcome came first.
    async fn answer_pending(&self, begun: Begun) -> Result<Answer, Problem> {
        let Begun { stored, unanswered, .. } = begun;
        let answer = stored.answer().await?;
        let version = unanswered.ok_or_else(Problem::internal)?;
        let key = KeyRow {
            owner: stored.owner.clone(),
            fingerprint: stored.fingerprint,
            answer: Some(answer.clone()),
        };
        let change = Change::put(stored.answer_key(), &key)?
            .when(Condition::Version(version))
            .expires_at(self.clock.now().saturating_add(ANSWER_KEPT));
        let transaction = Transaction::new(format!("pending:{}", stored.id)).change(change);
        match self.items.commit_one(transaction).await {
            Ok(_) => Ok(answer),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let now = self.load(&stored.id).await?.ok_or_else(Problem::internal)?;
                self.answered(&now.stored).await
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Outcome {
    /// What the key was answered, or nothing where the transfer was given up for now.
    pub(crate) async fn answer(mut self) -> Option<Answer> {
        let answered = self.0.wait_for(Option::is_some).await.ok()?;
        answered.clone()
    }
}

fn check(transfer: &NewTransfer) -> Result<(), Problem> {
    let NewTransfer { from, to, amount, reference } = transfer;
    if !amount.is_positive() {
        return Err(unprocessable("invalid_amount", "amount", "must be more than nothing"));
    }
    if from == to {
        return Err(unprocessable("same_account", "to", "must be another account than `from`"));
    }
    if to.is_empty() || to.len() > MAX_ACCOUNT {
        return Err(unprocessable("invalid_account", "to", "must be an account's id"));
    }
    let reference = reference.as_deref().unwrap_or_default();
    if reference.chars().count() > MAX_REFERENCE || !is_printable(reference) {
        return Err(unprocessable(
            "invalid_reference",
            "reference",
            "must have at most 140 printable characters",
        ));
    }
    // What has not the form of an id is nobody's account.
    AccountId::new(from).map(drop).map_err(|_| Problem::not_found())
}

pub(crate) fn unprocessable(code: &'static str, field: &'static str, wanted: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("`{field}` {wanted}"))
        .with_code(code)
        .with_field(field, wanted)
}
