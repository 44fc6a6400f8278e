//! Ledgers that earlier versions of this crate wrote. A file is never changed; a new version of the schema adds one, of the version
//! that it leaves: each kind of command executed by that version, closed, and dumped by `sqlite3 ledger.db .dump`.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{
    AccountId, AccountStatus, AsOf, Capture, Command, CommandId, HoldId, HoldStatus, Posting, PostingId,
    Reversal,
};
use bank_stores::{
    Consistency, Currency, ErrorKind, Ledger, LedgerExt, Money, Outbox, PageRequest, Timestamp,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::time::Instant;

const FIRST: &str = include_str!("data/ledger-1.sql");
const SECOND: &str = include_str!("data/ledger-2.sql");

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

/// A file with this in it, opened by this version.
async fn opened(path: &Path, script: &'static str) -> SqliteLedger {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(false);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(script).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    SqliteLedger::open(SqliteOptions::new(path)).await.unwrap()
}

#[tokio::test]
async fn a_ledger_of_the_first_version_opens_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let ledger = opened(&path, FIRST).await;
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
    let deadline = Instant::now() + Duration::from_secs(60);
    while head.pending > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(25)).await;
        head = ledger.chain().await.unwrap();
    }
    assert_eq!((head.sequence, head.pending), (44, 0));
    assert!(ledger.verify(None, &mut |_| {}).await.unwrap().is_intact());
    assert!(ledger.trial_balance(Consistency::Current).await.unwrap().is_balanced());
}

#[tokio::test]
async fn a_ledger_of_the_second_version_opens_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = opened(&directory.path().join("ledger.db"), SECOND).await;
    let now = Consistency::Current;
    // p3, p6 and p9 went from alice to bob, 1 << n each; 20 of the hold were captured; p3 was undone.
    let given: i64 = [6, 9].map(|n| 1 << n).iter().sum::<i64>() + 20;
    let taken = 5_000 + [1, 2, 4, 5, 7, 8].map(|n| 1 << n).iter().sum::<i64>();
    for (name, minor, held) in [("cash", -taken, 0), ("alice", taken - given, 30), ("bob", given, 0)] {
        let account = ledger.account(&account(name), now).await.unwrap();
        assert_eq!((account.balance.minor(), account.held.minor()), (minor, held), "{name}");
    }
    assert_eq!(ledger.account(&account("bob"), now).await.unwrap().status, AccountStatus::Frozen);
    // What had a value date then has it now: p2, p4, p6 and p8.
    let at = |seconds: i64| AsOf::Value(Timestamp::from_seconds(1_700_000_000 + seconds));
    let alice = async |at| ledger.balance_at(&account("alice"), at, now).await.unwrap().minor();
    assert_eq!([alice(at(1)).await, alice(at(4)).await, alice(at(8)).await], [0, 4 + 16, 4 + 16 - 64 + 256]);
    // What was refused for good is refused, what was undone is undone, what ended has ended.
    let rich = Money::from_minor(1_000_000, Currency::EUR);
    let poor = Posting::new(PostingId::new("poor").unwrap(), "transfer")
        .transfer(account("alice"), account("cash"), rich)
        .remember_refusal();
    assert_eq!(ledger.post(poor).await.unwrap_err().kind(), ErrorKind::InsufficientFunds);
    let again = Reversal::new(PostingId::new("r2").unwrap(), PostingId::new("p3").unwrap());
    assert_eq!(ledger.execute_one(again).await.unwrap_err().field(), Some("reverses"));
    let hold = |id| HoldId::new(id).unwrap();
    assert!(ledger.execute_one(Command::Void(hold("voided"))).await.unwrap().replayed);
    let rest = Capture::new(PostingId::new("c2").unwrap(), hold("kept"), account("cash"));
    ledger.execute_one(rest).await.unwrap();
    assert_eq!(ledger.hold(&hold("kept"), now).await.unwrap().status, HoldStatus::Captured);
    let read = ledger.positions("notices").await.unwrap();
    assert_eq!(read[0].number(), 5);
    assert!(ledger.verify(None, &mut |_| {}).await.unwrap().is_intact());
}
