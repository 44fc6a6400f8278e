//! Posts to a ledger while its disk is made to fail by whoever started this: see the test of the ledger's file.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a part of a test")]

use std::path::{Path, PathBuf};

use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{AccountId, CommandId, Floor, OpenAccount, Posting, PostingId};
use bank_stores::{Consistency, Currency, ErrorKind, Ledger, LedgerExt, Money};

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

fn id(number: i64) -> PostingId {
    PostingId::new(format!("p{number}")).unwrap()
}

fn transfer(number: i64) -> Posting {
    let one = Money::from_minor(1, Currency::EUR);
    Posting::new(id(number), "transfer").transfer(account("cash"), account("alice"), one)
}

/// Tells whether the doubtful posting of a process that died is there.
async fn look(path: &Path) {
    let ledger = SqliteLedger::open(SqliteOptions::new(path)).await.unwrap();
    let found = ledger.receipt(&CommandId::Posting(id(2))).await.unwrap().is_some();
    println!("looked up: {found}");
}

/// Looks up what a failed fsync left in doubt, tells it, and dies without another word to its files.
async fn dies(path: &Path, fault: &Path) {
    let ledger = SqliteLedger::open(SqliteOptions::new(path)).await.unwrap();
    ledger.open(OpenAccount::new(account("cash"), Currency::EUR).floor(Floor::None)).await.unwrap();
    ledger.open(OpenAccount::new(account("alice"), Currency::EUR)).await.unwrap();
    ledger.post(transfer(1)).await.unwrap();
    // Who reads keeps the log open.
    ledger.account(&account("alice"), Consistency::Current).await.unwrap();
    std::fs::write(fault, "s").unwrap();
    let error = ledger.post(transfer(2)).await.unwrap_err();
    std::fs::remove_file(fault).unwrap();
    assert_eq!(error.kind(), ErrorKind::Indeterminate);
    let found = ledger.receipt(&CommandId::Posting(id(2))).await.unwrap().is_some();
    println!("looked up: {found}");
    std::process::abort();
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut words = std::env::args().skip(1).map(PathBuf::from);
    let (path, fault) = (words.next().unwrap(), words.next().unwrap());
    match words.next().as_deref().and_then(Path::to_str) {
        Some("look") => return look(&path).await,
        Some("dies") => return dies(&path, &fault).await,
        _ => {}
    }
    let ledger = SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap();
    ledger.open(OpenAccount::new(account("cash"), Currency::EUR).floor(Floor::None)).await.unwrap();
    ledger.open(OpenAccount::new(account("alice"), Currency::EUR)).await.unwrap();
    let mut number = 0;
    for _ in 0..20 {
        number += 1;
        ledger.post(transfer(number)).await.unwrap();
    }
    // All that was acknowledged, or found when it was looked up, and no more.
    let mut there = number;
    for (name, letter) in [("full", "f"), ("fsync", "s")] {
        std::fs::write(&fault, letter).unwrap();
        number += 1;
        let doubtful = number;
        let error = ledger.post(transfer(doubtful)).await.unwrap_err();
        std::fs::remove_file(&fault).unwrap();
        if error.kind() != ErrorKind::Indeterminate {
            let found = ledger.receipt(&CommandId::Posting(id(doubtful))).await.unwrap();
            assert!(found.is_none(), "nothing was done, it was said: {error:?}");
        }
        // The same again is the same posting, whether it happened or not.
        ledger.post(transfer(doubtful)).await.unwrap();
        number += 1;
        let posted = ledger.post(transfer(number)).await.is_ok();
        there += 2;
        let (kind, answer) = (error.kind().as_str(), if posted { "yes" } else { "no" });
        println!("{name}: {kind}, {error}; posted after it: {answer}");
    }
    ledger.close().await;
    drop(ledger);
    let ledger = SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap();
    let alice = ledger.account(&account("alice"), Consistency::Current).await.unwrap();
    let verified = ledger.verify(None, &mut |_| {}).await.unwrap();
    let whole = alice.balance.minor() == there && alice.entry_count == there as u64 && verified.is_intact();
    println!("whole: {}", if whole { "yes" } else { "no" });
}
