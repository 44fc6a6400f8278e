//! What two members of staff decided, as the transactions service asks for it. The caller names each command, so that asking again
//! is harmless, and what became of it is final.

use std::sync::Arc;

use bank_sdk::{Call, Problem};
use bank_stores::ledger::{
    self, AccountId, ChangeAccount, ChangeId, CommandId, PostingId, REVERSAL, Receipt, Reversal,
};
use bank_stores::{Consistency, Error, ErrorKind, LedgerExt};

use crate::problems::invalid;
use crate::service::Accounts;
use crate::wire::{AccountStatus, Decided, NewReversal, NewStatus, PostingFacts, PostingLeg, PostingPath};

impl Accounts {
    pub(crate) async fn posting_facts(
        self: Arc<Self>,
        call: Call<PostingPath>,
    ) -> Result<PostingFacts, Problem> {
        let id = PostingId::new(&call.input.id).map_err(|_| Problem::not_found())?;
        let posting = self.ledger.posting(&id, Consistency::Current).await?;
        let reversible =
            posting.kind != REVERSAL && posting.reverses.is_none() && posting.reversed_by.is_none();
        let leg = |entry: ledger::Entry| PostingLeg { account: entry.account.into(), amount: entry.amount };
        Ok(PostingFacts { id: id.into(), legs: posting.entries.into_iter().map(leg).collect(), reversible })
    }

    pub(crate) async fn set_status(self: Arc<Self>, call: Call<NewStatus>) -> Result<Decided, Problem> {
        let NewStatus { id, change, status } = call.input;
        let status = match status {
            AccountStatus::Open => ledger::AccountStatus::Open,
            AccountStatus::Frozen => ledger::AccountStatus::Frozen,
            AccountStatus::Closed => return Err(invalid("status", "must be open or frozen")),
        };
        let account = AccountId::new(id).map_err(|_| Problem::not_found())?;
        let facts = self.directory.facts(&account).await?;
        if facts.is_none_or(|facts| facts.owner.is_none()) {
            return Err(Problem::not_found());
        }
        let change = ChangeAccount::new(ChangeId::new(change)?, account).status(status);
        outcome(self.ledger.execute_one(change).await, |error| match error.kind() {
            // That is for good, and so is the refusal.
            ErrorKind::Rejected => Some("account_closed"),
            _ => None,
        })
    }

    pub(crate) async fn reverse(self: Arc<Self>, call: Call<NewReversal>) -> Result<Decided, Problem> {
        let NewReversal { id, posting } = call.input;
        let id = PostingId::new(id)?;
        // No texts: the approval has them, and what is sealed twice could look like another command.
        let reversal = Reversal::new(id.clone(), PostingId::new(posting)?).remember_refusal();
        let reversed = match self.ledger.execute_one(reversal).await {
            Err(error) if error.kind() == ErrorKind::Conflict => self.noted(&id, error).await,
            reversed => reversed,
        };
        outcome(reversed, |error| match (error.kind(), error.field()) {
            (ErrorKind::NotFound, _) => Some("unknown_posting"),
            (ErrorKind::InsufficientFunds, _) => Some("insufficient_funds"),
            (ErrorKind::Rejected, Some("reverses")) => Some("already_reversed"),
            (ErrorKind::Rejected, _) => Some("account_blocked"),
            (ErrorKind::Invalid, _) => Some("rejected"),
            _ => None,
        })
    }

    /// What became of the command that has this id: another release may have noted more with it.
    async fn noted(&self, id: &PostingId, conflict: Error) -> Result<Receipt, Error> {
        self.ledger.receipt(&CommandId::Posting(id.clone())).await?.ok_or(conflict)
    }
}

fn outcome(
    done: Result<Receipt, Error>,
    code: impl FnOnce(&Error) -> Option<&'static str>,
) -> Result<Decided, Problem> {
    match done {
        Ok(receipt) => Ok(Decided::Done { at: receipt.booked_at }),
        Err(error) => match code(&error) {
            Some(code) => Ok(Decided::Refused { code: code.to_owned() }),
            None => Err(error.into()),
        },
    }
}
