//! A request's whole way through the gateway, in process: token known, authorized, counted, its service told who calls. The
//! service does nothing. The identity token that a service in another process gets is beside it.

use bank_benches::tokens::Issuer;
use bank_benches::{Failure, gateways};
use bank_sdk::Principal;
use bank_sdk::http::Body;
use bank_sdk::identity::{Identity, IdentityKeys};
use bank_stores::Timestamp;
use criterion::{BatchSize, Criterion};
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, StatusCode};
use std::sync::Arc;
use tower::ServiceExt as _;

fn main() -> Result<(), Failure> {
    let mut criterion = Criterion::default().configure_from_args();
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
    assert_eq!(runtime.block_on(gateway.clone().oneshot(request()))?.status(), StatusCode::OK);

    let mut group = criterion.benchmark_group("pipeline");
    group.bench_function("known token", |bencher| {
        bencher.to_async(&runtime).iter_batched(
            request,
            |request| gateway.clone().oneshot(request),
            BatchSize::SmallInput,
        );
    });
    let keys = IdentityKeys::new([("1", [7; 32])])?;
    let principal =
        Arc::new(Principal::customer("cus_bench").with_scope("accounts:read").with_scope("profile"));
    let identity = || {
        Identity::new("gateway", "kilobyte", "GET /v1/kilobyte", "req_bench", Timestamp::from_seconds(1_000))
            .for_principal(principal.clone())
    };
    group.bench_function("identity token, signed", |bencher| bencher.iter(|| keys.sign(&identity())));
    let token = keys.sign(&identity());
    group.bench_function("identity token, verified", |bencher| bencher.iter(|| keys.verify(&token)));
    group.finish();
    criterion.final_summary();
    Ok(())
}
