//! A key pays once, whatever happens to the answers.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::collections::BTreeSet;

use bank_tests::{Bank, Request, euros, shared_bank};
use serde_json::{Value, json};

fn bank() -> &'static Bank {
    shared_bank!()
}

fn order(from: &str, to: &str, cents: i64) -> Value {
    json!({ "from": from, "to": to, "amount": euros(cents) })
}

#[test]
fn without_a_key_no_money_moves() {
    let (ann, from) = bank().customer_with(10_00);
    let (_bea, to) = bank().customer_with(0);
    assert_eq!(ann.post("/v1/transfers", &order(&from, &to, 1_00)).problem(400), "missing_idempotency_key");
    for key in ["", "\"", "\"\"", "\"a", "a b", "\"ä\"", "a,b", "\"a\\\"b\"", &"x".repeat(129)] {
        let request =
            Request::post("/v1/transfers").header("idempotency-key", key).json(&order(&from, &to, 1_00));
        assert_eq!(ann.send(request).status, 400, "{key:?}");
    }
    let twice = Request::post("/v1/transfers").key("a").key("b").json(&order(&from, &to, 1_00));
    ann.send(twice).problem(400);
    assert_eq!(ann.balance(&from), 10_00);
}

#[test]
fn a_key_is_a_quoted_string_or_a_bare_token() {
    let (ann, from) = bank().customer_with(10_00);
    let (_bea, to) = bank().customer_with(0);
    let send = |key: &str| {
        let request =
            Request::post("/v1/transfers").header("idempotency-key", key).json(&order(&from, &to, 1_00));
        ann.send(request).expect(201)["id"].clone()
    };
    assert_eq!(send("\"one-key\""), send("one-key"), "the same key in both forms");
    assert_eq!(ann.balance(&from), 9_00);
}

#[test]
fn a_replay_answers_byte_for_byte_as_the_first_time() {
    let (ann, from) = bank().customer_with(10_00);
    let (bea, to) = bank().customer_with(0);
    // Completed, rejected for want of money, and rejected for want of an account.
    for (key, body) in [
        ("completed", order(&from, &to, 4_00)),
        ("rejected", order(&from, &to, 50_00)),
        ("nowhere", order(&from, "acc_of_nobody", 1_00)),
    ] {
        let first = ann.post_keyed("/v1/transfers", key, &body);
        assert_eq!(first.status, 201);
        assert_eq!(first.header("idempotency-replayed"), None);
        for _ in 0..3 {
            let again = ann.post_keyed("/v1/transfers", key, &body);
            assert_eq!((again.status, &again.body), (first.status, &first.body), "{key}");
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
            assert_eq!(again.header("content-type"), first.header("content-type"));
        }
    }
    assert_eq!((ann.balance(&from), bea.balance(&to)), (6_00, 4_00));
    assert_eq!(
        ann.post_keyed("/v1/transfers", "rejected", &order(&from, &to, 50_00)).expect(201)["status"],
        "rejected"
    );
    bank().deposit(&from, 100_00);
    let again = ann.post_keyed("/v1/transfers", "rejected", &order(&from, &to, 50_00)).expect(201);
    assert_eq!(again["status"], "rejected", "the key's outcome is final, even when there is money now");
}

#[test]
fn white_space_and_the_order_of_fields_make_no_other_content() {
    let (ann, from) = bank().customer_with(10_00);
    let (_bea, to) = bank().customer_with(0);
    let first = ann.post_keyed("/v1/transfers", "k", &order(&from, &to, 1_00));
    let spaced = format!(
        "{{ \"amount\": {{ \"currency\": \"EUR\", \"amount\": \"1.00\" }},\n \"to\": \"{to}\", \"from\": \"{from}\" }}"
    );
    let request =
        Request::post("/v1/transfers").key("k").header("content-type", "application/json").body(spaced);
    assert_eq!(ann.send(request).body, first.body);
}

#[test]
fn another_content_under_the_same_key_is_refused() {
    let (ann, from) = bank().customer_with(10_00);
    let (bea, to) = bank().customer_with(0);
    ann.post_keyed("/v1/transfers", "k", &order(&from, &to, 1_00)).expect(201);
    let mut other = order(&from, &to, 1_00);
    other["reference"] = json!("x");
    for body in [order(&from, &to, 1_01), order(&from, "acc_of_nobody", 1_00), other] {
        assert_eq!(ann.post_keyed("/v1/transfers", "k", &body).problem(422), "idempotency_key_reused");
    }
    assert_eq!((ann.balance(&from), bea.balance(&to)), (9_00, 1_00));
}

#[test]
fn sixty_four_racers_with_one_key_make_one_transfer() {
    let (ann, from) = bank().customer_with(100_00);
    let (bea, to) = bank().customer_with(0);
    let body = order(&from, &to, 10_00);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..64)
            .map(|_| {
                let (ann, body) = (&ann, &body);
                scope.spawn(move || {
                    loop {
                        let answer = ann.post_keyed("/v1/transfers", "race", body);
                        // Still running: asked again, as the answer says.
                        if answer.status != 409 {
                            return answer;
                        }
                        assert!(answer.header("retry-after").is_some());
                        std::thread::sleep(std::time::Duration::from_millis(200));
                    }
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert!(
        answers.iter().all(|answer| answer.status == 201),
        "{:?}",
        answers.iter().map(|a| a.status).collect::<Vec<_>>()
    );
    let bodies: BTreeSet<_> = answers.iter().map(|answer| &answer.body).collect();
    assert_eq!(bodies.len(), 1, "all are answered alike");
    let firsts = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count();
    assert_eq!(firsts, 1, "one was first");
    assert_eq!((ann.balance(&from), bea.balance(&to)), (90_00, 10_00));
    assert_eq!(ann.all("/v1/transfers").len(), 1);
    assert_eq!(bea.all(&format!("/v1/accounts/{to}/entries")).len(), 1);
}

#[test]
fn the_keys_of_two_customers_do_not_collide() {
    let (ann, anns) = bank().customer_with(10_00);
    let (bea, beas) = bank().customer_with(10_00);
    let one = ann.post_keyed("/v1/transfers", "same", &order(&anns, &beas, 1_00)).expect(201);
    let other = bea.post_keyed("/v1/transfers", "same", &order(&beas, &anns, 3_00)).expect(201);
    assert_ne!(one["id"], other["id"]);
    assert_eq!((ann.balance(&anns), bea.balance(&beas)), (12_00, 8_00));
}

#[test]
fn one_key_for_two_operations_is_two_keys() {
    let (ann, from) = bank().customer_with(10_00);
    let (_bea, to) = bank().customer_with(0);
    ann.post_keyed("/v1/transfers", "same", &order(&from, &to, 1_00)).expect(201);
    let open = Request::post("/v1/accounts").key("same").json(&json!({ "currency": "EUR" }));
    let first = ann.send(open.clone()).expect(201);
    assert_eq!(ann.send(open).expect(201), first, "an account opened with a key is opened once");
    assert_eq!(ann.all("/v1/accounts").len(), 2);
}

#[test]
fn concurrent_spending_never_overdraws() {
    let (ann, from) = bank().customer_with(10_00);
    let (bea, to) = bank().customer_with(0);
    let statuses: Vec<String> = std::thread::scope(|scope| {
        let spenders: Vec<_> = (0..24)
            .map(|_| {
                let (ann, from, to) = (&ann, &from, &to);
                scope.spawn(move || ann.transfer(from, to, 1_00)["status"].as_str().unwrap().to_owned())
            })
            .collect();
        spenders.into_iter().map(|spender| spender.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| *status == "completed").count(), 10, "{statuses:?}");
    assert_eq!((ann.balance(&from), bea.balance(&to)), (0, 10_00));
}
