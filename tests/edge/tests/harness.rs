//! The harness for tests of a gateway: one time, chosen callers, recorded upstreams.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bank_gateway::identity::api_key::ApiKeys;
use bank_gateway::identity::session::{Session, SessionStore};
use bank_gateway::identity::{Jwt, KeySet, PrincipalField, Sessions};
use bank_gateway::testing::{Harness, Recorder, Reply, TestClock};
use bank_gateway::{LimitBy, Policy, Quota, Route, Upstream};
use bank_sdk::declaration::{Access, Api};
use bank_sdk::http::Body;
use bank_sdk::{BankService, Call, Empty, Endpoint, Endpoints, Principal, Problem, Service};
use bank_stores::{Clock as _, Error, Timestamp};
use http::Request;

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn signed_in() -> Access {
    Access::Authenticated { scopes: vec![], roles: vec![] }
}

fn notes() -> Route {
    Route::all("/notes/{*rest}").access(signed_in())
}

fn ann() -> Principal {
    Principal::customer("ann")
}

#[tokio::test(start_paused = true)]
async fn a_chosen_principal_is_believed_by_its_own_harness_only() {
    let upstream = Recorder::new("notes");
    let describe = |builder: bank_gateway::GatewayBuilder| builder.route(notes(), upstream.upstream());
    let harness = Harness::new(describe).unwrap();
    assert_eq!(harness.call(get("/notes/1")).await.code().await.as_deref(), Some("unauthenticated"));
    assert_eq!(harness.call(get("/notes/1")).as_principal(ann()).await.status(), 200);
    assert_eq!(upstream.only().principal(), Some(&ann()));
    // A request that another harness has marked: on a public route the mark stays in it, and is carried on as it stands.
    let plain = bank_gateway::Gateway::builder()
        .authenticate(ApiKeys::in_memory(&[7; 32]))
        .route(notes(), upstream.upstream())
        .build()
        .unwrap();
    for gateway in [harness.gateway().clone(), plain] {
        let public = Route::all("/notes/{*rest}").access(Access::Public);
        let carries = Upstream::tower(gateway);
        let outer = Harness::new(|builder| builder.name("outer").route(public, carries)).unwrap();
        assert_eq!(outer.call(get("/notes/1")).as_principal(ann()).await.status(), 401);
    }
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_route_with_schemes_of_its_own_takes_a_chosen_principal_too() {
    let own = Policy::new().scheme(ApiKeys::in_memory(&[7; 32]));
    let upstream = Recorder::new("notes");
    let harness = Harness::new(|builder| builder.route(notes().policy(own), upstream.upstream())).unwrap();
    assert_eq!(harness.call(get("/notes/1")).await.status(), 401);
    assert_eq!(harness.call(get("/notes/1")).as_principal(ann()).await.status(), 200);
    let two = Request::get("/notes/1").header("x-api-key", "bk_a_b").body(Body::empty()).unwrap();
    let refused = harness.call(two).as_principal(ann()).await;
    assert_eq!(refused.code().await.as_deref(), Some("two_credentials"));
}

/// Ann's session, until a time.
#[derive(Debug)]
struct OneSession(Timestamp);

#[async_trait]
impl SessionStore for OneSession {
    async fn session(&self, id: &str) -> Result<Option<Session>, Error> {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"secret");
        let hash: [u8; 32] = hash.as_ref().try_into().unwrap();
        Ok((id == "s1").then(|| Session::new(Arc::new(ann()), hash, hash, self.0)))
    }
}

#[tokio::test(start_paused = true)]
async fn one_time_reaches_keys_sessions_tokens_and_limits() {
    let clock = TestClock::new();
    let until = clock.now().saturating_add(Duration::from_secs(600));
    let keys = ApiKeys::in_memory(&[7; 32]);
    let key = keys.issue_until("ann", ann(), until);
    let (provider, token) = provider(clock.now().seconds(), 600);
    let jwt = Jwt::new(KeySet::fixed(&provider).unwrap()).issuer("https://id.example").audience("bank");
    let harness = Harness::on(clock, |builder| {
        builder
            .authenticate(keys)
            .authenticate(jwt)
            .authenticate(Sessions::new(Arc::new(OneSession(until))))
            .rate_limit("default", Quota::per_minute(3))
            .route(notes(), Recorder::new("notes").upstream())
    })
    .unwrap();
    let with = |name: &str, value: &str| {
        harness.call(Request::get("/notes/1").header(name, value).body(Body::empty()).unwrap())
    };
    use base64::Engine as _;
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode("secret");
    let credentials = [
        ("x-api-key", key),
        ("authorization", format!("Bearer {token}")),
        ("cookie", format!("__Host-session=s1.{secret}")),
    ];
    for (name, value) in &credentials {
        assert_eq!(with(name, value).await.status(), 200, "{name}");
    }
    let (name, value) = &credentials[0];
    assert_eq!(with(name, value).await.code().await.as_deref(), Some("rate_limited"));
    harness.advance(Duration::from_secs(599)).await;
    for (name, value) in &credentials {
        assert_eq!(with(name, value).await.status(), 200, "{name}");
    }
    // All three hold for ten minutes; a token has ten seconds more, since clocks differ.
    harness.advance(Duration::from_secs(20)).await;
    for (name, value) in &credentials {
        assert_eq!(with(name, value).await.status(), 401, "{name}");
    }
}

/// A key of an identity provider, and a token that it signed.
fn provider(now: i64, life: i64) -> (jsonwebtoken::jwk::JwkSet, String) {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use jsonwebtoken::jwk::{Jwk, JwkSet};
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let key = EncodingKey::from_ec_der(pair.as_ref());
    let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    public.common.key_id = Some("k1".into());
    let mut header = Header::new(Algorithm::ES256);
    (header.typ, header.kid) = (Some("at+jwt".into()), Some("k1".into()));
    let claims = serde_json::json!({ "iss": "https://id.example", "aud": "bank", "sub": "ann", "iat": now, "exp": now + life });
    (JwkSet { keys: vec![public] }, jsonwebtoken::encode(&header, &claims, &key).unwrap())
}

const GREET: Endpoint<Empty, Empty> = Endpoint::get("/v1/greeting").summary("Greets").authenticated();

struct Greeter;

impl Greeter {
    async fn greet(self: Arc<Self>, call: Call<Empty>) -> Result<Empty, Problem> {
        assert_eq!(call.subject()?, "ann");
        Ok(Empty {})
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

#[tokio::test(start_paused = true)]
async fn a_service_of_this_process_goes_by_the_time_of_the_test() {
    let service = Service::local(Greeter).unwrap();
    let harness = Harness::new(|builder| builder.service(Greeter::api(), Upstream::local(service))).unwrap();
    let client = harness.client(ann());
    client.call(GREET, &Empty {}).send().await.unwrap();
    harness.clock().set(Timestamp::from_seconds(0));
    client.call(GREET, &Empty {}).send().await.unwrap();
    let nobody = harness.client(None);
    assert_eq!(nobody.call(GREET, &Empty {}).send().await.unwrap_err().problem().unwrap().status(), 401);
}

#[tokio::test(start_paused = true)]
async fn a_recorder_shows_what_reached_it_and_answers_as_it_is_told() {
    let flaky = Recorder::in_turn("flaky", [Reply::lost(), Reply::status(201).header("x-kind", "second")]);
    let slow = Recorder::answering("slow", |_| Reply::status(200).after(Duration::from_secs(120)));
    let policy = Policy::new().limit("few", Quota::per_minute(2), LimitBy::Address);
    let harness = Harness::new(|builder| {
        let public = |path: &str| Route::new(bank_sdk::declaration::Method::Get, path).access(Access::Public);
        builder
            .route(public("/flaky/{id}").policy(policy), flaky.upstream())
            .route(public("/slow"), slow.upstream())
            .route(
                Route::all("/notes/{*rest}").access(signed_in()).body_limit(10),
                Recorder::new("notes").upstream().forward_principal([("x-user", PrincipalField::Subject)]),
            )
    })
    .unwrap();
    // There is no other endpoint to ask.
    assert_eq!(harness.call(get("/flaky/1")).await.status(), 502);
    let answer = harness.call(get("/flaky/1")).await;
    assert_eq!((answer.status(), answer.header("x-kind")), (201, Some("second")));
    assert_eq!(flaky.received().len(), 2);
    // Limits by address go by the address that the call comes from.
    let from =
        |last: u8| harness.call(get("/flaky/1")).from_address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
    assert_eq!((from(1).await.status(), from(9).await.status()), (429, 201));
    // Nobody waits two minutes for this.
    assert_eq!(harness.call(get("/slow")).await.status(), 504);
    assert_eq!(slow.only().uri.path(), "/slow");

    let post =
        |body: &'static str| harness.call(Request::post("/notes/7").body(body).unwrap()).as_principal(ann());
    assert_eq!(post("short").await.status(), 200);
    assert_eq!(post("longer than ten").await.status(), 413);
    let received = harness.upstream("notes").received();
    assert_eq!((&received[0].body[..], received[0].header("x-user")), (&b"short"[..], Some("ann")));
    assert!(received[0].is_whole && received.iter().skip(1).all(|late| !late.is_whole));
}

#[tokio::test(start_paused = true)]
async fn a_harness_reloads_and_refuses_two_recorders_of_one_name() {
    let mut harness =
        Harness::new(|builder| builder.route(notes(), Recorder::new("old").upstream())).unwrap();
    harness.reload(|builder| builder.route(notes(), Recorder::new("new").upstream())).unwrap();
    assert_eq!(harness.call(get("/notes/1")).as_principal(ann()).await.status(), 200);
    assert_eq!(harness.upstream("new").received().len(), 1);
    let twice = Harness::new(|builder| {
        builder
            .route(notes(), Recorder::new("one").upstream())
            .route(Route::all("/x").access(signed_in()), Recorder::new("one").upstream())
    });
    assert!(twice.unwrap_err().to_string().contains("two recorders are called `one`"));
}
