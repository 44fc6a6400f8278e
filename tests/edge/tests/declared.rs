//! What a declaration promises, over a real socket: how input is read, who may call, and what the document says of it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bank_gateway::{Quota, Upstream};
use bank_sdk::stores::{Currency, Money};
use bank_sdk::{Api, BankService, Call, Empty, Endpoint, Endpoints, Principal, Problem, Service};
use edge_tests::{Edge, OneKey, Request, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Pay {
    to: String,
    amount: Money,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Capture {
    id: u64,
    to: String,
    amount: Money,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Named {
    id: u64,
    reason: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Who {
    name: String,
}

const PAY: Endpoint<Pay, Empty> = Endpoint::post("/v1/payments").authenticated();
const CAPTURE: Endpoint<Capture, Empty> = Endpoint::post("/v1/holds/{id}/capture").authenticated();
const VOID: Endpoint<Named, Empty> = Endpoint::delete("/v1/holds/{id}").authenticated();
const WHO: Endpoint<Empty, Who> = Endpoint::get("/v1/who").optional().also_produces("text/csv");
const DENIED: Endpoint<Empty, Empty> = Endpoint::get("/v1/denied").scope("never").problems(&[(422, "odd")]);

/// Counts what its handlers are called for.
struct Payments(Arc<AtomicUsize>);

impl Payments {
    fn count(&self) -> Empty {
        self.0.fetch_add(1, Ordering::SeqCst);
        Empty {}
    }

    #[allow(clippy::unused_async, reason = "a handler is async")]
    async fn pay(self: Arc<Self>, call: Call<Pay>) -> Result<Empty, Problem> {
        assert_eq!(call.input.amount.currency(), Currency::EUR);
        Ok(self.count())
    }

    #[allow(clippy::unused_async, reason = "a handler is async")]
    async fn capture(self: Arc<Self>, call: Call<Capture>) -> Result<Empty, Problem> {
        assert_eq!(call.input.id, 7);
        Ok(self.count())
    }

    #[allow(clippy::unused_async, reason = "a handler is async")]
    async fn void(self: Arc<Self>, _: Call<Named>) -> Result<Empty, Problem> {
        Ok(self.count())
    }

    #[allow(clippy::unused_async, reason = "a handler is async")]
    async fn who(self: Arc<Self>, call: Call<Empty>) -> Result<Who, Problem> {
        let name = call.principal.as_ref().map_or("nobody", |principal| &principal.subject);
        Ok(Who { name: name.to_owned() })
    }

    #[allow(clippy::unused_async, reason = "a handler is async")]
    async fn denied(self: Arc<Self>, _: Call<Empty>) -> Result<Empty, Problem> {
        Ok(self.count())
    }
}

impl BankService for Payments {
    fn api() -> Api {
        Api::new("payments")
            .endpoint(PAY.declare())
            .endpoint(CAPTURE.declare())
            .endpoint(VOID.declare())
            .endpoint(WHO.declare())
            .endpoint(DENIED.declare())
    }

    fn endpoints() -> Endpoints<Self> {
        Endpoints::new()
            .bind(PAY, Self::pay)
            .bind(CAPTURE, Self::capture)
            .bind(VOID, Self::void)
            .bind(WHO, Self::who)
            .bind(DENIED, Self::denied)
    }
}

fn payments() -> (Edge, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let service = Service::local(Payments(count.clone())).unwrap();
    let edge = Edge::start(|builder| {
        builder
            .authenticate(OneKey::of([Principal::customer("ann")]))
            .rate_limit("default", Quota::per_second(10_000))
            .openapi("Payments", "1")
            .service(Payments::api(), Upstream::local(service))
    });
    (edge, count)
}

fn ann(request: Request) -> Request {
    request.header("x-api-key", "bk_ann_secret")
}

/// The two routes that take a payment, one with a parameter in its path.
const ROUTES: [&str; 2] = ["/v1/payments", "/v1/holds/7/capture"];

fn post(path: &str, body: &str) -> Request {
    ann(Request::post(path)).header("content-type", "application/json").body(body)
}

const FINE: &str = r#"{"to":"acc_1","amount":{"amount":"1.00","currency":"EUR"}}"#;

#[test]
fn a_name_twice_in_json_is_refused_on_every_route_at_every_depth() {
    let (edge, count) = payments();
    let client = edge.client();
    for path in ROUTES {
        for (body, field) in [
            (r#"{"to":"a","to":"b","amount":{"amount":"1.00","currency":"EUR"}}"#, "to"),
            (r#"{"to":"a","t\u006f":"a","amount":{"amount":"1.00","currency":"EUR"}}"#, "to"),
            (r#"{"to":"a","amount":{"amount":"1.00","amount":"9.00","currency":"EUR"}}"#, "amount.amount"),
            (r#"{"to":"a","amount":{"amount":"1.00","currency":"EUR"},"amount":null}"#, "amount"),
            (r#"{"to":"a","amount":{"amount":"1.00","currency":"EUR"},"x":[{"y":1,"y":1}]}"#, "x.0.y"),
            (r#"{"to":"a","amount":{"amount":"1.00","currency":"EUR"},"x":1}"#, "x"),
            (r#"{"to":"a"}"#, "body"),
        ] {
            let answer = client.send(post(path, body));
            assert_eq!(answer.problem(400), "invalid_input", "{path} {body}");
            assert_eq!(answer.json()["errors"][0]["field"], field, "{path} {body}");
        }
        for body in ["{", "{} x", r#"{"to":}"#] {
            let answer = client.send(post(path, body));
            assert_eq!(answer.problem(400), "invalid_json", "{path} {body}");
            assert!(answer.json()["detail"].as_str().unwrap().contains("at line 1, column"), "{path} {body}");
        }
    }
    assert_eq!(client.send(post("/v1/holds/7/capture", r#"{"id":7}"#)).problem(400), "invalid_input");
    assert_eq!(client.send(post("/v1/holds/x/capture", FINE)).problem(400), "invalid_input");
    assert_eq!(client.send(post("/v1/payments?to=a", FINE)).problem(400), "invalid_input");
    for target in ["/v1/holds/7?reason=a&reason=a", "/v1/holds/7?re%61son=a&reason=b", "/v1/holds/7?id=7"] {
        assert_eq!(client.send(ann(Request::delete(target))).problem(400), "invalid_input", "{target}");
    }
    let with_body = ann(Request::delete("/v1/holds/7")).header("content-type", "application/json").body("{}");
    assert_eq!(client.send(with_body).problem(400), "invalid_input");
    assert_eq!(count.load(Ordering::SeqCst), 0, "what was refused had no effect");
    for path in ROUTES {
        client.send(post(path, FINE)).expect(200);
    }
    client.send(ann(Request::delete("/v1/holds/7"))).expect(200);
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[test]
fn a_body_that_is_coded_or_of_another_type_moves_nothing() {
    let (edge, count) = payments();
    let client = edge.client();
    for path in ROUTES {
        for coding in ["gzip", "br", "identity, gzip", "GZIP", "x"] {
            let answer = client.send(post(path, FINE).header("content-encoding", coding));
            assert_eq!(answer.problem(415), "unsupported_content_coding", "{coding}");
            assert_eq!(answer.header("accept-encoding"), Some("identity"));
        }
        for kind in [
            "text/plain",
            "application/json;charset=utf-16",
            "application/json+x",
            "application/json, a/b",
            "json",
        ] {
            let answer = client.send(ann(Request::post(path)).header("content-type", kind).body(FINE));
            assert_eq!(answer.problem(415), "unsupported_media_type", "{kind}");
        }
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
    client.send(post("/v1/payments", FINE).header("content-encoding", "identity")).expect(200);
    let utf8 =
        ann(Request::post("/v1/payments")).header("content-type", "Application/JSON; charset=\"UTF-8\"");
    client.send(utf8.body(FINE)).expect(200);
}

#[test]
fn an_optional_credential_may_be_missing_but_not_wrong() {
    let (edge, _) = payments();
    let client = edge.client();
    let who = || Request::get("/v1/who");
    assert_eq!(client.send(who()).expect(200)["name"], "nobody");
    assert_eq!(client.send(ann(who())).expect(200)["name"], "ann");
    client.send(who().header("x-api-key", "bk_ann_wrong")).problem(401);
    client.send(who().bearer("nonsense")).problem(401);
}

/// What the document says of a status of an operation.
fn described(document: &Value, method: &str, path: &str, status: u16) -> Value {
    let response = &document["paths"][path][method]["responses"][status.to_string()];
    match response["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap().clone(),
        None => response.clone(),
    }
}

#[test]
fn each_answer_is_one_that_the_document_describes_with_its_code_and_fields() {
    let (edge, _) = payments();
    let client = edge.client();
    let document = client.send(Request::get("/openapi.json")).expect(200);
    let check = |method: &str, path: &str, answer: Response| {
        let said = described(&document, method, path, answer.status);
        assert!(said.is_object(), "{method} {path}: {} is not described", answer.status);
        let fields = said["headers"].as_object().unwrap();
        for name in ["x-request-id", "ratelimit", "ratelimit-policy", "retry-after", "www-authenticate"] {
            let is_described = fields.keys().any(|field| field.eq_ignore_ascii_case(name));
            assert!(
                is_described || answer.header(name).is_none(),
                "{method} {path} {}: {name}",
                answer.status
            );
        }
        assert!(answer.header("x-request-id").is_some());
        if answer.status >= 400 {
            let codes = &said["content"]["application/problem+json"]["schema"]["properties"]["code"]["enum"];
            let code = answer.json()["code"].clone();
            assert!(codes.as_array().unwrap().contains(&code), "{method} {path}: {code} not in {codes}");
        }
    };
    let pay = "/v1/payments";
    check("post", pay, client.send(post(pay, FINE)));
    check("post", pay, client.send(post(pay, "{")));
    check("post", pay, client.send(post(pay, "{}")));
    check("post", pay, client.send(post(pay, FINE).header("content-encoding", "gzip")));
    check("post", pay, client.send(ann(Request::post(pay)).body(FINE)));
    check("post", pay, client.send(post(pay, &" ".repeat(70_000))));
    check("post", pay, client.send(Request::post(pay)));
    check("post", pay, client.send(Request::post(pay).bearer("nonsense")));
    check("post", pay, client.send(post(pay, FINE).bearer("two")));
    check("post", pay, client.send(post(pay, FINE).header("idempotency-key", "\"")));
    check("get", "/v1/who", client.send(Request::get("/v1/who")));
    check("get", "/v1/who", client.send(Request::get("/v1/who?x=1")));
    check("get", "/v1/denied", client.send(ann(Request::get("/v1/denied"))));
    check("delete", "/v1/holds/{id}", client.send(ann(Request::delete("/v1/holds/%zz"))));

    assert!(described(&document, "get", "/v1/denied", 422).is_object(), "the service's own");
    let types = &described(&document, "get", "/v1/who", 200)["content"];
    assert!(types.get("text/csv").is_some() && types.get("application/json").is_some());
    assert_eq!(document["paths"][pay]["post"]["x-bank-limit-class"], "default");
    assert_eq!(document["paths"]["/v1/who"]["get"]["x-bank-access"], json!({ "who": "optional" }));
    // What a program reads there is what was declared.
    let read = Api::from_openapi("payments", &document).unwrap();
    assert_eq!(read.endpoints.len(), Payments::api().endpoints.len());
}
