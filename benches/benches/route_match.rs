//! The same request among 1, 1,000 and 10,000 routes: through the whole pipeline with a service in this process, and the bare
//! radix tree beside it.

use bank_benches::{Failure, gateways};
use bank_gateway::{Gateway, Route, Upstream};
use bank_sdk::declaration::Method;
use bank_sdk::http::Body;
use bank_sdk::{Access, Api, BankService, Call, Empty, Endpoint, Endpoints, Problem, Service};
use criterion::{BenchmarkId, Criterion};
use http::{Request, StatusCode};
use std::sync::Arc;
use tower::ServiceExt as _;

const FOUND: Endpoint<Id, Empty> = Endpoint::get("/v1/service-0/things/{id}").public();
const TARGET: &str = "/v1/service-0/things/17";

/// Names a thing.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Id {
    /// Which.
    id: String,
}

struct Things;

impl Things {
    async fn find(self: Arc<Self>, _: Call<Id>) -> Result<Empty, Problem> {
        Ok(Empty {})
    }
}

impl BankService for Things {
    fn api() -> Api {
        Api::new("things").endpoint(FOUND.declare())
    }

    fn endpoints() -> Endpoints<Self> {
        Endpoints::new().bind(FOUND, Self::find)
    }
}

fn path(number: usize) -> String {
    format!("/v1/service-{number}/things/{{id}}")
}

fn gateway(routes: usize) -> Result<Gateway, Failure> {
    let things = Service::local(Things)?;
    let builder = Gateway::builder()
        .address_limit(gateways::huge())
        .rate_limit("default", gateways::huge())
        .service(things.api().clone(), Upstream::local(things));
    let builder = (1..routes).fold(builder, |builder, number| {
        let route = Route::new(Method::Get, path(number)).access(Access::Public);
        builder.route(route, Upstream::at(["http://127.0.0.1:9"]).foreign())
    });
    Ok(builder.build()?)
}

fn request() -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = TARGET.parse().expect("it is a path");
    request.headers_mut().insert("host", http::HeaderValue::from_static("bank.example"));
    request
}

fn main() -> Result<(), Failure> {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut group = criterion.benchmark_group("route_match");
    for routes in [1, 1_000, 10_000] {
        let gateway = runtime.block_on(async { gateway(routes) })?;
        let checked = runtime.block_on(gateway.clone().oneshot(request()))?;
        assert_eq!(checked.status(), StatusCode::OK);
        group.bench_function(BenchmarkId::new("pipeline", routes), |bencher| {
            bencher.to_async(&runtime).iter(|| gateway.clone().oneshot(request()));
        });
        let mut tree = matchit::Router::new();
        for number in 0..routes {
            tree.insert(path(number), number)?;
        }
        group.bench_function(BenchmarkId::new("tree", routes), |bencher| {
            bencher.iter(|| tree.at(std::hint::black_box(TARGET)).map(|found| *found.value));
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
