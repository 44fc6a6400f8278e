//! What the transactions service promises while everything works.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use bank_sdk::events::EventsAfter;
use bank_sdk::{Limit, Principal};
use bank_stores::Currency;
use http::StatusCode;
use support::{Bank, key, refused, transfer};
use transactions::endpoints;
use transactions::wire::{Direction, NewTransfer, PayeePath, PayeesOf, TransferStatus, TransfersOf};

#[tokio::test]
async fn a_transfer_moves_money_and_both_sides_see_it() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let (alice, bob) = (
        bank.account("cus_alice", Currency::EUR, 100).await,
        bank.account("cus_bob", Currency::EUR, 0).await,
    );
    let new = transfer(&alice, &bob, 60);
    let sent = copy.client("cus_alice").call(endpoints::CREATE, &new).key(&key("k")).send().await.unwrap();
    assert!(sent.id.starts_with("trf_"));
    assert_eq!(
        (sent.status, sent.direction, sent.code.as_deref()),
        (TransferStatus::Completed, Direction::Out, None)
    );
    assert_eq!((bank.balance("cus_alice", &alice).await, bank.balance("cus_bob", &bob).await), (40, 60));
    assert_eq!(copy.find("cus_alice", &sent.id).await.unwrap(), sent);
    assert_eq!(copy.find("cus_bob", &sent.id).await.unwrap().direction, Direction::In);
    for (who, id) in [("cus_mallory", &*sent.id), ("cus_alice", "trf_nothing"), ("cus_alice", "no id at all")]
    {
        assert_eq!(refused(copy.find(who, id).await), (404, "not_found".to_owned()));
    }
}

#[tokio::test]
async fn a_replay_is_byte_identical_and_another_content_is_refused() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let (alice, bob) = (
        bank.account("cus_alice", Currency::EUR, 100).await,
        bank.account("cus_bob", Currency::EUR, 0).await,
    );
    let new = transfer(&alice, &bob, 60);
    let first = copy.raw("cus_alice", "k", &new).await;
    assert_eq!(
        (first.status, first.replayed, &*first.content_type),
        (StatusCode::CREATED, false, "application/json")
    );
    for replayer in [&copy, &bank.start()] {
        let again = replayer.raw("cus_alice", "k", &new).await;
        assert_eq!(again, support::Raw { replayed: true, ..first.clone() });
    }
    let other = copy.raw("cus_alice", "k", &transfer(&alice, &bob, 61)).await;
    assert_eq!((other.status, &*other.code()), (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"));
    // Another customer's key of the same text is another key.
    let bobs = copy.raw("cus_bob", "k", &transfer(&bob, &alice, 1)).await;
    assert_eq!((bobs.status, bobs.replayed), (StatusCode::CREATED, false));
    assert_eq!(bank.balance("cus_alice", &alice).await, 41);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_racers_with_one_key_make_one_transfer() {
    let bank = Bank::open().await;
    let copies = [std::sync::Arc::new(bank.start()), std::sync::Arc::new(bank.start())];
    let (alice, bob) = (
        bank.account("cus_alice", Currency::EUR, 10_000).await,
        bank.account("cus_bob", Currency::EUR, 0).await,
    );
    let racers: Vec<_> = (0..64)
        .map(|racer| {
            let (copy, new) = (copies[racer % 2].clone(), transfer(&alice, &bob, 60));
            tokio::spawn(async move { copy.answered("cus_alice", "k", &new).await })
        })
        .collect();
    let mut firsts = 0;
    let mut bodies = std::collections::HashSet::new();
    for racer in racers {
        let answer = racer.await.unwrap();
        assert_eq!(answer.status, StatusCode::CREATED);
        firsts += usize::from(!answer.replayed);
        bodies.insert(answer.body);
    }
    assert_eq!((firsts, bodies.len()), (1, 1));
    assert_eq!((bank.balance("cus_alice", &alice).await, bank.balance("cus_bob", &bob).await), (9_940, 60));
}

#[tokio::test]
async fn what_accounts_refuses_is_a_rejected_transfer() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let (alice, bob) = (
        bank.account("cus_alice", Currency::EUR, 100).await,
        bank.account("cus_bob", Currency::EUR, 0).await,
    );
    let yen = bank.account("cus_bob", Currency::JPY, 0).await;
    let full = bank.account("cus_bob", Currency::EUR, i64::MAX - 99).await;
    let cases = [
        (&*bob, 101, "insufficient_funds"),
        ("acc_nothing", 1, "unknown_account"),
        ("?", 1, "unknown_account"),
        (&*yen, 1, "currency_mismatch"),
        (&*full, 100, "rejected"),
    ];
    for (to, minor, code) in cases {
        let new = transfer(&alice, to, minor);
        let answer = copy.raw("cus_alice", to, &new).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        let rejected = answer.transfer();
        assert_eq!((rejected.status, rejected.code.as_deref()), (TransferStatus::Rejected, Some(code)));
        assert_eq!(copy.raw("cus_alice", to, &new).await, support::Raw { replayed: true, ..answer });
        // The side that would have received hears nothing of it.
        assert_eq!(refused(copy.find("cus_bob", &rejected.id).await).0, 404);
    }
    assert_eq!(bank.balance("cus_alice", &alice).await, 100);
}

#[tokio::test]
async fn s19_paying_from_another_customers_account_is_404_and_leaves_nothing_to_see() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let (alice, bob) = (
        bank.account("cus_alice", Currency::EUR, 100).await,
        bank.account("cus_bob", Currency::EUR, 0).await,
    );
    for from in [alice.as_str(), "acc_nothing"] {
        let new = transfer(from, &bob, 1);
        let first = copy.raw("cus_mallory", from, &new).await;
        assert_eq!((first.status, &*first.code()), (StatusCode::NOT_FOUND, "not_found"));
        let again = copy.raw("cus_mallory", from, &new).await;
        assert_eq!(again, support::Raw { replayed: true, ..first });
        let of = TransfersOf { account: Some(from.to_owned()), ..TransfersOf::default() };
        let mallory = copy.client("cus_mallory");
        assert_eq!(refused(mallory.call(endpoints::LIST, &of).send().await).0, 404);
        assert!(
            mallory.call(endpoints::LIST, &TransfersOf::default()).send().await.unwrap().items.is_empty()
        );
    }
    let malformed = copy.raw("cus_mallory", "m", &transfer("no id", &bob, 1)).await;
    assert_eq!(malformed.status, StatusCode::NOT_FOUND);
    assert_eq!(bank.balance("cus_alice", &alice).await, 100);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let (alice, bob) = (
        bank.account("cus_alice", Currency::EUR, 100).await,
        bank.account("cus_bob", Currency::EUR, 0).await,
    );
    let with =
        |reference: &str| NewTransfer { reference: Some(reference.to_owned()), ..transfer(&alice, &bob, 1) };
    let cases = [
        (transfer(&alice, &bob, 0), "invalid_amount"),
        (transfer(&alice, &bob, -1), "invalid_amount"),
        (transfer(&alice, &alice, 1), "same_account"),
        (transfer(&alice, "", 1), "invalid_account"),
        (transfer(&alice, &"x".repeat(129), 1), "invalid_account"),
        (with(&"é".repeat(141)), "invalid_reference"),
        (with("a\nb"), "invalid_reference"),
        (with("to \u{202e}ecilA"), "invalid_reference"),
        (with("\u{200b}"), "invalid_reference"),
        (with("\u{301}"), "invalid_reference"),
        (with(" "), "invalid_reference"),
    ];
    for (new, code) in cases {
        let answer = copy.raw("cus_alice", "k", &new).await;
        assert_eq!((answer.status, &*answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, code));
    }
    for (at, character) in ["é", "\u{1f4b6}"].into_iter().enumerate() {
        let longest = copy.raw("cus_alice", &format!("k{at}"), &with(&character.repeat(140))).await;
        assert_eq!(longest.transfer().status, TransferStatus::Completed, "{character}");
    }
    let alice = copy.client("cus_alice");
    let no_key = alice.call(endpoints::CREATE, &with("r")).send().await;
    assert_eq!(refused(no_key), (400, "missing_idempotency_key".to_owned()));
    let reader = copy.harness.client(Principal::customer("cus_alice").with_scope("transfers:read"));
    assert_eq!(refused(reader.call(endpoints::CREATE, &with("r")).key(&key("r")).send().await).0, 403);
}

#[tokio::test]
async fn transfers_are_listed_newest_first_for_each_side_and_account() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let (alice, bob) = (
        bank.account("cus_alice", Currency::EUR, 100).await,
        bank.account("cus_bob", Currency::EUR, 0).await,
    );
    let savings = bank.account("cus_alice", Currency::EUR, 0).await;
    let empty = bank.account("cus_alice", Currency::EUR, 0).await;
    for (at, (to, minor)) in [(&bob, 1), (&savings, 2), (&bob, 3)].into_iter().enumerate() {
        bank.clock.advance(std::time::Duration::from_millis(1));
        let sent = copy.raw("cus_alice", &format!("k{at}"), &transfer(&alice, to, minor)).await;
        assert_eq!(sent.transfer().status, TransferStatus::Completed);
    }
    let list = async |who: &str, account: Option<&str>, limit: Option<u32>, after: Option<String>| {
        let limit = limit.map(|limit| Limit::try_from(limit).unwrap());
        let of = TransfersOf { account: account.map(ToOwned::to_owned), limit, after };
        copy.client(who).call(endpoints::LIST, &of).send().await
    };
    let amounts = |list: &bank_sdk::List<transactions::wire::Transfer>| {
        list.items.iter().map(|item| (item.amount.minor(), item.direction)).collect::<Vec<_>>()
    };
    use Direction::{In, Out};
    let all = list("cus_alice", None, None, None).await.unwrap();
    assert_eq!(amounts(&all), [(3, Out), (2, Out), (1, Out)]);
    assert_eq!(amounts(&list("cus_alice", Some(&savings), None, None).await.unwrap()), [(2, In)]);
    assert_eq!(amounts(&list("cus_bob", Some(&bob), None, None).await.unwrap()), [(3, In), (1, In)]);
    assert!(list("cus_alice", Some(&empty), None, None).await.unwrap().items.is_empty());
    for another in [&*bob, "acc_nothing", "no id"] {
        assert_eq!(refused(list("cus_alice", Some(another), None, None).await).0, 404);
    }
    let page = list("cus_alice", None, Some(2), None).await.unwrap();
    assert_eq!(amounts(&page), [(3, Out), (2, Out)]);
    let rest = list("cus_alice", None, Some(2), page.next).await.unwrap();
    assert_eq!((amounts(&rest), rest.next), (vec![(1, Out)], None));
}

#[tokio::test]
async fn payees_are_found_by_exact_name_and_account_only() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let bob = bank.user("bob", "Bob Example").await;
    let (euro, yen) =
        (bank.account(&bob, Currency::EUR, 0).await, bank.account(&bob, Currency::JPY, 0).await);
    let alice = copy.client("cus_alice");
    let find = async |username: &str| {
        let of = PayeesOf { username: username.to_owned(), ..PayeesOf::default() };
        alice.call(endpoints::PAYEES, &of).send().await.unwrap()
    };
    let found = find("bob").await;
    let wire: Vec<_> =
        found.items.iter().map(|payee| (&*payee.account, &*payee.name, payee.currency)).collect();
    assert_eq!(wire, [(&*euro, "Bob Example", Currency::EUR), (&*yen, "Bob Example", Currency::JPY)]);
    for nobody in ["bo", "Bob", "bobb", "", "b*b"] {
        assert!(find(nobody).await.items.is_empty(), "{nobody}");
    }
    let path = PayeePath { account: yen };
    assert_eq!(alice.call(endpoints::PAYEE, &path).send().await.unwrap(), found.items[1]);
    for nothing in ["acc_nothing", "acc_house_cash_EUR", "no id"] {
        let path = PayeePath { account: nothing.to_owned() };
        assert_eq!(refused(alice.call(endpoints::PAYEE, &path).send().await).0, 404);
    }
}

#[tokio::test]
async fn each_transfer_that_ended_is_told_once() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let (alice, bob) = (
        bank.account("cus_alice", Currency::EUR, 100).await,
        bank.account("cus_bob", Currency::EUR, 0).await,
    );
    let sent = copy.raw("cus_alice", "a", &transfer(&alice, &bob, 60)).await.transfer();
    copy.raw("cus_alice", "a", &transfer(&alice, &bob, 60)).await;
    let rejected = copy.raw("cus_alice", "b", &transfer(&alice, &bob, 60)).await.transfer();
    copy.raw("cus_mallory", "c", &transfer(&alice, &bob, 1)).await;
    let partners = copy.harness.client(Principal::service("partners"));
    let after = EventsAfter::default();
    let events = partners.call(endpoints::EVENTS, &after).send().await.unwrap().items;
    let told: Vec<_> = events.iter().map(|event| (&*event.topic, &event.payload["transfer"])).collect();
    assert_eq!(
        told,
        [
            ("transfer.completed", &sent.id.clone().into()),
            ("transfer.completed", &sent.id.into()),
            ("transfer.rejected", &serde_json::Value::from(rejected.id))
        ]
    );
    let streams: Vec<_> =
        events.iter().map(|event| (event.stream.as_str(), &event.payload["side"])).collect();
    assert_eq!(
        streams,
        [("cus_alice", &"out".into()), ("cus_bob", &"in".into()), ("cus_alice", &"out".into())],
        "each side has an event in its own order"
    );
    assert_eq!(
        (&events[0].payload["from_owner"], &events[0].payload["to_owner"]),
        (&"cus_alice".into(), &"cus_bob".into())
    );
    assert_eq!(refused(copy.client("cus_alice").call(endpoints::EVENTS, &after).send().await).0, 403);
}

#[tokio::test]
async fn all_accounts_of_a_payee_are_found_page_by_page() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let carol = bank.user("carol", "Carol Example").await;
    let mut opened = Vec::new();
    for _ in 0..53 {
        opened.push(bank.account(&carol, Currency::EUR, 0).await);
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let of = PayeesOf { username: "carol".to_owned(), limit: None, after };
        let page = copy.client("cus_alice").call(endpoints::PAYEES, &of).send().await.unwrap();
        found.extend(page.items.into_iter().map(|payee| payee.account));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, opened);
    let made_up = PayeesOf { after: Some("made-up".to_owned()), username: "carol".to_owned(), limit: None };
    let answer = copy.client("cus_alice").call(endpoints::PAYEES, &made_up).send().await;
    assert_eq!(refused(answer), (400, "invalid_input".to_owned()));
}
