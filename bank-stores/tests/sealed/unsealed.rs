//! Values that nobody has sealed: refused, unless they are allowed, and sealed later.

use std::sync::Arc;
use std::time::Duration;

use bank_stores::documents::{Collection, DocumentChange, DocumentWrite, Find};
use bank_stores::embedded::{SqliteDocuments, SqliteLedger, SqliteOptions};
use bank_stores::items::{Change, Key, Query, Transaction};
use bank_stores::ledger::{AccountId, OpenAccount};
use bank_stores::outbox::{Edge, NewEvent, ShardId};
use bank_stores::seal::{DataKeys, ERASED, SealedDocuments, SealedFields, SealedItems, SealedLedger};
use bank_stores::{
    Clock, Consistency, Currency, Documents, DocumentsExt, ErrorKind, Items, ItemsExt, ItemsScan, Ledger,
    LedgerExt, Outbox, PageRequest, SystemClock, Timestamp,
};
use serde_json::{Value, json};

use crate::files::bytes_of;
use crate::ground::{ByName, Ground};

const NOW: Consistency = Consistency::Current;

async fn told(items: &SealedItems) -> Value {
    let start = items.edge(ShardId::new(0), Edge::Oldest).await.unwrap();
    items.events(&start, 1, Duration::ZERO).await.unwrap().events.remove(0).payload
}

#[tokio::test]
async fn an_item_that_was_planted_in_the_clear_is_refused_unless_that_is_allowed() {
    let ground = Ground::new().await;
    let key = Key::new("user", "eve");
    let put = Change::put(key.clone(), &"an administrator").unwrap();
    let event = NewEvent::new("e", "eve", "paid", json!({ "amount": 1_000 }));
    ground.rows.commit_one(Transaction::new("planted").change(put).event(event)).await.unwrap();
    let items = ground.items("things");
    let refused = items.get(&key, NOW).await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::Damaged, Some("sealed")));
    assert!(!refused.is_erased() && !refused.is_retryable());
    assert!(items.query(&Query::partition("user")).await.unwrap().items.is_empty());
    assert_eq!(told(&items).await, Value::Null);
    let allowing = ground.items_with("things", ground.keys().allow_unsealed());
    let (value, _): (String, u64) = allowing.get_json(&key, NOW).await.unwrap().unwrap();
    assert_eq!(value, "an administrator");
    assert_eq!(allowing.query(&Query::partition("user")).await.unwrap().items.len(), 1);
    assert_eq!(told(&allowing).await, json!({ "amount": 1_000 }));
    // What is written over it is sealed, and believed.
    items
        .commit_one(Transaction::new("w").change(Change::put(key.clone(), &"a guest").unwrap()))
        .await
        .unwrap();
    assert_eq!(items.get_json::<String>(&key, NOW).await.unwrap().unwrap().0, "a guest");
}

#[tokio::test]
async fn a_field_that_was_planted_in_the_clear_is_not_believed_unless_that_is_allowed() {
    let ground = Ground::new().await;
    let options = SqliteOptions::new(ground.directory.path().join("documents.db"));
    let inner = Arc::new(SqliteDocuments::open(options).await.unwrap());
    inner.declare(&Collection::new("c")).await.unwrap();
    let planted = json!({ "id": 7, "title": "You won", "more": { "to": "eve" }, "none": null });
    let planted = DocumentWrite::new("w", DocumentChange::insert("d", &planted).unwrap());
    inner.write_one("c", planted).await.unwrap();
    let fields = SealedFields::new().seal("c", "title").seal("c", "more").seal("c", "none");
    let open = |keys: DataKeys| {
        SealedDocuments::new(inner.clone(), keys, Arc::new(ByName), fields.clone(), "documents")
    };
    let refusing = open(ground.keys());
    let read = refusing.get("c", "d", NOW).await.unwrap().unwrap().body;
    assert_eq!(read, json!({ "id": 7, "title": ERASED, "more": null, "none": null }));
    assert_eq!(refusing.find("c", &Find::all()).await.unwrap().items[0].body, read);
    let allowing = open(ground.keys().allow_unsealed());
    assert_eq!(allowing.get("c", "d", NOW).await.unwrap().unwrap().body["title"], "You won");
}

#[tokio::test]
async fn a_text_of_a_ledger_that_is_in_the_clear_is_not_believed_unless_that_is_allowed() {
    let ground = Ground::new().await;
    let options = SqliteOptions::new(ground.directory.path().join("ledger.db"));
    let inner = Arc::new(SqliteLedger::open(options).await.unwrap());
    let id = AccountId::new("a").unwrap();
    inner.open(OpenAccount::new(id.clone(), Currency::EUR).name("of nobody")).await.unwrap();
    let name = async |keys: DataKeys| {
        SealedLedger::new(inner.clone(), keys, "ledger").account(&id, NOW).await.unwrap().name
    };
    assert_eq!(name(ground.keys()).await.as_deref(), Some(ERASED));
    assert_eq!(name(ground.keys().allow_unsealed()).await.as_deref(), Some("of nobody"));
}

fn planted(n: usize) -> String {
    format!("pl4nt3d-{n:04}")
}

#[tokio::test]
async fn all_partitions_are_resealed_and_nothing_in_the_clear_is_left_in_the_file() {
    const COUNT: usize = 2_500;
    let ground = Ground::new().await;
    let later = SystemClock::new().now().saturating_add(Duration::from_secs(3_600));
    for start in (0..COUNT).step_by(50) {
        let changes = (start..start + 50).map(|n| {
            let key = Key::new(format!("p{}", n % 7), format!("{n:04}"));
            Change::put(key, &planted(n)).unwrap().expires_at(later)
        });
        let written = changes.fold(Transaction::new(format!("w{start}")), Transaction::change);
        ground.rows.commit_one(written).await.unwrap();
    }
    let items = ground.items("things");
    // Ended midway, as it were: what is sealed is passed over.
    let first = items.reseal("p3").await.unwrap();
    let mut seen = Vec::new();
    let (checked, sealed) =
        items.reseal_all(&*ground.rows, &mut |checked, sealed| seen.push((checked, sealed))).await.unwrap();
    assert_eq!((checked, sealed), (COUNT as u64, COUNT as u64 - first));
    assert!(seen.len() >= 3 && seen.is_sorted() && seen.last() == Some(&(checked, sealed)), "{seen:?}");
    assert_eq!(items.reseal_all(&*ground.rows, &mut |_, _| ()).await.unwrap(), (COUNT as u64, 0));
    let item = items.get(&Key::new("p1", "0001"), NOW).await.unwrap().unwrap();
    assert_eq!((item.json::<String>().unwrap(), item.expires_at), (planted(1), Some(later)));
    // The data keys are what they were.
    assert_eq!(ground.keys().status().await.unwrap().wrapped.values().sum::<u64>(), 1);

    ground.rows.vacuum().await.unwrap();
    for (path, bytes) in bytes_of(ground.directory.path()) {
        assert!(!bytes.windows(7).any(|part| part == b"pl4nt3d"), "{path}");
    }
    assert_eq!(
        items.get_json::<String>(&Key::new("p6", "2498"), NOW).await.unwrap().unwrap().0,
        planted(2_498)
    );
}

#[tokio::test]
async fn a_scan_gives_each_living_item_once_and_no_other() {
    let ground = Ground::new().await;
    let keys = ["a/1", "a/2", "b/1", "ä/1", "b/2"].map(|key| {
        let (partition, sort) = key.split_once('/').unwrap();
        Key::new(partition, sort)
    });
    let all =
        keys.iter().fold(Transaction::new("w"), |all, key| all.change(Change::put(key.clone(), &1).unwrap()));
    let gone = Change::put(Key::new("a", "gone"), &1).unwrap().expires_at(Timestamp::from_seconds(1));
    ground.rows.commit_one(all.change(gone)).await.unwrap();
    for limit in [1, 2, 5, 100] {
        let (mut page, mut found) = (PageRequest::first(limit), Vec::new());
        loop {
            let read = ground.rows.scan(&page).await.unwrap();
            assert!(read.items.len() <= limit as usize);
            found.extend(read.items.into_iter().map(|item| item.key));
            let Some(next) = read.next else { break };
            page = page.after(next);
        }
        let mut expected = keys.to_vec();
        expected.sort();
        assert_eq!(found, expected);
    }
    let backward = ground.rows.scan(&PageRequest::first(1).backward()).await.unwrap_err();
    assert_eq!(backward.field(), Some("direction"));
}
