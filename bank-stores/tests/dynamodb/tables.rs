//! Tables that are missing, unfit, or another one than before, and what their rows say of expiry.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TimeToLiveStatus,
};
use bank_stores::dynamodb::{DynamoItems, DynamoOptions};
use bank_stores::items::{Change, Condition, Key, Query, Transaction};
use bank_stores::once::ItemsOnce;
use bank_stores::outbox::{Edge, Position};
use bank_stores::{
    Clock as _, Consistency, ErrorKind, Items, ItemsExt, ManualClock, Once as _, Outbox, Timestamp,
};
use tokio::time::Instant;

use crate::server::{client, shared, table};
use crate::{SHARD, commit, events_behind, named, refusal, transaction};

const NOW: Consistency = Consistency::Current;
const MINUTE: Duration = Duration::from_secs(60);

type Row = HashMap<String, AttributeValue>;

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// A row as it stands in the table.
async fn row(client: &Client, table: &str, pk: &str, sk: &str) -> Option<Row> {
    let get =
        client.get_item().table_name(table).key("pk", text(pk)).key("sk", text(sk)).consistent_read(true);
    get.send().await.unwrap().item
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_missing_or_has_other_keys_is_named() {
    let Some(port) = shared() else { return };
    let missing = DynamoItems::open(table(port, "missing").create(false)).await;
    assert_eq!(refusal(missing), named(ErrorKind::Invalid, "table"));
    let client = client(port).await;
    let hash = |name: &'static str| (name, KeyType::Hash, ScalarAttributeType::S);
    for (name, keys) in [
        ("other-name", vec![hash("id")]),
        ("no-sort", vec![hash("pk")]),
        ("number", vec![hash("pk"), ("sk", KeyType::Range, ScalarAttributeType::N)]),
    ] {
        let mut create = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
        for (key, kind, of) in keys {
            let element = KeySchemaElement::builder().attribute_name(key).key_type(kind);
            let attribute = AttributeDefinition::builder().attribute_name(key).attribute_type(of);
            create = create.key_schema(element.build().unwrap());
            create = create.attribute_definitions(attribute.build().unwrap());
        }
        create.send().await.unwrap();
        let unfit = DynamoItems::open(table(port, name)).await;
        assert_eq!(refusal(unfit), named(ErrorKind::Invalid, "table"), "{name}");
    }
}

/// Opens the store, as soon as a table that is being removed is gone.
async fn anew(options: &DynamoOptions) -> DynamoItems {
    let start = Instant::now();
    loop {
        match DynamoItems::open(options.clone()).await {
            Ok(items) => return items,
            Err(error) => assert!(start.elapsed() < MINUTE, "{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_in_a_table_that_was_made_anew_are_refused_and_replaced() {
    let Some(port) = shared() else { return };
    let (name, client) = ("made-anew", client(port).await);
    let options = table(port, name).shards(1).unwrap();
    let before = DynamoItems::open(options.clone()).await.unwrap();
    for number in 0..5 {
        before.commit_one(transaction(&format!("before {number}"))).await.unwrap();
    }
    let start = before.edge(SHARD, Edge::Oldest).await.unwrap();
    let (events, end) = events_behind(&before, start).await;
    let positions = [start, events[1].position, end];
    before.consumed("c", &end).await.unwrap();
    let query = client.query().table_name(name).key_condition_expression("pk = :pk");
    let kept = query.expression_attribute_values(":pk", text("p")).send().await.unwrap().items.unwrap();
    assert_eq!(kept.len(), 1, "the consumer's row");

    client.delete_table().table_name(name).send().await.unwrap();
    let after = anew(&options).await;
    assert_eq!(refusal(before.ping().await), named(ErrorKind::Invalid, "table"));
    let are_refused = async |when: &str| {
        for position in &positions {
            let refused = refusal(after.events(position, 10, Duration::ZERO).await);
            assert_eq!(refused, named(ErrorKind::Rejected, "after"), "{when}: {position}");
            let refused = refusal(after.consumed("d", position).await);
            assert_eq!(refused, named(ErrorKind::Rejected, "position"), "{when}: {position}");
        }
    };
    are_refused("while the new store is empty").await;
    for number in 0..7 {
        after.commit_one(transaction(&format!("after {number}"))).await.unwrap();
        are_refused(&format!("with {number}")).await;
    }
    // A consumer's row that is older than the store, after a table was put back say.
    client.put_item().table_name(name).set_item(Some(kept[0].clone())).send().await.unwrap();
    assert_eq!(after.positions("c").await.unwrap(), [end]);
    let start = after.edge(SHARD, Edge::Oldest).await.unwrap();
    let (events, _) = events_behind(&after, start).await;
    let first: Position = events[0].position;
    assert!(first.number() < end.number());
    after.consumed("c", &first).await.unwrap();
    assert_eq!(after.positions("c").await.unwrap(), [first]);
    assert!(after.positions("d").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_expired_is_absent_and_its_row_says_when_it_may_be_removed() {
    let Some(port) = shared() else { return };
    let (name, client) = ("expiring", client(port).await);
    let clock = ManualClock::at(Timestamp::from_seconds(4_000_000_000));
    let items = DynamoItems::open(table(port, name).clock(Arc::new(clock.clone()))).await.unwrap();
    let described = client.describe_time_to_live().table_name(name).send().await.unwrap();
    let described = described.time_to_live_description().unwrap();
    assert_eq!(described.attribute_name(), Some("ttl"));
    let status = described.time_to_live_status().unwrap();
    assert!(matches!(status, TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), "{status:?}");

    let (key, lasting) = (Key::new("p", "k"), Key::new("p", "lasting"));
    let put = |key: &Key| Change::put_bytes(key.clone(), "x");
    let at = clock.now().saturating_add(MINUTE);
    let both = Transaction::new("w1").change(put(&key).expires_at(at)).change(put(&lasting));
    let version = items.commit_one(both).await.unwrap().versions[0];
    let expiring = row(&client, name, "i#p", "k").await.unwrap();
    // An hour later, for those whose clocks are behind.
    let seconds = (at.seconds() + 3_600).to_string();
    assert_eq!(expiring["ttl"], AttributeValue::N(seconds));
    assert!(!row(&client, name, "i#p", "lasting").await.unwrap().contains_key("ttl"));
    // What remembers the transaction's id is removed too, in the end.
    assert!(row(&client, name, "w#w1", "w").await.unwrap().contains_key("ttl"));

    let page = async || items.query(&Query::partition("p")).await.unwrap().items;
    assert_eq!(items.get(&key, NOW).await.unwrap().unwrap().expires_at, Some(at));
    assert_eq!(page().await.len(), 2);
    clock.advance(MINUTE);
    assert_eq!(items.get(&key, NOW).await.unwrap(), None);
    assert_eq!(page().await.into_iter().map(|item| item.key).collect::<Vec<_>>(), [lasting]);
    for (number, condition) in [Condition::Exists, Condition::Version(version)].into_iter().enumerate() {
        let late = Transaction::new(format!("late {number}")).change(put(&key).when(condition));
        assert_eq!(refusal(items.commit_one(late).await), (ErrorKind::Conflict, None), "{condition:?}");
    }
    assert!(row(&client, name, "i#p", "k").await.is_some(), "nobody has removed it yet");
    let create = Transaction::new("w2").change(put(&key).when(Condition::Absent));
    items.commit_one(create).await.unwrap();
    assert_eq!(items.get(&key, NOW).await.unwrap().unwrap().expires_at, None);
    let put_anew = row(&client, name, "i#p", "k").await.unwrap();
    assert!(!put_anew.contains_key("ttl") && !put_anew.contains_key("x"), "it lasts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_gives_a_claim_no_second_owner() {
    let Some(port) = shared() else { return };
    let clock = ManualClock::at(Timestamp::from_seconds(4_000_000_000));
    let options = table(port, "claims").clock(Arc::new(clock.clone()));
    let items = Arc::new(DynamoItems::open(options).await.unwrap());
    let once = ItemsOnce::new(items, "once").clock(Arc::new(clock.clone()));
    let day = Duration::from_secs(86_400);
    let before = clock.now();
    assert_eq!(once.claim("k", "A".into(), day).await.unwrap(), None);
    clock.set(before.saturating_add(2 * day));
    // Who holds it cannot be told by this clock.
    assert_eq!(refusal(once.claim("k", "B".into(), day).await).0, ErrorKind::Unavailable);
    clock.set(before);
    assert_eq!(once.claim("k", "B".into(), day).await.unwrap().unwrap(), "A");
    // Time that passes ends it.
    clock.advance(2 * day);
    assert_eq!(once.claim("k", "B".into(), day).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_comes_while_events_are_forgotten_misses_none_or_is_told() {
    let Some(port) = shared() else { return };
    let options = || table(port, "comers").shards(1).unwrap();
    let (one, other) =
        (DynamoItems::open(options()).await.unwrap(), DynamoItems::open(options()).await.unwrap());
    let (mut kept, mut told) = (0, 0);
    for round in 0..30_u64 {
        for n in 0..3 {
            commit(&one, transaction(&format!("{round}.{n}"))).await;
        }
        let oldest = one.edge(SHARD, Edge::Oldest).await.unwrap();
        let name = format!("consumer{round}");
        let comes = async {
            tokio::time::sleep(Duration::from_millis(round % 10 * 3)).await;
            other.consumed(&name, &oldest).await
        };
        let (came, forgotten) = tokio::join!(comes, one.forget_events(Timestamp::from_micros(i64::MAX)));
        forgotten.unwrap();
        match came {
            // Whatever it has not passed is there, however often it is forgotten.
            Ok(()) => {
                one.forget_events(Timestamp::from_micros(i64::MAX)).await.unwrap();
                let read = other.events(&oldest, 100, Duration::ZERO).await.unwrap();
                assert_eq!(read.events.len(), 3, "round {round}");
                kept += 1;
                other.forget_consumer(&name).await.unwrap();
                one.forget_events(Timestamp::from_micros(i64::MAX)).await.unwrap();
            }
            Err(error) => {
                assert_eq!((error.kind(), error.field()), (ErrorKind::Rejected, Some("position")));
                told += 1;
            }
        }
    }
    println!("{kept} came in time, {told} were told");
    assert!(kept > 0);
}
