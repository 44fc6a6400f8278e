use std::time::Duration;

use serde_json::json;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::*;
use crate::documents::DocumentChange;
use crate::{Clock, DocumentsExt, ManualClock};

const DAY: Duration = Duration::from_secs(86_400);
const NOW: Consistency = Consistency::Current;

/// An insert under the document's id.
fn insert(id: &str, body: &Value) -> DocumentWrite {
    DocumentWrite::new(id, DocumentChange::insert(id, body).unwrap())
}

/// One that expires.
fn expiring(id: &str, body: &Value, at: Timestamp) -> DocumentWrite {
    DocumentWrite::new(id, DocumentChange::insert(id, body).unwrap().expires_at(at))
}

#[tokio::test]
async fn a_group_that_fails_makes_no_wrong_clock_believed() {
    let clock = ManualClock::at(Timestamp::from_seconds(1_000_000));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("documents.db");
    let options = SqliteOptions::new(&path).clock(Arc::new(clock.clone()));
    let documents = SqliteDocuments::open(options).await.unwrap();
    documents.declare(&Collection::new("c")).await.unwrap();
    let before = clock.now();
    let kept = expiring("kept", &json!({}), before.saturating_add(2 * DAY));
    documents.write_one("c", kept).await.unwrap();
    clock.set(before.saturating_add(400 * DAY));
    let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let busy = documents.write_one("c", insert("busy", &json!({}))).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Unavailable);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    documents.write_one("c", insert("next", &json!({}))).await.unwrap();
    clock.set(before);
    assert!(documents.get("c", "kept", NOW).await.unwrap().is_some());
}

#[tokio::test]
async fn a_clock_that_jumps_frees_no_id_and_no_key() {
    let clock = ManualClock::at(Timestamp::from_seconds(1_000_000));
    let options = SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
    let documents = SqliteDocuments::open(options).await.unwrap();
    documents.declare(&Collection::new("c").unique("email", ["email"])).await.unwrap();
    let before = clock.now();
    let body = json!({ "email": "a" });
    documents.write_one("c", expiring("kept", &body, before.saturating_add(DAY))).await.unwrap();
    clock.set(before.saturating_add(2 * DAY));
    let same_id = DocumentWrite::new("w", DocumentChange::insert("kept", &json!({})).unwrap());
    for (write, field) in [(same_id.clone(), "id"), (insert("other", &body), "email")] {
        let taken = documents.write_one("c", write).await.unwrap_err();
        assert_eq!((taken.kind(), taken.field()), (ErrorKind::AlreadyExists, Some(field)));
    }
    clock.set(before);
    assert_eq!(documents.get("c", "kept", NOW).await.unwrap().unwrap().body, body);
    // Time that passes frees both.
    clock.advance(2 * DAY);
    documents.write_one("c", insert("other", &body)).await.unwrap();
    documents.write_one("c", same_id).await.unwrap();
}
