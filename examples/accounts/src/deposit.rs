//! Cash over the counter.

use std::sync::Arc;

use bank_sdk::text::is_printable;
use bank_sdk::{Call, Problem, Reply};
use bank_stores::ledger::{AccountId, Entry, Floor, OpenAccount, Posting, PostingId, Receipt};
use bank_stores::{Currency, Error, ErrorKind, LedgerExt};
use http::StatusCode;

use crate::customer::{key_reused, marked};
use crate::service::Accounts;
use crate::wire::{Deposit, MAX_REFERENCE, NewDeposit};

impl Accounts {
    /// The posting's id is derived from the teller and the key, so that a repeated call is the same posting, and the
    /// answer is rebuilt from the ledger's receipt: nothing else has to be kept. A refusal is remembered, for a delayed copy of the
    /// call could otherwise pay in what the teller was told is not paid in.
    pub(crate) async fn deposit(self: Arc<Self>, call: Call<NewDeposit>) -> Result<Reply<Deposit>, Problem> {
        let NewDeposit { account, amount, reference } = &call.input;
        let teller = call.subject()?;
        if !amount.is_positive() {
            return Err(unprocessable("invalid_amount", "amount", "must be more than nothing"));
        }
        if let Some(reference) = reference {
            check_reference(reference)?;
        }
        let account = AccountId::new(account).map_err(|_| Problem::not_found())?;
        let facts = self.directory.facts(&account).await?.ok_or_else(Problem::not_found)?;
        if facts.owner.is_none() {
            // The bank's own accounts are nobody's to pay into.
            return Err(Problem::not_found());
        }
        let id = call.key()?.derive_id(&self.derivation, "dep_", teller, &call.operation);
        let cash = house_account("cash", amount.currency())?;
        self.open_house(&cash, amount.currency()).await?;
        let mut posting = Posting::new(PostingId::new(&id)?, "deposit")
            .transfer(cash, account, *amount)
            .metadata("teller", teller)
            .remember_refusal();
        if let Some(reference) = reference {
            posting = posting.reference(reference.clone());
        }
        let receipt = match self.ledger.post(posting.clone()).await {
            Err(error) if error.kind() == ErrorKind::Conflict => self.earlier_deposit(&posting, error).await,
            posted => posted,
        };
        let receipt = receipt.map_err(refused)?;
        let replayed = receipt.replayed;
        Ok(marked(Reply::new(answer(id, receipt)?), replayed))
    }

    /// What became of the deposit that has this one's id, where it is the same to whoever asks: the ledger takes two for different ones also
    /// where their texts were sealed with different keys.
    async fn earlier_deposit(&self, posting: &Posting, conflict: Error) -> Result<Receipt, Error> {
        let receipt = self.earlier(posting, conflict.clone()).await?;
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

pub(crate) fn unprocessable(code: &'static str, field: &'static str, wanted: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("`{field}` {wanted}"))
        .with_code(code)
        .with_field(field, wanted)
}

fn refused(error: Error) -> Problem {
    match (error.kind(), error.field()) {
        (ErrorKind::Conflict, _) => key_reused(),
        (ErrorKind::Rejected, _) => unprocessable("account_blocked", "account", "takes no money for now"),
        (ErrorKind::Invalid, Some("legs[1].amount")) => unprocessable(
            "currency_mismatch",
            "amount",
            "must be in the account's currency and fit its balance",
        ),
        (ErrorKind::Invalid, Some("legs[0].amount")) => {
            unprocessable("invalid_amount", "amount", "is more than the bank can take in")
        }
        _ => error.into(),
    }
}

fn answer(id: String, receipt: Receipt) -> Result<Deposit, Problem> {
    // The second leg is the customer's.
    let entry = receipt.entries.into_iter().nth(1).ok_or_else(Problem::internal)?;
    Ok(Deposit {
        id,
        account: entry.account.into(),
        amount: entry.amount,
        reference: entry.reference,
        balance: entry.balance_after,
        at: receipt.booked_at,
    })
}
