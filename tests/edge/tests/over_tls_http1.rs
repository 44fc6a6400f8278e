//! The edge's tests once more, over HTTP/1.1 and TLS, with the certificate for development: what holds, holds whatever is spoken. The program's name
//! says so to its clients (`edge_tests::Wire`).

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "edge.rs"]
mod edge;
#[path = "upstreams.rs"]
mod upstreams;

#[test]
fn this_program_speaks_http_1_1_and_tls() {
    let told = edge_tests::told_upstream();
    let [via, scheme, host] = told.each_ref().map(Option::as_deref);
    assert_eq!((via, scheme, host), (Some("1.1 bank-gateway"), Some("https"), Some("bank.example")));
}
