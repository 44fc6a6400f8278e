//! Cash over the counter.
//!
//! A posting's id is derived from the teller and the key, so that a repeated call is the same posting, and the answer is rebuilt from
//! the ledger's receipt: nothing else has to be kept. A refusal is remembered, for a delayed copy of the call could otherwise move
//! what the teller was told is not moved.

use std::sync::Arc;

use bank_sdk::text::is_printable;
use bank_sdk::{Call, Problem, Reply};
use bank_stores::ledger::{AccountId, Entry, Floor, OpenAccount, Posting, PostingId, Receipt};
use bank_stores::{Currency, Error, ErrorKind, LedgerExt, Money};

use crate::customer::marked;
use crate::problems::{key_reused, unprocessable};
use crate::service::Accounts;
use crate::wire::{Deposit, MAX_REFERENCE, NewDeposit, NewWithdrawal, Withdrawal};

/// Which way cash goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// Cash that was moved.
struct Moved {
    id: String,
    /// The customer's entry.
    entry: Entry,
    replayed: bool,
}

impl Accounts {
    pub(crate) async fn deposit(self: Arc<Self>, call: Call<NewDeposit>) -> Result<Reply<Deposit>, Problem> {
        let NewDeposit { account, amount, reference } = &call.input;
        let Moved { id, entry, replayed } =
            self.move_cash(&call, Way::In, account, *amount, reference.as_deref()).await?;
        let deposit = Deposit {
            id,
            account: entry.account.into(),
            amount: entry.amount,
            reference: entry.reference,
            balance: entry.balance_after,
            at: entry.booked_at,
        };
        Ok(marked(Reply::new(deposit), replayed))
    }

    pub(crate) async fn withdraw(
        self: Arc<Self>,
        call: Call<NewWithdrawal>,
    ) -> Result<Reply<Withdrawal>, Problem> {
        let NewWithdrawal { account, amount, reference } = &call.input;
        let Moved { id, entry, replayed } =
            self.move_cash(&call, Way::Out, account, *amount, reference.as_deref()).await?;
        let withdrawal = Withdrawal {
            id,
            account: entry.account.into(),
            amount: entry.amount.checked_neg()?,
            reference: entry.reference,
            balance: entry.balance_after,
            at: entry.booked_at,
        };
        Ok(marked(Reply::new(withdrawal), replayed))
    }

    async fn move_cash<I: Sync>(
        &self,
        call: &Call<I>,
        way: Way,
        account: &str,
        amount: Money,
        reference: Option<&str>,
    ) -> Result<Moved, Problem> {
        let teller = call.subject()?;
        if !amount.is_positive() {
            return Err(unprocessable("invalid_amount", "amount", "must be more than nothing"));
        }
        reference.map_or(Ok(()), check_reference)?;
        let account = AccountId::new(account).map_err(|_| Problem::not_found())?;
        let facts = self.directory.facts(&account).await?.ok_or_else(Problem::not_found)?;
        if facts.owner.is_none() {
            // The bank's own accounts are nobody's to pay into.
            return Err(Problem::not_found());
        }
        // Before the bank gets an account in a currency that nobody here has.
        if facts.currency != amount.currency() {
            return Err(unprocessable("currency_mismatch", "amount", "must be in the account's currency"));
        }
        let cash = house_account("cash", amount.currency())?;
        self.open_house(&cash, amount.currency()).await?;
        let (prefix, kind, from, to, own) = match way {
            Way::In => ("dep_", "deposit", cash, account, 1),
            Way::Out => ("wdr_", "withdrawal", account, cash, 0),
        };
        let id = call.key()?.derive_id(&self.derivation, prefix, teller, &call.operation);
        let mut posting = Posting::new(PostingId::new(&id)?, kind)
            .transfer(from, to, amount)
            .metadata("teller", teller)
            .remember_refusal();
        posting.reference = reference.map(ToOwned::to_owned);
        let receipt = match self.ledger.post(posting.clone()).await {
            Err(error) if error.kind() == ErrorKind::Conflict => self.earlier_cash(&posting, error).await,
            posted => posted,
        };
        let receipt = receipt.map_err(|error| refused(error, way))?;
        let replayed = receipt.replayed;
        let entry = receipt.entries.into_iter().nth(own).ok_or_else(Problem::internal)?;
        Ok(Moved { id, entry, replayed })
    }

    /// What became of the posting that has this one's id, where it is the same to whoever asks: the ledger takes two for different ones also
    /// where their texts were sealed with different keys.
    async fn earlier_cash(&self, posting: &Posting, conflict: Error) -> Result<Receipt, Error> {
        let receipt = self.earlier(posting, conflict.clone()).await.map_err(|error| match error.kind() {
            // The id stands for a refusal, which does not say of what. So it is told of nothing but exactly the same.
            ErrorKind::InsufficientFunds | ErrorKind::Rejected | ErrorKind::Invalid | ErrorKind::NotFound => {
                conflict.clone()
            }
            _ => error,
        })?;
        let noted = |entry: &Entry| entry.reference == posting.reference;
        if receipt.entries.iter().all(noted) { Ok(receipt.replay()) } else { Err(conflict) }
    }

    /// Opens the bank's own account, unless it is there. It comes before the posting: that the account is missing would be a
    /// refusal to be remembered too.
    async fn open_house(&self, house: &AccountId, currency: Currency) -> Result<(), Error> {
        if self.directory.facts(house).await?.is_none() {
            self.ledger.open(OpenAccount::new(house.clone(), currency).floor(Floor::None)).await?;
        }
        Ok(())
    }
}

/// The bank's own account for a purpose, one a currency.
fn house_account(purpose: &str, currency: Currency) -> Result<AccountId, Error> {
    AccountId::new(format!("acc_house_{purpose}_{}", currency.code()))
}

fn check_reference(reference: &str) -> Result<(), Problem> {
    if reference.chars().count() <= MAX_REFERENCE && is_printable(reference) {
        return Ok(());
    }
    Err(unprocessable("invalid_reference", "reference", "must have at most 140 printable characters"))
}

fn refused(error: Error, way: Way) -> Problem {
    let of_customer = match way {
        Way::In => "legs[1].amount",
        Way::Out => "legs[0].amount",
    };
    match (error.kind(), error.field(), way) {
        (ErrorKind::Conflict, ..) => key_reused(),
        (ErrorKind::InsufficientFunds, _, Way::Out) => {
            unprocessable("insufficient_funds", "amount", "is more than may be taken out")
        }
        (ErrorKind::Rejected, _, Way::In) => {
            unprocessable("account_blocked", "account", "takes no money for now")
        }
        (ErrorKind::Rejected, _, Way::Out) => {
            unprocessable("account_blocked", "account", "pays nothing for now")
        }
        (ErrorKind::Invalid, Some(field), _) if field == of_customer => unprocessable(
            "currency_mismatch",
            "amount",
            "must be in the account's currency and fit its balance",
        ),
        (ErrorKind::Invalid, Some("legs[0].amount" | "legs[1].amount"), _) => {
            unprocessable("invalid_amount", "amount", "is more than the bank's cash account can hold")
        }
        _ => error.into(),
    }
}
