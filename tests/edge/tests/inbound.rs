//! How requests are read at the edge, and answers behind it: what can be read in two ways goes no further.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::SocketAddr;

use bank_gateway::{
    ClientAddress, Exchange, ForwardingField, Gate, Gateway, GatewayBuilder, Quota, Route, Sampling,
    SecurityHeaders, StrictHttp, Upstream,
};
use bank_sdk::declaration::Method;

use bank_sdk::{Access, Api, Empty, Endpoint, Principal, Problem};
use edge_tests::{Client, Edge, OneKey, Proxy, Received, Recorder, Reply, Request, identity_keys, raw};
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};

const PAY: Endpoint<Empty, Empty> = Endpoint::post("/v1/payments").authenticated().idempotent();

/// A foreign upstream for everything, and a service behind a key.
fn before(upstream: &Recorder) -> impl FnOnce(GatewayBuilder) -> GatewayBuilder {
    let url = upstream.url();
    move |builder| {
        builder
            .authenticate(OneKey::of([Principal::customer("ann")]))
            .rate_limit("default", Quota::per_second(10_000))
            .service(
                Api::new("payments").endpoint(PAY.declare()),
                Upstream::at([url.clone()]).identity_keys(identity_keys()),
            )
            .route(Route::all("/files/{*rest}").access(Access::Public), Upstream::at([url]).foreign())
    }
}

fn file() -> Request {
    Request::get("/files/a")
}

fn pay() -> Request {
    Request::post("/v1/payments").header("x-api-key", "bk_ann_secret").key("k-1").json(&serde_json::json!({}))
}

/// The status and the end of the connection after these bytes.
fn answer_to(client: &Client, bytes: &str) -> (u16, bool) {
    let (response, is_closed) = raw(client, bytes.as_bytes()).unwrap();
    (response.status, is_closed)
}

#[derive(Clone)]
struct SetRisk;

impl Gate for SetRisk {
    async fn check(&self, exchange: &mut Exchange) -> Result<(), Problem> {
        exchange.request.headers_mut().insert("x-risk", HeaderValue::from_static("high"));
        Ok(())
    }
}

#[test]
fn s34_connection_cannot_remove_what_a_check_relied_on() {
    let upstream = Recorder::start();
    let edge = Edge::start(before(&upstream));
    let client = edge.client();
    for named in [
        "Idempotency-Key",
        "host",
        "Content-Type",
        "content-length",
        "authorization",
        "x-api-key",
        "cookie",
        "bank-identity",
        "bank-anything",
        "x-forwarded-for",
        "x-request-id",
        "close, Idempotency-Key",
        "idempotency_key",
        "x y",
        "\"a\"",
    ] {
        let mut connection = client.connect().unwrap();
        let refused = connection.exchange(&pay().header("connection", named)).unwrap();
        assert_eq!(refused.problem(400), "ambiguous_fields", "{named}");
        assert!(connection.is_closed(), "{named}");
    }
    assert_eq!(upstream.count(), 0);
    client.send(pay()).expect(200);
    assert!(upstream.only().header("idempotency-key").is_some());
}

#[test]
fn s34_what_a_client_names_is_gone_before_a_gate_sets_its_own() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| before(&upstream)(builder).step(SetRisk));
    let request = file().header("connection", "x-risk, x-hop").header("x-risk", "none").header("x-hop", "1");
    edge.client().send(request).expect(200);
    let received = upstream.only();
    assert_eq!((received.header("x-risk"), received.header("x-hop")), (Some("high"), None));
}

#[test]
fn http_1_0_without_host_is_served_and_http_1_1_is_not() {
    let edge = Edge::start(before(&Recorder::start()));
    let client = edge.client();
    assert_eq!(answer_to(&client, "GET /healthz HTTP/1.0\r\n\r\n").0, 200);
    assert_eq!(answer_to(&client, "GET /healthz HTTP/1.0\r\nUpgrade: h2c\r\n\r\n").0, 200);
    assert_eq!(answer_to(&client, "GET /healthz HTTP/1.0\r\nHost: a..b\r\n\r\n"), (400, true));
    assert_eq!(answer_to(&client, "GET /healthz HTTP/1.1\r\n\r\n"), (400, true));
}

#[test]
fn s1_a_host_is_a_host_and_a_port() {
    let upstream = Recorder::start();
    let edge = Edge::start(before(&upstream));
    let client = edge.client();
    for host in [
        "",
        "]a[",
        ":::",
        "a:80:90",
        "a:abc",
        "a:99999",
        "[::1",
        "a..b",
        ".localhost",
        "[fe80::1%25eth0]",
        "u@a",
        "a/b",
        "1.2.3.4.5",
        "127.1",
        "0x7f000001",
        "a b",
    ] {
        assert_eq!(client.send(file().header("host", host)).problem(400), "ambiguous_host", "{host}");
    }
    for target in ["http://a..b/files/a", "http://a:x/files/a", "http://other/files/a", "http://u@a/files/a"]
    {
        let answer = answer_to(&client, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(answer, (400, true), "{target}");
    }
    for scheme in ["ftp", "ws", "file", "javascript"] {
        let answer = answer_to(&client, &format!("GET {scheme}://a/files/a HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(answer, (400, true), "{scheme}");
    }
    assert_eq!(upstream.count(), 0);
    for host in ["a", "partner.example.:8443", "[::1]:80", "127.0.0.1:1", "a:"] {
        client.send(file().header("host", host)).expect(200);
    }
}

/// A connection in HTTP/2 with prior knowledge.
async fn second(
    address: SocketAddr,
) -> hyper::client::conn::http2::SendRequest<http_body_util::Full<bytes::Bytes>> {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[test]
fn s36_http_2_is_read_as_strictly_as_http_1_1_and_its_host_arrives() {
    let upstream = Recorder::start();
    let edge = Edge::start(before(&upstream));
    let address = edge.client().address();
    let asked = |uri: &str, fields: &[(&str, &str)]| {
        let builder = http::Request::post(uri);
        let builder = fields.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        let request = builder.body(http_body_util::Full::from("ab")).unwrap();
        let answer = async { second(address).await.send_request(request).await };
        // A stream that is reset is a refusal too.
        edge.runtime().block_on(answer).map_or(0, |answer| answer.status().as_u16())
    };
    for uri in [
        "http://a..b/files/a",
        "http://a:99999/files/a",
        "ftp://a/files/a",
        "http://a/files/%c0%af",
        "http://a/files/%0d",
    ] {
        assert_eq!(asked(uri, &[]), 400, "{uri}");
    }
    assert_eq!(asked("http://a/files/a", &[("host", "b")]), 400);
    assert_eq!(asked("http://a/files/a", &[("host", "a"), ("host", "a")]), 400);
    for lengths in [&[("content-length", "2"), ("content-length", "2")][..], &[("content-length", "02")]] {
        let status = asked("http://a/files/a", lengths);
        assert!(matches!(status, 0 | 400), "{lengths:?}: {status}");
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(asked("http://partner.example:81/files/a", &[("remote-user", "forged")]), 200);
    let received = upstream.only();
    assert_eq!(received.header("host"), Some("partner.example:81"));
    assert_eq!(received.header("x-forwarded-host"), Some("partner.example:81"));
    assert_eq!((received.header("remote-user"), received.header("via")), (None, Some("2.0 bank-gateway")));
}

#[test]
fn s1_a_path_with_escapes_of_control_characters_or_broken_utf8_is_refused() {
    let upstream = Recorder::start();
    let edge = Edge::start(before(&upstream));
    let client = edge.client();
    for path in [
        "/files/a%0d%0ab",
        "/files/%0a",
        "/files/%7f",
        "/files/%1F",
        "/files/%09",
        "/files/%c0%af",
        "/files/%c0%ae%c0%ae",
        "/files/%ff",
        "/files/%e0%80%af",
        "/files/%ed%a0%80",
        "/files/%c2%85",
        "/files/%252e%252e/a",
        "/files/%c3",
    ] {
        assert_eq!(client.send(Request::get(path)).problem(400), "ambiguous_path", "{path}");
    }
    assert_eq!(upstream.count(), 0);
    for path in ["/files/%e2%82%ac", "/files/a%20b", "/files/100%25"] {
        client.send(Request::get(path)).expect(200);
    }
}

#[test]
fn s2_a_length_is_written_in_one_way() {
    let upstream = Recorder::start();
    let edge = Edge::start(before(&upstream));
    let client = edge.client();
    for length in ["010", "00", "+2", "2,2", "2, 2", "0x2", "0000000000000000000000000000000000000002", "-2"]
    {
        let bytes = format!("POST /files/a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nab");
        assert_eq!(answer_to(&client, &bytes), (400, true), "{length}");
    }
    assert_eq!(upstream.count(), 0);
    let bytes = "POST /files/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
    assert_eq!(answer_to(&client, bytes).0, 200);
    assert_eq!(upstream.only().body, b"ab");
}

#[test]
fn s6_methods_that_nobody_allowed_are_refused_and_what_follows_is_not_read() {
    let upstream = Recorder::start();
    let edge = Edge::start(before(&upstream));
    let client = edge.client();
    let next = "GET /files/b HTTP/1.1\r\nHost: a\r\n\r\n";
    for (method, target, status) in [
        ("TRACE", "/files/a", 405),
        ("CONNECT", "a:443", 405),
        ("get", "/files/a", 405),
        ("FROB", "/files/a", 405),
        ("PROPFIND", "/files/a", 405),
    ] {
        let bytes = format!("{method} {target} HTTP/1.1\r\nHost: a:443\r\n\r\n{next}");
        assert_eq!(answer_to(&client, &bytes), (status, true), "{method}");
    }
    assert_eq!(upstream.count(), 0);
    let webdav = http::Method::from_bytes(b"PROPFIND").unwrap();
    let edge = Edge::start(|builder| {
        before(&upstream)(builder).strict_http(StrictHttp::default().allow_method(webdav))
    });
    edge.client().send(Request::new("PROPFIND", "/files/a")).expect(200);
    edge.client().send(Request::new("FROB", "/files/a")).problem(405);
    assert_eq!(upstream.only().line, "PROPFIND /files/a HTTP/1.1");
}

#[test]
fn s5_identity_address_and_override_fields_of_any_make_never_arrive() {
    let upstream = Recorder::start();
    let strict = StrictHttp::default().reserve("X-Tenant").reserve_prefix("team-");
    let edge = Edge::start(|builder| before(&upstream)(builder).strict_http(strict));
    let names = [
        "Client-Cert",
        "SSL-Client-Cert",
        "X-SSL-Client-Cert",
        "X-ARR-ClientCert",
        "Remote-User",
        "REMOTE_USER",
        "X-Remote-User",
        "X-Auth-User",
        "X-Amzn-Oidc-Data",
        "X-Goog-Iap-Jwt-Assertion",
        "True-Client-IP",
        "CF-Connecting-IP",
        "CF_Connecting_IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "X-Original-Host",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "x_http_method_override",
        "HTTP2-Settings",
        "X-Tenant",
        "x_tenant",
        "Team-Name",
        "team_name",
        "X.Forwarded.For",
        "X~User",
        "x!user",
        "Content_Length",
        "Transfer_Encoding",
        "Idempotency_Key",
        "Proxy",
        "X-Forwarded-Port",
    ];
    let request = names.iter().fold(file(), |request, name| request.header(name, "forged"));
    let own = [("x-own", "1"), ("x_own", "2"), ("x-version", "3"), ("accept-language", "de")];
    let request = own.iter().fold(request, |request, (name, value)| request.header(name, *value));
    edge.client().send(request).expect(200);
    let received = upstream.only();
    let forged: Vec<_> = received.headers.iter().filter(|(_, value)| value == "forged").collect();
    assert!(forged.is_empty(), "{forged:?}");
    for (name, value) in own {
        assert_eq!(received.header(name), Some(value), "what is nobody else's passes");
    }
}

#[test]
fn s5_forwarding_fields_are_read_by_their_grammar_and_written_anew() {
    let upstream = Recorder::start();
    let told = |address: ClientAddress, fields: &[(&str, &str)]| {
        let edge = Edge::start(|builder| before(&upstream)(builder).client_address(address));
        let request = fields.iter().fold(file(), |request, (name, value)| request.header(name, *value));
        edge.client().send(request.header("host", "bank.example")).expect(200);
        let received: Received = upstream.received().pop().unwrap();
        let field = |name: &str| received.header(name).unwrap_or_default().to_owned();
        assert_eq!(received.header("forwarded"), None);
        (field("x-forwarded-for"), field("x-forwarded-proto"), field("x-forwarded-host"))
    };
    let all =
        |address: &str, proto: &str, host: &str| (address.to_owned(), proto.to_owned(), host.to_owned());
    let trusting = || ClientAddress::behind(["127.0.0.0/8"]).unwrap();
    for (field, address) in [
        ("203.0.113.7:5000", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7:5000, ,127.0.0.1:80,", "203.0.113.7"),
        ("\"[2001:db8::7]:443\"", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
    ] {
        let told = told(trusting(), &[("x-forwarded-for", field), ("forwarded", "for=9.9.9.9")]);
        assert_eq!(told, all(address, "http", "bank.example"), "{field}");
    }
    let proxied = [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "outside.example"),
        ("forwarded", "for=6.6.6.6, for=\"203.0.113.9:1\";proto=HTTPS;host=\"b.example\""),
    ];
    assert_eq!(told(trusting(), &proxied), all("203.0.113.7", "https", "outside.example"));
    let believing = trusting().believing(ForwardingField::Forwarded);
    assert_eq!(told(believing, &proxied), all("203.0.113.9", "https", "b.example"));
    let (address, proto, host) = told(ClientAddress::default(), &proxied);
    assert!(address.starts_with("127."), "a stranger is not believed: {address}");
    assert_eq!((&*proto, &*host), ("http", "bank.example"));
}

#[test]
fn behind_axum_the_peer_is_known_by_one_line() {
    let upstream = Recorder::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address = ClientAddress::default()
        .from_extension(|peer: &axum::extract::ConnectInfo<SocketAddr>| peer.0)
        .require_peer();
    let served = |is_connected: bool| {
        let _inside = runtime.enter();
        let gateway = before(&upstream)(Gateway::builder()).client_address(address.clone()).build().unwrap();
        let app = axum::Router::new().fallback_service(gateway);
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let client = Client::new(vec![listener.local_addr().unwrap()]);
        runtime.spawn(async move {
            if is_connected {
                let service = app.into_make_service_with_connect_info::<SocketAddr>();
                axum::serve(listener, service).await
            } else {
                axum::serve(listener, app.into_make_service()).await
            }
        });
        client
    };
    served(true).send(file()).expect(200);
    let from = upstream.only().header("x-forwarded-for").unwrap().to_owned();
    assert!(from.starts_with("127.") && from != "127.0.0.1", "the client has an address of its own: {from}");
    assert_eq!(served(false).send(file()).problem(500), "internal", "nobody is taken for this machine");
    assert_eq!(upstream.count(), 1);
}

#[test]
fn s3_a_condition_of_a_route_holds_in_every_spelling() {
    let (special, rest) = (Recorder::start(), Recorder::start());
    let edge = Edge::start(|builder| {
        let at = |upstream: &Recorder| Upstream::at([upstream.url()]).foreign();
        let get = || Route::new(Method::Get, "/v1/things").access(Access::Public);
        builder
            .rate_limit("default", Quota::per_second(10_000))
            .route(get(), at(&rest))
            .route(get().host("partner.example"), at(&special))
            .route(get().header("x-version", "beta"), at(&special))
            .route(Route::new(Method::Get, "/v1/others").access(Access::Public), at(&rest))
            .route(
                Route::new(Method::Get, "/v1/others").access(Access::Public).query("kind", "a"),
                at(&special),
            )
    });
    let client = edge.client();
    let things = || Request::get("/v1/things");
    let asked = [
        things().header("host", "partner.example."),
        things().header("host", "PARTNER.example.:8443"),
        things().header("x-version", "alpha").header("x-version", "beta"),
        things().header("x-version", "alpha, beta"),
        Request::get("/v1/others?%6bind=a"),
        Request::get("/v1/others?x=1;kind=%61"),
        Request::get("/v1/others?kind=b&kind=a"),
    ];
    for (number, request) in asked.into_iter().enumerate() {
        client.send(request.clone()).expect(200);
        assert_eq!((special.count(), rest.count()), (number + 1, 0), "{request:?}");
    }
    client.send(Request::get("/v1/others?kind=b")).expect(200);
    client.send(things().header("host", "other.example")).expect(200);
    assert_eq!(rest.count(), 2);
}

#[test]
fn s35_an_answer_that_nobody_asked_for_or_that_reads_in_two_ways_is_a_502() {
    let many = (0..150).fold(Reply::ok(), |reply, n| reply.header(&format!("x-{n}"), "1"));
    let replies = [
        (
            "a 101 that nobody asked for",
            Reply::status(101).header("upgrade", "websocket").header("connection", "upgrade"),
        ),
        ("a status beyond 599", Reply::status(600)),
        ("a status beyond 599", Reply::status(999)),
        ("length and chunks", Reply::ok().header("transfer-encoding", "chunked")),
        ("two different lengths", Reply::ok().header("content-length", "3")),
        ("two equal lengths", Reply::ok().header("content-length", "2")),
        ("another coding", Reply::ok().header("transfer-encoding", "gzip, chunked")),
        ("too many fields", many),
        ("too large a head", Reply::ok().header("x-long", &"a".repeat(70_000))),
    ];
    for (what, reply) in replies {
        let upstream = Recorder::answering(move |_| reply.clone());
        let edge = Edge::start(before(&upstream));
        let answer = edge.client().send(file());
        let code = answer.problem(502);
        assert!(matches!(&*code, "invalid_answer" | "indeterminate"), "{what}: {code}");
    }
    for status in [200, 204, 304, 404, 418, 599] {
        let upstream = Recorder::answering(move |_| Reply::Answer(status, Vec::new(), Vec::new()));
        let edge = Edge::start(before(&upstream));
        assert_eq!(edge.client().send(file()).status, status);
    }
}

#[test]
fn a_later_traceparent_is_continued_and_a_stranger_s_flag_is_not_believed() {
    let upstream = Recorder::start();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = |version: &str, rest: &str| format!("{version}-{trace}-b7ad6b7169203331-01{rest}");
    let goes_on = |edge: &Edge, parent: String| {
        edge.client().send(file().header("traceparent", parent)).expect(200);
        upstream.received().pop().unwrap().header("traceparent").unwrap().to_owned()
    };
    let edge = Edge::start(before(&upstream));
    for parent in [parent("00", ""), parent("01", ""), parent("cc", "-what-comes-later")] {
        let sent = goes_on(&edge, parent.clone());
        assert!(sent.starts_with(&format!("00-{trace}-")) && sent.ends_with("-00"), "{parent}: {sent}");
        assert!(!sent.contains("b7ad6b7169203331"), "the span is new: {sent}");
    }
    assert!(!goes_on(&edge, parent("ff", "")).contains(trace));
    let edge = Edge::start(|builder| before(&upstream)(builder).sampling(Sampling::Believed));
    assert!(goes_on(&edge, parent("00", "")).ends_with("-01"));
}

#[test]
fn a_route_that_leads_back_to_the_gateway_is_a_loop_and_not_an_endless_one() {
    let proxy = Proxy::start(1).unwrap();
    let url = proxy.instead_of("http://127.0.0.1:1/", 1).trim_end_matches('/').to_owned();
    let edge = Edge::start(|builder| {
        let back = Route::all("/{*rest}").access(Access::Public);
        builder
            .name("edge")
            .rate_limit("default", Quota::per_second(1_000))
            .route(back, Upstream::at([url]).foreign())
    });
    let client = edge.client();
    proxy.lead_to(client.address().port());
    // The refusal comes back through all who passed the request on.
    let refused = client.send(Request::get("/a"));
    assert_eq!((refused.status, refused.json()["code"].as_str()), (508, Some("loop_detected")));
    let told = "1.1 edge, 1.1 other, 1.0 EDGE:80 (again, and again)";
    assert_eq!(client.send(Request::get("/a").header("via", told)).problem(508), "loop_detected");

    let upstream = Recorder::start();
    let edge = Edge::start(|builder| before(&upstream)(builder).name("edge"));
    edge.client().send(file().header("via", "1.1 other")).expect(200);
    assert_eq!(upstream.only().all("via"), ["1.1 other", "1.1 edge"]);
}

#[test]
fn what_a_browser_is_told_can_be_configured() {
    let upstream = Recorder::start();
    let fields = SecurityHeaders::default()
        .set(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'self'"))
        .set(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"))
        .without(&REFERRER_POLICY);
    let edge = Edge::start(|builder| before(&upstream)(builder).security_headers(fields));
    let answer = edge.client().send(Request::get("/healthz"));
    assert_eq!(answer.header("content-security-policy"), Some("default-src 'self'"));
    assert_eq!(answer.header("x-frame-options"), Some("SAMEORIGIN"));
    assert_eq!(answer.header("referrer-policy"), None);
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}
