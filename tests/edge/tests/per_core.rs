//! A server with a thread for each core.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bank_gateway::{Gateway, PerCore, Quota, Route, Upstream};
use bank_sdk::Access;
use bank_sdk::serve::{Limits, Plain};
use edge_tests::{Client, Recorder, Reply, Request};

#[test]
fn a_thread_that_has_drained_cuts_no_request_of_another() {
    let upstream = Recorder::answering(|request| {
        if request.line.contains("/slow") {
            Reply::Late(Duration::from_millis(300))
        } else {
            Reply::status(200)
        }
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Which thread a connection comes to is the system's choice: in about half of the rounds to both.
    for round in 0..12 {
        let inside = runtime.enter();
        let gateway = {
            let route = Route::all("/{*rest}").access(Access::Public);
            Gateway::builder()
                .rate_limit("default", Quota::per_second(1_000))
                .route(route, Upstream::at([upstream.url()]).foreign())
                .build()
                .unwrap()
        };
        let server = PerCore::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 2).unwrap();
        drop(inside);
        let client = Client::new(vec![server.address()]);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = runtime.spawn(server.serve(gateway, Plain, Limits::default(), async {
            let _ = stopped.await;
        }));
        // One kept connection to the upstream, which the next request takes from whichever thread has it.
        assert_eq!(client.send(Request::get("/quick")).status, 200);
        let slow =
            std::thread::spawn(move || client.send(Request::post("/slow").json(&serde_json::json!({}))));
        upstream.until_count(2 * (round + 1));
        stop.send(()).unwrap();
        assert_eq!(slow.join().unwrap().status, 200, "round {round}");
        runtime.block_on(serving).unwrap().unwrap();
    }
}
