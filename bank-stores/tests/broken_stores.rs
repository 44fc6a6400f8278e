//! Each suite has to fail on stores that break a promise; `broken_ledger.rs` has the ledgers.

#![cfg(all(feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "broken/cache.rs"]
mod cache;
#[path = "broken/documents.rs"]
mod documents;
#[path = "broken/items.rs"]
mod items;
#[path = "broken/limits.rs"]
mod limits;
#[path = "broken/once.rs"]
mod once;

use std::future::Future;
use std::pin::Pin;

/// A promise that runs over a store.
type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Whether the promise was found broken.
async fn caught(running: impl Future<Output = ()> + Send + 'static) -> bool {
    tokio::spawn(running).await.is_err_and(|error| error.is_panic())
}

/// Each promise of a list in the suite has a store that breaks it.
fn assert_all_broken(list: &str, broken: &[&str]) {
    let suite = include_str!("../src/conformance/mod.rs");
    let (_, promises) = suite.split_once(&format!("{{ {list}, $factory,")).unwrap();
    let (promises, _) = promises.split_once('}').unwrap();
    for promise in promises.split_whitespace() {
        assert!(broken.contains(&promise), "nothing breaks {promise}");
    }
}
