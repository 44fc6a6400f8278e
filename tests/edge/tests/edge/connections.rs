//! Connections and bodies: how they begin, how they end, how many and how large they may be.

use super::*;

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
