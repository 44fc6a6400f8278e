//! What a ledger promises of the past: balances as of a time, statements, consumers of events, and the chain.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{NOW, account, all_events, balance, eur, events_behind, kind, open, outbox_start, transfer};
use crate::ledger::{AsOf, Command, Period, Posting, PostingId};
use crate::outbox::{Edge, Position};
use crate::{Direction, ErrorKind, Ledger, LedgerExt, PageRequest, Timestamp};

/// Balances as of a booking time follow the entries exactly, and those as of a value time the value dates.
pub async fn balances_as_of_a_time_are_exact(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 0).await;
    let value = |day: i64| Timestamp::from_seconds(86_400 * day);
    let mut booked = Vec::new();
    for n in 1..=9 {
        // Value dates run against the order of booking.
        let posting = transfer(format!("p{n}"), "cash", "alice", 1 << n).value_time(value(100 - n));
        booked.push(ledger.post(posting).await.expect("it is posted").booked_at);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let as_of =
        async |at: AsOf| ledger.balance_at(&account("alice"), at, NOW).await.expect("it is read").minor();
    let mut sum = 0;
    for (n, at) in booked.iter().enumerate() {
        let before = Timestamp::from_micros(at.micros() - 1);
        assert_eq!(as_of(AsOf::Booked(before)).await, sum);
        sum += 1 << (n + 1);
        assert_eq!(as_of(AsOf::Booked(*at)).await, sum);
    }
    assert_eq!(as_of(AsOf::Booked(Timestamp::from_seconds(1))).await, 0);
    assert_eq!(sum, balance(ledger, "alice").await);
    // By the 95th day, the postings whose day had come: p5 to p9.
    assert_eq!(as_of(AsOf::Value(value(95))).await, (5..=9).map(|n| 1 << n).sum::<i64>());
    assert_eq!(as_of(AsOf::Value(value(0))).await, 0);
    // Postings that count from before, from later, and from when they were booked, at and around each of their times.
    let mut counted: Vec<(Timestamp, i64)> = (1..=9).map(|n| (value(100 - n), 1 << n)).collect();
    for n in 10..=21 {
        let later = Timestamp::from_micros(booked[0].micros() + 86_400_000_000 * n);
        let of = [None, Some(value(n)), Some(later)][n as usize % 3];
        let (from, to, minor) =
            if n % 2 == 0 { ("cash", "alice", 1 << n) } else { ("alice", "cash", 1 << (n - 10)) };
        let posting = transfer(format!("p{n}"), from, to, minor);
        let posting = of.map_or(posting.clone(), |of| posting.value_time(of));
        let booked_at = ledger.post(posting).await.expect("it is posted").booked_at;
        counted.push((of.unwrap_or(booked_at), if to == "alice" { minor } else { -minor }));
    }
    let holds_at_each = async |counted: &[(Timestamp, i64)]| {
        for time in counted.iter().map(|(time, _)| time).collect::<BTreeSet<_>>() {
            for at in [-1, 0, 1].map(|by| Timestamp::from_micros(time.micros() + by)) {
                let sum: i64 = counted.iter().filter(|(from, _)| *from <= at).map(|(_, minor)| minor).sum();
                assert_eq!(as_of(AsOf::Value(at)).await, sum, "as of {at}");
            }
        }
    };
    holds_at_each(&counted).await;
    // And where there are many entries: an engine may then go another way.
    let many: Vec<Command> = (0..170)
        .map(|n| {
            let id = PostingId::new(format!("many{n}")).expect("it is an id");
            let posting = Posting::new(id, "transfer").leg(account("cash"), eur(-60));
            (0..60).fold(posting, |posting, _| posting.leg(account("alice"), eur(1))).into()
        })
        .collect();
    for receipt in ledger.execute(many).await {
        counted.push((receipt.expect("it is posted").booked_at, 60));
    }
    holds_at_each(&counted).await;
    let nobody = ledger.balance_at(&account("nobody"), AsOf::Booked(booked[0]), NOW).await;
    assert_eq!(kind(&nobody), ErrorKind::NotFound);
}

/// A statement's opening balance and its entries add up to its closing balance, on whichever page.
pub async fn a_statement_adds_up(ledger: &dyn Ledger) {
    open(ledger, &["alice", "bob"], 10).await;
    let mut times = Vec::new();
    for n in 0..12 {
        let posting = transfer(format!("p{n}"), "cash", "alice", n + 1);
        times.push(ledger.post(posting).await.expect("it is posted").booked_at);
        ledger.post(transfer(format!("q{n}"), "alice", "bob", 1)).await.expect("it is posted");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let period = Period::new(times[3], times[9]).expect("it ends after it begins");
    for direction in [Direction::Forward, Direction::Backward] {
        let mut page = PageRequest { direction, ..PageRequest::first(5) };
        let mut entries = Vec::new();
        let (opening, closing, count) = loop {
            let read =
                ledger.statement(&account("alice"), period, page.clone(), NOW).await.expect("it is read");
            entries.extend(read.entries.items);
            match read.entries.next {
                Some(next) => page = page.after(next),
                None => break (read.opening, read.closing, read.entry_count),
            }
        };
        if direction == Direction::Backward {
            entries.reverse();
        }
        assert_eq!((entries.len(), count), (12, 12));
        assert_eq!(opening, eur(10 + 1 + 2 + 3 - 3));
        assert!(entries.iter().all(|entry| times[3] <= entry.booked_at && entry.booked_at < times[9]));
        let mut sum = opening.minor();
        for entry in &entries {
            sum += entry.amount.minor();
            assert_eq!(entry.balance_after.minor(), sum);
        }
        assert_eq!(closing.minor(), sum);
    }
    let empty = Period::new(times[0], times[0]).expect("it may be empty");
    let read =
        ledger.statement(&account("alice"), empty, PageRequest::first(5), NOW).await.expect("it is read");
    assert!(read.entries.items.is_empty() && read.opening == read.closing);
    assert_eq!(Period::new(times[1], times[0]).expect_err("it ends before it begins").field(), Some("until"));
    let page = PageRequest::first(5);
    let first = ledger.statement(&account("alice"), period, page.clone(), NOW).await.expect("it is read");
    let elsewhere = page.after(first.entries.next);
    let other = ledger.statement(&account("alice"), empty, elsewhere, NOW).await;
    assert_eq!(kind(&other), ErrorKind::Invalid, "a cursor of another period");
}

/// A consumer's position is kept, never goes back, and what it has not passed is not forgotten.
pub async fn consumers_keep_their_positions(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 10).await;
    let start = outbox_start(ledger).await;
    let places: Vec<Position> =
        std::iter::once(start).chain(all_events(ledger).await.iter().map(|event| event.position)).collect();
    let kept_of = async |consumer| ledger.positions(consumer).await.expect("they are read");
    assert!(kept_of("one").await.is_empty());
    for (to, kept) in [(2, 2), (1, 2), (3, 3)] {
        ledger.consumed("one", &places[to]).await.expect("it is kept");
        assert_eq!(kept_of("one").await, [places[kept]]);
    }
    ledger.consumed("two", &places[1]).await.expect("it is kept");
    let all = places.len() - 1;
    let later = Timestamp::from_micros(i64::MAX);
    assert_eq!(ledger.forget_events(later).await.expect("some are forgotten"), 1);
    let newest = places[all];
    let elsewhere = |epoch: u64, number: u64| Position::new(epoch, newest.shard(), number);
    for wrong in [elsewhere(newest.epoch(), all as u64 + 1), elsewhere(newest.epoch() ^ 2, all as u64)] {
        let beyond = ledger.consumed("two", &wrong).await.expect_err("there is no such place");
        assert_eq!((beyond.kind(), beyond.field()), (ErrorKind::Rejected, Some("position")));
        let beyond = ledger.events(&wrong, 1, Duration::from_secs(5)).await.expect_err("there is none");
        assert_eq!((beyond.kind(), beyond.field()), (ErrorKind::Rejected, Some("after")));
    }
    for consumer in ["one", "two"] {
        ledger.consumed(consumer, &newest).await.expect("it is kept");
    }
    ledger.forget_events(Timestamp::from_seconds(1)).await.expect("none is so old");
    assert_eq!(events_behind(ledger, places[1]).await.len(), all - 1);
    let gap = ledger.events(&start, 10, Duration::ZERO).await.expect_err("the first is forgotten");
    assert_eq!((gap.kind(), gap.field()), (ErrorKind::Rejected, Some("after")));
    // A consumer that never came further keeps them, until it is known that it never will.
    let oldest = ledger.edge(start.shard(), Edge::Oldest).await.expect("it is told");
    ledger.consumed("three", &oldest).await.expect("it is kept");
    assert_eq!(ledger.forget_events(later).await.expect("it is asked for"), 0);
    ledger.forget_consumer("three").await.expect("it is forgotten");
    assert!(kept_of("three").await.is_empty());
    ledger.forget_events(later).await.expect("the rest is forgotten");
    let left = events_behind(ledger, places[all - 1]).await;
    assert_eq!(left.len(), 1, "the newest stays, so that no position is given twice");
    let gap = ledger.events(&places[1], 10, Duration::ZERO).await.expect_err("it is forgotten");
    assert_eq!(gap.field(), Some("after"));
    let next = ledger.post(transfer("next", "cash", "alice", 1)).await.expect("it is posted");
    assert_eq!(next.sequence, left[0].position.number() + 1);
}

/// The chain takes everything in, and finds it as it was written.
pub async fn the_chain_takes_everything_in(ledger: &dyn Ledger) {
    open(ledger, &["alice", "bob"], 1_000).await;
    let postings = (0..300).map(|n| transfer(format!("p{n}"), "alice", "bob", 1).into()).collect();
    for outcome in ledger.execute(postings).await {
        outcome.expect("it is posted");
    }
    let mut head = ledger.chain().await.expect("it is read");
    for _ in 0..1_200 {
        if head.pending == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        head = ledger.chain().await.expect("it is read");
    }
    assert_eq!((head.sequence, head.pending, head.hash.len()), (305, 0, 64), "{head:?}");
    let mut seen = Vec::new();
    let verified = ledger.verify(None, &mut |progress| seen.push(progress)).await.expect("it is read");
    assert!(verified.is_intact(), "{:?}", verified.breach);
    assert!(seen.windows(2).all(|pair| pair[0].checked < pair[1].checked), "{seen:?}");
    assert_eq!(seen.last().map(|progress| (progress.checked, progress.of)), Some((305, 305)));
}
