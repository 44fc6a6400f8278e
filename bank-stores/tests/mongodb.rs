//! MongoDB's protocol against the suite of documents, and what happens to replies that are lost.

#![cfg(all(feature = "mongodb", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "server/between.rs"]
mod between;
#[path = "server/mod.rs"]
mod running;
#[path = "mongodb/server.rs"]
mod server;

use std::sync::Arc;
use std::time::Duration;

use bank_stores::documents::{Collection, DocumentChange, DocumentWrite, Filter, Find};
use bank_stores::mongodb::{MongoDocuments, MongoOptions};
use bank_stores::{
    Clock, Consistency, Direction, Documents, DocumentsExt, ErrorKind, ManualClock, PageRequest, Timestamp,
};
use between::{Between, contains};
use serde_json::{Value, json};
use server::{Server, fresh, port, somewhere};
use tokio::time::Instant;

const NOW: Consistency = Consistency::Current;
const DAY: Duration = Duration::from_secs(86_400);

async fn documents() -> Option<(MongoDocuments, ())> {
    Some((MongoDocuments::open(somewhere()?).await.unwrap(), ()))
}

bank_stores::documents_conformance!(documents());

/// A store behind something that loses replies; only before a server of our own.
async fn behind() -> Option<(MongoDocuments, Between)> {
    let between = Between::before(port()?).await;
    let url = format!("mongodb://127.0.0.1:{}", between.port);
    let documents = MongoDocuments::open(fresh(&url)).await.unwrap();
    documents.declare(&Collection::new("c").unique("email", ["email"])).await.unwrap();
    Some((documents, between))
}

fn insert(write: &str, id: &str, body: &Value) -> DocumentWrite {
    DocumentWrite::new(write, DocumentChange::insert(id, body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_reply_was_lost_is_sent_again_and_took_effect_once() {
    let Some((documents, between)) = behind().await else { return };
    between.lose("insert\0", 1);
    let written = documents.write_one("c", insert("w1", "1", &json!({"email": "a"}))).await.unwrap();
    assert!(!written.replayed, "it is this call's own effect");
    let read = documents.get("c", "1", NOW).await.unwrap().unwrap();
    assert_eq!(read.version, written.version);
    between.lose("findAndModify\0", 1);
    let replace = DocumentChange::replace("1", written.version, &json!({"email": "b"})).unwrap();
    let replaced = documents.write_one("c", DocumentWrite::new("w2", replace.clone())).await.unwrap();
    assert!(!replaced.replayed);
    let again = documents.write_one("c", DocumentWrite::new("w2", replace)).await.unwrap();
    assert!(again.replayed && again.version == replaced.version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_can_tell_what_happened_nobody_says_so() {
    let Some((documents, between)) = behind().await else { return };
    let written = documents.write_one("c", insert("w1", "1", &json!({}))).await.unwrap();
    // A delete leaves nothing behind that would tell whose it was.
    between.lose("findAndModify\0", 1);
    let delete = DocumentWrite::new("w2", DocumentChange::delete("1", written.version));
    assert_eq!(documents.write_one("c", delete).await.unwrap_err().kind(), ErrorKind::Indeterminate);
    assert_eq!(documents.get("c", "1", NOW).await.unwrap(), None);
    // Nor can it be told where every reply is lost.
    between.lose("insert\0", 100);
    let lost = documents.write_one("c", insert("w3", "3", &json!({}))).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Indeterminate);
    between.heal();
    // The same write again has the answer.
    assert!(documents.write_one("c", insert("w3", "3", &json!({}))).await.unwrap().replayed);
    // A read may simply be made again.
    between.lose("find\0", 100);
    assert_eq!(documents.get("c", "3", NOW).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// Whether somewhere behind this name, and close to it, there is this.
fn has_near(sent: &[u8], name: &str, part: &[u8]) -> bool {
    let name = format!("{name}\0");
    let starts = sent.windows(name.len()).enumerate().filter(|(_, window)| *window == name.as_bytes());
    starts.map(|(start, _)| start).any(|start| contains(&sent[start..sent.len().min(start + 80)], part))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_and_its_journals_are_asked_for_on_the_wire() {
    let Some((documents, between)) = behind().await else { return };
    documents.write_one("c", insert("w1", "1", &json!({}))).await.unwrap();
    documents.get("c", "1", NOW).await.unwrap().unwrap();
    documents.get("c", "1", Consistency::Any).await.unwrap().unwrap();
    documents.find("c", &Find::all()).await.unwrap();
    let sent = between.sent();
    assert!(has_near(&sent, "writeConcern", b"\x02w\0\x09\0\0\0majority\0"));
    assert!(has_near(&sent, "writeConcern", b"\x08j\0\x01"));
    assert!(has_near(&sent, "readConcern", b"linearizable\0"));
    assert!(has_near(&sent, "readConcern", b"majority\0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_unavailable() {
    // A port that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = MongoOptions::new(&format!("mongodb://127.0.0.1:{free}")).unwrap();
    let options = options.connect_timeout(Duration::from_millis(200));
    assert_eq!(MongoDocuments::open(options).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_server_is_away_calls_are_refused_at_once_and_it_comes_back_by_itself() {
    let Some(mut server) = Server::start() else { return };
    let short = Duration::from_millis(500);
    let options = fresh(&server.url()).connect_timeout(short).response_timeout(short);
    let documents = MongoDocuments::open(options.pause(Duration::from_secs(5))).await.unwrap();
    let slow = Duration::from_secs(60);
    // A machine that is slow is not away, and makes the collection at last.
    let start = Instant::now();
    while let Err(error) = documents.declare(&Collection::new("c")).await {
        assert!(start.elapsed() < slow, "{error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.running.kill();
    let mut at_once = 0;
    for n in 0..200 {
        let error = match n % 2 {
            0 => documents.get("c", "1", NOW).await.unwrap_err(),
            _ => documents.write_one("c", insert("w1", "1", &json!({}))).await.unwrap_err(),
        };
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Indeterminate), "{error:?}");
        at_once += u32::from(error.message().contains("is away since"));
    }
    assert!(at_once > 150, "{at_once} of 200 did not even try");
    server.running.restart();
    let start = Instant::now();
    // A server that is killed may lose what it acknowledged last.
    while let Err(error) = documents.declare(&Collection::new("c")).await {
        assert!(start.elapsed() < slow, "it does not come back: {error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    while let Err(error) = documents.write_one("c", insert("w2", "2", &json!({}))).await {
        assert!(start.elapsed() < slow, "it does not write: {error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_shown() {
    let Some(options) = somewhere() else { return };
    let documents = MongoDocuments::open(options).await.unwrap();
    let shown = format!("{documents:?}");
    assert!(shown.contains("MongoDocuments") && !shown.contains("password"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_declared_later_binds_what_is_there() {
    let Some((documents, ())) = documents().await else { return };
    documents.declare(&Collection::new("c")).await.unwrap();
    documents.write_one("c", insert("w1", "1", &json!({"n": {"k": 1}, "v": 2}))).await.unwrap();
    documents.write_one("c", insert("w2", "2", &json!({"v": "x"}))).await.unwrap();
    documents.write_one("c", insert("w3", "3", &json!({"v": 1, "n": [{"k": 1}]}))).await.unwrap();
    let later = Collection::new("c").unique("k", ["n.k"]).sorted("v").sorted("n.k");
    documents.declare(&later).await.unwrap();
    let taken = documents.write_one("c", insert("w4", "4", &json!({"n": {"k": 1.0}}))).await.unwrap_err();
    assert_eq!((taken.kind(), taken.field()), (ErrorKind::AlreadyExists, Some("k")));
    for (field, expected) in [("v", ["3", "1", "2"]), ("n.k", ["2", "3", "1"])] {
        let mut page = PageRequest::first(1);
        let mut ids = Vec::new();
        loop {
            let found = documents.find("c", &Find::all().sort(field, Direction::Forward).page(page)).await;
            let found = found.unwrap();
            ids.extend(found.items.into_iter().map(|document| document.id));
            let Some(next) = found.next else { break };
            page = PageRequest::first(1).after(next);
        }
        assert_eq!(ids, expected, "{field}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_is_what_is_behind_a_list() {
    let Some((documents, ())) = documents().await else { return };
    documents.declare(&Collection::new("c")).await.unwrap();
    for (id, body) in [
        ("in", json!({"a": [{"b": 1}]})),
        ("list", json!({"a": {"b": [null]}})),
        ("scalar", json!({"a": 5})),
        ("value", json!({"a": {"b": 1}})),
    ] {
        documents.write_one("c", insert(id, id, &body)).await.unwrap();
    }
    let found = documents.find("c", &Find::all().filter(Filter::eq("a.b", Value::Null))).await.unwrap();
    let ids: Vec<String> = found.items.into_iter().map(|document| document.id).collect();
    assert_eq!(ids, ["in", "scalar"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_frees_no_id_and_no_key() {
    let Some(options) = somewhere() else { return };
    let clock = ManualClock::at(Timestamp::from_seconds(4_000_000_000));
    let documents = MongoDocuments::open(options.clock(Arc::new(clock.clone()))).await.unwrap();
    documents.declare(&Collection::new("c").unique("email", ["email"])).await.unwrap();
    let (before, body) = (clock.now(), json!({ "email": "a" }));
    let kept = DocumentChange::insert("kept", &body).unwrap().expires_at(before.saturating_add(DAY));
    documents.write_one("c", DocumentWrite::new("w1", kept)).await.unwrap();
    clock.set(before.saturating_add(2 * DAY));
    for (write, field) in [(insert("w2", "kept", &json!({})), "id"), (insert("w3", "other", &body), "email")]
    {
        let taken = documents.write_one("c", write).await.unwrap_err();
        assert_eq!((taken.kind(), taken.field()), (ErrorKind::AlreadyExists, Some(field)));
    }
    clock.set(before);
    assert_eq!(documents.get("c", "kept", NOW).await.unwrap().unwrap().body, body);
    // Time that passes frees both.
    clock.advance(2 * DAY);
    documents.write_one("c", insert("w3", "other", &body)).await.unwrap();
    documents.write_one("c", insert("w2", "kept", &json!({}))).await.unwrap();
}
