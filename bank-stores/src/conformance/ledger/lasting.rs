//! What a ledger promises for good: ids that it has seen, heads that were kept, what its events tell, and reads behind a token.

use std::time::Duration;

use serde_json::{Value, json};

use super::holds::hold_id;
use super::{account, all_events, balance, eur, kind, open, same, transfer};
use crate::ledger::{
    Annotation, AsOf, Capture, ChainHead, ChangeAccount, ChangeId, Command, Floor, OpenAccount, OwnerId,
    PlaceHold, Posting, PostingId, Receipt, Reversal,
};
use crate::{Consistency, Currency, ErrorKind, Ledger, LedgerExt, Money, PageRequest};

/// An id is known however long ago it was used, and however many came since: no window closes behind it.
pub async fn an_id_is_known_however_long_ago_it_was(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 10).await;
    let old = transfer("old", "cash", "alice", 5);
    let poor = transfer("poor", "alice", "cash", 1_000).remember_refusal();
    let first = ledger.post(old.clone()).await.expect("it is posted");
    assert_eq!(kind(&ledger.post(poor.clone()).await), ErrorKind::InsufficientFunds);
    for batch in 0..10 {
        let others = (0..100).map(|n| transfer(format!("p{batch}.{n}"), "cash", "alice", 1).into()).collect();
        for outcome in ledger.execute(others).await {
            outcome.expect("it is posted");
        }
    }
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let again = ledger.post(old.clone()).await.expect("it is replayed");
    assert!(again.replayed && same(&first, &again), "{first:?} {again:?}");
    assert_eq!(kind(&ledger.post(old.reference("another")).await), ErrorKind::Conflict);
    // There is enough now.
    assert_eq!(balance(ledger, "alice").await, 1_015);
    assert_eq!(kind(&ledger.post(poor.clone()).await), ErrorKind::InsufficientFunds);
    let looked_up = ledger.receipt(&Command::from(poor).id()).await;
    assert_eq!(kind(&looked_up), ErrorKind::InsufficientFunds);
    let found = ledger.receipt(&first.id).await.expect("it is looked up").expect("it took effect");
    assert!(same(&first, &found));
}

/// A read with a receipt's token sees that command, whichever copy answers; and every copy sees it some time.
pub async fn a_read_sees_what_its_token_stands_for(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 0).await;
    let (alice, page) = (account("alice"), || PageRequest::first(100));
    // Every copy has seen the beginning.
    ledger.account(&alice, Consistency::Any).await.ok();
    for n in 1..=20_i64 {
        let receipt = ledger.post(transfer(format!("p{n}"), "cash", "alice", 1)).await.expect("it is posted");
        let place = PlaceHold::new(hold_id(&format!("h{n}")), alice.clone(), eur(1));
        let placed = ledger.execute_one(place).await.expect("it is placed");
        let read = Consistency::AtLeast(placed.freshness);
        let found = ledger.account(&alice, read).await.expect("it is read");
        assert_eq!((found.balance, found.held), (eur(n), eur(n)));
        ledger.hold(&hold_id(&format!("h{n}")), read).await.expect("it is there");
        let read = Consistency::AtLeast(receipt.freshness);
        let entries = ledger.entries(&alice, page(), read).await.expect("they are read").items;
        assert_eq!(entries.len() as i64, n);
        let at = AsOf::Booked(receipt.booked_at);
        assert_eq!(ledger.balance_at(&alice, at, read).await.expect("it is read"), eur(n));
        let totals = ledger.trial_balance(read).await.expect("they are read");
        assert!(totals.sequence >= receipt.sequence, "{totals:?}");
    }
    for _ in 0..200 {
        let found = ledger.account(&alice, Consistency::Any).await.expect("it is read");
        if found.balance == eur(20) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a copy never catches up");
}

/// A head of the chain that was kept is found in it, however the ledger goes on; one of another chain is not.
pub async fn a_kept_head_is_held_against_the_chain(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 10).await;
    let chained = async || {
        let mut head = ledger.chain().await.expect("it is read");
        for _ in 0..1_200 {
            if head.pending == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            head = ledger.chain().await.expect("it is read");
        }
        head
    };
    let kept = chained().await;
    for n in 0..3 {
        ledger.post(transfer(format!("p{n}"), "cash", "alice", 1)).await.expect("it is posted");
    }
    let newest = chained().await;
    let holds = async |head: &ChainHead| {
        ledger.verify(Some(head), &mut |_| ()).await.expect("it is read").is_intact()
    };
    assert!(holds(&kept).await && holds(&newest).await);
    let of_another = ChainHead { hash: "ab".repeat(32), ..kept.clone() };
    assert!(!holds(&of_another).await, "the head of another chain");
    let of_longer = ChainHead { sequence: newest.sequence + 1_000, ..newest };
    assert!(!holds(&of_longer).await, "the head of a longer chain");
}

/// Without what is not there.
fn present(mut payload: Value) -> Value {
    if let Value::Object(fields) = &mut payload {
        fields.retain(|_, value| !value.is_null());
    }
    payload
}

/// Each event tells what its command did, to the last field; what is not there is left out.
pub async fn events_tell_what_their_commands_did(ledger: &dyn Ledger) {
    open(ledger, &[], 0).await;
    let owner = OwnerId::new("ann").expect("well formed");
    let alice = OpenAccount::new(account("alice"), Currency::EUR).owner(owner).name("Savings");
    let bob = OpenAccount::new(account("bob"), Currency::EUR);
    let id = |name: &str| PostingId::new(name).expect("well formed");
    let commands: Vec<Command> = vec![
        alice.into(),
        bob.into(),
        transfer("p", "cash", "alice", 500)
            .reference("rent \"May\"")
            .metadata("k", "v")
            .metadata("l", "")
            .into(),
        PlaceHold::new(hold_id("h"), account("alice"), eur(40)).expires_in(Duration::from_secs(60)).into(),
        Capture::new(id("c1"), hold_id("h"), account("bob")).amount(eur(10)).reference("part").into(),
        Command::Void(hold_id("h")),
        Reversal::new(id("r"), id("p")).metadata("why", "wrong").into(),
        Annotation::new(ChangeId::new("n").expect("well formed"), id("p"), "a note").into(),
    ];
    // The reversal takes what was paid on: there has to be enough.
    let fund = transfer("fund", "cash", "alice", 100);
    ledger.execute(commands[..2].to_vec()).await.into_iter().for_each(|done| drop(done.expect("it happens")));
    ledger.post(fund).await.expect("it is posted");
    let receipts: Vec<Receipt> = (ledger.execute(commands[2..].to_vec()).await.into_iter())
        .map(|outcome| outcome.expect("it happens"))
        .collect();
    let events = all_events(ledger).await;
    let of = |sequence: u64| {
        let event = events.iter().find(|event| event.position.number() == sequence);
        event.unwrap_or_else(|| panic!("no event at {sequence}"))
    };
    let opened = of(2);
    assert_eq!(opened.topic, "account.opened");
    let expected =
        json!({ "account": "alice", "owner": "ann", "name": "Savings", "currency": "EUR", "at": opened.at });
    assert_eq!(opened.payload, expected);
    let hold = |receipt: &Receipt| -> Value {
        let hold = receipt.hold.clone().expect("it is about a hold");
        present(json!({
            "hold": "h", "account": "alice", "owner": "ann", "amount": hold.amount, "captured": hold.captured,
            "status": hold.status, "deadline": hold.deadline, "at": receipt.booked_at,
        }))
    };
    let posted = |receipt: &Receipt, more: Value| -> Value {
        let legs: Vec<Value> = (receipt.entries.iter())
            .map(|entry| {
                let of_alice = entry.account == account("alice");
                present(json!({
                    "account": entry.account, "owner": of_alice.then_some("ann"),
                    "name": of_alice.then_some("Savings"), "amount": entry.amount,
                    "balance_after": entry.balance_after,
                }))
            })
            .collect();
        let first = &receipt.entries[0];
        let mut all = json!({
            "posting": first.posting, "kind": first.kind, "reference": first.reference, "metadata": {},
            "legs": legs, "at": receipt.booked_at,
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
        present(all)
    };
    let expected = [
        ("posting.transfer", posted(&receipts[0], json!({ "metadata": { "k": "v", "l": "" } }))),
        ("hold.placed", hold(&receipts[1])),
        ("posting.capture", posted(&receipts[2], json!({ "hold": "h" }))),
        ("hold.voided", hold(&receipts[3])),
        (
            "posting.reversal",
            posted(&receipts[4], json!({ "reverses": "p", "metadata": { "why": "wrong" } })),
        ),
        (
            "note.added",
            json!({ "change": "n", "posting": "p", "note": "a note", "at": receipts[5].booked_at }),
        ),
    ];
    for (receipt, (topic, payload)) in receipts.iter().zip(expected) {
        let event = of(receipt.sequence);
        assert_eq!((event.topic.as_str(), event.at), (topic, receipt.booked_at));
        assert_eq!(event.payload, payload, "{topic}");
    }
}

/// Events are forgotten up to the time that was said, and not beyond.
pub async fn events_that_are_younger_are_not_forgotten(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 0).await;
    let mut receipts = Vec::new();
    for n in 0..6 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        receipts
            .push(ledger.post(transfer(format!("p{n}"), "cash", "alice", 1)).await.expect("it is posted"));
    }
    let younger = receipts[3].sequence;
    ledger.forget_events(receipts[3].booked_at).await.expect("some are forgotten");
    let left: Vec<u64> = all_events(ledger).await.iter().map(|event| event.position.number()).collect();
    let expected: Vec<u64> = receipts[3..].iter().map(|receipt| receipt.sequence).collect();
    assert!(left.ends_with(&expected) && left.first().is_some_and(|first| *first <= younger), "{left:?}");
}

/// What linked commands did that failed may be done again in the same call.
pub async fn linked_commands_that_failed_may_be_sent_again(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 10).await;
    ledger.post(transfer("p", "cash", "alice", 5)).await.expect("it is posted");
    let posting = |name: &str| PostingId::new(name).expect("well formed");
    let change = ChangeAccount::new(ChangeId::new("c").expect("well formed"), account("alice"));
    let place = PlaceHold::new(hold_id("h"), account("alice"), eur(1));
    let usd = Money::from_minor(1, Currency::USD);
    let fails = || Posting::new(posting("bad"), "transfer").transfer(account("cash"), account("alice"), usd);
    for again in [
        Command::from(change.floor(Floor::At(-1))),
        Annotation::new(ChangeId::new("n").expect("well formed"), posting("p"), "a note").into(),
        Reversal::new(posting("r"), posting("p")).into(),
        place.into(),
        transfer("q", "cash", "alice", 1).into(),
        OpenAccount::new(account("carol"), Currency::EUR).into(),
    ] {
        let outcomes = ledger.execute(vec![again.clone().linked(), fails().into(), again.clone()]).await;
        assert_eq!(kind(&outcomes[0]), ErrorKind::Rejected, "{again:?}");
        assert_eq!(kind(&outcomes[1]), ErrorKind::Invalid, "{again:?}");
        assert!(outcomes[2].as_ref().is_ok_and(|receipt| !receipt.replayed), "{again:?}: {outcomes:?}");
    }
}
