//! The edge's tests once more, over HTTP/2 and TLS, with the certificate for development: what holds, holds whatever is spoken. The program's name
//! says so to its clients (`edge_tests::Wire`).

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "edge.rs"]
mod edge;
#[path = "upstreams.rs"]
mod upstreams;

#[test]
fn this_program_speaks_http_2_and_tls() {
    use edge_tests::{Edge, Recorder, Request};
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let route = bank_gateway::Route::all("/{*rest}").access(bank_sdk::Access::Public);
        builder.route(route, bank_gateway::Upstream::at([upstream.url()]).foreign())
    });
    edge.client().send(Request::get("/x").header("host", "bank.example")).expect(200);
    let seen = upstream.only();
    assert_eq!(seen.header("via"), Some("2.0 bank-gateway"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("host"), Some("bank.example"));
}
