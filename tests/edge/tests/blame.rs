//! Whose fault was it? What a caller controls is never an endpoint's failure or latency (S32), and what an endpoint does is.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bank_gateway::{Policy, Quota, Route, Times, Upstream};
use bank_sdk::client::ConnectOptions;
use bank_sdk::declaration::Idempotency;
use bank_sdk::{Access, Api, Empty, Endpoint};
use edge_tests::{Client, Edge, Recorder, Reply, Request, identity_keys, patience, until};
use serde_json::Value;
use tokio::time::Instant;

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A gateway with one public route to these addresses.
fn routed(route: Route, urls: Vec<String>) -> (Edge, Client) {
    let edge = Edge::start(|builder| {
        builder
            .rate_limit("default", Quota::per_second(10_000))
            .route(route.access(Access::Public), Upstream::at(urls).foreign())
    });
    let admin = edge.beside(edge.gateway().admin());
    (edge, admin)
}

fn in_time(route: Route, times: Times) -> Route {
    route.policy(Policy::new().times(times))
}

/// How the only endpoint of the only service stands.
fn endpoint(admin: &Client) -> Value {
    endpoints(admin)[0].clone()
}

fn endpoints(admin: &Client) -> Value {
    let upstreams = admin.send(Request::get("/admin/upstreams")).expect(200);
    let services = upstreams["services"].as_object().unwrap().clone();
    services.into_iter().next().unwrap().1
}

/// The endpoint was never blamed: it is in service, and its latency holds no penalty.
#[track_caller]
fn assert_unblamed(admin: &Client) {
    until("all requests to have left", || (endpoint(admin)["in_flight"] == 0).then_some(()));
    let endpoint = endpoint(admin);
    assert_eq!(endpoint["state"], "closed", "{endpoint}");
    assert!(endpoint["latency_us"].as_u64().is_none_or(|latency| latency < 900_000), "{endpoint}");
}

/// Does the same in so many threads at once.
fn at_once(count: usize, act: impl Fn() + Sync) {
    std::thread::scope(|scope| (0..count).for_each(|_| drop(scope.spawn(&act))));
}

/// A server of a few lines: each connection is handed to `serve`.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    format!("http://{address}")
}

/// What arrives up to and with this text.
fn read_until(stream: &mut TcpStream, end: &str) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(end.as_bytes()) {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        text.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn s32_a_deadline_of_the_caller_s_own_is_nobody_s_failure() {
    let upstream = Recorder::answering(|_| Reply::Late(millis(400)));
    let (edge, admin) = routed(Route::all("/{*rest}"), vec![upstream.url()]);
    let client = edge.client();
    at_once(12, || {
        let hasty = Request::get("/x").header("bank-timeout-ms", "60");
        assert_eq!(client.send(hasty).problem(504), "deadline_exceeded");
    });
    upstream.until_count(1);
    assert_unblamed(&admin);
    assert_eq!(client.send(Request::get("/x")).status, 200);
}

#[test]
fn s32_a_slow_upload_is_a_408_and_nobody_s_failure() {
    let upstream = Recorder::start();
    let route = in_time(Route::all("/{*rest}"), Times::head(millis(300)));
    let (edge, admin) = routed(route, vec![upstream.url()]);
    let client = edge.client();
    at_once(12, || {
        let mut connection = client.connect().unwrap();
        connection.write(b"POST /x HTTP/1.1\r\nhost: bank\r\ncontent-length: 100\r\n\r\nx").unwrap();
        assert_eq!(connection.read_response(false).unwrap().problem(408), "timeout");
    });
    assert_unblamed(&admin);
}

#[test]
fn an_endpoint_that_reads_nothing_of_a_large_upload_has_failed() {
    let url = server(|mut stream| {
        read_until(&mut stream, "\r\n\r\n");
        std::thread::sleep(Duration::from_secs(20));
    });
    const SIZE: usize = 32 << 20;
    // Long enough for the buffers on the way to be full by then.
    let route = in_time(Route::all("/{*rest}").body_limit(SIZE), Times::head(millis(1_500)));
    let (edge, admin) = routed(route, vec![url]);
    let client = edge.client();
    let upload = || {
        let mut connection = client.connect().unwrap();
        connection
            .write(format!("POST /x HTTP/1.1\r\nhost: bank\r\ncontent-length: {SIZE}\r\n\r\n").as_bytes())
            .unwrap();
        // More than all buffers on the way hold; the gateway ends the connection at last.
        let _ = (0..SIZE >> 16).try_for_each(|_| connection.write(&[b'x'; 1 << 16]));
    };
    until("its breaker to open", || {
        // On a slow machine it is the caller that is waited for, at times.
        at_once(6, upload);
        (endpoint(&admin)["state"] != "closed").then_some(())
    });
}

/// A server of HTTP/2 that answers each request with this frame.
fn answering_frames(frame: fn(stream: [u8; 4]) -> Vec<u8>) -> String {
    server(move |mut stream| {
        let mut preface = [0; 24];
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        if stream.read_exact(&mut preface).and_then(|()| stream.write_all(&settings)).is_err() {
            return;
        }
        let mut head = [0; 9];
        while stream.read_exact(&mut head).is_ok() {
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            if stream.read_exact(&mut payload).is_err() {
                return;
            }
            let [.., one, two, three, four] = head;
            if head[3] == 1 && stream.write_all(&frame([one, two, three, four])).is_err() {
                return;
            }
        }
    })
}

/// `RST_STREAM` with `REFUSED_STREAM`.
fn refused([one, two, three, four]: [u8; 4]) -> Vec<u8> {
    vec![0, 0, 4, 3, 0, one, two, three, four, 0, 0, 0, 7]
}

/// `GOAWAY` whose last stream is none.
fn gone(_: [u8; 4]) -> Vec<u8> {
    [&[0, 0, 8, 7, 0, 0, 0, 0, 0][..], &[0; 8]].concat()
}

/// `HEADERS` with `:status: 200`, and the end.
fn served([one, two, three, four]: [u8; 4]) -> Vec<u8> {
    vec![0, 0, 1, 1, 5, one, two, three, four, 0x88]
}

/// `RST_STREAM` with `INTERNAL_ERROR`.
fn broken([one, two, three, four]: [u8; 4]) -> Vec<u8> {
    vec![0, 0, 4, 3, 0, one, two, three, four, 0, 0, 0, 2]
}

#[test]
fn what_an_upstream_says_it_did_nothing_with_had_no_effect_and_goes_to_another() {
    let start = |urls: Vec<String>| {
        Edge::start(|builder| {
            let route = Route::all("/{*rest}").access(Access::Public).idempotency(Idempotency::Safe);
            builder
                .rate_limit("default", Quota::per_second(10_000))
                .route(route, Upstream::at(urls).foreign().http2())
        })
    };
    for frame in [refused as fn([u8; 4]) -> Vec<u8>, gone] {
        let edge = start(vec![answering_frames(frame)]);
        let admin = edge.beside(edge.gateway().admin());
        // It may be sent once more by whoever sent it: it had no effect.
        (0..8).for_each(|_| assert_eq!(edge.client().send(Request::post("/x")).problem(503), "unavailable"));
        assert_unblamed(&admin);
    }
    let edge = start(vec![answering_frames(refused), answering_frames(served)]);
    (0..20).for_each(|_| assert_eq!(edge.client().send(Request::get("/x")).status, 200));
    let edge = start(vec![answering_frames(broken)]);
    assert_ne!(edge.client().send(Request::post("/x")).status, 503, "what it did is not known");
}

#[test]
fn s32_an_upload_that_leaves_an_endpoint_no_time_is_not_its_failure() {
    let begun = Arc::new(AtomicUsize::new(0));
    let seen = begun.clone();
    let url = server(move |mut stream| {
        read_until(&mut stream, "\r\n\r\nx");
        seen.fetch_add(1, Ordering::SeqCst);
        read_until(&mut stream, "y");
        std::thread::sleep(millis(5_000));
    });
    let route = in_time(Route::all("/{*rest}"), Times::head(millis(1_600)));
    let (edge, admin) = routed(route, vec![url]);
    let client = edge.client();
    at_once(8, || {
        let mut connection = client.connect().unwrap();
        connection.write(b"POST /x HTTP/1.1\r\nhost: bank\r\ncontent-length: 2\r\n\r\nx").unwrap();
        // The route's time runs for all of them.
        until("all requests to be on their way", || (begun.load(Ordering::SeqCst) >= 8).then_some(()));
        std::thread::sleep(millis(1_200));
        let _ = connection.write(b"y");
        let status = connection.read_response(false).unwrap().status;
        assert!([408, 504].contains(&status), "{status}");
    });
    assert_unblamed(&admin);
}

#[test]
fn an_endpoint_that_has_the_route_s_whole_time_and_does_not_answer_has_failed() {
    let upstream = Recorder::answering(|_| Reply::Never);
    let route = in_time(Route::all("/{*rest}"), Times::head(millis(200)));
    let (edge, admin) = routed(route, vec![upstream.url()]);
    let client = edge.client();
    at_once(6, || assert_eq!(client.send(Request::get("/x")).problem(504), "deadline_exceeded"));
    until("its breaker to open", || (endpoint(&admin)["state"] != "closed").then_some(()));
}

#[test]
fn s32_a_reader_who_takes_longer_than_the_route_s_time_gets_the_whole_answer() {
    const PART: usize = 4 << 20;
    let upstream = Recorder::answering(|_| Reply::Answer(200, Vec::new(), vec![b'x'; 8 * PART]));
    let route = in_time(Route::all("/{*rest}"), Times::head(millis(1_000)).idle(Duration::from_secs(20)));
    let (edge, admin) = routed(route, vec![upstream.url()]);
    // On a busy machine the time may be over before the head comes.
    let mut connection = until("the head of an answer in time", || {
        let mut connection = edge.client().connect().unwrap();
        connection.start(&Request::get("/x")).unwrap();
        (connection.read_status().unwrap() == 200).then_some(connection)
    });
    let start = Instant::now();
    for part in 0..8 {
        std::thread::sleep(millis(200));
        assert!(connection.read_bytes(PART).is_ok(), "cut in part {part} after {:?}", start.elapsed());
    }
    assert!(start.elapsed() > millis(1_000));
    until("the request to have left", || (endpoint(&admin)["in_flight"] == 0).then_some(()));
    assert_eq!(endpoint(&admin)["state"], "closed");
}

#[test]
fn s32_an_endpoint_that_a_slow_reader_keeps_waiting_until_it_gives_up_has_not_failed() {
    let (gave_up, given_up) = mpsc::channel();
    let url = server(move |mut stream| {
        if read_until(&mut stream, "\r\n\r\n").is_none() {
            return;
        }
        stream.set_write_timeout(Some(millis(200))).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        let piece = vec![b'x'; 1 << 20];
        while stream.write_all(&piece).is_ok() {}
        gave_up.send(()).unwrap();
    });
    let (edge, admin) = routed(Route::all("/{*rest}"), vec![url]);
    let mut readers: Vec<_> = (0..6)
        .map(|_| {
            let mut connection = edge.client().connect().unwrap();
            connection.start(&Request::get("/x")).unwrap();
            assert_eq!(connection.read_status().unwrap(), 200);
            connection
        })
        .collect();
    readers.iter().for_each(|_| given_up.recv_timeout(patience()).unwrap());
    // What is slow is the reader.
    std::thread::sleep(millis(1_300));
    for reader in &mut readers {
        while reader.read_bytes(1 << 20).is_ok() {}
    }
    assert_unblamed(&admin);
}

#[test]
fn an_answer_that_breaks_off_is_its_endpoint_s_failure() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.";
    let upstream = Recorder::answering(|_| Reply::Raw(half.to_vec()));
    let (edge, admin) = routed(Route::all("/{*rest}"), vec![upstream.url()]);
    for _ in 0..5 {
        assert!(edge.client().try_send(Request::get("/x")).is_err(), "the answer is not whole");
    }
    until("its breaker to open", || (endpoint(&admin)["state"] != "closed").then_some(()));
}

#[test]
fn a_request_is_in_flight_until_its_answer_has_been_read() {
    let upstream = Recorder::answering(|_| Reply::Stall(Duration::from_secs(30)));
    let (edge, admin) = routed(Route::all("/{*rest}"), vec![upstream.url()]);
    let mut connection = edge.client().connect().unwrap();
    connection.start(&Request::get("/x")).unwrap();
    assert_eq!(connection.read_status().unwrap(), 200);
    assert_eq!(endpoint(&admin)["in_flight"], 1, "its head is there, its body is not");
    drop(connection);
    assert_unblamed(&admin);
}

const AWAY: Endpoint<Empty, Empty> = Endpoint::get("/v1/away").public();
const THERE: Endpoint<Empty, Empty> = Endpoint::get("/v1/there").public();

#[test]
fn an_operation_that_says_503_is_passed_over_and_no_other_with_it() {
    let away = Arc::new(AtomicBool::new(true));
    let script = |away: Arc<AtomicBool>| {
        move |request: &edge_tests::Received| {
            let refuses = request.line.contains("/v1/away") && away.load(Ordering::SeqCst);
            Reply::status(if refuses { 503 } else { 200 })
        }
    };
    let ill = Recorder::answering(script(away.clone()));
    let edge = Edge::start(|builder| {
        let api = Api::new("things").endpoint(AWAY.declare()).endpoint(THERE.declare());
        builder
            .rate_limit("default", Quota::per_second(10_000))
            .service(api, Upstream::at([ill.url()]).identity_keys(identity_keys()))
    });
    let (client, admin) = (edge.client(), edge.beside(edge.gateway().admin()));
    until("the operation to be out of service", || {
        assert_eq!(client.send(Request::get("/v1/away")).status, 503);
        (endpoint(&admin)["operations"]["GET /v1/away"] == "open").then_some(())
    });
    assert_eq!(endpoint(&admin)["state"], "closed", "the endpoint itself is sound");
    assert_eq!(client.send(Request::get("/v1/there")).status, 200);
    away.store(false, Ordering::SeqCst);
    until("the operation to be served again", || {
        client.send(Request::get("/v1/away"));
        endpoint(&admin)["operations"].as_object().unwrap().is_empty().then_some(())
    });
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_not_waited_for_by_everybody() {
    // Nobody accepts, and there is no room to wait for it: connections are neither made nor refused.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _queue: Vec<_> = (0..4)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            socket
        })
        .collect();
    let mut connect = ConnectOptions::default();
    connect.connect_timeout = millis(600);
    let edge = Edge::start(|builder| {
        let upstream = Upstream::at([format!("http://{address}")]).foreign().connect(connect);
        builder
            .rate_limit("default", Quota::per_second(10_000))
            .route(Route::all("/{*rest}").access(Access::Public), upstream)
    });
    let (client, admin) = (edge.client(), edge.beside(edge.gateway().admin()));
    until("the endpoint to be out of service", || {
        at_once(5, || assert_eq!(client.send(Request::get("/x")).problem(503), "unavailable"));
        (endpoint(&admin)["state"] == "open").then_some(())
    });
    let took = |_| {
        let start = Instant::now();
        assert_eq!(client.send(Request::get("/x")).problem(503), "unavailable");
        start.elapsed()
    };
    let waited = (0..10).map(took).filter(|took| *took > millis(500)).count();
    assert!(waited <= 3, "{waited} of 10 waited for a connection");
}

#[test]
fn each_try_is_told_the_time_that_is_left_and_has_a_span_of_its_own() {
    let lost = Recorder::answering(|_| {
        std::thread::sleep(millis(400));
        Reply::Vanish
    });
    let sound = Recorder::start();
    let (edge, _admin) =
        routed(Route::all("/{*rest}").idempotency(Idempotency::Safe), vec![lost.url(), sound.url()]);
    until("a second try", || {
        edge.client().send(Request::get("/x"));
        (lost.count() > 0).then_some(())
    });
    let (first, second) = (lost.received().remove(0), sound.received().pop().unwrap());
    let left =
        |request: &edge_tests::Received| request.header("bank-timeout-ms").unwrap().parse::<u64>().unwrap();
    assert!(left(&second) + 390 <= left(&first), "{} after {}", left(&second), left(&first));
    let (one, other) = (first.header("traceparent").unwrap(), second.header("traceparent").unwrap());
    assert_eq!(one[..36], other[..36], "one trace");
    assert_ne!(one[36..52], other[36..52], "two spans");
}

#[test]
fn an_upload_is_not_waited_for_before_the_first_try() {
    let (told, began) = mpsc::channel();
    let serve = move |mut stream: TcpStream| {
        if read_until(&mut stream, "first").is_some() {
            told.send(()).unwrap();
            read_until(&mut stream, "last").unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    };
    let url = server(serve);
    let route = Route::all("/{*rest}").idempotency(Idempotency::Idempotent);
    let (edge, _admin) = routed(route, vec![url.clone(), url.replace("127.0.0.1", "localhost")]);
    let mut connection = edge.client().connect().unwrap();
    connection.write(b"PUT /x HTTP/1.1\r\nhost: bank\r\ncontent-length: 9\r\n\r\nfirst").unwrap();
    began.recv_timeout(patience()).expect("the upload did not begin");
    connection.write(b"last").unwrap();
    assert_eq!(connection.read_response(false).unwrap().status, 200);
}

#[test]
fn a_connection_whose_last_upload_lingers_keeps_nobody_waiting() {
    let url = server(|mut stream| {
        // It answers at once, and never reads what comes with the request.
        while let Some(head) = read_until(&mut stream, "\r\n\r\n") {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    let (edge, _admin) = routed(Route::all("/{*rest}"), vec![url]);
    let client = edge.client();
    let took = |at: u32| {
        let mut slow = client.connect().unwrap();
        slow.write(b"POST /early HTTP/1.1\r\nhost: bank\r\ncontent-length: 100\r\n\r\nx").unwrap();
        assert_eq!(slow.read_response(false).unwrap().text(), "/early");
        let start = Instant::now();
        assert_eq!(client.send(Request::get(format!("/{at}"))).text(), format!("/{at}"));
        start.elapsed()
    };
    // Who waits for the upload always waits longer, on however quick a machine.
    until("a next caller who waits for nobody else's upload", || {
        (0..12).any(|at| took(at) < millis(35)).then_some(())
    });
}

/// Closes a connection at its second request, without a byte.
fn forgetful() -> Recorder {
    Recorder::answering(|request| if request.before > 0 { Reply::Vanish } else { Reply::ok() })
}

#[test]
fn a_kept_connection_that_its_server_just_closed_is_no_failure_of_a_read() {
    let upstream = forgetful();
    let (edge, admin) = routed(Route::all("/{*rest}").idempotency(Idempotency::Safe), vec![upstream.url()]);
    for _ in 0..6 {
        edge.client().send(Request::get("/x")).expect(200);
    }
    assert_unblamed(&admin);
}

#[test]
fn s21_what_may_not_be_repeated_is_never_sent_over_a_second_connection() {
    let upstream = forgetful();
    let (edge, admin) = routed(Route::all("/{*rest}"), vec![upstream.url()]);
    let mut lost = 0;
    for n in 0..8 {
        let answer = edge.client().send(Request::post("/x").body(format!("{n}")));
        if answer.status != 200 {
            assert_eq!(answer.problem(502), "indeterminate");
            lost += 1;
        }
    }
    assert_eq!(upstream.count(), 8, "each reached the server once");
    assert!(lost > 0, "no connection was used again");
    assert_unblamed(&admin);
}

#[test]
fn waits_that_a_route_declares_are_not_latency() {
    let upstream = Recorder::answering(|_| Reply::Late(millis(700)));
    let (edge, admin) = routed(Route::all("/{*rest}").long_poll(), vec![upstream.url()]);
    edge.client().send(Request::get("/x"));
    let latency = endpoint(&admin)["latency_us"].as_u64();
    assert!(latency.is_none_or(|latency| latency < 600_000), "{latency:?}");
    let (edge, admin) = routed(Route::all("/{*rest}"), vec![upstream.url()]);
    edge.client().send(Request::get("/x"));
    assert!(endpoint(&admin)["latency_us"].as_u64().unwrap() >= 700_000, "any other wait is");
}
