//! A gateway for development: complete, on loopback only, with a key of its own for each start.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::future::IntoFuture as _;
use std::sync::Arc;

use bank_gateway::{Dev, DevErrorKind, DevServer, Gateway, Route, Upstream, dev};
use bank_sdk::declaration::{Access, Api};
use bank_sdk::{BankService, Call, Empty, Endpoint, Endpoints, Principal, Problem, Service};
use edge_tests::{Client, Recorder, Request};
use tokio::runtime::Runtime;

const GREET: Endpoint<Empty, String> =
    Endpoint::get("/v1/greeting").summary("Greets").scope("greet").role("clerk");

struct Greeter;

impl Greeter {
    async fn greet(self: Arc<Self>, call: Call<Empty>) -> Result<String, Problem> {
        Ok(format!("hello {}", call.subject()?))
    }
}

impl BankService for Greeter {
    fn api() -> Api {
        Api::new("greeter").endpoint(GREET.declare())
    }

    fn endpoints() -> Endpoints<Self> {
        Endpoints::new().bind(GREET, Self::greet)
    }
}

fn bound(runtime: &Runtime, dev: Dev) -> DevServer {
    runtime.block_on(dev.listen("127.0.0.1:0").bind()).unwrap()
}

fn greeter() -> Dev {
    dev(Service::local(Greeter).unwrap())
}

#[test]
fn one_line_serves_a_service_behind_a_complete_gateway() {
    let runtime = Runtime::new().unwrap();
    let server = bound(&runtime, greeter());
    let (client, key, shown) =
        (Client::new(vec![server.address()]), server.api_key().to_owned(), server.to_string());
    assert!(shown.contains(&key) && shown.contains("GET /v1/greeting"), "{shown}");
    assert!(shown.contains(&format!("URL=http://{}", server.address())), "{shown}");
    assert!(!format!("{server:?}").contains(&key));
    runtime.spawn(server.into_future());
    let greet = || Request::get("/v1/greeting");
    assert_eq!(client.send(greet().header("x-api-key", &*key)).expect(200), "hello developer");
    assert_eq!(client.send(greet()).problem(401), "unauthenticated");
    assert_eq!(client.send(greet().header("x-api-key", format!("{key}x"))).status, 401);
    let document = client.send(Request::get("/openapi.json")).expect(200);
    assert!(document["paths"]["/v1/greeting"].is_object(), "{document}");
}

#[test]
fn a_key_holds_for_one_start() {
    let runtime = Runtime::new().unwrap();
    let (one, two) = (bound(&runtime, greeter()), bound(&runtime, greeter()));
    assert_ne!(one.api_key(), two.api_key());
    let (client, other) = (Client::new(vec![two.address()]), one.api_key().to_owned());
    runtime.spawn(two.into_future());
    assert_eq!(client.send(Request::get("/v1/greeting").header("x-api-key", other)).status, 401);
}

#[test]
fn a_builder_is_served_with_its_own_routes_and_the_principal_that_is_asked_for() {
    let (runtime, upstream) = (Runtime::new().unwrap(), Recorder::start());
    let staff = Access::Authenticated { scopes: vec!["reports".to_owned()], roles: vec![] };
    let builder = || {
        let route = Route::all("/reports/{*rest}").access(staff.clone());
        Gateway::builder().route(route, Upstream::at([upstream.url()]).foreign())
    };
    let status = |dev: Dev| {
        let server = bound(&runtime, dev);
        let (client, key) = (Client::new(vec![server.address()]), server.api_key().to_owned());
        runtime.spawn(server.into_future());
        client.send(Request::get("/reports/1").header("x-api-key", key)).status
    };
    assert_eq!(status(dev(builder())), 200);
    assert_eq!(status(dev(builder()).principal(Principal::customer("bea"))), 403);
}

#[test]
fn s31_anything_but_loopback_is_refused_with_what_to_do() {
    let runtime = Runtime::new().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0", "255.255.255.255:0"] {
        let error = runtime.block_on(greeter().listen(address).bind()).unwrap_err();
        assert_eq!(error.kind(), DevErrorKind::NotLoopback, "{error}");
        assert!(error.to_string().contains(address) && format!("{error:?}").contains("127.0.0.1"), "{error}");
    }
    for address in ["127.0.0.1:0", "127.9.9.9:0", "localhost:0"] {
        let server = runtime.block_on(greeter().listen(address).bind()).unwrap();
        assert!(server.address().ip().is_loopback());
    }
    let taken = bound(&runtime, greeter());
    let error = runtime.block_on(greeter().listen(taken.address().to_string()).bind()).unwrap_err();
    assert_eq!(error.kind(), DevErrorKind::Listen, "{error}");
    for nonsense in ["", "nowhere", "127.0.0.1", "127.0.0.1:x"] {
        let error = runtime.block_on(greeter().listen(nonsense).bind()).unwrap_err();
        assert_eq!(error.kind(), DevErrorKind::Listen, "{error}");
    }
    let twice = dev(Gateway::builder().name("x").service(Greeter::api(), Upstream::at(["x"])));
    let error = runtime.block_on(twice.listen("127.0.0.1:0").bind()).unwrap_err();
    assert_eq!(error.kind(), DevErrorKind::Build, "{error}");
}
