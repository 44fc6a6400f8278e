//! What becomes of an account: another name, and its end.

use std::sync::Arc;

use bank_sdk::{Call, Problem};
use bank_stores::ledger::{self, AccountStatus, ChangeAccount, ChangeId};
use bank_stores::{ErrorKind, LedgerExt, random};
use http::StatusCode;

use crate::customer::checked_name;
use crate::service::Accounts;
use crate::wire::{Account, AccountPath, Rename};

impl Accounts {
    pub(crate) async fn rename(self: Arc<Self>, call: Call<Rename>) -> Result<Account, Problem> {
        let account = self.own(&call.input.id, call.subject()?).await?;
        let name = checked_name(&call.input.name)?;
        if account.status == AccountStatus::Closed {
            return Err(closed());
        }
        if account.name.as_deref() == Some(name) {
            return Ok(account.into());
        }
        let change = ChangeAccount::new(ChangeId::new(random::id(&*self.random, "chg_"))?, account.id);
        let receipt =
            self.ledger.execute_one(change.name(name)).await.map_err(|error| match error.kind() {
                ErrorKind::Rejected => closed(),
                _ => error.into(),
            })?;
        Ok(receipt.account.ok_or_else(Problem::internal)?.into())
    }

    /// An account is closed once, so that its id names the change: closing it again is the same.
    pub(crate) async fn close(self: Arc<Self>, call: Call<AccountPath>) -> Result<Account, Problem> {
        let (id, subject) = (&call.input.id, call.subject()?);
        let account = self.own(id, subject).await?;
        match account.status {
            AccountStatus::Closed => return Ok(account.into()),
            AccountStatus::Open => {}
            // What the bank has frozen stays until the bank has decided.
            _ => return Err(in_use(&account)),
        }
        let change = ChangeAccount::new(ChangeId::new(format!("close:{id}"))?, account.id);
        // The bank may freeze it in this moment.
        let change = change.status(AccountStatus::Closed).only_if(AccountStatus::Open);
        match self.ledger.execute_one(change).await {
            Ok(receipt) => Ok(receipt.account.ok_or_else(Problem::internal)?.into()),
            Err(error) if error.kind() == ErrorKind::Rejected => {
                let account = self.own(id, subject).await?;
                if account.status == AccountStatus::Closed {
                    return Ok(account.into());
                }
                Err(in_use(&account))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn closed() -> Problem {
    Problem::new(StatusCode::CONFLICT, "the account is closed for good").with_code("account_closed")
}

/// 409, with everything that stands against closing the account.
fn in_use(account: &ledger::Account) -> Problem {
    let mut problem =
        Problem::new(StatusCode::CONFLICT, "the account is in use; close it when nothing is on it or held")
            .with_code("account_in_use");
    if !account.balance.is_zero() {
        problem =
            problem.with_field("balance", format!("is {}; move it to another account", account.balance));
    }
    if !account.held.is_zero() {
        let held = account.held;
        problem = problem.with_field("holds", format!("keep {held}; void them, or wait until they end"));
    }
    if account.status != AccountStatus::Open {
        problem = problem.with_field("status", "is frozen; ask the bank");
    }
    problem
}
