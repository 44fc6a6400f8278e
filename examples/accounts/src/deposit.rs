//! Cash over the counter.

use std::sync::Arc;

use bank_sdk::{Call, Problem, Reply};
use bank_stores::ledger::{AccountId, Floor, OpenAccount, Posting, PostingId, Receipt};
use bank_stores::{Currency, Error, ErrorKind, LedgerExt};
use http::StatusCode;

use crate::customer::{key_reused, marked};
use crate::service::Accounts;
use crate::wire::{Deposit, NewDeposit};

/// The longest reference, in characters.
const MAX_REFERENCE: usize = 140;

impl Accounts {
    /// The posting's id is derived from the teller and the key, so that a repeated call is the same posting, and the
    /// answer is rebuilt from the ledger's receipt: nothing else has to be kept.
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
        let mut posting = Posting::new(PostingId::new(&id)?, "deposit")
            .transfer(cash.clone(), account, *amount)
            .metadata("teller", teller);
        if let Some(reference) = reference {
            posting = posting.reference(reference.clone());
        }
        let receipt = self.post_on_house(posting, cash).await.map_err(refused)?;
        let replayed = receipt.replayed;
        Ok(marked(Reply::new(answer(id, receipt)?), replayed))
    }

    /// Posts, and opens the house account on the first posting that needs it.
    pub(crate) async fn post_on_house(&self, posting: Posting, house: AccountId) -> Result<Receipt, Error> {
        let outcome = self.ledger.post(posting.clone()).await;
        let missing = |error: &Error| {
            let leg = posting.legs.iter().position(|leg| leg.account == house);
            error.kind() == ErrorKind::NotFound
                && leg.is_some_and(|leg| error.field() == Some(&*format!("legs[{leg}].account")))
        };
        match outcome {
            Err(error) if missing(&error) => {
                let currency = posting.legs[0].amount.currency();
                self.ledger.open(OpenAccount::new(house, currency).floor(Floor::None)).await?;
                self.ledger.post(posting).await
            }
            outcome => outcome,
        }
    }
}

/// The bank's own account for a purpose, one a currency.
pub(crate) fn house_account(purpose: &str, currency: Currency) -> Result<AccountId, Error> {
    AccountId::new(format!("acc_house_{purpose}_{}", currency.code()))
}

fn check_reference(reference: &str) -> Result<(), Problem> {
    if reference.chars().count() <= MAX_REFERENCE && !reference.chars().any(char::is_control) {
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
