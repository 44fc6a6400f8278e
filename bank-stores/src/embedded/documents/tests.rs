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
