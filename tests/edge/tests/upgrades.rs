//! A connection becomes a WebSocket where its route says so, and ends when it should.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod web_socket;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest;
use bank_gateway::identity::Sessions;
use bank_gateway::identity::session::{Session, SessionStore};
use bank_gateway::{Ended, Facts, GatewayBuilder, Observe, Policy, Quota, Route, Times, Upstream};
use bank_sdk::declaration::{Access, Method};
use bank_sdk::serve::Limits;
use bank_sdk::{Api, Empty, Endpoint, Principal};
use bank_stores::{Error, Timestamp};
use edge_tests::{Edge, Request, identity_keys, until};
use web_socket::{Echo, KEY, Socket, accept, frame, handshake};

const LIVE: Endpoint<Empty, Empty> = Endpoint::get("/v1/live").authenticated().upgrade();

/// A gateway whose routes `/ws`, `/plain` and `/other` upgrade, and all others do not.
fn before(echo: &Echo) -> impl FnOnce(GatewayBuilder) -> GatewayBuilder {
    before_with(echo.url(), Policy::new())
}

fn before_with(url: String, policy: Policy) -> impl FnOnce(GatewayBuilder) -> GatewayBuilder {
    move |builder| {
        let route = |path: &str| Route::new(Method::Get, path).access(Access::Public).policy(policy.clone());
        let upstream = || Upstream::at([url.clone()]).foreign();
        let builder = ["/ws", "/plain", "/other"]
            .iter()
            .fold(builder, |builder, path| builder.route(route(path).upgrade(), upstream()));
        let all = Route::all("/all/{*rest}").access(Access::Public).upgrade();
        builder
            .rate_limit("default", Quota::per_second(10_000))
            .route(all, upstream())
            .route(route("/v1/others"), upstream())
    }
}

fn address(edge: &Edge) -> SocketAddr {
    edge.client().address()
}

#[test]
fn s6_a_web_socket_passes_where_its_route_says_so() {
    let echo = Echo::start();
    let edge = Edge::start(before(&echo));
    let (mut socket, head) = Socket::ask(address(&edge), "/ws", &handshake("x-end-to-end: 1\r\n"), b"");
    assert_eq!(head.status(), 101);
    assert_eq!(head.all("sec-websocket-accept"), [accept(KEY)]);
    assert_eq!(head.all("sec-websocket-protocol"), ["chat"]);
    assert_eq!((head.all("connection"), head.all("upgrade")), (vec!["upgrade"], vec!["websocket"]));
    assert!(head.all("x-hop").is_empty(), "{head:?}");
    assert_eq!(socket.hear().unwrap().as_deref(), Some("hello"), "what came with the answer");
    for text in ["one", "two", &"x".repeat(100)] {
        socket.say(text).unwrap();
        assert_eq!(socket.hear().unwrap().as_deref(), Some(text));
    }
    echo.seen(|seen| {
        let head = &seen.heads[0];
        assert_eq!((head.all("connection"), head.all("upgrade")), (vec!["upgrade"], vec!["websocket"]));
        assert_eq!(head.all("sec-websocket-key"), [KEY]);
        assert_eq!(head.all("sec-websocket-version"), ["13"]);
        assert_eq!(head.all("x-end-to-end"), ["1"]);
    });
    // Each side ends it.
    socket.say("end").unwrap();
    assert!(socket.ends());
    drop(socket);
    let socket = Socket::open(address(&edge), "/ws", "");
    echo.until_open(1);
    drop(socket);
    echo.until_open(0);
}

#[test]
fn s6_an_upgrade_is_refused_on_every_other_route() {
    let echo = Echo::start();
    let edge = Edge::start(before(&echo));
    for path in ["/v1/others", "/healthz", "/readyz"] {
        let (_, head) = Socket::ask(address(&edge), path, &handshake(""), b"");
        assert_eq!(head.status(), 400, "{path}");
        assert_eq!(head.all("connection"), ["close"], "{path}");
        assert!(head.all("upgrade").is_empty());
    }
    let other = [
        ("not named in Connection", "upgrade: websocket\r\n"),
        ("twice", "connection: upgrade\r\nupgrade: websocket\r\nupgrade: websocket\r\n"),
        ("HTTP/2 inside", "connection: upgrade\r\nupgrade: h2c\r\n"),
        ("HTTP/2 inside, among others", "connection: upgrade\r\nupgrade: websocket, H2C\r\n"),
        ("TLS inside", "connection: upgrade\r\nupgrade: TLS/1.2\r\n"),
        ("with a body", "connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 3\r\n"),
        ("with chunks", "connection: upgrade\r\nupgrade: websocket\r\ntransfer-encoding: chunked\r\n"),
    ];
    for (what, fields) in other {
        let (_, head) = Socket::ask(address(&edge), "/ws", fields, b"");
        assert_eq!(head.status(), 400, "{what}");
    }
    let post = Request::post("/all/x").header("upgrade", "websocket").header("connection", "upgrade");
    let refused = edge.client().connect().unwrap().exchange(&post).unwrap();
    assert_eq!(refused.problem(400), "ambiguous_fields");
    let nowhere = Socket::ask(address(&edge), "/nowhere", &handshake(""), b"").1;
    assert_eq!(nowhere.status(), 404);
    assert_eq!(echo.seen(|seen| seen.heads.len()), 0, "nothing of it goes on");
}

#[test]
fn s6_no_byte_goes_to_the_service_before_it_has_changed_the_protocol() {
    let echo = Echo::start();
    let edge = Edge::start(before(&echo));
    let (mut socket, head) = Socket::ask(address(&edge), "/ws", &handshake(""), &frame("early"));
    assert_eq!((head.status(), echo.seen(|seen| seen.early)), (101, 0));
    assert_eq!(socket.hear().unwrap().as_deref(), Some("hello"));
    assert_eq!(socket.hear().unwrap().as_deref(), Some("early"), "it is not lost either");

    // Where the service goes on with HTTP, so does the connection: what follows is judged as a request.
    let early = b"GET /v1/others HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n\r\n";
    let (mut socket, head) = Socket::ask(address(&edge), "/plain", &handshake(""), early);
    assert_eq!((head.status(), socket.body(&head)), (200, "plain".to_owned()));
    assert_eq!(socket.head().unwrap().status(), 400);
    assert_eq!(echo.seen(|seen| seen.early), 0);
    assert!(echo.seen(|seen| seen.heads.iter().all(|head| !head.first.contains("/v1/others"))));
}

#[test]
fn a_service_may_go_on_with_http_instead() {
    let echo = Echo::start();
    let edge = Edge::start(before(&echo));
    let ask = Request::get("/plain").header("upgrade", "websocket").header("connection", "upgrade");
    let mut connection = edge.client().connect().unwrap();
    for _ in 0..3 {
        let answer = connection.exchange(&ask).unwrap();
        assert_eq!((answer.status, answer.text()), (200, "plain".to_owned()));
        assert_eq!(answer.header("upgrade"), None);
    }
    let answer = connection.exchange(&Request::get("/plain")).unwrap();
    assert_eq!((answer.status, answer.text()), (200, "plain".to_owned()), "and nobody has to ask");
    assert!(echo.seen(|seen| seen.heads.last().unwrap().all("connection").is_empty()));
}

#[test]
fn s35_a_protocol_that_nobody_asked_for_is_a_502() {
    let echo = Echo::start();
    let edge = Edge::start(before(&echo));
    let plain = edge.client().send(Request::get("/ws"));
    assert_eq!(plain.problem(502), "invalid_answer", "nothing was asked for");
    assert_eq!(edge.client().send(Request::get("/v1/others")).problem(502), "invalid_answer");
    let (_, head) = Socket::ask(address(&edge), "/other", &handshake(""), b"");
    assert_eq!(head.status(), 502, "something else was");
    echo.until_open(0);
}

#[test]
fn a_drain_ends_what_was_upgraded() {
    let echo = Echo::start();
    let mut edge = Edge::start_with(Limits::default().drain_timeout(Duration::from_secs(50)), before(&echo));
    let mut sockets: Vec<Socket> = (0..3).map(|_| Socket::open(address(&edge), "/ws", "")).collect();
    echo.until_open(3);
    edge.drain();
    let start = tokio::time::Instant::now();
    edge.drained();
    assert!(start.elapsed() < Duration::from_secs(40), "nobody waits for the end of a WebSocket");
    assert!(sockets.iter_mut().all(Socket::ends));
    echo.until_open(0);
}

#[derive(Debug, Default)]
struct OneSession {
    ended: AtomicBool,
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap()
}

const COOKIE: &str = "cookie: __Host-session=ses_1.AAAA\r\n";

#[async_trait]
impl SessionStore for OneSession {
    async fn session(&self, id: &str) -> Result<Option<Session>, Error> {
        let mut principal = Principal::customer("ann");
        principal.session = Some(id.to_owned());
        let expires = Timestamp::from_micros(i64::MAX / 4);
        let session = Session::new(Arc::new(principal), sha256(&[0, 0, 0]), sha256(b"csrf"), expires);
        Ok((!self.ended.load(Ordering::SeqCst)).then_some(session))
    }
}

fn for_sessions(echo: &Echo, store: Arc<OneSession>) -> Edge {
    let upstream = Upstream::at([echo.url()]).identity_keys(identity_keys());
    Edge::start(|builder| {
        builder
            .authenticate(Sessions::new(store))
            .rate_limit("default", Quota::per_second(10_000))
            .service(Api::new("live").endpoint(LIVE.declare()), upstream)
    })
}

#[test]
fn the_end_of_a_session_ends_what_it_has_opened() {
    let (echo, store) = (Echo::start(), Arc::new(OneSession::default()));
    let edge = for_sessions(&echo, store.clone());
    let refused = Socket::ask(address(&edge), "/v1/live", &handshake(""), b"").1;
    assert_eq!(refused.status(), 401, "a caller has to be known");
    let mut socket = Socket::open(address(&edge), "/v1/live", COOKIE);
    socket.say("one").unwrap();
    assert_eq!(socket.hear().unwrap().as_deref(), Some("hello"));
    assert_eq!(socket.hear().unwrap().as_deref(), Some("one"));
    echo.seen(|seen| {
        let head = &seen.heads[0];
        assert!(head.all("cookie").is_empty(), "a credential ends at the gateway");
        let identity = identity_keys().verify(head.all("bank-identity")[0]).unwrap();
        assert_eq!(identity.principal.unwrap().subject, "ann");
    });
    store.ended.store(true, Ordering::SeqCst);
    assert!(socket.ends());
    echo.until_open(0);
}

#[test]
fn a_page_of_another_site_opens_nothing_with_a_cookie() {
    let echo = Echo::start();
    let edge = for_sessions(&echo, Arc::default());
    let status = |more: &str| {
        Socket::ask(address(&edge), "/v1/live", &handshake(&format!("{COOKIE}{more}")), b"").1.status()
    };
    assert_eq!(status("sec-fetch-site: cross-site\r\n"), 403);
    assert_eq!(status("origin: https://evil.example\r\n"), 403);
    assert_eq!(status("origin: null\r\n"), 403);
    assert_eq!(echo.seen(|seen| seen.heads.len()), 0);
    assert_eq!(status("sec-fetch-site: same-origin\r\norigin: https://bank.example\r\n"), 101);
    assert_eq!(status("origin: https://bank.example\r\n"), 101);
    assert_eq!(status(""), 101, "no browser");
}

#[test]
fn what_is_silent_for_too_long_ends() {
    let echo = Echo::start();
    let idle = Duration::from_millis(500);
    let edge =
        Edge::start(before_with(echo.url(), Policy::new().times(Times::default().upgraded_idle(idle))));
    let mut socket = Socket::open(address(&edge), "/ws", "");
    let start = tokio::time::Instant::now();
    // Each text begins the time anew.
    while start.elapsed() < idle * 3 {
        socket.say("on").unwrap();
        assert!(socket.hear().unwrap().is_some());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(socket.ends());
    assert!(start.elapsed() >= idle * 4 - Duration::from_millis(50), "{:?}", start.elapsed());
    echo.until_open(0);
    let whole = Policy::new().times(Times::default().whole(idle));
    let edge = Edge::start(before_with(echo.url(), whole));
    assert!(Socket::open(address(&edge), "/ws", "").ends(), "the time for all is over");
}

/// Status, outcome, bytes, and the time behind the head.
type End = (u16, &'static str, u64, Duration);

#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<Vec<End>>>);

impl Observe for Told {
    fn ended(&self, _: &Facts, end: &Ended) {
        let told = (end.status.as_u16(), end.outcome.as_str(), end.bytes, end.whole - end.head);
        self.0.lock().unwrap().push(told);
    }
}

#[test]
fn what_was_upgraded_is_in_flight_until_its_end_and_told_then() {
    let echo = Echo::start();
    let told = Told::default();
    let edge = Edge::start(|builder| before(&echo)(builder).observe(told.clone()));
    let admin = edge.beside(edge.gateway().admin());
    let endpoint = || {
        let upstreams = admin.send(Request::get("/admin/upstreams")).expect(200);
        upstreams["services"]["GET /ws"][0].clone()
    };
    let mut sockets: Vec<Socket> = (0..7).map(|_| Socket::open(address(&edge), "/ws", "")).collect();
    assert_eq!(endpoint()["in_flight"], 7);
    assert!(told.0.lock().unwrap().is_empty());
    let mut first = sockets.remove(0);
    let start = tokio::time::Instant::now();
    first.say("0123456789").unwrap();
    assert_eq!(first.hear().unwrap().as_deref(), Some("hello"));
    assert_eq!(first.hear().unwrap().as_deref(), Some("0123456789"));
    let lasted = start.elapsed();
    first.say("end").unwrap();
    assert!(first.ends());
    let (status, outcome, bytes, time) = until("the end to be told", || told.0.lock().unwrap().pop());
    assert_eq!((status, outcome, bytes), (101, "answered", 7 + 12), "all that went to the client");
    assert!(time >= lasted, "{time:?}");
    until("six in flight", || (endpoint()["in_flight"] == 6).then_some(()));
    // However they end, it is not the endpoint's failure.
    drop(sockets);
    until("none in flight", || (endpoint()["in_flight"] == 0).then_some(()));
    assert_eq!(endpoint()["state"], "closed");
}

#[test]
fn a_server_that_hands_no_connection_over_refuses() {
    let echo = Echo::start();
    let edge = Edge::start_with(Limits::default().upgrades(false), before(&echo));
    let (_, head) = Socket::ask(address(&edge), "/ws", &handshake(""), b"");
    assert_eq!(head.status(), 400);
}

#[test]
fn a_service_of_this_process_is_upgraded_and_ended_too() {
    let service = tower::service_fn(|mut request: http::Request<bank_sdk::http::Body>| async move {
        let facts = request.extensions().get::<Facts>().is_some();
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
            let (mut read, mut write) = tokio::io::split(&mut io);
            tokio::io::copy(&mut read, &mut write).await
        });
        let answer = http::Response::builder().status(101).header("connection", "upgrade");
        let answer = answer.header("upgrade", "websocket").header("x-facts", facts.to_string());
        Ok::<_, std::convert::Infallible>(answer.body(bank_sdk::http::Body::empty()).unwrap())
    });
    let mut edge = Edge::start(|builder| {
        let route = Route::new(Method::Get, "/ws").access(Access::Public).upgrade();
        builder.route(route, Upstream::tower(service))
    });
    let (mut socket, head) = Socket::ask(address(&edge), "/ws", &handshake(""), b"");
    assert_eq!((head.status(), head.all("x-facts")), (101, vec!["true"]));
    socket.say("back").unwrap();
    assert_eq!(socket.hear().unwrap().as_deref(), Some("back"));
    assert_eq!(edge.client().send(Request::get("/ws")).status, 502, "nobody asked");
    edge.drain();
    edge.drained();
    assert!(socket.ends());
}

#[test]
fn s6_extended_connect_is_refused() {
    let echo = Echo::start();
    let edge = Edge::start(before(&echo));
    let refused = edge.runtime().block_on(async {
        let stream = tokio::net::TcpStream::connect(address(&edge)).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
        tokio::spawn(connection);
        let mut request = http::Request::connect("http://bank.example/ws")
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .unwrap();
        request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
        sender.send_request(request).await.map(|response| response.status().as_u16())
    });
    // It was never offered (RFC 8441 §3): the stream is refused before it is a request, or with 405.
    assert!(refused.is_err() || refused.is_ok_and(|status| status == 405));
    assert_eq!(echo.seen(|seen| seen.heads.len()), 0);
    assert_eq!(edge.client().send(Request::new("CONNECT", "/ws")).status, 405);
}
