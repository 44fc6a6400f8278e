//! The transfers that a customer may see.

use std::sync::Arc;

use accounts::wire::AccountPath;
use bank_sdk::{Call, List, Problem, page};
use bank_stores::Result;
use bank_stores::items::Query;
use bank_stores::ledger::{AccountId, PostingId};

use crate::rows::activity_partition;
use crate::service::{Transactions, found};
use crate::wire::{Transfer, TransferPath, TransferStatus, TransfersOf};

impl Transactions {
    pub(crate) async fn find(self: Arc<Self>, call: Call<TransferPath>) -> Result<Transfer, Problem> {
        let subject = call.subject()?;
        // What has not the form of an id names nothing.
        PostingId::new(&call.input.id).map_err(|_| Problem::not_found())?;
        let begun = self.load(&call.input.id).await?.ok_or_else(Problem::not_found)?;
        begun.stored.seen_by(subject).ok_or_else(Problem::not_found)
    }

    pub(crate) async fn list(self: Arc<Self>, call: Call<TransfersOf>) -> Result<List<Transfer>, Problem> {
        let TransfersOf { account, limit, after } = &call.input;
        let subject = call.subject()?;
        let account = match account {
            Some(account) => Some(AccountId::new(account).map_err(|_| Problem::not_found())?),
            None => None,
        };
        let partition = activity_partition(subject, account.as_ref().map(AccountId::as_str));
        let query = Query::partition(partition).page(page::newest_first(*limit, after.as_deref())?);
        let page = self.items.query(&query).await?;
        let transfers: Vec<Transfer> = page.items.iter().map(|item| item.json()).collect::<Result<_>>()?;
        if let Some(account) = account {
            // Accounts has said whose the account is before a transfer on it ended, unless it ended for want of one.
            let known = transfers.iter().any(|transfer| {
                transfer.status != TransferStatus::Pending
                    && transfer.code.as_deref() != Some("unknown_account")
            });
            if !known && !self.owns(&call, subject, account).await? {
                return Err(Problem::not_found());
            }
        }
        Ok(List { items: transfers, next: page.next.map(|cursor| cursor.to_string()) })
    }

    async fn owns(
        &self,
        call: &Call<TransfersOf>,
        subject: &str,
        account: AccountId,
    ) -> Result<bool, Problem> {
        let input = AccountPath { id: account.into() };
        let mut asking = self.client.call(accounts::endpoints::RECORD, &input).timeout(call.time_left());
        if let Some(principal) = &call.principal {
            asking = asking.on_behalf_of(principal.clone());
        }
        Ok(found(asking.send().await)?.is_some_and(|record| record.owner == subject))
    }
}
