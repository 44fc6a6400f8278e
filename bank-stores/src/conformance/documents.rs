//! What a store of [`Documents`] promises.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::together;
use crate::documents::{
    Collection, DocumentChange, DocumentWrite, Filter, Find, MAX_BODY, MAX_DEPTH, MAX_SORT_TEXT, Written,
};
use crate::{
    Clock, Consistency, Direction, Documents, DocumentsExt, ErrorKind, PageRequest, Result, SystemClock,
    Timestamp,
};

pub(super) const C: &str = "things";
pub(super) const NOW: Consistency = Consistency::Current;

/// The change under an id that no other has.
fn named(change: DocumentChange) -> DocumentWrite {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    DocumentWrite::new(format!("w{}", COUNT.fetch_add(1, Ordering::Relaxed)), change)
}

pub(super) async fn declare(documents: &dyn Documents) -> Collection {
    let collection =
        Collection::new(C).unique("email", ["email"]).unique("pair", ["a", "n.b"]).index(["kind"]);
    let collection = collection.sorted("v");
    documents.declare(&collection).await.expect("it is declared");
    documents.declare(&collection).await.expect("it may be declared again");
    collection
}

async fn insert(documents: &dyn Documents, id: &str, body: Value) -> Result<Written> {
    documents.write_one(C, named(DocumentChange::insert(id, &body).expect("it is JSON"))).await
}

pub(super) async fn found(documents: &dyn Documents, find: Find) -> Vec<String> {
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
    let first = documents.get(C, "d'1", NOW).await.expect("it is read").expect("it is there");
    assert_eq!((&*first.id, first.version, &first.body), ("d'1", written.version, &body));
    let replace =
        named(DocumentChange::replace("d'1", written.version, &json!({"text": "new"})).expect("it is JSON"));
    let replaced = documents.write_one(C, replace).await.expect("it is replaced");
    assert_ne!(replaced.version, written.version);
    let second = documents.get(C, "d'1", NOW).await.expect("it is read").expect("it is there");
    assert_eq!((second.version, second.created), (replaced.version, first.created));
    let deleted = documents
        .write_one(C, named(DocumentChange::delete("d'1", replaced.version)))
        .await
        .expect("it is deleted");
    assert_eq!((deleted.version, deleted.replayed), (0, false));
    assert_eq!(documents.get(C, "d'1", NOW).await.expect("it is read"), None);
    let again = insert(documents, "d'1", json!({})).await.expect("it is inserted again");
    assert!(![written.version, replaced.version].contains(&again.version));
    // What would mean something to an engine is only content.
    let odd = json!({"$set": 1, "a.b": 2, "": 3, "_id": 4, "id": 5, "nul": "a\0b", "most": i64::MAX, "least": i64::MIN});
    insert(documents, "odd", odd.clone()).await.expect("it is inserted");
    let read = documents.get(C, "odd", NOW).await.expect("it is read").expect("it is there");
    assert_eq!(read.body, odd);
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
    // The number 1 and the text "1" are two keys, 1 and 1.0 are one; so are great numbers that are close together.
    for (id, email, is_free) in [
        ("n", json!(1), true),
        ("s", json!("1"), true),
        ("f", json!(1.0), false),
        ("g", json!(9_007_199_254_740_993_i64), true),
        ("h", json!(9_007_199_254_740_992_i64), true),
    ] {
        assert_eq!(insert(documents, id, json!({ "email": email })).await.is_ok(), is_free, "{id}");
    }
    for (id, email) in [("t", json!(true)), ("l", json!([1])), ("o", json!({}))] {
        let error = insert(documents, id, json!({ "email": email })).await.expect_err("it is no key");
        assert_eq!((error.kind(), error.field()), (ErrorKind::Invalid, Some("body.email")));
    }
}

/// A declaration that cannot be kept makes nothing; a key of the same name has the same fields; what was declared stays.
pub async fn declarations_are_kept_or_refused(documents: &dyn Documents) {
    declare(documents).await;
    insert(documents, "1", json!({"x": 1, "y": 1, "flag": true})).await.expect("it is inserted");
    insert(documents, "2", json!({"x": 1, "y": 2})).await.expect("it is inserted");
    let broken = || Collection::new(C).unique("y", ["y"]);
    for (collection, field) in [
        (broken().unique("x", ["x"]), "unique"),
        (broken().unique("flag", ["flag"]), "unique"),
        (broken().sorted("flag"), "sorted"),
        (broken().unique("email", ["x"]), "unique"),
    ] {
        let error = documents.declare(&collection).await.expect_err("it cannot be kept");
        assert_eq!((error.kind(), error.field()), (ErrorKind::Conflict, Some(field)));
    }
    insert(documents, "3", json!({"y": 1})).await.expect("a key that was not made binds nothing");
    // Who declares less takes nothing away.
    documents.declare(&Collection::new(C)).await.expect("it is declared");
    insert(documents, "4", json!({"email": "a"})).await.expect("it is inserted");
    let taken = insert(documents, "5", json!({"email": "a"})).await.expect_err("it is taken");
    assert_eq!(taken.field(), Some("email"));
    // Names that run together elsewhere are two.
    let one = Collection::new("a").unique("x__u_y", ["k"]);
    let other = Collection::new("a__u_x").unique("y", ["k"]);
    for collection in [&one, &other, &Collection::new("a__created"), &Collection::new("a__expiry")] {
        documents.declare(collection).await.expect("it is declared");
    }
    for collection in ["a", "a__u_x"] {
        let write = |id: &str| named(DocumentChange::insert(id, &json!({"k": 1})).expect("it is JSON"));
        documents.write_one(collection, write("1")).await.expect("it is inserted");
        let taken = documents.write_one(collection, write("2")).await;
        assert_eq!(kind(&taken), ErrorKind::AlreadyExists, "{collection}");
    }
}

async fn insert_owned(documents: &dyn Documents, id: String) -> Result<Written> {
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
    assert_eq!(documents.write_one(C, insert("a")).await.expect("it is repeated"), first.clone().replay());
    assert_eq!(kind(&documents.write_one(C, insert("b")).await), ErrorKind::Conflict);
    let other = DocumentWrite::new("w2", insert("a").change);
    assert_eq!(kind(&documents.write_one(C, other).await), ErrorKind::AlreadyExists, "another's insert");
    let replace = |version: u64| {
        let change = DocumentChange::replace("1", version, &json!({"text": "c"})).expect("it is JSON");
        DocumentWrite::new("w3", change)
    };
    let second = documents.write_one(C, replace(first.version)).await.expect("it is replaced");
    assert_eq!(
        documents.write_one(C, replace(first.version)).await.expect("it is repeated"),
        second.clone().replay()
    );
    assert_eq!(kind(&documents.write_one(C, replace(second.version)).await), ErrorKind::Conflict);
    let read = documents.get(C, "1", NOW).await.expect("it is read").expect("it is there");
    assert_eq!((read.version, read.body), (second.version, json!({"text": "c"})));
    // A deletion takes what the document knew with it: a late copy of the insert has an effect of its own.
    let delete = named(DocumentChange::delete("1", second.version));
    documents.write_one(C, delete).await.expect("it is deleted");
    let late = documents.write_one(C, insert("a")).await.expect("it is inserted again");
    assert!(!late.replayed && late.version != first.version);
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
    documents.declare(&Collection::new(C)).await.expect("it is declared");
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
        (json!(null), vec!["missing", "z"]),
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
    // A list is none of its elements, and no way to what is in them.
    insert(documents, "list", json!({"v": [1, "1", {"x": 1}]})).await.expect("it is inserted");
    insert(documents, "lists", json!({"v": [[1]]})).await.expect("it is inserted");
    assert_eq!(found(documents, Find::all().filter(Filter::eq("v", 1))).await, ["n"]);
    assert_eq!(found(documents, Find::all().filter(Filter::any_of("v", ["1", "2"]))).await, ["s"]);
    assert_eq!(found(documents, Find::all().filter(Filter::eq("v.x", 1))).await, ["o"]);
    let range = Filter::Range { field: "v".into(), from: Some(json!(0)), to: Some(json!(5)) };
    assert_eq!(found(documents, Find::all().filter(range)).await, ["n"]);
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
        json!(9_007_199_254_740_993_i64),
        json!(9_007_199_254_740_992_i64),
    ];
    for (index, value) in values.into_iter().enumerate() {
        insert(documents, &format!("d{index:02}"), json!({"v": value})).await.expect("it is inserted");
    }
    let expected = ["d02", "d07", "d08", "d01", "d04", "d05", "d10", "d09", "d03", "d00", "d06"];
    for limit in [1, 2, 4, 100] {
        let page = PageRequest::first(limit);
        let forward = Find::all().sort("v", Direction::Forward).page(page.clone());
        assert_eq!(found(documents, forward).await, expected, "{limit}");
        let mut backward =
            found(documents, Find::all().sort("v", Direction::Backward).page(page.clone())).await;
        backward.reverse();
        assert_eq!(backward, expected, "{limit}");
        let by_id: Vec<String> = (0..11).map(|n| format!("d{n:02}")).collect();
        assert_eq!(found(documents, Find::all().page(page.clone())).await, by_id);
        let mut last_first = found(documents, Find::all().page(page.backward())).await;
        last_first.reverse();
        assert_eq!(last_first, by_id);
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
    let read = documents.get(C, "1", NOW).await.expect("it is read").expect("it is there");
    assert_eq!((read.version, read.expires_at), (again.version, Some(later)));
    // One that has expired is not replaced, and another document takes its key.
    let past = named(insert_of("2", "b").expires_at(Timestamp::from_seconds(1)));
    let gone = documents.write_one(C, past).await.expect("it is inserted").version;
    let replace = named(DocumentChange::replace("2", gone, &json!({})).expect("it is JSON"));
    assert_eq!(kind(&documents.write_one(C, replace).await), ErrorKind::NotFound);
    let past = named(insert_of("3", "c").expires_at(Timestamp::from_seconds(1)));
    documents.write_one(C, past).await.expect("it is inserted");
    documents.write_one(C, named(insert_of("4", "c"))).await.expect("the key is free");
    assert_eq!(kind(&documents.write_one(C, named(insert_of("5", "a"))).await), ErrorKind::AlreadyExists);
    assert_eq!(found(documents, Find::all()).await, ["1", "4"]);
}

fn insert_of(id: &str, email: &str) -> DocumentChange {
    DocumentChange::insert(id, &json!({ "email": email })).expect("it is JSON")
}

/// What is wrong is refused with the right kind and names the field.
pub async fn bad_input_is_refused_and_named(documents: &dyn Documents) {
    declare(documents).await;
    let missing = documents.get("unknown", "1", NOW).await.expect_err("it was never declared");
    assert_eq!((missing.kind(), missing.field()), (ErrorKind::NotFound, Some("collection")));
    let deep = (0..MAX_DEPTH).fold(json!({}), |inner, _| json!({ "a": inner }));
    let list = named(DocumentChange::insert("1", &json!([1])).expect("it is JSON"));
    let cases = [
        (documents.write_one(C, list).await.map(drop), "body"),
        (insert(documents, "", json!({})).await.map(drop), "id"),
        (insert(documents, "1", json!({"big": u64::MAX})).await.map(drop), "body"),
        (insert(documents, "1", json!({"a\0b": 1})).await.map(drop), "body"),
        (insert(documents, "1", json!({"x": "x".repeat(MAX_BODY)})).await.map(drop), "body"),
        (insert(documents, "1", deep).await.map(drop), "body"),
        (insert(documents, "1", json!({"v": "x".repeat(MAX_SORT_TEXT + 1)})).await.map(drop), "body.v"),
        (insert(documents, "1", json!({"v": true})).await.map(drop), "body.v"),
        (documents.find(C, &Find::all().sort("kind", Direction::Forward)).await.map(drop), "sort"),
        (documents.find(C, &Find::all().filter(Filter::eq("a", u64::MAX))).await.map(drop), "filter"),
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
