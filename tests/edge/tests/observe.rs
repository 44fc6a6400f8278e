//! What is told of a request is told of its end: the status, the bytes and the time, and whether anybody got the whole of it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bank_gateway::audit::{Audit, Record};
use bank_gateway::{Ended, Facts, Observe, Policy, Quota, Route, Times, Upstream};
use bank_sdk::Access;
use edge_tests::{Client, Edge, Recorder, Reply, Request, until};
use serde_json::Value;

const HALF: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.";

/// What was told of one request.
#[derive(Clone, Debug)]
struct Told {
    status: u16,
    outcome: &'static str,
    bytes: u64,
    head: Duration,
    whole: Duration,
}

#[derive(Clone, Debug, Default)]
struct Ends(Arc<Mutex<Vec<Told>>>);

impl Observe for Ends {
    fn ended(&self, _: &Facts, end: &Ended) {
        self.0.lock().unwrap().push(Told {
            status: end.status.as_u16(),
            outcome: end.outcome.as_str(),
            bytes: end.bytes,
            head: end.head,
            whole: end.whole,
        });
    }
}

#[derive(Debug, Default)]
struct Records(Mutex<Vec<Record>>);

impl Audit for Records {
    fn record(&self, record: Record) {
        self.0.lock().unwrap().push(record);
    }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The log of this whole program; each test has a service of its own in it.
fn log() -> Log {
    static LOG: std::sync::OnceLock<Log> = std::sync::OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        let sink = log.clone();
        tracing_subscriber::fmt().with_writer(move || sink.clone()).json().init();
        log
    })
    .clone()
}

impl Log {
    /// Lines that hold this text.
    fn lines(&self, text: &str) -> Vec<Value> {
        let all = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        all.lines()
            .filter(|line| line.contains(text))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

struct Observed {
    edge: Edge,
    admin: Client,
    ends: Ends,
    records: Arc<Records>,
    path: &'static str,
}

/// A gateway with one route, of this path.
fn observed(path: &'static str, upstream: &Recorder, times: Times) -> Observed {
    log();
    let (ends, records) = (Ends::default(), Arc::new(Records::default()));
    let edge = Edge::start(|builder| {
        let route = Route::all(path).access(Access::Public).policy(Policy::new().times(times));
        builder
            .rate_limit("default", Quota::per_second(100_000))
            .observe(ends.clone())
            .audit(records.clone())
            .route(route, Upstream::at([upstream.url()]).foreign())
    });
    let admin = edge.beside(edge.gateway().admin());
    Observed { edge, admin, ends, records, path }
}

impl Observed {
    /// What the observer was told of the only request, once log, metrics and audit say the same.
    #[track_caller]
    fn told(&self, status: u16, outcome: &str) -> Told {
        let told = until("the end of the request", || self.ends.0.lock().unwrap().first().cloned());
        assert_eq!((told.status, told.outcome), (status, outcome), "{told:?}");
        let operation = format!("\"operation\":\"* {}\"", self.path);
        let line = until("a line in the log", || log().lines(&operation).pop())["fields"].clone();
        assert_eq!(
            (line["status"].as_u64(), line["outcome"].as_str()),
            (Some(status.into()), Some(outcome)),
            "{line}"
        );
        assert_eq!(line["bytes"], told.bytes, "{line}");
        let unfinished = format!("bank_gateway_unfinished_total{{outcome=\"{outcome}\"}} 1\n");
        let class = format!("operation=\"* {}\",status=\"{}xx\"}} 1\n", self.path, status / 100);
        until("the metrics to tell", || {
            let text = self.admin.send(Request::get("/metrics")).text();
            let is_told = text.contains(&unfinished) == (outcome != "answered") && text.contains(&class);
            (is_told && text.contains("bank_gateway_in_flight 0\n")).then_some(())
        });
        let records = self.records.0.lock().unwrap();
        let [record] = &records[..] else { panic!("{records:?}") };
        assert_eq!(record.status, status);
        let expected = (outcome != "answered").then_some(outcome);
        let code = (outcome == "timed_out").then_some("deadline_exceeded");
        assert_eq!(record.reason.as_deref(), code.or(expected));
        assert_eq!(self.ends.0.lock().unwrap().len(), 1, "each request is told once");
        told
    }
}

#[test]
fn an_answer_is_told_at_its_end_with_its_bytes_and_its_time() {
    let pieces =
        vec![(Duration::from_millis(0), vec![b'a'; 1_000]), (Duration::from_millis(400), vec![b'b'; 500])];
    let upstream = Recorder::answering(move |_| Reply::Dribble(pieces.clone()));
    let observed = observed("/whole", &upstream, Times::default());
    assert_eq!(observed.edge.client().send(Request::post("/whole").body("x")).body.len(), 1_500);
    let told = observed.told(200, "answered");
    assert_eq!(told.bytes, 1_500);
    assert!(told.whole >= told.head + Duration::from_millis(350), "{told:?}");
}

#[test]
fn an_answer_that_its_service_breaks_off_is_told_as_such() {
    let upstream = Recorder::answering(|_| Reply::Raw(HALF.to_vec()));
    let observed = observed("/broken", &upstream, Times::default());
    assert!(observed.edge.client().try_send(Request::post("/broken").body("x")).is_err());
    assert_eq!(observed.told(200, "body_broke").bytes, 5);
}

#[test]
fn an_answer_whose_reader_hangs_up_in_the_middle_is_told_as_such() {
    let upstream = Recorder::answering(|_| Reply::Stall(Duration::from_secs(30)));
    let observed = observed("/hung-up", &upstream, Times::default());
    let mut connection = observed.edge.client().connect().unwrap();
    connection.start(&Request::post("/hung-up").body("x")).unwrap();
    assert_eq!(connection.read_status().unwrap(), 200);
    assert_eq!(connection.read_bytes(5).unwrap(), b"half.");
    drop(connection);
    assert_eq!(observed.told(200, "client_gone").bytes, 5);
}

#[test]
fn a_request_whose_caller_hangs_up_before_the_answer_is_told_as_such() {
    let upstream = Recorder::answering(|_| Reply::Never);
    let observed = observed("/abandoned", &upstream, Times::default());
    let mut connection = observed.edge.client().connect().unwrap();
    connection.start(&Request::post("/abandoned").body("x")).unwrap();
    upstream.until_count(1);
    drop(connection);
    assert_eq!(observed.told(499, "client_gone").bytes, 0);
}

#[test]
fn a_request_whose_time_is_over_is_told_as_such() {
    let upstream = Recorder::answering(|_| Reply::Never);
    let observed = observed("/late", &upstream, Times::head(Duration::from_millis(600)));
    assert_eq!(observed.edge.client().send(Request::post("/late").body("x")).status, 504);
    observed.told(504, "timed_out");
}

#[test]
fn an_upload_that_breaks_off_is_told_as_such() {
    let upstream = Recorder::start();
    let observed = observed("/cut", &upstream, Times::default());
    let mut connection = observed.edge.client().connect().unwrap();
    connection.write(b"POST /cut HTTP/1.1\r\nhost: bank\r\ncontent-length: 100\r\n\r\nx").unwrap();
    until("the upload to begin", || {
        let text = observed.admin.send(Request::get("/admin/upstreams")).text();
        text.contains("\"in_flight\":1").then_some(())
    });
    drop(connection);
    let told = until("the end of the request", || observed.ends.0.lock().unwrap().first().cloned());
    assert!(["client_gone", "caller_broke"].contains(&told.outcome), "{told:?}");
}

#[test]
fn operators_see_what_is_out_of_service_while_the_gateway_is_ready() {
    let ill = Arc::new(AtomicBool::new(true));
    let (state, other) = (ill.clone(), Recorder::start());
    let upstream = Recorder::answering(move |_| {
        if state.load(Ordering::SeqCst) { Reply::Raw(HALF.to_vec()) } else { Reply::ok() }
    });
    let edge = Edge::start(|builder| {
        builder
            .rate_limit("default", Quota::per_second(100_000))
            .route(Route::all("/ill").access(Access::Public), Upstream::at([upstream.url()]).foreign())
            .route(Route::all("/sound").access(Access::Public), Upstream::at([other.url()]).foreign())
    });
    let (client, admin) = (edge.client(), edge.beside(edge.gateway().admin()));
    let readiness = || admin.send(Request::get("/readyz")).expect(200);
    assert_eq!(readiness()["status"], "ready");
    until("the gateway to be degraded", || {
        let _ = client.try_send(Request::get("/ill"));
        (readiness()["status"] == "degraded").then_some(())
    });
    let degraded = readiness()["degraded"].as_object().unwrap().clone();
    assert_eq!(degraded.keys().collect::<Vec<_>>(), ["* /ill"]);
    assert!(degraded["* /ill"].as_str().unwrap().contains("out of service"), "{degraded:?}");
    // The outside is told that requests may come, and nothing of what is inside.
    let outside = client.send(Request::get("/readyz"));
    assert_eq!((outside.status, outside.text().contains("ill")), (200, false));
    ill.store(false, Ordering::SeqCst);
    until("the gateway to be whole again", || {
        client.send(Request::get("/ill"));
        (readiness()["status"] == "ready").then_some(())
    });
}

#[test]
fn an_outage_is_told_when_it_begins_and_when_it_ends_and_not_for_each_request() {
    let log = log();
    let ill = Arc::new(AtomicBool::new(true));
    let state = ill.clone();
    let upstream =
        Recorder::answering(move |_| if state.load(Ordering::SeqCst) { Reply::Vanish } else { Reply::ok() });
    let edge = Edge::start(|builder| {
        builder
            .rate_limit("default", Quota::per_second(100_000))
            .route(Route::all("/outage").access(Access::Public), Upstream::at([upstream.url()]).foreign())
    });
    let client = edge.client();
    for _ in 0..60 {
        assert_eq!(client.send(Request::post("/outage")).problem(502), "indeterminate");
    }
    let about = || {
        let lines = log.lines(&upstream.url());
        lines
            .into_iter()
            .map(|line| (line["level"].clone(), line["fields"]["message"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(about(), [("WARN".into(), "out of service".into())]);
    let warnings = log.lines("WARN").len();
    assert!(warnings < 20, "{warnings} warnings of all tests together");
    ill.store(false, Ordering::SeqCst);
    until("the end of the outage", || {
        client.send(Request::post("/outage"));
        (about().len() == 2).then_some(())
    });
    assert_eq!(about()[1], ("INFO".into(), "in service again".into()));
}
