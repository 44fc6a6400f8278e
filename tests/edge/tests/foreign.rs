//! A service of the team's own, with axum, behind a real gateway: how it knows who calls.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Extension, Router};
use bank_gateway::identity::PrincipalField;
use bank_gateway::{Route, Upstream};
use bank_sdk::declaration::{Access, Api};
use bank_sdk::identity::{Identity, IdentityKeys, VerifyIdentity};
use bank_sdk::{Empty, Endpoint, Principal};
use edge_tests::{Client, Edge, OneKey, Request, identity_keys};
use tokio::net::TcpListener;

type Who = Option<Extension<Arc<Principal>>>;

/// Says who calls, as the token says it, for whom the token is, and what the header fields say.
async fn who(Extension(identity): Extension<Identity>, who: Who, headers: HeaderMap) -> String {
    let subject = who.map_or_else(|| "nobody".to_owned(), |Extension(who)| who.subject.clone());
    let user = headers.get("x-user").map_or("-", |user| user.to_str().unwrap());
    let token = headers.contains_key("bank-identity");
    format!("{subject} {} {} {user} {token}", identity.audience, identity.operation)
}

/// An axum service on a socket of its own, which lets only requests pass that carry a token for this audience.
fn axum_service(edge: &Edge, audience: &str, keys: IdentityKeys) -> Client {
    let app = Router::new()
        .route("/who/{id}", get(who))
        .route("/who", get(who))
        .layer(VerifyIdentity::new(audience, keys));
    let listener = edge.runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let client = Client::new(vec![listener.local_addr().unwrap()]);
    edge.runtime().spawn(async move { axum::serve(listener, app).await });
    client
}

fn route() -> Route {
    Route::all("/who/{id}").access(Access::Optional)
}

/// A gateway whose one route goes to an axum service that expects this audience.
fn behind(audience: &str, describe: impl FnOnce(Upstream) -> Upstream) -> (Edge, Edge, Client) {
    let server = Edge::start(|builder| builder);
    let service = axum_service(&server, audience, identity_keys());
    let upstream = Upstream::at([format!("http://{}", service.address())]).foreign();
    let upstream = describe(upstream.identity_keys(identity_keys()));
    let edge = Edge::start(|builder| {
        builder.authenticate(OneKey::of([Principal::customer("ann")])).route(route(), upstream)
    });
    (server, edge, service)
}

#[test]
fn an_axum_service_is_told_who_calls_by_a_token_for_its_audience_and_by_fields() {
    let (_server, edge, service) = behind("reports", |upstream| {
        upstream.audience("reports").forward_principal([("x-user", PrincipalField::Subject)])
    });
    let get = || Request::get("/who/1").header("x-user", "bea").header("bank-identity", "forged");
    let known = edge.client().send(get().header("x-api-key", "bk_ann_secret"));
    assert_eq!((known.status, &*known.text()), (200, "ann reports * /who/{id} ann false"));
    let stranger = edge.client().send(get());
    assert_eq!((stranger.status, &*stranger.text()), (200, "nobody reports * /who/{id} - false"));
    // Past the gateway nobody is believed.
    for past in [Request::get("/who/1"), get().header("x-api-key", "bk_ann_secret")] {
        assert_eq!(service.send(past).expect(401)["code"], "no_identity");
    }
}

#[test]
fn the_audience_of_a_route_is_its_operation_unless_it_is_named() {
    let (_server, edge, _) = behind("* /who/{id}", |upstream| upstream);
    let answer = edge.client().send(Request::get("/who/1"));
    assert_eq!((answer.status, &*answer.text()), (200, "nobody * /who/{id} * /who/{id} - false"));
    // A token for one service is no token for another, though they share their keys.
    let (_server, edge, _) = behind("reports", |upstream| upstream.audience("accounts"));
    assert_eq!(edge.client().send(Request::get("/who/1")).status, 401);
    let (_server, edge, _) = behind("reports", |upstream| upstream);
    assert_eq!(edge.client().send(Request::get("/who/1")).status, 401);
}

#[test]
fn the_audience_of_a_declared_service_is_its_name() {
    const WHO: Endpoint<Empty, Empty> = Endpoint::get("/who").summary("Says who calls").public();
    let api = || Api::new("notes").endpoint(WHO.declare());
    let server = Edge::start(|builder| builder);
    for (audience, named) in [("notes", None), ("other", Some("other"))] {
        let service = axum_service(&server, audience, identity_keys());
        let mut upstream = Upstream::at([format!("http://{}", service.address())]).foreign();
        upstream = upstream.identity_keys(identity_keys());
        if let Some(name) = named {
            upstream = upstream.audience(name);
        }
        let edge = Edge::start(|builder| builder.service(api(), upstream));
        let answer = edge.client().send(Request::get("/who"));
        assert_eq!((answer.status, &*answer.text()), (200, &*format!("nobody {audience} GET /who - false")));
    }
}

#[test]
fn an_audience_that_nobody_would_believe_does_not_build() {
    const WHO: Endpoint<Empty, Empty> = Endpoint::get("/who").summary("Says who calls").public();
    let edge = Edge::start(|builder| builder);
    let _inside = edge.runtime().enter();
    let upstream = || Upstream::at(["http://127.0.0.1:1"]).identity_keys(identity_keys());
    let api = Api::new("notes").endpoint(WHO.declare());
    let build = |upstream| {
        let built = bank_gateway::Gateway::builder().service(api.clone(), upstream).build();
        built.map(drop).map_err(|error| error.to_string())
    };
    assert!(build(upstream().audience("other")).unwrap_err().contains(".foreign()"));
    assert!(build(upstream().foreign().audience("")).unwrap_err().contains(".audience(…)"));
    assert_eq!(build(upstream().audience("notes")), Ok(()));
}
