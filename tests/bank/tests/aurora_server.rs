//! What only a server can do to a ledger: be used by several processes, be killed, hold tables of another version.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::sync::Arc;
use std::time::Duration;

use bank_stores::aurora::{AuroraLedger, AuroraOptions, Step};
use bank_stores::ledger::{
    AccountId, Capture, ChangeAccount, ChangeId, CommandId, Floor, HoldId, HoldStatus, OpenAccount,
    PlaceHold, Posting, PostingId, Receipt,
};
use bank_stores::outbox::{Edge, Position, ShardId};
use bank_stores::{Consistency, Currency, ErrorKind, Ledger, LedgerExt, Money, Outbox as _};
use bank_tests::{Postgres, Proxy, Told, patience, until};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::Instant;
use tracing::instrument::WithSubscriber as _;

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

fn transfer(id: &str, from: &str, to: &str, minor: i64) -> Posting {
    let amount = Money::from_minor(minor, Currency::EUR);
    Posting::new(PostingId::new(id).unwrap(), "transfer").transfer(account(from), account(to), amount)
}

fn options(server: &Postgres, schema: &str) -> AuroraOptions {
    AuroraOptions::new(&server.url()).unwrap().schema(schema).unwrap().connections(3)
}

async fn customers(ledger: &dyn Ledger, names: &[&str]) {
    ledger.open(OpenAccount::new(account("cash"), Currency::EUR).floor(Floor::None)).await.unwrap();
    for name in names {
        ledger.open(OpenAccount::new(account(name), Currency::EUR)).await.unwrap();
        ledger.post(transfer(&format!("fund.{name}"), "cash", name, 1_000)).await.unwrap();
    }
}

async fn balance(ledger: &dyn Ledger, name: &str, read: Consistency) -> i64 {
    ledger.account(&account(name), read).await.unwrap().balance.minor()
}

/// Work that blocks, such as starting a server, off the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_write_one_ledger_and_nothing_is_doubled() {
    let Some(server) = blocking(|| Postgres::shared("several writers")).await else { return };
    let schema = Postgres::fresh_schema();
    // All of them make the tables at once.
    let opening = (0..4).map(|_| tokio::spawn(AuroraLedger::open(options(server, &schema))));
    let mut ledgers = Vec::new();
    for opened in opening.collect::<Vec<_>>() {
        ledgers.push(Arc::new(opened.await.unwrap().unwrap()));
    }
    customers(&*ledgers[0], &["a", "b", "c", "d"]).await;
    let names = ["a", "b", "c", "d"];
    let mut running = Vec::new();
    for (number, ledger) in ledgers.iter().enumerate() {
        for task in 0..8_usize {
            let ledger = ledger.clone();
            running.push(tokio::spawn(async move {
                let mut fresh = 0;
                for n in 0..20_usize {
                    // Every posting is sent by two processes.
                    let id = format!("p{}.{task}.{n}", number / 2);
                    let (from, to) = (names[(task + n) % 4], names[(task + 3 * n + 1) % 4]);
                    match ledger.post(transfer(&id, from, to, 7)).await {
                        Ok(receipt) => fresh += usize::from(!receipt.replayed),
                        Err(error) => panic!("{id}: {error:?}"),
                    }
                }
                fresh
            }));
        }
    }
    let mut fresh = 0;
    for task in running {
        fresh += task.await.unwrap();
    }
    assert_eq!(fresh, 2 * 8 * 20);
    let mut total = 0;
    for name in names {
        total += balance(&*ledgers[1], name, Consistency::Current).await;
    }
    assert_eq!(total, 4_000);
    assert!(ledgers[2].trial_balance(Consistency::Current).await.unwrap().is_balanced());
    assert!(ledgers[3].verify(None, &mut |_| ()).await.unwrap().is_intact());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_posting_whose_answer_was_lost_is_found_and_happens_once() {
    let Some(server) = blocking(|| Postgres::shared("lost answers")).await else { return };
    let schema = Postgres::fresh_schema();
    let proxy = Proxy::start(server.port()).unwrap();
    let by_proxy = AuroraOptions::new(&proxy.instead_of(&server.url(), server.port())).unwrap();
    let ledger = AuroraLedger::open(by_proxy.schema(&schema).unwrap().connections(1)).await.unwrap();
    customers(&ledger, &["a", "b"]).await;
    let (mut done, mut lost) = (0, 0);
    for n in 0..30 {
        proxy.lose(1);
        // Posted in one statement, whose answer gets lost; the writer finds it again, or says that it does not know.
        match ledger.post(transfer(&format!("t{n}"), "a", "b", 1)).await {
            Ok(_) => done += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
                proxy.calm();
                ledger.post(transfer(&format!("t{n}"), "a", "b", 1)).await.unwrap();
                done += 1;
            }
        }
        lost += proxy.calm();
        // The next is posted by what is remembered again.
        ledger.post(transfer(&format!("u{n}"), "a", "b", 1)).await.unwrap();
        done += 1;
        assert_eq!(balance(&ledger, "b", Consistency::Current).await, 1_000 + done);
    }
    assert!(lost >= 20, "{lost} answers got lost");
    // More than there is, by what is remembered and by what another process did meanwhile.
    let other = AuroraLedger::open(options(server, &schema)).await.unwrap();
    other.post(transfer("other", "cash", "a", 1_000_000)).await.unwrap();
    ledger.post(transfer("big", "a", "b", 1_000_000)).await.unwrap();
    let poor = other.post(transfer("poor", "a", "b", 1_000_000)).await.unwrap_err();
    assert_eq!((poor.kind(), poor.field()), (ErrorKind::InsufficientFunds, Some("legs[0].account")));
    // What happened once is no refusal, however poor its account is now.
    assert!(ledger.post(transfer("big", "a", "b", 1_000_000)).await.unwrap().replayed);
    assert!(other.verify(None, &mut |_| {}).await.unwrap().is_intact());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_posting_that_was_looked_up_in_vain_never_happens_later() {
    let Some(server) = blocking(|| Postgres::shared("late questions")).await else { return };
    let schema = Postgres::fresh_schema();
    let proxy = Proxy::start(server.port()).unwrap();
    let by_proxy = AuroraOptions::new(&proxy.instead_of(&server.url(), server.port())).unwrap();
    let ledger = AuroraLedger::open(by_proxy.schema(&schema).unwrap().connections(1)).await.unwrap();
    let other = AuroraLedger::open(options(server, &schema)).await.unwrap();
    customers(&ledger, &["a", "b"]).await;
    let deliver = || tokio::task::block_in_place(|| proxy.deliver());
    // It reaches the server late, by which time it has been sent again: it happens once.
    proxy.strand("again");
    ledger.post(transfer("again", "a", "b", 1)).await.unwrap();
    deliver();
    assert_eq!(balance(&ledger, "b", Consistency::Current).await, 1_001);
    for (n, asks) in [(0, &ledger), (1, &other)] {
        // It reaches the server late, and nobody can be asked meanwhile.
        let id = PostingId::new(format!("late{n}")).unwrap();
        // By now the writer knows what it needs, and posts in one statement.
        ledger.post(transfer(&format!("there{n}"), "a", "b", 1)).await.unwrap();
        ledger.post(transfer(&format!("back{n}"), "b", "a", 1)).await.unwrap();
        proxy.strand(id.as_str());
        // The writer has its connection, and gets no other.
        proxy.refuse(true);
        let posted = ledger.post(transfer(id.as_str(), "a", "b", 10)).await;
        assert_eq!(posted.unwrap_err().kind(), ErrorKind::Indeterminate);
        proxy.refuse(false);
        // Its writer, or any other process, says that it is not there: so it stays.
        let id = CommandId::Posting(id);
        assert_eq!(asks.receipt(&id).await.unwrap(), None);
        deliver();
        assert_eq!(asks.receipt(&id).await.unwrap(), None);
        assert_eq!(balance(&ledger, "b", Consistency::Current).await, 1_001);
    }
    // What is refused stays refused, though its money was on the way.
    ledger.post(transfer("there", "a", "b", 1)).await.unwrap();
    ledger.post(transfer("back", "b", "a", 1)).await.unwrap();
    proxy.strand("funds");
    proxy.refuse(true);
    let funded = ledger.post(transfer("funds", "cash", "a", 5_000)).await;
    assert_eq!(funded.unwrap_err().kind(), ErrorKind::Indeterminate);
    proxy.refuse(false);
    let poor = ledger.post(transfer("poor", "a", "b", 5_000)).await.unwrap_err();
    assert_eq!(poor.kind(), ErrorKind::InsufficientFunds);
    deliver();
    assert_eq!(balance(&other, "a", Consistency::Current).await, 999);
    assert!(other.verify(None, &mut |_| {}).await.unwrap().is_intact());
}

/// The outcome, once the ledger has got over what was done to it.
async fn post_or_error(ledger: &dyn Ledger, posting: Posting) -> bank_stores::Result<Receipt> {
    loop {
        match ledger.post(posting.clone()).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            outcome => return outcome,
        }
    }
}

/// Posts until the outcome is known.
async fn post_surely(ledger: &dyn Ledger, posting: Posting) -> Receipt {
    let deadline = Instant::now() + patience();
    loop {
        match ledger.post(posting.clone()).await {
            Ok(receipt) => return receipt,
            Err(error) if error.kind() == ErrorKind::Indeterminate || error.is_retryable() => {
                assert!(Instant::now() < deadline, "no outcome of {posting:?}: {error:?}");
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_brought_to_a_later_version_by_several_at_once() {
    let Some(server) = blocking(|| Postgres::shared("later tables")).await else { return };
    let schema = Postgres::fresh_schema();
    let ledger = AuroraLedger::open(options(server, &schema)).await.unwrap();
    customers(&ledger, &["a", "b"]).await;
    ledger.close().await;
    // Somebody reads a table that is to be changed, for longer than is waited for it.
    let mut reading = PgConnection::connect(&server.url()).await.unwrap();
    let read = format!("BEGIN; SELECT * FROM {schema}.consumers");
    reading.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(read))).await.unwrap();
    const LATER: &[Step] = &[Step::Short("ALTER TABLE consumers ADD COLUMN later BIGINT")];
    let impatient = || options(server, &schema).further_steps(LATER).lock_timeout(Duration::from_millis(400));
    let opening: Vec<_> = (0..4).map(|_| tokio::spawn(AuroraLedger::open(impatient()))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(opening.iter().all(|opening| !opening.is_finished()));
    reading.execute("COMMIT").await.unwrap();
    for (n, opened) in opening.into_iter().enumerate() {
        let ledger = opened.await.unwrap().unwrap();
        // None of them waits long for another's group.
        assert!(post_surely(&ledger, transfer("fund.a", "cash", "a", 1_000)).await.replayed);
        post_surely(&ledger, transfer(&format!("t{n}"), "a", "b", 1)).await;
        assert_eq!(balance(&ledger, "b", Consistency::Current).await, 1_001 + n as i64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_built_while_others_write_and_built_again_where_its_builder_dies() {
    let Some(server) = blocking(|| Postgres::start("an index is built")).await else { return };
    let schema = Postgres::fresh_schema();
    let writing = AuroraLedger::open(options(&server, &schema)).await.unwrap();
    customers(&writing, &["a", "b"]).await;
    let sql = |sql: &str| {
        let sql = sql.replace("SCHEMA", &schema);
        tokio::task::block_in_place(|| server.sql(&sql))
    };
    let version = "SELECT version FROM SCHEMA.schema_version";
    let before = sql(version);
    const LATER: &[Step] = &[Step::Index { name: "postings_named", on: "postings (reference)" }];
    // Somebody looks at the database as it was: a building index waits for that.
    let mut looking = PgConnection::connect(&server.url()).await.unwrap();
    looking.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class").await.unwrap();
    // Each with its own log, whatever others do at the time.
    let opening = || {
        let told = Told::default();
        let open = AuroraLedger::open(options(&server, &schema).further_steps(LATER));
        (tokio::spawn(open.with_subscriber(told.subscriber(tracing::Level::INFO))), told)
    };
    let builds = "SELECT coalesce(min(pid), 0) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%'";
    let builder = |but: &str| {
        tokio::task::block_in_place(|| {
            until("somebody who builds the index", || {
                Some(server.sql(builds)).filter(|pid| pid != "0" && pid != but)
            })
        })
    };
    let (first, first_told) = opening();
    let killed = builder("");
    let (second, second_told) = opening();
    // Those who work with the ledger go on meanwhile.
    for n in 0..50 {
        writing.post(transfer(&format!("t{n}"), "a", "b", 1)).await.unwrap();
    }
    assert!(!first.is_finished() && !second.is_finished());
    // Both say what they are about.
    first_told.wait_for("an index of the ledger is being built index=\"postings_named\" phase=").await;
    second_told.wait_for("waiting for it").await;
    sql(&format!("SELECT pg_terminate_backend({killed})"));
    assert_eq!(first.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    // What is left of it is of no use to anybody; the process that waited removes it and begins anew.
    builder(&killed);
    writing.post(transfer("late", "a", "b", 1)).await.unwrap();
    assert!(!second.is_finished());
    assert_eq!(sql(version), before);
    looking.execute("COMMIT").await.unwrap();
    let ledger = second.await.unwrap().unwrap();
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'SCHEMA.postings_named'::regclass";
    let after = (before.parse::<u32>().unwrap() + 1).to_string();
    assert_eq!((sql(valid), sql(version)), ("t".into(), after));
    assert_eq!(balance(&ledger, "b", Consistency::Current).await, 1_051);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_loses_nothing_that_was_acknowledged() {
    let Some(mut server) = blocking(|| Postgres::start("a server that is killed")).await else { return };
    let options = options(&server, "killed").connect_timeout(Duration::from_secs(20));
    let ledger = Arc::new(AuroraLedger::open(options).await.unwrap());
    customers(&*ledger, &["a", "b"]).await;
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let mut outcomes = Vec::new();
                for n in 0..400 {
                    let id = format!("p{task}.{n}");
                    let (from, to) = if n % 2 == 0 { ("a", "b") } else { ("b", "a") };
                    let outcome = ledger.post(transfer(&id, from, to, 1)).await;
                    outcomes.push((id, from, to, outcome.map_err(|error| error.kind())));
                }
                outcomes
            })
        })
        .collect();
    let mut server = blocking(move || {
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(150));
            server.restart();
        }
        server
    })
    .await;
    let (mut moved, mut unknown) = (0, 0);
    for task in tasks {
        for (id, from, to, outcome) in task.await.unwrap() {
            // What is not known is sent again under its id.
            let posting = transfer(&id, from, to, 1);
            let receipt = match outcome {
                Ok(receipt) => receipt,
                Err(ErrorKind::Unavailable | ErrorKind::Indeterminate) => {
                    unknown += 1;
                    post_surely(&*ledger, posting.clone()).await
                }
                Err(kind) => panic!("{id}: {kind}"),
            };
            let again = post_surely(&*ledger, posting).await;
            assert!(again.replayed && again.sequence == receipt.sequence, "{id}");
            moved += if from == "a" { -1 } else { 1 };
        }
    }
    eprintln!("{unknown} outcomes were resolved");
    assert_eq!(balance(&*ledger, "a", Consistency::Current).await, 1_000 + moved);
    assert!(ledger.trial_balance(Consistency::Current).await.unwrap().is_balanced());
    assert!(ledger.verify(None, &mut |_| ()).await.unwrap().is_intact());
    ledger.close().await;
    server.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_program_refuses_newer_tables_with_one_clear_line() {
    let Some(server) = blocking(|| Postgres::shared("newer tables")).await else { return };
    let schema = Postgres::fresh_schema();
    AuroraLedger::open(options(server, &schema)).await.unwrap().close().await;
    tokio::task::block_in_place(|| server.sql(&format!("UPDATE {schema}.schema_version SET version = 99")));
    let refused = AuroraLedger::open(options(server, &schema)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    assert!(
        refused.to_string().contains("schema version 99") && !refused.to_string().contains('\n'),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_from_before_the_first_release_are_refused_with_one_clear_line() {
    let Some(server) = blocking(|| Postgres::shared("older tables")).await else { return };
    let schema = Postgres::fresh_schema();
    AuroraLedger::open(options(server, &schema)).await.unwrap().close().await;
    tokio::task::block_in_place(|| server.sql(&format!("UPDATE {schema}.schema_version SET version = 3")));
    let refused = AuroraLedger::open(options(server, &schema)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    assert!(refused.to_string().contains("from before the first release"), "{refused}");
}

/// The lock that groups take turns by, as a statement asks for it.
fn lock(schema: &str) -> String {
    format!("hashtextextended('bank-stores.groups.{schema}', 7146)")
}

/// A connection that has the lock of the groups, so that they wait, and of which others wait for it.
async fn take_turn(server: &Postgres, schema: &str) -> PgConnection {
    let mut turn = PgConnection::connect(&server.url()).await.unwrap();
    let take = format!("SELECT pg_advisory_lock({})", lock(schema));
    turn.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(take))).await.unwrap();
    turn
}

/// Waits until so many wait for the lock of the groups.
fn wait_for_waiting(server: &Postgres, schema: &str, count: &str) {
    let waiting = format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
         AND (classid::bigint << 32 | objid::bigint) = {}",
        lock(schema)
    );
    tokio::task::block_in_place(|| server.until(&waiting, count));
}

/// Waits until everything is in the chain.
async fn wait_for_chain(ledger: &dyn Ledger) {
    let deadline = Instant::now() + patience();
    while ledger.chain().await.unwrap().pending > 0 {
        assert!(Instant::now() < deadline, "the chain stays behind");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether everything is as it was chained, and these are all the accounts and postings, and what the latter moved.
async fn is_right(ledger: &AuroraLedger, expected: (u64, u64, i128)) {
    wait_for_chain(ledger).await;
    assert_eq!(ledger.verify(None, &mut |_| {}).await.unwrap().breach, None);
    let totals = ledger.trial_balance(Consistency::Current).await.unwrap();
    assert!(totals.is_balanced());
    let total = &totals.currencies[0];
    assert_eq!((total.accounts, total.postings, total.credits), expected);
}

/// Posts what is then lost, as by a failover to a replica that had not got it yet, while the block that it is in is on its way to
/// the writer. With `cut` the connections that write are lost as well; otherwise a pooler keeps them.
async fn post_and_lose(
    server: &'static Postgres,
    schema: &str,
    ledger: &Arc<AuroraLedger>,
    cut: bool,
) -> Position {
    wait_for_chain(&**ledger).await;
    let first = take_turn(server, schema).await;
    let posting = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.post(transfer("lost", "cash", "a", 100)).await.unwrap() }
    });
    wait_for_waiting(server, schema, "1");
    let second = tokio::spawn({
        let schema = schema.to_owned();
        async move { take_turn(server, &schema).await }
    });
    wait_for_waiting(server, schema, "2");
    first.close().await.unwrap();
    let sequence = posting.await.unwrap().sequence;
    let second = second.await.unwrap();
    let position = ledger.edge(ShardId::new(0), Edge::Newest).await.unwrap();
    assert_eq!(position.number(), sequence);
    // The keeper's blocks.
    wait_for_waiting(server, schema, "1");
    let cut = if cut {
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
         AND (classid::bigint << 32 | objid::bigint) = LOCK;"
    } else {
        ""
    };
    let lose = format!(
        "SET search_path = {schema}; DELETE FROM groups WHERE sequence >= {sequence};
         DELETE FROM entries WHERE posting = {sequence}; DELETE FROM postings WHERE sequence = {sequence}; {}",
        cut.replace("LOCK", &lock(schema))
    );
    tokio::task::block_in_place(|| server.sql(&lose));
    second.close().await.unwrap();
    position
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_a_failover_lost_is_not_taken_for_the_one_that_is() {
    let Some(server) = blocking(|| Postgres::shared("a lost group")).await else { return };
    let schema = Postgres::fresh_schema();
    let ledger = Arc::new(AuroraLedger::open(options(server, &schema)).await.unwrap());
    customers(&*ledger, &["a", "b"]).await;
    // The last group is gone, and another process writes one with the same number and sequence.
    let lost = post_and_lose(server, &schema, &ledger, false).await;
    let other = AuroraLedger::open(options(server, &schema)).await.unwrap();
    let others = other.post(transfer("others", "cash", "b", 1)).await.unwrap();
    assert_eq!(others.sequence, lost.number());
    // By its memory, a has 1,100.
    let refused = post_or_error(&*ledger, transfer("rich", "a", "b", 1_050)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InsufficientFunds, "{refused:?}");
    post_surely(&*ledger, transfer("right", "a", "b", 1_000)).await;
    assert_eq!(balance(&other, "b", Consistency::Current).await, 2_001);
    // Whoever read what is gone is told by both.
    for ledger in [&*ledger, &other] {
        let refused = ledger.events(&lost, 10, Duration::ZERO).await.unwrap_err();
        assert_eq!((refused.kind(), refused.field()), (ErrorKind::Rejected, Some("after")));
    }
    is_right(&ledger, (3, 4, 3_001)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_of_a_history_that_is_lost_is_not_chained_to_the_one_that_is() {
    let Some(server) = blocking(|| Postgres::shared("a lost block")).await else { return };
    for cut in [false, true] {
        let schema = Postgres::fresh_schema();
        let ledger = Arc::new(AuroraLedger::open(options(server, &schema)).await.unwrap());
        customers(&*ledger, &["a", "b"]).await;
        let lost = post_and_lose(server, &schema, &ledger, cut).await;
        let other = post_surely(&*ledger, transfer("other", "cash", "b", 7)).await;
        assert_eq!(other.sequence, lost.number(), "cut: {cut}");
        is_right(&ledger, (3, 3, 2_007)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_in_a_history_that_is_lost_is_refused_by_the_processes_that_go_on() {
    let Some(server) = blocking(|| Postgres::shared("a lost position")).await else { return };
    let schema = Postgres::fresh_schema();
    let ledger = Arc::new(AuroraLedger::open(options(server, &schema)).await.unwrap());
    customers(&*ledger, &["a", "b"]).await;
    let good = ledger.edge(ShardId::new(0), Edge::Newest).await.unwrap();
    let lost = post_and_lose(server, &schema, &ledger, true).await;
    for n in 0..2 {
        post_surely(&*ledger, transfer(&format!("other{n}"), "cash", "b", 7)).await;
    }
    let refused = ledger.events(&lost, 10, Duration::ZERO).await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::Rejected, Some("after")));
    // What both histories have stays good.
    let events = ledger.events(&good, 10, Duration::ZERO).await.unwrap().events;
    let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["posting:other0", "posting:other1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_groups_are_removed_though_their_removal_was_rolled_back_before() {
    let Some(server) = blocking(|| Postgres::shared("old groups")).await else { return };
    let schema = Postgres::fresh_schema();
    let sql = |sql: &str| {
        let sql = format!("SET search_path = {schema}; {sql}");
        tokio::task::block_in_place(|| server.sql(&sql))
    };
    let ledger = AuroraLedger::open(options(server, &schema)).await.unwrap();
    customers(&ledger, &["a"]).await;
    wait_for_chain(&ledger).await;
    sql("INSERT INTO groups SELECT g.number + n, n, g.sequence, g.booked_at
         FROM (SELECT * FROM groups ORDER BY number DESC LIMIT 1) g CROSS JOIN generate_series(1, 3000) n;
         CREATE SEQUENCE refused;
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$BEGIN PERFORM nextval('refused'); RAISE 'not now'; END$$;
         CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON chain DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION refuse()");
    ledger.post(transfer("t", "cash", "a", 1)).await.unwrap();
    let refused = format!("SELECT is_called FROM {schema}.refused");
    tokio::task::block_in_place(|| server.until(&refused, "t"));
    sql("DROP TRIGGER refuse ON chain");
    wait_for_chain(&ledger).await;
    // The last thousand, and the one that the chain's was behind.
    let left: u32 = sql("SELECT count(*) FROM groups").parse().unwrap();
    assert!(left <= 1_001, "{left} groups are left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_outlast_openings_and_not_that_an_older_state_is_put_back() {
    let Some(server) = blocking(|| Postgres::shared("an older state")).await else { return };
    let schema = Postgres::fresh_schema();
    let each_table = |what: &str| {
        let run = format!(
            "DO $do$ DECLARE t text; BEGIN
                 FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' LOOP {what}; END LOOP;
             END $do$"
        );
        tokio::task::block_in_place(|| server.sql(&run))
    };
    let open_two = async || {
        let opening = [0; 2].map(|_| tokio::spawn(AuroraLedger::open(options(server, &schema))));
        let mut ledgers = Vec::new();
        for opened in opening {
            ledgers.push(opened.await.unwrap().unwrap());
        }
        ledgers
    };
    let newest = async |ledger: &AuroraLedger| ledger.edge(ShardId::new(0), Edge::Newest).await.unwrap();
    let ledger = AuroraLedger::open(options(server, &schema)).await.unwrap();
    customers(&ledger, &["a"]).await;
    let early = newest(&ledger).await;
    ledger.close().await;
    let ledger = AuroraLedger::open(options(server, &schema)).await.unwrap();
    ledger.post(transfer("first", "cash", "a", 1)).await.unwrap();
    let saved = newest(&ledger).await;
    assert_eq!(early.partial_cmp(&saved), None, "an opening begins an epoch");
    ledger.close().await;
    tokio::task::block_in_place(|| server.sql(&format!("CREATE SCHEMA old_{schema}")));
    each_table(&format!("EXECUTE format('CREATE TABLE old_{schema}.%I AS TABLE {schema}.%I', t, t)"));

    let ledgers = open_two().await;
    for (n, ledger) in ledgers.iter().enumerate() {
        ledger.post(transfer(&format!("lost{n}"), "cash", "a", 1)).await.unwrap();
    }
    let lost = newest(&ledgers[0]).await;
    assert_eq!(newest(&ledgers[1]).await, lost);
    for ledger in &ledgers {
        let events = ledger.events(&early, 10, Duration::ZERO).await.unwrap().events;
        assert_eq!(events.len(), 3, "{events:?}");
        assert_eq!(events[0].position, saved);
        ledger.close().await;
    }

    each_table(&format!("EXECUTE format('DELETE FROM {schema}.%I', t)"));
    each_table(&format!("EXECUTE format('INSERT INTO {schema}.%I SELECT * FROM old_{schema}.%I', t, t)"));
    let ledgers = open_two().await;
    for (n, ledger) in [0, 1, 0].into_iter().enumerate() {
        ledgers[ledger].post(transfer(&format!("other{n}"), "cash", "a", 1)).await.unwrap();
    }
    for ledger in &ledgers {
        let refused = ledger.events(&lost, 10, Duration::ZERO).await.unwrap_err();
        assert_eq!((refused.kind(), refused.field()), (ErrorKind::Rejected, Some("after")));
        let refused = ledger.consumed("one", &lost).await.unwrap_err();
        assert_eq!((refused.kind(), refused.field()), (ErrorKind::Rejected, Some("position")));
        for (position, count) in [(early, 4), (saved, 3)] {
            let events = ledger.events(&position, 10, Duration::ZERO).await.unwrap().events;
            assert_eq!(events.len(), count, "{events:?}");
        }
    }
}

/// The process's time stands still for as long as its machine is suspended; its connections outlast that.
#[tokio::test]
async fn time_that_a_suspended_process_did_not_see_has_passed_for_it() {
    let Some(server) = blocking(|| Postgres::shared("a suspended process")).await else { return };
    let mut ledgers = Vec::new();
    for _ in 0..3 {
        let ledger = AuroraLedger::open(options(server, &Postgres::fresh_schema())).await.unwrap();
        customers(&ledger, &["a"]).await;
        ledgers.push(ledger);
    }
    let hold = HoldId::new("h").unwrap();
    for (ledger, seconds) in ledgers.iter().zip([None, Some(6), Some(7)]) {
        if let Some(seconds) = seconds {
            let all = Money::from_minor(1_000, Currency::EUR);
            let place =
                PlaceHold::new(hold.clone(), account("a"), all).expires_in(Duration::from_secs(seconds));
            ledger.execute_one(place).await.unwrap();
        }
        // By now the writer knows what it needs, and posts in one statement.
        for n in 0..40 {
            ledger.post(transfer(&format!("t{n}"), "cash", "a", 1)).await.unwrap();
        }
    }
    for ledger in &ledgers {
        // Nothing else asks for the time afterwards.
        wait_for_chain(ledger).await;
    }
    tokio::time::pause();
    // Time does not run ahead to the next timer either, for as long as this runs.
    let (resume, resumed) = std::sync::mpsc::channel::<()>();
    let standing = tokio::task::spawn_blocking(move || resumed.recv());
    blocking(|| std::thread::sleep(Duration::from_secs(8))).await;
    let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let now: i64 = blocking(move || server.sql(now)).await.parse().unwrap();
    let booked = ledgers[0].post(transfer("late", "cash", "a", 1)).await.unwrap().booked_at.micros();
    // It may be refused though the hold has ended, where it goes by the time from before.
    let captured = ledgers[1].post(transfer("late", "a", "cash", 1_040)).await;
    tokio::time::resume();
    drop(resume);
    let _ = standing.await.unwrap();
    assert!(booked >= now, "booked {} us too early", now - booked);
    captured.unwrap();
    // The ledger's own work hears of the time, so that reads go by it.
    let deadline = Instant::now() + Duration::from_secs(2);
    while ledgers[2].hold(&hold, Consistency::Current).await.unwrap().status == HoldStatus::Open {
        assert!(Instant::now() < deadline, "the hold is open still");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_posting_changes_no_row_that_is_there() {
    // So that no old snapshot makes the next one slower: rows that are changed stay behind as long as somebody may see them.
    let Some(server) = blocking(|| Postgres::start("only added")).await else { return };
    let ledger = AuroraLedger::open(options(&server, "only_added")).await.unwrap();
    customers(&ledger, &["a", "b"]).await;
    for n in 0..50 {
        ledger.post(transfer(&format!("t{n}"), "a", "b", 1)).await.unwrap();
    }
    ledger.trial_balance(Consistency::Current).await.unwrap();
    ledger.close().await;
    // The keeper adds to the totals, beside the postings.
    let changed = "SELECT sum(n_tup_upd) FROM pg_stat_user_tables
                   WHERE schemaname = 'only_added' AND relname NOT IN ('totals', 'schema_version')";
    tokio::task::block_in_place(|| {
        server.until("SELECT n_tup_ins >= 104 FROM pg_stat_user_tables WHERE relname = 'entries'", "t");
        assert_eq!(server.sql(changed), "0");
    });
}

/// What a foreign hand does to a ledger, and how it is undone. 1 to 3 are accounts, 4 and 5 their funds, 6 is a hold, 7 a capture that
/// released its rest, 8 a change of rules.
const TAMPERINGS: &[(&str, &str)] = &[
    (
        "UPDATE entries SET amount = amount + 10 WHERE posting = 4 AND leg = 1",
        "UPDATE entries SET amount = amount - 10 WHERE posting = 4 AND leg = 1",
    ),
    (
        "UPDATE postings SET reference = 'gift' WHERE sequence = 4",
        "UPDATE postings SET reference = NULL WHERE sequence = 4",
    ),
    (
        "UPDATE entries SET posting = 99 WHERE posting = 5; UPDATE postings SET sequence = 99 WHERE sequence = 5",
        "UPDATE entries SET posting = 5 WHERE posting = 99; UPDATE postings SET sequence = 5 WHERE sequence = 99",
    ),
    (
        "INSERT INTO postings SELECT 9, 'forged', kind, NULL, NULL, booked_at, value_at, NULL, NULL, NULL, NULL, content
         FROM postings WHERE sequence = 4",
        "DELETE FROM postings WHERE sequence = 9",
    ),
    (
        "INSERT INTO postings SELECT 3, 'forged', kind, NULL, NULL, booked_at, value_at, NULL, NULL, NULL, NULL, content
         FROM postings WHERE sequence = 4",
        "DELETE FROM postings WHERE sequence = 3",
    ),
    ("UPDATE totals SET accounts = accounts + 1", "UPDATE totals SET accounts = accounts - 1"),
    (
        "ALTER TABLE totals RENAME TO kept; CREATE TABLE totals AS SELECT * FROM kept LIMIT 0",
        "DROP TABLE totals; ALTER TABLE kept RENAME TO totals",
    ),
    ("UPDATE changes SET state = state || ' '", "UPDATE changes SET state = rtrim(state)"),
    (
        "INSERT INTO changes SELECT 4, 'forged', account, NULL, kind, state, booked_at, content FROM changes",
        "DELETE FROM changes WHERE sequence = 4",
    ),
    (
        "UPDATE holds SET status = 0, ended_by = NULL, ended_at = NULL; UPDATE held SET held = 60 WHERE account = 2",
        "UPDATE holds SET status = 1, ended_by = 7, ended_at = (SELECT booked_at FROM postings WHERE sequence = 7);
         UPDATE held SET held = 0 WHERE account = 2",
    ),
    (
        "UPDATE groups SET sequence = 7 WHERE sequence = 8",
        "UPDATE groups SET sequence = 8 WHERE number = (SELECT max(number) FROM groups)",
    ),
    (
        "UPDATE chain SET hash = sha256(hash) WHERE sequence = 8",
        // The last: nobody else knows what it was.
        "SELECT 1",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_foreign_hand_changed_on_the_server_are_found() {
    let Some(server) = blocking(|| Postgres::shared("a foreign hand")).await else { return };
    let schema = Postgres::fresh_schema();
    let ledger = AuroraLedger::open(options(server, &schema)).await.unwrap();
    ledger.open(OpenAccount::new(account("cash"), Currency::EUR).floor(Floor::None)).await.unwrap();
    for name in ["a", "b"] {
        ledger.open(OpenAccount::new(account(name), Currency::EUR)).await.unwrap();
    }
    for name in ["a", "b"] {
        ledger.post(transfer(&format!("fund.{name}"), "cash", name, 1_000)).await.unwrap();
    }
    let (hold, hundred) = (HoldId::new("h").unwrap(), Money::from_minor(100, Currency::EUR));
    ledger.execute_one(PlaceHold::new(hold.clone(), account("a"), hundred)).await.unwrap();
    let part = Capture::new(PostingId::new("c").unwrap(), hold, account("b"));
    let part = part.amount(Money::from_minor(40, Currency::EUR)).release_rest();
    ledger.execute_one(part).await.unwrap();
    let change = ChangeAccount::new(ChangeId::new("limit").unwrap(), account("b"));
    ledger.execute_one(change.floor(Floor::At(-500))).await.unwrap();
    let mut head = ledger.chain().await.unwrap();
    while head.pending > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        head = ledger.chain().await.unwrap();
    }
    let breach = async || ledger.verify(Some(&head), &mut |_| {}).await.unwrap().breach;
    for (sql, undone) in TAMPERINGS {
        assert_eq!(breach().await, None, "before: {sql}");
        let run = |sql: &str| {
            tokio::task::block_in_place(|| server.sql(&format!("SET search_path = {schema}; {sql}")))
        };
        run(sql);
        assert!(breach().await.is_some(), "{sql}");
        run(undone);
    }
}
