//! S19: what is another customer's answers exactly as what does not exist.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use bank_tests::{Bank, Customer, Request, Response, euros, shared_bank};
use serde_json::{Value, json};

fn bank() -> &'static Bank {
    shared_bank!()
}

/// The whole answer, but for what differs from request to request.
fn shape(answer: &Response) -> (u16, Value, Vec<String>) {
    let mut document = answer.json();
    document["instance"] = Value::Null;
    let varies = ["x-request-id", "ratelimit", "date"];
    let headers = answer.headers.iter().filter(|(name, _)| !varies.contains(&&**name));
    (answer.status, document, headers.map(|(name, value)| format!("{name}: {value}")).collect())
}

#[track_caller]
fn same(customer: &Customer, theirs: Request, missing: Request) {
    let (theirs, missing) = (customer.send(theirs), customer.send(missing));
    assert_eq!(theirs.problem(404), "not_found");
    assert_eq!(shape(&theirs), shape(&missing));
}

#[test]
fn another_customer_s_account_is_as_one_that_does_not_exist() {
    let (ann, account) = bank().customer_with(10_00);
    let bea = bank().customer();
    let missing = format!("acc_{}", "0".repeat(account.len() - 4));
    for call in ["", "/balance", "/entries"] {
        same(
            &bea,
            Request::get(format!("/v1/accounts/{account}{call}")),
            Request::get(format!("/v1/accounts/{missing}{call}")),
        );
        ann.get(&format!("/v1/accounts/{account}{call}")).expect(200);
    }
    same(
        &bea,
        Request::get(format!("/v1/transfers?account={account}")),
        Request::get(format!("/v1/transfers?account={missing}")),
    );
}

#[test]
fn another_customer_s_account_cannot_pay() {
    let (ann, account) = bank().customer_with(10_00);
    let (bea, own) = bank().customer_with(0);
    let missing = format!("acc_{}", "0".repeat(account.len() - 4));
    let pay = |from: &str, key: &str| {
        Request::post("/v1/transfers")
            .key(key)
            .json(&json!({ "from": from, "to": own, "amount": euros(1_00) }))
    };
    same(&bea, pay(&account, "a"), pay(&missing, "b"));
    // The same key again: still nothing, and no trace of the account.
    let (theirs, none) = (bea.send(pay(&account, "a")), bea.send(pay(&missing, "b")));
    assert_eq!((theirs.status, shape(&theirs)), (404, shape(&none)));
    assert_eq!((ann.balance(&account), bea.balance(&own)), (10_00, 0));
    assert!(bea.all("/v1/transfers").is_empty());
    assert!(ann.all("/v1/transfers").is_empty());
}

#[test]
fn a_transfer_is_seen_by_its_two_sides_only() {
    let (ann, from) = bank().customer_with(10_00);
    let (bea, to) = bank().customer_with(0);
    let cat = bank().customer();
    let id = ann.transfer(&from, &to, 1_00)["id"].as_str().unwrap().to_owned();
    let missing = format!("trf_{}", "0".repeat(id.len() - 4));
    ann.get(&format!("/v1/transfers/{id}")).expect(200);
    bea.get(&format!("/v1/transfers/{id}")).expect(200);
    for stranger in [&cat, &bank().staff("teller"), &bank().staff("auditor")] {
        same(
            stranger,
            Request::get(format!("/v1/transfers/{id}")),
            Request::get(format!("/v1/transfers/{missing}")),
        );
    }
    assert!(cat.all("/v1/transfers").is_empty());
}

#[test]
fn a_rejected_transfer_is_its_sender_s_only() {
    let (ann, from) = bank().customer_with(1_00);
    let (bea, to) = bank().customer_with(0);
    let id = ann.transfer(&from, &to, 5_00)["id"].as_str().unwrap().to_owned();
    ann.get(&format!("/v1/transfers/{id}")).expect(200);
    bea.get(&format!("/v1/transfers/{id}")).problem(404);
    assert!(bea.all("/v1/transfers").is_empty(), "nobody learns who tried to pay and could not");
}

#[test]
fn a_notification_is_its_customer_s_only() {
    let (ann, from) = bank().customer_with(10_00);
    let (bea, to) = bank().customer_with(0);
    let transfer = ann.transfer(&from, &to, 1_00)["id"].as_str().unwrap().to_owned();
    let id = bea.notifications_of(&transfer)[0]["id"].as_str().unwrap().to_owned();
    let missing = format!("ntf_{}", "0".repeat(id.len() - 4));
    let read = |id: &str| Request::post(format!("/v1/notifications/{id}/read"));
    let read_before = |id: &str| Request::post("/v1/notifications/read").json(&json!({ "before": id }));
    same(&ann, read(&id), read(&missing));
    same(&ann, read_before(&id), read_before(&missing));
    assert_eq!(bea.notifications_of(&transfer)[0]["read"], false);
}

#[test]
fn the_demo_staff_own_nothing_of_customers() {
    let (_ann, account) = bank().customer_with(10_00);
    for name in ["teller", "auditor", "operator"] {
        bank().staff(name).get(&format!("/v1/accounts/{account}")).problem(404);
        bank().staff(name).get(&format!("/v1/accounts/{account}/entries")).problem(404);
    }
}
