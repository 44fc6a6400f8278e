//! Items survive a process that is killed at any moment: what was acknowledged is there, each transaction is whole or absent, and the
//! events tell of each that took effect once, in an order that explains the items.

#![cfg(all(unix, feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, and a child that speaks to its parent")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bank_stores::conformance::items_model::ItemsModel;
use bank_stores::embedded::{SqliteItems, SqliteOptions};
use bank_stores::items::{Change, Condition, Key, Query, Settled, Transaction};
use bank_stores::outbox::{Edge, NewEvent, Position, ShardId};
use bank_stores::{Clock as _, Consistency, Items, ItemsExt, Outbox, PageRequest, SystemClock};

/// Where the child finds its store, and which life it is.
const STORE: &str = "BANK_STORES_HISTORY";
const LIVES: u64 = 12;
const TASKS: u64 = 4;
const SORTS: [&str; 3] = ["a", "b", "c"];

/// What a task of a life does in a step. It depends on nothing but what it read, which goes into the transaction's id.
fn transaction(name: &str, step: u64, seen: &[Option<u64>]) -> Transaction {
    let versions: Vec<String> = seen.iter().map(|seen| seen.unwrap_or(0).to_string()).collect();
    let id = format!("{name}.{step}/{}", versions.join("/"));
    let mut transaction = Transaction::new(&id).event(NewEvent::new(&id, "all", "x", serde_json::json!({})));
    for offset in 0..=step % 2 {
        let index = ((step + offset) % 3) as usize;
        let key = Key::new("p", SORTS[index]);
        let condition = seen[index].map_or(Condition::Absent, Condition::Version);
        let change = match step % 7 {
            3 => Change::delete(key),
            _ => Change::put_bytes(key, format!("{name}.{step}")),
        };
        transaction = transaction.change(change.when(condition));
    }
    transaction
}

/// The same from its id.
fn sent_as(id: &str) -> Transaction {
    let mut parts = id.split('/');
    let (name, step) = parts.next().unwrap().rsplit_once('.').unwrap();
    let seen: Vec<Option<u64>> =
        parts.map(|version| Some(version.parse().unwrap()).filter(|version| *version != 0)).collect();
    transaction(name, step.parse().unwrap(), &seen)
}

async fn work(items: &SqliteItems, name: String) {
    for step in 0.. {
        let mut seen = Vec::new();
        for sort in SORTS {
            let read = items.get(&Key::new("p", sort), Consistency::Current).await.unwrap();
            seen.push(read.map(|item| item.version));
        }
        let transaction = transaction(&name, step, &seen);
        println!("sent {}", transaction.id);
        let id = transaction.id.clone();
        match items.commit_one(transaction).await {
            Ok(done) => println!("done {id} {:?}", done.versions),
            Err(error) => println!("refused {id} {}", error.kind()),
        }
    }
}

/// What the other test starts and kills; alone it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_of_a_writer() {
    let Ok(asked) = std::env::var(STORE) else { return };
    // Whatever the harness had to say stands on a line of its own.
    println!();
    let (path, life) = asked.rsplit_once('#').unwrap();
    let items = SqliteItems::open(SqliteOptions::new(path)).await.unwrap();
    let task = |task: u64| work(&items, format!("{life}.{task}"));
    tokio::join!(task(0), task(1), task(2), task(3));
}

/// Lives one life, to an end that it does not know of; gives what was sent, and how it was answered.
fn live(path: &Path, life: u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_life_of_a_writer", "--nocapture"])
        .env(STORE, format!("{}#{life}", path.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    let reading = std::thread::spawn(move || lines.lines().map_while(Result::ok).collect::<Vec<_>>());
    std::thread::sleep(Duration::from_millis(250 + life * 37 % 150));
    child.kill().unwrap();
    child.wait().unwrap();
    reading.join().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_writer_leaves_what_it_acknowledged_and_no_half_of_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("items.db");
    let mut told: HashMap<String, String> = HashMap::new();
    let mut kept: Option<Position> = None;
    let mut followed = Vec::new();
    for life in 0..LIVES {
        let lines = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || live(&path, life)).await.unwrap()
        };
        for line in lines {
            // A line that was cut off by the end has no second word, or no known first one.
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("sent"), Some(id), None) if id.matches('/').count() == SORTS.len() => {
                    told.entry(id.to_owned()).or_default();
                }
                (Some(kind @ ("done" | "refused")), Some(id), Some(rest)) => {
                    told.insert(id.to_owned(), format!("{kind} {rest}"));
                }
                _ => {}
            }
        }
        // A consumer follows from life to life by the position that it kept.
        let items = SqliteItems::open(SqliteOptions::new(&path)).await.unwrap();
        let mut after = match kept {
            Some(kept) => kept,
            None => items.edge(ShardId::new(0), Edge::Oldest).await.unwrap(),
        };
        loop {
            let read = items.events(&after, 100, Duration::ZERO).await.unwrap();
            after = read.next;
            if read.events.is_empty() {
                break;
            }
            followed.extend(read.events.into_iter().map(|event| event.id));
        }
        kept = Some(after);
        items.close().await;
    }
    let items = SqliteItems::open(SqliteOptions::new(&path)).await.unwrap();
    let mut committed = HashMap::new();
    let mut acknowledged = 0;
    for (id, told) in &told {
        let settled = items.settle(&id.as_str().into()).await.unwrap();
        match (&settled, told.split_once(' ')) {
            (Settled::Committed(done), Some(("done", versions))) => {
                assert!(
                    format!("{:?}", done.versions).starts_with(versions),
                    "{id}: {done:?}, told {versions}"
                );
                acknowledged += 1;
            }
            (Settled::Committed(_), None) | (Settled::Never, None | Some(("refused", _))) => {}
            _ => panic!("{id} is {settled:?}, and was told {told:?}"),
        }
        if let Settled::Committed(done) = settled {
            committed.insert(id.clone(), done);
        }
    }
    assert!(acknowledged > LIVES * TASKS, "only {acknowledged} were acknowledged");
    let mut model = ItemsModel::default();
    for id in &followed {
        let done = committed.remove(id).unwrap_or_else(|| panic!("{id} has an event too many"));
        let transaction = sent_as(id);
        let now = SystemClock::new().now();
        assert_eq!(model.expect(&transaction, now), Ok(None), "{id} could not be committed there");
        model.commit(&transaction, &done);
    }
    assert!(committed.is_empty(), "these have no event: {:?}", committed.keys());
    let page = Query::partition("p").page(PageRequest::first(10));
    let found: Vec<_> = items.query(&page).await.unwrap().items;
    let found: Vec<_> =
        found.iter().map(|item| (item.key.clone(), item.version, item.value.clone())).collect();
    let expected: Vec<_> = model
        .items(SystemClock::new().now())
        .into_iter()
        .map(|(key, (value, version, _))| (key.clone(), *version, value.clone()))
        .collect();
    assert_eq!(found, expected);
}
