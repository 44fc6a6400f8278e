//! Nobody misses a notification: whatever is lost between the services and their stores, and whichever store is replaced.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::documents::{Collection, Document, DocumentWrite, Find, Written};
use bank_stores::embedded::SqliteLedger;
use bank_stores::{Consistency, Documents, Error, ErrorKind, Page, Result};
use support::Bank;

/// Documents that lose an answer of a write of notifications, and are away from then on until they are told to be back.
#[derive(Debug)]
struct LosesAnAnswer {
    inner: Arc<dyn Documents>,
    lose_next: AtomicBool,
    away: AtomicBool,
}

impl LosesAnAnswer {
    fn here(&self) -> Result<()> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::Unavailable, "away")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Documents for LosesAnAnswer {
    async fn declare(&self, collection: &Collection) -> Result<()> {
        self.inner.declare(collection).await
    }

    async fn get(&self, collection: &str, id: &str, read: Consistency) -> Result<Option<Document>> {
        self.here()?;
        self.inner.get(collection, id, read).await
    }

    async fn write(&self, collection: &str, writes: Vec<DocumentWrite>) -> Vec<Result<Written>> {
        if let Err(error) = self.here() {
            return writes.iter().map(|_| Err(error.clone())).collect();
        }
        let outcomes = self.inner.write(collection, writes).await;
        if collection == "notifications" && self.lose_next.swap(false, Ordering::SeqCst) {
            self.away.store(true, Ordering::SeqCst);
            let lost = Error::new(ErrorKind::Indeterminate, "the answer was lost");
            return outcomes.iter().map(|_| Err(lost.clone())).collect();
        }
        outcomes
    }

    async fn find(&self, collection: &str, find: &Find) -> Result<Page<Document>> {
        self.here()?;
        self.inner.find(collection, find).await
    }
}

#[tokio::test]
async fn a_lost_answer_and_a_name_that_was_not_known_hold_up_nobody() {
    let mut bank = Bank::open().await;
    let (ann, bob) = (bank.user("ann", "Ann Example").await, bank.user("bob", "Bob Example").await);
    let (from, to) = (bank.account(&ann, 10_000).await, bank.account(&bob, 100).await);
    let documents = Arc::new(LosesAnAnswer {
        inner: bank.documents.clone(),
        lose_next: AtomicBool::new(false),
        away: AtomicBool::new(false),
    });
    bank.documents = documents.clone();
    let copy = bank.start().await;
    copy.list_of(&ann, 1).await;
    copy.list_of(&bob, 1).await;
    *bank.identity_of_partners.lock().unwrap() = None;
    documents.lose_next.store(true, Ordering::SeqCst);
    bank.send(&ann, &from, &to, 1, "1").await;
    while !documents.away.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // What was written names an account; by the time it is written again, the customer's name is known.
    bank.identity_is_back();
    // Identity is asked again two seconds after it did not answer.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    documents.away.store(false, Ordering::SeqCst);
    for (number, who) in [(2, &ann), (3, &bob)] {
        bank.send(&ann, &from, &to, 1, &number.to_string()).await;
        copy.list_of(who, number).await;
    }
    let told = (copy.list_of(&ann, 4).await, copy.list_of(&bob, 4).await);
    assert_eq!((told.0.len(), told.1.len()), (4, 4), "each once");
}

#[tokio::test]
async fn when_the_ledger_is_replaced_by_an_older_copy_nobody_misses_a_notification() {
    let mut bank = Bank::open().await;
    let path = bank.directory.path().join("ledger.db");
    let copy_path = bank.directory.path().join("copy.db");
    let account = bank.account("cus_alice", 1).await;
    let copy = bank.start().await;
    copy.list_of("cus_alice", 1).await;
    assert!(bank.ledger.backup(&copy_path, &mut |_| {}).await.unwrap().is_intact());
    for number in 0..10 {
        bank.deposit(&account, 100 + number, &format!("lost-{number}")).await;
    }
    copy.list_of("cus_alice", 11).await;
    *bank.accounts_of_partners.lock().unwrap() = None;
    bank.ledger.close().await;
    assert!(SqliteLedger::restore(&copy_path, &path, &mut |_| {}).await.unwrap().is_intact());
    // Partners follows behind the newest event of the copy, and goes on while there are more events than there had been.
    bank.replace_ledger(&path).await;
    for number in 0..25 {
        bank.deposit(&account, 200 + number, &format!("new-{number}")).await;
    }
    let told = copy.list_of("cus_alice", 36).await;
    let mut amounts: Vec<i64> = told.iter().map(|told| told.amount.minor()).collect();
    amounts.sort_unstable();
    let expected: Vec<i64> = std::iter::once(1).chain(100..110).chain(200..225).collect();
    assert_eq!(amounts, expected, "each once");
    // Another copy of the service goes on from what was kept.
    drop(copy);
    bank.deposit(&account, 300, "last").await;
    assert_eq!(bank.start().await.list_of("cus_alice", 37).await.len(), 37);
}
