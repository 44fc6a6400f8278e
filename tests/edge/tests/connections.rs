//! The life of a connection, from the knock at the door to its end, whatever is served on it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod socket;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bank_gateway::{Quota, Tls, Upstream};
use bank_sdk::serve::{Held, Limits, Plain, ProxyProtocol};
use bank_sdk::{Api, Empty, Endpoint};
use edge_tests::{Connection, Edge, Recorder, Request, identity_keys, raw, until};
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use socket::Server;

const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(60);

/// A drain that waits for somebody takes longer than this, and one that waits for nobody does not.
const AT_ONCE: Duration = Duration::from_secs(5);

fn get(path: &str) -> Request {
    Request::get(path)
}

fn text(connection: &mut Connection, path: &str) -> String {
    connection.exchange(&get(path)).unwrap().text()
}

#[test]
fn an_idle_connection_is_kept_for_longer_than_a_head_may_take() {
    let server = Server::start(
        Limits::default().header_read_timeout(SHORT).handshake_timeout(SHORT).idle_timeout(LONG),
    );
    let mut connection = server.client().connect().unwrap();
    text(&mut connection, "/");
    assert!(!connection.closes_within(SHORT * 4), "it is idle, not slow");
    text(&mut connection, "/");
    connection.write(b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ").unwrap();
    assert!(connection.ends_within(Duration::from_secs(10)), "a head that began has its own time");

    let server = Server::start(Limits::default().idle_timeout(SHORT));
    let mut connection = server.client().connect().unwrap();
    text(&mut connection, "/");
    assert!(connection.is_closed(), "idle for too long");
    let mut busy = server.client().connect().unwrap();
    busy.write(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert!(!busy.closes_within(SHORT * 4), "a request that is under way is not idleness");
    server.seen.go.notify_one();
    assert_eq!(busy.read_response(false).unwrap().status, 200);
}

#[test]
fn a_drain_waits_for_nobody_who_has_asked_nothing() {
    let mut server = Server::start(Limits::default().drain_timeout(LONG));
    let begun: Vec<_> = [
        "",
        "P",
        "PRI * HTTP/2.0\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ]
    .into_iter()
    .map(|start| {
        let mut connection = server.client().connect().unwrap();
        connection.write(start.as_bytes()).unwrap();
        connection
    })
    .collect();
    let mut kept = server.client().connect().unwrap();
    text(&mut kept, "/");
    kept.write(b"GET / HTTP/1.1\r\nhost: a\r\n").unwrap();
    let took = server.drained();
    assert!(took < AT_ONCE, "{took:?}");
    drop(begun);
}

#[test]
fn a_drain_waits_for_no_tls_handshake_and_no_proxy_header() {
    let directory = tempfile::tempdir().unwrap();
    let tls = Tls::development(directory.path()).unwrap();
    let limits = Limits::default().drain_timeout(LONG).handshake_timeout(LONG);
    let mut server = Server::start_with(limits.clone(), tls, None);
    let silent = server.client().connect().unwrap();
    let mut partial = server.client().connect().unwrap();
    partial.write(&[0x16, 3, 1]).unwrap();
    let shaken = Secure::connect(&server, directory.path(), &["h2"]);
    let took = server.drained();
    assert!(took < AT_ONCE, "{took:?}");
    drop((silent, partial, shaken));

    let believed = ["127.0.0.0/8".parse().unwrap()];
    let mut server = Server::start_with(limits, ProxyProtocol::new(Plain, believed), None);
    let mut partial = server.client().connect().unwrap();
    partial.write(b"PROXY TCP4 ").unwrap();
    let took = server.drained();
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn a_drain_finishes_requests_and_does_not_wait_for_the_next() {
    let mut server = Server::start(Limits::default().drain_timeout(LONG));
    let mut busy = server.client().connect().unwrap();
    busy.write(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    until("the request", || (server.requests() == 1).then_some(()));
    server.drain();
    until("the door to close", || server.client().connect().is_err().then_some(()));
    server.seen.go.notify_one();
    assert_eq!(busy.read_response(false).unwrap().status, 200);
    let took = server.drained();
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn readiness_ends_before_connections_are_refused() {
    let mut server = Server::start(Limits::default().drain_grace(Duration::from_secs(2)));
    let mut kept = server.client().connect().unwrap();
    assert!(text(&mut kept, "/").contains("leaving=false"));
    server.drain();
    until("the server to say that it leaves", || text(&mut kept, "/").contains("leaving=true").then_some(()));
    let mut new = server.client().connect().unwrap();
    assert!(text(&mut new, "/").contains("leaving=true"), "whoever comes now is served still");
    until("the door to close", || server.client().connect().is_err().then_some(()));
    server.ended().unwrap();
}

#[test]
fn limits_that_cannot_hold_end_the_server_before_it_serves() {
    let mut server = Server::start(Limits::default().header_fields(0));
    let told = server.ended().unwrap_err();
    assert_eq!(told.kind(), std::io::ErrorKind::InvalidInput);
    assert!(told.to_string().contains("header_fields"), "{told}");
}

#[test]
fn a_balancer_s_network_may_hold_more_connections_than_others() {
    let limits = Limits::default().connections_per_address(1);
    let healthy = |connection: &mut Connection| connection.exchange(&get("/")).is_ok();
    let server = Server::start(limits.clone());
    let client = server.client();
    let _first = client.connect().map(|mut first| healthy(&mut first).then_some(first)).unwrap();
    assert!(!healthy(&mut client.connect().unwrap()));

    let server = Server::start(limits.connections_from("127.0.0.0/8".parse().unwrap(), 3));
    let client = server.client();
    let mut held: Vec<_> = (0..3).map(|_| client.connect().unwrap()).collect();
    assert!(held.iter_mut().all(healthy));
    assert!(!healthy(&mut client.connect().unwrap()), "that bound holds too");
}

#[test]
fn s33_a_few_addresses_never_stop_a_server() {
    let server =
        Server::start(Limits::default().connections(40).connections_per_address(10).idle_timeout(LONG));
    let greedy: Vec<_> = (0..4).map(|_| server.client()).collect();
    let mut held = Vec::new();
    // In turn, so that each holds as much as the others do.
    for client in (0..12).flat_map(|_| &greedy) {
        let mut connection = client.connect().unwrap();
        if connection.exchange(&get("/")).is_ok() {
            held.push(connection);
        }
    }
    assert!((30..40).contains(&held.len()), "{}", held.len());
    assert_eq!(server.client().send(get("/")).status, 200, "others are served");
}

#[test]
fn a_server_that_waits_for_connections_holds_no_place() {
    let limits = Limits::default().connections(1);
    let held = Held::new(&limits);
    let first = Server::start_with(limits.clone(), Plain, Some(held.clone()));
    let second = Server::start_with(limits, Plain, Some(held));
    for _ in 0..3 {
        assert_eq!(first.client().send(get("/")).status, 200);
        assert_eq!(second.client().send(get("/")).status, 200);
    }
}

#[test]
fn the_proxy_protocol_is_believed_from_configured_peers_only() {
    let v2 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[203, 0, 113, 8, 127, 0, 0, 1, 0x1f, 0x90, 0, 80]]
        .concat();
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let believed = ["127.0.0.0/8".parse().unwrap()];
    let limits = Limits::default().connections_per_address(1);
    let server = Server::start_with(limits, ProxyProtocol::new(Plain, believed), None);
    let client = server.client();
    let mut held = Vec::new();
    for (header, peer) in [
        (&b"PROXY TCP4 203.0.113.7 127.0.0.1 5000 80\r\n"[..], "peer=203.0.113.7 "),
        (b"PROXY TCP6 2001:db8::7 ::1 5000 80\r\n", "peer=2001:db8::7 "),
        (&v2, "peer=203.0.113.8 "),
        (b"PROXY UNKNOWN\r\n", "peer=127."),
    ] {
        let mut connection = client.connect().unwrap();
        connection.write(&[header, request].concat()).unwrap();
        let told = connection.read_response(false).unwrap().text();
        assert!(told.contains(peer), "{told}");
        held.push(connection);
    }
    let mut again = client.connect().unwrap();
    again.write(&[b"PROXY TCP4 203.0.113.7 127.0.0.1 5001 80\r\n", &request[..]].concat()).unwrap();
    assert!(again.is_closed(), "connections are counted as those of the client");
    let mut without = client.connect().unwrap();
    without.write(request).unwrap();
    assert!(without.is_closed(), "a peer that is believed has to say for whom it speaks");
    let seen = server.requests();

    let nobody = ["192.0.2.1".parse().unwrap()];
    let server = Server::start_with(Limits::default(), ProxyProtocol::new(Plain, nobody), None);
    let header = b"PROXY TCP4 203.0.113.7 127.0.0.1 5000 80\r\n";
    let mut stranger = server.client().connect().unwrap();
    stranger.write(&[header, &request[..]].concat()).unwrap();
    assert!(stranger.read_response(false).map_or(true, |answer| answer.status == 400));
    assert_eq!((seen, server.requests()), (4, 0));
    assert!(server.client().send(get("/")).text().contains("peer=127."));
}

#[test]
fn the_proxy_protocol_comes_before_tls() {
    let directory = tempfile::tempdir().unwrap();
    let tls = Tls::development(directory.path()).unwrap();
    let believed = ["127.0.0.0/8".parse().unwrap()];
    let server = Server::start_with(Limits::default(), ProxyProtocol::new(tls, believed), None);
    let config = trusting(directory.path(), &["http/1.1"]);
    let header = b"PROXY TCP4 203.0.113.7 127.0.0.1 5000 443\r\n";
    let told = Secure::connect_with(&server, Arc::new(config), header).get();
    assert!(told.contains("peer=203.0.113.7") && told.contains("tls=true"), "{told}");
}

/// A request whose head has this many bytes, by a long field.
fn head_of(bytes: usize) -> Vec<u8> {
    let start = "GET / HTTP/1.1\r\nhost: a\r\nx-long: ";
    format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4)).into_bytes()
}

#[test]
fn s7_the_size_of_a_head_is_exact_on_http_1_1() {
    for bytes in [2_000, 8_192, 20_000] {
        let server = Server::start(Limits::default().header_bytes(bytes));
        assert_eq!(raw(&server.client(), &head_of(bytes)).unwrap().0.status, 200, "{bytes}");
        let (answer, closed) = raw(&server.client(), &head_of(bytes + 1)).unwrap();
        assert_eq!((answer.status, closed), (431, true), "{bytes} and one");
        let (answer, closed) = raw(&server.client(), &head_of(bytes + 30_000)).unwrap();
        assert_eq!((answer.status, closed), (431, true), "{bytes} and much more");
        let target = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(bytes));
        let (answer, closed) = raw(&server.client(), target.as_bytes()).unwrap();
        assert!(matches!(answer.status, 414 | 431) && closed, "a target of {bytes}: {}", answer.status);
    }
}

#[test]
fn s7_the_number_of_fields_is_exact_on_http_1_1() {
    for fields in [100, 40] {
        let server = Server::start(Limits::default().header_fields(fields));
        let request = |more: usize| {
            format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(fields - 1 + more)).into_bytes()
        };
        assert_eq!(raw(&server.client(), &request(0)).unwrap().0.status, 200);
        assert_eq!(raw(&server.client(), &request(1)).unwrap().0.status, 431);
    }
}

#[test]
fn nothing_is_served_after_connect_or_trace_was_refused() {
    let server = Server::start(Limits::default());
    for method in ["CONNECT a:80", "TRACE /"] {
        let seen = server.requests();
        let mut connection = server.client().connect().unwrap();
        let bytes = format!("{method} HTTP/1.1\r\nhost: a:80\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n");
        connection.write(bytes.as_bytes()).unwrap();
        let answer = connection.read_response(false).unwrap();
        assert_eq!((answer.status, answer.header("connection")), (405, Some("close")));
        assert!(connection.is_closed(), "{method}");
        assert_eq!(server.requests(), seen + 1, "{method}");
    }
}

#[test]
fn s7_a_reader_that_takes_nothing_is_cut() {
    let server = Server::start(Limits::default().write_timeout(SHORT));
    let mut connection = server.client().connect().unwrap();
    connection.write(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    until("the answer to begin", || (server.endless() == 1).then_some(()));
    until("the answer to be given up", || (server.endless() == 0).then_some(()));
    drop(connection);
}

#[test]
fn a_reader_that_takes_something_is_not_cut() {
    let server = Server::start(Limits::default().write_timeout(SHORT));
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let (mut bytes, start) = ([0; 64 * 1024], tokio::time::Instant::now());
    // Much slower than it could be, and for several times the time in which it has to take something.
    while start.elapsed() < SHORT * 5 {
        std::thread::sleep(Duration::from_millis(5));
        assert!(stream.read(&mut bytes).unwrap() > 0);
    }
    assert_eq!(server.endless(), 1);
}

#[test]
fn a_connection_is_upgraded_only_where_that_was_asked_for() {
    let request = b"GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    for upgrades in [true, false] {
        let server = Server::start(Limits::default().upgrades(upgrades));
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(request).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).unwrap();
        assert_eq!(told.ends_with("upgraded"), upgrades, "{told}");
    }
}

const SHOWN: Endpoint<Empty, Empty> = Endpoint::get("/v1/shown").public();

#[test]
fn s2_a_body_of_unknown_length_is_passed_on_with_any_method() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        builder.rate_limit("default", Quota::per_second(10_000)).service(
            Api::new("shown").endpoint(SHOWN.declare()),
            Upstream::at([upstream.url()]).identity_keys(identity_keys()),
        )
    });
    for method in ["GET", "HEAD"] {
        let whole = format!(
            "{method} /v1/shown HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        );
        let wholes = || upstream.received().iter().filter(|request| request.whole).count();
        let before = wholes();
        let mut connection = edge.client().connect().unwrap();
        connection.write(whole.as_bytes()).unwrap();
        let answer = connection.read_response(method == "HEAD").unwrap();
        if answer.status == 400 {
            assert_eq!(wholes(), before, "refused or passed on, not half");
            continue;
        }
        assert_eq!(answer.status, 200);
        // A part of what broke off the time before may arrive still.
        let received = upstream.received().into_iter().rfind(|request| request.whole).unwrap();
        assert_eq!((&received.body[..], received.whole), (&b"abc"[..], true), "{method}");
        assert_eq!(received.header("transfer-encoding"), Some("chunked"));

        // Whether a part of what broke off arrives, and when, is the gateway's business.
        let seen = wholes();
        let broken = format!(
            "{method} /v1/shown HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense\r\n"
        );
        let mut connection = edge.client().connect().unwrap();
        connection.write(broken.as_bytes()).unwrap();
        let answered = connection.read_response(method == "HEAD").map(|answer| answer.status);
        assert!(!matches!(answered, Ok(200..300)), "{method}: {answered:?}");
        assert_eq!(wholes(), seen, "{method}");
    }
}

/// A client over TLS.
struct Secure {
    tls: rustls::ClientConnection,
    stream: TcpStream,
}

fn trusting(directory: &Path, protocols: &[&str]) -> rustls::ClientConfig {
    let trusted = bank_gateway::tls::client_config(&directory.join("ca.pem")).unwrap();
    let mut config = rustls::ClientConfig::clone(&trusted);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

impl Secure {
    fn connect(server: &Server, directory: &Path, protocols: &[&str]) -> Self {
        Self::connect_with(server, Arc::new(trusting(directory, protocols)), b"")
    }

    fn connect_with(server: &Server, config: Arc<rustls::ClientConfig>, first: &[u8]) -> Self {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(first).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = rustls::ClientConnection::new(config, name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).unwrap();
        }
        Self { tls, stream }
    }

    fn get(&mut self) -> String {
        let mut io = rustls::Stream::new(&mut self.tls, &mut self.stream);
        io.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut told = String::new();
        io.read_to_string(&mut told).unwrap();
        told
    }

    fn certificate(&self) -> Vec<u8> {
        self.tls.peer_certificates().unwrap()[0].to_vec()
    }
}

#[test]
fn most_tls_handshakes_resume() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(Limits::default(), Tls::development(directory.path()).unwrap(), None);
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let mut roots = rustls::RootCertStore::empty();
        use rustls::pki_types::pem::PemObject as _;
        let authority = directory.path().join("ca.pem");
        roots.add(rustls::pki_types::CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        // Far more clients than are remembered without tickets need not be tried: nothing is remembered here.
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let mut client = Secure::connect_with(&server, config.clone(), b"");
            assert!(client.get().contains("200 OK"));
            kinds.push(client.tls.handshake_kind());
        }
        assert_eq!(
            kinds,
            [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed), Some(HandshakeKind::Resumed)]
        );
    }
}

/// A new certificate of the same authority's kind, in the place of the one that is served.
fn renew(from: &Path, to: &Path) -> Vec<u8> {
    drop(Tls::development(from).unwrap());
    for name in ["localhost.key", "localhost.pem", "ca.pem"] {
        std::fs::copy(from.join(name), to.join("new")).unwrap();
        std::fs::rename(to.join("new"), to.join(name)).unwrap();
    }
    std::fs::read(to.join("localhost.pem")).unwrap()
}

#[test]
fn a_renewed_certificate_is_served_without_a_restart() {
    let (served, first, second) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = served.path();
    renew(first.path(), path);
    let tls = Tls::files(&path.join("localhost.pem"), &path.join("localhost.key")).unwrap();
    let server = Server::start_with(Limits::default(), tls.clone(), None);
    let shown = || Secure::connect(&server, path, &["http/1.1"]).certificate();
    let before = shown();
    let status = tls.status().unwrap();
    assert!(status.fault.is_none() && status.not_after > status.not_before);

    // A key that does not fit: the one before is served still, and said to be.
    std::fs::write(path.join("localhost.key"), "no key").unwrap();
    until("the fault to be seen", || {
        assert_eq!(shown(), before);
        tls.status().unwrap().fault
    });
    assert!(tls.reload().is_err());
    assert_eq!(shown(), before);

    renew(second.path(), path);
    // The client trusts the new authority only; the first connection finds the change, a later one the certificate.
    until("the new certificate", || {
        let config = Arc::new(trusting(path, &["http/1.1"]));
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = rustls::ClientConnection::new(config, name).unwrap();
        while client.is_handshaking() {
            client.complete_io(&mut stream).ok()?;
        }
        Some(())
    });
    assert_ne!(shown(), before);
    assert_eq!(tls.status().unwrap().fault, None);

    renew(first.path(), path);
    tls.reload().unwrap();
    assert_eq!(shown(), before, "asked for, it is there at once");
}

#[test]
fn a_certificate_for_development_is_what_strict_clients_take() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let tls = Tls::development(directory.path()).unwrap();
    let status = tls.status().unwrap();
    let lasts = status.not_after.unwrap().since(status.not_before.unwrap());
    assert!(lasts <= Duration::from_secs(397 * 86_400) && lasts > Duration::from_secs(300 * 86_400));
    let server = Server::start_with(Limits::default(), tls, None);
    let leaf = Secure::connect(&server, directory.path(), &["http/1.1"]).certificate();
    let has = |oid: &[u8]| leaf.windows(oid.len()).any(|window| window == oid);
    assert!(has(&[0x06, 0x03, 0x55, 0x1d, 0x23]), "an authority key identifier");
    assert!(has(&[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01]), "for servers");
    let authority = std::fs::read(directory.path().join("ca.pem")).unwrap();
    let again = Tls::development(directory.path()).unwrap();
    assert_eq!(std::fs::read(directory.path().join("ca.pem")).unwrap(), authority, "it is made once");
    drop(again);
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{}", file.path().display());
    }
}
