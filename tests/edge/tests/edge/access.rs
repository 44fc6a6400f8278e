//! Who may call what.

use super::*;

#[test]
fn an_internal_route_does_not_exist_outside_and_needs_a_service_s_key_inside() {
    let upstream = Recorder::start();
    let friend = IdentityKeys::new([("f", [1_u8; 32])]).unwrap();
    let stranger = IdentityKeys::new([("s", [2_u8; 32])]).unwrap();
    let other = IdentityKeys::new([("o", [3_u8; 32])]).unwrap();
    let edge = Edge::start(|builder| {
        before(&[&upstream])(builder)
            .name("gate")
            .caller("friend", friend.clone())
            .caller("other", other.clone())
    });
    let operation = "POST /internal/v1/things";
    let token = |keys: &IdentityKeys, name: &str, audience: &str, operation: &str| {
        let principal = Arc::new(Principal::customer("cus_1"));
        let identity = Identity::new(name, audience, operation, "req_1", SystemClock::new().now());
        keys.sign(&identity.for_principal(principal))
    };
    let call = |token: String| Request::post("/internal/v1/things").header("bank-identity", token);

    let outside = edge.client();
    outside.send(Request::post("/internal/v1/things")).problem(404);
    outside.send(ann(Request::post("/internal/v1/things"))).problem(404);
    outside.send(call(token(&friend, "friend", "gate", operation))).problem(404);

    let inside = edge.beside(edge.gateway().internal());
    assert_eq!(inside.send(Request::post("/internal/v1/things")).status, 401);
    assert_eq!(inside.send(ann(Request::post("/internal/v1/things"))).status, 401);
    for forged in [
        token(&stranger, "friend", "gate", operation),
        token(&other, "friend", "gate", operation),
        token(&friend, "friend", "another gate", operation),
        token(&friend, "friend", "gate", "POST /internal/v1/others"),
    ] {
        assert_eq!(inside.send(call(forged)).status, 401);
    }
    assert_eq!(
        inside.send(call(token(&other, "other", "gate", operation))).status,
        404,
        "known, but not for this route"
    );
    assert_eq!(inside.send(ann(Request::get("/v1/things"))).status, 404, "customers have another way in");
    assert_eq!(upstream.count(), 0);

    inside.send(call(token(&friend, "friend", "gate", operation))).expect(200);
    let identity = identity_keys().verify(upstream.only().header("bank-identity").unwrap()).unwrap();
    let principal = identity.principal.unwrap();
    assert_eq!(
        (&*principal.subject, principal.calling_service()),
        ("cus_1", Some("friend")),
        "the actor is named"
    );
}

#[derive(Debug)]
struct NoSessions;

#[async_trait]
impl SessionStore for NoSessions {
    async fn session(&self, _: &str) -> Result<Option<Session>, Error> {
        Ok(None)
    }
}

#[test]
fn s16_two_credentials_and_a_credential_in_the_address_are_refused() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        before(&[&upstream])(builder).authenticate(Sessions::new(Arc::new(NoSessions)))
    });
    let client = edge.client();
    let two = client.send(ann(Request::get("/v1/things").header("cookie", "a=b; __Host-session=ses_1.AAAA")));
    assert_eq!(two.problem(400), "two_credentials");
    for name in ["access_token", "api_key", "ACCESS_TOKEN", "password", "refresh_token", "token"] {
        let refused = client.send(ann(Request::get(format!("/v1/things?a=1&{name}=secret"))));
        assert_eq!(refused.problem(400), "credential_in_query");
    }
    for path in ["/v1/shown?access_token=secret", "/v1/shown?a&password=secret"] {
        assert_eq!(client.send(Request::get(path)).status, 400, "{path}: on a public route as well");
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn s19_nobody_passes_without_what_the_route_asks_for() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let keepers = Access::Authenticated { scopes: Vec::new(), roles: vec!["keeper".to_owned()] };
        let route = Route::all("/cat/{*rest}").access(keepers);
        before(&[&upstream])(builder).route(route, Upstream::at([upstream.url()]).foreign())
    });
    let client = edge.client();
    for path in ["/v1/things", "/v1/listed", "/v1/kept", "/cat/x"] {
        let refused = client.send(Request::get(path));
        assert_eq!(refused.problem(401), "unauthenticated");
        client.send(Request::get(path).header("x-api-key", "bk_ann_wrong")).problem(401);
        client.send(Request::get(path).header("x-api-key", "nonsense")).problem(401);
        client.send(Request::get(path).header("authorization", "Magic wand")).problem(401);
    }
    let refused = client.send(ann(Request::get("/v1/listed")));
    assert_eq!(refused.problem(403), "insufficient_scope");
    assert!(refused.header("www-authenticate").unwrap().contains("things:list"));
    assert_eq!(client.send(ann(Request::get("/v1/kept"))).problem(403), "forbidden");
    assert_eq!(client.send(ann(Request::get("/cat/x"))).problem(403), "forbidden");
    assert_eq!(upstream.count(), 0);
    client.send(Request::get("/v1/shown").header("cookie", "__Host-session=stale.AAAA")).expect(200);
}

#[test]
fn a_preflight_needs_no_credential_and_reaches_nobody() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let origin: http::HeaderValue = "https://shop.example".parse().unwrap();
        let cors = CorsLayer::new().allow_origin(origin).allow_methods([http::Method::POST]);
        before(&[&upstream])(builder).cors(cors)
    });
    let preflight = |origin: &str| {
        Request::new("OPTIONS", "/v1/things")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
    };
    let answer = edge.client().send(preflight("https://shop.example"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
    assert_eq!(upstream.count(), 0);
    let answer = edge.client().send(make().header("origin", "https://shop.example"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    let refused = edge.client().send(Request::get("/v1/things").header("origin", "https://shop.example"));
    assert_eq!(
        refused.header("access-control-allow-origin"),
        Some("https://shop.example"),
        "a refusal can be read as well"
    );
    let stranger = edge.client().send(preflight("https://evil.example"));
    assert_ne!(stranger.header("access-control-allow-origin"), Some("https://evil.example"));
    assert!(answer.header("x-request-id").is_some());
}
