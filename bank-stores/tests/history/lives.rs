//! Lives: processes of their own that work on one store, one after another, until each is killed.
//!
//! A role has two tests. One is the child, which works without an end when it is asked to, and says each thing before it does it and
//! each answer afterwards. The other one is the parent, which lets children live and judges what they said.

use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bank_stores::conformance::{Numbers, seed};
use serde_json::Value;

/// Where the child finds its store and which life it is.
const STORE: &str = "BANK_STORES_HISTORY";
/// How many lives a history has.
pub(crate) const LIVES: u64 = 12;
/// How many tasks work at once in each.
pub(crate) const TASKS: u64 = 4;
/// So many lines a life has said at least when it is killed: what a history is judged by.
const ENOUGH: usize = 60;

/// A task of one life.
#[derive(Debug)]
pub(crate) struct Task {
    /// Tells it from any other task of the history.
    pub(crate) name: String,
    pub(crate) numbers: Numbers,
}

/// In a child: opens the store and has its tasks work on it until the end. Does nothing where nobody asked for a life.
pub(crate) async fn work<S, O, W>(open: impl FnOnce(String) -> O, task: impl Fn(S, Task) -> W)
where
    S: Clone,
    O: Future<Output = S>,
    W: Future<Output = ()>,
{
    let Ok(asked) = std::env::var(STORE) else { return };
    // Whatever the harness had to say stands on a line of its own.
    println!();
    let (path, life) = asked.rsplit_once('#').unwrap();
    let life: u64 = life.parse().unwrap();
    let store = open(path.to_owned()).await;
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

/// Lets a child live, to an end that it does not know of; gives what it said.
pub(crate) async fn live(child: &'static str, path: &Path, life: u64) -> Vec<Value> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", child, "--nocapture"])
            .env(STORE, format!("{}#{life}", path.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
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
            lines.lines().map_while(Result::ok).filter_map(said).collect::<Vec<_>>()
        });
        std::thread::sleep(Duration::from_millis(250 + (seed() + life) * 37 % 150));
        // On a slow machine it has done little by then.
        for _ in 0..300 {
            if heard.load(Ordering::Relaxed) >= ENOUGH || child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        reading.join().unwrap()
    })
    .await
    .unwrap()
}
