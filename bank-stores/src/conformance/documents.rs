//! What a store of [`Documents`] promises.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::together;
use crate::documents::{Collection, Document, DocumentChange, DocumentWrite, Filter, Find};
use crate::{
    Clock, Consistency, Direction, Documents, DocumentsExt, ErrorKind, PageRequest, Result, SystemClock,
    Timestamp,
};

const C: &str = "things";
const NOW: Consistency = Consistency::Current;

/// The change under an id that no other has.
fn named(change: DocumentChange) -> DocumentWrite {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    DocumentWrite::new(format!("w{}", COUNT.fetch_add(1, Ordering::Relaxed)), change)
}

async fn declare(documents: &dyn Documents) {
    let collection =
        Collection::new(C).unique("email", ["email"]).unique("pair", ["a", "n.b"]).index(["kind"]);
    documents.declare(&collection).await.expect("it is declared");
    documents.declare(&collection).await.expect("it may be declared again");
}

async fn insert(documents: &dyn Documents, id: &str, body: Value) -> Result<Document> {
    documents.write_one(C, named(DocumentChange::insert(id, &body).expect("it is JSON"))).await
}

async fn found(documents: &dyn Documents, find: Find) -> Vec<String> {
    let mut ids = Vec::new();
    let mut page = find.page.clone();
    loop {
        let read =
            documents.find(C, &Find { page: page.clone(), ..find.clone() }).await.expect("it is found");
        ids.extend(read.items.into_iter().map(|document| document.id));
        match read.next {
            Some(cursor) => page = page.after(cursor),
            None => return ids,
        }
    }
}

fn kind<T: std::fmt::Debug>(result: &Result<T>) -> ErrorKind {
    result.as_ref().expect_err("it has to be refused").kind()
}

/// Documents come back as they were written, with the version that was told.
pub async fn what_was_written_is_read(documents: &dyn Documents) {
    declare(documents).await;
    let body = json!({"text": "ä\"'", "n": {"x": [1, null, true]}, "big": 9_007_199_254_740_993_i64});
    let written = insert(documents, "d'1", body.clone()).await.expect("it is inserted");
    assert_eq!(written.body, body);
    assert_eq!(documents.get(C, "d'1", NOW).await.expect("it is read"), Some(written.clone()));
    let replace =
        named(DocumentChange::replace("d'1", written.version, &json!({"text": "new"})).expect("it is JSON"));
    let replaced = documents.write_one(C, replace).await.expect("it is replaced");
    assert_ne!(replaced.version, written.version);
    assert_eq!(replaced.created, written.created);
    let deleted = documents
        .write_one(C, named(DocumentChange::delete("d'1", replaced.version)))
        .await
        .expect("it is deleted");
    assert_eq!(deleted, replaced);
    assert_eq!(documents.get(C, "d'1", NOW).await.expect("it is read"), None);
    let again = insert(documents, "d'1", json!({})).await.expect("it is inserted again");
    assert!(![written.version, replaced.version].contains(&again.version));
}

/// No two documents share an id or a unique key; a missing field binds nothing.
pub async fn keys_are_unique(documents: &dyn Documents) {
    declare(documents).await;
    insert(documents, "1", json!({"email": "a", "a": 1, "n": {"b": 2}})).await.expect("it is inserted");
    for (id, body, field) in [
        ("1", json!({}), "id"),
        ("2", json!({"email": "a"}), "email"),
        ("2", json!({"a": 1, "n": {"b": 2}}), "pair"),
    ] {
        let error = insert(documents, id, body).await.expect_err("it is taken");
        assert_eq!((error.kind(), error.field()), (ErrorKind::AlreadyExists, Some(field)));
    }
    for (id, body) in
        [("2", json!({"email": "b", "a": 1})), ("3", json!({"a": 1, "email": null})), ("4", json!({}))]
    {
        insert(documents, id, body).await.expect("it is bound by no key");
    }
    let two = documents.get(C, "2", NOW).await.expect("it is read").expect("it is there");
    let replace =
        named(DocumentChange::replace("2", two.version, &json!({"email": "a"})).expect("it is JSON"));
    assert_eq!(kind(&documents.write_one(C, replace).await), ErrorKind::AlreadyExists);
    let racers = together((0..20).map(|n| insert_owned(documents, format!("r{n}")))).await;
    assert_eq!(racers.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let more = Collection::new(C).unique("a", ["a"]);
    assert_eq!(kind(&documents.declare(&more).await), ErrorKind::Conflict);
}

async fn insert_owned(documents: &dyn Documents, id: String) -> Result<Document> {
    insert(documents, &id, json!({"email": "race"})).await
}

/// A write that is sent again, since its reply was lost say, gives the first outcome; other content under its id does not
/// happen.
pub async fn the_same_write_again_gives_the_first_outcome(documents: &dyn Documents) {
    declare(documents).await;
    let insert = |text: &str| {
        DocumentWrite::new("w1", DocumentChange::insert("1", &json!({ "text": text })).expect("it is JSON"))
    };
    let first = documents.write_one(C, insert("a")).await.expect("it is inserted");
    assert_eq!(documents.write_one(C, insert("a")).await.expect("it is repeated"), first);
    assert_eq!(kind(&documents.write_one(C, insert("b")).await), ErrorKind::Conflict);
    let other = DocumentWrite::new("w2", insert("a").change);
    assert_eq!(kind(&documents.write_one(C, other).await), ErrorKind::AlreadyExists, "another's insert");
    let replace = |version: u64| {
        let change = DocumentChange::replace("1", version, &json!({"text": "c"})).expect("it is JSON");
        DocumentWrite::new("w3", change)
    };
    let second = documents.write_one(C, replace(first.version)).await.expect("it is replaced");
    assert_eq!(documents.write_one(C, replace(first.version)).await.expect("it is repeated"), second);
    assert_eq!(kind(&documents.write_one(C, replace(second.version)).await), ErrorKind::Conflict);
    assert_eq!(documents.get(C, "1", NOW).await.expect("it is read"), Some(second));
}

/// What somebody else has changed is not overwritten.
pub async fn a_wrong_version_is_a_conflict(documents: &dyn Documents) {
    declare(documents).await;
    let one = insert(documents, "1", json!({"v": 1})).await.expect("it is inserted");
    let replace = named(DocumentChange::replace("1", one.version + 1, &json!({})).expect("it is JSON"));
    assert_eq!(kind(&documents.write_one(C, replace).await), ErrorKind::Conflict);
    assert_eq!(
        kind(&documents.write_one(C, named(DocumentChange::delete("1", one.version + 1))).await),
        ErrorKind::Conflict
    );
    assert_eq!(
        kind(&documents.write_one(C, named(DocumentChange::delete("2", 1))).await),
        ErrorKind::NotFound
    );
    let outcomes = documents
        .write(
            C,
            vec![
                named(DocumentChange::delete("1", 0)),
                named(DocumentChange::delete("1", one.version)),
                named(DocumentChange::delete("1", one.version)),
            ],
        )
        .await;
    assert_eq!(kind(&outcomes[0]), ErrorKind::Conflict);
    assert!(outcomes[1].is_ok());
    assert_eq!(kind(&outcomes[2]), ErrorKind::NotFound);
}

/// Many count up by compare-and-set: each success is one more, none is lost.
pub async fn a_compare_and_set_race_loses_no_update(documents: &dyn Documents) {
    declare(documents).await;
    insert(documents, "1", json!({"count": 0})).await.expect("it is inserted");
    let racer = |_| async move {
        let mut done = 0;
        for _ in 0..10 {
            let read = documents.get(C, "1", NOW).await.expect("it is read").expect("it is there");
            let count = read.body["count"].as_i64().expect("it is a number");
            let replace = named(
                DocumentChange::replace("1", read.version, &json!({"count": count + 1})).expect("it is JSON"),
            );
            done += i64::from(documents.write_one(C, replace).await.is_ok());
        }
        done
    };
    let done: i64 = together((0..8).map(racer)).await.into_iter().sum();
    let read = documents.get(C, "1", NOW).await.expect("it is read").expect("it is there");
    assert_eq!(read.body["count"], done);
}

/// The number 1, the text "1" and true are three values; null is also what is missing.
pub async fn values_are_compared_with_their_type(documents: &dyn Documents) {
    declare(documents).await;
    let values =
        [("n", json!(1)), ("s", json!("1")), ("t", json!(true)), ("z", json!(null)), ("o", json!({"x": 1}))];
    for (id, value) in values {
        insert(documents, id, json!({"v": value})).await.expect("it is inserted");
    }
    insert(documents, "missing", json!({})).await.expect("it is inserted");
    for (value, ids) in [
        (json!(1), vec!["n"]),
        (json!("1"), vec!["s"]),
        (json!(true), vec!["t"]),
        (json!(false), vec![]),
        (json!(null), vec!["z", "missing"]),
        (json!("{\"x\":1}"), vec![]),
        (json!("' OR 1=1 --"), vec![]),
    ] {
        assert_eq!(
            found(documents, Find::all().filter(Filter::eq("v", value.clone()))).await,
            ids,
            "{value}"
        );
    }
    assert_eq!(found(documents, Find::all().filter(Filter::eq("v.x", 1))).await, ["o"]);
}

/// In, range, and, or.
pub async fn filters_combine(documents: &dyn Documents) {
    declare(documents).await;
    for n in 0..10 {
        let body = json!({"n": n, "kind": if n % 2 == 0 { "even" } else { "odd" }});
        insert(documents, &n.to_string(), body).await.expect("it is inserted");
    }
    let range = |from: Option<i64>, to: Option<i64>| Filter::Range {
        field: "n".into(),
        from: from.map(Value::from),
        to: to.map(Value::from),
    };
    for (filter, ids) in [
        (range(Some(3), Some(5)), "345"),
        (range(None, Some(1)), "01"),
        (range(Some(8), None), "89"),
        (Filter::any_of("n", [1, 3, 77]), "13"),
        (range(Some(3), Some(6)).and(Filter::eq("kind", "even")), "46"),
        (Filter::eq("n", 1).or(Filter::eq("n", 2)).and(Filter::eq("kind", "odd")), "1"),
    ] {
        assert_eq!(found(documents, Find::all().filter(filter.clone())).await.concat(), ids, "{filter:?}");
    }
}

/// Over all pages each document comes once, in the order of the field and then of the id, both ways.
pub async fn sorted_pages_hold_each_document_once(documents: &dyn Documents) {
    declare(documents).await;
    let values = [
        json!("b"),
        json!(2),
        json!(null),
        json!("a"),
        json!(2),
        json!(10),
        json!("b"),
        json!(null),
        json!(-1),
    ];
    for (index, value) in values.into_iter().enumerate() {
        insert(documents, &format!("d{index}"), json!({"v": value})).await.expect("it is inserted");
    }
    let expected = ["d2", "d7", "d8", "d1", "d4", "d5", "d3", "d0", "d6"];
    for limit in [1, 2, 4, 100] {
        let page = PageRequest::first(limit);
        let forward = Find::all().sort("v", Direction::Forward).page(page.clone());
        assert_eq!(found(documents, forward).await, expected, "{limit}");
        let mut backward =
            found(documents, Find::all().sort("v", Direction::Backward).page(page.clone())).await;
        backward.reverse();
        assert_eq!(backward, expected, "{limit}");
        let inserted: Vec<String> = (0..9).map(|n| format!("d{n}")).collect();
        assert_eq!(found(documents, Find::all().page(page.clone())).await, inserted);
        let mut newest = found(documents, Find::all().page(page.backward())).await;
        newest.reverse();
        assert_eq!(newest, inserted);
    }
    let next = documents.find(C, &Find::all().page(PageRequest::first(1))).await.expect("it is found").next;
    let other = Find::all().filter(Filter::eq("v", 1)).page(PageRequest::first(1).after(next));
    assert_eq!(kind(&documents.find(C, &other).await), ErrorKind::Invalid);
}

/// A document whose time is over is absent, and its id and unique keys are free.
pub async fn expired_documents_are_absent_and_free_their_keys(documents: &dyn Documents) {
    declare(documents).await;
    let insert = DocumentChange::insert("1", &json!({"email": "a"})).expect("it is JSON");
    documents
        .write_one(C, named(insert.clone().expires_at(Timestamp::from_seconds(1))))
        .await
        .expect("it is inserted");
    assert_eq!(documents.get(C, "1", NOW).await.expect("it is read"), None);
    assert!(found(documents, Find::all()).await.is_empty());
    let later = SystemClock::new().now().saturating_add(Duration::from_secs(3_600));
    let again = documents.write_one(C, named(insert.expires_at(later))).await.expect("its keys are free");
    assert_eq!(again.expires_at, Some(later));
    assert_eq!(found(documents, Find::all()).await, ["1"]);
}

/// What is wrong is refused with the right kind and names the field.
pub async fn bad_input_is_refused_and_named(documents: &dyn Documents) {
    declare(documents).await;
    let missing = documents.get("unknown", "1", NOW).await.expect_err("it was never declared");
    assert_eq!((missing.kind(), missing.field()), (ErrorKind::NotFound, Some("collection")));
    let list = named(DocumentChange::insert("1", &json!([1])).expect("it is JSON"));
    let cases = [
        (documents.write_one(C, list).await.map(drop), "body"),
        (insert(documents, "", json!({})).await.map(drop), "id"),
        (documents.get("no such'name", "1", NOW).await.map(drop), "collection"),
        (documents.declare(&Collection::new("x").index(["a'b"])).await, "field"),
        (documents.find(C, &Find::all().sort("a\"b", Direction::Forward)).await.map(drop), "field"),
        (documents.find(C, &Find::all().filter(Filter::eq("a", json!([])))).await.map(drop), "filter"),
        (documents.find(C, &Find::all().page(PageRequest::first(0))).await.map(drop), "limit"),
    ];
    for (outcome, field) in cases {
        let error = outcome.expect_err("it has to be refused");
        assert_eq!((error.kind(), error.field()), (ErrorKind::Invalid, Some(field)));
    }
}
