//! What is recorded, where it is kept, and what happens while it cannot be.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bank_gateway::audit::{Audit, AuditFile, Record, RequireAudit, Verifier};
use bank_gateway::{GatewayBuilder, Quota, Route, Upstream};
use bank_sdk::Access;
use edge_tests::{Edge, Recorder, Reply, Request, until};

const KEY: [u8; 32] = [7; 32];

fn before(upstream: &Recorder) -> impl FnOnce(GatewayBuilder) -> GatewayBuilder {
    let url = upstream.url();
    move |builder| {
        builder
            .rate_limit("default", Quota::per_second(10_000))
            .route(Route::all("/files/{*rest}").access(Access::Public), Upstream::at([url]).foreign())
    }
}

fn change() -> Request {
    Request::post("/files/a").body("x")
}

#[test]
fn s27_nothing_changes_that_cannot_be_recorded_where_that_is_asked_for() {
    let upstream = Recorder::start();
    let audit = Arc::new(AuditFile::open(Path::new("/dev/full")).unwrap());
    let edge = Edge::start(|builder| {
        before(&upstream)(builder).audit(audit.clone()).step(RequireAudit::new(audit.clone()).before())
    });
    for _ in 0..3 {
        assert_eq!(edge.client().send(change()).problem(503), "audit_unavailable");
    }
    assert_eq!(upstream.count(), 0);
    edge.client().send(Request::get("/files/a")).expect(200);
    let status = audit.status();
    assert!(status.lost > 0 && status.written == 0 && !status.is_available, "{status:?}");
    assert!(status.error.is_some());
}

#[test]
fn s27_a_record_is_on_disk_before_the_request_passes_where_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let audit = Arc::new(AuditFile::builder(&path).key(&KEY).open().unwrap());
    let seen = path.clone();
    let upstream = Recorder::answering(move |request| {
        let text = std::fs::read_to_string(&seen).unwrap();
        let id = request.header("x-request-id").unwrap();
        let is_there = text.lines().any(|line| line.contains(id) && line.contains("admitted"));
        Reply::status(if is_there { 201 } else { 500 })
    });
    let edge = Edge::start(|builder| {
        before(&upstream)(builder).audit(audit.clone()).step(RequireAudit::new(audit.clone()).before())
    });
    for _ in 0..5 {
        edge.client().send(change()).expect(201);
    }
    // Each is recorded again with its outcome.
    until("ten records", || {
        let verified = Verifier::new(&path).key(&KEY).verify().unwrap();
        (verified.records == 10).then_some(())
    });
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("\"what\":\"* /files/{*rest}\",\"status\":201").count(), 5, "{text}");
}

#[test]
fn s27_records_of_many_requests_are_one_chain_over_all_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let upstream = Recorder::start();
    let mut kept = String::new();
    for round in 1..=3 {
        let audit = Arc::new(AuditFile::builder(&path).key(&KEY).rotate_at(2_000).open().unwrap());
        let edge = Edge::start(|builder| before(&upstream)(builder).audit(audit.clone()));
        for _ in 0..20 {
            edge.client().send(change()).expect(200);
        }
        until("the records", || (audit.status().written == 20).then_some(()));
        let verifier = Verifier::new(&path).key(&KEY);
        let verifier = if kept.is_empty() { verifier } else { verifier.expected_head(kept) };
        let verified = verifier.verify().unwrap();
        assert_eq!((verified.records, verified.last == audit.status().head), (round * 20, true));
        kept = verified.last;
        drop(edge);
        until("the gateway to let go of the file", || (Arc::strong_count(&audit) == 1).then_some(()));
    }
    assert!(std::fs::read_dir(directory.path()).unwrap().count() > 3);
}

#[derive(Debug, Default)]
struct Panics(AtomicUsize);

impl Audit for Panics {
    fn record(&self, _: Record) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("as asked");
    }
}

#[test]
fn an_audit_that_panics_ends_nothing_else() {
    let upstream = Recorder::start();
    let audit = Arc::new(Panics::default());
    let edge = Edge::start(|builder| {
        // The answer of this route panics as well: the record is made while that is cleaned up after.
        before(&upstream)(builder).audit(audit.clone()).step(PanicGate)
    });
    edge.client().send(change()).expect(200);
    edge.client().send(change().header("x-panic", "1")).problem(500);
    edge.client().send(change()).expect(200);
    assert_eq!(audit.0.load(Ordering::SeqCst), 3);
}

#[derive(Clone)]
struct PanicGate;

impl bank_gateway::Gate for PanicGate {
    async fn check(&self, exchange: &mut bank_gateway::Exchange) -> Result<(), bank_sdk::Problem> {
        assert!(!exchange.headers().contains_key("x-panic"), "as asked");
        Ok(())
    }
}
