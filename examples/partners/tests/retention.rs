//! Events are kept for a time, and until partners has taken them.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::time::Duration;

use bank_stores::Outbox;
use bank_stores::outbox::{Edge, ShardId};
use support::{Bank, PATIENCE};
use tokio::time::Instant;

const DAY: Duration = Duration::from_secs(24 * 3_600);
const KEEP: Duration = Duration::from_secs(30 * 24 * 3_600);

/// How many events a store has forgotten.
async fn forgotten(outbox: &dyn Outbox) -> u64 {
    outbox.edge(ShardId::new(0), Edge::Oldest).await.unwrap().number()
}

/// Has both services forget what they may.
async fn forget(bank: &Bank) -> [u64; 2] {
    let (accounts, transactions) = (&bank.accounts_service, &bank.transactions_service);
    [accounts.forget_events_once(KEEP).await.unwrap(), transactions.forget_events_once(KEEP).await.unwrap()]
}

/// Has them forget until they have forgotten so many: partners asks on when it has taken something.
async fn forget_up_to(bank: &Bank, expected: [u64; 2]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        forget(bank).await;
        let forgotten = [forgotten(&bank.ledger).await, forgotten(&bank.items).await];
        assert!(
            forgotten <= expected && Instant::now() < deadline,
            "{forgotten:?} of {expected:?} are forgotten"
        );
        if forgotten == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn events_are_forgotten_when_they_are_old_and_partners_has_taken_them() {
    let bank = Bank::open().await;
    let (alice, bob) = (bank.user("alice", "Alice Example").await, bank.user("bob", "Bob Example").await);
    let (from, to) = (bank.account(&alice, 10_000).await, bank.account(&bob, 0).await);
    bank.send(&alice, &from, &to, 1, "old").await;
    bank.clock.advance(KEEP + DAY);
    assert_eq!(forget(&bank).await, [0, 0], "partners has never come");
    assert_eq!([forgotten(&bank.ledger).await, forgotten(&bank.items).await], [0, 0]);

    let copy = bank.start().await;
    copy.list_of(&alice, 2).await;
    copy.list_of(&bob, 1).await;
    // The bank's own account was opened, and two customers' accounts; money came in and was sent. The newest event of a ledger stays.
    forget_up_to(&bank, [4, 2]).await;
    // What is young stays, whoever has taken it.
    bank.send(&alice, &from, &to, 2, "young").await;
    copy.list_of(&bob, 2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    forget_up_to(&bank, [5, 2]).await;

    // What is old stays, where partners has not taken it.
    drop(copy);
    bank.send(&alice, &from, &to, 3, "waiting").await;
    bank.clock.advance(KEEP + DAY);
    forget(&bank).await;
    let copy = bank.start().await;
    let told = copy.list_of(&bob, 3).await;
    assert_eq!(told.len(), 3);
    forget_up_to(&bank, [6, 6]).await;
}
