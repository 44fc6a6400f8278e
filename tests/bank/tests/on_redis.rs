//! What gateways share through Redis, and the bank without it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::time::Duration;

use bank_tests::{Bank, Client, Customer, Part, Redis, Request, Shape, program, until};
use tokio::time::Instant;

/// Five parts and two gateways, which together let each customer look twelve times an hour whom to pay.
fn bank(redis: &Redis) -> Bank {
    let url = redis.url();
    let shared = format!(
        "[shared]\ncache = \"{url}\"\nlimits = \"{url}\"\ngateways = 2\n[edge.limits]\n\
         lookup = {{ per_hour = 12, burst = 12 }}\nregistration = {{ per_second = 1000 }}\n"
    );
    Bank::start_configured(program!(), Shape::Five, &["--demo"], &shared)
}

fn both(bank: &Bank) -> [Client; 2] {
    [bank.client_of(Part::Gateway), bank.client_of(Part::SecondGateway)]
}

/// How many of so many questions pass that are counted in the class `lookup`.
fn passed(client: &Client, customer: &Customer, of: usize) -> usize {
    let ask = || client.send(Request::get("/v1/payees?username=nobody").bearer(&customer.access_token));
    (0..of).filter(|_| ask().status != 429).count()
}

#[test]
fn what_gateways_share_is_shared_and_without_redis_the_bank_goes_on() {
    let Some(mut redis) = Redis::start("gateways that share Redis") else { return };
    let bank = bank(&redis);
    let [here, there] = both(&bank);

    // A quota is one for both, whoever is asked.
    let ann = Customer::register(&here);
    assert_eq!([passed(&here, &ann, 7), passed(&there, &ann, 12), passed(&here, &ann, 3)], [7, 5, 0]);

    ends_at_both(&here, &there);

    // Without Redis: each counts its half, sessions end within a second, and nothing else is missed.
    redis.kill();
    let bea = Customer::register(&here);
    assert_eq!([passed(&here, &bea, 12), passed(&there, &bea, 12)], [6, 6]);
    ends_at_both(&here, &there);
    let account = bea.at(there.clone()).open_account("EUR");
    assert_eq!(bea.balance(&account), 0);

    // And together again, when it is back.
    redis.restart();
    until("both to count together again", || {
        let cid = Customer::register(&here);
        ([passed(&here, &cid, 7), passed(&there, &cid, 12)] == [7, 5]).then_some(())
    });
    ends_at_both(&here, &there);
}

/// How many of five wrong passwords at each gateway are tried, each from an address of its own, and the most that a user may fail at
/// gateways that count together: eight, and one more every eight seconds.
fn wrong(bank: &Bank, username: &str) -> (u64, u64) {
    let body = serde_json::json!({ "username": username, "password": "a wrong password" });
    let (start, mut tried) = (Instant::now(), 0);
    for part in [[Part::Gateway; 5], [Part::SecondGateway; 5]].as_flattened() {
        let answer = bank.client_of(*part).send(Request::post("/v1/sessions").json(&body));
        tried += u64::from(answer.status == 401);
    }
    (tried, 8 + start.elapsed().as_secs() / 8)
}

#[test]
fn wrong_passwords_at_both_gateways_add_up_and_without_redis_each_counts_its_own() {
    let Some(mut redis) = Redis::start("failed logins at two gateways") else { return };
    let bank = bank(&redis);
    let here = bank.client_of(Part::Gateway);
    let ann = Customer::register(&here);
    let (tried, most) = wrong(&bank, &ann.username);
    assert!((5..=most).contains(&tried), "{tried} of {most}");
    // Where she has signed in before, she does not wait for it.
    let body = serde_json::json!({ "username": ann.username, "password": ann.password });
    let _ = here.send(Request::post("/v1/sessions").json(&body)).expect(201);

    redis.kill();
    assert_eq!(wrong(&bank, "nobody").0, 10, "five at each gateway");

    redis.restart();
    let mut number = 0;
    until("both to count together again", || {
        number += 1;
        let (tried, most) = wrong(&bank, &format!("nobody{number}"));
        (tried <= most && most < 10).then_some(())
    });
}

/// A session that ends at one gateway is refused at the other within a second.
fn ends_at_both(here: &Client, there: &Client) {
    let ann = Customer::register(here);
    let me = || Request::get("/v1/me").bearer(&ann.access_token);
    there.send(me()).expect(200);
    here.send(Request::delete("/v1/sessions/current").bearer(&ann.access_token));
    let (start, mut last) = (Instant::now(), Duration::ZERO);
    until("the other gateway to refuse", || {
        let sent = start.elapsed();
        if there.send(me()).status == 401 {
            return Some(());
        }
        last = sent;
        None
    });
    assert!(last < Duration::from_secs(1), "a second was promised: {last:?}");
}

#[test]
fn the_end_of_a_session_is_heard_of_at_the_other_gateway_at_once() {
    let Some(redis) = Redis::start("messages between gateways") else { return };
    let bank = bank(&redis);
    let [here, there] = both(&bank);
    let mut late: Vec<(Duration, Duration)> = (0..15)
        .map(|_| {
            let ann = Customer::register(&here);
            let me = || Request::get("/v1/me").bearer(&ann.access_token);
            there.send(me()).expect(200);
            here.send(Request::delete("/v1/sessions/current").bearer(&ann.access_token));
            let start = Instant::now();
            let (mut last, mut answer) = (Duration::ZERO, Duration::ZERO);
            until("the other gateway to refuse", || {
                let sent = start.elapsed();
                let status = there.send(me()).status;
                answer = answer.max(start.elapsed() - sent);
                if status == 401 {
                    return Some(());
                }
                last = sent;
                None
            });
            (last, answer)
        })
        .collect();
    late.sort();
    // Without messages it is up to a second, by chance half of one. A busy machine takes longer for each answer, too.
    let (last, answer) = late[7];
    assert!(last < Duration::from_millis(50) + answer * 2, "{late:?}");
}
