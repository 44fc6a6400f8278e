//! How often the pipeline asks for memory, which does not depend on the machine's mood. With `--max N` it fails above that.
#![allow(clippy::print_stdout, reason = "the program's purpose")]

use std::alloc::System;

use bank_benches::arguments::Arguments;
use bank_benches::tokens::Issuer;
use bank_benches::{Failure, gateways};
use bank_sdk::http::Body;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, StatusCode};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::ServiceExt as _;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REQUESTS: usize = 1_000;

fn main() -> Result<(), Failure> {
    // Cargo says `--bench` to every bench.
    let mut arguments = Arguments::parse(std::env::args().skip(1).filter(|argument| argument != "--bench"))?;
    let max: Option<usize> = arguments.take("--max")?;
    arguments.finish()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let issuer = Issuer::new()?;
    let gateway = runtime.block_on(async { gateways::local(&issuer) })?;
    let credential = HeaderValue::from_str(&format!("Bearer {}", issuer.token("cus_bench")?))?;
    let request = || {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static(gateways::PATH);
        request.headers_mut().insert(HOST, HeaderValue::from_static("bank.example"));
        request.headers_mut().insert(AUTHORIZATION, credential.clone());
        request
    };
    // The first one is remembered, the second grows what grows once.
    for _ in 0..2 {
        assert_eq!(runtime.block_on(gateway.clone().oneshot(request()))?.status(), StatusCode::OK);
    }
    let requests: Vec<_> = (0..REQUESTS).map(|_| request()).collect();
    let mut answers = Vec::with_capacity(REQUESTS);
    let region = Region::new(ALLOCATOR);
    runtime.block_on(async {
        for request in requests {
            // An answer is freed after the count.
            answers.push(gateway.clone().oneshot(request).await);
        }
    });
    let change = region.change();
    let (count, bytes) =
        ((change.allocations + change.reallocations) / REQUESTS, change.bytes_allocated / REQUESTS);
    println!("pipeline, known token, local service: {count} allocations and {bytes} bytes a request");
    match max {
        Some(max) if count > max => Err(format!("at most {max} allocations are allowed").into()),
        _ => Ok(()),
    }
}
