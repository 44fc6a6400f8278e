//! Quotas that several gateways count together, and what becomes of them without their store.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bank_gateway::{
    Buckets, Gateway, GatewayBuilder, LimitBy, Policy, Quota, RateLimit, Route, SharedLimits, Times,
    Upstream, WhenAway,
};
use bank_sdk::{Access, Principal};
use bank_stores::limit::{Charge, LimitKey, LimitTable, NamedCharge, Verdict};
use bank_stores::{Error, ErrorKind, Limits};
use edge_tests::{Client, Edge, OneKey, Recorder, Request, patience};

/// A store of limits in which no time passes.
#[derive(Debug)]
struct Store {
    table: LimitTable,
    state: Mutex<State>,
    calls: AtomicUsize,
    groups: Mutex<HashMap<String, usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Here,
    Away,
    Silent,
    /// It forgets verdicts.
    Short,
    /// It goes away behind the first call.
    AwayNext,
}

impl Store {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            table: LimitTable::new(1_024),
            state: Mutex::new(State::Here),
            calls: AtomicUsize::new(0),
            groups: Mutex::default(),
        })
    }

    fn is(&self, state: State) {
        *self.state.lock().unwrap() = state;
    }
}

#[async_trait]
impl Limits for Store {
    async fn take(&self, group: &str, charges: &[NamedCharge]) -> Result<Vec<Verdict>, Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        *self.groups.lock().unwrap().entry(group.to_owned()).or_default() += charges.len();
        let state = *self.state.lock().unwrap();
        match state {
            State::Here => {}
            State::Away => return Err(Error::new(ErrorKind::Unavailable, "the store is away")),
            State::Silent => std::future::pending().await,
            State::Short => return Ok(Vec::new()),
            State::AwayNext => self.is(State::Away),
        }
        let charges: Vec<Charge> = charges
            .iter()
            .map(|charge| Charge {
                key: LimitKey::of_parts("shared", &[group.as_bytes(), charge.key.as_bytes()]),
                rate: charge.rate,
                cost: charge.cost,
            })
            .collect();
        Ok(self.table.take(0, &charges).verdicts().to_vec())
    }
}

/// A gateway that counts ten an hour for each caller in the store.
fn gateway(store: &Arc<Store>, when_away: WhenAway, upstream: &str) -> Edge {
    let (limits, url) = (SharedLimits::new(store.clone(), when_away), upstream.to_owned());
    Edge::start(move |builder| {
        ten_an_hour(builder).shared_limits(limits).route(everything(), Upstream::at([url]).foreign())
    })
}

fn ten_an_hour(builder: GatewayBuilder) -> GatewayBuilder {
    let callers = ["ann", "bea"].map(|name| Principal::customer(name).with_tenant("bank"));
    builder.authenticate(OneKey::of(callers)).rate_limit("default", Quota::per_hour(10))
}

fn everything() -> Route {
    Route::all("/{*rest}").access(Access::Authenticated { scopes: Vec::new(), roles: Vec::new() })
}

fn ask(client: &Client, who: &str) -> u16 {
    client.send(request(who)).status
}

fn request(who: &str) -> Request {
    Request::get("/x").header("x-api-key", format!("bk_{who}_secret"))
}

fn passed(client: &Client, who: &str, of: usize) -> usize {
    (0..of).filter(|_| ask(client, who) == 200).count()
}

const HALF: WhenAway = WhenAway::Share(NonZeroU32::new(2).unwrap());

#[test]
fn two_gateways_together_let_pass_what_the_quota_says() {
    let (store, upstream) = (Store::new(), Recorder::start());
    let gateways = [gateway(&store, HALF, &upstream.url()), gateway(&store, HALF, &upstream.url())];
    let clients = gateways.each_ref().map(Edge::client);
    for left in (0..10).rev() {
        let answer = clients[left % 2].send(request("ann"));
        assert_eq!(answer.status, 200);
        let told = answer.header("ratelimit").unwrap().to_owned();
        assert!(told.starts_with(&format!("\"default\";r={left};")), "{told}");
        assert_eq!(answer.header("ratelimit-policy"), Some("\"default\";q=10;w=3600"));
    }
    for client in &clients {
        let refused = client.send(request("ann"));
        assert!(refused.header("retry-after").is_some());
        assert_eq!(refused.problem(429), "rate_limited");
        assert_eq!(ask(client, "bea"), 200, "each caller has their own");
    }
    assert_eq!(store.calls.load(Ordering::SeqCst), 14, "one call a request");
    let groups = store.groups.lock().unwrap();
    assert!(groups.keys().all(|group| !group.contains("ann")), "{groups:?}");
}

#[test]
fn without_the_store_each_gateway_counts_its_share_and_then_together_again() {
    let (store, upstream) = (Store::new(), Recorder::start());
    let gateways = [gateway(&store, HALF, &upstream.url()), gateway(&store, HALF, &upstream.url())];
    let clients = gateways.each_ref().map(Edge::client);
    store.is(State::Away);
    assert_eq!(clients.each_ref().map(|client| passed(client, "ann", 20)), [5, 5]);
    store.is(State::Here);
    assert_eq!(passed(&clients[0], "ann", 20), 10);
    assert_eq!(passed(&clients[1], "ann", 20), 0);
}

#[test]
fn without_the_store_requests_pass_or_are_refused_where_that_is_said() {
    let (store, upstream) = (Store::new(), Recorder::start());
    let (open, closed) = (
        gateway(&store, WhenAway::Pass, &upstream.url()),
        gateway(&store, WhenAway::Refuse, &upstream.url()),
    );
    store.is(State::Away);
    assert_eq!(passed(&open.client(), "ann", 20), 20);
    assert_eq!(closed.client().send(request("ann")).problem(503), "unavailable");
}

#[test]
fn a_store_that_does_not_answer_in_time_or_not_for_each_charge_is_away() {
    let (store, upstream) = (Store::new(), Recorder::start());
    let edge = gateway(&store, HALF, &upstream.url());
    for state in [State::Silent, State::Short] {
        store.is(state);
        let who = if state == State::Silent { "ann" } else { "bea" };
        assert_eq!(passed(&edge.client(), who, 8), 5, "{state:?}");
    }
}

#[test]
fn a_store_that_never_answers_ends_with_the_route_s_time_where_that_is_less() {
    let (store, upstream) = (Store::new(), Recorder::start());
    let (limits, url) = (SharedLimits::new(store.clone(), HALF).timeout(patience()), upstream.url());
    let edge = Edge::start(move |builder| {
        let times = Policy::new().times(Times::head(Duration::from_millis(300)));
        let route = everything().policy(times);
        ten_an_hour(builder).shared_limits(limits).route(route, Upstream::at([url]).foreign())
    });
    store.is(State::Silent);
    assert_eq!(ask(&edge.client(), "ann"), 504);
    assert!(upstream.received().is_empty());
}

#[test]
fn quotas_of_one_caller_are_taken_in_one_call_and_those_of_several_in_one_each() {
    let (store, upstream) = (Store::new(), Recorder::start());
    let (limits, url) = (SharedLimits::new(store.clone(), HALF), upstream.url());
    let edge = Edge::start(move |builder| {
        let policy = Policy::new().limit_with_cost("dear", Quota::per_hour(6), LimitBy::Caller, 2).limit(
            "tenant",
            Quota::per_hour(4),
            LimitBy::tenant(),
        );
        ten_an_hour(builder)
            .shared_limits(limits)
            .route(everything().policy(policy), Upstream::at([url]).foreign())
    });
    let client = edge.client();
    assert_eq!(passed(&client, "ann", 3), 3);
    assert_eq!(store.calls.load(Ordering::SeqCst), 6);
    assert_eq!(store.groups.lock().unwrap().values().sum::<usize>(), 9);
    // Her own quota refuses her, and takes nothing from the tenant's.
    assert_eq!((ask(&client, "ann"), store.calls.load(Ordering::SeqCst)), (429, 7));
    assert_eq!((passed(&client, "bea", 2), store.calls.load(Ordering::SeqCst)), (1, 11));
}

#[test]
fn what_the_store_has_counted_is_not_counted_again_where_it_goes_away_then() {
    let (store, upstream) = (Store::new(), Recorder::start());
    let (limits, url) = (SharedLimits::new(store.clone(), HALF), upstream.url());
    let edge = Edge::start(move |builder| {
        let policy = Policy::new().limit("tenant", Quota::per_hour(100), LimitBy::tenant());
        ten_an_hour(builder)
            .shared_limits(limits)
            .route(everything().policy(policy), Upstream::at([url]).foreign())
    });
    let client = edge.client();
    // More often than her share of ten would let pass.
    for left in (0..10).rev() {
        store.is(State::AwayNext);
        let answer = client.send(request("ann"));
        assert_eq!(answer.status, 200);
        let told: Vec<_> =
            answer.headers.iter().filter(|(name, _)| name == "ratelimit").map(|(_, value)| value).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with(&format!("\"default\";r={left};")), "{told:?}");
    }
}

#[test]
fn the_limit_of_addresses_asks_nobody() {
    let (store, upstream) = (Store::new(), Recorder::start());
    let (limits, url) = (SharedLimits::new(store.clone(), HALF), upstream.url());
    let edge = Edge::start(move |builder| {
        ten_an_hour(builder)
            .address_limit(Quota::per_hour(3))
            .shared_limits(limits)
            .route(everything(), Upstream::at([url]).foreign())
    });
    assert_eq!(passed(&edge.client(), "ann", 20), 3);
    assert_eq!(store.calls.load(Ordering::SeqCst), 3);
}

#[test]
fn what_no_store_can_count_is_refused_when_it_is_described() {
    let wrong = |builder: GatewayBuilder| builder.build().unwrap_err().to_string();
    let slow = wrong(Gateway::builder().rate_limit("slow", Quota::per_hour(1).burst(u32::MAX)));
    assert!(slow.contains("slow") && slow.contains("142 years"), "{slow}");
    let long = wrong(Gateway::builder().rate_limit("x".repeat(257), Quota::per_hour(1)));
    assert!(long.contains("256 bytes"), "{long}");
    let mut limit = RateLimit::new("q0", Quota::per_hour(1), Buckets::new(16)).unwrap();
    for number in 1..16 {
        limit = limit.and(&format!("q{number}"), Quota::per_hour(1), LimitBy::Caller).unwrap();
    }
    let many = limit.and("one-more", Quota::per_hour(1), LimitBy::Caller).unwrap_err().to_string();
    assert!(many.contains("16 quotas") && many.contains("one-more"), "{many}");
}
