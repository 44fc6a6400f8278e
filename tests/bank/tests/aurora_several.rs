//! Several processes that have one ledger on PostgreSQL: which of them does the ledger's own work, who waits for whom, and how one
//! hears of another's events.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::sync::Arc;
use std::time::Duration;

use bank_stores::aurora::{AuroraLedger, AuroraOptions, Step};
use bank_stores::ledger::{AccountId, Floor, HoldId, HoldStatus, OpenAccount, PlaceHold, Posting, PostingId};
use bank_stores::outbox::{Edge, ShardId};
use bank_stores::{Consistency, Currency, ErrorKind, Ledger, LedgerExt, Money, Outbox as _};
use bank_tests::{Postgres, patience};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::{Instant, sleep};

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

fn transfer(id: &str, from: &str, to: &str, minor: i64) -> Posting {
    let amount = Money::from_minor(minor, Currency::EUR);
    Posting::new(PostingId::new(id).unwrap(), "transfer").transfer(account(from), account(to), amount)
}

/// One process's options: each is a user of its own, so that the server tells who did what.
fn options(server: &Postgres, user: &str, schema: &str) -> AuroraOptions {
    let url = server.url().replace("bank@", &format!("{user}@"));
    AuroraOptions::new(&url).unwrap().schema(schema).unwrap().connections(3)
}

async fn customers(ledger: &dyn Ledger) {
    ledger.open(OpenAccount::new(account("cash"), Currency::EUR).floor(Floor::None)).await.unwrap();
    ledger.open(OpenAccount::new(account("a"), Currency::EUR)).await.unwrap();
    ledger.post(transfer("fund.a", "cash", "a", 1_000)).await.unwrap();
}

/// Work that blocks, such as starting a server, off the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// A server that counts statements, with a user for each process.
async fn counting(test: &'static str) -> Option<Postgres> {
    blocking(move || {
        let server = Postgres::start(test)?.with(&["shared_preload_libraries=pg_stat_statements"]);
        server.sql("CREATE EXTENSION pg_stat_statements");
        for user in ["first", "second"] {
            server.sql(&format!("CREATE ROLE {user} LOGIN SUPERUSER"));
        }
        Some(server)
    })
    .await
}

async fn until_chained(ledger: &dyn Ledger) {
    let deadline = Instant::now() + patience();
    while ledger.chain().await.unwrap().pending > 0 {
        assert!(Instant::now() < deadline, "the chain stays behind");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Places a hold of a moment, and waits until its end has been booked.
async fn hold_ends(ledger: &dyn Ledger, id: &str) {
    let id = HoldId::new(id).unwrap();
    let place = PlaceHold::new(id.clone(), account("a"), Money::from_minor(1, Currency::EUR));
    let placed = ledger.execute_one(place.expires_in(Duration::from_millis(100))).await.unwrap();
    let deadline = Instant::now() + patience();
    // Its end is the next command; reads leave the hold out before.
    while ledger.chain().await.unwrap().sequence <= placed.sequence {
        assert!(Instant::now() < deadline, "nobody ends the hold");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ledger.hold(&id, Consistency::Current).await.unwrap().status, HoldStatus::Expired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_does_the_ledgers_own_work_and_another_takes_over() {
    let Some(server) = counting("a keeper's lease").await else { return };
    let sql = |sql: &str| tokio::task::block_in_place(|| server.sql(sql));
    let first = AuroraLedger::open(options(&server, "first", "kept")).await.unwrap();
    customers(&first).await;
    until_chained(&first).await;
    let second = AuroraLedger::open(options(&server, "second", "kept")).await.unwrap();
    // Whatever it does at its start.
    sleep(Duration::from_secs(2)).await;
    sql("SELECT pg_stat_statements_reset()");
    for n in 0..30 {
        first.post(transfer(&format!("t{n}"), "cash", "a", 1)).await.unwrap();
        hold_ends(&first, &format!("h{n}")).await;
    }
    until_chained(&first).await;
    // The process that stands by asks for the lease once a second, and touches no table.
    let by = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
              WHERE rolname = 'USER' AND query LIKE '%\"kept\".%'";
    assert_ne!(sql(&by.replace("USER", "first")), "0");
    assert_eq!(sql(&by.replace("USER", "second")), "0");
    // Its own transactions stay short, and keep no snapshot that others would wait for.
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND backend_xmin IS NOT NULL";
    assert_eq!(sql(open), "0");

    // It takes over when the other has gone.
    let gone = Instant::now();
    first.close().await;
    drop(first);
    hold_ends(&second, "late").await;
    assert!(gone.elapsed() < Duration::from_secs(5), "{:?}", gone.elapsed());
    until_chained(&second).await;
    assert!(second.verify(None, &mut |_| ()).await.unwrap().is_intact());

    // A lease that is lost with its connection is taken again, by whoever comes first.
    let first = AuroraLedger::open(options(&server, "first", "kept")).await.unwrap();
    sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted");
    let cut = Instant::now();
    hold_ends(&first, "cut").await;
    assert!(cut.elapsed() < Duration::from_secs(5), "{:?}", cut.elapsed());
    first.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_falls_silent_loses_the_ledgers_own_work_to_another() {
    let Some(server) = blocking(|| Postgres::shared("a silent keeper")).await else { return };
    let schema = Postgres::fresh_schema();
    let (opened, is_open) = std::sync::mpsc::channel();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let own = options(server, "bank", &schema);
    // A process of its own, as far as the server sees: nothing of it moves any more, and its connections stay.
    let silent = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let ledger = AuroraLedger::open(own).await.unwrap();
            customers(&ledger).await;
            until_chained(&ledger).await;
            opened.send(()).unwrap();
            let _ = stopped.recv();
            ledger.close().await;
        });
    });
    blocking(move || is_open.recv().unwrap()).await;
    let other = AuroraLedger::open(options(server, "bank", &schema)).await.unwrap();
    let start = Instant::now();
    hold_ends(&other, "h").await;
    // Ten seconds of silence, and a second until the other asks again.
    let elapsed = start.elapsed();
    assert!(elapsed > Duration::from_secs(5) && elapsed < Duration::from_secs(20), "{elapsed:?}");
    stop.send(()).unwrap();
    blocking(move || silent.join().unwrap()).await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_writes_is_left_the_ledgers_own_work_by_one_that_does_not() {
    let Some(server) = counting("a keeper that does not write").await else { return };
    let idle = AuroraLedger::open(options(&server, "first", "kept")).await.unwrap();
    // It is there before anybody else, and elected.
    let elected = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
                   WHERE locktype = 'advisory' AND granted AND usename = 'first'";
    let start = Instant::now();
    while tokio::task::block_in_place(|| server.sql(elected)) == "0" {
        assert!(start.elapsed() < patience(), "nobody is elected");
        sleep(Duration::from_millis(20)).await;
    }
    let writing = AuroraLedger::open(options(&server, "second", "kept")).await.unwrap();
    customers(&writing).await;
    let chained = "SELECT string_agg(DISTINCT rolname, ' ') FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
                   WHERE query LIKE 'INSERT INTO \"kept\".chain %'";
    let chained = || tokio::task::block_in_place(|| server.sql(chained));
    until_chained(&writing).await;
    assert_eq!(chained(), "first");
    let start = Instant::now();
    for n in 0.. {
        writing.post(transfer(&format!("t{n}"), "cash", "a", 1)).await.unwrap();
        if chained() == "first second" {
            break;
        }
        assert!(start.elapsed() < patience(), "the process that writes does not take over");
        sleep(Duration::from_millis(200)).await;
    }
    // And keeps it.
    tokio::task::block_in_place(|| server.sql("SELECT pg_stat_statements_reset()"));
    let start = Instant::now();
    for n in 0.. {
        writing.post(transfer(&format!("u{n}"), "cash", "a", 1)).await.unwrap();
        if start.elapsed() > Duration::from_secs(25) {
            break;
        }
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(chained(), "second");
    idle.close().await;
    writing.close().await;
}

/// A server's process that has the lock of those who bring the tables to a newer version, and does nothing.
async fn hung_builder(server: &Postgres, schema: &str) -> PgConnection {
    let mut builder = PgConnection::connect(&server.url()).await.unwrap();
    let take = format!("SELECT pg_advisory_lock(hashtextextended('bank-stores.{schema}', 7146))");
    builder.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(take))).await.unwrap();
    builder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_builder_that_hangs_is_waited_for_within_a_bound_and_named() {
    let Some(server) = blocking(|| Postgres::shared("a hung builder")).await else { return };
    let schema = Postgres::fresh_schema();
    let mut builder = hung_builder(server, &schema).await;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut builder).await.unwrap();
    let open = || AuroraLedger::open(options(server, "bank", &schema).migration_wait(Duration::from_secs(1)));
    let start = Instant::now();
    let waited = tokio::time::timeout(patience(), open()).await.expect("it waits for ever");
    let refused = waited.unwrap_err();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    assert!(refused.is_retryable() && refused.to_string().contains(&format!("process {pid} ")), "{refused}");
    // Where it is ended, as the message says, the next start does its work.
    tokio::task::block_in_place(|| server.sql(&format!("SELECT pg_terminate_backend({pid}, 10000)")));
    open().await.unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_builder_that_makes_progress_is_waited_for_as_long_as_it_takes() {
    let Some(server) = blocking(|| Postgres::shared("a slow builder")).await else { return };
    let schema = Postgres::fresh_schema();
    AuroraLedger::open(options(server, "bank", &schema)).await.unwrap().close().await;
    let sql = |sql: &str| {
        let sql = format!("SET search_path = {schema}; {sql}");
        tokio::task::block_in_place(|| server.sql(&sql))
    };
    let newest: u32 = sql("SELECT version FROM schema_version").parse().unwrap();
    // It comes to a newer version every 600 ms, so that there is no second without progress.
    const LATER: &[Step] =
        &[Step::Short("SELECT 1"), Step::Short("SELECT 2"), Step::Short("SELECT 3"), Step::Short("SELECT 4")];
    let builder = hung_builder(server, &schema).await;
    let waiting =
        options(server, "bank", &schema).further_steps(LATER).migration_wait(Duration::from_secs(1));
    let waiting = tokio::spawn(AuroraLedger::open(waiting));
    for step in 1..=4 {
        sleep(Duration::from_millis(600)).await;
        assert!(!waiting.is_finished(), "given up after {step} steps");
        sql(&format!("UPDATE schema_version SET version = {}", newest + step));
    }
    builder.close().await.unwrap();
    waiting.await.unwrap().unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_waiting_readers_ask_the_server_as_one_and_hear_of_other_processes_at_once() {
    let Some(server) = counting("waiting readers").await else { return };
    let writing = AuroraLedger::open(options(&server, "first", "kept")).await.unwrap();
    let reading = Arc::new(AuroraLedger::open(options(&server, "second", "kept")).await.unwrap());
    customers(&writing).await;
    // Nothing moves of itself from here on.
    until_chained(&writing).await;
    let newest = reading.edge(ShardId::new(0), Edge::Newest).await.unwrap();
    let wait = |seconds: u64| {
        let reading = reading.clone();
        tokio::spawn(async move {
            let told = reading.events(&newest, 10, Duration::from_secs(seconds)).await.unwrap();
            (told.events.len(), Instant::now())
        })
    };
    // Those of one process; that the other stands by costs it a question or two a second.
    let statements =
        "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
                      WHERE rolname = 'second'";
    let statements = || tokio::task::block_in_place(|| server.sql(statements)).parse::<u64>().unwrap();
    // While nobody waits, nobody asks.
    let before = statements();
    sleep(Duration::from_secs(2)).await;
    assert!(statements() - before < 20, "{} statements for nobody", statements() - before);
    let readers: Vec<_> = (0..100).map(|_| wait(60)).collect();
    // Each has read, and found nothing.
    sleep(Duration::from_secs(2)).await;
    let (start, before) = (Instant::now(), statements());
    sleep(Duration::from_secs(4)).await;
    let (made, elapsed) = (statements() - before, start.elapsed());
    // Twenty a second, and a few for the lease.
    assert!(u128::from(made) * 1_000 < 30 * elapsed.as_millis(), "{made} statements in {elapsed:?}");
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    // How long a hundred take that wait for nothing, on a machine that may be busy with other tests.
    let at_once = async || {
        let (start, mut last) = (Instant::now(), Duration::ZERO);
        for reader in (0..100).map(|_| wait(0)).collect::<Vec<_>>() {
            last = last.max(reader.await.unwrap().1.saturating_duration_since(start));
        }
        last
    };
    let before = at_once().await;
    writing.post(transfer("told", "cash", "a", 1)).await.unwrap();
    let posted = Instant::now();
    let mut late = Vec::new();
    for reader in readers {
        let (events, at) = reader.await.unwrap();
        assert_eq!(events, 1);
        late.push(at.saturating_duration_since(posted));
    }
    late.sort();
    // Beside that, the 50 ms of the question.
    let busy = before.max(at_once().await);
    assert!(late[0] < busy + Duration::from_millis(200), "{busy:?}, {late:?}");
    assert!(late[99] < busy * 2 + Duration::from_secs(2), "{busy:?}, {late:?}");
    // What is over in time is told in time, and one's own events at once.
    assert_eq!(wait(0).await.unwrap().0, 1);
    reading.close().await;
    writing.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_events_is_told_that_the_server_has_gone() {
    let Some(mut server) = counting("events of a server that goes").await else { return };
    let brief = options(&server, "first", "kept").connect_timeout(Duration::from_secs(2));
    let ledger = AuroraLedger::open(brief).await.unwrap();
    customers(&ledger).await;
    let newest = ledger.edge(ShardId::new(0), Edge::Newest).await.unwrap();
    let start = Instant::now();
    let waiting = ledger.events(&newest, 10, Duration::from_secs(300));
    let ending = async move {
        sleep(Duration::from_millis(500)).await;
        blocking(move || {
            server.kill();
            server
        })
        .await
    };
    let (told, mut server) = tokio::join!(waiting, ending);
    assert_eq!(told.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    blocking(move || server.restart()).await;
    ledger.close().await;
}
