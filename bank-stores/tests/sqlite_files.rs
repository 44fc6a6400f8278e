//! What the embedded stores leave on disk, and who may open it.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bank_stores::embedded::{SqliteDocuments, SqliteItems, SqliteLedger, SqliteOptions};
use bank_stores::items::{Change, Key, Transaction};
use bank_stores::ledger::{AccountId, Floor, OpenAccount, Posting, PostingId};
use bank_stores::outbox::{Edge, ShardId};
use bank_stores::{
    Consistency, Currency, ErrorKind, Items, ItemsExt, Ledger, LedgerExt, ManualClock, Money, Outbox,
    PageRequest, Timestamp,
};

fn id(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

fn transfer(name: &str, minor: i64) -> Posting {
    let amount = Money::from_minor(minor, Currency::EUR);
    Posting::new(PostingId::new(name).unwrap(), "transfer").transfer(id("cash"), id("alice"), amount)
}

async fn open_accounts(ledger: &SqliteLedger) {
    ledger.open(OpenAccount::new(id("cash"), Currency::EUR).floor(Floor::None)).await.unwrap();
    ledger.open(OpenAccount::new(id("alice"), Currency::EUR)).await.unwrap();
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data/ledger.db");
    let ledger = SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap();
    open_accounts(&ledger).await;
    let receipt = ledger.post(transfer("p", 5)).await.unwrap();
    ledger.close().await;
    assert_eq!(ledger.post(transfer("q", 5)).await.unwrap_err().kind(), ErrorKind::Unavailable);

    let ledger = SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap();
    assert_eq!(ledger.post(transfer("p", 5)).await.unwrap(), receipt.clone().replay());
    let next = ledger.post(transfer("q", 5)).await.unwrap();
    assert_eq!(next.sequence, receipt.sequence + 1);
    let start = ledger.edge(ShardId::new(0), Edge::Oldest).await.unwrap();
    assert_eq!(ledger.events(&start, 10, Duration::ZERO).await.unwrap().events.len(), 4);
}

#[tokio::test]
async fn close_executes_what_is_waiting() {
    let options = SqliteOptions::temporary().unwrap();
    let items = Arc::new(SqliteItems::open(options.clone()).await.unwrap());
    let calls: Vec<_> = (0..50)
        .map(|n| {
            let items = items.clone();
            let change = Change::put(Key::new("p", n.to_string()), &n).unwrap();
            tokio::spawn(
                async move { items.commit_one(Transaction::new(format!("w{n}")).change(change)).await },
            )
        })
        .collect();
    tokio::task::yield_now().await;
    items.close().await;
    let mut done = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => done += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable),
        }
    }
    let items = SqliteItems::open(options).await.unwrap();
    let query = bank_stores::items::Query::partition("p");
    assert_eq!(items.query(&query).await.unwrap().items.len(), done);
}

#[tokio::test]
async fn a_second_writer_is_refused_and_a_reader_is_not() {
    let options = SqliteOptions::temporary().unwrap();
    let early = SqliteItems::open(options.clone().read_only()).await.unwrap_err();
    assert_eq!(early.kind(), ErrorKind::Unavailable);

    let writer = SqliteItems::open(options.clone()).await.unwrap();
    let second = SqliteItems::open(options.clone()).await.unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Denied);
    assert!(second.to_string().ends_with("is in use by another process"), "{second}");

    let reader = SqliteItems::open(options.clone().read_only()).await.unwrap();
    let key = Key::new("p", "s");
    for n in 0..3 {
        let change = Change::put(key.clone(), &n).unwrap();
        writer.commit_one(Transaction::new(format!("w{n}")).change(change)).await.unwrap();
        assert_eq!(reader.get_json::<i32>(&key, Consistency::Current).await.unwrap().unwrap().0, n);
    }
    let refused =
        reader.commit_one(Transaction::new("r").change(Change::delete(key.clone()))).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);

    // When the writer has gone, the reader goes on reading, and another may write.
    writer.close().await;
    assert!(reader.get(&key, Consistency::Current).await.unwrap().is_some());
    let late = SqliteItems::open(options.clone().read_only()).await.unwrap();
    assert!(late.get(&key, Consistency::Current).await.unwrap().is_some());
    SqliteItems::open(options).await.unwrap();
}

#[tokio::test]
async fn another_kind_of_store_and_a_newer_schema_are_refused() {
    let options = SqliteOptions::temporary().unwrap();
    SqliteItems::open(options.clone()).await.unwrap().close().await;
    for refused in [
        SqliteLedger::open(options.clone()).await.unwrap_err(),
        SqliteDocuments::open(options).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::Denied);
    }

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap().close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    // The file format keeps the user version in four bytes from 60 on.
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(&path, bytes).unwrap();
    for options in [SqliteOptions::new(&path), SqliteOptions::new(&path).read_only()] {
        let refused = SqliteLedger::open(options).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Denied);
        assert!(refused.to_string().contains("schema version 99"), "{refused}");
    }
    // And the mark of the kind of store in four bytes from 68 on; its last byte counts forms that no release has written.
    let path = directory.path().join("items.db");
    SqliteItems::open(SqliteOptions::new(&path)).await.unwrap().close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[71] = 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = SqliteItems::open(SqliteOptions::new(&path)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    assert!(refused.to_string().contains("before the first release"), "{refused}");
    let junk = directory.path().join("junk.db");
    std::fs::write(&junk, vec![7; 8_192]).unwrap();
    assert_eq!(SqliteLedger::open(SqliteOptions::new(junk)).await.unwrap_err().kind(), ErrorKind::Damaged);
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("a/b");
    let items = SqliteItems::open(SqliteOptions::new(home.join("items.db"))).await.unwrap();
    let change = Change::put(Key::new("p", "s"), &1).unwrap();
    items.commit_one(Transaction::new("w").change(change)).await.unwrap();
    assert_eq!(mode(&home), 0o700);
    let files: Vec<_> = std::fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "database, log, its index and the lock: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn files_that_others_could_read_are_taken_from_them() {
    use std::fs::{Permissions, metadata, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    set_permissions(home, Permissions::from_mode(0o755)).unwrap();
    let path = home.join("items.db");
    SqliteItems::open(SqliteOptions::new(&path)).await.unwrap().close().await;
    for name in ["items.db", "items.db.lock", "items.db-wal", "items.db-shm"] {
        let file = home.join(name);
        std::fs::OpenOptions::new().append(true).create(true).open(&file).unwrap();
        set_permissions(&file, Permissions::from_mode(0o664)).unwrap();
    }
    let items = SqliteItems::open(SqliteOptions::new(&path)).await.unwrap();
    let change = Change::put(Key::new("p", "s"), &1).unwrap();
    items.commit_one(Transaction::new("w").change(change)).await.unwrap();
    for entry in std::fs::read_dir(home).unwrap() {
        let file = entry.unwrap().path();
        assert_eq!(metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    assert_eq!(metadata(home).unwrap().permissions().mode() & 0o777, 0o755, "not ours to change");
}

#[tokio::test]
async fn booking_time_never_goes_back() {
    let clock = ManualClock::at(Timestamp::from_seconds(1_000));
    let options = SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
    let ledger = SqliteLedger::open(options.clone()).await.unwrap();
    open_accounts(&ledger).await;
    clock.set(Timestamp::from_seconds(10));
    ledger.post(transfer("p", 1)).await.unwrap();
    ledger.close().await;
    let ledger = SqliteLedger::open(options).await.unwrap();
    ledger.post(transfer("q", 1)).await.unwrap();
    clock.advance(Duration::from_secs(1_990));
    ledger.post(transfer("r", 1)).await.unwrap();
    let entries =
        ledger.entries(&id("alice"), PageRequest::first(10), Consistency::Current).await.unwrap().items;
    let times: Vec<i64> = entries.iter().map(|entry| entry.booked_at.seconds()).collect();
    assert_eq!(times, [1_000, 1_000, 2_000]);
}
