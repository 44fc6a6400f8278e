//! What the embedded stores promise holds across processes that are killed at any moment; `histories`, of the reference bank's tests,
//! does it to the ledger. `BANK_STORES_HISTORIES=1000` judges a thousand of each, see `history/lives.rs`.

#![cfg(all(unix, feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, and a child that speaks to its parent")]

#[path = "history/documents.rs"]
mod documents;
#[path = "history/items.rs"]
mod items;
#[path = "history/lives.rs"]
mod lives;
#[path = "history/once.rs"]
mod once;

use std::sync::Arc;

use bank_stores::Result;
use bank_stores::embedded::{SqliteDocuments, SqliteItems, SqliteOptions};
use bank_stores::once::ItemsOnce;
use lives::{Engine, History, seeds};

struct Items;

impl Engine for Items {
    type Store = SqliteItems;
    const IS_SERVER: bool = false;

    async fn open(place: &str) -> Result<SqliteItems> {
        SqliteItems::open(SqliteOptions::new(place)).await
    }

    async fn close(items: &SqliteItems) {
        items.close().await;
    }
}

struct Documents;

impl Engine for Documents {
    type Store = SqliteDocuments;
    const IS_SERVER: bool = false;

    async fn open(place: &str) -> Result<SqliteDocuments> {
        SqliteDocuments::open(SqliteOptions::new(place)).await
    }

    async fn close(documents: &SqliteDocuments) {
        documents.close().await;
    }
}

struct Claims;

impl Engine for Claims {
    type Store = ItemsOnce;
    const IS_SERVER: bool = false;

    async fn open(place: &str) -> Result<ItemsOnce> {
        Ok(ItemsOnce::new(Arc::new(Items::open(place).await?), "once"))
    }

    /// It is opened at the end alone.
    async fn close(_: &ItemsOnce) {}
}

/// A history in a file of this directory.
fn history(directory: &tempfile::TempDir, seed: u64) -> History {
    History::embedded(directory.path().join("store.db").to_str().unwrap(), seed)
}

/// What the tests below start and kill; alone they do nothing.
mod a_life {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_items() {
        items::live_on::<Items>().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_documents() {
        documents::live_on::<Documents>().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_claims() {
        once::live_on::<Claims>().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_writer_leaves_what_it_acknowledged_and_no_half_of_the_rest() {
    for seed in seeds() {
        let directory = tempfile::tempdir().unwrap();
        items::judge::<Items>(&history(&directory, seed), "a_life::of_items").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_writers_of_documents_lose_nothing_and_do_nothing_twice() {
    for seed in seeds() {
        let directory = tempfile::tempdir().unwrap();
        documents::judge::<Documents>(&history(&directory, seed), "a_life::of_documents").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_one_holder_at_most_whoever_is_killed() {
    for seed in seeds() {
        let directory = tempfile::tempdir().unwrap();
        once::judge::<Claims>(&history(&directory, seed), "a_life::of_claims").await;
    }
}
