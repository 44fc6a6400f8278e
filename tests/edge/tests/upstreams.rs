//! Where services run: behind TLS, with a budget of their own for calls between them, and ready or not.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bank_gateway::{Policy, ReadyCheck, Route, Times, Upstream};
use bank_sdk::declaration::{Access, Api};
use bank_sdk::identity::{Identity, IdentityKeys};
use bank_sdk::{Empty, Endpoint};
use bank_stores::{Clock as _, SystemClock};
use edge_tests::{Edge, Recorder, Reply, Request, identity_keys, until};

fn everything() -> Route {
    Route::all("/{*rest}").access(Access::Public)
}

#[test]
fn s24_an_upstream_is_reached_over_tls_and_only_if_its_certificate_holds() {
    let (theirs, strangers) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let service = Recorder::start();
    let behind = Edge::start_tls(theirs.path(), |builder| {
        builder.route(everything(), Upstream::at([service.url()]).foreign())
    });
    // Another authority, of another directory.
    drop(Edge::start_tls(strangers.path(), |builder| builder));
    let port = behind.client().address().port();
    let through = |directory: &tempfile::TempDir, host: &str| {
        let trusted = bank_gateway::tls::client_config(&directory.path().join("ca.pem")).unwrap();
        let upstream = Upstream::at([format!("https://{host}:{port}")]).tls(trusted).foreign();
        let edge = Edge::start(|builder| builder.route(everything(), upstream));
        edge.client().send(Request::get("/v1/x")).status
    };
    assert_eq!(through(&theirs, "localhost"), 200);
    assert_eq!(through(&strangers, "localhost"), 503, "nobody knows who signed it");
    assert_eq!(through(&theirs, "127.0.0.2"), 503, "it is for another name");
    assert_eq!(service.count(), 1);
}

#[test]
fn s7_an_answer_that_stalls_breaks_off_at_its_idle_time() {
    let stalls = Recorder::answering(|_| Reply::Stall(Duration::from_secs(20)));
    let times = Times::head(Duration::from_secs(60)).idle(Duration::from_millis(300));
    let route = everything().policy(Policy::new().times(times));
    let edge = Edge::start(|builder| builder.route(route, Upstream::at([stalls.url()]).foreign()));
    let took = until("an answer that breaks off", || {
        let start = tokio::time::Instant::now();
        match edge.client().try_send(Request::get("/v1/x")) {
            // On a busy machine the time may be over before the first byte comes: nothing breaks off then.
            Ok(late) if [503, 504].contains(&late.status) => None,
            Ok(whole) => panic!("the body is not whole: {whole:?}"),
            Err(_) => Some(start.elapsed()),
        }
    });
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn readiness_turns_with_its_checks_and_tells_the_reason_to_operators_only() {
    let well = Arc::new(AtomicBool::new(true));
    let asked = well.clone();
    let check = ReadyCheck::new(move || {
        let well = asked.load(Ordering::SeqCst);
        async move { if well { Ok(()) } else { Err("the disk is full".to_owned()) } }
    });
    let edge = Edge::start(|builder| builder.ready_check("ledger", check));
    let admin = edge.beside(edge.gateway().admin());
    edge.client().send(Request::get("/readyz")).expect(200);
    well.store(false, Ordering::SeqCst);
    let outside = until("the gateway not to be ready", || {
        let outside = edge.client().send(Request::get("/readyz"));
        (outside.status == 503).then_some(outside)
    });
    assert!(!outside.text().contains("disk"), "{}", outside.text());
    let inside = admin.send(Request::get("/readyz"));
    assert_eq!((inside.status, &inside.json()["reasons"]["ledger"]), (503, &"the disk is full".into()));
    well.store(true, Ordering::SeqCst);
    until("the gateway to be ready again", || {
        (edge.client().send(Request::get("/readyz")).status == 200).then_some(())
    });
}

const POKE: Endpoint<Empty, Empty> = Endpoint::post("/internal/v1/poke")
    .summary("Waits")
    .internal(&["friend"])
    .timeout(Duration::from_secs(60));

#[test]
fn calls_between_services_have_a_budget_of_their_own() {
    for budget in [1, 2] {
        let gate = Arc::new(AtomicBool::new(false));
        let open = gate.clone();
        let slow = Recorder::answering(move |_| {
            until("the gate to open", || open.load(Ordering::SeqCst).then_some(()));
            Reply::ok()
        });
        let friend = IdentityKeys::new([("f", [1_u8; 32])]).unwrap();
        let edge = Edge::start(|builder| {
            let upstream = Upstream::at([slow.url()]).identity_keys(identity_keys());
            builder
                .name("gate")
                .caller("friend", friend.clone())
                .internal_at_once(budget)
                .service(Api::new("slow").endpoint(POKE.declare()), upstream)
        });
        let inside = edge.beside(edge.gateway().internal());
        let call = |millis: &str| {
            let now = SystemClock::new().now();
            let identity = Identity::new("friend", "gate", "POST /internal/v1/poke", "req_1", now);
            let request = Request::post("/internal/v1/poke").header("bank-identity", friend.sign(&identity));
            inside.send(request.header("bank-timeout-ms", millis)).status
        };
        std::thread::scope(|scope| {
            let first = scope.spawn(|| call("60000"));
            slow.until_count(1);
            if budget == 1 {
                // There is no room for it until its time is over.
                let refused = call("300");
                assert!([503, 504].contains(&refused), "{refused}");
                assert_eq!(slow.count(), 1, "it reaches nobody");
                gate.store(true, Ordering::SeqCst);
            } else {
                let second = scope.spawn(|| call("60000"));
                slow.until_count(2);
                gate.store(true, Ordering::SeqCst);
                assert_eq!(second.join().unwrap(), 200);
            }
            assert_eq!(first.join().unwrap(), 200);
        });
        assert_eq!(call("60000"), 200, "the budget is given back");
    }
}
