//! The embedded documents store against its role's suite.

#![cfg(all(feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use bank_stores::documents::{Collection, DocumentChange, DocumentWrite, Find};
use bank_stores::embedded::{SqliteDocuments, SqliteOptions};
use bank_stores::{Direction, Documents, PageRequest};

async fn fresh() -> (SqliteDocuments, ()) {
    (SqliteDocuments::open(SqliteOptions::temporary().unwrap()).await.unwrap(), ())
}

bank_stores::documents_conformance!(fresh());

/// What `connect` gives passes as well.
mod connected {
    bank_stores::documents_conformance!(async {
        (bank_stores::connect::documents("memory:").await.unwrap(), ())
    });
}

#[tokio::test]
async fn pages_sorted_by_any_real_hold_each_document_once() {
    let (documents, ()) = fresh().await;
    documents.declare(&Collection::new("c").sorted("v")).await.unwrap();
    // Neighbours that few decimals do not tell apart, and the ends of what there is.
    let base = [0.1_f64, 1.0 / 3.0, 123_456_789.123_456_79, 5e-324, f64::MAX, 9.007_199_254_740_993e15];
    let reals: Vec<f64> =
        base.iter().flat_map(|real| [real.next_down(), *real, -real, -real.next_down()]).collect();
    let reals: Vec<f64> = reals.into_iter().filter(|real| *real != 0.0).collect();
    let insert = |(at, real): (usize, &f64)| {
        let change = DocumentChange::insert(format!("d{at}"), &serde_json::json!({ "v": real })).unwrap();
        DocumentWrite::new(format!("w{at}"), change)
    };
    for outcome in documents.write("c", reals.iter().enumerate().map(insert).collect()).await {
        outcome.unwrap();
    }
    for direction in [Direction::Forward, Direction::Backward] {
        let mut ids = Vec::new();
        let mut page = PageRequest::first(1);
        loop {
            let found = documents.find("c", &Find::all().sort("v", direction).page(page)).await.unwrap();
            ids.extend(found.items.into_iter().map(|document| document.id));
            let Some(next) = found.next else { break };
            page = PageRequest::first(1).after(next);
            assert!(ids.len() <= reals.len(), "a page came twice");
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), reals.len());
    }
}
