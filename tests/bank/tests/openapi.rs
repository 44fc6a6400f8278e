//! What the bank's OpenAPI document promises to whoever generates a client from it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;

use bank_sdk::declaration::Api;
use bank_sdk::openapi::{Info, SecurityScheme};
use bank_tests::{Bank, Request, shared_bank};
use serde_json::{Value, json};

fn bank() -> &'static Bank {
    shared_bank!()
}

fn apis() -> [Api; 4] {
    [accounts::api(), transactions::api(), identity::api(), partners::api()]
}

/// The document as the running bank serves it.
fn served() -> Value {
    bank().client().send(Request::get("/openapi.json")).expect(200)
}

/// Every operation with its method and path.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let methods = ["get", "post", "put", "patch", "delete"];
    let of_path = |(path, item): (&String, &'_ Value)| {
        methods
            .into_iter()
            .filter(|method| item.get(method).is_some())
            .map(|method| format!("{method} {path}"))
            .collect::<Vec<_>>()
    };
    let names = paths.iter().flat_map(of_path);
    names
        .map(|name| {
            let (method, path) = name.split_once(' ').unwrap();
            let described = &document["paths"][path][method];
            (name.clone(), described)
        })
        .collect()
}

#[test]
fn the_served_document_has_a_title_page_and_each_tag_a_text() {
    let document = served();
    let info = &document["info"];
    assert_eq!(info["title"], "Reference Bank");
    assert_eq!(info["license"]["identifier"], "MIT OR Apache-2.0");
    let text = info["description"].as_str().unwrap();
    for section in ["Authentication", "Idempotency", "Errors", "Pages", "Limits"] {
        assert!(text.contains(&format!("\n## {section}\n")), "no section {section}");
    }
    assert_eq!(document["servers"][0]["url"], "/");
    for tag in document["tags"].as_array().unwrap() {
        assert!(tag["description"].as_str().is_some_and(|text| text.ends_with('.')), "{tag}");
    }
}

#[test]
fn each_call_has_a_name_that_reads_as_a_function() {
    for (operation, described) in operations(&served()) {
        let id = described["operationId"].as_str().unwrap();
        let is_camel_case = id.starts_with(|c: char| c.is_ascii_lowercase())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        assert!(is_camel_case, "{operation} is called `{id}`; declare a name by .operation_id(…)");
    }
    let name = |operation: &str| {
        let document = served();
        let found = operations(&document).into_iter().find(|(name, _)| name == operation);
        found.unwrap().1["operationId"].clone()
    };
    assert_eq!(name("post /v1/transfers"), "createTransfer");
    assert_eq!(name("get /v1/transfers"), "listTransfers");
}

#[test]
fn each_body_and_each_answer_is_a_schema_with_a_name() {
    let document = served();
    for (operation, described) in operations(&document) {
        let body = described.get("requestBody");
        let responses = described["responses"].as_object().unwrap().values();
        for of in body.into_iter().chain(responses) {
            let Some(schema) = of.pointer("/content/application~1json/schema") else { continue };
            let reference = schema["$ref"].as_str().unwrap_or_else(|| panic!("{operation}: {schema}"));
            assert!(document.pointer(&reference[1..]).is_some(), "{operation}: {reference} leads nowhere");
        }
    }
}

#[test]
fn each_call_that_answers_has_an_example() {
    for (operation, described) in operations(&served()) {
        let responses = described["responses"].as_object().unwrap();
        let (_, success) = responses.iter().find(|(status, _)| status.starts_with('2')).unwrap();
        let Some(content) = success["content"].as_object() else { continue };
        for (media_type, content) in content {
            let has_example = content["examples"].as_object().is_some_and(|examples| !examples.is_empty());
            assert!(has_example, "{operation} has no example of {media_type}; add .example(…)");
        }
    }
}

#[test]
fn each_example_is_what_its_schema_says() {
    let document = served();
    let check = |at: &str, schema: &Value, value: &Value| {
        // The schema with all that it may refer to.
        let mut whole = schema.clone();
        whole["components"] = document["components"].clone();
        let validator = jsonschema::options().build(&whole).unwrap_or_else(|error| panic!("{at}: {error}"));
        let faults: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{at}: {faults:?} in {value}");
    };
    let mut count = 0;
    for (operation, described) in operations(&document) {
        for parameter in described["parameters"].as_array().into_iter().flatten() {
            if let Some(value) = parameter.get("example") {
                check(&format!("{operation} {}", parameter["name"]), &parameter["schema"], value);
            }
        }
        let body = described.get("requestBody");
        let responses = described["responses"].as_object().unwrap().values();
        for content in body.into_iter().chain(responses).filter_map(|of| of.get("content")?.as_object()) {
            for media in content.values() {
                for (name, example) in media["examples"].as_object().into_iter().flatten() {
                    check(&format!("{operation} {name}"), &media["schema"], &example["value"]);
                    count += 1;
                }
            }
        }
    }
    assert!(count > 30, "only {count} examples were looked at");
}

#[test]
fn what_a_service_checks_stands_in_the_schema() {
    let document = served();
    let at = |path: &str| document.pointer(&format!("/components/schemas/{path}")).unwrap().clone();
    assert_eq!(at("NewTransfer/properties/reference/maxLength"), 140);
    assert_eq!(at("NewDeposit/properties/reference/maxLength"), 140);
    assert_eq!(at("NewAccount/properties/name/maxLength"), 50);
    assert_eq!(at("NewCustomer/properties/password/minLength"), 10);
    assert_eq!(at("NewCustomer/properties/username/pattern"), "^[a-z0-9][a-z0-9._-]*$");
    assert_eq!(at("Limit/maximum"), 200);
    // One more than the schema allows is what the bank refuses.
    let (ann, from) = bank().customer_with(1_00);
    let reference = "x".repeat(141);
    let amount = json!({ "amount": "0.01", "currency": "EUR" });
    let body = json!({ "from": from, "to": "acc_x", "amount": amount, "reference": reference });
    assert_eq!(ann.post_keyed("/v1/transfers", "too long", &body).problem(422), "invalid_reference");
}

#[test]
fn only_credentials_that_the_bank_accepts_are_offered() {
    let document = served();
    let schemes: BTreeSet<&str> =
        document["components"]["securitySchemes"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(schemes, BTreeSet::from(["basic", "bearer", "session", "sessionCsrf"]));
    for (operation, described) in operations(&document) {
        let ways = described["security"].as_array().unwrap();
        let with_session = ways.iter().find(|way| way.get("session").is_some());
        let Some(with_session) = with_session else { continue };
        let is_unsafe = !operation.starts_with("get ");
        assert_eq!(with_session.get("sessionCsrf").is_some(), is_unsafe, "{operation}");
        let parameters = described["parameters"].as_array();
        let has_field = parameters.into_iter().flatten().any(|each| each["name"] == "X-CSRF-Token");
        assert_eq!(has_field, is_unsafe, "{operation}");
    }
}

#[test]
fn the_statement_comes_as_a_table_too_and_events_are_described() {
    let document = served();
    let content = |path: &str| document["paths"][path]["get"]["responses"]["200"]["content"].clone();
    assert_eq!(content("/v1/accounts/{id}/statement")["text/csv"]["schema"]["type"], "string");
    let stream = content("/v1/events")["text/event-stream"]["schema"].clone();
    let events = stream.pointer("/contentSchema/items/oneOf").unwrap().as_array().unwrap();
    let described: Vec<(&str, &str)> = events
        .iter()
        .map(|event| {
            let data = event.pointer("/properties/data/contentSchema/$ref").unwrap().as_str().unwrap();
            (event["title"].as_str().unwrap(), data.rsplit('/').next().unwrap())
        })
        .collect();
    assert_eq!(described, [("notification", "Notification"), ("transfer", "TransferChange")]);
}

#[test]
fn a_service_that_is_read_from_the_document_is_the_one_that_was_declared() {
    for api in apis() {
        let schemes = [SecurityScheme::bearer("JWT")];
        let document = Info::new("Bank", "1").document(&[&api], &schemes);
        let read = Api::from_openapi(&api.name, &document).unwrap();
        let again = Info::new("Bank", "1").document(&[&read], &schemes);
        assert_eq!(again["components"]["schemas"], document["components"]["schemas"], "{}", api.name);
        let ids = |document: &Value| {
            operations(document).into_iter().map(|(_, each)| each["operationId"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&again), ids(&document));
    }
}
