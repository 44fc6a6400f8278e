//! What claims on Redis promise holds across processes that are killed at any moment, and across a server that is.

#![cfg(all(unix, feature = "redis", feature = "conformance"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, and a child that speaks to its parent")]

#[path = "history/lives.rs"]
mod lives;
#[path = "history/once.rs"]
mod once;
#[path = "redis/server.rs"]
#[allow(dead_code, reason = "each program uses a part")]
mod server;

use std::sync::Mutex;
use std::time::Duration;

use bank_stores::Result;
use bank_stores::redis::{RedisOnce, RedisOptions};
use lives::{Engine, History};
use server::Server;

const LIVES: u64 = 9;

struct Claims;

impl Engine for Claims {
    type Store = RedisOnce;
    const IS_SERVER: bool = true;

    async fn open(place: &str) -> Result<RedisOnce> {
        let patience = Duration::from_secs(2);
        let options = RedisOptions::at(place)?.connect_timeout(patience).response_timeout(patience);
        RedisOnce::open(options.pause(Duration::from_millis(50))).await
    }

    async fn close(_: &RedisOnce) {}
}

/// What the test below starts and kills; alone it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_of_claims() {
    once::live_on::<Claims>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_one_holder_at_most_whoever_is_killed() {
    // What it acknowledges is on disk: it may be killed.
    let Some(server) = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]) else { return };
    let place = server.url();
    let server = Mutex::new(server);
    let restart = move || {
        let mut server = server.lock().unwrap();
        server.kill();
        server.restart();
    };
    let history = History::on_server(place, LIVES, restart);
    once::judge::<Claims>(&history, "a_life_of_claims").await;
}
