//! What customers do with their own accounts.

use std::sync::Arc;

use bank_sdk::http::IDEMPOTENCY_REPLAYED;
use bank_sdk::text::is_printable;
use bank_sdk::{Call, List, Problem, Reply, page};
use bank_stores::ledger::{self, AccountId, AsOf, OpenAccount, OwnerId};
use bank_stores::{Consistency, ErrorKind, LedgerExt, Timestamp, random};
use http::{HeaderValue, StatusCode};

use crate::counterparties::Counterparties;
use crate::problems::{key_reused, unprocessable};
use crate::service::Accounts;
use crate::wire::{
    Account, AccountPath, AccountStatus, Balance, BalanceAt, EntriesOf, Entry, MAX_NAME, NewAccount, PageOf,
};

impl Accounts {
    pub(crate) async fn open(self: Arc<Self>, call: Call<NewAccount>) -> Result<Reply<Account>, Problem> {
        let subject = call.subject()?;
        // With a key, asking twice opens one account; without, each call opens one.
        let id = match &call.idempotency_key {
            Some(key) => key.derive_id(&self.derivation, "acc_", subject, &call.operation),
            None => random::id(&*self.random, "acc_"),
        };
        let mut open =
            OpenAccount::new(AccountId::new(id)?, call.input.currency).owner(OwnerId::new(subject)?);
        if let Some(name) = &call.input.name {
            open = open.name(checked_name(name)?);
        }
        let receipt = self.ledger.open(open).await.map_err(|error| match error.kind() {
            ErrorKind::Conflict => key_reused(),
            _ => error.into(),
        })?;
        let account = receipt.account.ok_or_else(Problem::internal)?;
        Ok(marked(Reply::new(account.into()), receipt.replayed))
    }

    pub(crate) async fn list(self: Arc<Self>, call: Call<PageOf>) -> Result<List<Account>, Problem> {
        let PageOf { limit, after } = &call.input;
        let page = page::oldest_first(*limit, after.as_deref())?;
        let accounts =
            self.ledger.accounts(&OwnerId::new(call.subject()?)?, page, Consistency::Current).await?;
        Ok(List::from_page(accounts, Account::from))
    }

    pub(crate) async fn find(self: Arc<Self>, call: Call<AccountPath>) -> Result<Account, Problem> {
        Ok(self.own(&call.input.id, call.subject()?).await?.into())
    }

    pub(crate) async fn balance(self: Arc<Self>, call: Call<BalanceAt>) -> Result<Balance, Problem> {
        if let Some(at) = call.input.at {
            return self.balance_then(&call, at).await;
        }
        // Before the balance: then what was booked up to this time is in it.
        let at = self.clock.now();
        let account = self.own(&call.input.id, call.subject()?).await?;
        let Account { id, balance, available, .. } = account.into();
        Ok(Balance { account: id, balance, available: Some(available), at })
    }

    /// What was booked by then. A time that has not come yet could still get another answer.
    async fn balance_then(&self, call: &Call<BalanceAt>, at: Timestamp) -> Result<Balance, Problem> {
        let account = self.own(&call.input.id, call.subject()?).await?;
        if at > self.clock.now() {
            return Err(unprocessable("invalid_time", "at", "must not lie in the future"));
        }
        let balance = self.ledger.balance_at(&account.id, AsOf::Booked(at), Consistency::Current).await?;
        Ok(Balance { account: account.id.into(), balance, available: None, at })
    }

    pub(crate) async fn entries(self: Arc<Self>, call: Call<EntriesOf>) -> Result<List<Entry>, Problem> {
        let EntriesOf { id, limit, after } = &call.input;
        let page = page::newest_first(*limit, after.as_deref())?;
        let id = AccountId::new(id).map_err(|_| Problem::not_found())?;
        let owner = self.directory.facts(&id).await?.and_then(|facts| facts.owner);
        if owner.as_ref().map(OwnerId::as_str) != Some(call.subject()?) {
            return Err(Problem::not_found());
        }
        let page = self.ledger.entries(&id, page, Consistency::Current).await?;
        let items = Counterparties::new(&self).entries(page.items).await?;
        Ok(List { items, next: page.next.map(|cursor| cursor.to_string()) })
    }

    /// The account, if it is this customer's; another's answers as one that does not exist.
    pub(crate) async fn own(&self, id: &str, subject: &str) -> Result<ledger::Account, Problem> {
        let id = AccountId::new(id).map_err(|_| Problem::not_found())?;
        let account = self.ledger.account(&id, Consistency::Current).await?;
        if account.owner.as_ref().map(OwnerId::as_str) != Some(subject) {
            return Err(Problem::not_found());
        }
        Ok(account)
    }
}

pub(crate) fn checked_name(name: &str) -> Result<&str, Problem> {
    let trimmed = name.trim();
    if (1..=MAX_NAME).contains(&trimmed.chars().count()) && is_printable(name) {
        return Ok(trimmed);
    }
    let wanted = format!("must have 1 to {MAX_NAME} printable characters");
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("`name` {wanted}"))
        .with_code("invalid_name")
        .with_field("name", wanted))
}

/// Says that an answer repeats an earlier one.
pub(crate) fn marked<O>(reply: Reply<O>, replayed: bool) -> Reply<O> {
    if replayed { reply.with_header(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true")) } else { reply }
}

impl From<ledger::Account> for Account {
    fn from(account: ledger::Account) -> Self {
        Self {
            id: account.id.into(),
            currency: account.currency,
            name: account.name,
            status: account.status.into(),
            balance: account.balance,
            available: account.available,
        }
    }
}

impl From<ledger::AccountStatus> for AccountStatus {
    fn from(status: ledger::AccountStatus) -> Self {
        match status {
            ledger::AccountStatus::Open => Self::Open,
            ledger::AccountStatus::Closed => Self::Closed,
            // Whatever else there will be takes part in nothing for now.
            _ => Self::Frozen,
        }
    }
}
