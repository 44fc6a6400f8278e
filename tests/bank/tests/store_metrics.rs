//! What the stores were asked is shown at the admin listener, without a value in it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use bank_tests::{Bank, Request, Shape, program, until_ok};

#[test]
fn a_transfer_is_counted_in_the_stores_of_each_part() {
    let bank = Bank::start(program!(), Shape::One);
    let (ann, from) = bank.customer_with(10_00);
    let (_bea, to) = bank.customer_with(0);
    let transfer = ann.transfer(&from, &to, 7_13);
    assert_eq!(transfer["status"], "completed");
    let id = transfer["id"].as_str().unwrap();
    assert_eq!(ann.notifications_of(id).len(), 1);

    let metrics = || bank.admin().send(Request::get("/metrics")).text();
    for labels in [
        r#"store="accounts",role="ledger",call="execute",outcome="ok""#,
        r#"store="accounts",role="outbox",call="events",outcome="ok""#,
        r#"store="transactions",role="items",call="commit",outcome="ok""#,
        r#"store="identity",role="items",call="get",outcome="ok""#,
        r#"store="partners",role="documents",call="write",outcome="ok""#,
    ] {
        let start = format!("bank_store_calls_total{{{labels}}} ");
        until_ok("the call to be counted", || {
            let text = metrics();
            let count = text.lines().find_map(|line| line.strip_prefix(&start)?.parse::<u64>().ok());
            count.filter(|count| *count > 0).ok_or_else(|| format!("no `{start}` in\n{text}"))
        });
    }

    let text = metrics();
    let count = r#"bank_store_call_seconds_count{store="accounts",role="ledger",call="execute"} "#;
    assert!(text.lines().any(|line| line.starts_with(count)), "{text}");
    assert!(text.contains("bank_gateway_requests_total"), "the gateway's own numbers are there too");
    assert_eq!(text.matches("# EOF").count(), 1);
    assert!(text.ends_with("# EOF\n"), "{text}");
    for value in [&*ann.id, &from, &to, id] {
        assert!(!text.contains(value), "{value} stands in\n{text}");
    }
}
