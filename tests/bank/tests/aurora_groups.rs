//! Groups of a ledger on a server that are made ready while another is with the server. Alone in its program, as it looks into the log.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::sync::Arc;

use bank_stores::aurora::{AuroraLedger, AuroraOptions};
use bank_stores::ledger::{AccountId, CommandId, Floor, OpenAccount, Posting, PostingId, Receipt};
use bank_stores::{Consistency, Currency, ErrorKind, Ledger, LedgerExt as _, Money};
use bank_tests::{Postgres, Proxy, Told, patience};
use tokio::time::Instant;

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

fn transfer(id: &str, from: &str, to: &str, minor: i64) -> Posting {
    let amount = Money::from_minor(minor, Currency::EUR);
    Posting::new(PostingId::new(id).unwrap(), "transfer").transfer(account(from), account(to), amount)
}

fn options(server: &Postgres, schema: &str) -> AuroraOptions {
    AuroraOptions::new(&server.url()).unwrap().schema(schema).unwrap().connections(3)
}

async fn customers(ledger: &dyn Ledger, names: &[&str]) {
    ledger.open(OpenAccount::new(account("cash"), Currency::EUR).floor(Floor::None)).await.unwrap();
    for name in names {
        ledger.open(OpenAccount::new(account(name), Currency::EUR)).await.unwrap();
        ledger.post(transfer(&format!("fund.{name}"), "cash", name, 1_000)).await.unwrap();
    }
}

async fn balance(ledger: &dyn Ledger, name: &str, read: Consistency) -> i64 {
    ledger.account(&account(name), read).await.unwrap().balance.minor()
}

/// Work that blocks, such as starting a server, off the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Posts until the outcome is known.
async fn post_surely(ledger: &dyn Ledger, posting: Posting) -> Receipt {
    let deadline = Instant::now() + patience();
    loop {
        match ledger.post(posting.clone()).await {
            Ok(receipt) => return receipt,
            Err(error) if error.kind() == ErrorKind::Indeterminate || error.is_retryable() => {
                assert!(Instant::now() < deadline, "no outcome of {posting:?}: {error:?}");
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// All tasks on one thread, so that many wait whenever one group is with the server.
#[tokio::test]
async fn a_group_that_was_made_ready_behind_another_happens_once_whatever_becomes_of_that() {
    let Some(server) = blocking(|| Postgres::shared("groups made ready")).await else { return };
    let told = Told::default();
    let _heard = tracing::subscriber::set_default(told.subscriber(tracing::Level::TRACE));
    let schema = Postgres::fresh_schema();
    let proxy = Proxy::start(server.port()).unwrap();
    let by_proxy = AuroraOptions::new(&proxy.instead_of(&server.url(), server.port())).unwrap();
    // Half of four wait as soon as two do.
    let small = by_proxy.schema(&schema).unwrap().connections(1).group(4);
    let ledger = Arc::new(AuroraLedger::open(small).await.unwrap());
    let other = AuroraLedger::open(options(server, &schema)).await.unwrap();
    customers(&*ledger, &["a", "b", "c"]).await;
    let post_all = |postings: Vec<Posting>| {
        let posts = postings.into_iter().map(|posting| {
            let ledger = ledger.clone();
            tokio::spawn(async move { !post_surely(&*ledger, posting).await.replayed })
        });
        posts.collect::<Vec<_>>()
    };
    let (mut lost, mut expected) = (0, 1_000);
    for round in 0..30 {
        let posting = |n: i32| transfer(&format!("t{round}.{n}"), "a", "b", 1);
        let postings = (0..24).map(posting);
        let posts = match round % 5 {
            // Every posting twice, a group apart.
            1 => post_all(postings.clone().chain(postings).collect()),
            _ => post_all(postings.collect()),
        };
        let mut alone = 0;
        match round % 5 {
            // Answers get lost, and it is not known whether the group before happened.
            0 => proxy.lose(1),
            // Another process comes between.
            2 => {
                let between = post_surely(&other, transfer(&format!("o{round}"), "a", "b", 1)).await;
                alone += i64::from(!between.replayed);
            }
            // One is refused for good, twice; the others of its group are not.
            3 => {
                let poor = transfer(&format!("p{round}"), "c", "b", 1_000_000).remember_refusal();
                for _ in 0..2 {
                    let refused = ledger.post(poor.clone()).await.unwrap_err();
                    assert_eq!(refused.kind(), ErrorKind::InsufficientFunds);
                }
            }
            // What is not there is looked up between groups.
            4 => {
                for n in 0..4 {
                    let unknown = CommandId::Posting(PostingId::new(format!("u{round}.{n}")).unwrap());
                    assert_eq!(ledger.receipt(&unknown).await.unwrap(), None);
                }
            }
            _ => {}
        }
        let mut fresh = 0;
        for post in posts {
            fresh += i64::from(post.await.unwrap());
        }
        lost += proxy.calm();
        // Whose answer was lost may hear of a replay, though it was posted once.
        assert!(round % 5 == 0 || fresh == 24, "{fresh} in round {round}");
        expected += 24 + alone;
        assert_eq!(balance(&other, "b", Consistency::Current).await, expected, "round {round}");
    }
    let ready = told.text().matches("a group was ready").count();
    assert!(lost >= 3 && ready >= 20, "{lost} answers got lost, {ready} groups were ready");
    assert!(other.verify(None, &mut |_| {}).await.unwrap().is_intact());
}
