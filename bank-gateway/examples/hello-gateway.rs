//! A gateway in front of an axum service that is there already: `cargo run -p bank-gateway --example hello-gateway`.

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use bank_gateway::identity::{ApiKeys, PrincipalField};
use bank_gateway::{Gateway, Quota, Route, Upstream, serve};
use bank_sdk::Principal;
use bank_sdk::declaration::{Access, Method};
use bank_sdk::stores::{Random, SystemRandom};
use tokio::net::TcpListener;

/// The service. It believes `x-user`: only the gateway reaches it, and nothing that a client sends under that name.
async fn hello(headers: HeaderMap) -> String {
    let user = headers.get("x-user").and_then(|user| user.to_str().ok());
    format!("hello {}\n", user.unwrap_or("nobody"))
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "it shows the key")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = TcpListener::bind("127.0.0.1:0").await?;
    let upstream = Upstream::at([format!("http://{}", service.local_addr()?)])
        .foreign()
        .forward_principal([("x-user", PrincipalField::Subject)]);
    let app = Router::new().route("/hello", get(hello));
    tokio::spawn(async move { axum::serve(service, app).await });

    // Keys in memory, for one who may greet and one who may not. A bank keeps their hashes: `ApiKeys::new(store, pepper)`.
    let mut pepper = [0; 32];
    SystemRandom::new().fill(&mut pepper);
    let keys = ApiKeys::in_memory(&pepper);
    let alice = keys.issue("alice", Principal::customer("alice").with_scope("greet"));
    let bob = keys.issue("bob", Principal::customer("bob"));

    let who_greets = Access::Authenticated { scopes: vec!["greet".to_owned()], roles: vec![] };
    let gateway = Gateway::builder()
        .authenticate(keys)
        .rate_limit("default", Quota::per_minute(4))
        .route(Route::new(Method::Get, "/hello").access(who_greets), upstream)
        .build()?;

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}\n\n  export URL={url} KEY={alice} BOB={bob}");
    Ok(serve(listener, gateway).await?)
}
