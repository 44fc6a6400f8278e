//! Bad input to every call: the kind of error, and the field that it names.

use std::time::Duration;

use super::*;
use crate::ErrorKind::{Conflict, InsufficientFunds, Invalid, NotFound, Rejected};
use crate::ledger::{
    AccountStatus, Annotation, AsOf, Capture, Ceiling, ChangeAccount, ChangeId, ConsumerId, HoldId, Period,
    PlaceHold, Reversal,
};
use crate::{Cursor, Error};

const MOST: u64 = i64::MAX as u64;

fn posting_id(id: &str) -> PostingId {
    PostingId::new(id).expect("well formed")
}

fn hold_id(id: &str) -> HoldId {
    HoldId::new(id).expect("well formed")
}

fn place(id: &str, name: &str, minor: i64) -> PlaceHold {
    PlaceHold::new(hold_id(id), account(name), eur(minor))
}

fn capture(id: &str, hold: &str, to: &str) -> Capture {
    Capture::new(posting_id(id), hold_id(hold), account(to))
}

fn note(id: &str, posting: &str, text: &str) -> Annotation {
    let id = ChangeId::new(id).expect("the suite's own ids are well formed");
    Annotation::new(id, PostingId::new(posting).expect("the suite's own ids are well formed"), text)
}

fn change(id: &str, name: &str) -> ChangeAccount {
    ChangeAccount::new(ChangeId::new(id).expect("well formed"), account(name))
}

fn reversal(id: &str, of: &str) -> Reversal {
    Reversal::new(posting_id(id), posting_id(of))
}

fn usd(minor: i64) -> Money {
    Money::from_minor(minor, Currency::USD)
}

fn check(what: &str, error: &Error, kind: ErrorKind, field: &str) {
    assert_eq!((error.kind(), error.field()), (kind, Some(field)), "{what}: {error:?}");
}

/// What is wrong is refused with the right kind, names the field, and changes nothing.
pub async fn bad_input_is_refused_and_named(ledger: &dyn Ledger) {
    open(ledger, &["alice", "bob", "frozen", "closed", "full"], 100).await;
    let dollars = OpenAccount::new(account("usd"), Currency::USD).floor(Floor::None);
    let deep = |name| OpenAccount::new(account(name), Currency::EUR).floor(Floor::None);
    let rules = change("r", "full").ceiling(Ceiling::At(100));
    let before: Vec<Command> = vec![
        dollars.into(),
        deep("deep").into(),
        transfer("most", "deep", "cash", i64::MAX - 600).into(),
        deep("lowest").into(),
        deep("side").into(),
        // Three legs, the first of them the smallest amount that there is: it has no opposite.
        Posting::new(posting_id("smallest"), "x")
            .leg(account("lowest"), eur(i64::MIN))
            .leg(account("side"), eur(i64::MAX))
            .leg(account("alice"), eur(1))
            .into(),
        transfer("spent", "cash", "bob", 50).into(),
        transfer("back", "bob", "cash", 50).into(),
        place("open", "alice", 20).into(),
        place("ended", "alice", 1).into(),
        Command::Void(hold_id("ended")),
        place("ice", "frozen", 20).into(),
        change("f", "frozen").status(AccountStatus::Frozen).into(),
        transfer("empty", "closed", "cash", 100).into(),
        change("c", "closed").status(AccountStatus::Closed).into(),
        rules.into(),
    ];
    for outcome in ledger.execute(before).await {
        outcome.expect("it happens");
    }
    commands_are_refused(ledger).await;
    reads_are_refused(ledger).await;
    let held: Vec<i64> = vec![balance(ledger, "alice").await, balance(ledger, "bob").await];
    assert_eq!(held, [101, 100]);
}

async fn commands_are_refused(ledger: &dyn Ledger) {
    let id = || posting_id("bad");
    let many = (0..65).fold(Posting::new(id(), "x"), |posting, _| posting.leg(account("alice"), eur(1)));
    let (long, far) = ("x".repeat(1_025), Timestamp::from_micros(i64::MAX));
    let pieces = |count: usize| (0..count).map(|n| (format!("k{n}"), String::new())).collect();
    let good = || transfer("bad", "alice", "bob", 5);
    let new = || OpenAccount::new(account("new"), Currency::EUR);
    let cases: Vec<(Command, ErrorKind, &str)> = vec![
        // Accounts.
        (new().name("").into(), Invalid, "name"),
        (new().name("x".repeat(201)).into(), Invalid, "name"),
        (new().name("a\0").into(), Invalid, "name"),
        (new().floor(Floor::At(1)).into(), Invalid, "floor"),
        (new().ceiling(Ceiling::At(-1)).into(), Invalid, "ceiling"),
        (OpenAccount::new(account("alice"), Currency::USD).into(), Conflict, "account"),
        (change("x", "alice").into(), Invalid, "change"),
        (change("x", "alice").ceiling(Ceiling::At(-1)).into(), Invalid, "ceiling"),
        (change("x", "alice").name("").into(), Invalid, "name"),
        (change("x", "alice").name("n".repeat(201)).into(), Invalid, "name"),
        (change("x", "alice").name("a\0").into(), Invalid, "name"),
        (note("x", "nothing", "n").into(), NotFound, "posting"),
        (note("x", "nothing", "").into(), Invalid, "note"),
        (note("x", "nothing", &"n".repeat(1_025)).into(), Invalid, "note"),
        (note("x", "nothing", "a\0").into(), Invalid, "note"),
        (change("x", "nobody").floor(Floor::None).into(), NotFound, "account"),
        (change("x", "closed").floor(Floor::None).into(), Rejected, "account"),
        (change("x", "alice").status(AccountStatus::Closed).into(), Rejected, "status"),
        (change("x", "alice").floor(Floor::At(102)).into(), Rejected, "floor"),
        (change("x", "alice").ceiling(Ceiling::At(99)).into(), Rejected, "ceiling"),
        (change("r", "full").ceiling(Ceiling::At(101)).into(), Conflict, "change"),
        // Postings.
        (Posting::new(id(), "").transfer(account("alice"), account("bob"), eur(1)).into(), Invalid, "kind"),
        (
            Posting::new(id(), "a b").transfer(account("alice"), account("bob"), eur(1)).into(),
            Invalid,
            "kind",
        ),
        (Posting { kind: "x".repeat(65), ..good() }.into(), Invalid, "kind"),
        (Posting::new(id(), "x").into(), Invalid, "legs"),
        (Posting::new(id(), "x").leg(account("alice"), eur(1)).into(), Invalid, "legs"),
        (many.into(), Invalid, "legs"),
        (good().leg(account("alice"), eur(1)).into(), Invalid, "legs"),
        (good().leg(account("alice"), eur(1)).leg(account("usd"), usd(-1)).into(), Invalid, "legs"),
        (transfer("bad", "alice", "bob", 0).into(), Invalid, "legs[0].amount"),
        (transfer("bad", "alice", "bob", -5).into(), Invalid, "legs[0].amount"),
        (transfer("bad", "alice", "bob", i64::MIN).into(), Invalid, "legs[0].amount"),
        (good().leg(account("bob"), eur(0)).into(), Invalid, "legs[2].amount"),
        (good().reference(long.clone()).into(), Invalid, "reference"),
        (good().reference("a\0").into(), Invalid, "reference"),
        (good().value_time(far).into(), Invalid, "value_time"),
        (good().value_time(Timestamp::from_micros(i64::MIN)).into(), Invalid, "value_time"),
        (good().metadata("", "x").into(), Invalid, "metadata"),
        (good().metadata("x".repeat(65), "x").into(), Invalid, "metadata"),
        (good().metadata("x", "\0").into(), Invalid, "metadata"),
        (good().metadata("x", long.clone()).into(), Invalid, "metadata"),
        (Posting { metadata: pieces(33), ..good() }.into(), Invalid, "metadata"),
        (transfer("bad", "alice", "nobody", 5).into(), NotFound, "legs[1].account"),
        (transfer("bad", "alice", "usd", 5).into(), Invalid, "legs[1].amount"),
        (transfer("bad", "frozen", "bob", 5).into(), Rejected, "legs[0].account"),
        (transfer("bad", "bob", "frozen", 5).into(), Rejected, "legs[1].account"),
        (transfer("bad", "bob", "closed", 5).into(), Rejected, "legs[1].account"),
        (transfer("bad", "bob", "full", 1).into(), Rejected, "legs[1].amount"),
        (transfer("bad", "alice", "bob", 82).into(), InsufficientFunds, "legs[0].account"),
        (transfer("bad", "deep", "bob", 700).into(), Invalid, "legs[0].amount"),
        (transfer("bad", "cash", "side", 1).into(), Invalid, "legs[1].amount"),
        (transfer("spent", "cash", "bob", 51).into(), Conflict, "posting"),
        // Reversals.
        (reversal("bad", "nothing").into(), NotFound, "reverses"),
        (reversal("bad", "bad").into(), NotFound, "reverses"),
        (reversal("bad", "smallest").into(), Invalid, "legs[0].amount"),
        (reversal("bad", "most").reference("\0").into(), Invalid, "reference"),
        (reversal("bad", "most").value_time(far).into(), Invalid, "value_time"),
        (Reversal { metadata: pieces(33), ..reversal("bad", "spent") }.into(), Invalid, "metadata"),
        (reversal("bad", "fund:frozen").into(), Rejected, "legs[1].account"),
        (reversal("spent", "back").into(), Conflict, "posting"),
        // Holds.
        (place("bad", "alice", 0).into(), Invalid, "amount"),
        (place("bad", "alice", -1).into(), Invalid, "amount"),
        (PlaceHold::new(hold_id("bad"), account("alice"), usd(1)).into(), Invalid, "amount"),
        (place("bad", "alice", 1).expires_in(Duration::ZERO).into(), Invalid, "expires_in"),
        (place("bad", "alice", 1).expires_in(Duration::MAX).into(), Invalid, "expires_in"),
        (place("bad", "alice", 1).reference(long.clone()).into(), Invalid, "reference"),
        (PlaceHold { metadata: pieces(33), ..place("bad", "alice", 1) }.into(), Invalid, "metadata"),
        (place("bad", "nobody", 1).into(), NotFound, "account"),
        (place("bad", "frozen", 1).into(), Rejected, "account"),
        (place("bad", "closed", 1).into(), Rejected, "account"),
        (place("bad", "alice", 82).into(), InsufficientFunds, "account"),
        (place("open", "alice", 21).into(), Conflict, "hold"),
        (capture("bad", "open", "bob").amount(eur(0)).into(), Invalid, "amount"),
        (capture("bad", "open", "bob").amount(eur(-1)).into(), Invalid, "amount"),
        (capture("bad", "open", "bob").amount(usd(1)).into(), Invalid, "amount"),
        (capture("bad", "open", "bob").amount(eur(21)).into(), InsufficientFunds, "amount"),
        (Capture { kind: "a b".into(), ..capture("bad", "open", "bob") }.into(), Invalid, "kind"),
        (capture("bad", "open", "bob").reference(long).into(), Invalid, "reference"),
        (capture("bad", "open", "bob").value_time(far).into(), Invalid, "value_time"),
        (Capture { metadata: pieces(33), ..capture("bad", "open", "bob") }.into(), Invalid, "metadata"),
        (capture("bad", "nothing", "bob").into(), NotFound, "hold"),
        (capture("bad", "ended", "bob").into(), Rejected, "hold"),
        (capture("bad", "open", "nobody").into(), NotFound, "legs[1].account"),
        (capture("bad", "open", "usd").into(), Invalid, "legs[1].amount"),
        (capture("bad", "open", "closed").into(), Rejected, "legs[1].account"),
        (capture("bad", "open", "full").into(), Rejected, "legs[1].amount"),
        (capture("bad", "ice", "bob").into(), Rejected, "legs[0].account"),
        (Command::Void(hold_id("nothing")), NotFound, "hold"),
    ];
    // One by one, and all in one call: a fault is its own command's alone.
    let all = ledger.execute(cases.iter().map(|(command, ..)| command.clone()).collect()).await;
    assert_eq!(all.len(), cases.len());
    for ((command, kind, field), outcome) in cases.into_iter().zip(all) {
        let what = format!("{command:?}");
        check(&what, &outcome.expect_err(&what), kind, field);
        check(&what, &ledger.execute_one(command).await.expect_err(&what), kind, field);
    }
    let unfit = [
        PostingId::new("").err(),
        PostingId::new("a b").err(),
        PostingId::new("x".repeat(65)).err(),
        PostingId::new("a\0").err(),
    ];
    for error in unfit {
        check("an id", &error.expect("it is refused"), Invalid, "posting");
    }
    check("an id", &HoldId::new("").expect_err("empty"), Invalid, "hold");
    check("an id", &ChangeId::new("ä").expect_err("not ASCII"), Invalid, "change");
    check("an id", &ConsumerId::new("").expect_err("empty"), Invalid, "consumer");
    check("an id", &OwnerId::new("\0").expect_err("NUL"), Invalid, "owner");
    check("an id", &AccountId::new("/").expect_err("not of the alphabet"), Invalid, "account");
}

async fn reads_are_refused(ledger: &dyn Ledger) {
    let (alice, nobody) = (account("alice"), account("nobody"));
    let owner = OwnerId::new("alice").expect("well formed");
    let (start, end) = (Timestamp::EPOCH, Timestamp::from_seconds(4_000_000_000));
    let period = Period::new(start, end).expect("it ends later");
    check("a period", &Period::new(end, start).expect_err("it ends before"), Invalid, "until");
    let mut backwards = period;
    (backwards.from, backwards.until) = (end, start);
    let first = || PageRequest::first(1);
    let refused = |result: Result<()>| result.expect_err("it has to be refused");
    let cursor = ledger.entries(&alice, first(), NOW).await.expect("entries are read").next;
    let of_entries = || first().after(cursor.clone());
    let cursor = ledger.statement(&alice, period, first(), NOW).await.expect("it is read").entries.next;
    let of_statement = || first().after(cursor.clone());
    let other = Period::new(start, Timestamp::from_seconds(4_000_000_001)).expect("it ends later");

    check("account", &refused(ledger.account(&nobody, NOW).await.map(drop)), NotFound, "account");
    check("hold", &refused(ledger.hold(&hold_id("nothing"), NOW).await.map(drop)), NotFound, "hold");
    for at in [AsOf::Booked(end), AsOf::Value(end)] {
        check(
            "balance_at",
            &refused(ledger.balance_at(&nobody, at, NOW).await.map(drop)),
            NotFound,
            "account",
        );
    }
    let pages: Vec<(&str, PageRequest)> = vec![
        ("limit", PageRequest::first(0)),
        ("limit", PageRequest::first(1_001)),
        ("after", first().after(Cursor::from_text("garbage"))),
        ("after", first().after(Cursor::from_text("x".repeat(5_000)))),
    ];
    for (field, page) in pages {
        let what = format!("{page:?}");
        check(&what, &refused(ledger.entries(&alice, page.clone(), NOW).await.map(drop)), Invalid, field);
        check(&what, &refused(ledger.accounts(&owner, page.clone(), NOW).await.map(drop)), Invalid, field);
        check(&what, &refused(ledger.statement(&alice, period, page, NOW).await.map(drop)), Invalid, field);
    }
    for (what, result) in [
        ("another account's", ledger.entries(&account("bob"), of_entries(), NOW).await.map(drop)),
        ("another direction's", ledger.entries(&alice, of_entries().backward(), NOW).await.map(drop)),
        ("another list's", ledger.accounts(&owner, of_entries(), NOW).await.map(drop)),
        ("the entries'", ledger.statement(&alice, period, of_entries(), NOW).await.map(drop)),
        ("the statement's", ledger.entries(&alice, of_statement(), NOW).await.map(drop)),
        ("another period's", ledger.statement(&alice, other, of_statement(), NOW).await.map(drop)),
        ("another way's", ledger.statement(&alice, period, of_statement().backward(), NOW).await.map(drop)),
    ] {
        check(what, &refused(result), Invalid, "after");
    }
    let statement = |whose, period| ledger.statement(whose, period, PageRequest::first(1), NOW);
    check("statement", &refused(statement(&nobody, period).await.map(drop)), NotFound, "account");
    check("statement", &refused(statement(&alice, backwards).await.map(drop)), Invalid, "until");
    let start = outbox_start(ledger).await;
    let beyond = Position::new(start.epoch(), start.shard(), MOST + 1);
    let events = |limit, wait| ledger.events(&start, limit, wait);
    check("events", &refused(events(0, Duration::ZERO).await.map(drop)), Invalid, "limit");
    check("events", &refused(events(1_001, Duration::ZERO).await.map(drop)), Invalid, "limit");
    check("events", &refused(events(1, Duration::MAX).await.map(drop)), Invalid, "wait");
    let far = ledger.events(&beyond, 1, Duration::ZERO).await;
    check("events", &refused(far.map(drop)), Rejected, "after");
    check("consumed", &refused(ledger.consumed("reader", &beyond).await), Rejected, "position");
}
