//! Redis against the suites of its roles, on one server and in a cluster, and what happens when it is away.

#![cfg(all(feature = "redis", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "server/between.rs"]
mod between;
#[path = "redis/server.rs"]
mod server;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bank_stores::cache::{Message, Subscription};
use bank_stores::limit::{NamedCharge, Rate};
use bank_stores::redis::{RedisCache, RedisLimits, RedisOnce, RedisOptions};
use bank_stores::{Cache, ErrorKind, Limits, Once};
use between::Between;
use server::{Server, cluster, fresh, shared};
use tokio::time::{Instant, timeout};

const MINUTE: Duration = Duration::from_secs(60);

mod one {
    use super::*;

    async fn cache() -> Option<(RedisCache, ())> {
        Some((RedisCache::open(fresh(shared()?)).await.unwrap(), ()))
    }

    async fn limits() -> Option<(RedisLimits, ())> {
        Some((RedisLimits::open(fresh(shared()?)).await.unwrap(), ()))
    }

    async fn once() -> Option<(RedisOnce, ())> {
        Some((RedisOnce::open(fresh(shared()?)).await.unwrap(), ()))
    }

    bank_stores::cache_conformance!(cache());
    bank_stores::limits_conformance!(limits());
    bank_stores::once_conformance!(once());
}

mod in_a_cluster {
    use super::*;

    async fn cache() -> Option<(RedisCache, ())> {
        Some((RedisCache::open(cluster()?).await.unwrap(), ()))
    }

    async fn limits() -> Option<(RedisLimits, ())> {
        Some((RedisLimits::open(cluster()?).await.unwrap(), ()))
    }

    async fn once() -> Option<(RedisOnce, ())> {
        Some((RedisOnce::open(cluster()?).await.unwrap(), ()))
    }

    bank_stores::cache_conformance!(cache());
    bank_stores::limits_conformance!(limits());
    bank_stores::once_conformance!(once());
}

/// With the times that a bank has.
fn hasty(server: &Server) -> RedisOptions {
    fresh(server).connect_timeout(Duration::from_millis(500)).response_timeout(Duration::from_millis(500))
}

fn charge() -> [NamedCharge; 1] {
    [NamedCharge::new("k", Rate::per_day(NonZeroU32::new(100).unwrap()), 1)]
}

/// Waits until the call is answered.
async fn until_it_answers(limits: &RedisLimits) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = limits.take("g", &charge()).await {
        assert!(Instant::now() < deadline, "it does not come back: {error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_told_of_at_once_and_used_when_it_is_back() {
    let Some(mut server) = Server::start(&[]) else { return };
    let limits = RedisLimits::open(hasty(&server).pause(Duration::from_secs(1))).await.unwrap();
    limits.take("g", &charge()).await.unwrap();
    server.kill();
    let mut at_once = 0;
    for _ in 0..500 {
        let error = limits.take("g", &charge()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Indeterminate), "{error:?}");
        at_once += u32::from(error.message().contains("is away since"));
    }
    assert!(at_once > 400, "{at_once} of 500 did not even try");
    server.restart();
    // It knows no script yet.
    until_it_answers(&limits).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_is_a_lost_one_and_no_damage() {
    let Some(server) = shared() else { return };
    let between = Between::before(server.port).await;
    let options = RedisOptions::new(&format!("redis://127.0.0.1:{}", between.port)).unwrap();
    let options = options.prefix("broken_off").unwrap().pause(Duration::from_millis(20));
    let once = RedisOnce::open(options.response_timeout(Duration::from_secs(20))).await.unwrap();
    assert_eq!(once.claim("k", "somebody else".into(), MINUTE).await.unwrap(), None);
    between.cut_replies("broken_off", 1);
    let error = once.claim("k", "me".into(), MINUTE).await.unwrap_err();
    assert_eq!((error.kind(), between.left()), (ErrorKind::Indeterminate, 0), "{error:?}");
    let deadline = Instant::now() + Duration::from_secs(20);
    let held = loop {
        match once.claim("k", "me".into(), MINUTE).await {
            Ok(held) => break held,
            Err(error) => assert!(Instant::now() < deadline, "it does not come back: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(held.as_deref(), Some(&b"somebody else"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_come_is_not_waited_for_long() {
    let Some(server) = Server::start(&[]) else { return };
    let (limits, cache) =
        (RedisLimits::open(hasty(&server)).await.unwrap(), RedisCache::open(hasty(&server)).await.unwrap());
    server.signal("-STOP");
    let start = Instant::now();
    // What was asked for may happen yet; a read may simply be made again.
    assert_eq!(limits.take("g", &charge()).await.unwrap_err().kind(), ErrorKind::Indeterminate);
    assert_eq!(cache.get("k").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    server.signal("-CONT");
    until_it_answers(&limits).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_away_also_to_callers_who_wait_for_less_than_the_connection_does() {
    let Some(server) = Server::start(&[]) else { return };
    let patient = fresh(&server).response_timeout(Duration::from_secs(600)).pause(Duration::from_secs(600));
    let cache = RedisCache::open(patient).await.unwrap();
    cache.get("k").await.unwrap();
    server.signal("-STOP");
    for _ in 0..3 {
        let waited = tokio::time::timeout(Duration::from_millis(150), cache.get("k")).await;
        assert!(waited.is_err(), "{waited:?}");
    }
    let error =
        tokio::time::timeout(Duration::from_secs(60), cache.get("k")).await.expect("at once").unwrap_err();
    assert!(error.message().contains("is away since"), "{error}");
    server.signal("-CONT");
}

/// A way to a server on which the connections of before lead nowhere from some time on, without an end: as to a machine that vanished.
async fn way_to(port: u16) -> (u16, Arc<AtomicBool>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (own, vanished) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)));
    let told = vanished.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (told, was_before) = (told.clone(), !told.load(Ordering::SeqCst));
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let vanishes = async {
                    while !(was_before && told.load(Ordering::SeqCst)) {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    // Both ends stay open.
                    () = vanishes => std::future::pending().await,
                }
            });
        }
    });
    (own, vanished)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_wait_for_little_are_led_past_a_connection_that_leads_nowhere() {
    let Some(server) = Server::start(&[]) else { return };
    let (port, vanished) = way_to(server.port).await;
    let options = RedisOptions::new(&format!("redis://127.0.0.1:{port}")).unwrap();
    let cache = RedisCache::open(options.pause(Duration::from_millis(50))).await.unwrap();
    cache.get("k").await.unwrap();
    vanished.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Sooner than the connection itself would notice, each time.
    assert!(tokio::time::timeout(Duration::from_millis(250), cache.get("k")).await.is_err());
    let deadline = Instant::now() + Duration::from_secs(60);
    while !matches!(tokio::time::timeout(Duration::from_millis(250), cache.get("k")).await, Ok(Ok(None))) {
        assert!(Instant::now() < deadline, "no other connection is made");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_a_server_forgot_are_sent_again_within_the_call() {
    let Some(server) = Server::start(&[]) else { return };
    let limits = RedisLimits::open(fresh(&server)).await.unwrap();
    for left in [99, 98, 97] {
        assert_eq!(limits.take("g", &charge()).await.unwrap()[0].remaining, left);
        assert!(server.ask("SCRIPT FLUSH").starts_with("+OK"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_claims_could_be_evicted_nobody_claims() {
    let Some(server) = Server::start(&["--maxmemory-policy", "allkeys-lru"]) else { return };
    let error = RedisOnce::open(fresh(&server)).await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::Denied, Some("maxmemory_policy")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_keeps_what_was_claimed_and_goes_on_limiting() {
    let Some(server) = Server::start(&["--maxmemory", "4mb"]) else { return };
    let once = RedisOnce::open(fresh(&server)).await.unwrap();
    let limits = RedisLimits::open(fresh(&server)).await.unwrap();
    let value = bytes(4_000);
    let mut claimed = Vec::new();
    let full = loop {
        let key = claimed.len().to_string();
        match once.claim(&key, value.clone().into(), MINUTE).await {
            Ok(None) => claimed.push(key),
            Ok(Some(_)) => panic!("{key} was claimed by nobody"),
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::Unavailable);
    assert!(claimed.len() > 100, "{}", claimed.len());
    for _ in 0..50 {
        limits.take("g", &charge()).await.unwrap();
    }
    for key in claimed {
        assert!(once.release(&key, &value).await.unwrap(), "{key} is gone");
    }
}

fn bytes(count: usize) -> Vec<u8> {
    vec![b'x'; count]
}

async fn next(subscription: &mut Subscription) -> Message {
    timeout(Duration::from_secs(20), subscription.next()).await.expect("a message comes").expect("it goes on")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_have_missed_messages_is_told_and_hears_what_comes_then() {
    let Some(mut server) = Server::start(&[]) else { return };
    let cache = RedisCache::open(hasty(&server)).await.unwrap();
    let late = RedisCache::open(hasty(&server)).await.unwrap();
    let mut one = cache.subscribe("c").await.unwrap();
    let mut two = cache.subscribe("d").await.unwrap();
    server.kill();
    for subscription in [&mut one, &mut two] {
        assert_eq!(next(subscription).await, Message::Lost);
    }
    // Neither by a connection that is on its way back, nor by one that was never made.
    for cache in [&cache, &late] {
        let refused = timeout(Duration::from_secs(20), cache.subscribe("e")).await.expect("it does not hang");
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    server.restart();
    // Told again when it is subscribed again: what was sent in between went to nobody.
    for subscription in [&mut one, &mut two] {
        assert_eq!(next(subscription).await, Message::Lost);
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while cache.publish("c", "after".into()).await.is_err() {
        assert!(Instant::now() < deadline, "it does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let heard = loop {
        match next(&mut one).await {
            // The connection may have broken once more.
            Message::Lost => {}
            heard => break heard,
        }
    };
    assert_eq!(heard, Message::Message("after".into()));
    late.subscribe("e").await.expect("it is back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_became_a_replica_is_left() {
    let Some(server) = Server::start(&[]) else { return };
    let Some(other) = Server::start(&[]) else { return };
    let limits = RedisLimits::open(hasty(&server)).await.unwrap();
    limits.take("g", &charge()).await.unwrap();
    let connections = || {
        let told = server.ask("INFO stats");
        let number = told.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        number.unwrap().trim().parse::<u64>().unwrap()
    };
    assert!(server.ask(&format!("REPLICAOF 127.0.0.1 {}", other.port)).starts_with("+OK"));
    let before = connections();
    for _ in 0..2 {
        assert_eq!(limits.take("g", &charge()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    // The name may lead elsewhere by now: another connection is made. One more is the question's own.
    assert!(connections() >= before + 2);
    assert!(server.ask("REPLICAOF NO ONE").starts_with("+OK"));
    until_it_answers(&limits).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_a_server_is_reached_over_tls_and_only_if_its_certificate_holds() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&certificate, signed.cert.pem()).unwrap();
    std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
    let port = server::free_port();
    let Some(_server) = Server::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        certificate.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
        "--tls-auth-clients",
        "no",
    ]) else {
        return;
    };
    let url = format!("rediss://127.0.0.1:{port}/#insecure");
    let options = || RedisOptions::new(&url).unwrap();
    let cache = RedisCache::open(options().root_certificates(&certificate)).await.unwrap();
    assert!(cache.set("k", "v".into(), 1, MINUTE).await.unwrap());
    // Whatever the URL asks for.
    let error = RedisCache::open(options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = RedisCache::open(options().root_certificates("/nowhere.pem")).await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::Invalid, Some("root_certificates")));
}
