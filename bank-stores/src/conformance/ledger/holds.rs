//! What a ledger promises of holds.

use std::time::Duration;

use tokio::time::Instant;

use super::super::together;
use super::{NOW, account, all_events, balance, eur, kind, open, same, transfer};
use crate::ledger::{
    Account, Capture, Command, CommandId, HoldId, HoldStatus, PlaceHold, PostingId, Receipt,
};
use crate::{ErrorKind, Ledger, LedgerExt, Money, Result};

pub(super) fn hold_id(id: &str) -> HoldId {
    HoldId::new(id).expect("the suite's own ids are well formed")
}

fn place(id: &str, on: &str, minor: i64) -> PlaceHold {
    PlaceHold::new(hold_id(id), account(on), eur(minor))
}

fn capture(id: impl AsRef<str>, hold: &str, to: &str) -> Capture {
    let id = PostingId::new(id).expect("the suite's own ids are well formed");
    Capture::new(id, hold_id(hold), account(to))
}

async fn stands(ledger: &dyn Ledger, name: &str) -> (i64, i64, i64) {
    let Account { balance, held, available, .. } =
        ledger.account(&account(name), NOW).await.expect("the account exists");
    (balance.minor(), held.minor(), available.minor())
}

async fn do_all(ledger: &dyn Ledger, commands: Vec<Command>) -> Vec<Receipt> {
    let outcomes = ledger.execute(commands).await;
    outcomes.into_iter().map(|outcome| outcome.expect("it happens")).collect()
}

/// What is held is there no longer for anything else, and what is not there cannot be held.
pub async fn a_hold_keeps_money_for_a_payment_to_come(ledger: &dyn Ledger) {
    open(ledger, &["alice", "shop"], 100).await;
    let receipt = ledger.execute_one(place("h", "alice", 70).reference("hotel")).await.expect("it is placed");
    let hold = receipt.hold.expect("it has a hold");
    assert_eq!((hold.status, hold.remaining, hold.captured), (HoldStatus::Open, eur(70), eur(0)));
    assert_eq!(ledger.hold(&hold_id("h"), NOW).await.expect("it is read"), hold);
    assert_eq!(stands(ledger, "alice").await, (100, 70, 30));
    assert_eq!(kind(&ledger.post(transfer("p", "alice", "shop", 31)).await), ErrorKind::InsufficientFunds);
    let more = ledger.execute_one(place("h2", "alice", 31)).await.expect_err("it is not there");
    assert_eq!((more.kind(), more.field()), (ErrorKind::InsufficientFunds, Some("account")));
    ledger.post(transfer("p", "alice", "shop", 30)).await.expect("it is posted");
    let paid = ledger.execute_one(capture("c", "h", "shop")).await.expect("it is captured");
    assert_eq!((paid.entries.len(), paid.entries[1].amount), (2, eur(70)));
    assert_eq!(paid.hold.expect("it has a hold").status, HoldStatus::Captured);
    assert_eq!((stands(ledger, "alice").await, stands(ledger, "shop").await), ((0, 0, 0), (200, 0, 200)));
}

/// A hold may be captured in parts, up to its amount and to any account; the last part or a release ends it.
pub async fn a_hold_is_captured_in_parts(ledger: &dyn Ledger) {
    open(ledger, &["alice", "shop", "tax"], 100).await;
    do_all(ledger, vec![place("h", "alice", 90).into(), place("g", "alice", 10).into()]).await;
    let part = capture("c1", "h", "shop").amount(eur(50));
    let left = ledger.execute_one(part).await.expect("it is captured").hold.expect("it has a hold");
    assert_eq!((left.status, left.captured, left.remaining), (HoldStatus::Open, eur(50), eur(40)));
    assert_eq!(stands(ledger, "alice").await, (50, 50, 0));
    let more = ledger.execute_one(capture("c2", "h", "shop").amount(eur(41))).await;
    assert_eq!(kind(&more), ErrorKind::InsufficientFunds);
    let last = capture("c3", "h", "tax").amount(eur(15)).release_rest();
    let ended = ledger.execute_one(last).await.expect("it is captured").hold.expect("it has a hold");
    assert_eq!((ended.status, ended.captured, ended.remaining), (HoldStatus::Captured, eur(65), eur(0)));
    assert_eq!(stands(ledger, "alice").await, (35, 10, 25));
    for late in [capture("c4", "h", "shop").into(), Command::Void(hold_id("h"))] {
        let error = ledger.execute_one(late).await.expect_err("it has ended");
        assert_eq!((error.kind(), error.field()), (ErrorKind::Rejected, Some("hold")));
    }
    // To the last cent is to the end.
    let rest = ledger.execute_one(capture("c5", "g", "shop").amount(eur(10))).await.expect("it is captured");
    assert_eq!(rest.hold.expect("it has a hold").status, HoldStatus::Captured);
    assert_eq!((balance(ledger, "shop").await, balance(ledger, "tax").await), (160, 115));
}

/// What was voided is free again, once, and what was captured before stays captured.
pub async fn a_voided_hold_gives_back_what_is_left(ledger: &dyn Ledger) {
    open(ledger, &["alice", "shop"], 100).await;
    do_all(ledger, vec![place("h", "alice", 80).into(), capture("c", "h", "shop").amount(eur(30)).into()])
        .await;
    let voided = ledger.execute_one(Command::Void(hold_id("h"))).await.expect("it is voided");
    let again = ledger.execute_one(Command::Void(hold_id("h"))).await.expect("it is voided already");
    assert!(!voided.replayed && again.replayed && same(&voided, &again), "{voided:?} {again:?}");
    let hold = voided.hold.expect("it has a hold");
    assert_eq!((hold.status, hold.captured, hold.remaining), (HoldStatus::Voided, eur(30), eur(0)));
    assert_eq!(stands(ledger, "alice").await, (70, 0, 70));
    let missing = ledger.execute_one(Command::Void(hold_id("none"))).await.expect_err("there is none");
    assert_eq!((missing.kind(), missing.field()), (ErrorKind::NotFound, Some("hold")));
}

/// Placing, capturing and voiding may be repeated: each happens once, and its receipt stays what it was.
pub async fn commands_of_holds_may_be_repeated(ledger: &dyn Ledger) {
    open(ledger, &["alice", "shop"], 100).await;
    let commands: Vec<Command> = vec![
        place("h", "alice", 80).expires_in(Duration::from_secs(3_600)).into(),
        capture("c1", "h", "shop").amount(eur(30)).into(),
        capture("c2", "h", "shop").amount(eur(20)).into(),
        Command::Void(hold_id("h")),
    ];
    let first = do_all(ledger, commands.clone()).await;
    for receipt in &first {
        let found = ledger.receipt(&receipt.id).await.expect("it is looked up").expect("it took effect");
        assert!(same(receipt, &found), "{receipt:?} {found:?}");
    }
    let again = do_all(ledger, commands).await;
    for (first, again) in first.iter().zip(&again) {
        assert!(again.replayed && same(first, again), "{first:?} {again:?}");
    }
    assert_eq!(stands(ledger, "alice").await, (50, 0, 50));
    for other in [
        Command::from(place("h", "alice", 81)),
        capture("c1", "h", "shop").amount(eur(31)).into(),
        transfer("c1", "alice", "shop", 30).into(),
    ] {
        assert_eq!(kind(&ledger.execute_one(other).await), ErrorKind::Conflict);
    }
    let never = CommandId::Void(hold_id("none"));
    assert_eq!(ledger.receipt(&never).await.expect("it is looked up"), None);
}

/// A hold whose deadline has come keeps nothing any more, whoever looks, and cannot be captured or voided.
pub async fn a_hold_ends_by_its_deadline(ledger: &dyn Ledger) {
    open(ledger, &["alice", "shop"], 100).await;
    let soon = Duration::from_millis(60);
    let held = ledger.execute_one(place("h", "alice", 80).expires_in(soon)).await.expect("it is placed");
    let deadline = held.hold.expect("it has a hold").deadline.expect("it has a deadline");
    assert_eq!(deadline, held.booked_at.saturating_add(soon));
    tokio::time::sleep(soon + Duration::from_millis(40)).await;
    assert_eq!(stands(ledger, "alice").await, (100, 0, 100));
    assert_eq!(ledger.hold(&hold_id("h"), NOW).await.expect("it is read").status, HoldStatus::Expired);
    for late in [capture("c", "h", "shop").into(), Command::Void(hold_id("h"))] {
        let error = ledger.execute_one(late).await.expect_err("it has ended");
        assert_eq!((error.kind(), error.field()), (ErrorKind::Rejected, Some("hold")));
    }
    ledger.post(transfer("p", "alice", "shop", 100)).await.expect("the money is free");
    let mut topics = Vec::new();
    for _ in 0..1_200 {
        topics = all_events(ledger).await.into_iter().map(|event| event.topic).collect();
        if topics.iter().any(|topic| topic == "hold.expired") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(topics.iter().filter(|topic| *topic == "hold.expired").count(), 1, "{topics:?}");
    // Nor while the ledger ends it, which is some time after the deadline: many end, and somebody always looks.
    let mut placed = Vec::new();
    for n in 0..50 {
        let hold = place(&format!("many{n}"), "shop", 1).expires_in(soon);
        ledger.execute_one(hold).await.expect("it is placed");
        placed.push(Instant::now());
    }
    loop {
        // Clocks need not go alike to the last hundredth.
        let over = placed.iter().filter(|placed| placed.elapsed() > soon + Duration::from_millis(1)).count();
        let held = stands(ledger, "shop").await.1;
        assert!(held <= (placed.len() - over) as i64, "{held} are held when {over} have ended");
        if held == 0 {
            break;
        }
    }
}

/// However many race to capture a hold to its end, to void it, and its deadline with them: one of them wins.
pub async fn a_hold_ends_once(ledger: &dyn Ledger) {
    open(ledger, &["alice", "shop"], 1_000).await;
    for round in 0..12 {
        let name = format!("h{round}");
        let hold = place(&name, "alice", 50);
        // In some rounds the deadline comes about when the others do.
        let hold = if round % 3 == 0 { hold.expires_in(Duration::from_millis(3)) } else { hold };
        ledger.execute_one(hold).await.expect("it is placed");
        let racers: Vec<Command> = (0..8)
            .map(|n| match n % 2 {
                0 => Command::Void(hold_id(&name)),
                _ => capture(format!("c{round}.{n}"), &name, "shop").into(),
            })
            .collect();
        let outcomes: Vec<Result<Receipt>> =
            together(racers.into_iter().map(|command| ledger.execute_one(command))).await;
        let fresh = outcomes.iter().flatten().filter(|receipt| !receipt.replayed).count();
        let ended = ledger.hold(&hold_id(&name), NOW).await.expect("it is read");
        let expected = usize::from(ended.status != HoldStatus::Expired);
        assert_eq!(fresh, expected, "round {round}: {ended:?} {outcomes:?}");
        assert!(ended.status != HoldStatus::Open && ended.remaining.is_zero(), "{ended:?}");
        let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        assert!(refused.clone().all(|error| error.kind() == ErrorKind::Rejected), "{outcomes:?}");
    }
    let (held, paid) = (stands(ledger, "alice").await, balance(ledger, "shop").await);
    assert_eq!((held.1, held.0 + paid), (0, 2_000));
}

/// What is wrong with a command of a hold is refused with the right kind and names the field.
pub async fn bad_holds_are_refused_and_named(ledger: &dyn Ledger) {
    open(ledger, &["alice", "shop"], 100).await;
    ledger.execute_one(place("h", "alice", 50)).await.expect("it is placed");
    let usd = Money::from_minor(5, crate::Currency::USD);
    let mut dollars = place("x", "alice", 5);
    dollars.amount = usd;
    let cases: Vec<(Command, ErrorKind, &str)> = vec![
        (place("x", "nobody", 5).into(), ErrorKind::NotFound, "account"),
        (place("x", "alice", 0).into(), ErrorKind::Invalid, "amount"),
        (place("x", "alice", -5).into(), ErrorKind::Invalid, "amount"),
        (place("x", "alice", i64::MAX).into(), ErrorKind::Invalid, "amount"),
        (place("x", "alice", 5).expires_in(Duration::ZERO).into(), ErrorKind::Invalid, "expires_in"),
        (dollars.into(), ErrorKind::Invalid, "amount"),
        (capture("x", "none", "shop").into(), ErrorKind::NotFound, "hold"),
        (capture("x", "h", "nobody").into(), ErrorKind::NotFound, "legs[1].account"),
        (capture("x", "h", "shop").amount(eur(0)).into(), ErrorKind::Invalid, "amount"),
        (capture("x", "h", "shop").amount(eur(51)).into(), ErrorKind::InsufficientFunds, "amount"),
        (capture("x", "h", "shop").amount(usd).into(), ErrorKind::Invalid, "amount"),
    ];
    for (command, kind, field) in cases {
        let error = ledger.execute_one(command.clone()).await.expect_err("it has to be refused");
        assert_eq!((error.kind(), error.field()), (kind, Some(field)), "{command:?}");
    }
    assert_eq!(stands(ledger, "alice").await, (100, 50, 50));
}
