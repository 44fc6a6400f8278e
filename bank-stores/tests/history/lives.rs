//! Lives: processes of their own that work on one store, one after another, until each is killed.
//!
//! A role has two tests. One is the child, which works without an end when it is asked to, and says each thing before it does it and
//! each answer afterwards. The other one is the parent, which lets children live and judges what they said. The store may be a server,
//! which in some lives ends and starts again while the child goes on. The network to it is bad as long as a child lives: connections are
//! cut before, within and behind a request, replies are lost, and some come late. The parent's is good.
//!
//! `BANK_STORES_HISTORIES=200` has each test judge 200 histories with consecutive seeds from `BANK_STORES_SEED` on, one where it is not
//! set; each tells its seed, with which it can be had again. For those of one store:
//!
//! ```text
//! BANK_STORES_HISTORIES=200 cargo test -p bank-stores --all-features --test dynamodb_histories -- --nocapture
//! ```

#![allow(dead_code, reason = "each program uses a part")]
#![allow(clippy::future_not_send, reason = "they are awaited where they are made")]

use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bank_stores::conformance::{Numbers, seed};
use bank_stores::{Error, ErrorKind, Result};
use serde_json::Value;
use tokio::time::Instant;

/// How many histories each test judges.
const HISTORIES: &str = "BANK_STORES_HISTORIES";
/// What the random choices of a history begin with.
const SEED: &str = "BANK_STORES_SEED";
/// Where the child finds its store and which life it is.
const STORE: &str = "BANK_STORES_HISTORY";
/// How many lives the history of an embedded store has.
const LIVES: u64 = 12;
/// How many tasks work at once in each.
pub(crate) const TASKS: u64 = 4;
/// So many lines a life has said at least when it is killed, and again after its server was restarted: what a history is judged by.
const ENOUGH: usize = 60;
/// How long a store may be away before the history fails.
const AWAY: Duration = Duration::from_secs(120);

/// The seeds of the histories that are asked for.
pub(crate) fn seeds() -> impl Iterator<Item = u64> {
    let count = match std::env::var(HISTORIES) {
        Ok(count) => count.parse().unwrap_or_else(|_| panic!("{HISTORIES} is a number, not {count}")),
        Err(_) => 1,
    };
    (0..count).map(|history| seed().wrapping_add(history))
}

/// How the processes of a history open their store.
pub(crate) trait Engine {
    /// The store.
    type Store: Send + Sync + 'static;

    /// Whether it is a server. A server may execute what a killed process, or a dropped call, has sent to it a little later, and calls
    /// to it may be sent again by the adapter.
    const IS_SERVER: bool;

    /// Opens the store at this place: a path or a URL.
    fn open(place: &str) -> impl Future<Output = Result<Self::Store>> + Send;

    /// Closes it, so that another process may open it.
    fn close(store: &Self::Store) -> impl Future<Output = ()> + Send;

    /// The answer to a call that may be made again, as soon as the server is there. An embedded store always is.
    async fn answer<T, F: Future<Output = Result<T>>>(mut call: impl FnMut() -> F) -> T {
        let deadline = Instant::now() + AWAY;
        loop {
            match call().await {
                Ok(answer) => return answer,
                Err(error) if Self::IS_SERVER && is_away(&error) && Instant::now() < deadline => {
                    pause().await
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

/// Whether the call is to be made again, or looked up: the store is away, or its answer got lost.
pub(crate) fn is_away(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Indeterminate)
}

/// Between two calls to a store that is away.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// The store, opened as soon as it is there.
pub(crate) async fn opened<E: Engine>(place: &str) -> E::Store {
    E::answer(|| E::open(place)).await
}

/// A task of one life.
#[derive(Debug)]
pub(crate) struct Task {
    /// Tells it from any other task of the history.
    pub(crate) name: String,
    pub(crate) numbers: Numbers,
}

/// In a child: opens the store and has its tasks work on it until the end. Does nothing where nobody asked for a life.
pub(crate) async fn work<S, O, W>(open: impl FnOnce(String) -> O, task: impl Fn(Arc<S>, Task) -> W)
where
    O: Future<Output = S>,
    W: Future<Output = ()>,
{
    let Ok(asked) = std::env::var(STORE) else { return };
    // Whatever the harness had to say stands on a line of its own.
    println!();
    let (place, life) = asked.rsplit_once('#').unwrap();
    let life: u64 = life.parse().unwrap();
    let store = Arc::new(open(place.to_owned()).await);
    let [a, b, c, d] = std::array::from_fn::<_, { TASKS as usize }, _>(|number| {
        let stream = life * TASKS + number as u64 + 1;
        let numbers = Numbers::new(seed().wrapping_add(stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        task(store.clone(), Task { name: format!("{life}.{number}"), numbers })
    });
    tokio::join!(a, b, c, d);
}

/// In a child: tells the parent. What is said before a call is with the operating system before the call is made.
pub(crate) fn say(line: &Value) {
    println!("{line}");
}

/// Ends the server and starts it again.
type Restart = Arc<dyn Fn() + Send + Sync>;

/// Makes the network bad, as this seed will have it, or good again.
type Network = Arc<dyn Fn(Option<u64>) + Send + Sync>;

/// A server and the way to it, on which several histories take place one after another.
pub(crate) struct HistoryServer {
    lives: u64,
    restart: Restart,
    network: Network,
}

impl HistoryServer {
    /// Histories of so many lives. The server is restarted in every third one.
    pub(crate) fn new(
        lives: u64,
        restart: impl Fn() + Send + Sync + 'static,
        network: impl Fn(Option<u64>) + Send + Sync + 'static,
    ) -> Self {
        Self { lives, restart: Arc::new(restart), network: Arc::new(network) }
    }

    /// A history in a place of its own on the server.
    pub(crate) fn history(&self, place: impl Into<String>, seed: u64) -> History {
        let (restart, network) = (Some(self.restart.clone()), Some(self.network.clone()));
        History { place: place.into(), seed, lives: self.lives, restart, network }
    }
}

/// A history: where its store is, what its choices begin with, and how many lives it has.
pub(crate) struct History {
    pub(crate) place: String,
    pub(crate) seed: u64,
    pub(crate) lives: u64,
    restart: Option<Restart>,
    network: Option<Network>,
}

impl History {
    /// On an embedded store.
    pub(crate) fn embedded(place: impl Into<String>, seed: u64) -> Self {
        Self { place: place.into(), seed, lives: LIVES, restart: None, network: None }
    }

    fn network_is_bad(&self, life: Option<u64>) {
        if let Some(network) = &self.network {
            network(life.map(|life| self.seed.wrapping_mul(31).wrapping_add(life)));
        }
    }

    /// Lets a child live, to an end that it does not know of; gives what it said.
    pub(crate) async fn live(&self, child: &'static str, life: u64) -> Vec<Value> {
        let (store, seed) = (format!("{}#{life}", self.place), self.seed);
        let restart = self.restart.clone().filter(|_| life % 3 == 1);
        self.network_is_bad(Some(life));
        let said = tokio::task::spawn_blocking(move || {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", child, "--nocapture"])
                .env(STORE, store)
                .env(SEED, seed.to_string())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap());
            let heard = Arc::new(AtomicUsize::new(0));
            let count = heard.clone();
            // A line that was cut off by the end is none.
            let said = move |line: String| {
                count.fetch_add(1, Ordering::Relaxed);
                serde_json::from_str::<Value>(&line).ok().filter(Value::is_object)
            };
            let reading = std::thread::spawn(move || {
                lines.lines().map_while(|line| line.ok()).filter_map(said).collect::<Vec<_>>()
            });
            std::thread::sleep(Duration::from_millis(250 + seed.wrapping_add(life).wrapping_mul(37) % 150));
            until_it_said(&mut child, &heard, ENOUGH);
            if let Some(restart) = restart {
                restart();
                let before = heard.load(Ordering::Relaxed);
                until_it_said(&mut child, &heard, before + ENOUGH);
            }
            assert_eq!(child.try_wait().unwrap(), None, "life {life} ended by itself");
            child.kill().unwrap();
            child.wait().unwrap();
            reading.join().unwrap()
        })
        .await;
        self.network_is_bad(None);
        said.unwrap()
    }
}

/// On a slow machine it has done little by then.
fn until_it_said(child: &mut Child, heard: &AtomicUsize, lines: usize) {
    for _ in 0..600 {
        if heard.load(Ordering::Relaxed) >= lines || child.try_wait().unwrap().is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
