//! What customers are told: data that a page puts into words, and how far they have read.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use bank_tests::{Bank, Customer, Request, euros, shared_bank, until};
use serde_json::{Value, json};

fn bank() -> &'static Bank {
    shared_bank!()
}

/// The first page, once there are so many.
fn inbox(customer: &Customer, count: usize) -> Value {
    until("the notifications", || {
        let inbox = customer.get("/v1/notifications").expect(200);
        (inbox["items"].as_array().unwrap().len() >= count).then_some(inbox)
    })
}

fn read_before(customer: &Customer, id: &Value) -> u16 {
    customer.post("/v1/notifications/read", &json!({ "before": id })).status
}

#[test]
fn a_notification_is_data_and_no_sentence() {
    let (ann, from) = bank().customer_with(10_00);
    let (bea, to) = bank().customer_with(0);
    let sent = ann.transfer(&from, &to, 3_00)["id"].clone();
    let rejected = ann.transfer(&from, &to, 99_00)["id"].clone();
    let inbox_of = |customer: &Customer, count| {
        let mut inbox = inbox(customer, count);
        for item in inbox["items"].as_array_mut().unwrap() {
            let item = item.as_object_mut().unwrap();
            assert!(item.remove("id").unwrap().as_str().unwrap().starts_with("ntf_"));
            assert!(item.remove("at").unwrap().as_str().unwrap().ends_with('Z'));
        }
        inbox
    };
    let other = |account: &str| json!({ "name": "Test Customer", "account": account });
    assert_eq!(
        inbox_of(&ann, 3),
        json!({
            "items": [
                {
                    "kind": "transfer_rejected", "amount": euros(99_00), "counterparty": { "account": to },
                    "account": from, "transfer": rejected, "code": "insufficient_funds", "read": false
                },
                {
                    "kind": "transfer_sent", "amount": euros(3_00), "counterparty": other(&to), "account": from,
                    "transfer": sent, "read": true
                },
                { "kind": "deposit", "amount": euros(10_00), "account": from, "read": false },
            ],
            "next": null,
            "unread": 2
        })
    );
    assert_eq!(
        inbox_of(&bea, 1),
        json!({
            "items": [{
                "kind": "transfer_received", "amount": euros(3_00), "counterparty": other(&from), "account": to,
                "transfer": sent, "read": false
            }],
            "next": null,
            "unread": 1
        })
    );
}

#[test]
fn everything_up_to_one_is_marked_read_at_once_on_all_pages() {
    let (ann, from) = bank().customer_with(10_00);
    let (bea, to) = bank().customer_with(0);
    for cents in 1..=6 {
        ann.transfer(&from, &to, cents);
    }
    let told = inbox(&bea, 6);
    assert_eq!(told["unread"], 6);
    let page = bea.get("/v1/notifications?limit=2").expect(200);
    assert_eq!((page["items"].as_array().unwrap().len(), &page["unread"]), (2, &json!(6)));
    let ids: Vec<Value> = told["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
    for _ in 0..2 {
        assert_eq!(read_before(&bea, &ids[2]), 204);
        assert_eq!(inbox(&bea, 6)["unread"], 2);
    }
    assert_eq!(read_before(&bea, &ids[5]), 204, "an older one takes nothing back");
    let read: Vec<Value> =
        inbox(&bea, 6)["items"].as_array().unwrap().iter().map(|item| item["read"].clone()).collect();
    assert_eq!(json!(read), json!([false, false, true, true, true, true]));
    assert_eq!(read_before(&ann, &ids[0]), 404, "it is not hers");
    assert_eq!(read_before(&bea, &json!("ntf_of_nobody")), 404);
    assert_eq!(bea.post("/v1/notifications/read", &json!({})).problem(400), "invalid_input");
    assert_eq!(read_before(&bea, &ids[0]), 204);
    assert_eq!(inbox(&bea, 6)["unread"], 0);
    ann.transfer(&from, &to, 7);
    let later = inbox(&bea, 7);
    assert_eq!((&later["unread"], &later["items"][0]["read"]), (&json!(1), &json!(false)));
}

#[test]
fn the_stream_carries_the_same_data_and_a_ping_that_a_page_can_see() {
    let (ann, from) = bank().customer_with(10_00);
    let (bea, to) = bank().customer_with(0);
    let mut events = bea.client.events(Request::get("/v1/events").bearer(&bea.access_token));
    let ping = events.next_event().unwrap();
    assert_eq!((&*ping.name, &*ping.data, ping.id), ("ping", "{}", None), "at once");
    let transfer = ann.transfer(&from, &to, 1_00)["id"].clone();
    let event = events
        .find("the notification", |event, data| event.name == "notification" && data["transfer"] == transfer);
    let told: Value = serde_json::from_str(&event.data).unwrap();
    assert_eq!(told, inbox(&bea, 1)["items"][0]);
    let started = tokio::time::Instant::now();
    events.find("a ping", |event, _| event.name == "ping");
    assert!(started.elapsed() < std::time::Duration::from_secs(15), "{:?}", started.elapsed());
}
