//! Items and their outbox: what was acknowledged is there, each transaction is whole or absent, and the events tell of each that took
//! effect once, in an order that explains the items. Consumers lose nothing, whoever forgets events beside them.

use std::collections::HashMap;
use std::time::Duration;

use bank_stores::conformance::items_model::ItemsModel;
use bank_stores::conformance::seed;
use bank_stores::embedded::{SqliteItems, SqliteOptions};
use bank_stores::items::{Change, Committed, Condition, Key, Query, Settled, Transaction};
use bank_stores::outbox::{Edge, NewEvent, ShardId};
use bank_stores::{Clock as _, Consistency, Items, ItemsExt, Outbox, PageRequest, SystemClock, Timestamp};
use serde_json::json;

use crate::lives::{LIVES, TASKS, Task, live, say, work};

const SORTS: [&str; 3] = ["a", "b", "c"];
const SHARD: ShardId = ShardId::new(0);
/// The consumers: one in the children, and the parent, which keeps what it has not read from being forgotten.
const FOLLOWER: &str = "follower";
const JUDGE: &str = "judge";

/// What a task does in a step. It depends on nothing but what it read, which goes into the transaction's id.
fn transaction(name: &str, step: u64, seen: &[Option<u64>]) -> Transaction {
    let versions: Vec<String> = seen.iter().map(|seen| seen.unwrap_or(0).to_string()).collect();
    let id = format!("{name}.{step}/{}", versions.join("/"));
    let mut transaction = Transaction::new(&id).event(NewEvent::new(&id, "all", "x", json!({})));
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

async fn write(items: &SqliteItems, mut task: Task) {
    loop {
        let mut seen = Vec::new();
        for sort in SORTS {
            let read = items.get(&Key::new("p", sort), Consistency::Current).await.unwrap();
            seen.push(read.map(|item| item.version));
        }
        // Its name is another one each time: it is one of so many.
        let transaction = transaction(&task.name, task.numbers.below(1 << 40), &seen);
        let id = transaction.id.clone();
        say(&json!({ "sent": id.as_str() }));
        match items.commit_one(transaction).await {
            Ok(done) => say(&json!({ "done": id.as_str(), "versions": done.versions })),
            Err(error) => say(&json!({ "refused": id.as_str(), "kind": error.kind().as_str() })),
        }
    }
}

/// Takes events from the position that is kept in the store, and forgets all that every consumer has taken.
async fn follow(items: &SqliteItems, mut task: Task) {
    let mut after = match items.positions(FOLLOWER).await.unwrap().first() {
        Some(kept) => *kept,
        None => items.edge(SHARD, Edge::Oldest).await.unwrap(),
    };
    loop {
        let read = items.events(&after, 20, Duration::from_secs(1)).await.unwrap();
        let ids: Vec<&str> = read.events.iter().map(|event| event.id.as_str()).collect();
        say(&json!({ "taken": ids, "after": after.number() }));
        after = read.next;
        items.consumed(FOLLOWER, &after).await.unwrap();
        say(&json!({ "consumed": after.number() }));
        if task.numbers.below(4) == 0 {
            items.forget_events(Timestamp::from_micros(i64::MAX)).await.unwrap();
        }
    }
}

/// What the other test starts and kills; alone it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_of_items() {
    let open = async |path| std::sync::Arc::new(SqliteItems::open(SqliteOptions::new(path)).await.unwrap());
    work(open, |items, task| async move {
        if task.name.ends_with(".0") { follow(&items, task).await } else { write(&items, task).await }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_writer_leaves_what_it_acknowledged_and_no_half_of_the_rest() {
    let seed = seed();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("items.db");
    let open = async || SqliteItems::open(SqliteOptions::new(&path)).await.unwrap();
    let items = open().await;
    let oldest = items.edge(SHARD, Edge::Oldest).await.unwrap();
    items.consumed(JUDGE, &oldest).await.unwrap();
    items.close().await;

    let mut told: HashMap<String, Option<serde_json::Value>> = HashMap::new();
    let mut followed: Vec<String> = Vec::new();
    for life in 0..LIVES {
        let (mut taken, mut consumed) = (Vec::new(), 0);
        for line in live("items::a_life_of_items", &path, life).await {
            let text = |name: &str| line[name].as_str().map(str::to_owned);
            if let Some(id) = text("sent") {
                told.entry(id).or_default();
            } else if let Some(id) = text("done").or_else(|| text("refused")) {
                told.insert(id, Some(line));
            } else if let Some(number) = line["consumed"].as_u64() {
                consumed = number;
            } else {
                taken.push(line);
            }
        }
        // The judge follows from life to life by the position that it kept.
        let items = open().await;
        let mut after = items.positions(JUDGE).await.unwrap()[0];
        loop {
            let read = items.events(&after, 100, Duration::ZERO).await.unwrap();
            after = read.next;
            if read.events.is_empty() {
                break;
            }
            followed.extend(read.events.into_iter().map(|event| event.id));
        }
        items.consumed(JUDGE, &after).await.unwrap();
        let kept = items.positions(FOLLOWER).await.unwrap().first().map_or(0, |kept| kept.number());
        assert!(kept >= consumed, "{consumed} was kept and is {kept} after life {life} of seed {seed}");
        for line in taken {
            let after = line["after"].as_u64().unwrap() as usize;
            let ids: Vec<&str> =
                line["taken"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
            assert_eq!(
                followed[after..after + ids.len()],
                ids,
                "a follower of seed {seed} saw another order"
            );
        }
        items.close().await;
    }
    let items = open().await;
    let mut committed: HashMap<String, Committed> = HashMap::new();
    let mut acknowledged = 0;
    for (id, told) in &told {
        let settled = items.settle(&id.as_str().into()).await.unwrap();
        match (&settled, told.as_ref().map(|line| &line["versions"])) {
            (Settled::Committed(done), Some(versions)) if *versions == json!(done.versions) => {
                acknowledged += 1;
            }
            (Settled::Committed(_), None) | (Settled::Never, None) => {}
            (Settled::Never, Some(versions)) if versions.is_null() => {}
            _ => panic!("{id} of seed {seed} is {settled:?}, and was told {told:?}"),
        }
        if let Settled::Committed(done) = settled {
            committed.insert(id.clone(), done);
        }
    }
    assert!(acknowledged > LIVES * TASKS, "only {acknowledged} were acknowledged");
    let mut model = ItemsModel::default();
    for id in &followed {
        let done =
            committed.remove(id).unwrap_or_else(|| panic!("{id} of seed {seed} has an event too many"));
        let transaction = sent_as(id);
        let now = SystemClock::new().now();
        let expected = model.expect(&transaction, now);
        assert_eq!(expected, Ok(None), "{id} of seed {seed} could not be committed there");
        model.commit(&transaction, &done);
    }
    assert!(committed.is_empty(), "these of seed {seed} have no event: {:?}", committed.keys());
    let page = Query::partition("p").page(PageRequest::first(10));
    let found: Vec<_> = items.query(&page).await.unwrap().items;
    let found: Vec<_> =
        found.iter().map(|item| (item.key.clone(), item.version, item.value.clone())).collect();
    let expected: Vec<_> = model
        .items(SystemClock::new().now())
        .into_iter()
        .map(|(key, (value, version, _))| (key.clone(), *version, value.clone()))
        .collect();
    assert_eq!(found, expected, "the end of seed {seed}");
}
