//! What the gateway promises to those behind it and before it: seen from a real upstream, which records what arrives.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

#[path = "edge/access.rs"]
mod access;
#[path = "edge/connections.rs"]
mod connections;
#[path = "edge/endpoints.rs"]
mod endpoints;
#[path = "edge/fields.rs"]
mod fields;
#[path = "edge/logins.rs"]
mod logins;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bank_gateway::cors::CorsLayer;
use bank_gateway::identity::password::{PasswordStore, StoredPassword};
use bank_gateway::identity::session::{Session, SessionStore};
use bank_gateway::identity::{Passwords, Sessions};
use bank_gateway::{GatewayBuilder, Quota, Route, Upstream};
use bank_sdk::identity::{Identity, IdentityKeys};
use bank_sdk::serve::Limits;
use bank_sdk::{Access, Api, BankService, Call, Empty, Endpoint, Endpoints, Principal, Problem, Service};
use bank_stores::{Clock as _, Error, SystemClock};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edge_tests::{Client, Edge, HeldPort, OneKey, Recorder, Reply, Request, Wire, identity_keys, until};
use serde_json::json;
use tokio::time::Instant;

const READ: Endpoint<Empty, Empty> = Endpoint::get("/v1/things").authenticated();
const MAKE: Endpoint<Empty, Empty> = Endpoint::post("/v1/things").authenticated().body_limit(1_000);
const PAY: Endpoint<Empty, Empty> = Endpoint::post("/v1/payments").authenticated().idempotency_key();
const SLOW: Endpoint<Empty, Empty> =
    Endpoint::get("/v1/slow").authenticated().timeout(Duration::from_millis(400));
const LISTED: Endpoint<Empty, Empty> = Endpoint::get("/v1/listed").scope("things:list");
const KEPT: Endpoint<Empty, Empty> = Endpoint::get("/v1/kept").role("keeper");
const SHOWN: Endpoint<Empty, Empty> = Endpoint::get("/v1/shown").public();
const INSIDE: Endpoint<Empty, Empty> =
    Endpoint::post("/internal/v1/things").internal(&["friend"]).idempotent();

fn things() -> Api {
    Api::new("things")
        .endpoint(READ.declare())
        .endpoint(MAKE.declare())
        .endpoint(PAY.declare())
        .endpoint(SLOW.declare())
        .endpoint(LISTED.declare())
        .endpoint(KEPT.declare())
        .endpoint(SHOWN.declare())
        .endpoint(INSIDE.declare())
}

/// A gateway in front of these upstreams, which knows `ann` and `bea`.
fn before(upstreams: &[&Recorder]) -> impl FnOnce(GatewayBuilder) -> GatewayBuilder {
    let urls: Vec<String> = upstreams.iter().map(|upstream| upstream.url()).collect();
    at(urls)
}

fn at(urls: Vec<String>) -> impl FnOnce(GatewayBuilder) -> GatewayBuilder {
    |builder| {
        builder
            .authenticate(OneKey::of([Principal::customer("ann"), Principal::customer("bea")]))
            .rate_limit("default", Quota::per_second(10_000))
            .service(things(), Upstream::at(urls).identity_keys(identity_keys()))
    }
}

fn ann(request: Request) -> Request {
    request.header("x-api-key", "bk_ann_secret")
}

fn bea(request: Request) -> Request {
    request.header("x-api-key", "bk_bea_secret")
}

fn make() -> Request {
    ann(Request::post("/v1/things").json(&json!({ "n": 1 })))
}

#[test]
fn a_quota_is_each_principal_s_own_and_tells_how_it_stands() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| before(&[&upstream])(builder).rate_limit("default", Quota::per_hour(5)));
    // Two addresses, one principal.
    let (one, other) = (edge.client(), edge.client());
    for left in (0..5).rev() {
        let answer = if left % 2 == 0 { &one } else { &other }.send(ann(Request::get("/v1/things")));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"default\";q=5;w=3600"));
        let stands = answer.header("ratelimit").unwrap();
        assert!(stands.starts_with(&format!("\"default\";r={left};t=")), "{stands}");
    }
    let refused = one.send(ann(Request::get("/v1/things")));
    assert_eq!(refused.problem(429), "rate_limited");
    assert!((1..=3_600).contains(&refused.header("retry-after").unwrap().parse::<u32>().unwrap()));
    assert!(refused.header("ratelimit").unwrap().starts_with("\"default\";r=0;t="));
    one.send(bea(Request::get("/v1/things"))).expect(200);
    assert_eq!(upstream.count(), 6);
}

#[test]
fn a_request_ends_at_its_deadline_which_a_caller_may_only_shorten() {
    let upstream = Recorder::answering(|_| Reply::Never);
    let edge = Edge::start(before(&[&upstream]));
    for (asked, most) in [("", 400), ("100", 100), ("60000", 400)] {
        let request = ann(Request::get("/v1/slow"));
        let request = if asked.is_empty() { request } else { request.header("bank-timeout-ms", asked) };
        // On a slow machine the time may be over before anything was sent on.
        let seen = upstream.count();
        until("a request to be sent on", || {
            let start = Instant::now();
            assert_eq!(edge.client().send(request.clone()).problem(504), "deadline_exceeded");
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
            (upstream.count() > seen).then_some(())
        });
        let told: u64 =
            upstream.received().last().unwrap().header("bank-timeout-ms").unwrap().parse().unwrap();
        assert!(told <= most, "{told} of {most} ms");
    }
}

struct Fragile;

const BREAK: Endpoint<Empty, Empty> = Endpoint::get("/v1/break").public();
const HOLD: Endpoint<Empty, Empty> = Endpoint::get("/v1/hold").public();

impl Fragile {
    #[allow(clippy::unused_async, reason = "a handler is async")]
    async fn fall(self: Arc<Self>, _: Call<Empty>) -> Result<Empty, Problem> {
        panic!("secret words of a panic")
    }

    #[allow(clippy::unused_async, reason = "a handler is async")]
    async fn hold(self: Arc<Self>, _: Call<Empty>) -> Result<Empty, Problem> {
        Ok(Empty {})
    }
}

impl BankService for Fragile {
    fn api() -> Api {
        Api::new("fragile").endpoint(BREAK.declare()).endpoint(HOLD.declare())
    }

    fn endpoints() -> Endpoints<Self> {
        Endpoints::new().bind(BREAK, Self::fall).bind(HOLD, Self::hold)
    }
}

#[test]
fn what_only_endpoints_have_does_not_build_for_a_service_in_this_process() {
    let local = || Upstream::local(Service::local(Fragile).unwrap());
    let tuned = [
        local().in_flight(1, 1),
        local().retry(bank_gateway::outbound::RetryOptions::default()),
        local().breaker(bank_gateway::outbound::BreakerOptions::default()),
    ];
    for upstream in tuned {
        let error = bank_gateway::Gateway::builder().service(Fragile::api(), upstream).build().unwrap_err();
        assert!(error.to_string().contains("as a function in this process"), "{error}");
    }
}

#[test]
fn a_panic_is_one_request_s_500_and_ends_nothing_else() {
    let edge = Edge::start(|builder| {
        builder.service(Fragile::api(), Upstream::local(Service::local(Fragile).unwrap()))
    });
    let mut connection = edge.client().connect().unwrap();
    let fallen = connection.exchange(&Request::get("/v1/break")).unwrap();
    assert_eq!(fallen.status, 500);
    assert!(!fallen.text().contains("secret words"));
    connection.exchange(&Request::get("/v1/hold")).unwrap().expect(200);
    assert_eq!(fallen.problem(500), "internal");
    assert!(fallen.header("x-request-id").is_some(), "every answer carries its request's id");
}

#[test]
fn a_bad_configuration_leaves_the_old_one_in_force() {
    if edge_tests::is_rebuilt() {
        // A reload swaps the gateway's own parts: who composes them differently swaps them too.
        return;
    }
    let upstream = Recorder::start();
    let edge = Edge::start(before(&[&upstream]));
    let gateway = edge.gateway().clone();
    let _inside = edge.runtime().enter();
    let bad = bank_gateway::Gateway::builder().service(things(), Upstream::at(["http://127.0.0.1:1"]));
    let error = gateway.reload(bad).unwrap_err().to_string();
    assert!(error.contains("identity keys"), "{error}");
    edge.client().send(ann(Request::get("/v1/things"))).expect(200);
    let fewer = Api::new("things").endpoint(SHOWN.declare());
    let good = bank_gateway::Gateway::builder()
        .service(fewer, Upstream::at([upstream.url()]).identity_keys(identity_keys()));
    gateway.reload(good).unwrap();
    edge.client().send(ann(Request::get("/v1/things"))).problem(404);
    edge.client().send(Request::get("/v1/shown")).expect(200);
}
