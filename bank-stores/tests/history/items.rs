//! Items and their outbox: what was acknowledged is there, each transaction is whole or absent, and the events tell of each that took
//! effect once, in an order that explains the items. Consumers lose nothing, whoever forgets events beside them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bank_stores::conformance::items_model::ItemsModel;
use bank_stores::items::{Change, Committed, Condition, Key, Query, Settled, Transaction, WriteId};
use bank_stores::outbox::{Edge, NewEvent, Position, ShardId};
use bank_stores::{
    Clock as _, Consistency, ErrorKind, Items, ItemsExt as _, Outbox as _, PageRequest, SystemClock,
    Timestamp,
};
use serde_json::{Value, json};

use crate::lives::{Engine, History, TASKS, Task, is_away, opened, pause, say, work};

const SORTS: [&str; 3] = ["a", "b", "c"];
/// All events are in one stream, so that their order has to explain all items.
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

async fn write<E: Engine<Store: Items>>(items: &E::Store, mut task: Task) {
    let keys = SORTS.map(|sort| Key::new("p", sort));
    loop {
        let mut seen = Vec::new();
        for key in &keys {
            let read = E::answer(|| items.get(key, Consistency::Current)).await;
            seen.push(read.map(|item| item.version));
        }
        // Its name is another one each time: it is one of so many.
        let transaction = transaction(&task.name, task.numbers.below(1 << 40), &seen);
        let id = transaction.id.clone();
        say(&json!({ "sent": id.as_str() }));
        let call = items.commit_one(transaction);
        // Now and then the answer gets lost: the parent looks the id up.
        let answer = match task.numbers.below(6) {
            0 => tokio::time::timeout(Duration::from_micros(task.numbers.below(2_000)), call).await.ok(),
            _ => Some(call.await),
        };
        let Some(answer) = answer else {
            say(&json!({ "lost": id.as_str() }));
            continue;
        };
        match answer {
            Ok(done) => say(&json!({ "done": id.as_str(), "versions": done.versions })),
            Err(error) => {
                // Where the answer got lost, the parent looks the id up.
                let name = if error.kind() == ErrorKind::Indeterminate { "lost" } else { "refused" };
                say(&json!({ name: id.as_str(), "kind": error.kind().as_str() }));
                if is_away(&error) {
                    pause().await;
                }
            }
        }
    }
}

/// Takes events from the position that is kept in the store, and forgets all that every consumer has taken.
async fn follow<E: Engine<Store: Items>>(items: &E::Store, mut task: Task) {
    let mut after = match E::answer(|| items.positions(FOLLOWER)).await.first() {
        Some(kept) => *kept,
        None => E::answer(|| items.edge(SHARD, Edge::Oldest)).await,
    };
    loop {
        let read = E::answer(|| items.events(&after, 20, Duration::from_secs(1))).await;
        let ids: Vec<&str> = read.events.iter().map(|event| event.id.as_str()).collect();
        say(&json!({ "taken": ids }));
        after = read.next;
        E::answer(|| items.consumed(FOLLOWER, &after)).await;
        say(&json!({ "consumed": after.number() }));
        if task.numbers.below(4) == 0 {
            E::answer(|| items.forget_events(Timestamp::from_micros(i64::MAX))).await;
        }
    }
}

/// In a child.
pub(crate) async fn live_on<E: Engine<Store: Items>>() {
    let open = async |place: String| opened::<E>(&place).await;
    work(open, |items: Arc<E::Store>, task| async move {
        if task.name.ends_with(".0") {
            follow::<E>(&items, task).await;
        } else {
            write::<E>(&items, task).await;
        }
    })
    .await;
}

/// What a history has told so far.
#[derive(Debug, Default)]
struct Told {
    /// How each transaction was answered, if it was.
    answers: HashMap<String, Option<Value>>,
    /// The ids of the events, in their order.
    followed: Vec<String>,
    /// So many of them have been taken by the consumer in the children.
    taken: usize,
    /// The number of the newest position that it has kept.
    consumed: u64,
}

impl Told {
    /// Takes in what a child has said; gives the events that its consumer has taken.
    fn include(&mut self, lines: Vec<Value>) -> Vec<String> {
        let mut taken = Vec::new();
        for line in lines {
            let text = |name: &str| line[name].as_str().map(str::to_owned);
            if let Some(id) = text("sent").or_else(|| text("lost")) {
                self.answers.entry(id).or_default();
            } else if let Some(id) = text("done").or_else(|| text("refused")) {
                self.answers.insert(id, Some(line));
            } else if let Some(number) = line["consumed"].as_u64() {
                self.consumed = number;
            } else {
                let ids = line["taken"].as_array().unwrap();
                taken.extend(ids.iter().map(|id| id.as_str().unwrap().to_owned()));
            }
        }
        taken
    }

    /// Reads on from `after` to the newest event; gives the position behind it.
    async fn follow<E: Engine<Store: Items>>(&mut self, items: &E::Store, mut after: Position) -> Position {
        loop {
            let read = E::answer(|| items.events(&after, 100, Duration::ZERO)).await;
            after = read.next;
            if read.events.is_empty() {
                return after;
            }
            self.followed.extend(read.events.into_iter().map(|event| event.id));
        }
    }

    /// What a life's consumer has taken stands together among all events, and begins where it was before or earlier.
    fn check_taken(&mut self, taken: &[String]) {
        let Some(first) = taken.first() else { return };
        let start = self.followed.iter().position(|id| id == first);
        let start = start.unwrap_or_else(|| panic!("{first} was taken by the follower, and by nobody else"));
        assert!(
            start <= self.taken,
            "the follower was never told of {:?}",
            &self.followed[self.taken..start]
        );
        let end = start + taken.len();
        assert_eq!(self.followed.get(start..end), Some(taken), "the follower saw another order");
        self.taken = self.taken.max(end);
    }

    /// Settles each transaction: what was answered holds. Gives those that took effect, and how many were acknowledged.
    async fn settle<E: Engine<Store: Items>>(&self, items: &E::Store) -> (HashMap<String, Committed>, u64) {
        let (mut committed, mut acknowledged) = (HashMap::new(), 0);
        for (id, told) in &self.answers {
            let write = WriteId::from(id);
            let settled = E::answer(|| items.settle(&write)).await;
            match (&settled, told.as_ref().map(|line| &line["versions"])) {
                (Settled::Committed(done), Some(versions)) if *versions == json!(done.versions) => {
                    acknowledged += 1;
                }
                (Settled::Committed(_), None) | (Settled::Never, None) => {}
                (Settled::Never, Some(versions)) if versions.is_null() => {}
                _ => panic!("{id} is {settled:?}, and was told {told:?}"),
            }
            if let Settled::Committed(done) = settled {
                committed.insert(id.clone(), done);
            }
        }
        (committed, acknowledged)
    }
}

/// In the parent: lets children live, and judges what they said.
pub(crate) async fn judge<E: Engine<Store: Items>>(history: &History, child: &'static str) {
    println!("seed {}", history.seed);
    let items = opened::<E>(&history.place).await;
    let oldest = E::answer(|| items.edge(SHARD, Edge::Oldest)).await;
    E::answer(|| items.consumed(JUDGE, &oldest)).await;
    E::close(&items).await;

    let mut told = Told::default();
    for life in 0..history.lives {
        let taken = told.include(history.live(child, life).await);
        // The judge follows from life to life by the position that it kept.
        let items = opened::<E>(&history.place).await;
        let after = E::answer(|| items.positions(JUDGE)).await[0];
        let after = told.follow::<E>(&items, after).await;
        E::answer(|| items.consumed(JUDGE, &after)).await;
        let kept = E::answer(|| items.positions(FOLLOWER)).await.first().map_or(0, |kept| kept.number());
        assert!(kept >= told.consumed, "{} was kept and is {kept} after life {life}", told.consumed);
        told.check_taken(&taken);
        E::close(&items).await;
    }
    let items = opened::<E>(&history.place).await;
    // From here on nothing takes effect that a killed child has sent: each id has its outcome.
    let (mut committed, acknowledged) = told.settle::<E>(&items).await;
    assert!(acknowledged > history.lives * TASKS, "only {acknowledged} were acknowledged");
    assert!(told.taken > 0, "the follower was told nothing");
    let after = E::answer(|| items.positions(JUDGE)).await[0];
    told.follow::<E>(&items, after).await;

    let mut model = ItemsModel::default();
    for id in &told.followed {
        let done = committed.remove(id).unwrap_or_else(|| panic!("{id} has an event too many"));
        let transaction = sent_as(id);
        let expected = model.expect(&transaction, SystemClock::new().now());
        assert_eq!(expected, Ok(None), "{id} could not be committed there");
        model.commit(&transaction, &done);
    }
    assert!(committed.is_empty(), "these have no event: {:?}", committed.keys());
    let page = Query::partition("p").page(PageRequest::first(10));
    let found = E::answer(|| items.query(&page)).await.items;
    let found: Vec<_> =
        found.iter().map(|item| (item.key.clone(), item.version, item.value.clone())).collect();
    let expected: Vec<_> = model
        .items(SystemClock::new().now())
        .into_iter()
        .map(|(key, (value, version, _))| (key.clone(), *version, value.clone()))
        .collect();
    assert_eq!(found, expected, "the end");
    E::close(&items).await;
}
