//! Edge and services agree on what is declared, and what would not hold is not built.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};

use bank_gateway::{Gateway, Upstream};
use bank_sdk::declaration::Api;
use bank_tests::{Bank, OneKey, Shape, identity_keys, program};
use serde_json::Value;

#[test]
fn a_configuration_that_would_not_hold_is_not_built_and_every_fault_is_named() {
    let upstream = || Upstream::at(["http://127.0.0.1:1"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let error = Gateway::builder()
        .service(identity::api(), upstream().identity_keys(identity_keys()))
        .service(accounts::api(), upstream())
        .route(bank_gateway::Route::all("/x"), upstream().foreign())
        .build()
        .unwrap_err();
    let faults = error.faults().join("\n");
    for wanted in ["POST /v1/sessions: is a login", "identity keys", "/x: does not say who may call it"] {
        assert!(faults.contains(wanted), "no `{wanted}` in:\n{faults}");
    }
    let twice = Gateway::builder()
        .authenticate(OneKey::of([]))
        .service(accounts::api(), upstream().identity_keys(identity_keys()))
        .service(accounts::api().named("other"), upstream().identity_keys(identity_keys()))
        .build()
        .unwrap_err();
    assert!(twice.to_string().contains("/v1/accounts"), "{twice}");
}

fn apis() -> [Api; 5] {
    [accounts::api(), transactions::api(), identity::api(), partners::api(), web::api()]
}

/// What edge and service must both hold to.
const POLICY: [&str; 7] =
    ["service", "access", "idempotency", "limit_class", "timeout_ms", "body_limit", "stream"];

/// The policy of every call, by the declarations.
fn declared() -> BTreeMap<String, Value> {
    let of = |api: Api| {
        let name = api.name;
        api.endpoints.into_iter().map(move |endpoint| {
            let mut policy = serde_json::to_value(&endpoint).unwrap();
            policy["service"] = name.clone().into();
            (endpoint.operation(), policy_of(&policy))
        })
    };
    apis().into_iter().flat_map(of).collect()
}

fn policy_of(all: &Value) -> Value {
    POLICY
        .into_iter()
        .map(|part| (part.to_owned(), all[part].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn the_running_bank_routes_every_declared_call_with_its_policy_and_no_other() {
    let bank = Bank::start(program!(), Shape::One);
    let routes = bank.admin().send(bank_tests::Request::get("/admin/routes")).expect(200);
    let mut routed = BTreeMap::new();
    for route in routes["items"].as_array().unwrap() {
        if route["service"] == "gateway" {
            assert_eq!(
                route["access"]["who"], "public",
                "the gateway's own pages are for everybody: {route}"
            );
            continue;
        }
        let operation = route["operation"].as_str().unwrap().to_owned();
        assert!(routed.insert(operation, policy_of(route)).is_none(), "{route}");
    }
    assert_eq!(routed, declared());
    let public: BTreeSet<_> = declared()
        .into_iter()
        .filter(|(_, policy)| policy["access"]["who"] == "public" && policy["service"] != "web")
        .map(|(operation, _)| operation)
        .collect();
    assert_eq!(
        public,
        ["GET /.well-known/jwks.json", "POST /v1/customers", "POST /v1/sessions/refresh"]
            .map(ToOwned::to_owned)
            .into(),
        "what is open to everybody is on this list on purpose"
    );
}

#[test]
fn every_declaration_stands_by_itself_and_survives_being_written_to_a_file() {
    for api in apis() {
        api.check().unwrap();
        let text = serde_json::to_string(&api).unwrap();
        let read: Api = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&api).unwrap(), "{}", api.name);
        for endpoint in &api.endpoints {
            assert!(!endpoint.summary.is_empty(), "{}: no summary", endpoint.operation());
            let money = [
                "POST /v1/transfers",
                "POST /v1/deposits",
                "POST /v1/withdrawals",
                "POST /v1/holds",
                "POST /v1/holds/{id}/capture",
                "POST /v1/holds/{id}/void",
            ]
            .contains(&&*endpoint.operation());
            assert_eq!(
                endpoint.idempotency == bank_sdk::declaration::Idempotency::Key,
                money,
                "{}",
                endpoint.operation()
            );
        }
    }
}
