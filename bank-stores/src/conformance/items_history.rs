//! Random transactions on items, one after another and racing, against the model.

use std::collections::HashMap;
use std::time::Duration;

use super::items_model::ItemsModel;
use super::{Numbers, outbox, seed, together};
use crate::items::{Change, Condition, Key, Query, Settled, Transaction, WriteId};
use crate::outbox::NewEvent;
use crate::{Clock, Consistency, ErrorKind, Items, ItemsExt, PageRequest, SystemClock, Timestamp};

const PARTITION: &str = "p";
const SORTS: [&str; 4] = ["a", "b", "c", "d"];

/// A transaction on some of the keys; `seen` is what was read of each.
fn random(numbers: &mut Numbers, id: String, seen: &[Option<u64>]) -> Transaction {
    let mut transaction = Transaction::new(&id).event(NewEvent::new(&id, "all", "x", serde_json::json!(id)));
    let first = numbers.below(SORTS.len() as u64) as usize;
    for offset in 0..=numbers.below(2) as usize {
        let index = (first + offset) % SORTS.len();
        let key = Key::new(PARTITION, SORTS[index]);
        let condition = match numbers.below(5) {
            0 => Condition::Always,
            1 => Condition::Absent,
            2 => Condition::Exists,
            _ => seen[index].map_or(Condition::Absent, Condition::Version),
        };
        let change = match numbers.below(8) {
            0 => Change::check(key, condition),
            1 => Change::delete(key).when(condition),
            2 => Change::put_bytes(key, id.clone()).when(condition).expires_at(Timestamp::from_seconds(1)),
            _ => Change::put_bytes(key, id.clone()).when(condition),
        };
        transaction = transaction.change(change);
    }
    transaction
}

async fn seen(items: &dyn Items) -> Vec<Option<u64>> {
    let mut seen = Vec::new();
    for sort in SORTS {
        let read = items.get(&Key::new(PARTITION, sort), Consistency::Current).await;
        seen.push(read.expect("it is read").map(|item| item.version));
    }
    seen
}

async fn check_end(items: &dyn Items, model: &ItemsModel, told: &str) {
    let (mut found, mut query) = (Vec::new(), Query::partition(PARTITION));
    loop {
        let page = items.query(&query).await.expect("it is queried");
        found.extend(
            page.items.into_iter().map(|item| (item.key, (item.value, item.version, item.expires_at))),
        );
        match page.next {
            Some(next) => query.page = PageRequest::first(100).after(next),
            None => break,
        }
    }
    let expected = model.items(SystemClock::new().now());
    let expected: Vec<_> = expected.into_iter().map(|(key, held)| (key.clone(), held.clone())).collect();
    assert_eq!(found, expected, "{told}");
}

/// Whatever is sent, one after another, ends as the model says: outcomes, what is read, and events.
pub async fn random_transactions_match_the_model(items: &dyn Items) {
    let seed = seed();
    let mut numbers = Numbers::new(seed);
    let mut model = ItemsModel::default();
    let (mut sent, mut events): (Vec<Transaction>, Vec<String>) = (Vec::new(), Vec::new());
    for step in 0..400 {
        let told = format!("step {step} of seed {seed}");
        let transaction = match numbers.below(10) {
            0 if !sent.is_empty() => sent[numbers.below(sent.len() as u64) as usize].clone(),
            1 if !sent.is_empty() => {
                let id = sent[numbers.below(sent.len() as u64) as usize].id.to_string();
                random(&mut numbers, id, &[None; 4])
            }
            2 => {
                let id: WriteId = format!("w{}", numbers.below(400)).into();
                assert_eq!(items.settle(&id).await.expect("it is settled"), model.settle(&id), "{told}");
                continue;
            }
            _ => random(&mut numbers, format!("w{step}"), &seen(items).await),
        };
        let expected = model.expect(&transaction, SystemClock::new().now());
        match (items.commit_one(transaction.clone()).await, expected) {
            (Ok(replay), Ok(Some(first))) => assert_eq!(replay, first, "{told}"),
            (Ok(committed), Ok(None)) => {
                assert!(!committed.replayed, "{told}");
                model.commit(&transaction, &committed);
                events.push(transaction.id.to_string());
            }
            (Err(error), Err(refusal)) => assert_eq!((error.kind(), error.change()), refusal, "{told}"),
            (outcome, expected) => panic!("{told}: {transaction:?} gave {outcome:?}, expected {expected:?}"),
        }
        sent.push(transaction);
    }
    check_end(items, &model, &format!("the end of seed {seed}")).await;
    let found: Vec<String> = outbox::all(items).await.into_iter().map(|event| event.id).collect();
    assert_eq!(found, events, "the events of seed {seed}");
}

/// Racing callers, some of whom are gone before they are answered: afterwards each transaction is settled, and those that took
/// effect, replayed through the model in the order of their events, hold their conditions and give the items as they are.
pub async fn a_history_of_racers_replays_through_the_model(items: &dyn Items) {
    let seed = seed();
    let racer = |racer: u64| async move {
        let mut numbers = Numbers::new(seed.wrapping_add(racer.wrapping_mul(7_919)));
        let mut sent = Vec::new();
        for step in 0..25 {
            let transaction = random(&mut numbers, format!("{racer}.{step}"), &seen(items).await);
            let call = items.commit_one(transaction.clone());
            let outcome = match numbers.below(4) {
                0 => tokio::time::timeout(Duration::from_micros(numbers.below(1_500)), call).await.ok(),
                _ => Some(call.await),
            };
            if let Some(Err(error)) = &outcome {
                assert!(matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists), "{error:?}");
            }
            sent.push((transaction, outcome));
        }
        sent
    };
    let sent: Vec<_> = together((0..6).map(racer)).await.into_iter().flatten().collect();
    let mut committed = HashMap::new();
    for (transaction, outcome) in sent {
        let id = transaction.id.to_string();
        match (items.settle(&transaction.id).await.expect("it is settled"), outcome) {
            (Settled::Committed(done), None) => drop(committed.insert(id, (transaction, done))),
            (Settled::Committed(done), Some(Ok(told))) if done == told => {
                committed.insert(id, (transaction, done));
            }
            (Settled::Never, None | Some(Err(_))) => {}
            (settled, told) => panic!("{id} of seed {seed} is {settled:?}, and was told {told:?}"),
        }
    }
    let mut model = ItemsModel::default();
    for event in outbox::all(items).await {
        let found = committed.remove(&event.id);
        let (transaction, done) =
            found.unwrap_or_else(|| panic!("{} of seed {seed} has an event too many", event.id));
        let expected = model.expect(&transaction, SystemClock::new().now());
        assert_eq!(expected, Ok(None), "{transaction:?} of seed {seed} could not be committed there");
        model.commit(&transaction, &done);
    }
    assert!(committed.is_empty(), "transactions of seed {seed} have no event: {committed:?}");
    check_end(items, &model, &format!("the end of seed {seed}")).await;
}
