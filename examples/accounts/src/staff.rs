//! How members of staff find a customer who stands before them: exact matches only, so that nobody can browse.

use std::sync::Arc;

use bank_sdk::client::CallError;
use bank_sdk::{Call, List, Problem, page};
use bank_stores::Consistency;
use bank_stores::ledger::{AccountId, OwnerId};
use http::StatusCode;
use identity::wire::{Customer, CustomerPath, Named};

use crate::problems::invalid;
use crate::service::Accounts;
use crate::wire::{Account, CustomersOf, StaffCustomer};

impl Accounts {
    pub(crate) async fn customers(
        self: Arc<Self>,
        call: Call<CustomersOf>,
    ) -> Result<List<StaffCustomer>, Problem> {
        let Some(Customer { id, username, name }) = self.customer(&call).await? else {
            return Ok(List::whole(Vec::new()));
        };
        let page = page::oldest_first(call.input.limit, call.input.after.as_deref())?;
        let accounts = self.ledger.accounts(&OwnerId::new(&id)?, page, Consistency::Current).await?;
        let List { items: accounts, next } = List::from_page(accounts, Account::from);
        Ok(List { items: vec![StaffCustomer { id, username, name, accounts }], next })
    }

    /// Who is asked for, if there is anybody.
    async fn customer(&self, call: &Call<CustomersOf>) -> Result<Option<Customer>, Problem> {
        let client = self.customers.as_ref().ok_or_else(Problem::unavailable)?;
        let principal = call.principal.clone().ok_or_else(Problem::internal)?;
        let left = call.time_left();
        match (&call.input.username, &call.input.account) {
            (Some(username), None) => {
                let named = Named { username: username.clone() };
                let asking = client.call(identity::endpoints::BY_USERNAME, &named);
                found(asking.on_behalf_of(principal).timeout(left).send().await)
            }
            (None, Some(account)) => {
                let Ok(account) = AccountId::new(account) else { return Ok(None) };
                let owner = self.directory.facts(&account).await?.and_then(|facts| facts.owner);
                let Some(owner) = owner else { return Ok(None) };
                let path = CustomerPath { id: owner.into() };
                let asking = client.call(identity::endpoints::BY_ID, &path);
                found(asking.on_behalf_of(principal).timeout(left).send().await)
            }
            _ => Err(invalid("username", "or `account` must be given, one of the two")),
        }
    }
}

/// Who was found, if anybody.
fn found(answer: Result<Customer, CallError>) -> Result<Option<Customer>, Problem> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(CallError::Refused(problem)) if problem.status() == StatusCode::NOT_FOUND => Ok(None),
        Err(error) => Err(error.into()),
    }
}
