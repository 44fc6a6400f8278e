//! Replies and requests that are lost, and a server that is away.

use std::net::TcpListener;
use std::time::Duration;

use bank_stores::dynamodb::{DynamoItems, DynamoOptions};
use bank_stores::items::{Change, Condition, Key, Settled, Transaction, WriteId};
use bank_stores::{Consistency, ErrorKind, Items, ItemsExt, ItemsScan, PageRequest};
use tokio::time::Instant;

use crate::between::Between;
use crate::server::{Server, fresh, shared, table};
use crate::{ids, named, refusal, transaction};

const NOW: Consistency = Consistency::Current;
/// How long a call takes at most that is given up after a second or two, on a slow machine.
const SLOW: Duration = Duration::from_secs(30);

/// A store of one shard behind a proxy.
async fn behind(change: impl FnOnce(DynamoOptions) -> DynamoOptions) -> Option<(DynamoItems, Between)> {
    let between = Between::before(shared()?).await;
    let options = change(fresh(between.port).shards(1).unwrap());
    Some((DynamoItems::open(options).await.unwrap(), between))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_reply_was_lost_is_done_once_and_is_no_replay() {
    let Some((items, between)) = behind(|options| options).await else { return };
    between.lose("TransactWriteItems", 2);
    let done = items.commit_one(transaction("w1")).await.unwrap();
    assert_eq!(between.left(), 0, "two replies were lost");
    assert!(!done.replayed, "it is this call's own effect");
    assert_eq!(items.get(&Key::new("p", "w1"), NOW).await.unwrap().unwrap().version, done.versions[0]);
    let again = items.commit_one(transaction("w1")).await.unwrap();
    assert!(again.replayed && again.versions == done.versions);
    // A condition that held is not judged by what the transaction itself has left.
    between.lose("TransactWriteItems", 1);
    let create = Change::put_bytes(Key::new("p", "new"), "x").when(Condition::Absent);
    let created = items.commit_one(Transaction::new("w2").change(create)).await.unwrap();
    assert!(!created.replayed && between.left() == 0);
    // Where the reply to a reservation is lost, a place stays empty.
    between.lose("UpdateItem", 1);
    items.commit_one(transaction("w3")).await.unwrap();
    assert_eq!(between.left(), 0);
    assert_eq!(ids(&items).await, ["w1", "w3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_every_reply_is_lost_the_outcome_is_looked_up() {
    let Some((items, between)) = behind(|options| options.deadline(Duration::from_secs(2))).await else {
        return;
    };
    let start = Instant::now();
    between.lose("TransactWriteItems", u32::MAX);
    let lost = items.commit_one(transaction("done")).await;
    assert_eq!(refusal(lost), (ErrorKind::Indeterminate, None));
    // Nobody can tell where no request arrives, either.
    between.lose_requests("TransactWriteItems", u32::MAX);
    let lost = items.commit_one(transaction("not done")).await;
    assert_eq!(refusal(lost), (ErrorKind::Indeterminate, None));
    // What only reads, or takes a place, may be asked again.
    between.lose("DynamoDB", u32::MAX);
    assert_eq!(refusal(items.get(&Key::new("p", "done"), NOW).await), (ErrorKind::Unavailable, None));
    assert_eq!(refusal(items.commit_one(transaction("later")).await), (ErrorKind::Unavailable, None));
    assert!(start.elapsed() < 2 * SLOW, "{:?}", start.elapsed());
    between.heal();

    let start = Instant::now();
    while let Err(error) = items.ping().await {
        assert!(start.elapsed() < SLOW, "it does not come back: {error:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let Settled::Committed(done) = items.settle(&WriteId::from("done")).await.unwrap() else {
        panic!("it was executed");
    };
    let again = items.commit_one(transaction("done")).await.unwrap();
    assert!(again.replayed && again.versions == done.versions);
    assert_eq!(items.get(&Key::new("p", "done"), NOW).await.unwrap().unwrap().version, done.versions[0]);
    for id in ["not done", "later"] {
        assert_eq!(items.settle(&WriteId::from(id)).await.unwrap(), Settled::Never);
        assert_eq!(refusal(items.commit_one(transaction(id)).await), named(ErrorKind::Rejected, "id"));
        assert_eq!(items.get(&Key::new("p", id), NOW).await.unwrap(), None);
    }
    assert_eq!(ids(&items).await, ["done"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_unavailable_before_long_and_used_when_it_is_back() {
    // A port that nobody listens on.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = Instant::now();
    let nowhere = DynamoItems::open(table(free, "away").deadline(Duration::from_secs(1))).await;
    assert_eq!(refusal(nowhere), (ErrorKind::Unavailable, None));
    assert!(start.elapsed() < SLOW, "{:?}", start.elapsed());

    let Some(mut server) = Server::start(true) else { return };
    let options = table(server.running.port, "away").deadline(Duration::from_secs(1));
    let items = DynamoItems::open(options).await.unwrap();
    items.commit_one(transaction("before")).await.unwrap();
    // Killed, it may lose what it acknowledged last.
    server.running.signal("-TERM");
    let start = Instant::now();
    while items.ping().await.is_ok() {
        assert!(start.elapsed() < SLOW, "it does not end");
    }
    let start = Instant::now();
    assert_eq!(refusal(items.get(&Key::new("p", "before"), NOW).await), (ErrorKind::Unavailable, None));
    assert_eq!(refusal(items.commit_one(transaction("during")).await), (ErrorKind::Unavailable, None));
    assert!(start.elapsed() < SLOW, "{:?}", start.elapsed());
    server.running.restart();
    let start = Instant::now();
    while let Err(error) = items.ping().await {
        assert!(start.elapsed() < SLOW, "it does not come back: {error:?}");
    }
    assert!(items.get(&Key::new("p", "before"), NOW).await.unwrap().is_some());
    assert_eq!(items.settle(&WriteId::from("during")).await.unwrap(), Settled::Never);
    items.commit_one(transaction("after")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_service_is_away_calls_are_refused_at_once_and_it_comes_back_by_itself() {
    let Some(mut server) = Server::start(true) else { return };
    let options = table(server.running.port, "broken").deadline(Duration::from_millis(500));
    let items = DynamoItems::open(options.pause(Duration::from_secs(5))).await.unwrap();
    items.commit_one(transaction("before")).await.unwrap();
    server.running.kill();
    let mut at_once = 0;
    for n in 0..200 {
        let error = match n % 2 {
            0 => items.get(&Key::new("p", "before"), NOW).await.unwrap_err(),
            _ => items.commit_one(transaction("during")).await.unwrap_err(),
        };
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Indeterminate), "{error:?}");
        at_once += u32::from(error.message().contains("is away since"));
    }
    assert!(at_once > 150, "{at_once} of 200 did not even try");
    server.running.restart();
    let start = Instant::now();
    while let Err(error) = items.commit_one(transaction("after")).await {
        assert!(start.elapsed() < SLOW, "it does not come back: {error:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    items.get(&Key::new("p", "after"), NOW).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_items_of_a_table_are_scanned_and_nothing_else_that_is_in_it() {
    let Some(port) = shared() else { return };
    let items = DynamoItems::open(fresh(port)).await.unwrap();
    let ids: Vec<String> = (0..25).map(|n| format!("{n:02}")).collect();
    for id in &ids {
        items.commit_one(transaction(id)).await.unwrap();
    }
    let (mut page, mut found) = (PageRequest::first(7), Vec::new());
    loop {
        let read = items.scan(&page).await.unwrap();
        assert!(read.items.len() <= 7);
        found.extend(read.items.into_iter().map(|item| item.key.sort));
        let Some(next) = read.next else { break };
        page = page.after(next);
    }
    found.sort();
    assert_eq!(found, ids);
    assert_eq!(refusal(items.scan(&page.backward()).await), named(ErrorKind::Invalid, "direction"));
}
