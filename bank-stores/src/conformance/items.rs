//! What a store of [`Items`] promises.

use std::time::Duration;

use super::{outbox, together};
use crate::documents::MAX_DEPTH;
use crate::items::{Change, Condition, Key, MAX_VALUE, Query, Settled, Transaction};
use crate::outbox::NewEvent;
use crate::{
    Clock, Consistency, Direction, ErrorKind, Items, ItemsExt, PageRequest, Result, SystemClock, Timestamp,
};

const NOW: Consistency = Consistency::Current;

fn key(sort: &str) -> Key {
    Key::new("p", sort)
}

fn put(sort: &str, value: impl Into<String>) -> Change {
    Change::put_bytes(key(sort), value.into())
}

fn event(id: &str) -> NewEvent {
    NewEvent::new(id, "s", "x", serde_json::json!({}))
}

async fn text(items: &dyn Items, sort: &str) -> Option<String> {
    let item = items.get(&key(sort), NOW).await.expect("it is read")?;
    Some(String::from_utf8_lossy(&item.value).into_owned())
}

fn kind<T: std::fmt::Debug>(result: &Result<T>) -> ErrorKind {
    result.as_ref().expect_err("it has to be refused").kind()
}

/// Values of any bytes come back as they were put, with the version that was told.
pub async fn what_was_put_is_read(items: &dyn Items) {
    let bytes: Vec<u8> = (0..=255).collect();
    let sizes = [vec![], bytes, vec![7; MAX_VALUE]];
    for (index, value) in sizes.into_iter().enumerate() {
        let put = Change::put_bytes(key("k"), value.clone());
        let done =
            items.commit_one(Transaction::new(format!("w{index}")).change(put)).await.expect("it is put");
        let item = items.get(&key("k"), NOW).await.expect("it is read").expect("it is there");
        assert!(item.value == value, "value {index}");
        assert_eq!([item.version], *done.versions);
    }
    items.commit_one(Transaction::new("d").change(Change::delete(key("k")))).await.expect("it is deleted");
    assert_eq!(items.get(&key("k"), NOW).await.expect("it is read"), None);
    let quoted = Key::new("p'\"%_\\", "ä\u{1}'\"");
    let change = Change::put(quoted.clone(), &"x").expect("it is JSON");
    items.commit_one(Transaction::new("q").change(change)).await.expect("it is put");
    let (value, _): (String, u64) =
        items.get_json(&quoted, NOW).await.expect("it is read").expect("it is there");
    assert_eq!(value, "x");
}

/// A condition that does not hold is told by kind and by the index of its change.
pub async fn conditions_hold_or_name_the_change(items: &dyn Items) {
    let done = items.commit_one(Transaction::new("a").change(put("there", "1"))).await.expect("it is put");
    let version = done.versions[0];
    let hour = SystemClock::new().now().saturating_add(Duration::from_secs(3_600));
    let dated = Transaction::new("b")
        .change(put("expired", "1").expires_at(Timestamp::from_seconds(1)))
        .change(put("later", "1").expires_at(hour));
    let dated = items.commit_one(dated).await.expect("they are put");
    let (gone, later) = (dated.versions[0], dated.versions[1]);
    let cases = [
        ("there", Condition::Absent, Some(ErrorKind::AlreadyExists)),
        ("there", Condition::Exists, None),
        ("there", Condition::Version(version), None),
        ("there", Condition::Version(version + 1), Some(ErrorKind::Conflict)),
        ("missing", Condition::Absent, None),
        ("missing", Condition::Exists, Some(ErrorKind::Conflict)),
        ("missing", Condition::Version(version), Some(ErrorKind::Conflict)),
        ("missing", Condition::Version(0), Some(ErrorKind::Conflict)),
        ("expired", Condition::Absent, None),
        ("expired", Condition::Exists, Some(ErrorKind::Conflict)),
        ("expired", Condition::Version(gone), Some(ErrorKind::Conflict)),
        ("later", Condition::Absent, Some(ErrorKind::AlreadyExists)),
        ("later", Condition::Exists, None),
        ("later", Condition::Version(later), None),
    ];
    for (index, (sort, condition, refusal)) in cases.into_iter().enumerate() {
        let transaction = Transaction::new(format!("c{index}"))
            .change(put("other", index.to_string()))
            .change(Change::check(key(sort), condition));
        match (items.commit_one(transaction).await, refusal) {
            (Ok(_), None) => {}
            (Err(error), Some(kind)) => {
                assert_eq!((error.kind(), error.change()), (kind, Some(1)), "case {index}")
            }
            (outcome, refusal) => panic!("case {index}: {outcome:?}, expected {refusal:?}"),
        }
    }
    // Of several that do not hold, the first is named.
    let several = Transaction::new("several")
        .change(put("new", "1"))
        .change(Change::check(key("missing"), Condition::Exists))
        .change(Change::check(key("there"), Condition::Absent));
    let error = items.commit_one(several).await.expect_err("two do not hold");
    assert_eq!((error.kind(), error.change()), (ErrorKind::Conflict, Some(1)));
    let checked = Transaction::new("checked").change(Change::check(key("there"), Condition::Exists));
    assert_eq!(items.commit_one(checked).await.expect("it holds").versions, [0], "a check finds no version");
}

/// One condition that does not hold stops all changes and events of its transaction, and of no other.
pub async fn a_transaction_happens_whole_or_not_at_all(items: &dyn Items) {
    let transactions = vec![
        Transaction::new("t1").change(put("a", "1")).change(put("b", "1")),
        Transaction::new("t2")
            .change(put("a", "2"))
            .change(Change::delete(key("b")))
            .change(put("c", "2").when(Condition::Exists))
            .event(event("e")),
        Transaction::new("t3").change(put("c", "3")).change(Change::check(key("a"), Condition::Exists)),
    ];
    let outcomes = items.commit(transactions).await;
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    let error = outcomes[1].as_ref().expect_err("its condition does not hold");
    assert_eq!((error.kind(), error.change()), (ErrorKind::Conflict, Some(2)));
    assert_eq!(text(items, "a").await.as_deref(), Some("1"));
    assert_eq!(text(items, "b").await.as_deref(), Some("1"));
    assert_eq!(text(items, "c").await.as_deref(), Some("3"));
    assert!(outbox::all(items).await.is_empty());
}

/// A transaction that is sent again has one effect, and the first outcome, marked as replayed.
pub async fn the_same_transaction_again_has_one_effect(items: &dyn Items) {
    let first = Transaction::new("w").change(put("k", "1").when(Condition::Absent));
    let done = items.commit_one(first.clone()).await.expect("it is put");
    assert!(!done.replayed);
    items.commit_one(Transaction::new("x").change(put("k", "2"))).await.expect("it is put");
    let again = items.commit_one(first).await.expect("it is replayed");
    assert_eq!(again, done.clone().replay());
    assert_eq!(text(items, "k").await.as_deref(), Some("2"));
    assert_eq!(items.committed(&"w".into()).await.expect("it is looked up"), Some(done));
    assert_eq!(items.committed(&"never".into()).await.expect("it is looked up"), None);
}

/// An id stands for one content.
pub async fn the_same_id_with_other_content_is_a_conflict(items: &dyn Items) {
    items.commit_one(Transaction::new("w").change(put("k", "1"))).await.expect("it is put");
    let other = items.commit_one(Transaction::new("w").change(put("k", "2"))).await;
    assert_eq!(kind(&other), ErrorKind::Conflict);
    assert_eq!(text(items, "k").await.as_deref(), Some("1"));
}

/// A refusal leaves nothing behind.
pub async fn a_refused_id_may_be_tried_again(items: &dyn Items) {
    let change = Transaction::new("w").change(put("k", "2").when(Condition::Exists));
    assert_eq!(kind(&items.commit_one(change.clone()).await), ErrorKind::Conflict);
    assert_eq!(items.committed(&"w".into()).await.expect("it is looked up"), None);
    items.commit_one(Transaction::new("x").change(put("k", "1"))).await.expect("it is put");
    assert!(!items.commit_one(change).await.expect("now it happens").replayed);
}

/// An item that was deleted and put again has another version: an old one never fits.
pub async fn versions_never_come_back(items: &dyn Items) {
    let mut seen = Vec::new();
    for n in 0..5 {
        let done = items
            .commit_one(Transaction::new(format!("p{n}")).change(put("k", "1")))
            .await
            .expect("it is put");
        assert!(!seen.contains(&done.versions[0]) && done.versions[0] != 0);
        for stale in &seen {
            let late = put("k", "late").when(Condition::Version(*stale));
            let late = items.commit_one(Transaction::new(format!("l{n}.{stale}")).change(late)).await;
            assert_eq!(kind(&late), ErrorKind::Conflict, "a stale writer won");
        }
        seen.push(done.versions[0]);
        let delete = Change::delete(key("k")).when(Condition::Version(done.versions[0]));
        items.commit_one(Transaction::new(format!("d{n}")).change(delete)).await.expect("it is deleted");
    }
}

/// An item whose time is over is absent for reads, queries and conditions.
pub async fn expired_items_are_absent(items: &dyn Items) {
    let past = put("past", "1").expires_at(Timestamp::from_seconds(1));
    let later = SystemClock::new().now().saturating_add(Duration::from_secs(3_600));
    let future = put("future", "1").expires_at(later);
    items.commit_one(Transaction::new("a").change(past).change(future)).await.expect("they are put");
    assert_eq!(text(items, "past").await, None);
    let item = items.get(&key("future"), NOW).await.expect("it is read").expect("it is there");
    assert_eq!(item.expires_at, Some(later));
    assert_eq!(items.query(&Query::partition("p")).await.expect("it is queried").items.len(), 1);
    let exists = Transaction::new("b").change(Change::check(key("past"), Condition::Exists));
    assert_eq!(kind(&items.commit_one(exists).await), ErrorKind::Conflict);
    let again = Transaction::new("c").change(put("past", "2").when(Condition::Absent));
    items.commit_one(again).await.expect("it counts as absent");
    assert_eq!(text(items, "past").await.as_deref(), Some("2"));
}

/// Many count up by compare-and-set: each success is one more, none is lost.
pub async fn a_compare_and_set_race_loses_no_update(items: &dyn Items) {
    items.commit_one(Transaction::new("start").change(put("k", "0"))).await.expect("it is put");
    let racer = |racer: u32| async move {
        let mut done = 0;
        for attempt in 0..10 {
            let item = items.get(&key("k"), NOW).await.expect("it is read").expect("it is there");
            let count: u32 = String::from_utf8_lossy(&item.value).parse().expect("it is a number");
            let change = put("k", (count + 1).to_string()).when(Condition::Version(item.version));
            match items.commit_one(Transaction::new(format!("w{racer}.{attempt}")).change(change)).await {
                Ok(_) => done += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
            }
        }
        done
    };
    let done: u32 = together((0..8).map(racer)).await.into_iter().sum();
    assert!(done > 0);
    assert_eq!(text(items, "k").await, Some(done.to_string()));
}

/// However many send the same transaction at once, it happens once.
pub async fn racers_with_one_id_have_one_effect(items: &dyn Items) {
    let transaction = Transaction::new("w").change(put("k", "1").when(Condition::Absent)).event(event("e"));
    let outcomes = together((0..30).map(|_| items.commit_one(transaction.clone()))).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(|outcome| outcome.expect("it happens")).collect();
    assert_eq!(outcomes.iter().filter(|outcome| !outcome.replayed).count(), 1);
    assert!(outcomes.iter().all(|outcome| outcome.versions == outcomes[0].versions));
    assert_eq!(outbox::all(items).await.len(), 1);
}

/// A query gives its range in byte order, forward and backward, each item once over all pages.
pub async fn queries_page_in_order_both_ways(items: &dyn Items) {
    let sorts = ["a1", "a2", "a3", "a4", "a5", "b1", "b2", "B", "é", "z"];
    let mut transaction = Transaction::new("w").change(Change::put_bytes(Key::new("other", "a1"), "x"));
    for sort in sorts {
        transaction = transaction.change(put(sort, sort));
    }
    items.commit_one(transaction).await.expect("they are put");
    let all = ["B", "a1", "a2", "a3", "a4", "a5", "b1", "b2", "z", "é"];
    let cases = [
        (Query::partition("p"), &all[..]),
        (Query::partition("p").prefix("a"), &all[1..6]),
        (Query::partition("p").between("a3", "b1"), &all[3..7]),
        (Query::partition("p").prefix("q"), &[]),
        (Query::partition("nothing"), &[]),
    ];
    for (query, expected) in cases {
        for direction in [Direction::Forward, Direction::Backward] {
            let mut page = PageRequest { direction, ..PageRequest::first(3) };
            let mut found = Vec::new();
            loop {
                let read = items.query(&query.clone().page(page.clone())).await.expect("it is queried");
                found.extend(read.items.into_iter().map(|item| item.key.sort));
                match read.next {
                    Some(cursor) => page = page.after(cursor),
                    None => break,
                }
            }
            if direction == Direction::Backward {
                found.reverse();
            }
            assert_eq!(found, expected, "{query:?}");
        }
    }
    let next =
        items.query(&Query::partition("p").page(PageRequest::first(1))).await.expect("it is queried").next;
    let elsewhere = Query::partition("other").page(PageRequest::first(1).after(next));
    assert_eq!(kind(&items.query(&elsewhere).await), ErrorKind::Invalid);
}

/// What is wrong is refused as invalid, names the field, and changes nothing.
pub async fn bad_input_is_refused_and_named(items: &dyn Items) {
    let many =
        (0..101).fold(Transaction::new("w"), |transaction, n| transaction.change(put(&n.to_string(), "x")));
    let large = NewEvent::new("e", "s", "x", serde_json::json!("x".repeat(65 * 1_024)));
    let deep = (0..=MAX_DEPTH).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    let deep = NewEvent::new("e", "s", "x", deep);
    let heavy = (0..9).fold(Transaction::new("w"), |transaction, n| {
        transaction.change(Change::put_bytes(key(&n.to_string()), vec![0; MAX_VALUE]))
    });
    let cases = [
        (Transaction::new("").change(put("k", "x")), "id"),
        (Transaction::new("w"), "changes"),
        (many, "changes"),
        (
            (0..50).fold(Transaction::new("w").change(put("k", "x")), |t, n| t.event(event(&n.to_string()))),
            "events",
        ),
        (Transaction::new("w").change(put("k", "x")).event(event("")), "event.id"),
        (Transaction::new("w").change(put("k", "x")).event(large), "event.payload"),
        (Transaction::new("w").change(put("k", "x")).event(deep), "event.payload"),
        (heavy, "transaction"),
        (Transaction::new("w").change(put("k", "x")).change(put("k", "y")), "key"),
        (Transaction::new("w").change(put("", "x")), "key.sort"),
        (Transaction::new("w").change(Change::put_bytes(key("k"), vec![0; MAX_VALUE + 1])), "value"),
    ];
    for (transaction, field) in cases {
        let error = items.commit_one(transaction).await.expect_err("it has to be refused");
        assert_eq!((error.kind(), error.field()), (ErrorKind::Invalid, Some(field)));
    }
    assert_eq!(kind(&items.get(&Key::new("", "x"), NOW).await), ErrorKind::Invalid);
    assert_eq!(
        kind(&items.query(&Query::partition("p").page(PageRequest::first(1_001))).await),
        ErrorKind::Invalid
    );
    assert!(items.query(&Query::partition("p")).await.expect("it is queried").items.is_empty());
}

/// A transaction that was settled has an outcome for good: what had happened by then, or nothing for ever.
pub async fn what_is_settled_stays_so(items: &dyn Items) {
    let transaction =
        |id: &str| Transaction::new(id).change(put(id, "1").when(Condition::Absent)).event(event(id));
    let done = items.commit_one(transaction("done")).await.expect("it happens");
    assert_eq!(items.settle(&"done".into()).await.expect("it is settled"), Settled::Committed(done));
    for _ in 0..2 {
        assert_eq!(items.settle(&"never".into()).await.expect("it is settled"), Settled::Never);
        let late = items.commit_one(transaction("never")).await.expect_err("it was settled");
        assert_eq!((late.kind(), late.field()), (ErrorKind::Rejected, Some("id")));
    }
    assert_eq!(items.committed(&"never".into()).await.expect("it is looked up"), None);
    assert_eq!(text(items, "never").await, None);
    // Writers and two who settle, at once: all are told the same, and so it stays.
    for round in 0..40_u64 {
        let id = format!("race{round}");
        let named = id.as_str().into();
        let write = async {
            tokio::time::sleep(Duration::from_micros(round * 20)).await;
            items.commit_one(transaction(&id)).await
        };
        let settle = async {
            tokio::time::sleep(Duration::from_micros(400)).await;
            items.settle(&named).await.expect("it is settled")
        };
        let (written, copied, one, two) =
            tokio::join!(write, items.commit_one(transaction(&id)), settle, items.settle(&named));
        assert_eq!(one, two.expect("it is settled"), "round {round}");
        let happened = matches!(one, Settled::Committed(_));
        assert_eq!((written.is_ok(), copied.is_ok()), (happened, happened), "round {round}");
        assert_eq!(items.commit_one(transaction(&id)).await.is_ok(), happened, "round {round}");
        assert_eq!(text(items, &id).await.is_some(), happened, "round {round}");
    }
}

/// A partition in which nearly all has expired is read to its end, and nothing is missing.
pub async fn pages_end_where_nearly_all_has_expired(items: &dyn Items) {
    for batch in 0..10 {
        let mut transaction = Transaction::new(format!("w{batch}"));
        for n in 0..50 {
            let number = batch * 50 + n;
            let change = put(&format!("{number:04}"), "x");
            let living = number % 97 == 0;
            transaction = transaction.change(if living {
                change
            } else {
                change.expires_at(Timestamp::from_seconds(1))
            });
        }
        items.commit_one(transaction).await.expect("they are put");
    }
    let expected: Vec<String> = (0..500).filter(|n| n % 97 == 0).map(|n| format!("{n:04}")).collect();
    for limit in [1, 2, 100] {
        for direction in [Direction::Forward, Direction::Backward] {
            let mut found = Vec::new();
            let mut page = PageRequest { direction, ..PageRequest::first(limit) };
            for asked in 0.. {
                assert!(asked < 2_000, "the pages do not end");
                let read =
                    items.query(&Query::partition("p").page(page.clone())).await.expect("it is queried");
                assert!(read.items.len() <= limit as usize);
                found.extend(read.items.into_iter().map(|item| item.key.sort));
                match read.next {
                    Some(cursor) => page = page.after(cursor),
                    None => break,
                }
            }
            if direction == Direction::Backward {
                found.reverse();
            }
            assert_eq!(found, expected, "in pages of {limit}");
        }
    }
}

/// A call that is dropped half way has its whole effect or none.
pub async fn a_cancelled_caller_leaves_no_half_effect(items: &dyn Items) {
    for n in 0..30_u64 {
        let transaction = Transaction::new(format!("w{n}"))
            .change(put(&format!("a{n}"), "x"))
            .change(put(&format!("b{n}"), "x"));
        let _ = tokio::time::timeout(Duration::from_micros(n * 25), items.commit_one(transaction)).await;
    }
    for n in 0..30 {
        // It may still be on its way until it is settled.
        let settled = items.settle(&format!("w{n}").into()).await.expect("it is settled");
        let done = matches!(settled, Settled::Committed(_));
        for half in ["a", "b"] {
            assert_eq!(text(items, &format!("{half}{n}")).await.is_some(), done, "{half}{n}");
        }
    }
}
