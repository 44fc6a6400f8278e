//! What items and claims on DynamoDB promise holds across processes that are killed at any moment, and across restarts of the server,
//! over a network that cuts connections, loses replies and is late. `BANK_STORES_HISTORIES=200` judges 200 of each, see
//! `history/lives.rs`.

#![cfg(all(unix, feature = "dynamodb", feature = "conformance"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, and a child that speaks to its parent")]

#[path = "server/between.rs"]
mod between;
#[path = "history/items.rs"]
mod items;
#[path = "history/lives.rs"]
mod lives;
#[path = "history/once.rs"]
mod once;
#[path = "server/mod.rs"]
mod running;
#[path = "dynamodb/server.rs"]
mod server;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bank_stores::Result;
use bank_stores::dynamodb::{DynamoItems, DynamoOptions};
use bank_stores::once::ItemsOnce;
use between::Between;
use lives::{Engine, HistoryServer, seeds};
use server::Server;

/// Each life costs a start of the child and, one in three, of the server.
const LIVES: u64 = 6;

struct Items;

impl Engine for Items {
    type Store = DynamoItems;
    const IS_SERVER: bool = true;

    async fn open(place: &str) -> Result<DynamoItems> {
        // Long enough for a slow machine, and too short for a restart of the server: calls fail.
        let options = DynamoOptions::at(place)?.deadline(Duration::from_secs(3));
        DynamoItems::open(options.patience(Duration::from_millis(100))).await
    }

    async fn close(_: &DynamoItems) {}
}

struct Claims;

impl Engine for Claims {
    type Store = ItemsOnce;
    const IS_SERVER: bool = true;

    async fn open(place: &str) -> Result<ItemsOnce> {
        Ok(ItemsOnce::new(Arc::new(Items::open(place).await?), "once"))
    }

    async fn close(_: &ItemsOnce) {}
}

/// A server of its own and the way to it, if there is one to start.
async fn history_server() -> Option<(HistoryServer, Between)> {
    let server = Server::start(true)?;
    let between = Between::before(server.running.port).await;
    let server = Mutex::new(server);
    let restart = move || {
        let running = &mut server.lock().unwrap().running;
        // It ends by itself: killed, DynamoDB Local has lost the last write that it acknowledged in about one of twelve tries, which
        // says nothing about DynamoDB.
        running.signal("-TERM");
        running.restart();
    };
    let network = between.clone();
    Some((HistoryServer::new(LIVES, restart, move |seed| network.chance(seed)), between))
}

/// A table of its own for each seed.
fn place(between: &Between, seed: u64) -> String {
    format!("dynamodb:history-{seed}?endpoint=http://127.0.0.1:{}&create=true&shards=1", between.port)
}

/// What the tests below start and kill; alone they do nothing.
mod a_life {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_items() {
        items::live_on::<Items>().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_claims() {
        once::live_on::<Claims>().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_writer_leaves_what_it_acknowledged_and_no_half_of_the_rest() {
    let Some((server, between)) = history_server().await else { return };
    for seed in seeds() {
        items::judge::<Items>(&server.history(place(&between, seed), seed), "a_life::of_items").await;
    }
    between.met().assert_bad();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_one_holder_at_most_whoever_is_killed() {
    let Some((server, between)) = history_server().await else { return };
    for seed in seeds() {
        once::judge::<Claims>(&server.history(place(&between, seed), seed), "a_life::of_claims").await;
    }
    between.met().assert_bad();
}
