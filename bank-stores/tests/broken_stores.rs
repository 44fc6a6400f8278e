//! The suite has to fail on a store that breaks a promise: this one breaks one. `broken_ledger.rs` has the ledgers.

#![cfg(all(feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use async_trait::async_trait;
use bank_stores::embedded::{SqliteItems, SqliteOptions};
use bank_stores::items::{Change, Committed, Condition, Item, Key, Query, Transaction, WriteId};
use bank_stores::{Consistency, Event, Items, Page, Position, Result, conformance};

/// A compare-and-set that is not atomic: it checks first and writes later.
#[derive(Debug)]
struct CheckThenWrite(SqliteItems);

#[async_trait]
impl Items for CheckThenWrite {
    async fn get(&self, key: &Key, read: Consistency) -> Result<Option<Item>> {
        self.0.get(key, read).await
    }
    async fn commit(&self, transactions: Vec<Transaction>) -> Vec<Result<Committed>> {
        let mut unconditional = Vec::new();
        for mut transaction in transactions {
            for change in &mut transaction.changes {
                let found = self.0.get(change.key(), Consistency::Current).await.unwrap();
                if let Condition::Version(version) = change.condition()
                    && found.is_some_and(|item| item.version != version)
                {
                    return vec![Err(bank_stores::Error::new(bank_stores::ErrorKind::Conflict, "changed"))];
                }
                *change =
                    std::mem::replace(change, Change::delete(Key::new("-", "-"))).when(Condition::Always);
            }
            unconditional.push(transaction);
        }
        self.0.commit(unconditional).await
    }
    async fn committed(&self, id: &WriteId) -> Result<Option<Committed>> {
        self.0.committed(id).await
    }
    async fn query(&self, query: &Query) -> Result<Page<Item>> {
        self.0.query(query).await
    }
    async fn events(&self, after: Position, limit: u32, wait: Duration) -> Result<Vec<Event>> {
        self.0.events(after, limit, wait).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compare_and_set_that_is_not_atomic_is_caught() {
    let store = CheckThenWrite(SqliteItems::open(SqliteOptions::temporary().unwrap()).await.unwrap());
    let promise = async move { conformance::items::a_compare_and_set_race_loses_no_update(&store).await };
    assert!(tokio::spawn(promise).await.is_err_and(|error| error.is_panic()));
}
