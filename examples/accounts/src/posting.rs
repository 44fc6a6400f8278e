//! Postings for customers, asked for by the transactions service.
//!
//! What became of a posting is final: the ledger remembers a posting that took effect under its id, and a refusal as well,
//! for a delayed copy of the same request could otherwise move the money after somebody was told that it was not moved.

use std::sync::Arc;

use bank_sdk::{Call, Problem};
use bank_stores::ledger::{AccountId, CommandId, Posting, PostingId, Receipt};
use bank_stores::{Error, ErrorKind, LedgerExt};
use http::StatusCode;

use crate::service::Accounts;
use crate::wire::{NewPosting, Posted};

/// The kind of a posting that moves a customer's money.
const TRANSFER: &str = "transfer";

impl Accounts {
    pub(crate) async fn post(self: Arc<Self>, call: Call<NewPosting>) -> Result<Posted, Problem> {
        let NewPosting { id, customer, from, to, amount, reference } = call.input;
        let id = PostingId::new(id)?;
        if !amount.is_positive() {
            return Err(
                Problem::bad_request("`amount` must be more than nothing").with_code("invalid_amount")
            );
        }
        // What is checked up to the posting never changes, so that asking again gives the same answer. A missing
        // account may be opened later, but nobody knows its id before.
        let Some((from, paying)) = self.look_up(from).await? else { return Ok(Posted::NotOwner) };
        let Some(from_owner) = paying.owner.filter(|owner| owner.as_str() == customer) else {
            return Ok(Posted::NotOwner);
        };
        let Some((to, paid)) = self.look_up(to).await? else { return Ok(Posted::UnknownAccount) };
        // The bank's own accounts are not for customers to pay into.
        let Some(to_owner) = paid.owner else { return Ok(Posted::UnknownAccount) };
        if paying.currency != amount.currency() || paid.currency != amount.currency() {
            return Ok(Posted::CurrencyMismatch);
        }
        let mut posting = Posting::new(id, TRANSFER).transfer(from, to, amount);
        if let Some(reference) = reference {
            posting = posting.reference(reference);
        }
        let posted = |receipt: Receipt| Posted::Posted {
            posted_at: receipt.booked_at,
            from_owner: from_owner.as_str().to_owned(),
            to_owner: to_owner.as_str().to_owned(),
        };
        let outcome = match self.ledger.post(posting.clone().remember_refusal()).await {
            Err(error) if error.kind() == ErrorKind::Conflict => self.earlier(&posting, error).await,
            outcome => outcome,
        };
        outcome.map(posted).or_else(refused)
    }

    /// What became of the posting that has this one's id, where it moved the same money; the conflict otherwise. Another release
    /// may have noted something else with it, and the ledger takes the two for different ones.
    pub(crate) async fn earlier(&self, posting: &Posting, conflict: Error) -> Result<Receipt, Error> {
        let Some(receipt) = self.ledger.receipt(&CommandId::Posting(posting.id.clone())).await? else {
            return Err(conflict);
        };
        let moved = receipt.entries.iter().map(|entry| (&entry.account, entry.amount));
        let same = moved.eq(posting.legs.iter().map(|leg| (&leg.account, leg.amount)));
        if same { Ok(receipt) } else { Err(conflict) }
    }

    async fn look_up(&self, id: String) -> Result<Option<(AccountId, crate::directory::Facts)>, Problem> {
        // What has not the form of an id names nothing.
        let Ok(id) = AccountId::new(id) else { return Ok(None) };
        Ok(self.directory.facts(&id).await?.map(|facts| (id, facts)))
    }
}

/// What the ledger's refusal says to who asked for the posting.
fn refused(error: Error) -> Result<Posted, Problem> {
    match (error.kind(), error.field()) {
        (ErrorKind::InsufficientFunds, _) => Ok(Posted::InsufficientFunds),
        (ErrorKind::Rejected, Some("legs[0].account")) => Ok(Posted::AccountBlocked),
        // Who pays learns no more than that the account takes no money.
        (ErrorKind::Rejected, _) => Ok(Posted::UnknownAccount),
        // The next try would be refused as well, unless a balance that is too large now is smaller by then.
        (ErrorKind::Invalid, _) => Ok(Posted::Invalid),
        (ErrorKind::Conflict, _) => {
            Err(Problem::new(StatusCode::CONFLICT, "this posting's id names another posting")
                .with_code("conflict"))
        }
        _ => Err(error.into()),
    }
}
