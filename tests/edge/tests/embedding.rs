//! A gateway mounted in a server of the team's own.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use bank_gateway::{Gateway, Upstream};
use bank_sdk::declaration::Access;
use bank_sdk::http::Body;
use edge_tests::{Edge, Recorder};
use http::{Request, Response};
use tower::ServiceExt as _;

#[test]
fn a_gateway_is_mounted_in_a_server_of_the_team_s_own() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| builder);
    let _inside = edge.runtime().enter();
    let route = bank_gateway::Route::all("/bank/{*rest}").access(Access::Public);
    let gateway = Gateway::builder().route(route, Upstream::at([upstream.url()]).foreign()).build().unwrap();
    // Their own pages beside the bank's, with any body type.
    let own = tower::service_fn(move |request: Request<hyper::body::Incoming>| {
        let gateway = gateway.clone();
        async move {
            if request.uri().path().starts_with("/bank/") {
                return gateway.oneshot(request).await;
            }
            Ok(Response::new(Body::from("their own".as_bytes().to_vec())))
        }
    });
    let client = edge.beside(own);
    assert_eq!(client.send(edge_tests::Request::get("/about")).text(), "their own");
    client.send(edge_tests::Request::get("/bank/accounts")).expect(200);
    client.send(edge_tests::Request::get("/bank/%2e%2e/about")).problem(400);
    assert!(upstream.only().line.starts_with("GET /bank/accounts "));
}

#[test]
fn a_gateway_is_mounted_in_axum_beside_the_team_s_own_routes() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| builder);
    let _inside = edge.runtime().enter();
    let route = bank_gateway::Route::all("/bank/{*rest}").access(Access::Public);
    let gateway = Gateway::builder().route(route, Upstream::at([upstream.url()]).foreign()).build().unwrap();
    let app = axum::Router::new()
        .route("/own", axum::routing::get(|| async { "our own" }))
        .fallback_service(gateway);
    let listener = edge.runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let client = edge_tests::Client::new(vec![listener.local_addr().unwrap()]);
    edge.runtime().spawn(async move { axum::serve(listener, app).await });
    assert_eq!(client.send(edge_tests::Request::get("/own")).text(), "our own");
    client.send(edge_tests::Request::get("/bank/x")).expect(200);
    assert_eq!(upstream.count(), 1);
    assert_eq!(client.send(edge_tests::Request::get("/bank/%2e%2e/x")).status, 400);
    assert_eq!(client.send(edge_tests::Request::get("/elsewhere")).status, 404);
}
