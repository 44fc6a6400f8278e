//! Who would be paid: exact matches only, so that nobody can browse.

use std::sync::Arc;

use accounts::wire::{AccountPath, AccountStatus, OwnedBy};
use bank_sdk::client::CallError;
use bank_sdk::{Call, List, Problem};
use bank_stores::ledger::AccountId;
use http::StatusCode;
use identity::wire::{CustomerPath, Named};

use crate::service::{Transactions, found};
use crate::wire::{Payee, PayeePath, PayeesOf};

impl Transactions {
    pub(crate) async fn payees(self: Arc<Self>, call: Call<PayeesOf>) -> Result<List<Payee>, Problem> {
        let principal = call.principal.clone().ok_or_else(Problem::internal)?;
        let PayeesOf { username, limit, after } = call.input.clone();
        let named = Named { username };
        let asking =
            self.client.call(identity::endpoints::BY_USERNAME, &named).on_behalf_of(principal.clone());
        let Some(customer) = found(asking.timeout(call.time_left()).send().await)? else {
            return Ok(List::whole(Vec::new()));
        };
        let owned = OwnedBy { customer: customer.id, limit, after };
        let asking = self.client.call(accounts::endpoints::OWNED, &owned).on_behalf_of(principal);
        let accounts = match asking.timeout(call.time_left()).send().await {
            // The cursor is the caller's, and accounts knows whether it is one.
            Err(CallError::Refused(problem)) if problem.status() == StatusCode::BAD_REQUEST => {
                let wanted = "must be a cursor of this list";
                let problem = Problem::bad_request(format!("`after` {wanted}"));
                return Err(problem.with_code("invalid_input").with_field("after", wanted));
            }
            answer => answer?,
        };
        let open = accounts.items.into_iter().filter(|account| account.status == AccountStatus::Open);
        let payee = |account: accounts::wire::AccountRecord| Payee {
            account: account.id,
            name: customer.name.clone(),
            currency: account.currency,
        };
        Ok(List { items: open.map(payee).collect(), next: accounts.next })
    }

    pub(crate) async fn payee(self: Arc<Self>, call: Call<PayeePath>) -> Result<Payee, Problem> {
        let principal = call.principal.clone().ok_or_else(Problem::internal)?;
        let id = AccountId::new(&call.input.account).map_err(|_| Problem::not_found())?;
        let path = AccountPath { id: id.into() };
        let asking = self.client.call(accounts::endpoints::RECORD, &path).on_behalf_of(principal.clone());
        let account = found(asking.timeout(call.time_left()).send().await)?
            .filter(|account| account.status == AccountStatus::Open)
            .ok_or_else(Problem::not_found)?;
        let owner = CustomerPath { id: account.owner };
        let asking = self.client.call(identity::endpoints::BY_ID, &owner).on_behalf_of(principal);
        let customer =
            found(asking.timeout(call.time_left()).send().await)?.ok_or_else(Problem::not_found)?;
        Ok(Payee { account: account.id, name: customer.name, currency: account.currency })
    }
}
