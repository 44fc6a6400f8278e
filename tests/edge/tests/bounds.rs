//! What is bounded, whose bound it is, and what outlives a reload.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bank_gateway::identity::api_key::{ApiKeyStore, StoredKey};
use bank_gateway::identity::session::{Session, SessionStore};
use bank_gateway::identity::{ApiKeys, Checked, Scheme, Sessions, refused_credential};
use bank_gateway::{
    ClientAddress, Gateway, GatewayBuilder, LimitBy, Policy, Quota, Route, Times, TotalLimit, Upstream,
};
use bank_sdk::client::ConnectOptions;
use bank_sdk::declaration::Method;
use bank_sdk::http::Body;
use bank_sdk::{Access, Principal, PrincipalKind};
use bank_stores::{Clock as _, Error, SystemClock};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edge_tests::{Client, Edge, OneKey, Recorder, Reply, Request, patience, until};

const ANYBODY: Access = Access::Public;

fn known() -> Access {
    Access::Authenticated { scopes: Vec::new(), roles: Vec::new() }
}

fn everything() -> Route {
    Route::all("/{*rest}").access(ANYBODY)
}

fn lavish(builder: GatewayBuilder) -> GatewayBuilder {
    builder.rate_limit("default", Quota::per_second(100_000))
}

fn key_of(name: &str, request: Request) -> Request {
    request.header("x-api-key", format!("bk_{name}_secret"))
}

/// The only endpoint of the only service.
fn endpoint(admin: &Client) -> serde_json::Value {
    let upstreams = admin.send(Request::get("/admin/upstreams")).expect(200);
    let services = upstreams["services"].as_object().unwrap().clone();
    services.into_iter().next().unwrap().1[0].clone()
}

#[test]
fn an_upstream_has_so_many_requests_at_once_some_wait_and_all_others_are_refused_at_once() {
    let gate = Arc::new(AtomicBool::new(false));
    let open = gate.clone();
    let upstream = Recorder::answering(move |_| {
        until("the gate to open", || open.load(Ordering::SeqCst).then_some(()));
        Reply::ok()
    });
    let edge = Edge::start(|builder| {
        lavish(builder).route(everything(), Upstream::at([upstream.url()]).foreign().in_flight(2, 1))
    });
    let (client, admin) = (edge.client(), edge.beside(edge.gateway().admin()));
    std::thread::scope(|scope| {
        let mut served: Vec<_> =
            (0..2).map(|_| scope.spawn(|| client.send(Request::get("/x")).status)).collect();
        upstream.until_count(2);
        // Of those that come now one waits; whichever it is, the others are refused.
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| client.send(Request::get("/x")))).collect();
        until("three of four to be refused", || {
            (waiting.iter().filter(|call| call.is_finished()).count() == 3).then_some(())
        });
        assert_eq!(upstream.count(), 2, "no more than two reach it");
        gate.store(true, Ordering::SeqCst);
        let answers: Vec<_> = waiting.into_iter().map(|call| call.join().unwrap()).collect();
        let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
        assert_eq!(refused.len(), 3);
        refused.iter().for_each(|answer| assert_eq!(answer.problem(503), "overloaded"));
        served.drain(..).for_each(|call| assert_eq!(call.join().unwrap(), 200));
    });
    until("nothing to be in flight", || (endpoint(&admin)["in_flight"] == 0).then_some(()));
}

#[test]
fn whoever_hangs_up_gives_back_the_place_that_he_had_or_waited_for() {
    let held = |line: &str| if line.contains("/held") { Reply::Never } else { Reply::ok() };
    let upstream = Recorder::answering(move |request| held(&request.line));
    // The place is held for as long as anything here is waited for.
    let route = everything().policy(Policy::new().times(Times::head(patience() * 2)));
    let edge = Edge::start(|builder| {
        lavish(builder).route(route.clone(), Upstream::at([upstream.url()]).foreign().in_flight(1, 1))
    });
    let (client, admin) = (edge.client(), edge.beside(edge.gateway().admin()));
    for round in 1..=5 {
        let mut held = client.connect().unwrap();
        held.start(&Request::get("/held")).unwrap();
        until("the place to be taken", || {
            let received = upstream.received();
            let held = received.iter().filter(|request| request.line.contains("/held")).count();
            (held == round).then_some(())
        });
        let hasty = || Request::get("/x").header("bank-timeout-ms", "50");
        until("the queue to have room", || (client.send(hasty()).status == 504).then_some(()));
        let mut waiting = Vec::new();
        until("the queue to be full", || {
            // One that comes while the question waits is refused; then another takes the place.
            waiting.push(client.connect().unwrap());
            waiting.last_mut()?.start(&Request::get("/waits")).unwrap();
            (client.send(hasty()).status == 503).then_some(())
        });
        drop((held, waiting));
        until("a place to be free", || (client.send(Request::get("/x")).status == 200).then_some(()));
    }
    until("nothing to be in flight", || (endpoint(&admin)["in_flight"] == 0).then_some(()));
    until("nothing to be in flight by the metrics", || {
        let text = admin.send(Request::get("/metrics")).text();
        text.contains("bank_gateway_in_flight 0\n").then_some(())
    });
}

#[test]
fn whoever_asks_how_the_gateway_does_is_never_refused_for_load() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        builder
            .rate_limit("default", Quota::per_hour(1))
            .total_limit(TotalLimit::new(Quota::per_hour(1)).unwrap())
            .route(everything(), Upstream::at([upstream.url()]).foreign())
    });
    let client = edge.client();
    assert_eq!(client.send(Request::get("/x")).status, 200);
    assert_eq!(edge.client().send(Request::get("/x")).problem(503), "overloaded");
    for _ in 0..20 {
        client.send(Request::get("/healthz")).expect(200);
        client.send(Request::get("/readyz")).expect(200);
    }
}

/// A figure of `/proc/self/status` in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn ten_thousand_reloads_leave_nothing_behind() {
    let upstreams = [Recorder::start(), Recorder::start()];
    let keys = OneKey::of([Principal::customer("ann")]);
    let describe = |at: usize| {
        let mut connect = ConnectOptions::default();
        // Each asks for another way to the same place, and to one that is in no other configuration.
        connect.max_idle = 1 + at;
        let urls = [upstreams[at % 2].url(), format!("http://127.0.0.2:{}", 1_024 + at)];
        let upstream = Upstream::at(urls).foreign().connect(connect);
        let own = Route::all(format!("/only/{at}")).access(Access::Public);
        let there = || Upstream::at([upstreams[0].url()]).foreign();
        lavish(Gateway::builder())
            .authenticate(keys.clone())
            .route(everything(), upstream)
            .route(own, there())
    };
    let edge = Edge::start(|_| describe(0));
    let (gateway, client, admin) = (edge.gateway(), edge.client(), edge.beside(edge.gateway().admin()));
    let _inside = edge.runtime().enter();
    let mut before = 0;
    for at in 1..=10_000 {
        if at == 1_000 {
            before = resident();
        }
        gateway.reload(describe(at)).unwrap();
        if at % 100 == 0 && !edge_tests::is_rebuilt() {
            client.send(Request::get("/x")).expect(200);
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more after 9,000 reloads");
    let services = admin.send(Request::get("/admin/upstreams")).expect(200)["services"].clone();
    assert_eq!(services["* /{*rest}"].as_array().unwrap().len(), 2, "{services}");
    let metrics = admin.send(Request::get("/metrics")).text();
    assert!(metrics.contains("/only/10000") && !metrics.contains("/only/9999"), "{metrics}");
    // The last configuration's connection is kept, those of the 99 others that were used are not.
    until("old connections to be closed", || {
        (upstreams.iter().map(Recorder::connections).sum::<usize>() <= 2).then_some(())
    });
}

#[test]
fn a_reload_keeps_what_is_known_of_endpoints_and_drops_those_that_are_gone() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.".to_vec();
    let (ill, sound) = (Recorder::answering(move |_| Reply::Raw(half.clone())), Recorder::start());
    let describe = |recorder: &Recorder, connect: ConnectOptions| {
        let upstream = Upstream::at([recorder.url()]).foreign().connect(connect);
        lavish(Gateway::builder()).route(everything(), upstream)
    };
    let edge = Edge::start(|_| describe(&ill, ConnectOptions::default()));
    let (gateway, client, admin) = (edge.gateway(), edge.client(), edge.beside(edge.gateway().admin()));
    let _inside = edge.runtime().enter();
    until("the breaker to open", || {
        assert!(client.try_send(Request::get("/x")).is_err());
        (endpoint(&admin)["state"] == "open").then_some(())
    });
    let before = endpoint(&admin);
    let mut other = ConnectOptions::default();
    other.idle_timeout = Duration::from_secs(7);
    gateway.reload(describe(&ill, other)).unwrap();
    let after = endpoint(&admin);
    for what in ["state", "requests", "latency_us"] {
        assert_eq!(after[what], before[what], "{what}");
    }
    gateway.reload(describe(&sound, ConnectOptions::default())).unwrap();
    assert_eq!((&endpoint(&admin)["state"], &endpoint(&admin)["requests"]), (&"closed".into(), &0.into()));
    gateway.reload(describe(&ill, ConnectOptions::default())).unwrap();
    assert_eq!(endpoint(&admin)["requests"], 0, "what nobody used was forgotten");
}

fn sha256(text: &[u8]) -> [u8; 32] {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text).as_ref().try_into().unwrap()
}

/// A session for each name that begins with `ses_`, and how often it was asked.
#[derive(Debug, Default)]
struct Everybody(AtomicUsize);

#[async_trait]
impl SessionStore for Everybody {
    async fn session(&self, id: &str) -> Result<Option<Session>, Error> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let principal = Arc::new(Principal::customer(format!("cus_{id}")));
        let end = SystemClock::new().now().saturating_add(Duration::from_secs(3_600));
        Ok(Some(Session::new(principal, sha256(b"secret"), sha256(b"csrf"), end)))
    }
}

#[tokio::test]
async fn s33_a_hundred_thousand_principals_are_known_at_once_within_the_bytes_that_are_said() {
    const MANY: usize = 100_000;
    let store = Arc::new(Everybody::default());
    let sessions = Sessions::new(store.clone());
    let before = resident();
    let cookie = |at: usize| {
        let value = format!("__Host-session=ses_{at}.{}", URL_SAFE_NO_PAD.encode("secret"));
        http::Request::get("/").header("cookie", value).body(Body::empty()).unwrap()
    };
    for at in 0..MANY {
        let principal = sessions.check(&mut cookie(at)).await.unwrap();
        assert_eq!(principal.subject, format!("cus_ses_{at}"));
    }
    assert_eq!(store.0.load(Ordering::SeqCst), MANY);
    let grown = resident().saturating_sub(before);
    assert!(grown < 192 * 1024, "{grown} KiB");
    // Whoever comes back within a moment is known: nobody was pushed out by the others.
    let start = MANY - 1_000;
    let fresh = (start..MANY).filter(|&at| sessions.recall(&cookie(at)).is_some()).count();
    assert!(fresh > 900, "{fresh} of the last thousand are known without asking");
}

/// Everybody whose name is in `x-who`, as `kind/tenant/subject`.
#[derive(Debug)]
struct Named;

impl Scheme for Named {
    fn name(&self) -> &'static str {
        "named"
    }

    fn is_presented(&self, request: &http::Request<Body>) -> bool {
        request.headers().contains_key("x-who")
    }

    fn credential_fields(&self) -> &[&'static str] {
        &["x-who"]
    }

    fn check<'a>(&'a self, request: &'a mut http::Request<Body>) -> Checked<'a> {
        let who = request.headers()["x-who"].to_str().unwrap().to_owned();
        let parts: Vec<&str> = who.split('/').collect();
        let principal = match parts[..] {
            ["customer", "", subject] => Principal::customer(subject),
            ["partner", "", subject] => {
                let mut partner = Principal::customer(subject);
                partner.kind = PrincipalKind::Partner;
                partner
            }
            ["customer", tenant, subject] => Principal::customer(subject).with_tenant(tenant),
            _ => return Box::pin(std::future::ready(Err(refused_credential()))),
        };
        Box::pin(std::future::ready(Ok(Arc::new(principal))))
    }
}

#[test]
fn s20_a_crowd_of_strangers_takes_no_room_from_callers_nor_from_the_first_limit() {
    let upstream = Recorder::start();
    let url = upstream.url();
    let edge = Edge::start(|builder| {
        let there = || Upstream::at([url.clone()]).foreign();
        builder
            .buckets(256)
            .client_address(ClientAddress::behind(["127.0.0.0/8"]).unwrap())
            .authenticate(Named)
            .rate_limit("default", Quota::per_hour(3))
            .rate_limit("slow", Quota::per_hour(20))
            .address_limit(Quota::per_second(50).burst(5))
            .route(Route::new(Method::Get, "/open").access(Access::Public).limit_class("slow"), there())
            .route(Route::new(Method::Get, "/either").access(Access::Optional).limit_class("slow"), there())
            .route(Route::new(Method::Get, "/own").access(known()), there())
    });
    let client = edge.client();
    let from = |request: Request, n: usize| {
        request.header("x-forwarded-for", format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255))
    };
    for n in 0..600 {
        client.send(from(Request::get("/open"), n));
        client.send(from(Request::get("/either"), n + 1_000));
    }
    // Each caller has a quota of their own, and tells how it stands.
    for (n, name) in (90_000..).zip(["ann", "bea", "cid"]) {
        let own = || from(Request::get("/own"), n).header("x-who", format!("customer//{name}"));
        for left in (0..3).rev() {
            let answer = client.send(own());
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
            let told = answer.header("ratelimit").unwrap().to_owned();
            assert!(told.starts_with(&format!("\"default\";r={left};")), "{name}: {told}");
        }
        assert_eq!(client.send(own()).problem(429), "rate_limited");
    }
}

#[test]
fn s20_a_quota_is_for_one_kind_of_one_tenant_s_principal() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        builder
            .authenticate(Named)
            .rate_limit("default", Quota::per_hour(2))
            .route(Route::all("/{*rest}").access(known()), Upstream::at([upstream.url()]).foreign())
    });
    let client = edge.client();
    for who in ["customer//7", "partner//7", "customer/a/7", "customer/b/7"] {
        let ask = || client.send(Request::get("/x").header("x-who", who));
        assert_eq!([ask().status, ask().status, ask().status], [200, 200, 429], "{who}");
    }
}

#[test]
fn a_class_of_any_name_has_buckets_of_its_own() {
    let upstream = Recorder::start();
    let url = upstream.url();
    let edge = Edge::start(|builder| {
        let there = || Upstream::at([url.clone()]).foreign();
        builder
            .rate_limit("default", Quota::per_hour(1_000))
            .rate_limit("gateway-address", Quota::per_hour(3))
            .address_limit(Quota::per_hour(8))
            .route(Route::all("/few").access(Access::Public).limit_class("gateway-address"), there())
            .route(Route::all("/many").access(Access::Public), there())
    });
    let client = edge.client();
    let few: Vec<_> = (0..4).map(|_| client.send(Request::get("/few")).status).collect();
    assert_eq!(few, [200, 200, 200, 429]);
    let many: Vec<_> = (0..5).map(|_| client.send(Request::get("/many")).status).collect();
    assert_eq!(many, [200, 200, 200, 200, 429], "eight in all, each counted once");
}

/// No key at all, and how often it was asked.
#[derive(Debug, Default)]
struct Nobody(AtomicUsize);

#[async_trait]
impl ApiKeyStore for Nobody {
    async fn api_key(&self, _: &str) -> Result<Option<StoredKey>, Error> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(None)
    }
}

#[test]
fn s33_wrong_credentials_of_one_address_ask_the_store_a_bounded_number_of_times() {
    let (upstream, store) = (Recorder::start(), Arc::new(Nobody::default()));
    let keys = ApiKeys::new(store.clone(), &[7; 32]).failure_limit(Quota::per_hour(20));
    let edge = Edge::start(|builder| {
        lavish(builder)
            .authenticate(keys)
            .route(Route::all("/{*rest}").access(known()), Upstream::at([upstream.url()]).foreign())
    });
    let client = edge.client();
    for _ in 0..10 {
        client.send(key_of("same", Request::get("/x"))).problem(401);
    }
    assert_eq!(store.0.load(Ordering::SeqCst), 1, "one that is known to be wrong is not asked for again");
    let answers: Vec<_> =
        (0..60).map(|n| client.send(key_of(&format!("n{n}"), Request::get("/x"))).status).collect();
    assert!(store.0.load(Ordering::SeqCst) <= 20, "{}", store.0.load(Ordering::SeqCst));
    assert_eq!(answers.last(), Some(&429));
    assert_eq!(
        edge.client().send(key_of("other", Request::get("/x"))).status,
        401,
        "others are not kept out"
    );
    assert_eq!(upstream.count(), 0);
}

#[test]
fn several_limits_are_taken_all_or_none_and_a_request_may_cost_more_than_one() {
    let upstream = Recorder::start();
    let url = upstream.url();
    let edge = Edge::start(|builder| {
        let there = || Upstream::at([url.clone()]).foreign();
        let by_account =
            LimitBy::Request(Arc::new(|exchange| exchange.request.uri().query().map(str::to_owned)));
        let dear = Policy::new().limit_with_cost("reports", Quota::per_hour(10), LimitBy::tenant(), 4);
        let narrow = Policy::new().limit("account", Quota::per_hour(1), by_account);
        lavish(builder)
            .authenticate(Named)
            .rate_limit("few", Quota::per_hour(3))
            .route(Route::new(Method::Get, "/dear").access(known()).policy(dear), there())
            .route(
                Route::new(Method::Get, "/narrow").access(known()).limit_class("few").policy(narrow),
                there(),
            )
    });
    let client = edge.client();
    let dear = |who: &str| client.send(Request::get("/dear").header("x-who", who)).status;
    assert_eq!([dear("customer/a/1"), dear("customer/a/2"), dear("customer/a/3")], [200, 200, 429]);
    assert_eq!(dear("customer/b/1"), 200, "another tenant has its own");
    let narrow = |account: &str| {
        client.send(Request::get(format!("/narrow?{account}")).header("x-who", "customer/a/1")).status
    };
    assert_eq!(narrow("acc_1"), 200);
    (0..5).for_each(|_| assert_eq!(narrow("acc_1"), 429));
    assert_eq!(
        [narrow("acc_2"), narrow("acc_3"), narrow("acc_4")],
        [200, 200, 429],
        "what was refused cost nothing"
    );
}
