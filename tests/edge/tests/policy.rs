//! What a team says of a route holds, and what it does not say is not assumed.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bank_gateway::cors::CorsLayer;
use bank_gateway::identity::session::{Session, SessionStore};
use bank_gateway::identity::{Checked, Decide, PrincipalField, Scheme, Sessions, refused_credential};
use bank_gateway::outbound::Credentials;
use bank_gateway::{
    Ended, ErrorPages, Exchange, Facts, Flow, Gateway, GatewayBuilder, LimitBy, Observe, Policy, Quota,
    Refusal, Render, Rewrite, Route, Step, Times, Upstream,
};
use bank_sdk::declaration::Method;
use bank_sdk::http::Body;
use bank_sdk::identity::{Identity, IdentityKeys};
use bank_sdk::{Access, Api, Empty, Endpoint, Principal, Problem};
use bank_stores::{Clock as _, Error, SystemClock};
use edge_tests::{Edge, OneKey, Recorder, Reply, Request, identity_keys};
use http::HeaderMap;

fn known() -> Access {
    Access::Authenticated { scopes: Vec::new(), roles: Vec::new() }
}

fn role(name: &str) -> Access {
    Access::Authenticated { scopes: Vec::new(), roles: vec![name.to_owned()] }
}

fn lavish(builder: GatewayBuilder) -> GatewayBuilder {
    builder.rate_limit("default", Quota::per_second(100_000)).authenticate(OneKey::of([
        Principal::customer("ann"),
        Principal::customer("bea").with_role("keeper"),
    ]))
}

fn ann(request: Request) -> Request {
    request.header("x-api-key", "bk_ann_secret")
}

fn bea(request: Request) -> Request {
    request.header("x-api-key", "bk_bea_secret")
}

fn open(path: &str) -> Route {
    Route::all(path).access(Access::Public)
}

#[track_caller]
fn faults(describe: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    describe(Gateway::builder()).build().map(|_| "it builds").unwrap_err().to_string()
}

fn builds(describe: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> bool {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    describe(Gateway::builder()).build().is_ok()
}

#[test]
fn s3_no_spelling_of_a_guarded_path_passes_by_its_guard_at_a_foreign_server() {
    let upstream = Recorder::start();
    let url = upstream.url();
    let edge = Edge::start(|builder| {
        let there = || Upstream::at([url.clone()]).foreign();
        lavish(builder)
            .route(Route::all("/v1/admin").access(known()), there())
            .route(Route::all("/v1/@me/{id}").access(known()), there())
            .route(Route::new(Method::Post, "/v1/keep").access(role("keeper")), there())
            .route(open("/{*rest}"), there())
    });
    let client = edge.client();
    for path in [
        "/v1/admin",
        "/V1/admin",
        "/v1/ADMIN",
        "/v1/admin/",
        "/V1/Admin/",
        "/v1/admin?x=1",
        "/v1/Admin/?x=1",
        "/v1/%40me/7",
        "/V1/@ME/7/",
        "/v1/%40Me/a%20b",
    ] {
        for method in ["GET", "DELETE", "HEAD"] {
            assert_eq!(client.send(Request::new(method, path)).status, 401, "{method} {path}");
        }
    }
    for path in ["/v1/keep", "/V1/Keep", "/v1/keep/"] {
        assert_eq!(client.send(ann(Request::post(path))).problem(403), "forbidden", "{path}");
        assert_eq!(client.send(Request::get(path)).problem(405), "method_not_allowed", "{path}");
    }
    assert_eq!(upstream.count(), 0);
    for path in ["/v1/admins", "/v1", "/v1/admin/x", "/V1/Other", "/v1/@me", "/a/v1/admin"] {
        assert_eq!(client.send(Request::get(path)).status, 200, "{path}: nothing guards it");
    }
    assert_eq!(client.send(bea(Request::post("/V1/Keep"))).status, 200);
    let last = upstream.received().pop().unwrap();
    assert!(last.line.starts_with("POST /V1/Keep "), "it goes on as it came: {}", last.line);
}

#[test]
fn s3_a_wider_guard_is_not_passed_by_either_and_other_servers_are_not_meant() {
    let (one, other) = (Recorder::start(), Recorder::start());
    let edge = Edge::start(|builder| {
        let at = |recorder: &Recorder| Upstream::at([recorder.url()]).foreign();
        lavish(builder)
            .route(open("/assets/logo"), at(&one))
            .route(Route::all("/assets/{*rest}").access(known()), at(&one))
            .route(Route::all("/private/x").access(known()), at(&one))
            .route(open("/private/{*rest}"), at(&other))
            .route(Route::all("/Exact/x").access(known()), at(&one).exact_paths())
            .route(open("/exact/{*rest}"), at(&one))
            .route(open("/{*rest}"), at(&other))
    });
    let client = edge.client();
    assert_eq!(client.send(Request::get("/assets/logo")).status, 200);
    assert_eq!(client.send(Request::get("/assets/Logo")).status, 401, "what a guard covers stays covered");
    assert_eq!(client.send(Request::get("/private/X")).status, 200, "another server's path");
    assert_eq!(client.send(Request::get("/exact/x")).status, 200, "this server tells spellings apart");
}

#[test]
fn s3_two_spellings_with_two_guards_do_not_build_and_both_are_named() {
    let text = faults(|builder| {
        let there = || Upstream::at(["http://127.0.0.1:1"]).foreign();
        lavish(builder).route(Route::all("/files").access(known()), there()).route(open("/files/"), there())
    });
    assert!(text.contains("/files") && text.contains("/files/ could"), "{text}");
    assert!(builds(|builder| {
        let there = || Upstream::at(["http://127.0.0.1:1"]).foreign();
        lavish(builder).route(open("/files"), there()).route(open("/files/"), there())
    }));
}

#[test]
fn a_route_for_one_host_hides_no_wider_route_for_another() {
    let (one, other) = (Recorder::start(), Recorder::start());
    let edge = Edge::start(|builder| {
        let at = |recorder: &Recorder| Upstream::at([recorder.url()]).foreign();
        lavish(builder)
            .route(open("/v1/x").host("a.example"), at(&one))
            .route(open("/v1/{id}").header("x-version", "beta"), at(&one))
            .route(open("/{*rest}").host("b.example"), at(&other))
    });
    let client = edge.client();
    let send = |host: &str, path: &str| client.send(Request::get(path).header("host", host)).status;
    assert_eq!(
        [send("a.example", "/v1/x"), send("b.example", "/v1/x"), send("c.example", "/v1/x")],
        [200, 200, 404]
    );
    assert_eq!((one.count(), other.count()), (1, 1));
    assert_eq!(send("b.example", "/v1/7"), 200);
    let beta = Request::get("/v1/7").header("host", "b.example").header("x-version", "beta");
    assert_eq!(client.send(beta).status, 200);
    assert_eq!((one.count(), other.count()), (2, 2));
}

/// A store of one session, `ses_1`.
#[derive(Debug)]
struct NoSessions;

#[async_trait]
impl SessionStore for NoSessions {
    async fn session(&self, _: &str) -> Result<Option<Session>, Error> {
        Ok(None)
    }
}

/// Tokens of somebody else's, whose principals have sessions of somebody else's.
#[derive(Debug)]
struct Elsewhere;

impl Scheme for Elsewhere {
    fn name(&self) -> &'static str {
        "elsewhere"
    }

    fn is_presented(&self, request: &http::Request<Body>) -> bool {
        request.headers().contains_key("x-elsewhere")
    }

    fn credential_fields(&self) -> &[&'static str] {
        &["x-elsewhere"]
    }

    fn knows_session(&self, _: &str) -> bool {
        false
    }

    fn check<'a>(&'a self, request: &'a mut http::Request<Body>) -> Checked<'a> {
        let holds = request.headers()["x-elsewhere"] == "yes";
        let mut principal = Principal::customer("cid");
        principal.session = Some("sid_of_another_issuer".to_owned());
        let principal = Arc::new(principal);
        Box::pin(std::future::ready(if holds { Ok(principal) } else { Err(refused_credential()) }))
    }
}

#[test]
fn s34_connection_names_no_field_that_a_scheme_of_the_team_s_own_reads() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let policy = Policy::new().scheme(Elsewhere);
        let route = Route::all("/theirs").access(Access::Optional).policy(policy);
        lavish(builder).route(route, Upstream::at([upstream.url()]).foreign())
    });
    let send = |request: Request| edge.client().send(request.header("x-elsewhere", "no"));
    // Were it removed, nobody would be refused.
    assert_eq!(send(Request::get("/theirs")).status, 401);
    let named = send(Request::get("/theirs").header("connection", "X-Elsewhere"));
    assert_eq!(named.problem(400), "ambiguous_fields");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_stream_of_a_session_that_only_another_issuer_knows_goes_on() {
    let pieces = (0..8).map(|n| (Duration::from_millis(150), format!("data: {n}\n\n").into_bytes()));
    let pieces: Vec<_> = pieces.collect();
    let upstream = Recorder::answering(move |_| Reply::Dribble(pieces.clone()));
    let edge = Edge::start(|builder| {
        lavish(builder)
            .authenticate(Sessions::new(Arc::new(NoSessions)))
            .authenticate(Elsewhere)
            .route(Route::all("/{*rest}").access(known()).stream(), Upstream::at([upstream.url()]).foreign())
    });
    let answer = edge.client().send(Request::get("/x").header("x-elsewhere", "yes"));
    assert!(answer.text().ends_with("data: 7\n\n"), "cut: {:?}", answer.text());
}

/// Notes how requests ended.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<(String, u16, String)>>>);

impl Observe for Seen {
    fn ended(&self, facts: &Facts, end: &Ended) {
        let who = facts.principal().map(ToString::to_string).unwrap_or_default();
        self.0.lock().unwrap().push((facts.id_text().to_owned(), end.status.as_u16(), who));
    }
}

#[test]
fn a_preflight_is_seen_and_limited_like_any_request_and_another_options_is_none() {
    let (upstream, seen) = (Recorder::start(), Seen::default());
    let edge = Edge::start(|builder| {
        lavish(builder)
            .cors(CorsLayer::permissive())
            .observe(seen.clone())
            .address_limit(Quota::per_hour(5))
            .route(open("/{*rest}"), Upstream::at([upstream.url()]).foreign())
    });
    let client = edge.client();
    let preflight = || {
        Request::new("OPTIONS", "/x")
            .header("origin", "https://app.example")
            .header("access-control-request-method", "PUT")
    };
    let answer = client.send(preflight());
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    assert_eq!((upstream.count(), seen.0.lock().unwrap().len()), (0, 1));
    assert_eq!(client.send(Request::new("OPTIONS", "/x")).status, 200);
    assert_eq!(upstream.count(), 1, "an `OPTIONS` that is no preflight goes its way");
    let statuses: Vec<_> = (0..4).map(|_| client.send(preflight()).status).collect();
    assert_eq!(statuses, [200, 200, 200, 429]);
    assert_eq!(client.send(Request::new("OPTIONS", "/x%00").header("origin", "x")).status, 429);
    assert_eq!(edge.client().send(preflight().header("content-length", "00")).status, 400, "strict as all");
}

const POKE: Endpoint<Empty, Empty> = Endpoint::post("/internal/v1/poke").internal(&["friend"]).idempotent();

#[derive(Debug, Default)]
struct Records(Mutex<Vec<bank_gateway::audit::Record>>);

impl bank_gateway::audit::Audit for Records {
    fn record(&self, record: bank_gateway::audit::Record) {
        self.0.lock().unwrap().push(record);
    }
}

#[test]
fn a_call_between_services_leaves_the_traces_of_any_other() {
    let (upstream, seen, records) = (Recorder::start(), Seen::default(), Arc::new(Records::default()));
    let friend = IdentityKeys::new([("f", [1_u8; 32])]).unwrap();
    let edge = Edge::start(|builder| {
        lavish(builder)
            .name("gate")
            .observe(seen.clone())
            .audit(records.clone())
            .caller("friend", friend.clone())
            .service(
                Api::new("things").endpoint(POKE.declare()),
                Upstream::at([upstream.url()]).identity_keys(identity_keys()),
            )
    });
    let inside = edge.beside(edge.gateway().internal());
    let identity = Identity::new(
        "friend",
        "gate",
        "POST /internal/v1/poke",
        "req_from_a_service",
        SystemClock::new().now(),
    );
    let call = Request::post("/internal/v1/poke").header("bank-identity", friend.sign(&identity));
    inside.send(call).expect(200);
    assert_eq!(upstream.only().header("x-request-id"), Some("req_from_a_service"));
    // Who is not known gets a name all the same, so that the refusal can be found.
    let refused = inside.send(Request::post("/internal/v1/poke"));
    assert_eq!(refused.problem(401), "unknown_service");
    let id = refused.header("x-request-id").unwrap().to_owned();
    assert!(id.starts_with("req_"), "{id}");
    let seen = seen.0.lock().unwrap().clone();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!((&*seen[0].0, seen[0].1), ("req_from_a_service", 200));
    assert!(seen[0].2.contains("friend"), "{seen:?}");
    assert_eq!((&seen[1].0, seen[1].1), (&id, 401));
    let records = records.0.lock().unwrap();
    let told: Vec<_> =
        records.iter().map(|record| (&*record.request, &*record.what, record.status)).collect();
    assert_eq!(
        told,
        [("req_from_a_service", "POST /internal/v1/poke", 200), (&*id, "POST /internal/v1/poke", 401)]
    );
}

#[test]
fn schemas_of_one_name_from_two_services_stand_beside_each_other() {
    let service = |name: &str, member: &str| -> Api {
        serde_json::from_value(serde_json::json!({
            "name": name,
            "endpoints": [{
                "method": "GET", "path": format!("/v1/{name}"), "access": { "who": "public" }, "idempotency": "safe",
                "output": {
                    "$ref": "#/$defs/Item",
                    "$defs": { "Item": { "type": "object", "properties": { member: { "type": "string" } } } }
                }
            }]
        }))
        .unwrap()
    };
    let edge = Edge::start(|builder| {
        let there = || Upstream::at(["http://127.0.0.1:1"]).foreign();
        lavish(builder)
            .openapi("Bank", "1")
            .service(service("apples", "colour"), there())
            .service(service("pears", "weight"), there())
    });
    let document = edge.client().send(Request::get("/openapi.json")).expect(200);
    for (name, member) in [("apples", "colour"), ("pears", "weight")] {
        let operation = &document["paths"][format!("/v1/{name}")]["get"];
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let reference = schema["$ref"].as_str().unwrap_or_else(|| panic!("{operation}"));
        let found = document.pointer(reference.trim_start_matches('#')).unwrap();
        assert!(found["properties"][member].is_object(), "{name}: {found}");
    }
}

#[test]
fn a_parameter_that_looks_like_a_credential_passes_where_its_route_says_so_and_nowhere_else() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let there = || Upstream::at([upstream.url()]).foreign();
        lavish(builder)
            .route(open("/links/{*rest}").policy(Policy::new().allow_query("token")), there())
            .route(open("/{*rest}"), there())
    });
    let client = edge.client();
    assert_eq!(client.send(Request::get("/links/a?token=x")).status, 200);
    assert_eq!(client.send(Request::get("/links/a?token=x&password=y")).problem(400), "credential_in_query");
    assert_eq!(client.send(Request::get("/other?token=x")).problem(400), "credential_in_query");
}

#[test]
fn a_service_sees_of_a_credential_what_its_route_says() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let there = || Upstream::at([upstream.url()]).foreign();
        let own = Credentials::Replace("authorization".parse().unwrap(), "Basic b3du".parse().unwrap());
        let policy = |credentials| Policy::new().credentials(credentials);
        lavish(builder)
            .route(open("/stripped"), there())
            .route(open("/kept"), there().credentials(Credentials::Keep))
            .route(open("/replaced").policy(policy(own)), there().credentials(Credentials::Keep))
            .route(
                open("/stripped/again").policy(policy(Credentials::Strip)),
                there().credentials(Credentials::Keep),
            )
    });
    let client = edge.client();
    let seen = |path: &str| {
        let request = Request::get(path).header("authorization", "Bearer x").header("cookie", "a=b");
        client.send(request.header("x-api-key", "k")).expect(200);
        let received = upstream.received().pop().unwrap();
        let field = |name: &str| received.header(name).map(str::to_owned);
        (field("authorization"), field("cookie"), field("x-api-key"))
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(seen("/stripped"), (None, None, None));
    assert_eq!(seen("/kept"), (text("Bearer x"), text("a=b"), text("k")));
    assert_eq!(seen("/replaced"), (text("Basic b3du"), None, None));
    assert_eq!(seen("/stripped/again"), (None, None, None));
}

/// Sets a field, and adds one to the answer.
#[derive(Clone, Debug)]
struct Marks(&'static str);

impl Step for Marks {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        let who = exchange.facts.principal().map_or("nobody", |principal| match &*principal.subject {
            "ann" => "ann",
            _ => "somebody",
        });
        exchange.request.headers_mut().append("x-marks", format!("{}:{who}", self.0).parse().unwrap());
        Ok(Flow::Pass)
    }
}

#[test]
fn steps_stand_where_they_were_put_and_on_their_route_only() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let there = || Upstream::at([upstream.url()]).foreign();
        let policy = Policy::new().front_step(Marks("front")).step(Marks("own"));
        lavish(builder)
            .step(Marks("all"))
            .route(Route::all("/one").access(known()).policy(policy), there())
            .route(Route::all("/two").access(known()), there())
    });
    let marks = |path: &str| {
        edge.client().send(ann(Request::get(path))).expect(200);
        upstream.received().pop().unwrap().all("x-marks").join(" ")
    };
    assert_eq!(marks("/one"), "front:nobody all:ann own:ann");
    assert_eq!(marks("/two"), "all:ann");
}

#[test]
fn a_route_s_schemes_stand_in_the_place_of_the_gateway_s() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let there = || Upstream::at([upstream.url()]).foreign();
        lavish(builder)
            .route(Route::all("/theirs").access(known()).policy(Policy::new().scheme(Elsewhere)), there())
            .route(Route::all("/ours").access(known()), there())
    });
    let client = edge.client();
    let status = |request: Request| client.send(request).status;
    assert_eq!(status(Request::get("/theirs").header("x-elsewhere", "yes")), 200);
    assert_eq!(status(Request::get("/theirs").header("x-elsewhere", "no")), 401);
    assert_eq!(status(ann(Request::get("/theirs"))), 401);
    assert_eq!(status(ann(Request::get("/ours"))), 200);
    assert_eq!(status(Request::get("/ours").header("x-elsewhere", "yes")), 401);
}

#[test]
fn a_route_has_its_own_times_paths_and_fields() {
    let upstream = Recorder::answering(|request| {
        if request.line.contains("/slow") {
            Reply::Never
        } else {
            Reply::ok().header("server", "express").header("x-kept", "1")
        }
    });
    let edge = Edge::start(|builder| {
        let there = || Upstream::at([upstream.url()]).foreign();
        let policy = Policy::new()
            .rewrite(Rewrite::strip_prefix("/reports").then_prefix("/v2"))
            .request_field("x-tenant", "blue")
            .request_field("user-agent", "")
            .answer_field("cache-control", "private")
            .answer_field("server", "");
        lavish(builder).route(open("/reports/{*rest}").policy(policy), there()).route(
            open("/slow").policy(Policy::new().times(Times::head(Duration::from_millis(150)))),
            there(),
        )
    });
    let client = edge.client();
    let request =
        Request::get("/reports/daily?day=1").header("user-agent", "test").header("x-tenant", "forged");
    let answer = client.send(request);
    assert_eq!(answer.status, 200);
    let received = upstream.only();
    assert!(received.line.starts_with("GET /v2/daily?day=1 "), "{}", received.line);
    assert_eq!((received.header("x-tenant"), received.header("user-agent")), (Some("blue"), None));
    assert_eq!(
        (answer.header("cache-control"), answer.header("server"), answer.header("x-kept")),
        (Some("private"), None, Some("1"))
    );
    assert_eq!(client.send(Request::get("/slow")).problem(504), "deadline_exceeded");
}

/// Refusals as plain text.
#[derive(Debug)]
struct Plainly(&'static str);

impl Render for Plainly {
    fn render(&self, problem: Problem, facts: &Facts) -> http::Response<Body> {
        let text = format!("{}: {} ({})", self.0, problem.code().unwrap_or_default(), facts.id_text());
        let mut response = http::Response::new(Body::from(text));
        *response.status_mut() = problem.status();
        response
    }
}

#[test]
fn refusals_look_as_the_route_says_or_else_the_gateway() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let there = || Upstream::at([upstream.url()]).foreign();
        lavish(builder)
            .render(Plainly("gateway"))
            .route(Route::all("/one").access(known()).policy(Policy::new().render(Plainly("route"))), there())
            .route(Route::all("/two").access(known()), there())
    });
    for (path, status, begins) in [
        ("/one", 401, "route: unauthenticated (req_"),
        ("/two", 401, "gateway: unauthenticated (req_"),
        ("/none", 404, "gateway: not_found (req_"),
        ("/%00", 400, "gateway: ambiguous_path (req_"),
    ] {
        let answer = edge.client().send(Request::get(path));
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.text().starts_with(begins), "{path}: {}", answer.text());
        assert!(answer.header("x-request-id").is_some() && answer.header("x-content-type-options").is_some());
    }
}

#[test]
fn a_refusal_is_a_page_for_people_and_a_document_for_programs() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let there = || Upstream::at([upstream.url()]).foreign();
        lavish(builder)
            .render(ErrorPages::new("The Bank"))
            .route(Route::all("/one").access(known()), there())
            .route(Route::all("/two").access(known()).policy(Policy::new().render(Plainly("route"))), there())
    });
    let client = edge.client();
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (path, status, code) in
        [("/none", 404, "not_found"), ("/one", 401, "unauthenticated"), ("/%00", 400, "ambiguous_path")]
    {
        let page = client.send(Request::get(path).header("accept", browser));
        assert_eq!((page.status, page.header("vary")), (status, Some("accept")), "{path}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        let (text, id) = (page.text(), page.header("x-request-id").unwrap());
        for part in [code, id, "<a href=\"/\">Go to The Bank</a>"] {
            assert!(text.contains(part), "no {part}: {text}");
        }
        for accept in ["*/*", "application/json, text/html;q=0.9", "text/html;q=0, */*"] {
            let document = client.send(Request::get(path).header("accept", accept));
            assert_eq!(document.problem(status), code, "{path} {accept}");
            assert_eq!(document.header("vary"), Some("accept"), "{path} {accept}");
        }
        assert_eq!(client.send(Request::get(path)).problem(status), code, "{path}");
    }
    let head = client.send(Request::new("HEAD", "/none").header("accept", browser));
    assert_eq!((head.status, head.header("content-type")), (404, Some("text/html; charset=utf-8")));
    assert!(client.send(Request::get("/two").header("accept", browser)).text().starts_with("route: "));
}

#[test]
fn an_error_that_a_service_answers_with_is_passed_on_to_browsers_too() {
    let upstream = Recorder::answering(|_| Reply::status(404));
    let edge = Edge::start(|builder| {
        lavish(builder)
            .render(ErrorPages::new("The Bank"))
            .route(open("/{*rest}"), Upstream::at([upstream.url()]).foreign())
    });
    let answer = edge.client().send(Request::get("/x").header("accept", "text/html"));
    assert_eq!((answer.status, answer.header("content-type")), (404, Some("application/json")));
    assert_eq!((answer.text(), answer.header("vary")), ("{}".to_owned(), None));
}

/// Lets pass whom a field of the request names, besides `bea`.
#[derive(Debug)]
struct Consent;

impl Decide for Consent {
    fn decide(&self, facts: &Facts, headers: &HeaderMap) -> Result<(), Problem> {
        let subject = facts.principal().map(|principal| principal.subject.clone());
        let consent = headers.get("x-consent").is_some();
        if subject.as_deref() == Some("bea") || consent {
            return Ok(());
        }
        Err(Problem::new(http::StatusCode::FORBIDDEN, "there is no consent").with_code("no_consent"))
    }
}

#[test]
fn a_team_s_own_decision_is_asked_beside_the_declaration_and_costs_no_quota_where_it_refuses() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let there = || Upstream::at([upstream.url()]).foreign();
        let policy = Policy::new().decide(Consent).limit("decided", Quota::per_hour(1), LimitBy::Caller);
        lavish(builder).route(Route::all("/x").access(known()).policy(policy), there())
    });
    let client = edge.client();
    for _ in 0..3 {
        assert_eq!(client.send(ann(Request::get("/x"))).problem(403), "no_consent");
    }
    assert_eq!(client.send(ann(Request::get("/x").header("x-consent", "1"))).status, 200);
    assert_eq!(client.send(bea(Request::get("/x"))).status, 200);
    assert_eq!(client.send(Request::get("/x").header("x-consent", "1")).problem(401), "unauthenticated");
}

#[test]
fn where_a_credential_is_optional_a_wrong_one_is_refused_and_none_is_nobody() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let there = Upstream::at([upstream.url()])
            .foreign()
            .forward_principal([("x-caller", PrincipalField::Subject)]);
        lavish(builder).route(Route::all("/x").access(Access::Optional), there)
    });
    let client = edge.client();
    let who = || upstream.received().pop().unwrap().header("x-caller").map(str::to_owned);
    client.send(Request::get("/x").header("x-caller", "forged")).expect(200);
    assert_eq!(who(), None);
    client.send(ann(Request::get("/x"))).expect(200);
    assert_eq!(who().as_deref(), Some("ann"));
    client.send(Request::get("/x").header("x-api-key", "bk_ann_wrong")).problem(401);
    assert_eq!(upstream.count(), 2);
}

#[test]
fn s5_what_tells_a_foreign_server_who_calls_no_client_can_say_on_any_route() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let told = [
            ("x-caller", PrincipalField::Subject),
            ("x-caller-roles", PrincipalField::Roles),
            ("x-caller-tenant", PrincipalField::Tenant),
        ];
        let there = || Upstream::at([upstream.url()]).foreign();
        builder
            .rate_limit("default", Quota::per_second(100_000))
            .authenticate(OneKey::of([Principal::customer("ann")
                .with_role("reader")
                .with_role("ad min")
                .with_role("writer")]))
            .route(Route::all("/known").access(known()), there().forward_principal(told))
            .route(open("/open"), there().forward_principal(told))
            // The same server by another way, which tells it nobody.
            .route(open("/other/{*rest}"), there())
    });
    let client = edge.client();
    for path in ["/known", "/open", "/other/x"] {
        for name in [
            "x-caller",
            "X-Caller",
            "x_caller",
            "X_caller",
            "x-caller-roles",
            "x_caller-roles",
            "x-caller-tenant",
        ] {
            let request = ann(Request::get(path)).header(name, "forged");
            // Neither does it help to name the field in `Connection`, or to send it twice.
            client.send(request.clone().header(name, "forged too")).expect(200);
            client.send(request.header("connection", "close")).expect(200);
        }
    }
    for received in upstream.received() {
        let forged: Vec<_> = received.headers.iter().filter(|(_, value)| value.contains("forged")).collect();
        assert!(forged.is_empty(), "{}: {forged:?}", received.line);
        let known = received.line.contains("/known");
        assert_eq!(received.header("x-caller"), known.then_some("ann"));
        // A role that would read as two is told to nobody.
        assert_eq!(received.header("x-caller-roles"), known.then_some("reader writer"));
        assert_eq!(received.header("x-caller-tenant"), None);
    }
    let text = faults(|builder| {
        let there = Upstream::at(["http://127.0.0.1:1"]).foreign();
        builder.route(open("/x"), there.forward_principal([("Authorization", PrincipalField::Subject)]))
    });
    assert!(text.contains("`authorization` means something else"), "{text}");
    let text = faults(|builder| {
        let there = Upstream::at(["http://127.0.0.1:1"]).foreign();
        lavish(builder).route(open("/x"), there.forward_principal([("x-api-key", PrincipalField::Subject)]))
    });
    assert!(text.contains("reads `x-api-key`"), "{text}");
}

#[test]
fn a_field_that_a_scheme_reads_and_the_gateway_removes_does_not_build() {
    let keys = || bank_gateway::identity::ApiKeys::in_memory(&[7; 32]);
    let strict = || bank_gateway::StrictHttp::default().reserve("X_API_Key");
    let there = || Upstream::at(["http://127.0.0.1:1"]).foreign();
    let text = faults(|builder| builder.strict_http(strict()).authenticate(keys()));
    assert!(text.contains("reads `x-api-key`"), "{text}");
    // Also where one route alone accepts it.
    let text = faults(|builder| {
        let policy = Policy::new().scheme(keys());
        builder.strict_http(strict()).route(open("/x").policy(policy), there())
    });
    assert!(text.contains("reads `x-api-key`"), "{text}");
}

#[test]
fn a_class_without_a_quota_or_with_two_does_not_build_and_says_what_to_add() {
    let there = || Upstream::at(["http://127.0.0.1:1"]).foreign();
    let text = faults(|builder| builder.route(open("/x").limit_class("dear"), there()));
    assert!(text.contains("route * /x") && text.contains(".rate_limit(\"dear\", …)"), "{text}");
    let text = faults(|builder| {
        let policy = |hourly| Policy::new().limit("dear", Quota::per_hour(hourly), LimitBy::Address);
        builder.route(open("/x").policy(policy(1)), there()).route(open("/y").policy(policy(2)), there())
    });
    assert!(text.contains("the class `dear` has another quota elsewhere"), "{text}");
    // One bucket would be charged twice.
    let text = faults(|builder| {
        let policy = Policy::new().limit("dear", Quota::per_hour(2), LimitBy::default());
        let builder = builder.rate_limit("dear", Quota::per_hour(2));
        builder.route(open("/x").limit_class("dear").policy(policy), there())
    });
    assert!(text.contains("counts a request in the class `dear` twice"), "{text}");
    // Nobody would be counted.
    let text = faults(|builder| {
        let policy = Policy::new().limit("dear", Quota::per_hour(2), LimitBy::tenant());
        builder.route(open("/x").policy(policy), there())
    });
    assert!(text.contains("counts `dear` by who calls"), "{text}");
    let text = faults(|builder| {
        let policy = Policy::new().limit_with_cost("dear", Quota::per_hour(3), LimitBy::Address, 4);
        builder.route(open("/x").policy(policy), there())
    });
    assert!(text.contains("costs 4"), "{text}");
}
