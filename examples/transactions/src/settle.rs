//! The end of a transfer: one transaction writes what became of it, the key's answer, both sides' activity and the event.

use accounts::wire::Posted;
use bank_sdk::Problem;
use bank_stores::items::{Change, Condition, Transaction};
use bank_stores::outbox::NewEvent;
use bank_stores::{Consistency, ErrorKind, ItemsExt, Result};

use crate::answer::Answer;
use crate::drive::Begun;
use crate::rows::{ANSWER_KEPT, KeyRow, State, Stored, answer_key, transfer_key, unless_erased};
use crate::service::Transactions;
use crate::wire::{Direction, event};

/// Another task may write between reading and writing; after so many times something else is wrong.
const TRIES: usize = 4;

impl Transactions {
    /// Writes what accounts said, unless it was written before, and returns what the key was answered.
    pub(crate) async fn settle(&self, begun: &mut Begun, posted: &Posted) -> Result<Answer, Problem> {
        for _ in 0..TRIES {
            if begun.stored.state != State::Pending {
                return self.answered(&begun.stored).await;
            }
            let settled = Stored { state: self.state(begun, posted)?, ..begun.stored.clone() };
            let answer = settled.answer().await?;
            match self.items.commit_one(self.settling(begun, &settled, &answer)?).await {
                Ok(_) if begun.unanswered.is_some() => return Ok(answer),
                Ok(_) => return self.answered(&settled).await,
                // Somebody has settled it, or has answered `pending`.
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists) => {
                    *begun = self.load(&begun.stored.id).await?.ok_or_else(Problem::internal)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Problem::unavailable())
    }

    fn state(&self, begun: &Begun, posted: &Posted) -> Result<State, Problem> {
        let rejected = |code: &str| State::Rejected { code: code.to_owned(), at: self.clock.now() };
        Ok(match posted {
            Posted::Posted { posted_at, to_owner, .. } => {
                State::Completed { to_owner: to_owner.clone(), at: *posted_at }
            }
            Posted::InsufficientFunds => rejected("insufficient_funds"),
            Posted::UnknownAccount => rejected("unknown_account"),
            Posted::CurrencyMismatch => rejected("currency_mismatch"),
            Posted::AccountBlocked => rejected("account_blocked"),
            Posted::Invalid => rejected("rejected"),
            Posted::NotOwner if begun.unanswered.is_some() => State::Refused,
            // Its sender was told that it is pending and has to see how it ended, though no more than that.
            Posted::NotOwner => rejected("unknown_account"),
            // A newer accounts service says what this one does not know: it stays pending until this one is newer.
            other => {
                tracing::error!(?other, "accounts gave an outcome that is not known here");
                return Err(Problem::unavailable());
            }
        })
    }

    fn settling(&self, begun: &Begun, settled: &Stored, answer: &Answer) -> Result<Transaction, Problem> {
        let owner = &settled.owner;
        let mut transaction = Transaction::new(format!("settle:{}", settled.id))
            .change(Change::put(settled.key(), settled)?.when(Condition::Version(begun.version)))
            .change(Change::delete(settled.pending_key()));
        if let Some(version) = begun.unanswered {
            let (owner, fingerprint) = (settled.owner.clone(), settled.fingerprint);
            let key = KeyRow { owner, fingerprint, answer: Some(answer.clone()) };
            let change = Change::put(settled.answer_key(), &key)?
                .when(Condition::Version(version))
                .expires_at(self.clock.now().saturating_add(ANSWER_KEPT));
            transaction = transaction.change(change);
        }
        let (all, one) = (settled.activity_key(owner), settled.account_activity_key(owner, &settled.from));
        if settled.state == State::Refused {
            // It was never one of this customer's transfers.
            return Ok(transaction.change(Change::delete(all)).change(Change::delete(one)));
        }
        let sent = settled.seen(Direction::Out);
        transaction = transaction.change(Change::put(all, &sent)?).change(Change::put(one, &sent)?);
        if let State::Completed { to_owner, .. } = &settled.state {
            let received = settled.seen(Direction::In);
            if to_owner != owner {
                transaction = transaction.change(Change::put(settled.activity_key(to_owner), &received)?);
            }
            let account = settled.account_activity_key(to_owner, &settled.to);
            transaction = transaction.change(Change::put(account, &received)?);
        }
        Ok(told(settled)?.into_iter().fold(transaction, Transaction::event))
    }

    /// The transfer as it stands.
    pub(crate) async fn load(&self, id: &str) -> Result<Option<Begun>> {
        // Nobody sees a transfer of who was erased.
        let found = self.items.get_json::<Stored>(&transfer_key(id), Consistency::Current).await;
        let Some((stored, version)) = unless_erased(found)? else { return Ok(None) };
        let key = unless_erased(self.items.get_json::<KeyRow>(&answer_key(id), Consistency::Current).await)?;
        let unanswered = key.and_then(|(row, version)| row.answer.is_none().then_some(version));
        Ok(Some(Begun { stored, version, unanswered }))
    }

    /// What the key was answered; rebuilt from the transfer, where that was too long ago.
    pub(crate) async fn answered(&self, stored: &Stored) -> Result<Answer, Problem> {
        let key = self.items.get_json::<KeyRow>(&stored.answer_key(), Consistency::Current).await;
        let key = unless_erased(key)?;
        match key.and_then(|(row, _)| row.answer) {
            Some(answer) => Ok(answer),
            None => stored.answer().await,
        }
    }
}

/// What each side is told: an event of its own, in the order of what that customer is told.
fn told(settled: &Stored) -> Result<Vec<NewEvent>, Problem> {
    let (topic, to_owner, code, at) = match &settled.state {
        State::Completed { to_owner, at } => (event::COMPLETED, Some(to_owner.clone()), None, *at),
        State::Rejected { code, at } => (event::REJECTED, None, Some(code.clone()), *at),
        State::Pending | State::Refused => return Ok(Vec::new()),
    };
    let sides = [(Direction::Out, Some(settled.owner.clone())), (Direction::In, to_owner.clone())];
    let mut events = Vec::with_capacity(sides.len());
    for (side, customer) in sides {
        let Some(customer) = customer else { continue };
        let payload = event::Settled {
            transfer: settled.id.clone(),
            side,
            from: settled.from.clone(),
            to: settled.to.clone(),
            amount: settled.amount,
            reference: settled.reference.clone(),
            from_owner: settled.owner.clone(),
            to_owner: to_owner.clone(),
            code: code.clone(),
            at,
        };
        let payload = serde_json::to_value(payload).map_err(|error| {
            tracing::error!(%error, "an event cannot be serialized");
            Problem::internal()
        })?;
        // A transfer ends once, so that its id and the side name the event.
        let id = match side {
            Direction::Out => format!("{}:out", settled.id),
            Direction::In => format!("{}:in", settled.id),
        };
        events.push(NewEvent::new(id, customer, topic, payload));
    }
    Ok(events)
}
