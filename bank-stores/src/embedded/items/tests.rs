use super::*;
use crate::items::{Change, Condition};
use crate::once::ItemsOnce;
use crate::outbox::NewEvent;
use crate::{Clock, ItemsExt, ManualClock, Once};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

const DAY: Duration = Duration::from_secs(86_400);

fn put(name: &str) -> Change {
    Change::put(Key::new(name, "s"), &name).unwrap()
}

#[tokio::test]
async fn what_expires_goes_at_least_as_fast_as_more_comes() {
    let clock = ManualClock::at(Timestamp::from_seconds(1_000));
    let options = SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
    let items = SqliteItems::open(options).await.unwrap();
    let minute = Duration::from_secs(60);
    let write = async |name: &str, count: usize| {
        let expires_at = clock.now().saturating_add(minute);
        let put = |n| put(&format!("{name}{n}")).expires_at(expires_at);
        let transaction = |n| Transaction::new(format!("{name}{n}")).change(put(n));
        for outcome in items.commit((0..count).map(transaction).collect()).await {
            outcome.unwrap();
        }
        count_of(&items, "items").await
    };
    assert_eq!(write("a", 3_000).await, 3_000);
    clock.advance(minute);
    // The group that is the first of this minute removes more than the others.
    assert!(write("b", 1).await <= 2_001);
    assert!(write("c", 1_500).await <= 1_501);
}

async fn count_of(items: &SqliteItems, table: &'static str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(items.database.readers()).await.unwrap()
}

#[tokio::test]
async fn a_clock_that_jumps_makes_nothing_forgotten() {
    let clock = ManualClock::at(Timestamp::from_seconds(1_000_000));
    let options = SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
    let items = SqliteItems::open(options).await.unwrap();
    let event = NewEvent::new("e", "s", "t", serde_json::json!({}));
    let first = Transaction::new("first").change(put("a")).event(event);
    let kept = put("kept").expires_at(clock.now().saturating_add(2 * DAY));
    items.commit_one(first.clone()).await.unwrap();
    items.commit_one(Transaction::new("kept").change(kept)).await.unwrap();
    let before = clock.now();
    for jump in [9 * DAY, 400 * DAY] {
        clock.set(before.saturating_add(jump));
        for n in 0..3 {
            items.commit_one(Transaction::new(format!("{jump:?}{n}")).change(put("b"))).await.unwrap();
        }
        clock.set(before);
        assert!(items.commit_one(first.clone()).await.unwrap().replayed);
        assert!(items.get(&Key::new("kept", "s"), Consistency::Current).await.unwrap().is_some());
    }
    clock.set(Timestamp::EPOCH);
    assert!(items.commit_one(first).await.unwrap().replayed);
}

#[tokio::test]
async fn a_clock_that_jumps_gives_a_claim_no_second_owner() {
    let clock = ManualClock::at(Timestamp::from_seconds(1_000_000));
    let options = SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
    let items = Arc::new(SqliteItems::open(options).await.unwrap());
    let once = ItemsOnce::new(items, "once").clock(Arc::new(clock.clone()));
    let before = clock.now();
    assert_eq!(once.claim("k", "A".into(), DAY).await.unwrap(), None);
    clock.set(before.saturating_add(2 * DAY));
    // Who holds it cannot be told by this clock.
    assert_eq!(once.claim("k", "B".into(), DAY).await.unwrap_err().kind(), ErrorKind::Unavailable);
    clock.set(before);
    assert_eq!(once.claim("k", "B".into(), DAY).await.unwrap().unwrap(), "A");
    // Time that passes ends it.
    clock.advance(2 * DAY);
    assert_eq!(once.claim("k", "B".into(), DAY).await.unwrap(), None);
}

#[tokio::test]
async fn a_group_that_fails_makes_no_wrong_clock_believed() {
    let clock = ManualClock::at(Timestamp::from_seconds(1_000_000));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("items.db");
    let items = SqliteItems::open(SqliteOptions::new(&path).clock(Arc::new(clock.clone()))).await.unwrap();
    let before = clock.now();
    let kept = put("kept").expires_at(before.saturating_add(2 * DAY));
    items.commit_one(Transaction::new("kept").change(kept)).await.unwrap();
    clock.set(before.saturating_add(400 * DAY));
    let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let busy = items.commit_one(Transaction::new("busy").change(put("b"))).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Unavailable);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    items.commit_one(Transaction::new("next").change(put("b"))).await.unwrap();
    clock.set(before);
    assert!(items.get(&Key::new("kept", "s"), Consistency::Current).await.unwrap().is_some());
}

#[tokio::test]
async fn an_id_is_forgotten_when_the_store_has_been_open_for_long_enough() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("items.db");
    let items = SqliteItems::open(SqliteOptions::new(&path)).await.unwrap();
    let first = Transaction::new("first").change(put("a"));
    items.commit_one(first.clone()).await.unwrap();
    assert_eq!(items.settle(&"never".into()).await.unwrap(), Settled::Never);
    items.close().await;
    drop(items);
    for (days, known) in [(7_i64, 3), (2, 1)] {
        let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        let sql = "UPDATE state SET age = age + ?1 * 86400000000";
        sqlx::query(sql).bind(days).execute(&mut connection).await.unwrap();
        drop(connection);
        let items = SqliteItems::open(SqliteOptions::new(&path)).await.unwrap();
        items.commit_one(Transaction::new(format!("later{days}")).change(put("b"))).await.unwrap();
        assert_eq!(count_of(&items, "writes").await, known + i64::from(days == 2), "after {days} more days");
        items.close().await;
    }
}

#[tokio::test]
async fn an_older_copy_of_the_file_is_seen_at_once_by_every_position_that_lies_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("items.db"), directory.path().join("copy.db"));
    let write = async |items: &SqliteItems, from: u32, to: u32| {
        for n in from..to {
            let event = NewEvent::new(n.to_string(), "s", "t", serde_json::json!(n));
            items.commit_one(Transaction::new(format!("w{n}")).change(put("k")).event(event)).await.unwrap();
        }
    };
    let shard = ShardId::new(0);
    let read = async |items: &SqliteItems, after: Position| items.events(&after, 100, Duration::ZERO).await;
    let items = SqliteItems::open(SqliteOptions::new(&path)).await.unwrap();
    let start = items.edge(shard, Edge::Oldest).await.unwrap();
    write(&items, 0, 3).await;
    let at_three = items.edge(shard, Edge::Newest).await.unwrap();
    items.close().await;
    drop(items);
    std::fs::copy(&path, &copy).unwrap();

    let items = SqliteItems::open(SqliteOptions::new(&path)).await.unwrap();
    write(&items, 3, 13).await;
    let at_thirteen = items.edge(shard, Edge::Newest).await.unwrap();
    assert_eq!(read(&items, at_three).await.unwrap().events.len(), 10, "an opening alone changes nothing");
    items.close().await;
    drop(items);
    // Into the file as it is, as `cp` does it.
    std::fs::write(&path, std::fs::read(&copy).unwrap()).unwrap();

    let items = SqliteItems::open(SqliteOptions::new(&path)).await.unwrap();
    for more in [0, 20] {
        write(&items, 100, 100 + more).await;
        let lost = read(&items, at_thirteen).await.unwrap_err();
        assert_eq!((lost.kind(), lost.field()), (ErrorKind::Rejected, Some("after")), "{more} more");
        let kept = items.consumed("c", &at_thirteen).await.unwrap_err();
        assert_eq!((kept.kind(), kept.field()), (ErrorKind::Rejected, Some("position")));
        // Who was not behind the copy goes on.
        assert_eq!(read(&items, at_three).await.unwrap().events.len(), more as usize);
        assert_eq!(read(&items, start).await.unwrap().events.len(), 3 + more as usize);
    }
}

#[tokio::test]
async fn a_store_keeps_the_shards_that_it_was_made_with() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("items.db");
    for (asked, has) in [(7, 7), (3, 7)] {
        let items = SqliteItems::open(SqliteOptions::new(&path).shards(asked)).await.unwrap();
        assert_eq!(items.shards().await.unwrap().len(), has);
        items.close().await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_form_is_said_before_it_waits() {
    let items = SqliteItems::open(SqliteOptions::temporary().unwrap()).await.unwrap();
    items.close().await;
    let huge = serde_json::json!({ "big": "x".repeat(60 << 20) });
    let told = Transaction::new("w").change(put("k")).event(NewEvent::new("", "", "", huge));
    // The writer has ended, and is not asked.
    assert_eq!(items.commit_one(told).await.unwrap_err().kind(), ErrorKind::Invalid);
    let sound = Transaction::new("w").change(put("k").when(Condition::Absent));
    assert_eq!(items.commit_one(sound).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn the_end_of_a_prefix_lies_just_beyond_it() {
    assert_eq!(beyond("ab").as_deref(), Some("ac"));
    assert_eq!(beyond("a\u{10ffff}").as_deref(), Some("b"));
    assert_eq!(beyond("\u{d7ff}").as_deref(), Some("\u{e000}"));
    assert_eq!(beyond("\u{10ffff}"), None);
    assert_eq!(beyond(""), None);
}
