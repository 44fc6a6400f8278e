//! What a ledger promises beyond one handle of it: a second one sees the same ledger, it goes on where it was closed, and time passes
//! in it.

use std::time::Duration;

use async_trait::async_trait;

use super::holds::hold_id;
use super::{
    NOW, account, all_events, balance, eur, events_behind, kind, open, outbox_start, same, transfer,
};
use crate::ledger::{Command, HoldStatus, PlaceHold};
use crate::{Consistency, ErrorKind, Ledger, LedgerExt};

/// Opens one ledger again and again.
#[async_trait]
pub trait Reopen: Send + Sync {
    /// A handle of the ledger.
    type Ledger: Ledger;

    /// A handle that writes. Where a ledger has one writer at a time, the one before was closed.
    async fn open(&self) -> Self::Ledger;

    /// A handle beside the one that writes. It need not write.
    async fn beside(&self) -> Self::Ledger;

    /// Ends a handle.
    async fn close(&self, ledger: &Self::Ledger);

    /// Sets the ledger's clock ahead, together with the time that passes; says whether somebody can.
    fn pass(&self, _time: Duration) -> bool {
        false
    }
}

/// What one handle wrote, another one sees that was opened before: with the receipt's token at once, and in the same order.
pub async fn a_second_handle_sees_what_the_first_one_wrote(store: &impl Reopen) {
    let first = store.open().await;
    open(&first, &["alice"], 10).await;
    let second = store.beside().await;
    let start = outbox_start(&second).await;
    for n in 0..5 {
        let receipt = first.post(transfer(format!("p{n}"), "cash", "alice", 1)).await.expect("it is posted");
        let read = Consistency::AtLeast(receipt.freshness);
        let found = second.account(&account("alice"), read).await.expect("it is read");
        assert_eq!(found.balance, eur(11 + n));
        let looked_up = second.receipt(&receipt.id).await.expect("it is looked up").expect("it took effect");
        assert!(same(&looked_up, &receipt), "{looked_up:?} {receipt:?}");
    }
    let (here, there) = (all_events(&first).await, events_behind(&second, start).await);
    let ids =
        |events: &[crate::outbox::Event]| -> Vec<String> { events.iter().map(|it| it.id.clone()).collect() };
    assert_eq!(ids(&here), ids(&there));
    // The end of one handle is not the end of the other.
    store.close(&second).await;
    first.post(transfer("last", "cash", "alice", 1)).await.expect("it is posted");
    store.close(&first).await;
}

/// Everything is there when a ledger is opened again: ids, refusals, holds, the order, positions and the chain.
pub async fn a_ledger_goes_on_where_it_was_closed(store: &impl Reopen) {
    let ledger = store.open().await;
    open(&ledger, &["alice"], 10).await;
    let posting = transfer("p", "cash", "alice", 5);
    let poor = transfer("poor", "alice", "cash", 1_000).remember_refusal();
    let place = PlaceHold::new(hold_id("h"), account("alice"), eur(4));
    let first = ledger.post(posting.clone()).await.expect("it is posted");
    assert_eq!(kind(&ledger.post(poor.clone()).await), ErrorKind::InsufficientFunds);
    let held = ledger.execute_one(place.clone()).await.expect("it is placed");
    let events = all_events(&ledger).await;
    let position = events.last().expect("there are events").position;
    let head = ledger.chain().await.expect("it is read");
    store.close(&ledger).await;

    let ledger = store.open().await;
    for (command, before) in [(Command::from(posting.clone()), &first), (place.into(), &held)] {
        let again = ledger.execute_one(command).await.expect("it is replayed");
        assert!(again.replayed && same(&again, before), "{again:?} {before:?}");
    }
    assert_eq!(kind(&ledger.post(posting.reference("another")).await), ErrorKind::Conflict);
    ledger.post(transfer("rich", "cash", "alice", 2_000)).await.expect("it is posted");
    assert_eq!(kind(&ledger.post(poor).await), ErrorKind::InsufficientFunds);
    let alice = ledger.account(&account("alice"), NOW).await.expect("it is read");
    assert_eq!((alice.balance, alice.held), (eur(2_015), eur(4)));
    let behind = events_behind(&ledger, position).await;
    assert_eq!(behind.len(), 1);
    assert_eq!(behind[0].position.number(), held.sequence + 1);
    let voided = ledger.execute_one(Command::Void(hold_id("h"))).await.expect("it is voided");
    assert!(voided.sequence > held.sequence && voided.booked_at >= held.booked_at);
    let verified = ledger.verify(Some(&head), &mut |_| ()).await.expect("it is read");
    assert!(verified.is_intact(), "{:?}", verified.breach);
    store.close(&ledger).await;
}

/// A hold whose deadline passes ends, in a ledger that is open, and in one that was closed meanwhile.
pub async fn a_hold_ends_while_time_passes(store: &impl Reopen) {
    let hour = Duration::from_secs(3_600);
    let mut ledger = store.open().await;
    open(&ledger, &["alice"], 10).await;
    for (name, closed) in [("open", false), ("closed", true)] {
        let place = PlaceHold::new(hold_id(name), account("alice"), eur(10)).expires_in(hour);
        let placed = ledger.execute_one(place).await.expect("it is placed");
        assert_eq!(
            kind(&ledger.post(transfer("poor", "alice", "cash", 1)).await),
            ErrorKind::InsufficientFunds
        );
        if closed {
            store.close(&ledger).await;
        }
        if !store.pass(hour + Duration::from_secs(1)) {
            return;
        }
        if closed {
            ledger = store.open().await;
        }
        let hold = ledger.hold(&hold_id(name), NOW).await.expect("it is read");
        assert_eq!(hold.status, HoldStatus::Expired, "{name}");
        let took = ledger.post(transfer(name, "alice", "cash", 10)).await.expect("the money is free");
        assert!(took.booked_at.since(placed.booked_at) >= hour, "{placed:?} {took:?}");
        ledger.post(transfer(format!("{name}.back"), "cash", "alice", 10)).await.expect("it is posted");
    }
    assert_eq!(balance(&ledger, "alice").await, 10);
    store.close(&ledger).await;
}
