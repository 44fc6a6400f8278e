//! Transactions with an event, against the same without order: the event's row is put under a key of its own, so that nothing orders it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::Client;
use bank_benches::Failure;
use bank_benches::calls::{Plan, Turn, turn, verdict};
use bank_benches::sample::Sample;
use bank_stores::dynamodb::DynamoItems;
use bank_stores::items::{Change, Key, Transaction};
use bank_stores::outbox::NewEvent;
use bank_stores::{ItemsExt as _, Outbox as _};
use serde_json::{Value, json};

use crate::contention::{Proxy, Seen};
use crate::{driver, open};

/// What transactions with an event have to reach of those without order.
const AIM: f64 = 0.5;
/// How many stream keys each writer has, which no other one has.
const STREAMS: u64 = 32;
/// How many write under one stream key, where contention is to be seen.
const CONTENDERS: usize = 8;

/// What the transactions tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// An event in the order of one of the writer's stream keys.
    InOrder,
    /// An event in the order of a stream key that all share.
    OneStream,
    /// The same as an item under a key of its own.
    WithoutOrder,
}

#[derive(Debug)]
struct Writers {
    items: DynamoItems,
    next: AtomicU64,
}

pub(crate) async fn run(endpoint: &str, writers: usize, plan: &Plan) -> Result<(), Failure> {
    let events = Arc::new(Writers { items: open("events", endpoint).await?, next: AtomicU64::new(0) });
    let shards = events.items.shards().await?.len();
    let client = driver(endpoint);
    let (mut ordered, mut unordered) = (Vec::new(), Vec::new());
    let mut twice = 0;
    for round in 0..=plan.rounds {
        let mut order = [Told::InOrder, Told::WithoutOrder];
        if round % 2 == 1 {
            order.reverse();
        }
        for told in order {
            let before = reserved(&client, "bench-events", shards).await?;
            let turn = events.clone().turn(told, writers, plan).await?;
            let slots = reserved(&client, "bench-events", shards).await? - before;
            match told {
                Told::WithoutOrder if round > 0 => unordered.push(turn),
                Told::InOrder if round > 0 => {
                    twice += slots.saturating_sub(turn.calls);
                    ordered.push(turn);
                }
                _ => {}
            }
        }
    }
    let rate = |turns: &[Turn]| turns.iter().map(|turn| turn.rate).collect::<Sample>().median();
    let ratio: Sample =
        ordered.iter().zip(&unordered).map(|(ordered, unordered)| ordered.rate / unordered.rate).collect();
    let made: u64 = ordered.iter().map(|turn| turn.calls).sum();
    println!(
        "\ntransactions with an event, {writers} writers, {shards} shards, {} stream keys, {} rounds of {} s",
        writers as u64 * STREAMS,
        plan.rounds,
        plan.time.as_secs()
    );
    println!(
        "without order    {:>8.0}/s   the same rows, the event's under a key of its own",
        rate(&unordered)
    );
    println!(
        "with order       {:>8.0}/s   {ratio} of it; aim: at least {AIM}: {}",
        rate(&ordered),
        verdict(ratio.median() >= AIM)
    );
    println!(
        "  slots reserved again after a refusal: {twice} in {made} transactions; aim: none: {}",
        verdict(twice == 0)
    );
    counted(endpoint, writers, plan).await
}

/// The same through a proxy that counts. It takes its time, so that times are not told.
async fn counted(endpoint: &str, writers: usize, plan: &Plan) -> Result<(), Failure> {
    let proxy = Proxy::before(endpoint).await?;
    println!(
        "\ncounted by a proxy, in turns of their own: writes that met an item in another's transaction, by its kind"
    );
    println!(
        "{:<44}{:>13}{:>12}{:>11}   conflicts on DynamoDB",
        "", "transactions", "sent again", "cancelled"
    );
    for (name, told, writers) in [
        (format!("{writers} writers, stream keys of their own"), Told::InOrder, writers),
        (format!("{CONTENDERS} writers, one stream key, for comparison"), Told::OneStream, CONTENDERS),
    ] {
        let table = if told == Told::InOrder { "counted" } else { "contended" };
        let items = open(table, &proxy.endpoint()).await?;
        drop(proxy.seen());
        let events = Arc::new(Writers { items, next: AtomicU64::new(0) });
        let turn = events.turn(told, writers, plan).await?;
        let Seen { transactions, cancelled, conflicts } = proxy.seen();
        let again = transactions - turn.calls;
        let named = |(kind, count): (&char, &u64)| format!("{}: {count}", row_kind(*kind));
        let listed = conflicts.iter().map(named).collect::<Vec<_>>().join(", ");
        let listed = if listed.is_empty() { "none".to_owned() } else { listed };
        let aim = match told {
            Told::InOrder => {
                format!("; aim: none, and none sent again: {}", verdict(again == 0 && conflicts.is_empty()))
            }
            _ => String::new(),
        };
        println!("{name:<44}{:>13}{again:>12}{cancelled:>11}   {listed}{aim}", turn.calls);
    }
    Ok(())
}

/// What a row is, by the letter that its partition begins with.
fn row_kind(letter: char) -> &'static str {
    match letter {
        'i' => "item",
        'w' => "transaction's id",
        'e' => "slot",
        'h' => "head of a stream",
        'c' => "count of a shard",
        _ => "other",
    }
}

impl Writers {
    async fn turn(self: Arc<Self>, told: Told, writers: usize, plan: &Plan) -> Result<Turn, Failure> {
        let call = move |writer| {
            let writers = self.clone();
            async move { writers.write(told, writer).await }
        };
        turn(writers, plan.time, call).await
    }

    async fn write(&self, told: Told, writer: usize) -> Result<(), Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("tr-{number:020}");
        let item = Change::put(Key::new(format!("account-{writer}"), &*id), &payload(number))?;
        let stream = match told {
            Told::OneStream => "account".to_owned(),
            Told::InOrder | Told::WithoutOrder => format!("account-{writer}-{}", number % STREAMS),
        };
        let transaction = Transaction::new(&id).change(item);
        let transaction = match told {
            Told::InOrder | Told::OneStream => {
                transaction.event(NewEvent::new(&id, stream, "transfer.completed", payload(number)))
            }
            Told::WithoutOrder => {
                let event = json!({ "id": id, "stream": stream, "topic": "transfer.completed", "payload": payload(number) });
                transaction.change(Change::put(Key::new(format!("event-{id}"), "e"), &event)?)
            }
        };
        self.items.commit_one(transaction).await?;
        Ok(())
    }
}

/// About as large as what a transfer tells.
fn payload(number: u64) -> Value {
    json!({
        "transfer": format!("tr_{number:020}"),
        "from": format!("acc_{number:020}"),
        "to": format!("acc_{:020}", number + 1),
        "amount": { "amount": "10.00", "currency": "EUR" },
        "status": "completed",
        "reference": "a payment for something that was ordered",
    })
}

/// How many slots were reserved in all shards so far.
async fn reserved(client: &Client, table: &str, shards: usize) -> Result<u64, Failure> {
    use aws_sdk_dynamodb::types::AttributeValue::S;
    let mut slots = 0;
    for shard in 0..shards {
        let count = client
            .get_item()
            .table_name(table)
            .key("pk", S(format!("c#{shard}")))
            .key("sk", S("c".to_owned()))
            .consistent_read(true)
            .send()
            .await?;
        let count = count.item.as_ref().and_then(|row| row.get("n")?.as_n().ok()?.parse::<u64>().ok());
        slots += count.unwrap_or_default();
    }
    Ok(slots)
}
