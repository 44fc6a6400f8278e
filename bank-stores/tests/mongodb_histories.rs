//! What documents on MongoDB's protocol promise holds across processes that are killed at any moment, and across restarts of the
//! server, over a network that cuts connections, loses replies and is late. `BANK_STORES_HISTORIES=200` judges 200 histories, see
//! `history/lives.rs`.

#![cfg(all(unix, feature = "mongodb", feature = "conformance"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, and a child that speaks to its parent")]

#[path = "server/between.rs"]
mod between;
#[path = "history/documents.rs"]
mod documents;
#[path = "history/lives.rs"]
mod lives;
#[path = "server/mod.rs"]
mod running;
#[path = "mongodb/server.rs"]
mod server;

use std::sync::Mutex;

use bank_stores::Result;
use bank_stores::mongodb::{MongoDocuments, MongoOptions};
use between::Between;
use lives::{Engine, HistoryServer, seeds};
use server::Server;

/// Each life costs a start of the child and, one in three, of the server.
const LIVES: u64 = 8;

struct Documents;

impl Engine for Documents {
    type Store = MongoDocuments;
    const IS_SERVER: bool = true;

    async fn open(place: &str) -> Result<MongoDocuments> {
        MongoDocuments::open(MongoOptions::new(place)?).await
    }

    async fn close(documents: &MongoDocuments) {
        documents.close().await;
    }
}

/// What the test below starts and kills; alone it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_of_documents() {
    documents::live_on::<Documents>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_writers_of_documents_lose_nothing_and_do_nothing_twice() {
    let Some(server) = Server::start() else { return };
    let between = Between::before(server.running.port).await;
    let server = Mutex::new(server);
    let restart = move || {
        let running = &mut server.lock().unwrap().running;
        // It ends by itself: its file is written once a second and at the end, so that killed it loses what it acknowledged in the
        // last second, which says nothing about MongoDB.
        running.signal("-TERM");
        running.restart();
    };
    let network = between.clone();
    let history_server = HistoryServer::new(LIVES, restart, move |seed| network.chance(seed));
    for seed in seeds() {
        let place = format!("mongodb://127.0.0.1:{}/history{seed}", between.port);
        documents::judge::<Documents>(&history_server.history(place, seed), "a_life_of_documents").await;
    }
    between.met().assert_bad();
}
