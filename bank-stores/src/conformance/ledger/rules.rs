//! What a ledger promises of accounts' rules, of reversals, of linked commands, and of refusals that are remembered.

use serde_json::json;

use super::together;
use super::{NOW, account, all_events, balance, eur, kind, open, same, transfer};
use crate::ledger::{
    AccountStatus, Annotation, Ceiling, ChangeAccount, ChangeId, Command, CommandId, Floor, MAX_ADDITIONS,
    Note, OpenAccount, OwnerId, PlaceHold, PostingId, Receipt, Reversal,
};
use crate::{Currency, ErrorKind, Ledger, LedgerExt, PageRequest, Result, Timestamp};

fn change(id: &str, name: &str) -> ChangeAccount {
    ChangeAccount::new(ChangeId::new(id).expect("the suite's own ids are well formed"), account(name))
}

fn posting_id(id: &str) -> PostingId {
    PostingId::new(id).expect("the suite's own ids are well formed")
}

async fn refused(ledger: &dyn Ledger, command: impl Into<Command> + Send) -> (ErrorKind, Option<String>) {
    let error = ledger.execute_one(command).await.expect_err("it has to be refused");
    (error.kind(), error.field().map(ToOwned::to_owned))
}

fn said(outcome: &Result<Receipt>) -> (ErrorKind, Option<String>) {
    let error = outcome.as_ref().expect_err("it has to be refused");
    (error.kind(), error.field().map(ToOwned::to_owned))
}

fn at(kind: ErrorKind, field: &str) -> (ErrorKind, Option<String>) {
    (kind, Some(field.to_owned()))
}

/// A frozen account takes part in nothing, a closed one never again, and only an empty one is closed.
pub async fn frozen_and_closed_accounts_take_part_in_nothing(ledger: &dyn Ledger) {
    open(ledger, &["alice", "bob"], 10).await;
    let frozen = ledger.execute_one(change("c1", "alice").status(AccountStatus::Frozen)).await;
    assert_eq!(frozen.expect("it is frozen").account.expect("it tells").status, AccountStatus::Frozen);
    assert_eq!(
        refused(ledger, transfer("p", "alice", "bob", 1)).await,
        at(ErrorKind::Rejected, "legs[0].account")
    );
    assert_eq!(
        refused(ledger, transfer("p", "bob", "alice", 1)).await,
        at(ErrorKind::Rejected, "legs[1].account")
    );
    let hold = PlaceHold::new(super::holds::hold_id("h"), account("alice"), eur(1));
    assert_eq!(refused(ledger, hold).await, at(ErrorKind::Rejected, "account"));
    let close = |id: &str| change(id, "alice").status(AccountStatus::Closed);
    assert_eq!(refused(ledger, close("c2")).await, at(ErrorKind::Rejected, "status"));
    let if_open = |id: &str| change(id, "alice").name("Alice").only_if(AccountStatus::Open);
    assert_eq!(refused(ledger, if_open("c6")).await, at(ErrorKind::Rejected, "only_if"));
    ledger.execute_one(change("c3", "alice").status(AccountStatus::Open)).await.expect("it is open again");
    ledger.execute_one(if_open("c6")).await.expect("it is open, and a refusal takes no id");
    ledger.post(transfer("p", "alice", "bob", 10)).await.expect("it is posted");
    ledger.execute_one(close("c4")).await.expect("it is closed");
    let again = change("c5", "alice").status(AccountStatus::Open);
    assert_eq!(refused(ledger, again).await, at(ErrorKind::Rejected, "account"));
    assert_eq!(
        ledger.account(&account("alice"), NOW).await.expect("it is read").status,
        AccountStatus::Closed
    );
}

/// Floors and ceilings hold, may be moved where the account fits, and a change is made once.
pub async fn floors_and_ceilings_hold_and_may_be_moved(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 10).await;
    let capped = OpenAccount::new(account("cap"), Currency::EUR).ceiling(Ceiling::At(5));
    ledger.open(capped).await.expect("it opens");
    assert_eq!(
        refused(ledger, transfer("p", "alice", "cap", 6)).await,
        at(ErrorKind::Rejected, "legs[1].amount")
    );
    ledger.post(transfer("p", "alice", "cap", 5)).await.expect("it is posted");
    let lower = change("c1", "cap").ceiling(Ceiling::At(4));
    assert_eq!(refused(ledger, lower).await, at(ErrorKind::Rejected, "ceiling"));
    let raise = change("c1", "cap").ceiling(Ceiling::None).floor(Floor::At(3));
    let first = ledger.execute_one(raise.clone()).await.expect("it is changed");
    assert_eq!(
        refused(ledger, transfer("q", "cap", "alice", 3)).await,
        at(ErrorKind::InsufficientFunds, "legs[0].account")
    );
    ledger.post(transfer("q", "cap", "alice", 2)).await.expect("it is posted");
    ledger.execute_one(change("c2", "alice").floor(Floor::At(-5))).await.expect("it is changed");
    ledger.post(transfer("r", "alice", "cap", 12)).await.expect("an overdraft");
    assert_eq!(
        refused(ledger, change("c3", "alice").floor(Floor::Zero)).await,
        at(ErrorKind::Rejected, "floor")
    );
    // Repeated, it tells what it did then.
    let again = ledger.execute_one(raise.clone()).await.expect("it is replayed");
    assert!(again.replayed && same(&first, &again), "{first:?} {again:?}");
    let found = ledger.receipt(&first.id).await.expect("it is looked up").expect("it took effect");
    assert!(same(&first, &found), "{first:?} {found:?}");
    assert_eq!(kind(&ledger.execute_one(raise.floor(Floor::None)).await), ErrorKind::Conflict);
    assert_eq!(
        refused(ledger, change("c4", "nobody").floor(Floor::Zero)).await,
        at(ErrorKind::NotFound, "account")
    );
    assert_eq!(refused(ledger, change("c4", "alice")).await, at(ErrorKind::Invalid, "change"));
    // The account as it was opened is still what its opening says.
    let opened = ledger.receipt(&CommandId::Account(account("cap"))).await.expect("it is looked up");
    let opened = opened.expect("it took effect").account.expect("it tells");
    assert_eq!((opened.ceiling, opened.floor, opened.balance), (Some(eur(5)), Some(eur(0)), eur(0)));
}

/// What an account is like may be changed: it is so from then on, wherever it is told of, and its opening stays what it was.
pub async fn an_account_is_changed(ledger: &dyn Ledger) {
    open(ledger, &[], 0).await;
    let owner = OwnerId::new("ann").expect("well formed");
    let first = OpenAccount::new(account("alice"), Currency::EUR).owner(owner.clone()).name("Savings");
    ledger.open(first.clone()).await.expect("it opens");
    ledger.post(transfer("before", "cash", "alice", 5)).await.expect("it is posted");
    let rename = change("c1", "alice").name("Holiday");
    let renamed = ledger.execute_one(rename.clone()).await.expect("it is renamed");
    let left = renamed.account.clone().expect("it tells");
    assert_eq!((left.name.as_deref(), left.balance), (Some("Holiday"), eur(5)));
    let moved = ledger.execute_one(change("c2", "alice").floor(Floor::At(-5))).await.expect("it is changed");
    let now = ledger.account(&account("alice"), NOW).await.expect("it is read");
    assert_eq!((now.name.as_deref(), now.floor), (Some("Holiday"), Some(eur(-5))));
    let page = ledger.accounts(&owner, PageRequest::first(5), NOW).await.expect("they are read");
    assert_eq!(page.items, [now]);
    // Its opening, sent again and looked up, and the change, are as they were.
    let opened = ledger.open(first.clone()).await.expect("it is replayed").account.expect("it tells");
    let found = ledger.receipt(&CommandId::Account(account("alice"))).await.expect("it is looked up");
    let found = found.expect("it took effect").account.expect("it tells");
    assert_eq!((opened.name.as_deref(), found.name.as_deref()), (Some("Savings"), Some("Savings")));
    let again = ledger.execute_one(rename).await.expect("it is replayed");
    assert!(again.replayed && same(&again, &renamed), "{again:?} {renamed:?}");
    assert_eq!(kind(&ledger.execute_one(change("c1", "alice").name("Other")).await), ErrorKind::Conflict);
    ledger.post(transfer("after", "cash", "alice", 5)).await.expect("it is posted");
    let named: Vec<_> = (all_events(ledger).await.into_iter())
        .filter(|event| event.topic == "posting.transfer")
        .map(|event| event.payload["legs"][1]["name"].clone())
        .collect();
    assert_eq!(named, ["Savings", "Holiday"], "an event tells what the account was called then");
    let told: Vec<_> = (all_events(ledger).await.into_iter())
        .filter(|event| event.topic == "account.changed")
        .map(|event| (event.at, event.payload))
        .collect();
    let says = |change: &str, floor: i64, at: Timestamp| {
        let payload = json!({
            "change": change, "account": "alice", "owner": "ann", "name": "Holiday", "status": "open",
            "floor": eur(floor), "at": at,
        });
        (at, payload)
    };
    assert_eq!(told, [says("c1", 0, renamed.booked_at), says("c2", -5, moved.booked_at)]);
}

/// Notes are added to a posting later, each once, in their order and up to a number, and change nothing else of it.
pub async fn notes_are_added_to_a_posting_later(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 100).await;
    let posted = ledger.post(transfer("p", "cash", "alice", 5)).await.expect("it is posted");
    let note = |id: &str, of: &str, text: &str| {
        Annotation::new(ChangeId::new(id).expect("well formed"), posting_id(of), text)
    };
    let told = async |of: &str| ledger.posting(&posting_id(of), NOW).await.expect("it is read");
    let first = ledger.execute_one(note("n1", "p", "was rent")).await.expect("it is added");
    let again = ledger.execute_one(note("n1", "p", "was rent")).await.expect("it is replayed");
    assert!(again.replayed && same(&again, &first), "{again:?} {first:?}");
    let found = ledger.receipt(&first.id).await.expect("it is looked up").expect("it took effect");
    assert!(same(&found, &first), "{found:?} {first:?}");
    for other in [note("n1", "p", "was not"), note("n1", "fund:alice", "was rent")] {
        assert_eq!(kind(&ledger.execute_one(other).await), ErrorKind::Conflict);
    }
    // A change of an account has the same names.
    assert_eq!(kind(&ledger.execute_one(change("n1", "alice").name("x")).await), ErrorKind::Conflict);
    let twice = ledger.execute(vec![note("n0", "p", "twice").into(), note("n0", "p", "twice").into()]).await;
    let replayed: Vec<_> =
        twice.iter().map(|outcome| outcome.as_ref().map(|receipt| receipt.replayed)).collect();
    assert!(matches!(replayed[..], [Ok(false), Ok(true)]), "{replayed:?}");
    assert_eq!(refused(ledger, note("n2", "none", "x")).await, at(ErrorKind::NotFound, "posting"));
    // In the group that posts it, and with what fails.
    let outcomes = ledger
        .execute(vec![
            transfer("q", "cash", "alice", 1).into(),
            note("n3", "q", "one").into(),
            Command::from(note("n4", "q", "never")).linked(),
            transfer("bad", "alice", "cash", 1_000_000).into(),
            note("n5", "q", "two").into(),
        ])
        .await;
    let done: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, true, false, false, true], "{outcomes:?}");
    let texts: Vec<String> = told("q").await.notes.into_iter().map(|note| note.text).collect();
    assert_eq!(texts, ["one", "two"]);
    let whole = told("p").await;
    assert_eq!((&whole.entries, whole.sequence), (&posted.entries, posted.sequence));
    assert_eq!(whole.notes.len(), 2);
    let Note { id, text, at: time, .. } = &whole.notes[0];
    assert_eq!((id.as_str(), text.as_str(), *time), ("n1", "was rent", first.booked_at));
    let many = (2..MAX_ADDITIONS).map(|n| note(&format!("m{n}"), "p", "more").into()).collect();
    for outcome in ledger.execute(many).await {
        outcome.expect("it is added");
    }
    assert_eq!(refused(ledger, note("last", "p", "x")).await, at(ErrorKind::Rejected, "posting"));
    assert_eq!(told("p").await.notes.len() as u64, MAX_ADDITIONS);
}

/// A posting is undone once, by a posting of its own that names it.
pub async fn a_posting_is_reversed_once(ledger: &dyn Ledger) {
    open(ledger, &["alice", "bob"], 10).await;
    ledger.post(transfer("p", "alice", "bob", 7)).await.expect("it is posted");
    let reversal = |id: &str, of: &str| Reversal::new(posting_id(id), posting_id(of)).reference("mistake");
    let undone = ledger.execute_one(reversal("r", "p")).await.expect("it is reversed");
    let amounts: Vec<i64> = undone.entries.iter().map(|entry| entry.amount.minor()).collect();
    assert_eq!((amounts, undone.entries[0].kind.as_str()), (vec![7, -7], "reversal"));
    assert_eq!((balance(ledger, "alice").await, balance(ledger, "bob").await), (10, 10));
    assert!(ledger.execute_one(reversal("r", "p")).await.expect("it is replayed").replayed);
    for (id, of) in [("r2", "p"), ("r3", "r")] {
        assert_eq!(refused(ledger, reversal(id, of)).await, at(ErrorKind::Rejected, "reverses"));
    }
    assert_eq!(refused(ledger, reversal("r4", "none")).await, at(ErrorKind::NotFound, "reverses"));
    // In the group that posts it, and where the money is gone.
    let outcomes = ledger
        .execute(vec![
            transfer("s", "alice", "bob", 10).into(),
            reversal("s.r", "s").into(),
            reversal("s.r2", "s").into(),
            transfer("t", "alice", "bob", 10).into(),
            transfer("u", "bob", "cash", 20).into(),
            reversal("t.r", "t").into(),
        ])
        .await;
    let kinds: Vec<Option<ErrorKind>> =
        outcomes.iter().map(|outcome| outcome.as_ref().err().map(crate::Error::kind)).collect();
    let (rejected, poor) = (Some(ErrorKind::Rejected), Some(ErrorKind::InsufficientFunds));
    assert_eq!(kinds, [None, None, rejected, None, None, poor]);
    // By several at once, in one group: one undoes all of it.
    ledger.post(transfer("v", "cash", "alice", 7)).await.expect("it is posted");
    let (before, one) = (balance(ledger, "alice").await, || reversal("v.r", "v").into());
    let outcomes = ledger.execute(vec![one(), one(), reversal("v.r2", "v").into()]).await;
    let undone = outcomes[0].as_ref().expect("it is reversed");
    assert_eq!((undone.entries.len(), undone.replayed), (2, false), "{undone:?}");
    assert!(outcomes[1].as_ref().is_ok_and(|again| again.replayed && same(again, undone)), "{outcomes:?}");
    assert_eq!(outcomes[2].as_ref().err().map(crate::Error::kind), rejected);
    let found = ledger.receipt(&undone.id).await.expect("it is looked up").expect("it took effect");
    assert!(same(&found, undone), "{found:?} {undone:?}");
    assert_eq!(balance(ledger, "alice").await, before - 7);
}

/// Linked commands happen together or not at all.
pub async fn linked_commands_succeed_or_fail_together(ledger: &dyn Ledger) {
    open(ledger, &["alice", "bob", "eve"], 10).await;
    let before = all_events(ledger).await.len();
    let chain = |amounts: [i64; 3]| -> Vec<Command> {
        vec![
            Command::from(transfer("l1", "alice", "bob", amounts[0])).linked(),
            Command::from(transfer("l2", "bob", "eve", amounts[1])).linked(),
            transfer("l3", "eve", "alice", amounts[2]).into(),
        ]
    };
    let outcomes = ledger.execute(chain([10, 20, 31])).await;
    let fields: Vec<_> =
        outcomes.iter().map(|outcome| outcome.as_ref().err().and_then(|error| error.field())).collect();
    assert_eq!(fields, [Some("linked"), Some("linked"), Some("legs[0].account")]);
    assert_eq!(outcomes[2].as_ref().expect_err("it is refused").kind(), ErrorKind::InsufficientFunds);
    assert_eq!(all_events(ledger).await.len(), before);
    // What was refused takes no id; what happened is replayed as a whole.
    for replayed in [false, true] {
        let outcomes = ledger.execute(chain([10, 20, 30])).await;
        assert!(
            outcomes.iter().all(|outcome| outcome.as_ref().is_ok_and(|r| r.replayed == replayed)),
            "{outcomes:?}"
        );
    }
    for name in ["alice", "bob", "eve"] {
        assert_eq!(balance(ledger, name).await, if name == "alice" { 30 } else { 0 });
    }
    let invalid = at(ErrorKind::Invalid, "linked");
    let open_chain = || vec![Command::from(transfer("x", "alice", "bob", 1)).linked()];
    assert_eq!(said(&ledger.execute(open_chain()).await[0]), invalid);
    for (linked, fits) in [(63, true), (64, false)] {
        let link = |n| Command::from(transfer(format!("y{linked}-{n}"), "cash", "alice", 1)).linked();
        let last = transfer(format!("y{linked}"), "cash", "alice", 1).into();
        let outcomes = ledger.execute((0..linked).map(link).chain([last]).collect()).await;
        let right = |outcome: &Result<Receipt>| if fits { outcome.is_ok() } else { said(outcome) == invalid };
        assert!(outcomes.iter().all(right), "{linked}");
    }
    assert_eq!(balance(ledger, "alice").await, 94);
    // What is wrong with the form of one is said first.
    let chain = vec![
        Command::from(transfer("z1", "alice", "bob", 1_000)).linked(),
        transfer("z2", "bob", "alice", 0).into(),
    ];
    let outcomes = ledger.execute(chain).await;
    assert_eq!(said(&outcomes[0]), at(ErrorKind::Rejected, "linked"));
    assert_eq!(said(&outcomes[1]), at(ErrorKind::Invalid, "legs[0].amount"));
    // A chain that is open ends with its call, whoever calls beside it.
    let calls = together((0..200).map(|n| async move {
        let command = Command::from(transfer(format!("w{n}"), "cash", "eve", 1));
        ledger.execute(vec![if n % 4 == 0 { command.linked() } else { command }]).await.remove(0)
    }))
    .await;
    for (n, outcome) in calls.iter().enumerate() {
        assert!(if n % 4 == 0 { said(outcome) == invalid } else { outcome.is_ok() }, "{n}: {outcome:?}");
    }
    assert_eq!(balance(ledger, "eve").await, 150);
}

/// A refusal that is to be remembered stands for good, for this content.
pub async fn a_refusal_is_remembered_where_asked(ledger: &dyn Ledger) {
    open(ledger, &["alice", "bob"], 0).await;
    let poor = || transfer("p", "alice", "bob", 5).remember_refusal();
    assert_eq!(refused(ledger, poor()).await, at(ErrorKind::InsufficientFunds, "legs[0].account"));
    ledger.post(transfer("fund", "cash", "alice", 5)).await.expect("money comes in");
    assert_eq!(refused(ledger, poor()).await, at(ErrorKind::InsufficientFunds, "legs[0].account"));
    // Whoever sends it, asking for it or not.
    let same = transfer("p", "alice", "bob", 5);
    assert_eq!(refused(ledger, same).await.0, ErrorKind::InsufficientFunds);
    assert_eq!(refused(ledger, transfer("p", "alice", "bob", 4)).await.0, ErrorKind::Conflict);
    let looked_up = ledger.receipt(&CommandId::Posting(posting_id("p"))).await;
    assert_eq!(kind(&looked_up), ErrorKind::InsufficientFunds);
    // What is wrong with its form is not remembered.
    assert_eq!(
        refused(ledger, transfer("q", "alice", "bob", 0).remember_refusal()).await.0,
        ErrorKind::Invalid
    );
    ledger.post(transfer("q", "alice", "bob", 5)).await.expect("the id is free");
    let hold = PlaceHold::new(super::holds::hold_id("h"), account("alice"), eur(1)).remember_refusal();
    assert_eq!(refused(ledger, hold.clone()).await.0, ErrorKind::InsufficientFunds);
    ledger.post(transfer("more", "cash", "alice", 5)).await.expect("money comes in");
    assert_eq!(refused(ledger, hold).await.0, ErrorKind::InsufficientFunds);
}

/// A change, a reversal and a hold have their events.
pub async fn every_kind_of_command_has_its_event(ledger: &dyn Ledger) {
    open(ledger, &["alice", "bob"], 10).await;
    let hold = PlaceHold::new(super::holds::hold_id("h"), account("alice"), eur(4));
    let commands: Vec<Command> = vec![
        change("c", "alice").floor(Floor::At(-1)).into(),
        transfer("p", "alice", "bob", 1).value_time(Timestamp::from_seconds(1)).into(),
        Reversal::new(posting_id("r"), posting_id("p")).into(),
        hold.into(),
        Command::Void(super::holds::hold_id("h")),
    ];
    for outcome in ledger.execute(commands).await {
        outcome.expect("it happens");
    }
    let events = all_events(ledger).await;
    let topics: Vec<&str> = events.iter().skip(events.len() - 5).map(|event| event.topic.as_str()).collect();
    assert_eq!(
        topics,
        ["account.changed", "posting.transfer", "posting.reversal", "hold.placed", "hold.voided"]
    );
    let placed = &events[events.len() - 2].payload;
    assert_eq!((&placed["hold"], &placed["amount"]["amount"]), (&"h".into(), &"0.04".into()));
    let ids: std::collections::HashSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), events.len(), "each event has a name of its own");
}
