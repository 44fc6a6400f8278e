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

/// A refusal by the ledger, for a reason that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    InsufficientFunds,
    PayerBlocked,
    PayeeBlocked,
    Invalid,
}

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
        let mut posting = Posting::new(id.clone(), TRANSFER).transfer(from, to, amount);
        if let Some(reference) = reference {
            posting = posting.reference(reference);
        }
        let posted = |receipt: Receipt| Posted::Posted {
            posted_at: receipt.booked_at,
            from_owner: from_owner.as_str().to_owned(),
            to_owner: to_owner.as_str().to_owned(),
        };
        match self.ledger.post(posting.remember_refusal()).await {
            Ok(receipt) => Ok(posted(receipt)),
            Err(error) => match (Refusal::of(&error), error.kind()) {
                (Some(refusal), _) => Ok(refusal.into()),
                (None, ErrorKind::Conflict) => match self.memo_under(&id).await? {
                    Some(refusal) => Ok(refusal.into()),
                    None => {
                        Err(Problem::new(StatusCode::CONFLICT, "this posting's id names another posting")
                            .with_code("conflict"))
                    }
                },
                (None, _) => Err(error.into()),
            },
        }
    }

    async fn look_up(&self, id: String) -> Result<Option<(AccountId, crate::directory::Facts)>, Problem> {
        // What has not the form of an id names nothing.
        let Ok(id) = AccountId::new(id) else { return Ok(None) };
        Ok(self.directory.facts(&id).await?.map(|facts| (id, facts)))
    }

    /// The refusal that has taken an id, if it was one: before ledgers remembered refusals, a memo of kind `refused.…` did.
    async fn memo_under(&self, id: &PostingId) -> Result<Option<Refusal>, Problem> {
        let receipt =
            self.ledger.receipt(&CommandId::Posting(id.clone())).await?.ok_or_else(Problem::unavailable)?;
        Ok(receipt.entries.first().and_then(|entry| Refusal::named(&entry.kind)))
    }
}

impl Refusal {
    const ALL: [Self; 4] = [Self::InsufficientFunds, Self::PayerBlocked, Self::PayeeBlocked, Self::Invalid];

    fn of(error: &Error) -> Option<Self> {
        match (error.kind(), error.field()) {
            (ErrorKind::InsufficientFunds, _) => Some(Self::InsufficientFunds),
            (ErrorKind::Rejected, Some("legs[0].account")) => Some(Self::PayerBlocked),
            (ErrorKind::Rejected, _) => Some(Self::PayeeBlocked),
            // The next try would be refused as well, unless a balance that is too large now is smaller by then.
            (ErrorKind::Invalid, _) => Some(Self::Invalid),
            _ => None,
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "refused.insufficient_funds",
            Self::PayerBlocked => "refused.payer_blocked",
            Self::PayeeBlocked => "refused.payee_blocked",
            Self::Invalid => "refused.invalid",
        }
    }

    fn named(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.kind() == kind)
    }
}

impl From<Refusal> for Posted {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::InsufficientFunds => Self::InsufficientFunds,
            Refusal::PayerBlocked => Self::AccountBlocked,
            // Who pays learns no more than that the account takes no money.
            Refusal::PayeeBlocked => Self::UnknownAccount,
            Refusal::Invalid => Self::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_back_from_the_kind_it_is_kept_under() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::named(refusal.kind()), Some(refusal));
        }
        assert_eq!(Refusal::named(TRANSFER), None);
    }
}
