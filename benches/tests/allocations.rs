//! How often a request on its way through the gateway asks for memory, counted over real sockets. The number does not depend on
//! the machine, nor on how busy it is: more of them is a change of the code.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::float_arithmetic, reason = "they are measurements")]

use std::alloc::System;
use std::net::SocketAddr;
use std::sync::mpsc;

use bank_benches::loopback::{self, Caller};
use bank_benches::tokens::Issuer;
use bank_benches::{gateways, lean, serving};
use bank_gateway::Gateway;
use bank_sdk::serve::Limits;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REQUESTS: usize = 1_000;

/// Serves a gateway on a thread of its own.
fn serve(gateway: impl FnOnce() -> Gateway + Send + 'static) -> SocketAddr {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        serving::one_thread().unwrap().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            bank_gateway::serve(listener, gateway()).limits(Limits::default()).await.unwrap();
        });
    });
    receiver.recv().unwrap()
}

/// Serves the lean proxy on a thread of its own.
fn serve_lean(upstream: SocketAddr) -> SocketAddr {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        serving::one_thread().unwrap().block_on(LocalSet::new().run_until(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            lean::serve(listener, upstream).await.unwrap();
        }));
    });
    receiver.recv().unwrap()
}

/// Allocations a request and bytes a request. Client and upstream take none: what is counted is the gateway's.
fn count(address: SocketAddr, token: &str) -> (f64, usize) {
    let mut caller = Caller::connect(address, 1, gateways::PATH, token).unwrap();
    // The token becomes known, and what grows once has grown.
    caller.send(100).unwrap();
    let region = Region::new(ALLOCATOR);
    caller.send(REQUESTS).unwrap();
    let change = region.change();
    let count = change.allocations + change.reallocations;
    (count as f64 / REQUESTS as f64, change.bytes_allocated / REQUESTS)
}

#[test]
fn a_proxied_request_asks_for_memory_no_more_often_than_stated() {
    const BARE: f64 = 10.5;
    const FULL: f64 = 10.6;
    let upstream = loopback::upstream().unwrap();
    let issuer = Issuer::new().unwrap();
    let token = issuer.token("cus_bench").unwrap();
    let (bare, bare_bytes) = count(serve(move || gateways::bare(upstream).unwrap()), &token);
    let (full, full_bytes) = count(serve(move || gateways::full(issuer.keys(), upstream).unwrap()), &token);
    let (lean, lean_bytes) = count(serve_lean(upstream), &token);
    println!("lean: {lean:.2} allocations and {lean_bytes} bytes a request, which hyper alone asks for");
    println!("bare: {bare:.2} allocations and {bare_bytes} bytes a request");
    println!("full: {full:.2} allocations and {full_bytes} bytes a request");
    assert!(bare <= BARE, "bare: {bare} allocations a request, at most {BARE} are allowed");
    assert!(full <= FULL, "full: {full} allocations a request, at most {FULL} are allowed");
}
