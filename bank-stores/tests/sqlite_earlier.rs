//! Ledgers that earlier versions of this crate wrote. A file is never changed; a new version of the schema adds one.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{AccountId, CommandId, Posting, PostingId};
use bank_stores::{Consistency, Currency, ErrorKind, Ledger, LedgerExt, Money, PageRequest, Timestamp};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

const FIRST: &str = include_str!("data/ledger-1.sql");

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

/// As the first version posted it.
fn posting(number: i64) -> Posting {
    let (from, to) = if number % 3 == 0 { ("alice", "bob") } else { ("cash", "alice") };
    Posting::new(PostingId::new(format!("p{number}")).unwrap(), "transfer")
        .transfer(account(from), account(to), Money::from_minor(number, Currency::EUR))
        .reference(format!("number {number}"))
        .metadata("n", number.to_string())
        .value_time(Timestamp::from_seconds(1_700_000_000 + number))
}

#[tokio::test]
async fn a_ledger_of_the_first_version_opens_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let mut connection = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .foreign_keys(false)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql(FIRST).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let ledger = SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap();
    let sum = |wanted: fn(i64) -> bool| (1..=40).filter(|number| wanted(*number)).sum::<i64>();
    let (taken, given) = (sum(|number| number % 3 != 0), sum(|number| number % 3 == 0));
    for (name, minor) in [("cash", -taken), ("alice", taken - given), ("bob", given)] {
        let held = ledger.account(&account(name), Consistency::Current).await.unwrap();
        assert_eq!(held.balance.minor(), minor, "{name}");
    }
    // What was posted then is known, and is the same content now.
    for number in 1..=40 {
        let receipt = ledger.post(posting(number)).await.unwrap();
        assert!(receipt.replayed && receipt.sequence == number as u64 + 3, "{receipt:?}");
        let id = CommandId::Posting(PostingId::new(format!("p{number}")).unwrap());
        assert_eq!(ledger.receipt(&id).await.unwrap().unwrap().replay(), receipt);
    }
    let other = posting(7).reference("another");
    assert_eq!(ledger.post(other).await.unwrap_err().kind(), ErrorKind::Conflict);
    let page = PageRequest::first(1).backward();
    let last = ledger.entries(&account("alice"), page, Consistency::Current).await.unwrap().items.remove(0);
    assert_eq!((last.reference.as_deref(), last.value_at.seconds()), (Some("number 40"), 1_700_000_040));
    // It goes on, and everything gets into the chain that came later than the data.
    ledger.post(posting(41)).await.unwrap();
    let mut head = ledger.chain().await.unwrap();
    for _ in 0..400 {
        if head.pending == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
        head = ledger.chain().await.unwrap();
    }
    assert_eq!((head.sequence, head.pending), (44, 0));
    assert!(ledger.verify(&mut |_| {}).await.unwrap().holds());
    assert!(ledger.trial_balance(Consistency::Current).await.unwrap().is_balanced());
}
