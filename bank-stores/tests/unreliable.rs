//! The ledger that fails as it is told to, and a caller who gets along with it.

#![cfg(all(feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use bank_stores::conformance::unreliable::{Failure, Unreliable};
use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{AccountId, CommandId, Floor, OpenAccount, Posting, PostingId};
use bank_stores::{Consistency, Currency, ErrorKind, Ledger, LedgerExt, Money};

const LATER: Duration = Duration::from_millis(80);

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

async fn fresh() -> Unreliable<SqliteLedger> {
    let ledger = SqliteLedger::open(SqliteOptions::temporary().unwrap()).await.unwrap();
    ledger.open(OpenAccount::new(account("cash"), Currency::EUR).floor(Floor::None)).await.unwrap();
    ledger.open(OpenAccount::new(account("alice"), Currency::EUR)).await.unwrap();
    Unreliable::new(ledger)
}

async fn balance(ledger: &dyn Ledger, read: Consistency) -> i64 {
    ledger.account(&account("alice"), read).await.unwrap().balance.minor()
}

#[tokio::test]
async fn each_failure_does_what_it_says_once() {
    let ledger = fresh().await;
    let there =
        async |number| ledger.inner().receipt(&CommandId::Posting(id(number))).await.unwrap().is_some();
    for (number, failure, kind, happened) in [
        (1, Failure::Contention, ErrorKind::Unavailable, false),
        (2, Failure::LostBefore, ErrorKind::Indeterminate, false),
        (3, Failure::LostAfter, ErrorKind::Indeterminate, true),
    ] {
        ledger.fail_next(failure);
        assert_eq!(ledger.post(transfer(number)).await.unwrap_err().kind(), kind, "{failure:?}");
        assert_eq!(there(number).await, happened, "{failure:?}");
        assert_eq!(ledger.post(transfer(number)).await.unwrap().replayed, happened);
        // A read that is lost had no effect to be unsure of.
        ledger.fail_next(failure);
        let read = ledger.account(&account("alice"), Consistency::Current).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::Unavailable, "{failure:?}");
    }
}

#[tokio::test]
async fn a_stale_reader_answers_as_it_did_and_only_where_that_is_allowed() {
    let ledger = fresh().await;
    assert_eq!(balance(&ledger, Consistency::Any).await, 0);
    let receipt = ledger.post(transfer(1)).await.unwrap();
    for (read, old) in [
        (Consistency::Any, true),
        (Consistency::Current, false),
        (Consistency::AtLeast(receipt.freshness), false),
    ] {
        ledger.fail_next(Failure::Stale);
        assert_eq!(balance(&ledger, read).await, i64::from(!old), "{read:?}");
        ledger.heal();
    }
}

#[tokio::test]
async fn a_call_that_is_delayed_or_paused_arrives_later() {
    let ledger = fresh().await;
    ledger.fail_next(Failure::Delay(LATER));
    let start = tokio::time::Instant::now();
    ledger.post(transfer(1)).await.unwrap();
    assert!(start.elapsed() >= LATER);
    ledger.fail_next(Failure::Pause);
    let both = async { tokio::join!(ledger.post(transfer(2)), ledger.post(transfer(3))) };
    let mut both = std::pin::pin!(both);
    assert!(tokio::time::timeout(LATER, &mut both).await.is_err());
    assert_eq!(ledger.inner().receipt(&CommandId::Posting(id(3))).await.unwrap(), None);
    ledger.resume();
    let (two, three) = both.await;
    assert!(two.is_ok() && three.is_ok());
}

#[tokio::test]
async fn a_caller_that_looks_up_and_repeats_has_each_effect_once() {
    let failures = [
        Failure::Contention,
        Failure::LostBefore,
        Failure::LostAfter,
        Failure::Delay(Duration::from_micros(50)),
    ];
    for seed in 1..=5 {
        let ledger = fresh().await;
        ledger.fail_at_random(seed, 3, failures);
        let mut repeated = 0;
        for number in 1..=100 {
            loop {
                match ledger.post(transfer(number)).await {
                    Ok(receipt) => {
                        repeated += i64::from(receipt.replayed);
                        break;
                    }
                    Err(error) => assert!(
                        matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Indeterminate),
                        "{error:?}"
                    ),
                }
            }
        }
        ledger.heal();
        assert_eq!(balance(&ledger, Consistency::Current).await, 100, "seed {seed}");
        assert!(repeated > 0, "no answer got lost with the seed {seed}");
    }
}
