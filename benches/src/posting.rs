//! The ledger without anything around it.

use std::path::Path;
use std::sync::Arc;

use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{AccountId, Floor, OpenAccount, Posting, PostingId};
use bank_stores::{Currency, LedgerExt as _, Money, SystemRandom, random};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Failure;

const ACCOUNTS: usize = 64;

/// A ledger with accounts that may be overdrawn, in a file that is as durable as the bank's.
#[derive(Clone, Debug)]
pub struct Book {
    ledger: Arc<SqliteLedger>,
    accounts: Arc<[AccountId]>,
}

impl Book {
    /// Opens a new ledger in `directory`.
    ///
    /// # Errors
    /// What the store says.
    pub async fn open(directory: &Path) -> Result<Self, Failure> {
        let ledger = Arc::new(SqliteLedger::open(SqliteOptions::new(directory.join("ledger.db"))).await?);
        let mut accounts = Vec::new();
        for number in 0..ACCOUNTS {
            let id = AccountId::new(format!("account-{number}"))?;
            ledger.open(OpenAccount::new(id.clone(), Currency::EUR).floor(Floor::None)).await?;
            accounts.push(id);
        }
        Ok(Self { ledger, accounts: accounts.into() })
    }

    /// Moves a cent, under an id that is new.
    ///
    /// # Errors
    /// What the store says.
    pub async fn post(&self, number: usize) -> Result<(), Failure> {
        let id = PostingId::new(random::id(&SystemRandom::new(), "pst_"))?;
        let account = |number: usize| self.accounts[number % ACCOUNTS].clone();
        let cent = Money::from_minor(1, Currency::EUR);
        let posting = Posting::new(id, "transfer").transfer(account(number), account(number + 1), cent);
        self.ledger.post(posting).await?;
        Ok(())
    }

    /// Posts so many, all of them in flight at once.
    ///
    /// # Errors
    /// The first that failed.
    pub async fn post_at_once(&self, count: usize) -> Result<(), Failure> {
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let book = self.clone();
            tasks.spawn(async move { book.post(number).await });
        }
        while let Some(posted) = tasks.join_next().await {
            posted??;
        }
        Ok(())
    }

    /// Postings a second, with so many in flight, until the time is over.
    ///
    /// # Errors
    /// The first that failed.
    pub async fn rate(&self, in_flight: usize, until: Instant) -> Result<f64, Failure> {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for number in 0..in_flight {
            let book = self.clone();
            tasks.spawn(async move {
                let mut posted = 0_u32;
                while Instant::now() < until {
                    book.post(number).await?;
                    posted += 1;
                }
                Ok::<_, Failure>(posted)
            });
        }
        let mut posted = 0;
        while let Some(task) = tasks.join_next().await {
            posted += task??;
        }
        Ok(f64::from(posted) / start.elapsed().as_secs_f64())
    }

    /// Flushes and closes the file.
    pub async fn close(self) {
        self.ledger.close().await;
    }
}
