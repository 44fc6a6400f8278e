//! Writers that vanish, race and are late, beside readers, look-ups, and those who forget.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bank_stores::conformance::{Numbers, seed};
use bank_stores::dynamodb::{DynamoItems, DynamoOptions};
use bank_stores::items::{Change, Condition, Key, Settled, Transaction, WriteId};
use bank_stores::outbox::{Edge, Event, NewEvent, ShardId};
use bank_stores::{Consistency, ErrorKind, Items, ItemsExt, Outbox, Timestamp};
use serde_json::json;
use tokio::time::Instant;

use crate::server::{fresh, shared};
use crate::{SHARD, commit, commit_unless_refused, events_behind, ids, named, refusal, transaction};

const NOW: Consistency = Consistency::Current;
/// How often readers look.
const OFTEN: Duration = Duration::from_millis(20);

async fn open(options: &DynamoOptions) -> Arc<DynamoItems> {
    Arc::new(DynamoItems::open(options.clone()).await.unwrap())
}

/// Takes the events of a shard, until it is over and there are no more.
async fn read(items: Arc<DynamoItems>, shard: ShardId, is_over: Arc<AtomicBool>) -> Vec<Event> {
    let mut after = items.edge(shard, Edge::Oldest).await.unwrap();
    let mut events = Vec::new();
    loop {
        let was_over = is_over.load(Ordering::SeqCst);
        let read = items.events(&after, 7, 10 * OFTEN).await.unwrap();
        after = read.next;
        if was_over && read.events.is_empty() {
            return events;
        }
        events.extend(read.events);
    }
}

/// Counts on in the stream, if nobody else does meanwhile; or says in any case that it was here. The event tells which.
async fn step(items: &DynamoItems, id: &str, stream: &str, counts: bool) -> Transaction {
    let (change, event) = if counts {
        let key = Key::new("count", stream);
        let found = items.get(&key, NOW).await.unwrap();
        let count = found.as_ref().map_or(0, |item| item.json::<u64>().unwrap()) + 1;
        let condition = found.map_or(Condition::Absent, |item| Condition::Version(item.version));
        (Change::put(key, &count).unwrap().when(condition), NewEvent::new(id, stream, "count", json!(count)))
    } else {
        let change = Change::put(Key::new("last", stream), id).unwrap();
        (change, NewEvent::new(id, stream, "last", json!(id)))
    };
    Transaction::new(id).change(change).event(event)
}

/// Writes some transactions, of which some are given up on their way; gives their ids and whether they were told to have happened.
async fn write(items: Arc<DynamoItems>, writer: u64) -> Vec<(String, Option<bool>)> {
    let mut numbers = Numbers::new(seed().wrapping_add((writer + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let mut sent = Vec::new();
    for round in 0..20 {
        let (id, stream) = (format!("{writer}.{round}"), format!("s{}", numbers.below(6)));
        let call = items.commit_one(step(&items, &id, &stream, numbers.below(2) == 0).await);
        let answer = match numbers.below(3) {
            0 => tokio::time::timeout(Duration::from_micros(numbers.below(12_000)), call).await.ok(),
            _ => Some(call.await),
        };
        let happened = answer.map(|answer| match answer {
            Ok(_) => true,
            Err(error) => {
                let kind = error.kind();
                let refused = [ErrorKind::Conflict, ErrorKind::AlreadyExists, ErrorKind::Unavailable];
                assert!(refused.contains(&kind), "{error:?}");
                false
            }
        });
        sent.push((id, happened));
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_vanish_take_no_event_with_them_and_hold_up_no_reader_for_long() {
    let Some(port) = shared() else { return };
    let options = fresh(port).shards(2).unwrap().patience(Duration::from_millis(50)).poll(OFTEN);
    let items = open(&options).await;
    let shards = items.shards().await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..2 {
        let reader = open(&options).await;
        readers
            .extend(shards.iter().map(|shard| tokio::spawn(read(reader.clone(), *shard, is_over.clone()))));
    }
    let writers: Vec<_> = (0..12).map(|writer| tokio::spawn(write(items.clone(), writer))).collect();
    let mut committed = BTreeSet::new();
    let mut vanished = 0;
    for writer in writers {
        for (id, told) in writer.await.unwrap() {
            let settled = items.settle(&WriteId::from(&id)).await.unwrap();
            let happened = matches!(settled, Settled::Committed(_));
            assert!(told.is_none_or(|told| told == happened), "{id} was told {told:?} and is {settled:?}");
            vanished += usize::from(told.is_none() && !happened);
            if happened {
                committed.insert(id);
            }
        }
    }
    assert!(vanished > 0 && committed.len() > 50, "{vanished} vanished, {} committed", committed.len());
    is_over.store(true, Ordering::SeqCst);
    let mut read = Vec::new();
    for reader in readers {
        read.push(reader.await.unwrap());
    }
    let (one, other) = read.split_at(shards.len());
    assert_eq!(one, other, "two readers, one order");
    let ids: Vec<String> = one.iter().flatten().map(|event| event.id.clone()).collect();
    let different: BTreeSet<String> = ids.iter().cloned().collect();
    assert_eq!((ids.len(), &different), (committed.len(), &committed), "each event once, and no other");

    let mut counts: HashMap<&str, u64> = HashMap::new();
    let mut last: HashMap<&str, &str> = HashMap::new();
    for event in one.iter().flatten() {
        let stream = event.stream.as_str();
        if event.topic == "count" {
            let count = counts.entry(stream).or_default();
            *count += 1;
            assert_eq!(event.payload, json!(*count), "{stream} is out of order");
        } else {
            last.insert(stream, &event.id);
        }
    }
    for (stream, count) in counts {
        let (kept, _): (u64, u64) = items.get_json(&Key::new("count", stream), NOW).await.unwrap().unwrap();
        assert_eq!(kept, count, "{stream}");
    }
    for (stream, id) in last {
        let (kept, _): (String, u64) = items.get_json(&Key::new("last", stream), NOW).await.unwrap().unwrap();
        assert_eq!(kept, id, "the last event of {stream} tells of its last write");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_settled_is_what_its_writers_are_told() {
    let Some(port) = shared() else { return };
    let options = fresh(port).shards(1).unwrap();
    let (one, other) = (open(&options).await, open(&options).await);
    // By so many milliseconds the look-ups are behind the writers, or before them: around where both outcomes are found.
    let mut lead = 0_i32;
    let (mut committed, mut never) = (Vec::new(), 0);
    for round in 0..200 {
        let id = WriteId::from(format!("w{round}"));
        let pause =
            |millis: i32| tokio::time::sleep(Duration::from_millis(millis.max(0).unsigned_abs().into()));
        let write = async |items: &DynamoItems| {
            pause(-lead).await;
            commit_unless_refused(items, transaction(id.as_str())).await
        };
        let look = async |items: &DynamoItems| {
            pause(lead).await;
            items.settle(&id).await.unwrap()
        };
        let (first, second, settled, again) =
            tokio::join!(write(&one), write(&other), look(&one), look(&other));
        assert_eq!(settled, again, "round {round}");
        match settled {
            Settled::Committed(done) => {
                let (first, second) = (first.unwrap(), second.unwrap());
                assert_eq!((&first.versions, &second.versions), (&done.versions, &done.versions));
                assert!(first.replayed != second.replayed, "one of them did it in round {round}");
                committed.push(id.to_string());
                lead -= 1;
            }
            Settled::Never => {
                for late in [first, second] {
                    assert_eq!(refusal(late), named(ErrorKind::Rejected, "id"), "round {round}");
                }
                assert_eq!(one.committed(&id).await.unwrap(), None);
                never += 1;
                lead += 1;
            }
        }
    }
    assert!(never > 5 && committed.len() > 5, "{never} never, {} committed", committed.len());
    assert_eq!(ids(&other).await, committed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_stream_takes_all_its_writers_in_the_order_of_their_commits() {
    let Some(port) = shared() else { return };
    let options = fresh(port).shards(1).unwrap().deadline(Duration::from_secs(120));
    let items = open(&options).await;
    let writer = |number: usize| {
        let items = items.clone();
        async move {
            let id = number.to_string();
            let hot = Change::put(Key::new("hot", "item"), &id).unwrap();
            let start = Instant::now();
            commit(&items, transaction(&id).change(hot)).await;
            (id, start, Instant::now())
        }
    };
    let writers: Vec<_> = (0..300).map(|number| tokio::spawn(writer(number))).collect();
    let mut times = HashMap::new();
    for writer in writers {
        let (id, start, end) = writer.await.unwrap();
        times.insert(id, (start, end));
    }
    let told = ids(&items).await;
    let different: BTreeSet<&str> = told.iter().map(String::as_str).collect();
    assert_eq!((told.len(), different.len()), (300, 300));
    // What began when another one had ended stands behind it.
    let mut latest_start: Option<Instant> = None;
    for id in &told {
        let (start, end) = times[id];
        assert!(latest_start.is_none_or(|latest| end >= latest), "{id} stands behind what began after it");
        latest_start = latest_start.max(Some(start));
    }
    let (last, _): (String, u64) = items.get_json(&Key::new("hot", "item"), NOW).await.unwrap().unwrap();
    assert_eq!(told.last(), Some(&last), "the last event tells of the last write");
}

/// Takes so many events in portions, and keeps the position behind each.
async fn consume(items: Arc<DynamoItems>, consumer: &'static str, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let after = items.positions(consumer).await.unwrap()[0];
        let read = items.events(&after, 10, Duration::from_secs(1)).await.unwrap();
        ids.extend(read.events.into_iter().map(|event| event.id));
        items.consumed(consumer, &read.next).await.unwrap();
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_forgotten_beside_readers_and_kept_positions_hold() {
    let Some(port) = shared() else { return };
    // A slot that was taken away is kept for an hour, and what is behind it: here none is.
    let options = fresh(port).shards(1).unwrap().poll(OFTEN).patience(Duration::from_secs(60));
    let items = open(&options).await;
    let start = items.edge(SHARD, Edge::Oldest).await.unwrap();
    let mut readers = Vec::new();
    for consumer in ["one", "other"] {
        let reader = open(&options).await;
        reader.consumed(consumer, &start).await.unwrap();
        readers.push(tokio::spawn(consume(reader, consumer, 150)));
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let (forgetter, over) = (open(&options).await, is_over.clone());
    let forgetting = tokio::spawn(async move {
        let mut forgotten = 0;
        while !over.load(Ordering::SeqCst) {
            forgotten += forgetter.forget_events(Timestamp::from_micros(i64::MAX)).await.unwrap();
        }
        forgotten
    });
    let writers = ["a", "b", "c"].map(|writer| {
        let items = items.clone();
        tokio::spawn(async move {
            for round in 0..50 {
                let id = format!("{writer}{round}");
                // Each in a stream of its own, so that none comes late.
                let event = NewEvent::new(&id, writer, "put", serde_json::json!({}));
                let put = Change::put_bytes(Key::new("p", &id), id.clone());
                commit(&items, Transaction::new(&id).change(put).event(event)).await;
            }
        })
    });
    for writer in writers {
        writer.await.unwrap();
    }
    let mut read = Vec::new();
    for reader in readers {
        read.push(reader.await.unwrap());
    }
    is_over.store(true, Ordering::SeqCst);
    let forgotten = forgetting.await.unwrap();
    assert_eq!(read[0], read[1]);
    let different: BTreeSet<&str> = read[0].iter().map(String::as_str).collect();
    assert_eq!((read[0].len(), different.len()), (150, 150));
    assert!(forgotten > 0, "nothing was forgotten beside the readers");
    // What is kept is good for more; where the readers began is forgotten.
    assert_eq!(refusal(items.events(&start, 10, Duration::ZERO).await), named(ErrorKind::Rejected, "after"));
    items.commit_one(transaction("more")).await.unwrap();
    for consumer in ["one", "other"] {
        let kept = items.positions(consumer).await.unwrap()[0];
        let (events, next) = events_behind(&items, kept).await;
        assert_eq!(events.iter().map(|event| &*event.id).collect::<Vec<_>>(), ["more"]);
        items.consumed(consumer, &next).await.unwrap();
    }
}
