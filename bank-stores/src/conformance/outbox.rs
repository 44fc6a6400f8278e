//! What the [`Outbox`](crate::Outbox) of a store of [`Items`] promises.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::json;

use super::together;
use crate::items::{Change, Condition, Key, Transaction};
use crate::outbox::{Edge, Event, Events, NewEvent, Position, ShardId};
use crate::{Consistency, ErrorKind, Items, ItemsExt, Result, Timestamp};

const NOTHING: Duration = Duration::ZERO;

fn put(sort: &str, value: impl Into<String>) -> Change {
    Change::put_bytes(Key::new("p", sort), value.into())
}

fn told(id: impl Into<String>, stream: &str) -> NewEvent {
    NewEvent::new(id, stream, "x", json!({}))
}

async fn write(items: &dyn Items, id: &str, stream: &str) {
    let transaction = Transaction::new(id).change(put(id, "x")).event(told(id, stream));
    items.commit_one(transaction).await.expect("it happens");
}

async fn read(items: &dyn Items, after: Position, limit: u32) -> Events {
    items.events(&after, limit, NOTHING).await.expect("events are read")
}

/// All events of a shard behind a position, read by so many at once, and the position behind them.
async fn all_behind(items: &dyn Items, mut after: Position, limit: u32) -> (Vec<Event>, Position) {
    let mut events = Vec::new();
    loop {
        let read = read(items, after, limit).await;
        after = read.next;
        if read.events.is_empty() {
            return (events, after);
        }
        events.extend(read.events);
    }
}

pub(super) async fn starts(items: &dyn Items) -> Vec<Position> {
    let mut starts = Vec::new();
    for shard in items.shards().await.expect("they are told") {
        starts.push(items.edge(shard, Edge::Oldest).await.expect("it is told"));
    }
    starts
}

/// All events that the store has, shard after shard.
pub(super) async fn all(items: &dyn Items) -> Vec<Event> {
    let mut events = Vec::new();
    for start in starts(items).await {
        events.extend(all_behind(items, start, 100).await.0);
    }
    events
}

fn refusal<T: std::fmt::Debug>(result: Result<T>) -> (ErrorKind, Option<String>) {
    let error = result.expect_err("it has to be refused");
    (error.kind(), error.field().map(str::to_owned))
}

fn rejected(field: &str) -> (ErrorKind, Option<String>) {
    (ErrorKind::Rejected, Some(field.to_owned()))
}

/// An event comes as it was told; those of one transaction and stream stand together, in the order given.
pub async fn an_event_comes_as_it_was_told(items: &dyn Items) {
    let payload = json!({"text": "ä\"", "list": [1, null], "big": 9_007_199_254_740_993_i64});
    let told = [
        NewEvent::new("1.a", "ann", "first", payload),
        NewEvent::new("1.b", "ann", "second", json!("text")),
        NewEvent::new("1.c", "ann", "first", json!(null)),
    ];
    let transaction =
        told.iter().cloned().fold(Transaction::new("w").change(put("k", "x")), Transaction::event);
    items.commit_one(transaction).await.expect("it happens");
    let events = all(items).await;
    let without_place =
        |event: &Event| NewEvent::new(&event.id, event.stream.clone(), &event.topic, event.payload.clone());
    assert_eq!(events.iter().map(without_place).collect::<Vec<_>>(), told);
    assert!(events.windows(2).all(|pair| pair[0].position < pair[1].position));
}

/// Whatever races, the events of a stream stand in the order in which their causes took effect, none is missing and none comes
/// twice; what was refused has none. Each shard is the same for every reader, each time, in pages of any size.
pub async fn events_of_a_stream_keep_their_commit_order(items: &dyn Items) {
    let streams = ["ann", "bob", "cat", "dan"];
    let racer = |racer: usize| async move {
        let mut done = Vec::new();
        for round in 0..12 {
            let stream = streams[(racer + round) % streams.len()];
            let key = Key::new("counter", stream);
            let found = items.get(&key, Consistency::Current).await.expect("it is read");
            let count: u32 = found.as_ref().map_or(0, |item| item.json().expect("it is a number"));
            let condition = found.map_or(Condition::Absent, |item| Condition::Version(item.version));
            let id = format!("{racer}.{round}");
            let event = NewEvent::new(&id, stream, "counted", json!(count + 1));
            let change = Change::put(key, &(count + 1)).expect("it is JSON").when(condition);
            match items.commit_one(Transaction::new(&id).change(change).event(event)).await {
                Ok(_) => done.push(id),
                Err(error) => assert!(
                    matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists),
                    "{error:?}"
                ),
            }
        }
        done
    };
    let done: HashSet<String> = together((0..8).map(racer)).await.into_iter().flatten().collect();
    let events = all(items).await;
    let ids: HashSet<String> = events.iter().map(|event| event.id.clone()).collect();
    assert_eq!((ids.len(), &ids), (events.len(), &done), "each event once, and no other");
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for event in &events {
        let count = counts.entry(event.stream.as_str()).or_default();
        *count += 1;
        assert_eq!(event.payload, json!(*count), "the stream {} is out of order", event.stream);
    }
    for start in starts(items).await {
        let (whole, end) = all_behind(items, start, 1_000).await;
        for limit in [1, 3, 7] {
            assert_eq!(all_behind(items, start, limit).await.0, whole, "in pages of {limit}");
        }
        // From any event on, the rest.
        for (index, event) in whole.iter().enumerate() {
            assert_eq!(all_behind(items, event.position, 1_000).await.0, whole[index + 1..]);
        }
        assert!(all_behind(items, end, 10).await.0.is_empty());
    }
}

/// A stream is in one shard for good.
pub async fn a_stream_stays_in_its_shard(items: &dyn Items) {
    for round in 0..3 {
        for stream in 0..20 {
            write(items, &format!("{stream}.{round}"), &stream.to_string()).await;
        }
    }
    let shards: HashSet<ShardId> = items.shards().await.expect("they are told").into_iter().collect();
    let mut of_stream: HashMap<String, ShardId> = HashMap::new();
    for event in all(items).await {
        let shard = event.position.shard();
        assert!(shards.contains(&shard));
        assert_eq!(*of_stream.entry(event.stream.to_string()).or_insert(shard), shard);
    }
    assert_eq!(of_stream.len(), 20);
}

/// `next` moves on, also where nothing is told, so that a consumer which keeps it loses nothing and is told nothing again.
pub async fn a_reader_goes_on_at_next(items: &dyn Items) {
    let start = starts(items).await[0];
    let empty = read(items, start, 10).await;
    assert!(empty.events.is_empty());
    // Refused ones leave no event, whatever places they had taken.
    for n in 0..5 {
        let refused = Transaction::new(format!("r{n}"))
            .change(put("k", "x").when(Condition::Exists))
            .event(told(format!("r{n}"), "ann"));
        assert_eq!(refusal(items.commit_one(refused).await).0, ErrorKind::Conflict);
        write(items, &format!("w{n}"), "ann").await;
    }
    let mut ids = Vec::new();
    for start in starts(items).await {
        let mut after = start;
        let mut quiet = 0;
        while quiet < 3 {
            let read = read(items, after, 2).await;
            quiet = if read.events.is_empty() { quiet + 1 } else { 0 };
            assert!(
                read.events.iter().all(|event| event.position.number() <= read.next.number()),
                "{read:?}"
            );
            ids.extend(read.events.into_iter().map(|event| event.id));
            after = read.next;
        }
    }
    assert_eq!(ids, (0..5).map(|n| format!("w{n}")).collect::<Vec<_>>());
}

/// Who waits for an event gets it when it is committed, and nothing when the time is over.
pub async fn a_waiting_reader_wakes_at_commit(items: &dyn Items) {
    write(items, "first", "ann").await;
    let after = all(items).await.last().expect("there is one").position;
    let none = items.events(&after, 10, Duration::from_millis(20)).await.expect("events are read");
    assert!(none.events.is_empty());
    let wait = items.events(&after, 10, Duration::from_secs(30));
    let (woken, ()) = tokio::join!(wait, async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        write(items, "second", "ann").await;
    });
    assert_eq!(woken.expect("events are read").events.len(), 1);
}

/// A position beyond the newest event, or of another history, is refused at once and not waited with; so is a shard that is not
/// there.
pub async fn a_position_of_another_history_is_refused(items: &dyn Items) {
    for n in 0..3 {
        write(items, &n.to_string(), "ann").await;
    }
    let last = all(items).await.last().expect("there is one").position;
    let beyond = Position::new(last.epoch(), last.shard(), last.number() + 1_000_000);
    let foreign = Position::new(last.epoch() ^ 2, last.shard(), last.number());
    for position in [beyond, foreign] {
        assert_eq!(refusal(items.events(&position, 1, Duration::from_secs(5)).await), rejected("after"));
        assert_eq!(refusal(items.consumed("c", &position).await), rejected("position"));
    }
    assert!(items.positions("c").await.expect("it is read").is_empty());
    let nowhere = ShardId::new(u16::MAX);
    assert_eq!(refusal(items.edge(nowhere, Edge::Oldest).await).0, ErrorKind::NotFound);
    let text = last.to_string().parse::<Position>().expect("it is one");
    assert!(read(items, text, 1).await.events.is_empty(), "it comes back from its text");
}

/// A consumer's positions are kept, one a shard, and never go back.
pub async fn consumers_keep_their_positions(items: &dyn Items) {
    for n in 0..4 {
        write(items, &n.to_string(), "ann").await;
    }
    let places: Vec<Position> = all(items).await.iter().map(|event| event.position).collect();
    assert!(items.positions("one").await.expect("they are read").is_empty());
    for (to, kept) in [(1, 1), (0, 1), (3, 3), (2, 3)] {
        items.consumed("one", &places[to]).await.expect("it is kept");
        assert_eq!(items.positions("one").await.expect("they are read"), [places[kept]]);
    }
    items.consumed("two", &places[0]).await.expect("it is kept");
    items.forget_consumer("one").await.expect("it is forgotten");
    assert!(items.positions("one").await.expect("they are read").is_empty());
    assert_eq!(items.positions("two").await.expect("they are read"), [places[0]]);
    for bad in ["", &"x".repeat(257)] {
        let refused = refusal(items.consumed(bad, &places[0]).await);
        assert_eq!(refused, (ErrorKind::Invalid, Some("consumer".to_owned())));
    }
}

/// What every kept consumer has passed is forgotten when it is old enough, and no other event is. Who is behind it is told.
pub async fn events_are_forgotten_when_every_consumer_has_passed(items: &dyn Items) {
    for n in 0..6 {
        write(items, &n.to_string(), "ann").await;
    }
    let events = all(items).await;
    let (start, place) = (starts(items).await, |index: usize| events[index].position);
    let start = start.into_iter().find(|start| start.shard() == place(0).shard()).expect("it has a start");
    let later = Timestamp::from_micros(i64::MAX);
    items.consumed("slow", &place(1)).await.expect("it is kept");
    items.consumed("fast", &place(4)).await.expect("it is kept");
    assert_eq!(items.forget_events(Timestamp::from_seconds(1)).await.expect("none is so old"), 0);
    assert_eq!(all(items).await, events);
    assert_eq!(items.forget_events(later).await.expect("two are passed"), 2);
    let ids = |events: &[Event]| events.iter().map(|event| event.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&all(items).await), ids(&events[2..]));
    assert_eq!(refusal(items.events(&start, 10, NOTHING).await), rejected("after"));
    assert_eq!(refusal(items.events(&place(0), 10, NOTHING).await), rejected("after"));
    assert_eq!(ids(&read(items, place(1), 10).await.events), ids(&events[2..]), "who was there goes on");
    items.forget_consumer("slow").await.expect("it is forgotten");
    items.forget_events(later).await.expect("more are passed");
    assert_eq!(ids(&all(items).await), ids(&events[5..]));
    // New events come behind those that are gone.
    write(items, "new", "ann").await;
    assert_eq!(ids(&read(items, place(5), 10).await.events), ["new"]);
}

/// What is wrong with a question is refused and named.
pub async fn bad_questions_are_refused_and_named(items: &dyn Items) {
    let start = starts(items).await[0];
    for (limit, wait, field) in [(0, NOTHING, "limit"), (1_001, NOTHING, "limit"), (1, Duration::MAX, "wait")]
    {
        let refused = refusal(items.events(&start, limit, wait).await);
        assert_eq!(refused, (ErrorKind::Invalid, Some(field.to_owned())));
    }
}
