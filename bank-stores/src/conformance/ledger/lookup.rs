//! What a ledger tells of one account's holds and of one posting.

use std::time::Duration;

use super::holds::hold_id;
use super::{NOW, account, eur, kind, open, transfer};
use crate::ledger::{AccountId, Capture, Command, PlaceHold, Posting, PostingId, Reversal};
use crate::{Direction, ErrorKind, Ledger, LedgerExt, PageRequest};

/// The open holds of an account, in pages both ways, are what is held on it; those that ended are not among them.
pub async fn open_holds_are_what_is_held(ledger: &dyn Ledger) {
    open(ledger, &["alice", "bob"], 1_000).await;
    let read = async |page| ledger.open_holds(&account("alice"), page, NOW).await.expect("they are read");
    let none = read(PageRequest::first(5)).await;
    assert!(none.holds.items.is_empty() && none.account.balance == eur(1_000));
    for n in 1..=9 {
        let place = PlaceHold::new(hold_id(&format!("h{n}")), account("alice"), eur(10 * n));
        ledger.execute_one(place.expires_in(Duration::from_secs(600))).await.expect("it is placed");
    }
    let brief = PlaceHold::new(hold_id("brief"), account("alice"), eur(5));
    ledger.execute_one(brief.expires_in(Duration::from_millis(1))).await.expect("it is placed");
    let of_bob = PlaceHold::new(hold_id("bobs"), account("bob"), eur(1));
    ledger.execute_one(of_bob).await.expect("it is placed");
    ledger.execute_one(Command::Void(hold_id("h4"))).await.expect("it is voided");
    let capture = Capture::new(PostingId::new("c").expect("well formed"), hold_id("h9"), account("bob"));
    ledger.execute_one(capture.amount(eur(40))).await.expect("it is captured");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let expected = ["h1", "h2", "h3", "h5", "h6", "h7", "h8", "h9"];
    for direction in [Direction::Forward, Direction::Backward] {
        let mut page = PageRequest { direction, ..PageRequest::first(3) };
        let mut found = Vec::new();
        loop {
            let read = read(page.clone()).await;
            assert_eq!((read.account.balance, read.account.held), (eur(960), eur(450 - 40 - 40)));
            found.extend(read.holds.items);
            match read.holds.next {
                Some(next) => page = page.after(next),
                None => break,
            }
        }
        if direction == Direction::Backward {
            found.reverse();
        }
        assert_eq!(found.iter().map(|hold| hold.id.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!(found.iter().map(|hold| hold.remaining.minor()).sum::<i64>(), 450 - 40 - 40);
    }
    let nobody = ledger.open_holds(&account("nobody"), PageRequest::first(1), NOW).await;
    assert_eq!(kind(&nobody), ErrorKind::NotFound);
}

/// An entry names the account that it came from or went to, where that is one.
pub async fn an_entry_names_its_counterparty(ledger: &dyn Ledger) {
    open(ledger, &["alice", "bob", "eve"], 100).await;
    let id = |name: &str| PostingId::new(name).expect("well formed");
    let leg = |posting: Posting, name: &str, minor| posting.leg(account(name), eur(minor));
    ledger.post(transfer("p", "alice", "bob", 5).reference("rent")).await.expect("it is posted");
    let shared = leg(leg(leg(Posting::new(id("q"), "split"), "alice", -3), "bob", 1), "eve", 2);
    ledger.post(shared).await.expect("it is posted");
    let twice = leg(leg(leg(Posting::new(id("r"), "fee"), "alice", -3), "bob", 1), "bob", 2);
    let receipt = ledger.post(twice).await.expect("it is posted");
    let page = ledger.entries(&account("alice"), PageRequest::first(10), NOW).await.expect("they are read");
    let shown: Vec<_> = page.items[1..]
        .iter()
        .map(|entry| {
            let counterparty = entry.counterparty.as_ref().map(AccountId::as_str);
            (entry.kind.as_str(), entry.reference.as_deref(), counterparty)
        })
        .collect();
    let expected =
        [("transfer", Some("rent"), Some("bob")), ("split", None, None), ("fee", None, Some("bob"))];
    assert_eq!(shown, expected);
    let found = ledger.receipt(&receipt.id).await.expect("it is looked up").expect("it took effect");
    assert_eq!(found.entries, receipt.entries);
}

/// A posting is told with its legs, notes and times, with its hold, and with what it undoes or is undone by.
pub async fn a_posting_is_told_whole(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 100).await;
    let id = |name: &str| PostingId::new(name).expect("well formed");
    let posting = transfer("p", "cash", "alice", 5).reference("rent").metadata("k", "v");
    let posted = ledger.post(posting).await.expect("it is posted");
    let undone = ledger.execute_one(Reversal::new(id("r"), id("p"))).await.expect("it is undone");
    ledger.execute_one(PlaceHold::new(hold_id("h"), account("alice"), eur(7))).await.expect("it is placed");
    let capture = Capture::new(id("c"), hold_id("h"), account("cash"));
    let captured = ledger.execute_one(capture).await.expect("it is captured");
    let told = async |name: &str| ledger.posting(&id(name), NOW).await.expect("it is read");
    let first = told("p").await;
    assert_eq!((first.sequence, &first.entries), (posted.sequence, &posted.entries));
    assert_eq!((first.kind.as_str(), first.reference.as_deref()), ("transfer", Some("rent")));
    assert_eq!((first.booked_at, first.value_at), (posted.booked_at, posted.entries[0].value_at));
    assert_eq!(first.metadata.get("k").map(String::as_str), Some("v"));
    assert_eq!((first.reversed_by, first.reverses, first.hold), (Some(id("r")), None, None));
    let second = told("r").await;
    assert_eq!((second.reversed_by, second.reverses), (None, Some(id("p"))));
    assert_eq!(second.entries, undone.entries);
    let third = told("c").await;
    assert_eq!((third.hold, third.entries), (Some(hold_id("h")), captured.entries));
    assert_eq!(kind(&ledger.posting(&id("nothing"), NOW).await), ErrorKind::NotFound);
}
