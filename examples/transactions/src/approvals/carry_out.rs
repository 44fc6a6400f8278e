//! Does what was approved. Every step may be repeated: accounts knows the command by an id that only this approval gives.

use std::time::Duration;

use accounts::wire::{AccountStatus, Decided as Done, NewReversal, NewStatus};
use bank_sdk::Problem;
use bank_stores::items::{Change, Condition, Query, Transaction};
use bank_stores::{Cursor, ErrorKind, ItemsExt, PageRequest};

use crate::approvals::rows::{Decided, Outcome, Stored, TO_DO, ToDo, What, to_do_key};
use crate::resume::is_young;
use crate::service::Transactions;

/// For one call of accounts.
const CALL: Duration = Duration::from_secs(5);
/// How many rows are read at once.
const PAGE: u32 = 100;

impl Transactions {
    /// Does what is still to be done of what was approved, and returns how much of it was done.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn resume_approvals_once(&self) -> Result<usize, Problem> {
        let (mut done, mut after): (usize, Option<Cursor>) = (0, None);
        loop {
            let query = Query::partition(TO_DO).page(PageRequest::first(PAGE).after(after));
            let found = self.items.query(&query).await?;
            for item in &found.items {
                // The others can be read, and somebody waits for them.
                let to_do: ToDo = match item.json() {
                    Ok(to_do) => to_do,
                    Err(error) => {
                        tracing::error!(%error, row = ?item.key, "a row of what was approved cannot be read");
                        continue;
                    }
                };
                // Whoever approved it may still be at it.
                if is_young(to_do.approved_at, self.clock.now()) {
                    continue;
                }
                match self.take_up_approval(&to_do.id).await {
                    Ok(()) => done += 1,
                    Err(problem) => {
                        tracing::warn!(approval = %to_do.id, %problem, "what was approved has to wait");
                    }
                }
            }
            match found.next {
                Some(next) => after = Some(next),
                None => return Ok(done),
            }
        }
    }

    async fn take_up_approval(&self, id: &str) -> Result<(), Problem> {
        let (stored, version) = self.approval(id).await?.ok_or_else(Problem::internal)?;
        self.carry_out(&stored, version).await
    }

    /// Asks accounts, and writes down what it said.
    pub(super) async fn carry_out(&self, stored: &Stored, version: u64) -> Result<(), Problem> {
        let Some(decided) = stored.decided.clone().filter(|decided| decided.outcome == Outcome::Approved)
        else {
            return Ok(());
        };
        let outcome = match self.ask(stored).await? {
            Done::Done { at } => Outcome::Completed { at },
            Done::Refused { code } => Outcome::Failed { code },
            // A newer accounts service says what this one does not know: it waits until this one is newer.
            other => {
                tracing::error!(?other, "accounts gave an outcome that is not known here");
                return Err(Problem::unavailable());
            }
        };
        let settled = Stored { decided: Some(Decided { outcome, ..decided }), ..stored.clone() };
        let (approval, listed) = settled.changes()?;
        let transaction = Transaction::new(format!("done:{}", stored.id))
            .change(approval.when(Condition::Version(version)))
            .change(listed)
            .change(Change::delete(to_do_key(&stored.id)));
        match self.items.commit_one(transaction).await {
            Ok(_) => Ok(()),
            // Somebody else has written it, who asked for the same command and was told the same.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// No token of who decided is needed: the service acts in its own name for two people who were recorded.
    async fn ask(&self, stored: &Stored) -> Result<Done, Problem> {
        let status =
            |account: &str, status| NewStatus { id: account.to_owned(), change: stored.command(), status };
        let answer = match &stored.what {
            What::Freeze { account } => {
                let new = status(account, AccountStatus::Frozen);
                self.client.call(accounts::endpoints::SET_STATUS, &new).timeout(CALL).send().await?
            }
            What::Unfreeze { account } => {
                let new = status(account, AccountStatus::Open);
                self.client.call(accounts::endpoints::SET_STATUS, &new).timeout(CALL).send().await?
            }
            What::Reversal { posting, .. } => {
                let new = NewReversal { id: stored.command(), posting: posting.clone() };
                self.client.call(accounts::endpoints::REVERSE, &new).timeout(CALL).send().await?
            }
        };
        Ok(answer)
    }
}
