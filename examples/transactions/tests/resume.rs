//! What the transactions service promises while other parts fail, and after it died itself.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bank_sdk::Principal;
use bank_sdk::events::EventsAfter;
use bank_stores::items::{Change, Key, Transaction};
use bank_stores::{Currency, ItemsExt as _};
use http::StatusCode;
use support::{Bank, Raw, Weather, refused, transfer};
use transactions::endpoints;
use transactions::wire::{TransferStatus, TransfersOf};

async fn alice_and_bob(bank: &Bank) -> (String, String) {
    (bank.account("cus_alice", Currency::EUR, 100).await, bank.account("cus_bob", Currency::EUR, 0).await)
}

#[tokio::test]
async fn a_transfer_that_cannot_be_posted_now_is_pending_and_ends_later() {
    for weather in [Weather::Down, Weather::RepliesLost, Weather::Silent] {
        let bank = Bank::open().await;
        let (alice, bob) = alice_and_bob(&bank).await;
        let copy = bank.start_impatient();
        copy.network.set(weather);
        let new = transfer(&alice, &bob, 60);
        let first = copy.raw("cus_alice", "k", &new).await;
        assert_eq!((first.status, first.replayed), (StatusCode::CREATED, false), "{weather:?}");
        let pending = first.transfer();
        assert_eq!(pending.status, TransferStatus::Pending);

        // Another copy ends it, while the first one may still be trying.
        bank.clock.advance(Duration::from_secs(2));
        let other = bank.start();
        let ended = other.resume_until_settled("cus_alice", &pending.id).await;
        assert_eq!(ended.status, TransferStatus::Completed, "{weather:?}");
        copy.network.set(Weather::Fair);
        // The key's answer stays what it was; the transfer tells how it ended.
        assert_eq!(copy.raw("cus_alice", "k", &new).await, Raw { replayed: true, ..first });
        assert_eq!(bank.balance("cus_bob", &bob).await, 60);
    }
}

#[tokio::test]
async fn a_request_whose_process_died_is_answered_on_its_repetition() {
    let bank = Bank::open().await;
    let (alice, bob) = alice_and_bob(&bank).await;
    let new = transfer(&alice, &bob, 60);
    for (token, weather) in [("down", Weather::Down), ("lost", Weather::RepliesLost)] {
        let dying = Arc::new(bank.start());
        dying.network.set(weather);
        let request = tokio::spawn({
            let (dying, new) = (dying.clone(), new.clone());
            async move { dying.raw("cus_alice", token, &new).await }
        });
        while dying.network.postings.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Nobody was answered.
        request.abort();
        bank.clock.advance(Duration::from_secs(2));

        let next = bank.start();
        let answer = next.answered("cus_alice", token, &new).await;
        assert_eq!((answer.status, answer.replayed), (StatusCode::CREATED, true));
        let ended = answer.transfer();
        let expected = if token == "down" { TransferStatus::Completed } else { TransferStatus::Rejected };
        assert_eq!(ended.status, expected, "{token}: the second one is more than there is");
        assert_eq!(next.raw("cus_alice", token, &new).await, answer);
    }
    assert_eq!((bank.balance("cus_alice", &alice).await, bank.balance("cus_bob", &bob).await), (40, 60));
}

#[tokio::test]
async fn a_caller_who_goes_away_stops_nothing() {
    let bank = Bank::open().await;
    let (alice, bob) = alice_and_bob(&bank).await;
    let copy = Arc::new(bank.start());
    copy.network.set(Weather::Down);
    let request = tokio::spawn({
        let (copy, new) = (copy.clone(), transfer(&alice, &bob, 60));
        async move { copy.raw("cus_alice", "k", &new).await }
    });
    while copy.network.postings.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    request.abort();
    copy.network.set(Weather::Fair);
    // Without any resuming: the task that drives it goes on.
    let again = copy.answered("cus_alice", "k", &transfer(&alice, &bob, 60)).await;
    assert_eq!((again.replayed, again.transfer().status), (true, TransferStatus::Completed));
    assert_eq!(bank.balance("cus_bob", &bob).await, 60);
}

#[tokio::test]
async fn a_repeated_request_that_outwaits_the_first_is_told_to_come_back() {
    let bank = Bank::open().await;
    let (alice, bob) = alice_and_bob(&bank).await;
    let new = transfer(&alice, &bob, 60);
    let copy = Arc::new(bank.start());
    copy.network.set(Weather::Silent);
    let request = tokio::spawn({
        let (copy, new) = (copy.clone(), new.clone());
        async move { copy.raw("cus_alice", "k", &new).await }
    });
    while copy.network.postings.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Its process died before it answered, and the next one cannot reach accounts either.
    request.abort();
    let next = bank.start();
    next.network.set(Weather::Down);
    let answer = next.raw("cus_alice", "k", &new).await;
    assert_eq!((answer.status, &*answer.code()), (StatusCode::CONFLICT, "request_in_progress"));
    assert_eq!(answer.retry_after.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_copies_resume_the_same_transfers_and_each_is_made_once() {
    let bank = Bank::open().await;
    let (alice, bob) = alice_and_bob(&bank).await;
    let dead = bank.start_impatient();
    dead.network.set(Weather::Down);
    let mut ids = Vec::new();
    for at in 0..8 {
        let answer = dead.raw("cus_alice", &format!("k{at}"), &transfer(&alice, &bob, 1 << at)).await;
        ids.push(answer.transfer().id);
    }
    bank.clock.advance(Duration::from_secs(2));
    let copies = [bank.start(), bank.start(), bank.start()];
    for copy in &copies {
        copy.service.resume_once().await.unwrap();
    }
    let mut moved = 0;
    for (at, id) in ids.iter().enumerate() {
        if copies[0].resume_until_settled("cus_alice", id).await.status == TransferStatus::Completed {
            moved += 1 << at;
        }
    }
    // Powers of two: the balance names the transfers that it holds. There was not enough for all of them.
    assert!(moved > 0 && moved <= 100);
    assert_eq!(
        (bank.balance("cus_alice", &alice).await, bank.balance("cus_bob", &bob).await),
        (100 - moved, moved)
    );
}

#[tokio::test]
async fn after_its_answer_was_forgotten_the_same_key_still_cannot_pay_twice() {
    let bank = Bank::open().await;
    let (alice, bob) = alice_and_bob(&bank).await;
    let copy = bank.start();
    let new = transfer(&alice, &bob, 60);
    let first = copy.raw("cus_alice", "k", &new).await;
    bank.clock.advance(Duration::from_secs(25 * 3600));
    assert_eq!(copy.raw("cus_alice", "k", &new).await, Raw { replayed: true, ..first.clone() });
    bank.clock.advance(Duration::from_secs(30 * 24 * 3600));
    assert_eq!(copy.raw("cus_alice", "k", &new).await, Raw { replayed: true, ..first });
    let other = copy.raw("cus_alice", "k", &transfer(&alice, &bob, 1)).await;
    assert_eq!((other.status, &*other.code()), (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"));
    assert_eq!(bank.balance("cus_bob", &bob).await, 60);
}

#[tokio::test]
async fn a_pending_transfer_from_another_customers_account_ends_where_its_sender_sees_it() {
    let bank = Bank::open().await;
    let (alice, bob) = alice_and_bob(&bank).await;
    let copy = bank.start_impatient();
    copy.network.set(Weather::Down);
    let pending = copy.raw("cus_mallory", "k", &transfer(&alice, &bob, 60)).await.transfer();
    bank.clock.advance(Duration::from_secs(2));
    let other = bank.start();
    let ended = other.resume_until_settled("cus_mallory", &pending.id).await;
    assert_eq!((ended.status, ended.code.as_deref()), (TransferStatus::Rejected, Some("unknown_account")));
    let mallory = other.client("cus_mallory");
    let all = mallory.call(endpoints::LIST, &TransfersOf::default()).send().await.unwrap();
    assert_eq!(all.items, [ended]);
    // Still no more is said of the account than of one that does not exist.
    let of = TransfersOf { account: Some(alice), ..TransfersOf::default() };
    assert_eq!(refused(mallory.call(endpoints::LIST, &of).send().await).0, 404);
    let partners = other.harness.client(Principal::service("partners"));
    let after = EventsAfter::default();
    let events = partners.call(endpoints::EVENTS, &after).send().await.unwrap().items;
    let told: Vec<_> = events.iter().map(|event| (&*event.topic, &event.payload["transfer"])).collect();
    assert_eq!(told, [("transfer.rejected", &pending.id.into())]);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_no_other_from_being_resumed() {
    let bank = Bank::open().await;
    let (alice, bob) = alice_and_bob(&bank).await;
    let dead = bank.start_impatient();
    dead.network.set(Weather::Down);
    let pending = dead.raw("cus_alice", "k", &transfer(&alice, &bob, 60)).await.transfer();
    for shard in 0..4 {
        let junk = Change::put(Key::new(format!("pending#{shard}"), "0"), "junk").unwrap();
        bank.items.commit_one(Transaction::new(format!("junk{shard}")).change(junk)).await.unwrap();
    }
    bank.clock.advance(Duration::from_secs(2));
    let ended = bank.start().resume_until_settled("cus_alice", &pending.id).await;
    assert_eq!(ended.status, TransferStatus::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_live_requests_nor_hopeless_transfers_keep_others_from_being_resumed() {
    let bank = Bank::open().await;
    let (alice, bob) = alice_and_bob(&bank).await;
    let (dead, copy) = (Arc::new(bank.start_impatient()), Arc::new(bank.start_impatient()));
    let stuck = async |on: &Arc<support::Copy>, name: &str| {
        on.network.set(Weather::Silent);
        let requests: Vec<_> = (0..300)
            .map(|at| {
                let (on, token, new) = (on.clone(), format!("{name}{at}"), transfer(&alice, &bob, 1_000));
                tokio::spawn(async move { on.raw("cus_alice", &token, &new).await })
            })
            .collect();
        for request in requests {
            assert_eq!(request.await.unwrap().transfer().status, TransferStatus::Pending);
        }
    };
    // Live requests of this copy hang, and so does as much as it may resume of another's.
    stuck(&copy, "live").await;
    stuck(&dead, "hopeless").await;
    bank.clock.advance(Duration::from_secs(2));
    assert_eq!(copy.service.resume_once().await.unwrap(), 256);
    assert_eq!(copy.service.resume_once().await.unwrap(), 0, "there is no room");
    let pending = dead.raw("cus_alice", "k", &transfer(&alice, &bob, 60)).await.transfer();
    bank.clock.advance(Duration::from_secs(2));
    copy.network.set(Weather::Fair);
    // Those that hang end with their calls' timeout.
    let mut ended = pending.status;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while ended == TransferStatus::Pending && tokio::time::Instant::now() < deadline {
        copy.service.resume_once().await.unwrap();
        ended = copy.find("cus_alice", &pending.id).await.unwrap().status;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ended, TransferStatus::Completed);
}
