//! What the [`Outbox`] of a store of [`Items`] promises, and that of a [`Ledger`].
//!
//! A suite has to cause events. Callers of `Items` name theirs; those of a ledger come of its commands, so that its outbox is asked
//! through [`LedgerOutbox`].

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::{Fresh, together};
use crate::items::{Change, Condition, Key, Transaction};
use crate::ledger::{AccountId, Command, HoldId, OpenAccount};
use crate::outbox::{Edge, Event, Events, NewEvent, Position, ShardId};
use crate::{
    Consistency, Currency, ErrorKind, Items, ItemsExt, Ledger, LedgerExt, Outbox, Result, Timestamp,
};

const NOTHING: Duration = Duration::ZERO;

fn put(sort: &str, value: impl Into<String>) -> Change {
    Change::put_bytes(Key::new("p", sort), value.into())
}

fn told(id: impl Into<String>, stream: &str) -> NewEvent {
    NewEvent::new(id, stream, "x", json!({}))
}

/// A store whose events the suite can cause.
#[async_trait]
pub trait EventSource: Send + Sync {
    /// The outbox of the store.
    fn outbox(&self) -> &dyn Outbox;

    /// Causes one event of this name.
    async fn cause(&self, name: &str) -> Result<()>;

    /// Asks for what would be an event of this name, and is refused.
    async fn be_refused(&self, name: &str);

    /// The name that an event was caused by.
    fn name(&self, event: &Event) -> String;
}

#[async_trait]
impl<I: Items> EventSource for I {
    fn outbox(&self) -> &dyn Outbox {
        self
    }

    async fn cause(&self, name: &str) -> Result<()> {
        write(self, name, "ann").await
    }

    async fn be_refused(&self, name: &str) {
        let change = put("refused", "x").when(Condition::Exists);
        let refused = Transaction::new(name).change(change).event(told(name, "ann"));
        assert_eq!(refusal(self.commit_one(refused).await).0, ErrorKind::Conflict);
    }

    fn name(&self, event: &Event) -> String {
        event.id.clone()
    }
}

/// A ledger, whose events tell of accounts that are opened.
#[derive(Debug)]
pub struct LedgerOutbox<L>(pub L);

impl<L> LedgerOutbox<L> {
    /// The outbox of a fresh ledger, if there is one.
    pub async fn fresh<F: Fresh<Store = L>>(ledger: impl Future<Output = F>) -> Option<(Self, F::Guard)> {
        ledger.await.into_option().map(|(ledger, guard)| (Self(ledger), guard))
    }
}

#[async_trait]
impl<L: Ledger> EventSource for LedgerOutbox<L> {
    fn outbox(&self) -> &dyn Outbox {
        &self.0
    }

    async fn cause(&self, name: &str) -> Result<()> {
        self.0.open(OpenAccount::new(AccountId::new(name)?, Currency::EUR)).await.map(drop)
    }

    async fn be_refused(&self, name: &str) {
        let command = Command::Void(HoldId::new(name).expect("it is a name"));
        assert_eq!(refusal(self.0.execute_one(command).await).0, ErrorKind::NotFound);
    }

    fn name(&self, event: &Event) -> String {
        event.payload["account"].as_str().unwrap_or_default().to_owned()
    }
}

fn names(source: &dyn EventSource, events: &[Event]) -> Vec<String> {
    events.iter().map(|event| source.name(event)).collect()
}

async fn write(items: &dyn Items, id: &str, stream: &str) -> Result<()> {
    let transaction = Transaction::new(id).change(put(id, "x")).event(told(id, stream));
    items.commit_one(transaction).await.map(drop)
}

async fn cause(source: &dyn EventSource, count: usize) {
    for n in 0..count {
        source.cause(&n.to_string()).await.expect("it happens");
    }
}

async fn read(outbox: &dyn Outbox, after: Position, limit: u32) -> Events {
    outbox.events(&after, limit, NOTHING).await.expect("events are read")
}

/// All events of a shard behind a position, read by so many at once, and the position behind them.
async fn all_behind(outbox: &dyn Outbox, mut after: Position, limit: u32) -> (Vec<Event>, Position) {
    let mut events = Vec::new();
    loop {
        let read = read(outbox, after, limit).await;
        assert!(
            read.events.len() <= limit as usize,
            "{} events, where {limit} were asked for",
            read.events.len()
        );
        after = read.next;
        if read.events.is_empty() {
            return (events, after);
        }
        events.extend(read.events);
    }
}

pub(super) async fn starts(outbox: &dyn Outbox) -> Vec<Position> {
    let mut starts = Vec::new();
    for shard in outbox.shards().await.expect("they are told") {
        starts.push(outbox.edge(shard, Edge::Oldest).await.expect("it is told"));
    }
    starts
}

/// All events that the store has, shard after shard.
pub(super) async fn all(outbox: &dyn Outbox) -> Vec<Event> {
    let mut events = Vec::new();
    for start in starts(outbox).await {
        events.extend(all_behind(outbox, start, 100).await.0);
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
            let written = write(items, &format!("{stream}.{round}"), &stream.to_string()).await;
            written.expect("it happens");
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
pub async fn a_reader_goes_on_at_next(source: &dyn EventSource) {
    let outbox = source.outbox();
    let start = starts(outbox).await[0];
    let empty = read(outbox, start, 10).await;
    assert!(empty.events.is_empty());
    // Refused ones leave no event, whatever places they had taken.
    for n in 0..5 {
        source.be_refused(&format!("r{n}")).await;
        source.cause(&format!("w{n}")).await.expect("it happens");
    }
    let mut events = Vec::new();
    for start in starts(outbox).await {
        let mut after = start;
        let mut quiet = 0;
        while quiet < 3 {
            let read = read(outbox, after, 2).await;
            quiet = if read.events.is_empty() { quiet + 1 } else { 0 };
            assert!(
                read.events.iter().all(|event| event.position.number() <= read.next.number()),
                "{read:?}"
            );
            events.extend(read.events);
            after = read.next;
        }
    }
    assert_eq!(names(source, &events), (0..5).map(|n| format!("w{n}")).collect::<Vec<_>>());
}

/// Who waits for an event gets it when it is committed, and nothing when the time is over.
pub async fn a_waiting_reader_wakes_at_commit(source: &dyn EventSource) {
    let outbox = source.outbox();
    source.cause("first").await.expect("it happens");
    let after = all(outbox).await.last().expect("there is one").position;
    let none = outbox.events(&after, 10, Duration::from_millis(20)).await.expect("events are read");
    assert!(none.events.is_empty());
    let wait = outbox.events(&after, 10, Duration::from_secs(30));
    let (woken, ()) = tokio::join!(wait, async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        source.cause("second").await.expect("it happens");
    });
    assert_eq!(woken.expect("events are read").events.len(), 1);
}

/// A position beyond the newest event, or of another history, is refused at once and not waited with; so is a shard that is not
/// there.
pub async fn a_position_of_another_history_is_refused(source: &dyn EventSource) {
    let outbox = source.outbox();
    cause(source, 3).await;
    let last = all(outbox).await.last().expect("there is one").position;
    let beyond = Position::new(last.epoch(), last.shard(), last.number() + 1_000_000);
    let foreign = Position::new(last.epoch() ^ 2, last.shard(), last.number());
    for position in [beyond, foreign] {
        assert_eq!(refusal(outbox.events(&position, 1, Duration::from_secs(5)).await), rejected("after"));
        assert_eq!(refusal(outbox.consumed("c", &position).await), rejected("position"));
    }
    assert!(outbox.positions("c").await.expect("it is read").is_empty());
    let nowhere = ShardId::new(u16::MAX);
    assert_eq!(refusal(outbox.edge(nowhere, Edge::Oldest).await).0, ErrorKind::NotFound);
    let text = last.to_string().parse::<Position>().expect("it is one");
    assert!(read(outbox, text, 1).await.events.is_empty(), "it comes back from its text");
}

/// A consumer's positions are kept, one a shard, and never go back.
pub async fn consumers_keep_their_positions(source: &dyn EventSource) {
    let outbox = source.outbox();
    cause(source, 4).await;
    let places: Vec<Position> = all(outbox).await.iter().map(|event| event.position).collect();
    assert!(outbox.positions("one").await.expect("they are read").is_empty());
    for (to, kept) in [(1, 1), (0, 1), (3, 3), (2, 3)] {
        outbox.consumed("one", &places[to]).await.expect("it is kept");
        assert_eq!(outbox.positions("one").await.expect("they are read"), [places[kept]]);
    }
    outbox.consumed("two", &places[0]).await.expect("it is kept");
    outbox.forget_consumer("one").await.expect("it is forgotten");
    assert!(outbox.positions("one").await.expect("they are read").is_empty());
    assert_eq!(outbox.positions("two").await.expect("they are read"), [places[0]]);
    for bad in ["", &"x".repeat(257)] {
        let refused = refusal(outbox.consumed(bad, &places[0]).await);
        assert_eq!(refused, (ErrorKind::Invalid, Some("consumer".to_owned())));
    }
}

/// What every kept consumer has passed is forgotten when it is old enough, and no other event is. Who is behind it is told.
pub async fn events_are_forgotten_when_every_consumer_has_passed(source: &dyn EventSource) {
    let outbox = source.outbox();
    cause(source, 6).await;
    let events = all(outbox).await;
    let (start, place) = (starts(outbox).await, |index: usize| events[index].position);
    let start = start.into_iter().find(|start| start.shard() == place(0).shard()).expect("it has a start");
    let later = Timestamp::from_micros(i64::MAX);
    outbox.consumed("slow", &place(1)).await.expect("it is kept");
    outbox.consumed("fast", &place(4)).await.expect("it is kept");
    assert_eq!(outbox.forget_events(Timestamp::from_seconds(1)).await.expect("none is so old"), 0);
    assert_eq!(all(outbox).await, events);
    assert_eq!(outbox.forget_events(later).await.expect("two are passed"), 2);
    assert_eq!(all(outbox).await, events[2..]);
    assert_eq!(refusal(outbox.events(&start, 10, NOTHING).await), rejected("after"));
    assert_eq!(refusal(outbox.events(&place(0), 10, NOTHING).await), rejected("after"));
    assert_eq!(read(outbox, place(1), 10).await.events, events[2..], "who was there goes on");
    outbox.forget_consumer("slow").await.expect("it is forgotten");
    outbox.forget_events(later).await.expect("more are passed");
    assert_eq!(all(outbox).await, events[5..]);
    // New events come behind those that are gone.
    source.cause("new").await.expect("it happens");
    assert_eq!(names(source, &read(outbox, place(5), 10).await.events), ["new"]);
}

/// What is wrong with a question is refused and named.
pub async fn bad_questions_are_refused_and_named(source: &dyn EventSource) {
    let outbox = source.outbox();
    let start = starts(outbox).await[0];
    for (limit, wait, field) in [(0, NOTHING, "limit"), (1_001, NOTHING, "limit"), (1, Duration::MAX, "wait")]
    {
        let refused = refusal(outbox.events(&start, limit, wait).await);
        assert_eq!(refused, (ErrorKind::Invalid, Some(field.to_owned())));
    }
}
