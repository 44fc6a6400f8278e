//! Money that is kept for a payment to come.
//!
//! Ids are derived from the caller and its key, so that a repeated call is the same command, and answers are rebuilt from the
//! ledger's receipts. A refusal is remembered: the key stands for it from then on.

use std::sync::Arc;
use std::time::Duration;

use bank_sdk::{Call, Problem, Reply, page};
use bank_stores::ledger::{self, AccountId, Command, HoldId, PlaceHold, PostingId};
use bank_stores::{Consistency, Error, ErrorKind, LedgerExt};

use crate::customer::marked;
use crate::problems::{key_reused, unprocessable};
use crate::service::Accounts;
use crate::wire::{Capture, Hold, HoldPath, HoldStatus, HoldsOf, NewCapture, NewHold, OpenHold, OpenHolds};

impl Accounts {
    pub(crate) async fn place_hold(self: Arc<Self>, call: Call<NewHold>) -> Result<Reply<Hold>, Problem> {
        let (subject, input) = (call.subject()?, &call.input);
        let account = self.own(&input.account, subject).await?;
        let id = call.key()?.derive_id(&self.derivation, "hld_", subject, &call.operation);
        let mut place = PlaceHold::new(HoldId::new(&id)?, account.id, input.amount).remember_refusal();
        if let Some(seconds) = input.expires_in {
            place = place.expires_in(Duration::from_secs(seconds));
        }
        let receipt = self.ledger.execute_one(place).await.map_err(refused)?;
        let hold = receipt.hold.ok_or_else(Problem::internal)?;
        Ok(marked(Reply::new(hold.into()), receipt.replayed))
    }

    pub(crate) async fn find_hold(self: Arc<Self>, call: Call<HoldPath>) -> Result<Hold, Problem> {
        Ok(self.own_hold(&call.input.id, call.subject()?).await?.into())
    }

    pub(crate) async fn open_holds(self: Arc<Self>, call: Call<HoldsOf>) -> Result<OpenHolds, Problem> {
        let HoldsOf { id, limit, after } = &call.input;
        let page = page::newest_first(*limit, after.as_deref())?;
        let account = self.own(id, call.subject()?).await?;
        let open = self.ledger.open_holds(&account.id, page, Consistency::Current).await?;
        Ok(OpenHolds {
            items: open.holds.items.into_iter().map(OpenHold::from).collect(),
            next: open.holds.next.map(|cursor| cursor.to_string()),
            balance: open.account.balance,
            available: open.account.available,
        })
    }

    pub(crate) async fn capture_hold(
        self: Arc<Self>,
        call: Call<NewCapture>,
    ) -> Result<Reply<Capture>, Problem> {
        let (subject, input) = (call.subject()?, &call.input);
        let hold = self.own_hold(&input.id, subject).await?;
        let to = AccountId::new(&input.to).map_err(|_| unknown_account())?;
        // The bank's own accounts are not for customers to pay into.
        let facts = self.directory.facts(&to).await?.filter(|facts| facts.owner.is_some());
        facts.ok_or_else(unknown_account)?;
        let id = call.key()?.derive_id(&self.derivation, "cap_", subject, &call.operation);
        let mut capture = ledger::Capture::new(PostingId::new(&id)?, hold.id, to).remember_refusal();
        capture.amount = input.amount;
        let receipt = self.ledger.execute_one(capture).await.map_err(refused)?;
        let (replayed, at) = (receipt.replayed, receipt.booked_at);
        let hold = receipt.hold.ok_or_else(Problem::internal)?;
        // The second leg is the payee's.
        let paid = receipt.entries.into_iter().nth(1).ok_or_else(Problem::internal)?;
        let capture = Capture { id, amount: paid.amount, to: paid.account.into(), at, hold: hold.into() };
        Ok(marked(Reply::new(capture), replayed))
    }

    pub(crate) async fn void_hold(self: Arc<Self>, call: Call<HoldPath>) -> Result<Reply<Hold>, Problem> {
        // The hold itself names the command; that a key is sent is asked of every call about money.
        call.key()?;
        let hold = self.own_hold(&call.input.id, call.subject()?).await?;
        let receipt = self.ledger.execute_one(Command::Void(hold.id)).await.map_err(refused)?;
        let hold = receipt.hold.ok_or_else(Problem::internal)?;
        Ok(marked(Reply::new(hold.into()), receipt.replayed))
    }

    /// The hold, if its account is this customer's; another's answers as one that does not exist.
    async fn own_hold(&self, id: &str, subject: &str) -> Result<ledger::Hold, Problem> {
        let id = HoldId::new(id).map_err(|_| Problem::not_found())?;
        let hold = self.ledger.hold(&id, Consistency::Current).await?;
        self.own(hold.account.as_str(), subject).await?;
        Ok(hold)
    }
}

fn unknown_account() -> Problem {
    unprocessable("unknown_account", "to", "must be an account that exists and takes money")
}

fn refused(error: Error) -> Problem {
    match (error.kind(), error.field()) {
        (ErrorKind::Conflict, _) => key_reused(),
        (ErrorKind::InsufficientFunds, Some("amount")) => {
            unprocessable("hold_exceeded", "amount", "is more than the hold still keeps")
        }
        (ErrorKind::InsufficientFunds, _) => {
            unprocessable("insufficient_funds", "amount", "is more than may be taken out")
        }
        (ErrorKind::Rejected, Some("hold")) => {
            unprocessable("hold_ended", "id", "must be a hold that has not ended")
        }
        (ErrorKind::Rejected, Some("legs[1].account" | "legs[1].amount")) => unknown_account(),
        (ErrorKind::Rejected, _) => unprocessable("account_blocked", "account", "pays nothing for now"),
        (ErrorKind::Invalid, Some("expires_in")) => {
            unprocessable("invalid_time", "expires_in", "must be 1 second to ten years")
        }
        (ErrorKind::Invalid, Some("legs[1].amount")) => {
            unprocessable("currency_mismatch", "to", "must be held in the hold's currency")
        }
        (ErrorKind::Invalid, Some("amount")) => {
            unprocessable("invalid_amount", "amount", "must be more than nothing, in the account's currency")
        }
        _ => error.into(),
    }
}

impl From<ledger::Hold> for Hold {
    fn from(hold: ledger::Hold) -> Self {
        Self {
            id: hold.id.into(),
            account: hold.account.into(),
            status: match hold.status {
                ledger::HoldStatus::Open => HoldStatus::Open,
                ledger::HoldStatus::Captured => HoldStatus::Captured,
                ledger::HoldStatus::Expired => HoldStatus::Expired,
                // Whatever else there will be keeps nothing.
                _ => HoldStatus::Voided,
            },
            amount: hold.amount,
            captured: hold.captured,
            remaining: hold.remaining,
            placed_at: hold.placed_at,
            expires_at: hold.deadline,
        }
    }
}

impl From<ledger::Hold> for OpenHold {
    fn from(hold: ledger::Hold) -> Self {
        Self {
            id: hold.id.into(),
            amount: hold.remaining,
            captured: hold.captured,
            at: hold.placed_at,
            expires_at: hold.deadline,
        }
    }
}
