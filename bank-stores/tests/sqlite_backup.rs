//! Copies of a ledger's file, rehearsed: taken while it is written, damaged, put back.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{AccountId, CommandId, Floor, OpenAccount, Posting, PostingId, Progress};
use bank_stores::{Consistency, Currency, ErrorKind, Ledger, LedgerExt, Money};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

fn transfer(number: i64) -> Posting {
    let id = PostingId::new(format!("p{number}")).unwrap();
    Posting::new(id, "transfer").transfer(
        account("cash"),
        account("alice"),
        Money::from_minor(1, Currency::EUR),
    )
}

async fn opened(path: &Path) -> SqliteLedger {
    let ledger = SqliteLedger::open(SqliteOptions::new(path)).await.unwrap();
    ledger.open(OpenAccount::new(account("cash"), Currency::EUR).floor(Floor::None)).await.unwrap();
    ledger.open(OpenAccount::new(account("alice"), Currency::EUR)).await.unwrap();
    ledger
}

async fn has(ledger: &SqliteLedger, number: i64) -> bool {
    let id = CommandId::Posting(PostingId::new(format!("p{number}")).unwrap());
    ledger.receipt(&id).await.unwrap().is_some()
}

fn no_progress() -> impl FnMut(Progress) + Send {
    |_| {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_beside_a_busy_writer_is_one_moment_and_verified() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Arc::new(opened(&directory.path().join("ledger.db")).await);
    let (done, stop) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let writing = tokio::spawn({
        let (ledger, done, stop) = (ledger.clone(), done.clone(), stop.clone());
        async move {
            for number in 1.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                ledger.post(transfer(number)).await.unwrap();
                done.store(number, Ordering::Relaxed);
            }
        }
    });
    while done.load(Ordering::Relaxed) < 200 {
        tokio::task::yield_now().await;
    }
    // By the process that writes, and by another that only reads.
    let reader =
        SqliteLedger::open(SqliteOptions::new(directory.path().join("ledger.db")).read_only()).await.unwrap();
    for (name, source) in [("own.db", &*ledger), ("other.db", &reader)] {
        let before = done.load(Ordering::Relaxed);
        let copy = directory.path().join("copies").join(name);
        let mut last = None;
        let verified = source.backup(&copy, &mut |progress| last = Some(progress)).await.unwrap();
        assert!(verified.is_intact(), "{verified:?}");
        assert!(last.is_none_or(|progress: Progress| progress.checked == progress.of));
        let after = done.load(Ordering::Relaxed);
        let copy = SqliteLedger::open(SqliteOptions::new(&copy).read_only()).await.unwrap();
        // All that was acknowledged before it began, in order, and nothing between is missing.
        let balance = copy.account(&account("alice"), Consistency::Current).await.unwrap().balance.minor();
        assert!((before..=after + 1).contains(&balance), "{before} {balance} {after}");
        assert!(has(&copy, balance).await && !has(&copy, balance + 1).await);
        assert!(copy.trial_balance(Consistency::Current).await.unwrap().is_balanced());
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    // A backup replaces nothing, and leaves nothing half done.
    let error = ledger.backup(directory.path().join("copies/own.db"), &mut no_progress()).await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::Conflict, Some("to")));
    let mut left: Vec<_> = std::fs::read_dir(directory.path().join("copies"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.contains("db-"))
        .collect();
    left.sort();
    assert_eq!(left, ["other.db", "own.db"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(directory.path().join("copies/own.db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_restored_ledger_is_the_one_that_was_copied_and_the_old_one_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("ledger.db"), directory.path().join("copy.db"));
    let ledger = opened(&path).await;
    for number in 1..=10 {
        ledger.post(transfer(number)).await.unwrap();
    }
    assert!(ledger.backup(&copy, &mut no_progress()).await.unwrap().is_intact());
    for number in 11..=15 {
        ledger.post(transfer(number)).await.unwrap();
    }
    let restore = |from: &Path| {
        let (from, path) = (from.to_owned(), path.clone());
        async move { SqliteLedger::restore(from, path, &mut no_progress()).await }
    };
    // Not under a bank that runs.
    assert_eq!(restore(&copy).await.unwrap_err().kind(), ErrorKind::Denied);
    ledger.close().await;
    drop(ledger);
    let missing = restore(&directory.path().join("nothing.db")).await.unwrap_err();
    assert_eq!((missing.kind(), missing.field()), (ErrorKind::NotFound, Some("from")));

    // A copy that a foreign hand changed, and a file that is no ledger, put nothing in its place.
    let wrong = directory.path().join("wrong.db");
    std::fs::copy(&copy, &wrong).unwrap();
    let mut connection = SqliteConnectOptions::new().filename(&wrong).connect().await.unwrap();
    sqlx::raw_sql("UPDATE entries SET balance = balance + 1").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let refused = restore(&wrong).await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::Rejected, Some("from")), "{refused:?}");
    let text = directory.path().join("text.db");
    std::fs::write(&text, "this is no database, though it is long enough to be read as one".repeat(40))
        .unwrap();
    let empty = directory.path().join("empty.db");
    std::fs::write(&empty, "").unwrap();
    // Nor is another SQLite file a ledger's, nor a ledger whose newest postings are in a log beside it.
    let foreign = directory.path().join("foreign.db");
    let create = SqliteConnectOptions::new().filename(&foreign).create_if_missing(true);
    let mut connection = create.connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (k)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let logged = directory.path().join("logged.db");
    std::fs::copy(&copy, &logged).unwrap();
    std::fs::write(directory.path().join("logged.db-wal"), "frames").unwrap();
    for (from, kind) in [
        (&text, ErrorKind::Denied),
        (&empty, ErrorKind::Denied),
        (&foreign, ErrorKind::Denied),
        (&logged, ErrorKind::Rejected),
    ] {
        let refused = restore(from).await.unwrap_err();
        assert_eq!((refused.kind(), refused.field()), (kind, Some("from")), "{refused:?}");
    }
    let ledger = SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap();
    assert!(has(&ledger, 15).await);
    ledger.close().await;
    drop(ledger);

    assert!(restore(&copy).await.unwrap().is_intact());
    let ledger = SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap();
    assert!(has(&ledger, 10).await && !has(&ledger, 11).await);
    // It goes on from there.
    ledger.post(transfer(11)).await.unwrap();
    let verified = ledger.verify(None, &mut no_progress()).await.unwrap();
    assert!(verified.is_intact(), "{verified:?}");
    let aside = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // Without its empty log, which is there while somebody has not quite closed it.
        .find(|path| {
            path.to_str().unwrap().contains(".replaced-")
                && path.to_str().unwrap().ends_with(char::is_numeric)
        })
        .unwrap();
    let old = SqliteLedger::open(SqliteOptions::new(aside)).await.unwrap();
    assert!(has(&old, 15).await);
    let parts = std::fs::read_dir(directory.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().contains(".part-"));
    assert_eq!(parts.count(), 0, "nothing half done is left");
}

#[tokio::test]
async fn a_log_that_lost_its_ledger_is_not_taken_for_the_restored_ones() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("ledger.db"), directory.path().join("copy.db"));
    let ledger = opened(&path).await;
    assert!(ledger.backup(&copy, &mut no_progress()).await.unwrap().is_intact());
    for number in 1..=50 {
        ledger.post(transfer(number)).await.unwrap();
    }
    // As a killed bank leaves it, and an operator who moves the ledger away but not its log.
    let log = std::fs::read(directory.path().join("ledger.db-wal")).unwrap();
    ledger.close().await;
    drop(ledger);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(directory.path().join("ledger.db-wal"), log).unwrap();
    assert!(SqliteLedger::restore(&copy, &path, &mut no_progress()).await.unwrap().is_intact());
    let ledger = SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap();
    assert!(!has(&ledger, 1).await && !has(&ledger, 50).await);
    assert!(ledger.verify(None, &mut no_progress()).await.unwrap().is_intact());
}
