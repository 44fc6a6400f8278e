//! DynamoDB against the suite of its roles, and what happens where writers vanish, replies are lost, and the server is away.

#![cfg(all(feature = "dynamodb", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "server/between.rs"]
mod between;
#[path = "dynamodb/replies.rs"]
mod replies;
#[path = "server/mod.rs"]
mod running;
#[path = "dynamodb/server.rs"]
mod server;
#[path = "dynamodb/tables.rs"]
mod tables;
#[path = "dynamodb/writers.rs"]
mod writers;

use std::fmt::Debug;
use std::time::Duration;

use bank_stores::dynamodb::DynamoItems;
use bank_stores::items::{Change, Committed, Key, Transaction};
use bank_stores::outbox::{Edge, Event, NewEvent, Position, ShardId};
use bank_stores::{ErrorKind, ItemsExt as _, Outbox, Result};
use server::{fresh, shared};
use tokio::time::Instant;

mod sharded {
    use super::*;

    async fn items() -> Option<(DynamoItems, ())> {
        Some((DynamoItems::open(fresh(shared()?)).await.unwrap(), ()))
    }

    bank_stores::items_conformance!(items());
}

mod in_one_shard {
    use super::*;

    async fn items() -> Option<(DynamoItems, ())> {
        Some((DynamoItems::open(fresh(shared()?).shards(1).unwrap()).await.unwrap(), ()))
    }

    bank_stores::items_conformance!(items());
}

/// The first shard.
const SHARD: ShardId = ShardId::new(0);

/// Puts the item `p/ID`, and tells of it in the stream `s`.
fn transaction(id: &str) -> Transaction {
    let event = NewEvent::new(id, "s", "put", serde_json::json!({}));
    Transaction::new(id).change(Change::put_bytes(Key::new("p", id), id.to_owned())).event(event)
}

/// Commits beside many others: where nothing happened since the server was too busy, it is sent again under its id.
async fn commit_unless_refused(items: &DynamoItems, transaction: Transaction) -> Result<Committed> {
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        match items.commit_one(transaction.clone()).await {
            Err(error) if error.kind() == ErrorKind::Unavailable && Instant::now() < deadline => {}
            outcome => return outcome,
        }
    }
}

async fn commit(items: &DynamoItems, transaction: Transaction) {
    commit_unless_refused(items, transaction).await.unwrap();
}

/// The events of the first shard behind this position, and the position behind them.
async fn events_behind(items: &DynamoItems, mut after: Position) -> (Vec<Event>, Position) {
    let mut events = Vec::new();
    loop {
        let read = items.events(&after, 100, Duration::ZERO).await.unwrap();
        after = read.next;
        if read.events.is_empty() {
            return (events, after);
        }
        events.extend(read.events);
    }
}

/// The ids of the events of the first shard.
async fn ids(items: &DynamoItems) -> Vec<String> {
    let start = items.edge(SHARD, Edge::Oldest).await.unwrap();
    events_behind(items, start).await.0.into_iter().map(|event| event.id).collect()
}

fn refusal<T: Debug>(result: Result<T>) -> (ErrorKind, Option<String>) {
    let error = result.unwrap_err();
    (error.kind(), error.field().map(str::to_owned))
}

/// A refusal that names a field.
fn named(kind: ErrorKind, field: &str) -> (ErrorKind, Option<String>) {
    (kind, Some(field.to_owned()))
}
