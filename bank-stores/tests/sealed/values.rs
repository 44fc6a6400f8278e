//! What a sealed value is bound to, and what becomes of it when its key is shredded.

use std::sync::Arc;
use std::time::Duration;

use bank_stores::documents::{Collection, DocumentChange, DocumentWrite, Filter, Find};
use bank_stores::embedded::{MemoryCache, SqliteDocuments, SqliteOptions};
use bank_stores::items::{Change, Condition, Key, Query, Transaction};
use bank_stores::ledger::{
    AccountId, Annotation, ChangeAccount, ChangeId, Floor, OpenAccount, OwnerId, Posting, PostingId,
};
use bank_stores::outbox::{Edge, NewEvent, ShardId};
use bank_stores::seal::{ERASED, SealedCache, SealedDocuments, SealedFields};
use bank_stores::{
    Cache, Consistency, Currency, Documents, DocumentsExt, ErrorKind, Items, ItemsExt, Ledger, LedgerExt,
    Money, Outbox, PageRequest,
};
use serde_json::{Value, json};

use crate::ground::{BELIEVED, ByName, Ground};

const NOW: Consistency = Consistency::Current;

fn put(partition: &str, sort: &str, value: &str) -> Change {
    Change::put(Key::new(partition, sort), value).unwrap()
}

async fn text(items: &dyn Items, partition: &str, sort: &str) -> Option<String> {
    let found = items.get_json::<String>(&Key::new(partition, sort), NOW).await.unwrap();
    found.map(|(text, _)| text)
}

async fn told(outbox: &dyn Outbox) -> Vec<Value> {
    let start = outbox.edge(ShardId::new(0), Edge::Oldest).await.unwrap();
    let read = outbox.events(&start, 100, Duration::ZERO).await.unwrap();
    read.events.into_iter().map(|event| event.payload).collect()
}

#[tokio::test]
async fn a_value_that_was_moved_does_not_open() {
    let ground = Ground::new().await;
    let items = ground.items("things");
    let both = Transaction::new("w").change(put("p", "a", "mine")).change(put("p", "b", "other"));
    items.commit_one(both).await.unwrap();
    let stored = ground.rows.get(&Key::new("p", "a"), NOW).await.unwrap().unwrap();
    let moved = Change::put_bytes(Key::new("p", "b"), stored.value);
    ground.rows.commit_one(Transaction::new("moved").change(moved)).await.unwrap();
    let refused = items.get(&Key::new("p", "b"), NOW).await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::Denied, Some("sealed")));
    assert!(!refused.is_erased());
    assert_eq!(text(&items, "p", "a").await.as_deref(), Some("mine"));
    // Nor in another store with the same keys.
    let elsewhere = ground.items("others").get(&Key::new("p", "a"), NOW).await.unwrap_err();
    assert_eq!(elsewhere.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn a_write_that_is_sent_again_by_another_process_is_a_replay() {
    let ground = Ground::new().await;
    let transaction = || {
        let event = NewEvent::new("e", "of#ann", "named", json!({ "name": "Ann", "age": 7 }));
        Transaction::new("w").change(put("of#ann", "a", "Ann").when(Condition::Absent)).event(event)
    };
    let first = ground.items("things").commit_one(transaction()).await.unwrap();
    let again = ground.items("things").commit_one(transaction()).await.unwrap();
    assert_eq!(again, first.replay());
    let other = Transaction::new("w").change(put("of#ann", "a", "Eve").when(Condition::Absent));
    let refused = ground.items("things").commit_one(other).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    // The same value in another write looks different.
    let again = Transaction::new("x").change(put("of#ann", "b", "Ann")).change(put("of#ann", "c", "Ann"));
    ground.items("things").commit_one(again).await.unwrap();
    let page = ground.rows.query(&Query::partition("of#ann")).await.unwrap();
    let mut values: Vec<_> = page.items.into_iter().map(|item| item.value).collect();
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 3);
}

#[tokio::test]
async fn processes_that_begin_at_once_share_one_key() {
    let ground = Ground::new().await;
    let writers: Vec<_> = (0..20)
        .map(|n| {
            let items = ground.items("things");
            let change = put("of#ann", &n.to_string(), "Ann");
            tokio::spawn(async move {
                items.commit_one(Transaction::new(format!("w{n}")).change(change)).await.unwrap();
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let reader = ground.items("things");
    for n in 0..20 {
        assert_eq!(text(&reader, "of#ann", &n.to_string()).await.as_deref(), Some("Ann"));
    }
    assert_eq!(ground.keys().status().await.unwrap().wrapped.values().sum::<u64>(), 1);
}

#[tokio::test]
async fn what_is_sealed_with_a_shredded_key_opens_nowhere_and_the_rest_goes_on() {
    let ground = Ground::new().await;
    let (here, there) = (ground.items("things"), ground.items("things"));
    for (n, who) in ["ann", "bob"].into_iter().enumerate() {
        let partition = format!("of#{who}");
        let event = NewEvent::new(who, &*partition, "named", json!({ "name": who }));
        let written = Transaction::new(format!("w{n}")).change(put(&partition, "name", who)).event(event);
        here.commit_one(written).await.unwrap();
        assert_eq!(text(&there, &partition, "name").await.as_deref(), Some(who));
    }
    let keys = ground.keys();
    assert!(keys.shred("ann").await.unwrap());
    assert!(!keys.shred("ann").await.unwrap() && !keys.shred("nobody").await.unwrap());
    tokio::time::sleep(BELIEVED * 2).await;
    for items in [&here, &there, &ground.items("things")] {
        assert!(items.get(&Key::new("of#ann", "name"), NOW).await.unwrap_err().is_erased());
        assert!(items.query(&Query::partition("of#ann")).await.unwrap().items.is_empty());
        assert_eq!(text(items, "of#bob", "name").await.as_deref(), Some("bob"));
        assert_eq!(told(items).await, [Value::Null, json!({ "name": "bob" })]);
    }
    // What comes later has another key.
    here.commit_one(Transaction::new("later").change(put("of#ann", "later", "again"))).await.unwrap();
    assert_eq!(text(&there, "of#ann", "later").await.as_deref(), Some("again"));
    assert!(keys.shred("ann").await.unwrap());
    let status = keys.status().await.unwrap();
    assert_eq!((status.erased, status.wrapped.values().sum::<u64>()), (2, 1));
}

#[tokio::test]
async fn what_nobody_has_sealed_is_read_and_sealed_by_a_reseal() {
    let ground = Ground::new().await;
    let plain = (0..5).fold(Transaction::new("w"), |all, n| all.change(put("p", &n.to_string(), "clear")));
    ground.rows.commit_one(plain).await.unwrap();
    let items = ground.items_with("things", ground.keys().allow_unsealed());
    assert_eq!(text(&items, "p", "3").await.as_deref(), Some("clear"));
    items.commit_one(Transaction::new("x").change(put("p", "3", "sealed"))).await.unwrap();
    assert_eq!(items.reseal("p").await.unwrap(), 4);
    assert_eq!(items.reseal("p").await.unwrap(), 0);
    for item in ground.rows.query(&Query::partition("p")).await.unwrap().items {
        assert!(item.json::<String>().is_err(), "{:?}", item.key);
    }
    assert_eq!(text(&items, "p", "0").await.as_deref(), Some("clear"));
}

#[tokio::test]
async fn documents_are_sealed_found_and_erased_by_field() {
    let ground = Ground::new().await;
    let options = SqliteOptions::new(ground.directory.path().join("documents.db"));
    let inner = Arc::new(SqliteDocuments::open(options).await.unwrap());
    let fields = SealedFields::new().seal_indexed("c", "email").seal("c", "more").seal("c", "title");
    let open = || SealedDocuments::new(inner.clone(), ground.keys(), Arc::new(ByName), fields.clone(), "d");
    let documents = open();
    documents.declare(&Collection::new("c").unique("email", ["email"]).sorted("n")).await.unwrap();
    let insert = |who: &str, n: u32| {
        let body = json!({ "of": who, "n": n, "email": format!("{who}@bank.example"), "title": "Hello", "more": { "age": n } });
        DocumentWrite::new(format!("w-{who}"), DocumentChange::insert(who, &body).unwrap())
    };
    for (n, who) in ["ann", "bob"].into_iter().enumerate() {
        documents.write_one("c", insert(who, n as u32)).await.unwrap();
    }
    assert!(open().write_one("c", insert("ann", 0)).await.unwrap().replayed);
    let taken = DocumentChange::insert("eve", &json!({ "email": "bob@bank.example" })).unwrap();
    let taken = documents.write_one("c", DocumentWrite::new("w", taken)).await.unwrap_err();
    assert_eq!((taken.kind(), taken.field()), (ErrorKind::AlreadyExists, Some("email")));
    let by_email = Find::all().filter(Filter::any_of("email", ["bob@bank.example", "x"]));
    let found = open().find("c", &by_email).await.unwrap().items;
    assert_eq!((found.len(), &found[0].body["more"]), (1, &json!({ "age": 1 })));
    let by_title = documents.find("c", &Find::all().filter(Filter::eq("title", "Hello"))).await.unwrap_err();
    assert_eq!((by_title.kind(), by_title.field()), (ErrorKind::Invalid, Some("filter")));
    let stored = inner.get("c", "ann", NOW).await.unwrap().unwrap().body.to_string();
    assert!(
        !stored.contains("bank.example") && !stored.contains("Hello") && !stored.contains("age"),
        "{stored}"
    );

    ground.keys().shred("ann").await.unwrap();
    let all = open().find("c", &Find::all()).await.unwrap().items;
    assert_eq!(all[0].body, json!({ "of": "ann", "n": 0, "email": ERASED, "title": ERASED, "more": null }));
    assert_eq!(all[1].body["email"], "bob@bank.example");
}

#[tokio::test]
async fn documents_that_nobody_has_sealed_are_found_once_they_are() {
    let ground = Ground::new().await;
    let options = SqliteOptions::new(ground.directory.path().join("documents.db"));
    let inner = Arc::new(SqliteDocuments::open(options).await.unwrap());
    inner.declare(&Collection::new("c")).await.unwrap();
    for n in 0..250 {
        let change = DocumentChange::insert(format!("d{n}"), &json!({ "email": format!("{n}@x") })).unwrap();
        inner.write_one("c", DocumentWrite::new(format!("w{n}"), change)).await.unwrap();
    }
    let fields = SealedFields::new().seal_indexed("c", "email");
    let keys = ground.keys().allow_unsealed();
    let documents = SealedDocuments::new(inner.clone(), keys, Arc::new(ByName), fields.clone(), "d");
    let find = Find::all().filter(Filter::eq("email", "77@x"));
    assert_eq!(documents.get("c", "d77", NOW).await.unwrap().unwrap().body["email"], "77@x");
    assert!(documents.find("c", &find).await.unwrap().items.is_empty());
    let mut seen = Vec::new();
    let done = documents.reseal("c", &mut |checked, sealed| seen.push((checked, sealed))).await.unwrap();
    assert_eq!((done, seen.last()), ((250, 250), Some(&(250, 250))));
    assert_eq!(documents.find("c", &find).await.unwrap().items.len(), 1);
    // Who refuses what nobody has sealed has nothing more to refuse.
    let documents = SealedDocuments::new(inner, ground.keys(), Arc::new(ByName), fields, "d");
    assert_eq!(documents.reseal("c", &mut |_, _| ()).await.unwrap(), (250, 0));
    assert_eq!(documents.get("c", "d77", NOW).await.unwrap().unwrap().body["email"], "77@x");
}

#[tokio::test]
async fn a_reseal_leaves_what_is_sealed_as_it_is_whatever_it_was_sealed_with() {
    let (ground, other) = (Ground::new().await, Ground::new().await);
    let options = SqliteOptions::new(ground.directory.path().join("documents.db"));
    let inner = Arc::new(SqliteDocuments::open(options).await.unwrap());
    inner.declare(&Collection::new("c")).await.unwrap();
    let fields = SealedFields::new().seal_indexed("c", "email").seal("c", "title");
    let sealed = |ground: &Ground| {
        SealedDocuments::new(inner.clone(), ground.keys(), Arc::new(ByName), fields.clone(), "d")
    };
    // Sealed with keys that are not here now.
    let insert = DocumentChange::insert("ann", &json!({ "of": "ann", "email": "ann@x", "n": 1 })).unwrap();
    sealed(&other).write_one("c", DocumentWrite::new("w", insert)).await.unwrap();
    let stored = inner.get("c", "ann", NOW).await.unwrap().unwrap();
    let mut body = stored.body.clone();
    body["title"] = json!("Hello");
    let change =
        DocumentChange::Replace { id: "ann".into(), version: stored.version, body, expires_at: None };
    inner.write_one("c", DocumentWrite::new("plain", change)).await.unwrap();

    assert_eq!(sealed(&ground).reseal("c", &mut |_, _| ()).await.unwrap(), (1, 1));
    let now = inner.get("c", "ann", NOW).await.unwrap().unwrap().body;
    let mut without = now.clone();
    without.as_object_mut().unwrap().remove("title");
    assert_eq!(without, stored.body, "what was sealed is as it was, and so is what finds it");
    assert_ne!(now["title"], "Hello");
    assert_eq!(sealed(&ground).get("c", "ann", NOW).await.unwrap().unwrap().body["title"], "Hello");
    assert_eq!(sealed(&ground).reseal("c", &mut |_, _| ()).await.unwrap(), (1, 0));
}

#[tokio::test]
async fn a_ledger_goes_on_when_an_owner_s_key_is_shredded() {
    let ground = Ground::new().await;
    let ledger = ground.ledger().await;
    let account = |name: &str| AccountId::new(name).unwrap();
    let change = |name: &str| ChangeId::new(name).unwrap();
    let cash = OpenAccount::new(account("cash"), Currency::EUR).floor(Floor::None);
    ledger.open(cash).await.unwrap();
    for who in ["ann", "bob"] {
        let open = OpenAccount::new(account(who), Currency::EUR).owner(OwnerId::new(who).unwrap());
        ledger.open(open.name(format!("{who}'s savings"))).await.unwrap();
    }
    let renamed = ChangeAccount::new(change("c1"), account("ann")).name("ann's house");
    assert_eq!(
        ledger.execute_one(renamed).await.unwrap().account.unwrap().name.as_deref(),
        Some("ann's house")
    );
    let money = Money::parse("1.00", Currency::EUR).unwrap();
    let posting = Posting::new(PostingId::new("p").unwrap(), "gift")
        .transfer(account("cash"), account("ann"), money)
        .reference("for the house")
        .metadata("why", "a birthday");
    ledger.post(posting.clone()).await.unwrap();
    let note = Annotation::new(change("n"), PostingId::new("p").unwrap(), "checked by Eve");
    ledger.execute_one(note).await.unwrap();
    assert!(ledger.post(posting).await.unwrap().replayed);

    ground.keys().shred("ann").await.unwrap();
    tokio::time::sleep(BELIEVED * 2).await;
    let name = async |who: &str| ledger.account(&account(who), NOW).await.unwrap().name;
    assert_eq!(name("ann").await.as_deref(), Some(ERASED));
    assert_eq!(name("bob").await.as_deref(), Some("bob's savings"));
    let entries = ledger.entries(&account("ann"), PageRequest::first(9), NOW).await.unwrap().items;
    assert_eq!(entries[0].reference.as_deref(), Some("for the house"));
    let record = ledger.posting(&PostingId::new("p").unwrap(), NOW).await.unwrap();
    assert_eq!((&*record.notes[0].text, &*record.metadata["why"]), ("checked by Eve", "a birthday"));
    let told = told(&ledger).await;
    assert_eq!((&told[1]["name"], &told[2]["name"]), (&json!(ERASED), &json!("bob's savings")));
    assert_eq!(
        (&told[4]["reference"], &told[4]["legs"][1]["name"]),
        (&json!("for the house"), &json!(ERASED))
    );
    assert!(ledger.verify(None, &mut |_| ()).await.unwrap().is_intact());
}

#[tokio::test]
async fn a_cache_gives_only_what_was_sealed_for_this_key_and_version() {
    let ground = Ground::new().await;
    let memory = Arc::new(MemoryCache::new());
    let minute = Duration::from_secs(60);
    let open = || SealedCache::new(memory.clone(), ground.keys(), "sessions");
    assert!(open().set("a", "secret".into(), 7, minute).await.unwrap());
    assert_eq!(open().get("a").await.unwrap().unwrap().value, "secret");
    let stored = memory.get("a").await.unwrap().unwrap().value;
    assert!(!stored.windows(6).any(|part| part == b"secret"));
    memory.set("b", stored.clone(), 7, minute).await.unwrap();
    memory.set("a", stored, 8, minute).await.unwrap();
    memory.set("c", "clear".into(), 1, minute).await.unwrap();
    for key in ["a", "b", "c"] {
        assert_eq!(open().get(key).await.unwrap(), None, "{key}");
    }
}
