//! Trailers pass both ways, over either protocol, and never become fields of a head: what gRPC needs.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bank_gateway::{Gateway, GatewayBuilder, Quota, Route, Upstream};
use bank_sdk::Access;
use bank_sdk::http::Body;
use bank_sdk::serve::serve;
use bytes::Bytes;
use edge_tests::{Client, Edge, HeldPort, Request, Wire, until};
use http::{HeaderMap, HeaderName, HeaderValue, Response, Version};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// A request as it arrived.
#[derive(Clone, Debug)]
struct Seen {
    version: Version,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

/// A body that does not say how large it is.
struct Frames(VecDeque<Frame<Bytes>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// A service whose answers end in trailers, as those of gRPC do, some of which say what trailers must not.
struct Peer {
    runtime: Option<Runtime>,
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Option<oneshot::Sender<()>>,
}

fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let field = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    fields.iter().map(field).collect()
}

impl Peer {
    fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    fn start_at(address: SocketAddr) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener: TcpListener = runtime.block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            socket.listen(64).unwrap()
        });
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let sink = seen.clone();
        let service = tower::service_fn(move |request: http::Request<Incoming>| {
            let sink = sink.clone();
            async move {
                let (head, body) = request.into_parts();
                let read = body.collect().await.unwrap();
                let trailers = read.trailers().cloned().unwrap_or_default();
                let body = read.to_bytes();
                sink.lock().unwrap().push(Seen {
                    version: head.version,
                    headers: head.headers,
                    body,
                    trailers,
                });
                let trailers = fields(&[
                    ("grpc-status", "0"),
                    ("x-late", "late"),
                    ("content-length", "9999"),
                    ("set-cookie", "a=b"),
                    ("bank-session-ended", "ses_1"),
                ]);
                let frames = [Frame::data(Bytes::from_static(b"answer")), Frame::trailers(trailers)];
                let body = Body::new(Frames(frames.into()));
                let answer = Response::builder().header("content-type", "application/grpc");
                let answer = answer.header("trailer", "grpc-status, x-late, bank-session-ended");
                Ok::<_, Infallible>(answer.body(body).unwrap())
            }
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let server = serve(listener, service).shutdown(async {
            // A sender that is gone means the same.
            let _ = stopped.await;
        });
        drop(runtime.spawn(server.into_future()));
        Self { runtime: Some(runtime), address, seen, stop: Some(stop) }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().unwrap().clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.take();
        self.runtime.take().unwrap().shutdown_timeout(std::time::Duration::from_millis(100));
    }
}

/// Passes everything on to this upstream.
fn before(upstream: Upstream) -> impl FnOnce(GatewayBuilder) -> GatewayBuilder {
    |builder| {
        let route = Route::all("/{*rest}").access(Access::Public);
        builder.rate_limit("default", Quota::per_second(10_000)).route(route, upstream.foreign())
    }
}

/// An edge in front of a peer, for each protocol that is spoken to the peer, and clients of each.
fn each(peer: &Peer, mut check: impl FnMut(&Client, Wire, Version)) {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let upstream = Upstream::at([peer.url()]);
        let edge = Edge::start(before(if version == Version::HTTP_2 { upstream.http2() } else { upstream }));
        for wire in [Wire::Http1, Wire::Http2] {
            check(&edge.client().over(wire), wire, version);
        }
    }
}

/// A call as gRPC makes it, with trailers of its own.
fn call(wire: Wire) -> Request {
    let chunks = "5\r\nhello\r\n0\r\nx-sum: 1\r\nbank-identity: forged\r\nauthorization: forged\r\n\r\n";
    let call = Request::post("/things.Things/Make").header("te", "trailers");
    // HTTP/2 has no connection options.
    let call = if wire == Wire::Http1 { call.header("connection", "te") } else { call };
    call.header("content-type", "application/grpc")
        .header("trailer", "x-sum, bank-identity, authorization")
        .header("transfer-encoding", "chunked")
        .body(chunks)
}

#[test]
fn trailers_of_answers_pass_to_clients_that_take_them() {
    let peer = Peer::start();
    each(&peer, |client, wire, version| {
        let answer = client.connect().unwrap().exchange(&call(wire)).unwrap();
        assert_eq!((answer.status, answer.text()), (200, "answer".to_owned()));
        let mut names: Vec<_> = answer.trailers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["grpc-status", "x-late"], "{wire:?} to {version:?}");
        assert_eq!(answer.header("grpc-status"), None, "a trailer never becomes a header");
        assert_eq!(answer.header("content-length"), None);
        let seen = peer.last();
        assert_eq!(seen.version, version);
        assert_eq!(seen.headers["te"], "trailers");
    });
}

#[test]
fn s6_trailers_of_requests_pass_and_say_nothing_that_a_service_acts_upon() {
    let peer = Peer::start();
    each(&peer, |client, wire, version| {
        client.connect().unwrap().exchange(&call(wire)).unwrap();
        let seen = peer.last();
        assert_eq!(seen.body, "hello");
        let names: Vec<_> = seen.trailers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-sum"], "{wire:?} to {version:?}");
        for name in ["x-sum", "bank-identity", "authorization"] {
            assert!(!seen.headers.contains_key(name), "a trailer never becomes a header: {name}");
        }
    });
}

#[test]
fn who_does_not_say_that_it_takes_trailers_gets_none_over_http_1_1() {
    let peer = Peer::start();
    let edge = Edge::start(before(Upstream::at([peer.url()])));
    let asks: [&[(&str, &str)]; 3] = [&[], &[("te", "trailers")], &[("te", "deflate"), ("connection", "te")]];
    for fields in asks {
        let ask = fields.iter().fold(Request::get("/x"), |ask, (name, value)| ask.header(name, *value));
        let answer = edge.client().over(Wire::Http1).connect().unwrap().exchange(&ask).unwrap();
        assert_eq!((answer.text(), answer.trailers), ("answer".to_owned(), Vec::new()), "{fields:?}");
        assert!(!peer.last().headers.contains_key("te"), "{fields:?}");
    }
}

#[test]
fn an_upstream_of_http_2_is_told_what_one_of_http_1_1_is() {
    let peer = Peer::start();
    each(&peer, |client, _, version| {
        let ask = Request::post("/x").header("host", "bank.example").header("x-own", "1").body("four");
        assert_eq!(client.send(ask).status, 200);
        let seen = peer.last();
        assert_eq!((seen.version, seen.body), (version, Bytes::from_static(b"four")));
        for (name, value) in [("host", "bank.example"), ("x-own", "1"), ("content-length", "4")] {
            assert_eq!(seen.headers[name], value, "{version:?}");
        }
        for name in ["x-request-id", "x-forwarded-for", "traceparent", "via"] {
            assert!(seen.headers.contains_key(name), "{name}");
        }
        for name in ["connection", "transfer-encoding", "te"] {
            assert!(!seen.headers.contains_key(name), "{name}");
        }
    });
}

#[test]
fn many_calls_share_one_connection_of_http_2() {
    let peer = Peer::start();
    let edge = Edge::start(before(Upstream::at([peer.url()]).http2()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let client = edge.client();
            scope.spawn(move || {
                for _ in 0..50 {
                    assert_eq!(client.connect().unwrap().exchange(&call(Wire::Http1)).unwrap().status, 200);
                }
            });
        }
    });
    assert_eq!(peer.seen.lock().unwrap().len(), 400);
}

#[test]
fn s22_an_upstream_of_http_2_that_goes_away_gives_a_503_and_comes_back() {
    let port = HeldPort::new();
    let edge = Edge::start(before(Upstream::at([format!("http://{}", port.address())]).http2()));
    let client = edge.client();
    assert_eq!(client.send(Request::get("/x")).problem(503), "unavailable");
    for _ in 0..2 {
        let peer = Peer::start_at(port.address());
        until("the upstream to be asked again", || {
            (client.send(Request::get("/x")).status == 200).then_some(())
        });
        drop(peer);
        until("the upstream to be away", || (client.send(Request::get("/x")).status == 503).then_some(()));
    }
}

#[test]
fn s24_http_2_over_tls_is_agreed_on_in_the_handshake() {
    let directory = tempfile::tempdir().unwrap();
    let peer = Peer::start();
    let behind = Edge::start_tls(directory.path(), before(Upstream::at([peer.url()]).http2()));
    let trusted = bank_gateway::tls::client_config(&directory.path().join("ca.pem")).unwrap();
    let port = behind.client().address().port();
    let upstream = Upstream::at([format!("https://localhost:{port}")]).tls(trusted).http2();
    let edge = Edge::start(before(upstream));
    let answer = edge.client().connect().unwrap().exchange(&call(Wire::Http1)).unwrap();
    assert_eq!((answer.status, answer.trailers.len()), (200, 2), "through two gateways");
}

#[test]
fn a_route_that_upgrades_has_no_upstream_of_http_2() {
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    let route = Route::new(bank_sdk::declaration::Method::Get, "/ws").access(Access::Public).upgrade();
    let upstream = Upstream::at(["http://127.0.0.1:1"]).foreign().http2();
    let fault = Gateway::builder().route(route, upstream).build().unwrap_err().to_string();
    assert!(fault.contains("without .http2()"), "{fault}");
}
