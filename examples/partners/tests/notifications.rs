//! What the partners service promises: each event told once to each side, in order, and live.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bank_sdk::{Limit, Principal};
use bank_stores::documents::{DocumentChange, DocumentWrite, Find};
use bank_stores::ledger::{AccountId, Capture, HoldId, PlaceHold, PostingId, Reversal};
use bank_stores::{Consistency, DocumentsExt as _, LedgerExt as _};
use partners::endpoints;
use partners::wire::{Counterparty, Notification, NotificationKind, NotificationPath, PageOf};
use serde_json::{Value, json};
use support::{Bank, PATIENCE, eur, refused};
use tokio::time::Instant;

#[tokio::test]
async fn both_sides_are_told_of_a_transfer_and_the_owner_of_a_deposit() {
    let bank = Bank::open().await;
    let (alice, bob) = (bank.user("alice", "Alice Example").await, bank.user("bob", "Bob Example").await);
    let (from, to) = (bank.account(&alice, 10_000).await, bank.account(&bob, 0).await);
    let copy = bank.start().await;
    copy.list_of(&alice, 1).await;
    let sent = bank.send(&alice, &from, &to, 1_234, "a").await;
    let rejected = bank.send(&alice, &from, &to, 99_999, "b").await;
    let told = copy.list_of(&alice, 3).await;
    let shown = |told: &Notification| serde_json::to_value(told).unwrap();
    let (at, ids) = ([0, 1, 2].map(|n| told[n].at), [0, 1, 2].map(|n| &told[n].id));
    assert_eq!(
        told.iter().map(shown).collect::<Vec<_>>(),
        [
            // The owner of an account that nothing was paid to is nobody's business.
            json!({
                "id": ids[0], "kind": "transfer_rejected", "amount": eur(99_999), "counterparty": { "account": to },
                "account": from, "reference": "rent", "transfer": rejected.id, "code": "insufficient_funds",
                "at": at[0], "read": false
            }),
            json!({
                "id": ids[1], "kind": "transfer_sent", "amount": eur(1_234),
                "counterparty": { "name": "Bob Example", "account": to }, "account": from, "reference": "rent",
                "transfer": sent.id, "at": at[1], "read": true
            }),
            json!({
                "id": ids[2], "kind": "deposit", "amount": eur(10_000), "account": from, "reference": "cash",
                "at": at[2], "read": false
            }),
        ]
    );
    let told = copy.list_of(&bob, 1).await;
    assert_eq!(
        told.iter().map(shown).collect::<Vec<_>>(),
        [json!({
            "id": told[0].id, "kind": "transfer_received", "amount": eur(1_234),
            "counterparty": { "name": "Alice Example", "account": from }, "account": to, "reference": "rent",
            "transfer": sent.id, "at": told[0].at, "read": false
        })]
    );
}

#[tokio::test]
async fn whoever_is_paid_out_cash_is_told() {
    let bank = Bank::open().await;
    let account = bank.account("cus_alice", 10_000).await;
    bank.pay_out(&account, 2_500).await;
    let copy = bank.start().await;
    let told = &copy.list_of("cus_alice", 2).await[0];
    assert_eq!(
        (told.kind, told.amount, told.account.as_deref(), told.reference.as_deref(), told.read),
        (NotificationKind::Withdrawal, eur(2_500), Some(&*account), Some("counter"), false)
    );
}

#[tokio::test]
async fn a_rejected_transfer_does_not_tell_whose_the_account_is() {
    let bank = Bank::open().await;
    let (alice, bob) = (bank.user("alice", "Alice Example").await, bank.user("bob", "Bob Example").await);
    let (from, to) = (bank.account(&alice, 100).await, bank.account(&bob, 0).await);
    bank.send(&alice, &from, &to, 101, "too-much").await;
    bank.send(&alice, &from, "acc_nothing", 1, "to-nobody").await;
    let copy = bank.start().await;
    // The deposit comes from another service, sooner or later than these.
    let mut told = copy.list_of(&alice, 3).await;
    told.retain(|told| told.kind == NotificationKind::TransferRejected);
    assert_eq!(told.len(), 2);
    for (told, to) in told.iter().zip(["acc_nothing", &to]) {
        let other = told.counterparty.clone().unwrap();
        assert_eq!((other.name, other.account.as_deref()), (None, Some(to)));
    }
}

#[tokio::test]
async fn both_sides_are_told_of_a_reversal_and_of_a_payment_out_of_a_hold() {
    let bank = Bank::open().await;
    let (alice, bob) = (bank.user("alice", "Alice Example").await, bank.user("bob", "Bob Example").await);
    let (from, to) = (bank.account(&alice, 10_000).await, bank.account(&bob, 0).await);
    let sent = bank.send(&alice, &from, &to, 1_234, "a").await;
    let id = |id: &str| PostingId::new(id).unwrap();
    let hold = HoldId::new("hld_1").unwrap();
    let place = PlaceHold::new(hold.clone(), AccountId::new(&*from).unwrap(), eur(500));
    let capture = Capture::new(id("cap_1"), hold, AccountId::new(&*to).unwrap());
    let undo = |reversal: &str, posting: &str| Reversal::new(id(reversal), id(posting));
    bank.ledger.execute_one(undo("rev_1", &sent.id)).await.unwrap();
    bank.ledger.execute_one(place).await.unwrap();
    bank.ledger.execute_one(capture).await.unwrap();
    let copy = bank.start().await;
    let told = async |who: &str, count: usize| {
        let told = copy.list_of(who, count).await;
        told.into_iter()
            .filter(|told| told.transfer.is_none() && told.kind != NotificationKind::Deposit)
            .map(|told| (told.kind, told.amount, told.account, told.counterparty, told.read))
            .collect::<Vec<_>>()
    };
    let other = |name: &str, account: &str| {
        Some(Counterparty { name: Some(name.to_owned()), account: Some(account.to_owned()) })
    };
    let (mine, theirs) = (other("Alice Example", &from), other("Bob Example", &to));
    assert_eq!(
        told(&alice, 4).await,
        [
            (NotificationKind::CaptureSent, eur(500), Some(from.clone()), theirs.clone(), true),
            (NotificationKind::ReversalReceived, eur(1_234), Some(from.clone()), theirs, false),
        ]
    );
    assert_eq!(
        told(&bob, 3).await,
        [
            (NotificationKind::CaptureReceived, eur(500), Some(to.clone()), mine.clone(), false),
            (NotificationKind::ReversalSent, eur(1_234), Some(to.clone()), mine, false),
        ]
    );
    // Cash that was paid in by mistake is the customer's business alone.
    bank.pay_out(&from, 100).await;
    bank.ledger.execute_one(undo("rev_2", "wdr_100")).await.unwrap();
    let newest = copy.list_of(&alice, 6).await.remove(0);
    assert_eq!((newest.kind, newest.counterparty), (NotificationKind::ReversalReceived, None));
}

#[tokio::test]
async fn a_stored_notification_that_cannot_be_read_holds_up_no_other() {
    let bank = Bank::open().await;
    let account = bank.account("cus_alice", 1).await;
    let copy = bank.start().await;
    copy.list_of("cus_alice", 1).await;
    for minor in 2..=3 {
        bank.deposit(&account, minor, &minor.to_string()).await;
    }
    let told = copy.list_of("cus_alice", 3).await;
    // As older and newer releases have them.
    for (at, kind) in [(2, "deposit_received"), (0, "of_another_release")] {
        let id = &told[at].id;
        let document = bank.documents.get("notifications", id, Consistency::Current).await.unwrap().unwrap();
        let mut body: Value = document.read().unwrap();
        body["kind"] = kind.into();
        let change = DocumentChange::replace(&**id, document.version, &body).unwrap();
        bank.documents.write_one("notifications", DocumentWrite::new(kind, change)).await.unwrap();
    }
    drop(copy);
    let copy = bank.start().await;
    let listed = copy.list("cus_alice").await;
    assert_eq!(listed, told[1..], "the old kind is a deposit still");
    assert_eq!(copy.inbox("cus_alice", 200).await.unread, 3);
    let path = NotificationPath { id: told[0].id.clone() };
    assert_eq!(refused(copy.client("cus_alice").call(endpoints::READ, &path).send().await), 404);
    bank.deposit(&account, 4, "4").await;
    assert_eq!(copy.list_of("cus_alice", 3).await[0].amount, eur(4));
    let mut stream = copy.listen("cus_alice", Some("1")).await;
    for number in ["2", "4"] {
        assert_eq!(stream.event().await.0.as_deref(), Some(number));
    }
}

#[tokio::test]
async fn a_kept_position_that_cannot_be_read_is_replaced_and_nobody_is_told_twice() {
    let bank = Bank::open().await;
    let account = bank.account("cus_alice", 1).await;
    let copy = bank.start().await;
    copy.list_of("cus_alice", 1).await;
    let kept = Find::all();
    let deadline = Instant::now() + PATIENCE;
    let positions = loop {
        let page = bank.documents.find("positions", &kept).await.unwrap();
        if page.items.iter().any(|document| document.id.starts_with("accounts:")) {
            break page.items;
        }
        assert!(Instant::now() < deadline, "no position was kept");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    drop(copy);
    for document in positions {
        let change =
            DocumentChange::replace(&*document.id, document.version, &json!({ "position": true })).unwrap();
        bank.documents.write_one("positions", DocumentWrite::new("junk", change)).await.unwrap();
    }
    let copy = bank.start().await;
    bank.deposit(&account, 2, "2").await;
    let amounts: Vec<_> = copy.list_of("cus_alice", 2).await.iter().map(|told| told.amount).collect();
    assert_eq!(amounts, [eur(2), eur(1)]);
}

#[tokio::test]
async fn everything_up_to_one_is_marked_read_on_all_pages_and_again_changes_nothing() {
    let bank = Bank::open().await;
    let (from, to) = (bank.account("cus_alice", 1_000).await, bank.account("cus_bob", 0).await);
    for minor in 1..=105 {
        bank.send("cus_alice", &from, &to, minor % 7 + 1, &minor.to_string()).await;
    }
    let copy = bank.start().await;
    let told = copy.list_of("cus_bob", 105).await;
    assert_eq!(copy.inbox("cus_bob", 1).await.unread, 100, "counted up to a hundred");
    copy.list_of("cus_alice", 106).await;
    assert_eq!(copy.inbox("cus_alice", 1).await.unread, 1, "whoever sends money knows of it");
    // One by itself first.
    let path = NotificationPath { id: told[0].id.clone() };
    copy.client("cus_bob").call(endpoints::READ, &path).send().await.unwrap();
    copy.read_before("cus_bob", &told[10].id).await.unwrap();
    let read = |told: &[Notification]| told.iter().filter(|told| told.read).count();
    assert_eq!((copy.inbox("cus_bob", 1).await.unread, read(&copy.list("cus_bob").await)), (9, 96));
    // An older one takes nothing back.
    for before in [&told[50].id, &told[10].id, &told[104].id] {
        copy.read_before("cus_bob", before).await.unwrap();
        assert_eq!(copy.inbox("cus_bob", 1).await.unread, 9);
    }
    for (who, before) in [("cus_alice", &*told[0].id), ("cus_bob", "ntf_nothing"), ("cus_bob", "no id")] {
        assert_eq!(refused(copy.read_before(who, before).await), 404);
    }
    copy.read_before("cus_bob", &told[0].id).await.unwrap();
    assert_eq!(copy.inbox("cus_bob", 1).await.unread, 0);
    // What comes later is unread, also for another copy of the service.
    bank.send("cus_alice", &from, &to, 1, "later").await;
    let other = bank.start().await;
    let newest = other.list_of("cus_bob", 106).await;
    assert!(!newest[0].read && newest[1].read);
    assert_eq!(other.inbox("cus_bob", 1).await.unread, 1);
    // Marking one by itself that is read already changes nothing.
    let again = other.client("cus_bob").call(endpoints::READ, &path).send().await.unwrap();
    assert!(again.read);
}

#[tokio::test]
async fn a_stream_on_which_nothing_happens_says_every_ten_seconds_that_it_is_there() {
    let bank = Bank::open().await;
    let copy = bank.start().await;
    let mut stream = copy.listen("cus_alice", None).await;
    stream.ping_within(std::time::Duration::from_secs(15)).await;
}

#[tokio::test]
async fn a_notification_is_read_by_its_customer_only() {
    let bank = Bank::open().await;
    bank.account("cus_alice", 100).await;
    let copy = bank.start().await;
    let told = copy.list_of("cus_alice", 1).await;
    let path = NotificationPath { id: told[0].id.clone() };
    for (who, id) in [("cus_bob", &*path.id), ("cus_alice", "ntf_nothing"), ("cus_alice", "no id")] {
        let path = NotificationPath { id: id.to_owned() };
        assert_eq!(refused(copy.client(who).call(endpoints::READ, &path).send().await), 404);
    }
    for _ in 0..2 {
        let read = copy.client("cus_alice").call(endpoints::READ, &path).send().await.unwrap();
        assert_eq!(read, Notification { read: true, ..told[0].clone() });
    }
    assert!(copy.list("cus_alice").await[0].read);
    let nobody = copy.harness.client(Principal::customer("cus_alice"));
    assert_eq!(refused(nobody.call(endpoints::LIST, &PageOf::default()).send().await), 403);
}

#[tokio::test]
async fn notifications_come_in_pages_newest_first() {
    let bank = Bank::open().await;
    let (from, to) = (bank.account("cus_alice", 100).await, bank.account("cus_bob", 0).await);
    for minor in 1..=4 {
        bank.send("cus_alice", &from, &to, minor, &minor.to_string()).await;
    }
    let copy = bank.start().await;
    copy.list_of("cus_bob", 4).await;
    let mut page = PageOf { limit: Some(Limit::try_from(3).unwrap()), after: None };
    let mut amounts = Vec::new();
    loop {
        let list = copy.client("cus_bob").call(endpoints::LIST, &page).send().await.unwrap();
        amounts.extend(list.items.iter().map(|told| told.amount.minor()));
        let Some(next) = list.next else { break };
        page.after = Some(next);
    }
    assert_eq!(amounts, [4, 3, 2, 1]);
}

#[tokio::test]
async fn events_arrive_live_and_are_resumed_where_they_broke_off() {
    let bank = Bank::open().await;
    let (from, to) = (bank.account("cus_alice", 100).await, bank.account("cus_bob", 0).await);
    let copy = bank.start().await;
    copy.list_of("cus_alice", 1).await;
    let mut alice = copy.listen("cus_alice", None).await;
    let mut bob = copy.listen("cus_bob", Some("not one of ours")).await;
    let first = bank.send("cus_alice", &from, &to, 1, "1").await;
    // What was there before is not told again; money sent is.
    for (stream, direction, kind) in
        [(&mut alice, "out", "transfer_sent"), (&mut bob, "in", "transfer_received")]
    {
        let (id, name, data) = stream.event().await;
        assert_eq!(
            (id, &*name, &data["id"], &data["direction"]),
            (None, "transfer", &first.id.clone().into(), &direction.into())
        );
        assert_eq!((&data["status"], &data["amount"]["amount"]), (&"completed".into(), &"0.01".into()));
        let (id, name, data) = stream.event().await;
        assert!(id.is_some());
        assert_eq!(
            (&*name, &data["kind"], &data["transfer"]),
            ("notification", &kind.into(), &first.id.clone().into())
        );
    }
    drop(bob);
    let second = bank.send("cus_alice", &from, &to, 2, "2").await;
    let third = bank.send("cus_alice", &from, &to, 3, "3").await;
    copy.list_of("cus_bob", 3).await;
    // Bob has seen his first, and another process resumes.
    let other = bank.start().await;
    let mut bob = other.listen("cus_bob", Some("1")).await;
    for (number, transfer) in [("2", &second), ("3", &third)] {
        assert_eq!(bob.event().await.2["id"], Value::from(transfer.id.clone()));
        let (id, _, data) = bob.event().await;
        assert_eq!((id.as_deref(), &data["transfer"]), (Some(number), &transfer.id.clone().into()));
    }
    // What the one process writes, a stream of the other finds too.
    drop(copy);
    let fourth = bank.send("cus_alice", &from, &to, 4, "4").await;
    assert_eq!(bob.event().await.2["id"], Value::from(fourth.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_often_and_by_however_many_events_are_taken_each_side_is_told_once() {
    let bank = Bank::open().await;
    let (from, to) = (bank.account("cus_alice", 10_000).await, bank.account("cus_bob", 0).await);
    let mut sent = HashSet::new();
    let mut copies = Vec::new();
    for round in 0..20 {
        // Copies come and go while events arrive: each that goes is cut off wherever it happens to be.
        match copies.len() {
            0..2 => copies.push(bank.start().await),
            at => drop(copies.remove(round % at)),
        }
        for at in 0..5 {
            sent.insert(bank.send("cus_alice", &from, &to, 1, &format!("{round}-{at}")).await.id);
        }
    }
    let last = bank.start().await;
    for (who, kind) in
        [("cus_alice", NotificationKind::TransferSent), ("cus_bob", NotificationKind::TransferReceived)]
    {
        let told = last.list_of(who, 100 + usize::from(who == "cus_alice")).await;
        let mut times: HashMap<String, usize> = HashMap::new();
        for told in told.into_iter().filter(|told| told.kind == kind) {
            *times.entry(told.transfer.unwrap()).or_default() += 1;
        }
        assert_eq!(times.keys().cloned().collect::<HashSet<_>>(), sent);
        assert!(times.values().all(|times| *times == 1));
    }
    // Nothing more comes after that, and a stream from the start shows all of it in order without a gap.
    let mut stream = last.listen("cus_bob", Some("0")).await;
    for number in 1..=100 {
        assert_eq!(stream.event().await.1, "transfer");
        assert_eq!(stream.event().await.0, Some(number.to_string()));
    }
}
