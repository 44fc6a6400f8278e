//! The document of a small bank, what it promises, and what is read back from it.

use std::time::Duration;

use bank_stores::Money;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::*;
use crate::{Empty, Endpoint, Limit, List};

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct NewTransfer {
    from: String,
    to: String,
    amount: Money,
    reference: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Transfer {
    id: String,
    amount: Money,
    parts: Vec<Self>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct StatementOf {
    id: String,
    limit: Option<Limit>,
    #[schemars(length(min = 1, max = 1024))]
    after: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Capture {
    id: String,
    to: String,
    amount: Option<Money>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Rest {
    rest: String,
}

fn bank() -> Api {
    const PAY: Endpoint<NewTransfer, Transfer> = Endpoint::post("/v1/transfers")
        .summary("Sends money")
        .description("A transfer that was refused is a success, with `status`.")
        .example(
            "rent",
            r#"{"from":"acc_1","to":"acc_2","amount":{"amount":"1.00","currency":"EUR"}}"#,
            r#"{"id":"trf_1","amount":{"amount":"1.00","currency":"EUR"},"parts":[]}"#,
        )
        .operation_id("createTransfer")
        .scope("transfers:write")
        .scope("pay")
        .idempotency_key()
        .limit_class("payments")
        .created()
        .problems(&[(422, "invalid_amount"), (422, "same_account"), (409, "request_in_progress")]);
    const STATEMENT: Endpoint<StatementOf, List<Transfer>> = Endpoint::get("/v1/accounts/{id}/statement")
        .summary("Shows a statement")
        .scope("accounts:read")
        .also_produces("text/csv")
        .example("first", r#"{"id":"acc_1","limit":2}"#, r#"{"items":[],"next":null}"#)
        .example_as("text/csv", "table", r#"{"id":"acc_1"}"#, "id,amount\r\n")
        .timeout(Duration::from_secs(3))
        .whole_timeout(Duration::from_secs(60));
    const CAPTURE: Endpoint<Capture, Empty> =
        Endpoint::post("/v1/holds/{id}/capture").authenticated().idempotency_key().body_limit(2_000);
    const OPEN: Endpoint<Empty, Empty> =
        Endpoint::post("/v1/accounts").authenticated().optional_idempotency_key();
    const SIGN_IN: Endpoint<Empty, Empty> =
        Endpoint::post("/v1/sessions").login().limit_class("login").created();
    const SIGN_OUT: Endpoint<Empty, Empty> =
        Endpoint::delete("/v1/sessions/current").authenticated().no_content();
    const EVENTS: Endpoint<Empty, Transfer> = Endpoint::get("/v1/events")
        .role("teller")
        .stream("text/event-stream")
        .event::<Transfer>("transfer")
        .idle_timeout(Duration::from_secs(90));
    const LIVE: Endpoint<Empty, Empty> = Endpoint::get("/v1/live").optional().upgrade();
    const NEWS: Endpoint<Empty, Empty> = Endpoint::get("/v1/news").public().long_poll();
    const FILE: Endpoint<Rest, Empty> = Endpoint::get("/v1/files/{*rest}").public();
    Api::new("bank")
        .endpoint(PAY.declare())
        .endpoint(STATEMENT.declare())
        .endpoint(CAPTURE.declare())
        .endpoint(OPEN.declare())
        .endpoint(SIGN_IN.declare())
        .endpoint(SIGN_OUT.declare())
        .endpoint(EVENTS.declare())
        .endpoint(LIVE.declare())
        .endpoint(NEWS.declare())
        .endpoint(FILE.declare())
}

fn schemes() -> [SecurityScheme; 3] {
    [
        SecurityScheme::bearer("JWT"),
        SecurityScheme::api_key_cookie("__Host-session").named("session").with_csrf_header("X-CSRF-Token"),
        SecurityScheme::basic().for_login(),
    ]
}

fn described(apis: &[Api]) -> Value {
    document("Bank", "1", apis, &schemes())
}

/// Fails at the first place where two documents differ.
#[track_caller]
fn assert_same(one: &Value, other: &Value, at: &str) {
    if let (Some(one), Some(other)) = (one.as_object(), other.as_object()) {
        let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        for name in names {
            let (one, other) =
                (one.get(name).unwrap_or(&Value::Null), other.get(name).unwrap_or(&Value::Null));
            assert_same(one, other, &format!("{at}/{name}"));
        }
        return;
    }
    assert_eq!(one, other, "at {at}");
}

/// What is left of a document when it has been read: examples are for readers.
fn without_examples(mut document: Value) -> Value {
    for item in document["paths"].as_object_mut().unwrap().values_mut() {
        for operation in item.as_object_mut().unwrap().values_mut() {
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                parameter.as_object_mut().unwrap().remove("example");
            }
            let operation = operation.as_object_mut().unwrap();
            let mut with_content: Vec<&mut Value> = Vec::new();
            for (member, value) in operation {
                match member.as_str() {
                    "requestBody" => with_content.push(value),
                    "responses" => with_content.extend(value.as_object_mut().unwrap().values_mut()),
                    _ => {}
                }
            }
            for content in with_content.into_iter().filter_map(|of| of.get_mut("content")?.as_object_mut()) {
                for media in content.values_mut() {
                    media.as_object_mut().unwrap().remove("examples");
                }
            }
        }
    }
    document
}

/// An operation of the bank's document, and the document.
fn operation_of(method: &str, path: &str) -> (Value, Value) {
    let document = described(&[bank()]);
    (document["paths"][path][method].clone(), document)
}

#[test]
fn a_key_that_may_be_left_out_is_described_as_one() {
    for (path, required) in [("/v1/accounts", false), ("/v1/transfers", true)] {
        let (operation, _) = operation_of("post", path);
        let parameters = operation["parameters"].as_array().unwrap();
        let key = parameters.iter().find(|parameter| parameter["name"] == "Idempotency-Key").unwrap();
        assert_eq!(key["required"], required, "{path}");
    }
}

#[test]
fn what_a_document_says_is_read_back_whole() {
    bank().check().unwrap();
    let written = described(&[bank()]);
    let read = Api::from_openapi("bank", &written).unwrap();
    assert_same(&described(std::slice::from_ref(&read)), &without_examples(written), "");
    for (declared, read) in bank().endpoints.iter().map(|endpoint| {
        let same = |read: &&EndpointDeclaration| read.operation() == endpoint.operation();
        (endpoint, read.endpoints.iter().find(same).unwrap())
    }) {
        let policy = |endpoint: &EndpointDeclaration| {
            let mut policy = serde_json::to_value(endpoint).unwrap();
            // The schemas are compared by the document; an id that was not declared has been made.
            // Examples are for readers.
            for member in ["input", "output", "events", "operation_id", "examples"] {
                policy.as_object_mut().unwrap().remove(member);
            }
            policy
        };
        assert_eq!(policy(read), policy(declared));
    }
    // The schema is whole without the document.
    let pay = read.endpoints.iter().find(|endpoint| endpoint.path == "/v1/transfers").unwrap();
    assert_eq!(pay.operation_id.as_deref(), Some("createTransfer"));
    assert_eq!(pay.output.get("$defs").unwrap()["Money"]["type"], "object");
}

#[test]
fn every_status_is_there_with_its_codes_and_fields() {
    let (operation, document) = operation_of("post", "/v1/transfers");
    let responses = operation["responses"].as_object().unwrap();
    let statuses: Vec<&str> = responses.keys().map(String::as_str).collect();
    let expected = "201 400 401 403 404 408 409 413 415 422 429 500 502 503 504";
    assert_eq!(statuses.join(" "), expected);
    let refusal = |status: &str| {
        let reference = responses[status]["$ref"].as_str().unwrap();
        document.pointer(&reference[1..]).unwrap().clone()
    };
    let codes = |status: &str| {
        refusal(status)["content"]["application/problem+json"]["schema"]["properties"]["code"]["enum"].clone()
    };
    assert_eq!(codes("422"), json!(["invalid_amount", "same_account"]));
    assert_eq!(codes("409"), json!(["request_in_progress"]));
    assert!(codes("400").as_array().unwrap().contains(&json!("missing_idempotency_key")));
    assert!(codes("403").as_array().unwrap().contains(&json!("insufficient_scope")));
    let fields = |response: &Value| -> Vec<String> {
        response["headers"].as_object().unwrap().keys().cloned().collect()
    };
    let always = ["RateLimit", "RateLimit-Policy", "X-Request-Id"];
    for (response, more) in [
        (responses["201"].clone(), Some("Idempotency-Replayed")),
        (refusal("429"), Some("Retry-After")),
        (refusal("503"), Some("Retry-After")),
        (refusal("401"), Some("WWW-Authenticate")),
        (refusal("500"), None),
    ] {
        let mut expected: Vec<&str> = always.into_iter().chain(more).collect();
        expected.sort_unstable();
        assert_eq!(fields(&response), expected);
        for reference in response["headers"].as_object().unwrap().values() {
            assert!(document.pointer(&reference["$ref"].as_str().unwrap()[1..]).is_some(), "{reference}");
        }
    }
    let public = operation_of("get", "/v1/news").0;
    assert!(public["responses"].get("401").is_none() && public["responses"].get("403").is_none());
    assert!(operation_of("get", "/v1/live").0["responses"].get("101").is_some());
}

#[test]
fn parameters_and_media_types_are_described_with_their_constraints() {
    let (operation, _) = operation_of("get", "/v1/accounts/{id}/statement");
    let parameter = |name: &str| {
        let all = operation["parameters"].as_array().unwrap();
        all.iter().find(|parameter| parameter["name"] == name).unwrap().clone()
    };
    assert_eq!((&parameter("id")["in"], &parameter("id")["required"]), (&json!("path"), &json!(true)));
    let after = parameter("after");
    assert_eq!((&after["in"], &after["required"]), (&json!("query"), &json!(false)));
    assert_eq!((&after["schema"]["type"], &after["schema"]["maxLength"]), (&json!("string"), &json!(1024)));
    assert_eq!(parameter("limit")["schema"]["$ref"], "#/components/schemas/Limit");
    let content = operation["responses"]["200"]["content"].as_object().unwrap();
    assert_eq!(content.keys().map(String::as_str).collect::<Vec<_>>(), ["application/json", "text/csv"]);

    let (operation, document) = operation_of("post", "/v1/holds/{id}/capture");
    let key = &operation["parameters"][1];
    assert_eq!((&key["name"], &key["schema"]["maxLength"]), (&json!("Idempotency-Key"), &json!(130)));
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["$ref"], "#/components/schemas/Capture");
    let body = &document["components"]["schemas"]["Capture"];
    assert_eq!(body["required"], json!(["to"]));
    assert!(body["properties"].get("id").is_none());
    let limit = &document["components"]["schemas"]["Limit"];
    assert_eq!((&limit["minimum"], &limit["maximum"]), (&json!(1), &json!(200)));
}

#[test]
fn bodies_and_answers_are_schemas_with_names() {
    let (pay, document) = operation_of("post", "/v1/transfers");
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let names: Vec<&str> = schemas.keys().map(String::as_str).collect();
    let expected = "Capture Currency Empty Limit Money NewTransfer Problem Transfer TransferList";
    assert_eq!(names.join(" "), expected);
    let json = |of: &Value| of["content"]["application/json"]["schema"]["$ref"].clone();
    assert_eq!(json(&pay["requestBody"]), "#/components/schemas/NewTransfer");
    assert_eq!(json(&pay["responses"]["201"]), "#/components/schemas/Transfer");
    // A type is one schema, whether it is an answer, part of one, or part of itself.
    let parts = "/properties/parts/items/$ref";
    assert_eq!(schemas["Transfer"].pointer(parts).unwrap(), "#/components/schemas/Transfer");
    let items = "/properties/items/items/$ref";
    assert_eq!(schemas["TransferList"].pointer(items).unwrap(), "#/components/schemas/Transfer");
}

#[test]
fn examples_stand_at_the_parameters_bodies_and_answers_that_they_are_of() {
    let (pay, _) = operation_of("post", "/v1/transfers");
    let body = pay.pointer("/requestBody/content/application~1json/examples/rent/value").unwrap();
    assert_eq!(body["to"], "acc_2");
    let answer = pay.pointer("/responses/201/content/application~1json/examples/rent/value").unwrap();
    assert_eq!(answer["id"], "trf_1");
    assert!(pay["description"].as_str().unwrap().contains("is a success"));

    let (statement, _) = operation_of("get", "/v1/accounts/{id}/statement");
    let parameters = statement["parameters"].as_array().unwrap();
    let example = |name: &str| parameters.iter().find(|p| p["name"] == name).unwrap().get("example").cloned();
    assert_eq!((example("id"), example("limit")), (Some(json!("acc_1")), Some(json!(2))));
    assert_eq!(example("after"), None);
    let answers = &statement["responses"]["200"]["content"];
    assert_eq!(answers["text/csv"]["examples"]["table"]["value"], "id,amount\r\n");
    assert_eq!(answers["application/json"]["examples"].as_object().unwrap().len(), 1);
}

#[test]
fn the_events_of_a_stream_are_described_with_their_data() {
    let (operation, document) = operation_of("get", "/v1/events");
    let stream = &operation["responses"]["200"]["content"]["text/event-stream"]["schema"];
    assert_eq!(stream["type"], "string");
    let event = stream.pointer("/contentSchema/items/oneOf/0").unwrap();
    assert_eq!(event["properties"]["event"]["const"], "transfer");
    let data = event.pointer("/properties/data/contentSchema/$ref").unwrap().as_str().unwrap();
    assert!(document.pointer(&data[1..]).unwrap()["properties"]["amount"].is_object());
}

#[test]
fn a_title_page_says_what_it_was_told() {
    let info = Info::new("Bank", "2").description("# Keys").license("MIT", "MIT");
    let api = bank().description("Moves money.");
    let document = info.document(&[&api], &schemes());
    assert_eq!(document["info"]["description"], "# Keys");
    assert_eq!(document["tags"], json!([{ "name": "bank", "description": "Moves money." }]));
    assert_eq!(document["servers"][0]["url"], "/");
    let elsewhere = info.server("https://bank.example", "The bank").document(&[&api], &schemes());
    assert_eq!(elsewhere["servers"][0]["url"], "https://bank.example");
}

#[test]
fn only_the_schemes_that_are_given_are_offered() {
    let (pay, document) = operation_of("post", "/v1/transfers");
    let names: Vec<&String> = document["components"]["securitySchemes"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["basic", "bearer", "session", "sessionCsrf"]);
    let scopes = json!(["transfers:write", "pay"]);
    assert_eq!(pay["security"], json!([{ "bearer": scopes }, { "session": scopes, "sessionCsrf": [] }]));
    let csrf = &pay["parameters"].as_array().unwrap()[1];
    assert_eq!((&csrf["name"], &csrf["in"]), (&json!("X-CSRF-Token"), &json!("header")));
    let read = operation_of("get", "/v1/accounts/{id}/statement").0;
    assert_eq!(read["security"][1], json!({ "session": ["accounts:read"] }));
    assert_eq!(operation_of("post", "/v1/sessions").0["security"], json!([{ "basic": [] }, {}]));
    assert_eq!(
        operation_of("get", "/v1/live").0["security"],
        json!([{ "bearer": [] }, { "session": [] }, {}])
    );
    assert_eq!(operation_of("get", "/v1/news").0["security"], json!([]));
}

#[test]
fn operation_ids_are_unique_and_do_not_change_without_need() {
    let at = |method, path: &str| {
        EndpointDeclaration::new(method, path)
            .access(crate::Access::Public)
            .input(crate::declaration::no_schema())
    };
    use crate::declaration::Method::{Get, Post};
    let apis = [
        Api::new("one").endpoint(at(Get, "/a/{b}")).endpoint(at(Get, "/a/b")).endpoint(at(Post, "/a/{b}")),
        Api::new("two").endpoint(at(Get, "/a-b")).endpoint(at(Get, "/c").operation_id("find")),
        Api::new("three").endpoint(at(Get, "/d").operation_id("find")).endpoint(at(Get, "/e")),
    ];
    let document = described(&apis);
    let id = |method: &str, path: &str| {
        document["paths"][path][method]["operationId"].as_str().unwrap().to_owned()
    };
    assert_eq!(id("get", "/a/{b}"), "get_a_by_b");
    assert_eq!((id("get", "/a-b"), id("get", "/a/b")), ("get_a_b".to_owned(), "get_a_b2".to_owned()));
    assert_eq!((id("post", "/a/{b}"), id("get", "/e")), ("post_a_b".to_owned(), "get_e".to_owned()));
    assert_eq!((id("get", "/c"), id("get", "/d")), ("find".to_owned(), "three.find".to_owned()));
}

/// A document with one operation, changed by a test.
fn foreign(edit: impl FnOnce(&mut Value)) -> Result<Api, String> {
    let mut document = json!({
        "openapi": "3.1.0",
        "info": { "title": "Notes", "version": "1" },
        "servers": [{ "url": "https://notes.example/" }],
        "paths": { "/notes/{id}": {
            "parameters": [{ "$ref": "#/components/parameters/Id" }],
            "patch": {
                "operationId": "changeNote",
                "description": "Changes a note.\n\nAt length.",
                "x-bank-access": { "who": "authenticated", "scopes": ["notes:write"] },
                "x-bank-timeout-ms": 500,
                "requestBody": { "content": { "application/json": {
                    "schema": { "$ref": "#/components/schemas/Change" } } } },
                "responses": {
                    "200": { "$ref": "#/components/responses/Note" },
                    "404": { "description": "gone" },
                    "422": { "description": "no" },
                    "default": { "description": "?" },
                },
            },
        } },
        "components": {
            "parameters": { "Id": { "name": "id", "in": "path", "required": true, "schema": { "type": "integer" } } },
            "schemas": {
                "Change": { "type": "object", "required": ["text"], "properties": { "text": { "$ref": "#/components/schemas/Text" } } },
                "Text": { "type": "string", "maxLength": 9 },
                "Note": { "type": "object", "properties": { "next": { "$ref": "#/components/schemas/Note" } } },
            },
            "responses": { "Note": { "description": "it", "content": {
                "text/plain": { "schema": { "type": "string" } },
                "application/json": { "schema": { "$ref": "#/components/schemas/Note" } },
            } } },
        },
    });
    edit(&mut document);
    Api::from_openapi("notes", &document).map_err(|error| error.to_string())
}

#[test]
fn a_foreign_document_becomes_a_declaration() {
    let api = foreign(|_| {}).unwrap();
    let endpoint = &api.endpoints[0];
    assert_eq!(endpoint.operation(), "PATCH /notes/{id}");
    assert_eq!(
        (endpoint.operation_id.as_deref(), &*endpoint.summary),
        (Some("changeNote"), "Changes a note.")
    );
    assert_eq!((endpoint.timeout_ms, endpoint.status), (500, 200));
    assert_eq!(endpoint.produces, ["application/json", "text/plain"]);
    assert_eq!(endpoint.problems.keys().copied().collect::<Vec<_>>(), [422]);
    let input = endpoint.input.as_value();
    assert_eq!(input["properties"]["id"]["type"], "integer");
    assert_eq!(input["properties"]["text"]["$ref"], "#/$defs/Text");
    assert_eq!(input["$defs"], json!({ "Text": { "type": "string", "maxLength": 9 } }));
    assert_eq!(input["required"], json!(["id", "text"]));
    assert_eq!(endpoint.output.as_value()["$ref"], "#/$defs/Note");
    assert_eq!(endpoint.output.as_value()["$defs"]["Note"]["properties"]["next"]["$ref"], "#/$defs/Note");
    // And its document can be read again.
    let again = described(&[api]);
    assert_same(&described(&[Api::from_openapi("notes", &again).unwrap()]), &again, "");
}

#[test]
fn what_is_missing_or_cannot_be_carried_is_told_with_its_operation() {
    let text = |place: &str| json!({ "name": "x", "in": place, "schema": { "type": "string" } });
    let at = "/paths/~1notes~1{id}/patch";
    type Edit = (&'static str, Value);
    let edits: Vec<(Edit, &str)> = vec![
        (("x-bank-access", Value::Null), "does not say who may call it"),
        (("x-bank-access", json!({ "who": "public", "scopes": ["a"] })), "`x-bank-access`"),
        (("x-bank-acess", json!({ "who": "public" })), "`x-bank-acess` is not known"),
        (("x-bank-idempotency", json!("safe")), "only GET is"),
        (("x-bank-timeout-ms", json!("1s")), "`x-bank-timeout-ms`"),
        (("x-bank-upgrade", json!(true)), ".upgrade()"),
        (("callbacks", json!({})), "`callbacks`"),
        (("servers", json!([])), "`servers`"),
        (("parameters", json!([text("cookie")])), "`x` in `cookie`"),
        (("parameters", json!([text("query")])), "`x` in `query`"),
        (("parameters", json!([text("header")])), "`x` in `header`"),
        (("parameters", json!([{ "name": "text", "in": "path", "schema": {} }])), "are called `text`"),
        (("parameters", json!([{ "name": "id", "in": "path" }])), "has no schema"),
        (
            ("parameters", json!([{ "name": "id", "in": "path", "schema": { "type": "array" } }])),
            "plain value",
        ),
        (
            ("parameters", json!([{ "name": "id", "in": "path", "style": "matrix", "schema": {} }])),
            "plain value",
        ),
        (("requestBody", json!({ "content": { "application/xml": {} } })), "`application/json`"),
        (
            ("requestBody", json!({ "content": { "application/json": { "schema": { "type": "array" } } } })),
            "plain object",
        ),
        (
            ("requestBody", json!({ "content": { "application/json": { "schema": { "oneOf": [] } } } })),
            "plain object",
        ),
        (
            (
                "requestBody",
                json!({ "content": { "application/json": { "schema": { "type": "object", "properties": {
                "x": { "$ref": "other.json#/X" } } } } } }),
            ),
            "another document",
        ),
        (
            (
                "requestBody",
                json!({ "content": { "application/json": { "schema": { "type": "object", "properties": {
                "x": { "$ref": "#/components/schemas/Nothing" } } } } } }),
            ),
            "`Nothing` is not in",
        ),
        (
            (
                "requestBody",
                json!({ "content": { "application/json": { "schema": { "type": "object", "properties": {
                "x": { "$dynamicRef": "#x" } } } } } }),
            ),
            "`$dynamicRef`",
        ),
        (("requestBody", json!({ "$ref": "#/components/bodies/X" })), "leads to nothing"),
        (("responses", json!({})), "no status of success"),
        (("responses", json!({ "200": {}, "201": {} })), "two statuses"),
        (("responses", json!({ "200": {}, "302": {} })), "`302`"),
        (("responses", json!({ "2XX": {} })), "`2XX`"),
        (
            (
                "responses",
                json!({ "200": { "content": { "application/xml": { "schema": { "type": "object" } } } } }),
            ),
            "only JSON",
        ),
    ];
    for ((member, value), wanted) in edits {
        let told = foreign(|document| document.pointer_mut(at).unwrap()[member] = value.clone()).unwrap_err();
        assert!(
            told.contains(wanted) && told.contains("notes PATCH /notes/{id}"),
            "{member} {value}: {told}"
        );
    }
    for (member, value, wanted) in [
        ("openapi", json!("3.0.3"), "only 3.1"),
        ("jsonSchemaDialect", json!("http://json-schema.org/draft-07/schema#"), "2020-12"),
        ("webhooks", json!({ "x": {} }), "`webhooks`"),
        ("servers", json!([{ "url": "https://x.example/v1" }]), "base path"),
        ("servers", json!([{ "url": "/v1" }]), "base path"),
    ] {
        let told = foreign(|document| document[member] = value.clone()).unwrap_err();
        assert!(told.contains(wanted), "{value}: {told}");
    }
    let told = foreign(|document| document["paths"]["/notes/{id}"]["trace"] = json!({})).unwrap_err();
    assert!(told.contains("notes TRACE /notes/{id}"), "{told}");
    let told =
        foreign(|document| document["components"]["parameters"]["Id"]["name"] = json!("no")).unwrap_err();
    assert!(told.contains("names {id}"), "{told}");
}
