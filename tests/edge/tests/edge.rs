//! What the gateway promises to those behind it and before it: seen from a real upstream, which records what arrives.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

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

#[derive(Debug)]
struct OneUser(StoredPassword);

#[async_trait]
impl PasswordStore for OneUser {
    async fn password(&self, username: &str) -> Result<Option<StoredPassword>, Error> {
        Ok((username == "ann").then(|| self.0.clone()))
    }
}

fn passwords() -> Passwords {
    use argon2::password_hash::PasswordHasher as _;
    let params = argon2::Params::new(64, 1, 1, None).unwrap();
    let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let hash = hasher.hash_password_with_salt(b"a long password", &[3; 16]).unwrap().to_string();
    Passwords::new(Arc::new(OneUser(StoredPassword::new(hash, Arc::new(Principal::customer("cus_ann"))))))
}

#[test]
fn a_login_refused_at_the_gateway_never_reaches_identity() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        builder
            .authenticate(OneKey::of([]))
            .passwords(passwords())
            .rate_limit("login", Quota::per_second(1_000))
            .rate_limit("registration", Quota::per_second(1_000))
            .service(identity::api(), Upstream::at([upstream.url()]).identity_keys(identity_keys()))
    });
    let client = edge.client();
    let login = |username: &str, password: &str| {
        Request::post("/v1/sessions").json(&json!({ "username": username, "password": password }))
    };
    let basic = |pair: &str| {
        Request::post("/v1/sessions").header("authorization", format!("Basic {}", STANDARD.encode(pair)))
    };
    let wrong = client.send(login("ann", "a wrong password"));
    assert_eq!(wrong.problem(401), "invalid_credentials");
    let unknown = client.send(login("nobody", "a wrong password"));
    assert_eq!(unknown.problem(401), "invalid_credentials");
    assert_eq!(
        wrong.json()["detail"],
        unknown.json()["detail"],
        "an unknown user answers as a wrong password does"
    );
    client.send(basic("ann:a wrong password")).problem(401);
    client.send(basic("no colon")).problem(401);
    client.send(Request::post("/v1/sessions").header("authorization", "Basic ***")).problem(401);
    client.send(Request::post("/v1/sessions").bearer("x")).problem(401);
    client.send(Request::post("/v1/sessions")).problem(400);
    client.send(Request::post("/v1/sessions").body("{\"username\":\"ann\"")).problem(400);
    assert_eq!(upstream.count(), 0);

    client.send(login("ann", "a long password")).expect(200);
    client.send(basic("ann:a long password")).expect(200);
    let received = upstream.received();
    assert_eq!(received.len(), 2);
    for request in received {
        let identity = identity_keys().verify(request.header("bank-identity").unwrap()).unwrap();
        assert_eq!((&*identity.audience, &*identity.operation), ("identity", "POST /v1/sessions"));
        assert_eq!(identity.principal.unwrap().subject, "cus_ann");
        assert_eq!(request.header("authorization"), None, "a password goes no further than it must");
    }
}

#[test]
fn after_five_failures_a_user_waits_but_not_where_its_owner_signed_in() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        builder
            .authenticate(OneKey::of([]))
            .passwords(passwords())
            .rate_limit("login", Quota::per_second(1_000))
            .rate_limit("registration", Quota::per_second(1_000))
            .service(identity::api(), Upstream::at([upstream.url()]).identity_keys(identity_keys()))
    });
    let login = |password: &str| {
        Request::post("/v1/sessions").json(&json!({ "username": "ann", "password": password }))
    };
    let at_home = edge.client();
    at_home.send(login("a long password")).expect(200);
    for _ in 0..5 {
        edge.client().send(login("wrong")).problem(401);
    }
    at_home.send(login("a long password")).expect(200);
    // From another address, and with the right password: the account waits, not the guesser alone, and what its owner does at
    // home forgives nobody elsewhere.
    let refused = until("a login to be refused", || {
        // Each wrong one counts, so that the wait begins again where this machine was slower than the wait.
        let answer = edge.client().send(login("wrong"));
        (answer.status == 429).then_some(answer)
    });
    assert_eq!(refused.problem(429), "too_many_failures");
    assert!(refused.header("retry-after").is_some());
    until("the wait to end", || (edge.client().send(login("a long password")).status == 200).then_some(()));
}

#[test]
fn a_spoofed_identity_header_never_arrives() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let route = Route::all("/files/{*rest}").access(Access::Public);
        before(&[&upstream])(builder).route(route, Upstream::at([upstream.url()]).foreign())
    });
    let names = [
        "bank-identity",
        "Bank-Identity",
        "BANK-IDENTITY",
        "bank_identity",
        "Bank_Identity",
        "bank-principal",
        "bank_roles",
        "forwarded",
        "X-Forwarded-For",
        "x_forwarded_for",
        "x-forwarded_for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "X-Forwarded-Client-Cert",
        "x-real-ip",
        "x_real_ip",
        "x-client-cert",
        "x-client-cert-san",
        "x_client_cert",
        "x-user",
        "x-user-id",
        "x_user_id",
        "x-identity",
        "x-identity-sub",
        "x-bank-role",
        "x_bank_role",
        "x-request-id",
        "x_request_id",
        "x-original-url",
        "x-rewrite-url",
        "x-envoy-external-address",
    ];
    let client = edge.client();
    for path in ["/v1/things", "/files/a"] {
        for name in names {
            client.send(ann(Request::get(path).header(name, "forged"))).expect(200);
        }
        let all = names.iter().fold(ann(Request::get(path)), |request, name| request.header(name, "forged"));
        client.send(all).expect(200);
    }
    for request in upstream.received() {
        let forged: Vec<_> = request.headers.iter().filter(|(_, value)| value.contains("forged")).collect();
        assert!(forged.is_empty(), "{}: {forged:?}", request.line);
        assert!(
            request.header("x-forwarded-for").is_some_and(|from| from.starts_with("127.")),
            "{:?}",
            request.headers
        );
        match request.header("bank-identity") {
            Some(token) => {
                assert_eq!(
                    request.header("x-api-key"),
                    None,
                    "what proves a caller to the gateway is not for services"
                );
                let identity = identity_keys().verify(token).unwrap();
                assert_eq!(identity.principal.unwrap().subject, "ann");
                assert_eq!(Some(&*identity.request_id), request.header("x-request-id"));
            }
            None => assert!(request.line.contains("/files/"), "{}", request.line),
        }
    }
}

#[test]
fn naming_a_field_in_connection_never_removes_what_the_gateway_sets() {
    if Wire::of_this_program().is_http2() {
        // There is no `Connection` there.
        return;
    }
    let upstream = Recorder::start();
    let edge = Edge::start(before(&[&upstream]));
    let names = ["bank-identity", "bank-timeout-ms", "x-request-id", "x-forwarded-for", "traceparent"];
    for name in names {
        let refused = edge.client().send(ann(Request::get("/v1/things").header("connection", name)));
        assert_eq!(refused.problem(400), "ambiguous_fields", "{name}");
    }
    edge.client().send(ann(Request::get("/v1/things").header("connection", "x-hop"))).expect(200);
    let request = upstream.only();
    for name in names {
        assert!(request.header(name).is_some(), "`{name}` is gone: {:?}", request.headers);
    }
}

#[test]
fn hop_by_hop_fields_end_at_the_gateway_both_ways() {
    let upstream = Recorder::answering(|_| {
        let reply = Reply::ok()
            .header("connection", "x-inner")
            .header("x-inner", "1")
            .header("keep-alive", "timeout=5");
        reply.header("proxy-authenticate", "Basic").header("x-kept", "1")
    });
    let edge = Edge::start(before(&[&upstream]));
    let request = ann(Request::get("/v1/things"))
        .header("connection", "keep-alive, X-Hop")
        .header("x-hop", "1")
        .header("keep-alive", "timeout=5")
        .header("proxy-authorization", "Basic x")
        .header("proxy-connection", "keep-alive")
        .header("te", "trailers")
        .header("trailer", "x-late")
        .header("cookie", "a=b")
        .header("x-end-to-end", "1");
    let answer = edge.client().send(request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = upstream.only();
    for name in ["x-hop", "keep-alive", "proxy-authorization", "proxy-connection", "trailer", "cookie"] {
        assert_eq!(received.header(name), None, "{:?}", received.headers);
    }
    // On HTTP/1.1 it holds only where `Connection` names it.
    let trailers = Wire::of_this_program().is_http2().then_some("trailers");
    assert_eq!(received.header("te"), trailers, "{:?}", received.headers);
    assert_eq!(received.header("x-end-to-end"), Some("1"));
    for name in ["x-inner", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.header(name), None, "{:?}", answer.headers);
    }
    assert_eq!(answer.header("x-kept"), Some("1"));
}

#[test]
fn an_internal_route_does_not_exist_outside_and_needs_a_service_s_key_inside() {
    let upstream = Recorder::start();
    let friend = IdentityKeys::new([("f", [1_u8; 32])]).unwrap();
    let stranger = IdentityKeys::new([("s", [2_u8; 32])]).unwrap();
    let other = IdentityKeys::new([("o", [3_u8; 32])]).unwrap();
    let edge = Edge::start(|builder| {
        before(&[&upstream])(builder)
            .name("gate")
            .caller("friend", friend.clone())
            .caller("other", other.clone())
    });
    let operation = "POST /internal/v1/things";
    let token = |keys: &IdentityKeys, name: &str, audience: &str, operation: &str| {
        let principal = Arc::new(Principal::customer("cus_1"));
        let identity = Identity::new(name, audience, operation, "req_1", SystemClock::new().now());
        keys.sign(&identity.for_principal(principal))
    };
    let call = |token: String| Request::post("/internal/v1/things").header("bank-identity", token);

    let outside = edge.client();
    outside.send(Request::post("/internal/v1/things")).problem(404);
    outside.send(ann(Request::post("/internal/v1/things"))).problem(404);
    outside.send(call(token(&friend, "friend", "gate", operation))).problem(404);

    let inside = edge.beside(edge.gateway().internal());
    assert_eq!(inside.send(Request::post("/internal/v1/things")).status, 401);
    assert_eq!(inside.send(ann(Request::post("/internal/v1/things"))).status, 401);
    for forged in [
        token(&stranger, "friend", "gate", operation),
        token(&other, "friend", "gate", operation),
        token(&friend, "friend", "another gate", operation),
        token(&friend, "friend", "gate", "POST /internal/v1/others"),
    ] {
        assert_eq!(inside.send(call(forged)).status, 401);
    }
    assert_eq!(
        inside.send(call(token(&other, "other", "gate", operation))).status,
        404,
        "known, but not for this route"
    );
    assert_eq!(inside.send(ann(Request::get("/v1/things"))).status, 404, "customers have another way in");
    assert_eq!(upstream.count(), 0);

    inside.send(call(token(&friend, "friend", "gate", operation))).expect(200);
    let identity = identity_keys().verify(upstream.only().header("bank-identity").unwrap()).unwrap();
    let principal = identity.principal.unwrap();
    assert_eq!(
        (&*principal.subject, principal.calling_service()),
        ("cus_1", Some("friend")),
        "the actor is named"
    );
}

#[derive(Debug)]
struct NoSessions;

#[async_trait]
impl SessionStore for NoSessions {
    async fn session(&self, _: &str) -> Result<Option<Session>, Error> {
        Ok(None)
    }
}

#[test]
fn s16_two_credentials_and_a_credential_in_the_address_are_refused() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        before(&[&upstream])(builder).authenticate(Sessions::new(Arc::new(NoSessions)))
    });
    let client = edge.client();
    let two = client.send(ann(Request::get("/v1/things").header("cookie", "a=b; __Host-session=ses_1.AAAA")));
    assert_eq!(two.problem(400), "two_credentials");
    for name in ["access_token", "api_key", "ACCESS_TOKEN", "password", "refresh_token", "token"] {
        let refused = client.send(ann(Request::get(format!("/v1/things?a=1&{name}=secret"))));
        assert_eq!(refused.problem(400), "credential_in_query");
    }
    for path in ["/v1/shown?access_token=secret", "/v1/shown?a&password=secret"] {
        assert_eq!(client.send(Request::get(path)).status, 400, "{path}: on a public route as well");
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn s19_nobody_passes_without_what_the_route_asks_for() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let keepers = Access::Authenticated { scopes: Vec::new(), roles: vec!["keeper".to_owned()] };
        let route = Route::all("/cat/{*rest}").access(keepers);
        before(&[&upstream])(builder).route(route, Upstream::at([upstream.url()]).foreign())
    });
    let client = edge.client();
    for path in ["/v1/things", "/v1/listed", "/v1/kept", "/cat/x"] {
        let refused = client.send(Request::get(path));
        assert_eq!(refused.problem(401), "unauthenticated");
        client.send(Request::get(path).header("x-api-key", "bk_ann_wrong")).problem(401);
        client.send(Request::get(path).header("x-api-key", "nonsense")).problem(401);
        client.send(Request::get(path).header("authorization", "Magic wand")).problem(401);
    }
    let refused = client.send(ann(Request::get("/v1/listed")));
    assert_eq!(refused.problem(403), "insufficient_scope");
    assert!(refused.header("www-authenticate").unwrap().contains("things:list"));
    assert_eq!(client.send(ann(Request::get("/v1/kept"))).problem(403), "forbidden");
    assert_eq!(client.send(ann(Request::get("/cat/x"))).problem(403), "forbidden");
    assert_eq!(upstream.count(), 0);
    client.send(Request::get("/v1/shown").header("cookie", "__Host-session=stale.AAAA")).expect(200);
}

#[test]
fn s2_framing_towards_the_upstream_is_written_anew() {
    let upstream = Recorder::start();
    let edge = Edge::start(before(&[&upstream]));
    let chunks = "3;ext=1\r\nabc\r\n0002\r\nde\r\n0\r\nx-late: 1\r\n\r\n";
    let request = ann(Request::post("/v1/things")).header("transfer-encoding", "chunked").body(chunks);
    edge.client().send(request).expect(200);
    let received = upstream.only();
    assert_eq!(received.body, b"abcde");
    assert_eq!(received.header("x-late"), None, "a trailer never becomes a header");
    assert_eq!(
        received.all("transfer-encoding").len() + received.all("content-length").len(),
        1,
        "{:?}",
        received.headers
    );
}

#[test]
fn s2_a_body_that_breaks_off_never_counts_as_a_whole_request() {
    if Wire::of_this_program().is_http2() {
        // The framing of HTTP/1.1 is broken by hand.
        return;
    }
    let upstream = Recorder::start();
    let edge = Edge::start(before(&[&upstream]));
    for (path, key) in [("/v1/things", ""), ("/v1/payments", "idempotency-key: k\r\n")] {
        for body in [
            "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "content-length: 50\r\n\r\nhello",
            "transfer-encoding: chunked\r\n\r\nZZ\r\n",
        ] {
            let mut connection = edge.client().connect().unwrap();
            let head =
                format!("POST {path} HTTP/1.1\r\nhost: bank\r\nx-api-key: bk_ann_secret\r\n{key}{body}");
            connection.write(head.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            drop(connection);
        }
    }
    // Whatever was on its way has arrived before this answer does.
    edge.client().send(make()).expect(200);
    std::thread::sleep(Duration::from_millis(300));
    let whole = upstream.received().into_iter().filter(|request| request.whole).count();
    assert_eq!(whole, 1);
}

#[test]
fn a_client_that_breaks_off_does_not_open_the_endpoint_s_breaker_for_others() {
    if Wire::of_this_program().is_http2() {
        // A body of HTTP/1.1 is broken off by hand.
        return;
    }
    let upstream = Recorder::start();
    let edge = Edge::start(before(&[&upstream]));
    let admin = edge.beside(edge.gateway().admin());
    for _ in 0..8 {
        let mut connection = edge.client().connect().unwrap();
        let head = "POST /v1/things HTTP/1.1\r\nhost: bank\r\nx-api-key: bk_ann_secret\r\ncontent-length: 50\r\n\r\nhello";
        connection.write(head.as_bytes()).unwrap();
        // Whether anything of it went on is the gateway's business.
        std::thread::sleep(Duration::from_millis(50));
        drop(connection);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(state_of(&admin, &upstream.url()), "closed");
    }
}

#[test]
fn s21_only_what_may_be_repeated_is_sent_again() {
    let (lost, sound) = (Recorder::answering(|_| Reply::Vanish), Recorder::start());
    let edge = Edge::start(before(&[&lost, &sound]));
    let client = edge.client();
    let mut failures = 0;
    for _ in 0..12 {
        let answer = client.send(make());
        match answer.status {
            200 => {}
            _ => {
                assert_eq!(answer.problem(502), "indeterminate");
                failures += 1;
            }
        }
    }
    assert_eq!((lost.count() + sound.count(), failures), (12, lost.count()), "each was sent once");
    assert!(failures > 0, "the endpoint that loses requests was never asked");
}

#[test]
fn s21_a_read_and_a_call_with_a_key_are_served_by_another_endpoint() {
    let (lost, sound) = (Recorder::answering(|_| Reply::Vanish), Recorder::start());
    let edge = Edge::start(before(&[&lost, &sound]));
    let client = edge.client();
    for n in 0..6 {
        client.send(ann(Request::get("/v1/things"))).expect(200);
        client
            .send(ann(Request::post("/v1/payments").key(&format!("k{n}")).json(&json!({ "n": n }))))
            .expect(200);
    }
    assert!(lost.count() > 0, "the endpoint that loses requests was never asked");
    for request in lost.received().iter().filter(|request| request.line.starts_with("POST")) {
        let key = request.header("idempotency-key");
        let again = sound.received().into_iter().find(|other| other.header("idempotency-key") == key);
        assert_eq!(again.unwrap().body, request.body, "the same request, whole");
    }
}

#[test]
fn what_was_never_sent_goes_to_another_endpoint() {
    let sound = Recorder::start();
    let closed = HeldPort::new();
    let edge = Edge::start(at(vec![format!("http://{}", closed.address()), sound.url()]));
    for _ in 0..8 {
        edge.client().send(make()).expect(200);
    }
    assert_eq!(sound.count(), 8);
}

#[test]
fn s22_an_upstream_that_is_away_gives_a_503_that_reveals_nothing() {
    let closed = HeldPort::new();
    let edge = Edge::start(at(vec![format!("http://{}", closed.address())]));
    let answer = edge.client().send(ann(Request::get("/v1/things")));
    assert_eq!(answer.problem(503), "unavailable");
    assert!(answer.header("retry-after").is_some());
    // The request's id may hold any digits.
    let text = answer.text().replace(answer.header("x-request-id").unwrap(), "");
    for inside in ["127.0.0.1", &closed.number().to_string(), "refused", "hyper", "things"] {
        assert!(!text.contains(inside), "{text}");
    }
}

/// How an endpoint stands: by itself, or for `GET /v1/things`.
fn state_of(admin: &Client, url: &str) -> String {
    let upstreams = admin.send(Request::get("/admin/upstreams")).expect(200);
    let endpoints = upstreams["services"]["things"].as_array().unwrap().clone();
    let found = endpoints.iter().find(|endpoint| endpoint["address"] == url).unwrap();
    let operation = found["operations"]["GET /v1/things"].as_str();
    operation.unwrap_or_else(|| found["state"].as_str().unwrap()).to_owned()
}

#[test]
fn the_breaker_of_a_failing_endpoint_opens_and_closes_again() {
    let health: Vec<_> = (0..2).map(|_| Arc::new(AtomicBool::new(false))).collect();
    let upstreams: Vec<Recorder> = health
        .iter()
        .map(|healthy| {
            let healthy = healthy.clone();
            Recorder::answering(move |_| {
                Reply::status(if healthy.load(Ordering::SeqCst) { 200 } else { 503 })
            })
        })
        .collect();
    let edge = Edge::start(before(&[&upstreams[0], &upstreams[1]]));
    let (client, admin) = (edge.client(), edge.beside(edge.gateway().admin()));
    let read = || client.send(ann(Request::get("/v1/things"))).status;
    until("both breakers to open", || {
        assert_eq!(read(), 503, "what the service says is passed on");
        upstreams.iter().all(|upstream| state_of(&admin, &upstream.url()) != "closed").then_some(())
    });
    health[0].store(true, Ordering::SeqCst);
    until("the breaker of the one that recovered to close", || {
        read();
        (state_of(&admin, &upstreams[0].url()) == "closed").then_some(())
    });
    let (seen, start) = (upstreams[1].count(), Instant::now());
    (0..40).for_each(|_| assert_eq!(read(), 200));
    let probes = 2 + start.elapsed().as_millis() as usize / 500;
    assert!(upstreams[1].count() <= seen + probes, "an open breaker lets a probe pass and nothing else");
    health[1].store(true, Ordering::SeqCst);
    until("the other breaker to close", || {
        read();
        (state_of(&admin, &upstreams[1].url()) == "closed").then_some(())
    });
}

#[test]
fn requests_are_spread_over_all_endpoints() {
    let upstreams: Vec<Recorder> =
        (0..3).map(|_| Recorder::answering(|_| Reply::Late(Duration::from_millis(30)))).collect();
    let edge = Edge::start(before(&upstreams.iter().collect::<Vec<_>>()));
    std::thread::scope(|scope| {
        for _ in 0..12 {
            let client = edge.client();
            scope.spawn(move || {
                (0..15).for_each(|_| drop(client.send(ann(Request::get("/v1/things"))).expect(200)))
            });
        }
    });
    let counts: Vec<usize> = upstreams.iter().map(Recorder::count).collect();
    assert_eq!(counts.iter().sum::<usize>(), 180);
    assert!(counts.iter().all(|count| *count >= 25), "{counts:?}");
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
    let upstream = Recorder::answering(|_| Reply::Late(Duration::from_secs(30)));
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
fn a_valid_trace_is_continued_and_any_other_replaced() {
    let upstream = Recorder::start();
    let edge = Edge::start(before(&[&upstream]));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let forged = "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01";
    for (given, kept) in [(parent, true), (forged, false), ("nonsense", false)] {
        let request =
            ann(Request::get("/v1/things")).header("traceparent", given).header("tracestate", "a=b");
        edge.client().send(request).expect(200);
        let received = upstream.received().pop().unwrap();
        let sent = received.header("traceparent").unwrap().to_owned();
        assert_eq!(sent.len(), parent.len());
        assert_ne!(sent, given, "a span of our own");
        assert_eq!(sent.starts_with(&parent[..36]) && sent.ends_with("-00"), kept, "{sent}");
        assert_eq!(received.header("tracestate").is_some(), kept);
    }
}

#[test]
fn every_request_has_an_id_of_the_gateway_s_making() {
    let upstream = Recorder::start();
    let edge = Edge::start(before(&[&upstream]));
    let mut seen = BTreeSet::new();
    for path in ["/v1/things", "/v1/things", "/healthz", "/nowhere", "/v1/%2e%2e/x"] {
        let answer = edge.client().send(ann(Request::get(path)).header("x-request-id", "mine"));
        let id = answer.header("x-request-id").unwrap_or_else(|| panic!("{path}: no id")).to_owned();
        assert!(id.starts_with("req_"), "{id}");
        assert!(seen.insert(id), "an id came twice");
    }
    let passed: Vec<String> = upstream
        .received()
        .iter()
        .map(|request| request.header("x-request-id").unwrap().to_owned())
        .collect();
    assert!(passed.iter().all(|id| seen.contains(id)));
}

#[test]
fn a_preflight_needs_no_credential_and_reaches_nobody() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let origin: http::HeaderValue = "https://shop.example".parse().unwrap();
        let cors = CorsLayer::new().allow_origin(origin).allow_methods([http::Method::POST]);
        before(&[&upstream])(builder).cors(cors)
    });
    let preflight = |origin: &str| {
        Request::new("OPTIONS", "/v1/things")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
    };
    let answer = edge.client().send(preflight("https://shop.example"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
    assert_eq!(upstream.count(), 0);
    let answer = edge.client().send(make().header("origin", "https://shop.example"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    let refused = edge.client().send(Request::get("/v1/things").header("origin", "https://shop.example"));
    assert_eq!(
        refused.header("access-control-allow-origin"),
        Some("https://shop.example"),
        "a refusal can be read as well"
    );
    let stranger = edge.client().send(preflight("https://evil.example"));
    assert_ne!(stranger.header("access-control-allow-origin"), Some("https://evil.example"));
    assert!(answer.header("x-request-id").is_some());
}

#[test]
fn a_drain_finishes_what_is_in_flight() {
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let upstream = Recorder::answering(move |_| {
        // Held until it is let go.
        let _ = gate.lock().unwrap().recv();
        Reply::ok()
    });
    let mut edge = Edge::start(before(&[&upstream]));
    let client = edge.client();
    let mut idle = client.connect().unwrap();
    idle.exchange(&Request::get("/healthz")).unwrap().expect(200);
    let in_flight = {
        let client = client.clone();
        std::thread::spawn(move || client.send(ann(Request::get("/v1/things"))).status)
    };
    until("the request to be on its way", || edge_is_busy(&edge).then_some(()));
    edge.drain();
    assert!(idle.is_closed(), "idle connections are closed");
    release.send(()).unwrap();
    edge.drained();
    assert_eq!(in_flight.join().unwrap(), 200);
    assert!(client.try_send(Request::get("/healthz")).is_err(), "nobody listens any more");
}

/// Whether a request is in flight, by the gateway's own metrics.
fn edge_is_busy(edge: &Edge) -> bool {
    let admin = edge.beside(edge.gateway().admin());
    let metrics = admin.send(Request::get("/metrics")).text();
    metrics.lines().any(|line| line.contains("in_flight") && !line.starts_with('#') && line.ends_with(" 1"))
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    if Wire::of_this_program().is_http2() {
        // `http2.rs` has the heads of HTTP/2 that do not end.
        return;
    }
    let mut limits = Limits::default();
    limits.header_read_timeout = Duration::from_millis(400);
    limits.handshake_timeout = Duration::from_millis(400);
    let edge = Edge::start_with(limits, |builder| builder);
    for start in ["", "P", "PRI * HTTP/2.", "GET / HTTP/1.1\r\nhost: bank\r\nx-slow: "] {
        let mut connection = edge.client().connect().unwrap();
        connection.write(start.as_bytes()).unwrap();
        let began = Instant::now();
        match connection.read_response(false) {
            // Inside of TLS nobody waits for the rest of a preface that ALPN has ruled out.
            Ok(answer) if Wire::of_this_program().is_tls() && start.starts_with("PRI") => {
                assert_eq!(answer.status, 400);
            }
            Ok(answer) => assert_eq!(answer.status, 408, "{start:?}"),
            Err(_) => assert!(connection.is_closed(), "{start:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{start:?}: {:?}", began.elapsed());
    }
}

#[test]
fn s7_an_http_2_preface_that_breaks_off_is_not_waited_for() {
    if Wire::of_this_program().is_http2() {
        // The preface is written by hand.
        return;
    }
    let mut limits = Limits::default();
    limits.header_read_timeout = Duration::from_millis(400);
    limits.handshake_timeout = Duration::from_millis(400);
    let edge = Edge::start_with(limits, |builder| builder);
    for start in ["PRI * HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n"] {
        let mut connection = edge.client().connect().unwrap();
        connection.write(start.as_bytes()).unwrap();
        assert!(connection.ends_within(Duration::from_secs(10)), "{start:?} keeps its connection");
    }
}

#[test]
fn connections_are_bounded_in_all_and_for_one_address() {
    let mut limits = Limits::default();
    limits.connections_per_address = 2;
    let edge = Edge::start_with(limits, |builder| builder);
    let client = edge.client();
    let healthy = |connection: &mut edge_tests::Connection| {
        connection.exchange(&Request::get("/healthz")).is_ok_and(|answer| answer.status == 200)
    };
    let mut held: Vec<_> = (0..2).map(|_| client.connect().unwrap()).collect();
    assert!(held.iter_mut().all(healthy));
    assert!(!healthy(&mut client.connect().unwrap()), "a third of the same address is closed");
    assert!(healthy(&mut edge.client().connect().unwrap()), "another address is served");
    held.pop();
    until("the place of the closed one", || healthy(&mut client.connect().unwrap()).then_some(()));

    let mut limits = Limits::default();
    limits.connections = 1;
    let edge = Edge::start_with(limits, |builder| builder);
    let mut first = edge.client().connect().unwrap();
    assert!(healthy(&mut first));
    let waiting = {
        let client = edge.client();
        std::thread::spawn(move || client.send(Request::get("/healthz")).status)
    };
    std::thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished(), "beyond the bound a connection waits");
    drop(first);
    assert_eq!(waiting.join().unwrap(), 200);
}

#[test]
fn a_body_beyond_the_route_s_limit_is_413_whether_its_length_is_told_or_not() {
    let upstream = Recorder::start();
    let edge = Edge::start(before(&[&upstream]));
    let large = "x".repeat(1_001);
    assert_eq!(
        edge.client().send(ann(Request::post("/v1/things")).body(&*large)).problem(413),
        "body_too_large"
    );
    let chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let request = ann(Request::post("/v1/things")).header("transfer-encoding", "chunked").body(chunked);
    assert_eq!(edge.client().send(request).status, 413);
    edge.client().send(ann(Request::post("/v1/things")).body("x".repeat(1_000))).expect(200);
    assert_eq!(upstream.received().iter().filter(|request| request.whole).count(), 1);
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

#[test]
fn tls_speaks_http_2_and_http_1_1_and_nothing_older() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = Recorder::start();
    let edge = Edge::start_tls(directory.path(), before(&[&upstream]));
    let address = edge.client().address();
    let trusted = bank_gateway::tls::client_config(&directory.path().join("ca.pem")).unwrap();
    for protocol in ["h2", "http/1.1"] {
        let mut config = rustls::ClientConfig::clone(&trusted);
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        for (host, is_strict) in [("bank.example", true), ("localhost", false), ("127.0.0.1", false)] {
            let answer = edge.runtime().block_on(tls_get(address, config.clone(), protocol, host));
            assert_eq!(answer, (200, is_strict), "{protocol} {host}");
        }
    }
    // Plain HTTP on the TLS port is not answered.
    assert!(edge.client().try_send(Request::get("/healthz")).is_err());
    use std::os::unix::fs::PermissionsExt as _;
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{}", file.path().display());
    }
}

/// The status of a request over TLS, and whether the answer asks for TLS from then on.
async fn tls_get(
    address: std::net::SocketAddr,
    config: rustls::ClientConfig,
    protocol: &str,
    host: &str,
) -> (u16, bool) {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
    let request = http::Request::get(format!("https://{host}/healthz"));
    let body = http_body_util::Empty::<bytes::Bytes>::new();
    let response = if protocol == "h2" {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request.body(body).unwrap()).await.unwrap()
    } else {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("/healthz").header("host", host);
        sender.send_request(request.body(body).unwrap()).await.unwrap()
    };
    (response.status().as_u16(), response.headers().contains_key("strict-transport-security"))
}
