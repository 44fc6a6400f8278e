//! What is wrong around a ledger's file harms as few as it can: a row that cannot be read, a clock that is set, another name of
//! the file, many reports at once.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{
    AccountId, Capture, ChangeAccount, ChangeId, Command, Floor, HoldId, HoldStatus, OpenAccount, PlaceHold,
    Posting, PostingId,
};
use bank_stores::outbox::{Edge, ShardId};
use bank_stores::{
    Consistency, Currency, ErrorKind, Ledger, LedgerExt, ManualClock, Money, Outbox as _, Timestamp,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

fn hold(name: &str) -> HoldId {
    HoldId::new(name).unwrap()
}

fn posting(id: &str, from: &str, to: &str, minor: i64) -> Posting {
    let amount = Money::from_minor(minor, Currency::EUR);
    Posting::new(PostingId::new(id).unwrap(), "transfer").transfer(account(from), account(to), amount)
}

async fn open(path: &Path) -> SqliteLedger {
    SqliteLedger::open(SqliteOptions::new(path)).await.unwrap()
}

async fn customers(ledger: &SqliteLedger, names: &[&str]) {
    ledger.open(OpenAccount::new(account("cash"), Currency::EUR).floor(Floor::None)).await.unwrap();
    for name in names {
        ledger.open(OpenAccount::new(account(name), Currency::EUR)).await.unwrap();
    }
}

/// What a foreign hand does to a file that nobody has open.
async fn sql(path: &Path, sql: &str) {
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn balance(ledger: &SqliteLedger, name: &str) -> i64 {
    ledger.account(&account(name), Consistency::Current).await.unwrap().balance.minor()
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_the_refusal_of_its_own_commands_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.db");
    let ledger = open(&path).await;
    customers(&ledger, &["alice", "x"]).await;
    ledger.post(posting("old", "cash", "alice", 100)).await.unwrap();
    let place = PlaceHold::new(hold("h"), account("alice"), Money::from_minor(1, Currency::EUR));
    ledger.execute_one(place).await.unwrap();
    ledger.close().await;
    sql(
        &path,
        "UPDATE accounts SET currency = 'XXX' WHERE id = 'x'; UPDATE postings SET content = x'00' WHERE id = 'old';
         UPDATE holds SET content = x'00' WHERE id = 'h'",
    )
    .await;
    let ledger = open(&path).await;
    let freeze = ChangeAccount::new(ChangeId::new("c").unwrap(), account("x")).floor(Floor::At(-1));
    let on_x = PlaceHold::new(hold("hx"), account("x"), Money::from_minor(1, Currency::EUR));
    let outcomes = ledger
        .execute(vec![
            posting("p1", "cash", "alice", 1).into(),
            posting("p2", "cash", "x", 1).remember_refusal().into(),
            posting("old", "cash", "alice", 100).into(),
            freeze.into(),
            on_x.into(),
            Command::Void(hold("h")),
            Command::from(posting("p3", "cash", "alice", 1)).linked(),
            posting("p4", "x", "cash", 1).into(),
            posting("p5", "cash", "alice", 1).into(),
        ])
        .await;
    let kinds: Vec<_> =
        outcomes.iter().map(|outcome| outcome.as_ref().map(drop).map_err(|e| e.kind())).collect();
    let damaged = Err(ErrorKind::Damaged);
    let expected =
        [Ok(()), damaged, damaged, damaged, damaged, damaged, Err(ErrorKind::Rejected), damaged, Ok(())];
    assert_eq!(kinds, expected, "{outcomes:?}");
    assert_eq!(balance(&ledger, "alice").await, 102);
    ledger.close().await;
    // When it is mended, nothing of that is remembered.
    sql(&path, "UPDATE accounts SET currency = 'EUR' WHERE id = 'x'").await;
    let ledger = open(&path).await;
    assert!(!ledger.post(posting("p2", "cash", "x", 1).remember_refusal()).await.unwrap().replayed);
    ledger.close().await;
}

#[tokio::test]
async fn an_account_in_a_withdrawn_currency_goes_on_and_none_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.db");
    let ledger = open(&path).await;
    customers(&ledger, &["alice"]).await;
    ledger.close().await;
    // As it was opened before.
    sql(&path, "UPDATE accounts SET currency = 'BGN'; UPDATE currencies SET code = 'BGN'").await;
    let ledger = open(&path).await;
    let lev: Currency = "BGN".parse().unwrap();
    let amount = Money::parse("5.00", lev).unwrap();
    let posting = Posting::new(PostingId::new("p").unwrap(), "deposit");
    ledger.post(posting.transfer(account("cash"), account("alice"), amount)).await.unwrap();
    assert_eq!(balance(&ledger, "alice").await, 500);
    let refused = ledger.open(OpenAccount::new(account("bob"), lev)).await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::Invalid, Some("currency")));
    assert!(ledger.trial_balance(Consistency::Current).await.unwrap().is_balanced());
    ledger.close().await;
}

#[tokio::test]
async fn a_ledger_whose_amounts_would_read_as_others_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.db");
    let ledger = open(&path).await;
    customers(&ledger, &[]).await;
    ledger.close().await;
    for (change, says) in [
        ("UPDATE currencies SET decimals = 3", "have 3 decimals, this program's have 2"),
        ("UPDATE currencies SET decimals = 2, code = 'QQQ'", "use a newer program"),
    ] {
        sql(&path, change).await;
        let refused = SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Denied);
        assert!(refused.to_string().contains(says), "{refused}");
    }
}

#[tokio::test]
async fn a_clock_that_is_set_ahead_books_nothing_and_ends_no_hold() {
    let clock = ManualClock::at(Timestamp::from_seconds(1_800_000_000));
    let options = SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
    let ledger = SqliteLedger::open(options).await.unwrap();
    customers(&ledger, &["alice"]).await;
    ledger.post(posting("p1", "cash", "alice", 100)).await.unwrap();
    let week = Duration::from_secs(7 * 86_400);
    let place = PlaceHold::new(hold("week"), account("alice"), Money::from_minor(10, Currency::EUR));
    ledger.execute_one(place.expires_in(week)).await.unwrap();
    let status = async || ledger.hold(&hold("week"), Consistency::Current).await.unwrap().status;
    let right = Timestamp::from_seconds(1_800_000_001);
    clock.set(Timestamp::from_seconds(1_800_000_000 + 365 * 86_400));
    let refused = ledger.post(posting("p2", "cash", "alice", 1)).await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::Unavailable, Some("clock")));
    // Longer than the ledger's own work waits between two looks.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(status().await, HoldStatus::Open);
    assert_eq!(ledger.account(&account("alice"), Consistency::Current).await.unwrap().held.minor(), 10);
    clock.set(right);
    let receipt = ledger.post(posting("p2", "cash", "alice", 1)).await.unwrap();
    assert_eq!(receipt.booked_at, right);
    assert_eq!(status().await, HoldStatus::Open);
    // Time that passes is no leap.
    clock.advance(week);
    assert_eq!(status().await, HoldStatus::Expired);
    ledger.post(posting("p3", "cash", "alice", 1)).await.unwrap();
    ledger.close().await;
}

#[tokio::test]
async fn what_was_read_as_expired_is_not_captured_when_the_clock_goes_back() {
    let clock = ManualClock::at(Timestamp::from_seconds(1_000));
    let options = SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
    let ledger = SqliteLedger::open(options).await.unwrap();
    customers(&ledger, &["alice"]).await;
    ledger.post(posting("p1", "cash", "alice", 100)).await.unwrap();
    let place = PlaceHold::new(hold("h"), account("alice"), Money::from_minor(10, Currency::EUR));
    ledger.execute_one(place.expires_in(Duration::from_secs(30))).await.unwrap();
    clock.advance(Duration::from_secs(30));
    let read = ledger.hold(&hold("h"), Consistency::Current).await.unwrap();
    assert_eq!(read.status, HoldStatus::Expired);
    clock.set(Timestamp::from_seconds(1_000));
    let refused = ledger.execute_one(Command::Void(hold("h"))).await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::Rejected, Some("hold")));
    ledger.close().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_second_writer_is_refused_by_whatever_name_it_calls_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.db");
    let ledger = open(&path).await;
    customers(&ledger, &["alice"]).await;
    let (link, twin) = (directory.path().join("link.db"), directory.path().join("twin.db"));
    std::os::unix::fs::symlink(&path, &link).unwrap();
    std::fs::hard_link(&path, &twin).unwrap();
    std::fs::remove_file(directory.path().join("l.db.lock")).unwrap();
    for name in [&path, &link, &twin] {
        let refused = SqliteLedger::open(SqliteOptions::new(name)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Denied, "{}", name.display());
    }
    ledger.close().await;
    open(&link).await.close().await;
}

#[tokio::test]
async fn what_another_hand_wrote_is_read_before_anything_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.db");
    let ledger = open(&path).await;
    customers(&ledger, &["alice"]).await;
    ledger.post(posting("p1", "cash", "alice", 1)).await.unwrap();
    // As a second writer would that got around the lock.
    sql(
        &path,
        "INSERT INTO postings (sequence, id, kind, booked_at, value_at, content) VALUES (4, 'b', 'x', 0, 0, zeroblob(32));
         INSERT INTO entries VALUES (4, 0, 1, 2, -500, -501), (4, 1, 2, 2, 500, 501)",
    )
    .await;
    let receipt = ledger.post(posting("p2", "alice", "cash", 400).remember_refusal()).await.unwrap();
    assert_eq!((receipt.sequence, receipt.entries[0].balance_after.minor()), (5, 101));
    ledger.close().await;
}

#[tokio::test]
async fn a_position_of_a_file_that_was_replaced_by_an_older_copy_meanwhile_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.db");
    let ledger = open(&path).await;
    customers(&ledger, &["alice"]).await;
    let good = ledger.edge(ShardId::new(0), Edge::Newest).await.unwrap();
    ledger.post(posting("p1", "cash", "alice", 1)).await.unwrap();
    let lost = ledger.edge(ShardId::new(0), Edge::Newest).await.unwrap();
    // As the file was before.
    sql(&path, "DELETE FROM entries WHERE posting = 3; DELETE FROM postings WHERE sequence = 3").await;
    for id in ["p2", "p3"] {
        ledger.post(posting(id, "cash", "alice", 1)).await.unwrap();
    }
    let refused = ledger.events(&lost, 10, Duration::ZERO).await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::Rejected, Some("after")));
    let events = ledger.events(&good, 10, Duration::ZERO).await.unwrap().events;
    let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["posting:p2", "posting:p3"]);
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balance_is_read_beside_forty_reports() {
    let options = SqliteOptions::temporary().unwrap().readers(1);
    let ledger = Arc::new(SqliteLedger::open(options).await.unwrap());
    customers(&ledger, &["alice"]).await;
    for batch in 0..4 {
        let many = (0..500).map(|n| posting(&format!("p{batch}.{n}"), "cash", "alice", 1).into()).collect();
        ledger.execute(many).await.into_iter().for_each(|outcome| drop(outcome.unwrap()));
    }
    let reports: Vec<_> = (0..40)
        .map(|n| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                if n % 2 == 0 {
                    ledger.trial_balance(Consistency::Current).await.is_ok_and(|totals| totals.is_balanced())
                } else {
                    ledger.verify(None, &mut |_| ()).await.is_ok_and(|verified| verified.is_intact())
                }
            })
        })
        .collect();
    let mut beside = 0;
    while reports.iter().any(|report| !report.is_finished()) {
        assert_eq!(balance(&ledger, "alice").await, 2_000);
        beside += 1;
    }
    assert!(beside >= 40, "{beside} balances were read meanwhile");
    for report in reports {
        assert!(report.await.unwrap());
    }
}

#[tokio::test]
async fn rows_that_no_command_makes_are_refused_by_the_tables() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("l.db");
    let ledger = open(&path).await;
    customers(&ledger, &["alice"]).await;
    ledger.post(posting("p1", "cash", "alice", 10)).await.unwrap();
    let eur = |minor| Money::from_minor(minor, Currency::EUR);
    ledger.execute_one(PlaceHold::new(hold("h"), account("alice"), eur(5))).await.unwrap();
    let capture = Capture::new(PostingId::new("c").unwrap(), hold("h"), account("cash")).amount(eur(2));
    ledger.execute_one(capture).await.unwrap();
    let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    for wrong in [
        "INSERT INTO entries VALUES (3, 2, 1, 9, 0, 0)",
        "INSERT INTO entries VALUES (3, 2, 1, 0, 5, 5)",
        "UPDATE holds SET captured = 6",
        "UPDATE holds SET captured = -1",
        "UPDATE holds SET status = 2",
        "INSERT INTO postings (sequence, id, kind, booked_at, hold, content) VALUES (9, 'x', 'x', 0, 4, zeroblob(32))",
        "INSERT INTO postings (sequence, id, kind, booked_at, hold, captured, hold_status, content)
         SELECT 9, 'x', kind, booked_at, hold, captured, hold_status, content FROM postings WHERE id = 'c'",
    ] {
        let refused = sqlx::raw_sql(wrong).execute(&mut connection).await;
        let refused = refused.expect_err(wrong);
        assert!(
            refused.as_database_error().is_some_and(|error| error.message().contains("constraint")),
            "{wrong}"
        );
    }
    connection.close().await.unwrap();
    ledger.close().await;
}
