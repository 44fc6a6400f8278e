//! Who is at the other end of a ledger's connections: a server that was demoted, lags behind, is slow, asks for a password, is
//! somebody else.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::aurora::{AuroraLedger, AuroraOptions, PasswordProvider};
use bank_stores::ledger::{AccountId, CommandId, Floor, OpenAccount, Posting, PostingId};
use bank_stores::{Consistency, Currency, Error, ErrorKind, Ledger, LedgerExt, Money};
use bank_tests::{HeldPort, Postgres, Proxy};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use sqlx::{Connection as _, Executor as _, PgConnection};

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
async fn a_failover_behind_a_cached_name_loses_nothing_and_shows_nothing_old() {
    let Some((mut server, replica)) = blocking(|| {
        let server = Postgres::start("a failover")?;
        let replica = server.replica();
        Some((server, replica))
    })
    .await
    else {
        return;
    };
    let proxy = Proxy::start(server.port()).unwrap();
    let options = AuroraOptions::new(&proxy.instead_of(&server.url(), server.port())).unwrap();
    // Long enough for a busy machine: three reads wait for as long, and are refused.
    let options = options.connections(2).connect_timeout(Duration::from_secs(5));
    let ledger = AuroraLedger::open(options).await.unwrap();
    customers(&ledger, &["a"]).await;
    let posted = ledger.post(transfer("before", "cash", "a", 1)).await.unwrap();
    tokio::task::block_in_place(|| {
        let caught_up = format!(
            "SELECT sequence >= {} FROM bank_ledger.groups ORDER BY number DESC LIMIT 1",
            posted.sequence
        );
        replica.until(&caught_up, "t");
        // It stands still from here on, so that what it shows is old.
        replica.pause_replay();
    });
    ledger.post(transfer("lag", "cash", "a", 1)).await.unwrap();
    // The name leads to the reader now, whichever connection is made.
    proxy.lead_to(replica.port());
    proxy.cut();
    let read = ledger.account(&account("a"), Consistency::Current).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Unavailable, "the replica's 1,001 would be old");
    let id = CommandId::Posting(PostingId::new("lag").unwrap());
    assert_eq!(ledger.receipt(&id).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let refused = ledger.post(transfer("during", "cash", "a", 1)).await.unwrap_err();
    // The first connection that it was tried on had been cut.
    assert!(matches!(refused.kind(), ErrorKind::Unavailable | ErrorKind::Indeterminate), "{refused:?}");
    // It catches up and becomes the writer, and everything goes on as it was.
    tokio::task::block_in_place(|| {
        replica.sql("SELECT pg_wal_replay_resume()");
        let caught_up = format!(
            "SELECT sequence > {} FROM bank_ledger.groups ORDER BY number DESC LIMIT 1",
            posted.sequence
        );
        replica.until(&caught_up, "t");
        server.kill();
        assert_eq!(replica.sql("SELECT pg_promote()"), "t");
    });
    assert!(!ledger.post(transfer("during", "cash", "a", 1)).await.unwrap().replayed);
    assert!(ledger.receipt(&id).await.unwrap().is_some());
    assert_eq!(balance(&ledger, "a", Consistency::Current).await, 1_003);
    assert!(ledger.verify(None, &mut |_| ()).await.unwrap().is_intact());
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_are_gone_cost_a_moment_and_the_writer_serves() {
    let Some(server) = blocking(|| Postgres::shared("dead readers")).await else { return };
    // A port that nobody listens on.
    let port = HeldPort::new();
    let nobody = format!("postgres://bank@{}/postgres", port.address());
    let options = options(server, &Postgres::fresh_schema()).readers(&nobody).unwrap();
    let ledger = AuroraLedger::open(options.connect_timeout(Duration::from_secs(300))).await.unwrap();
    customers(&ledger, &["a"]).await;
    let read = balance(&ledger, "a", Consistency::Any);
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), read).await.unwrap(), 1_000);
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_takes_long_is_waited_for_and_nothing_is_lost() {
    let Some(server) = blocking(|| Postgres::start("a slow resume")).await else { return };
    let ledger = Arc::new(AuroraLedger::open(options(&server, "slow")).await.unwrap());
    customers(&*ledger, &["a"]).await;
    // It takes connections and says nothing for a while, as a database that is woken up.
    // Nor does the ledger have work of its own then, for which it would connect before the server stops.
    while ledger.chain().await.unwrap().pending > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::task::block_in_place(|| server.cut("bank"));
    server.signal("STOP");
    let posting = ledger.clone();
    let posting = tokio::spawn(async move { posting.post(transfer("p", "cash", "a", 1)).await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!posting.is_finished());
    server.signal("CONT");
    posting.await.unwrap().unwrap();
    assert_eq!(balance(&*ledger, "a", Consistency::Current).await, 1_001);
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_the_ledger_for_too_long_is_not_waited_for() {
    let Some(server) = blocking(|| Postgres::shared("a held lock")).await else { return };
    let schema = Postgres::fresh_schema();
    let options = options(server, &schema).lock_timeout(Duration::from_millis(100));
    let ledger = AuroraLedger::open(options).await.unwrap();
    customers(&ledger, &["a"]).await;
    let mut other = PgConnection::connect(&server.url()).await.unwrap();
    let lock =
        format!("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('bank-stores.groups.{schema}', 7146))");
    other.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(lock))).await.unwrap();
    let refused = ledger.post(transfer("p", "cash", "a", 1)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    assert!(refused.to_string().contains("writes for too long"), "{refused}");
    other.execute("COMMIT").await.unwrap();
    assert!(!ledger.post(transfer("p", "cash", "a", 1)).await.unwrap().replayed);
    ledger.close().await;
}

/// Gives the password that is good now, and fails as often as it is told to.
#[derive(Debug)]
struct Changing {
    password: Mutex<&'static str>,
    failures: AtomicU32,
    asked: AtomicU32,
}

#[async_trait]
impl PasswordProvider for Changing {
    async fn password(&self) -> bank_stores::Result<String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let fails =
            self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match fails {
            Ok(_) => Err(Error::new(ErrorKind::Unavailable, "nobody gives one")),
            Err(_) => Ok((*self.password.lock().unwrap()).to_owned()),
        }
    }

    fn lifetime(&self) -> Option<Duration> {
        Some(Duration::from_millis(1_500))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_asked_for_again_before_it_expires() {
    let Some(mut server) = blocking(|| Postgres::start("passwords")).await else { return };
    let server = blocking(move || {
        server.sql("CREATE ROLE app LOGIN PASSWORD 'one'; GRANT CREATE ON DATABASE postgres TO app");
        let rules = server.directory().join("data").join("pg_hba.conf");
        let others = std::fs::read_to_string(&rules).unwrap();
        std::fs::write(&rules, format!("host all app 127.0.0.1/32 scram-sha-256\n{others}")).unwrap();
        server.restart();
        server
    })
    .await;
    let provider = Arc::new(Changing {
        password: Mutex::new("wrong"),
        failures: AtomicU32::new(0),
        asked: AtomicU32::new(0),
    });
    let open = || {
        let options = AuroraOptions::new(&server.url().replace("bank@", "app@")).unwrap();
        let options = options.connections(1).connect_timeout(Duration::from_secs(20));
        AuroraLedger::open(options.password(provider.clone()))
    };
    assert_eq!(open().await.unwrap_err().kind(), ErrorKind::Denied);
    *provider.password.lock().unwrap() = "one";
    let ledger = open().await.unwrap();
    customers(&ledger, &["a"]).await;
    // Another is good from here on, and who gives it fails the first time that it is asked.
    tokio::task::block_in_place(|| server.sql("ALTER ROLE app PASSWORD 'two'"));
    *provider.password.lock().unwrap() = "two";
    provider.failures.store(1, Ordering::Relaxed);
    let asked = provider.asked.load(Ordering::Relaxed);
    tokio::task::block_in_place(|| {
        // It failed once and gave it once, which is in use by the time that it is asked once more.
        bank_tests::until("the password to be asked for again", || {
            (provider.asked.load(Ordering::Relaxed) >= asked + 3).then_some(())
        });
        server.cut("app");
    });
    assert_eq!(balance(&ledger, "a", Consistency::Current).await, 1_000);
    ledger.post(transfer("p", "cash", "a", 1)).await.unwrap();
    assert_eq!(balance(&ledger, "a", Consistency::Current).await, 1_001);
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    let Some(server) = blocking(|| Postgres::shared("another encoding")).await else { return };
    tokio::task::block_in_place(|| {
        server.sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    });
    let url = server.url().replace("/postgres", "/latin");
    let refused = AuroraLedger::open(AuroraOptions::new(&url).unwrap()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    assert!(refused.to_string().contains("LATIN1"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_became_a_reader_is_left_and_found_again() {
    let Some(server) = blocking(|| Postgres::start("a demoted writer")).await else { return };
    let ledger = AuroraLedger::open(options(&server, "demoted")).await.unwrap();
    customers(&ledger, &["a"]).await;
    let read_only = |on: &str| {
        server.sql(&format!("ALTER SYSTEM SET default_transaction_read_only = {on}"));
        server.sql("SELECT pg_reload_conf()");
        // What a new connection is told, those that there are have been told before.
        server.until("SHOW default_transaction_read_only", on);
    };
    tokio::task::block_in_place(|| read_only("on"));
    let refused = ledger.post(transfer("p", "cash", "a", 1)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    assert_eq!(balance(&ledger, "a", Consistency::Current).await, 1_000);
    tokio::task::block_in_place(|| read_only("off"));
    assert!(!ledger.post(transfer("p", "cash", "a", 1)).await.unwrap().replayed);
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_from_a_replica_is_never_older_than_what_its_caller_wrote() {
    let Some((server, replica)) = blocking(|| {
        let server = Postgres::start("a replica")?;
        let replica = server.replica();
        Some((server, replica))
    })
    .await
    else {
        return;
    };
    let options = options(&server, "lagging").readers(&replica.url()).unwrap();
    let ledger = AuroraLedger::open(options).await.unwrap();
    customers(&ledger, &["a"]).await;
    let first = ledger.post(transfer("p1", "cash", "a", 1)).await.unwrap();
    assert_eq!(balance(&ledger, "a", Consistency::AtLeast(first.freshness)).await, 1_001);
    tokio::task::block_in_place(|| {
        // Whoever answered: the replica knows of it too before it stands still.
        replica.until(
            &format!(
                "SELECT sequence >= {} FROM lagging.groups ORDER BY number DESC LIMIT 1",
                first.sequence
            ),
            "t",
        );
        replica.pause_replay();
    });
    let second = ledger.post(transfer("p2", "cash", "a", 1)).await.unwrap();
    assert_eq!(balance(&ledger, "a", Consistency::AtLeast(second.freshness)).await, 1_002);
    assert_eq!(balance(&ledger, "a", Consistency::Current).await, 1_002);
    // The writer answers where the replica takes long to be connected to.
    let deadline = tokio::time::Instant::now() + bank_tests::patience();
    while balance(&ledger, "a", Consistency::Any).await != 1_001 {
        assert!(tokio::time::Instant::now() < deadline, "the replica, which stands still, is not asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::task::block_in_place(|| replica.sql("SELECT pg_wal_replay_resume()"));
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_is_a_clear_refusal_in_time() {
    // A port that takes connections and says nothing, as a database that wakes up from a pause.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://bank@{}/postgres", silent.local_addr().unwrap());
    let options = AuroraOptions::new(&url).unwrap().connect_timeout(Duration::from_millis(300));
    let start = tokio::time::Instant::now();
    let refused = AuroraLedger::open(options).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    // Thirty seconds would be as long as nobody asked for.
    assert!(start.elapsed() < Duration::from_secs(15) && refused.to_string().contains("within"), "{refused}");
}

/// Writes a server's key and certificate, signed by an authority of its own, and the authority.
fn certificates(directory: &Path, name: &str, expired: bool) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if expired {
        (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    }
    let certificate = params.signed_by(&key, &authority).unwrap();
    std::fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(directory.join("server.pem"), certificate.pem()).unwrap();
    std::fs::write(directory.join("server.key"), key.serialize_pem()).unwrap();
}

/// What becomes of a connection that must be encrypted and verified.
async fn verified(server: &Postgres, authority: &Path, schema: &str) -> Result<(), ErrorKind> {
    let url = format!("postgres://bank@localhost:{}/postgres?sslmode=verify-full", server.port());
    let options = AuroraOptions::new(&url).unwrap().schema(schema).unwrap().root_certificates(authority);
    match AuroraLedger::open(options).await {
        Ok(ledger) => {
            ledger.close().await;
            Ok(())
        }
        Err(error) => Err(error.kind()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_only_a_server_that_is_who_it_should_be_is_spoken_to() {
    for (name, expired, outcome) in [
        ("localhost", false, Ok(())),
        ("db.elsewhere.example", false, Err(ErrorKind::Unavailable)),
        ("localhost", true, Err(ErrorKind::Unavailable)),
    ] {
        let Some(server) = blocking(move || {
            let server = Postgres::start("TLS to the server")?;
            certificates(server.directory(), name, expired);
            server.own(&["server.pem", "server.key"]);
            let file = |file: &str| server.directory().join(file).display().to_string();
            let (certificate, key) = (
                format!("ssl_cert_file={}", file("server.pem")),
                format!("ssl_key_file={}", file("server.key")),
            );
            Some(server.with(&["ssl=on", &certificate, &key]))
        })
        .await
        else {
            return;
        };
        let authority = server.directory().join("ca.pem");
        assert_eq!(verified(&server, &authority, "tls").await, outcome, "{name}, expired: {expired}");
        // Somebody else's authority.
        let others = tempfile::tempdir().unwrap();
        certificates(others.path(), name, false);
        let stranger = verified(&server, &others.path().join("ca.pem"), "tls").await;
        assert_eq!(stranger, Err(ErrorKind::Unavailable));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_a_server_without_encryption_is_not_spoken_to() {
    let Some(server) = blocking(|| Postgres::shared("a plaintext server")).await else { return };
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path(), "localhost", false);
    let outcome = verified(server, &directory.path().join("ca.pem"), &Postgres::fresh_schema()).await;
    assert_eq!(outcome, Err(ErrorKind::Unavailable));
}

/// A pooler that does what PgBouncer does with `ignore_startup_parameters = options`; gives its port.
fn pooler_that_drops_options(server: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) =
                (client.unwrap(), TcpStream::connect(("127.0.0.1", server)).unwrap());
            std::thread::spawn(move || {
                // A length, the protocol's version, and names and values that each end with a zero.
                let mut length = [0; 4];
                client.read_exact(&mut length).unwrap();
                let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
                client.read_exact(&mut body).unwrap();
                let words: Vec<&[u8]> = body[4..].split(|byte| *byte == 0).collect();
                let mut kept = body[..4].to_vec();
                for pair in words.chunks(2).filter(|pair| pair.len() == 2 && !pair[0].is_empty()) {
                    if pair[0] != b"options" {
                        pair.iter().for_each(|word| kept.extend([*word, b"\0"].concat()));
                    }
                }
                kept.push(0);
                server.write_all(&(kept.len() as u32 + 4).to_be_bytes()).unwrap();
                server.write_all(&kept).unwrap();
                let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut to).is_ok());
                let _ = std::io::copy(&mut client, &mut server);
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_drops_settings_is_refused_unless_the_role_has_them() {
    let Some(server) = blocking(|| Postgres::start("a pooler")).await else { return };
    let port = pooler_that_drops_options(server.port());
    let url = server.url().replace(&format!(":{}", server.port()), &format!(":{port}"));
    let through = |schema: &str| AuroraOptions::new(&url).unwrap().schema(schema).unwrap();
    let refused = AuroraLedger::open(through("bank_a")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    assert!(refused.to_string().contains("search_path is"), "{refused}");
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename IN ('accounts', 'schema_version')";
    assert_eq!(tokio::task::block_in_place(|| server.sql(tables)), "0", "nothing is made elsewhere");
    // What its documentation says to do.
    let settings = [
        ("search_path", "bank_a"),
        ("statement_timeout", "'30s'"),
        ("lock_timeout", "'10s'"),
        ("idle_in_transaction_session_timeout", "'10s'"),
        ("default_transaction_isolation", "'read committed'"),
        ("jit", "off"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ];
    for (name, value) in settings {
        let role = format!("ALTER ROLE CURRENT_USER SET {name} = {value}");
        tokio::task::block_in_place(|| server.sql(&role));
    }
    let ledger = AuroraLedger::open(through("bank_a")).await.unwrap();
    customers(&ledger, &["a"]).await;
    assert_eq!(balance(&ledger, "a", Consistency::Current).await, 1_000);
    let another = AuroraLedger::open(through("bank_b")).await.unwrap_err();
    assert_eq!(another.kind(), ErrorKind::Denied, "its tables are not those of the role's schema");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_owns_the_schema_needs_no_right_to_make_one() {
    let Some(server) = blocking(|| Postgres::start("least privilege")).await else { return };
    let url = tokio::task::block_in_place(|| {
        server.sql("CREATE ROLE teller LOGIN; CREATE SCHEMA till AUTHORIZATION teller");
        assert_eq!(server.sql("SELECT has_database_privilege('teller', current_database(), 'CREATE')"), "f");
        let (_, address) = server.url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        format!("postgres://teller@{address}")
    });
    let ledger = AuroraLedger::open(AuroraOptions::new(&url).unwrap().schema("till").unwrap()).await.unwrap();
    customers(&ledger, &["a"]).await;
    assert_eq!(balance(&ledger, "a", Consistency::Current).await, 1_000);
}
