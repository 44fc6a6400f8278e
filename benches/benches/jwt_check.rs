//! An access token that is known, one that is seen for the first time, and the bare signature check that this cannot go
//! below.

use std::convert::Infallible;
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use bank_benches::Failure;
use bank_benches::tokens::{AUDIENCE, ISSUER, Issuer};
use bank_gateway::identity::{Authenticate, Jwt, KeySet, Scheme};
use bank_gateway::{Exchange, StepLayer};
use bank_sdk::http::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{BatchSize, Criterion};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, StatusCode};
use tower::{Layer as _, ServiceExt as _};

fn request(token: &str) -> Result<Request<Body>, Failure> {
    let mut request = Request::new(Body::empty());
    request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}"))?);
    Ok(request)
}

fn main() -> Result<(), Failure> {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let issuer = Issuer::new()?;
    let jwt = Jwt::new(KeySet::fixed(issuer.keys())?).issuer(ISSUER).audience(AUDIENCE);
    let step = StepLayer::new(Authenticate::new([Arc::new(jwt) as Arc<dyn Scheme>]));
    // What it says of the caller is all that is behind it.
    let service = step.layer(tower::service_fn(|request: Request<Body>| async {
        let known = Exchange::new(request).facts.principal().is_some();
        let status = if known { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        Ok::<_, Infallible>(response)
    }));
    let check = |request| {
        let service = service.clone();
        async move { service.oneshot(request).await.is_ok_and(|response| response.status() == StatusCode::OK) }
    };
    let known = issuer.token("cus_bench")?;
    assert!(runtime.block_on(check(request(&known)?)));

    let mut group = criterion.benchmark_group("jwt_check");
    group.bench_function("known", |bencher| {
        bencher.to_async(&runtime).iter_batched(
            || request(&known).expect("a token fits"),
            |request| async { assert!(check(request).await) },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("first sight", |bencher| {
        bencher.to_async(&runtime).iter_batched(
            || request(&issuer.token("cus_bench").expect("the key signs")).expect("a token fits"),
            |request| async { assert!(check(request).await) },
            BatchSize::SmallInput,
        );
    });
    let (signed, signature) = known.rsplit_once('.').ok_or("a token has three parts")?;
    let signature = URL_SAFE_NO_PAD.decode(signature)?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, issuer.public_key());
    group.bench_function("signature alone", |bencher| {
        bencher.iter(|| assert!(key.verify(signed.as_bytes(), &signature).is_ok()));
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}
