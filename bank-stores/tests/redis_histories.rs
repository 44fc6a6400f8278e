//! What claims on Redis promise holds across processes that are killed at any moment, and across servers that are, over a network that cuts
//! connections, loses replies and is late; on a server of its own and in a cluster. `BANK_STORES_HISTORIES=200` judges 200 histories on
//! each, see `history/lives.rs`.

#![cfg(all(unix, feature = "redis", feature = "conformance"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, and a child that speaks to its parent")]

#[path = "server/between.rs"]
mod between;
#[path = "history/lives.rs"]
mod lives;
#[path = "history/once.rs"]
mod once;
#[path = "redis/server.rs"]
#[allow(dead_code, reason = "each program uses a part")]
mod server;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bank_stores::Result;
use bank_stores::redis::{RedisOnce, RedisOptions};
use between::Between;
use lives::{Engine, HistoryServer, seeds};
use server::{Server, join};

const LIVES: u64 = 9;
/// What such a server acknowledges is on disk: it may be killed.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

struct Claims;

impl Engine for Claims {
    type Store = RedisOnce;
    const IS_SERVER: bool = true;

    /// A place is a prefix of keys and an address.
    async fn open(place: &str) -> Result<RedisOnce> {
        let ((prefix, url), patience) = (place.split_once(' ').unwrap(), Duration::from_secs(2));
        let options = RedisOptions::at(url)?.connect_timeout(patience).response_timeout(patience);
        RedisOnce::open(options.pause(Duration::from_millis(50)).prefix(prefix)?).await
    }

    async fn close(_: &RedisOnce) {}
}

/// What the tests below start and kill; alone it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_of_claims() {
    once::live_on::<Claims>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_one_holder_at_most_whoever_is_killed() {
    let Some(server) = Server::start(&DURABLE) else { return };
    let between = Between::before(server.port).await;
    judge(&format!("redis://127.0.0.1:{}", between.port), vec![server], &[between]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_a_key_has_one_holder_at_most_whoever_is_killed() {
    let (mut nodes, mut betweens) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        // A node tells clients of the proxy before it.
        let between = Between::open().await;
        let port = between.port.to_string();
        let cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let arguments = [&DURABLE[..], &cluster, &["--cluster-announce-port", &port]].concat();
        let Some(node) = Server::start(&arguments) else { return };
        between.lead_to(node.port);
        nodes.push(node);
        betweens.push(between);
    }
    join(&nodes);
    let ports: Vec<String> = betweens.iter().map(|between| format!("127.0.0.1:{}", between.port)).collect();
    judge(&format!("redis-cluster://{}", ports.join(",")), nodes, &betweens).await;
}

/// Lets histories take place on these servers, one of which is killed in some lives.
async fn judge(url: &str, servers: Vec<Server>, betweens: &[Between]) {
    let (servers, turn) = (Mutex::new(servers), AtomicUsize::new(0));
    let restart = move || {
        let mut servers = servers.lock().unwrap();
        let turn = turn.fetch_add(1, Ordering::Relaxed) % servers.len();
        servers[turn].kill();
        servers[turn].restart();
    };
    let networks = betweens.to_vec();
    let network = move |seed: Option<u64>| {
        for (number, between) in (0..).zip(&networks) {
            between.chance(seed.map(|seed| seed.wrapping_add(number << 32)));
        }
    };
    let history_server = HistoryServer::new(LIVES, restart, network);
    for seed in seeds() {
        once::judge::<Claims>(&history_server.history(format!("h{seed} {url}"), seed), "a_life_of_claims")
            .await;
    }
    betweens.iter().for_each(|between| between.met().assert_bad());
}
