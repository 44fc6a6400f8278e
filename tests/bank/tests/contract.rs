//! Every call of the bank's contract, as a client sees it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::collections::BTreeSet;
use std::time::Duration;

use bank_tests::{Bank, Client, Customer, Request, cents, euros, shared_bank, until};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

fn bank() -> &'static Bank {
    shared_bank!()
}

/// Registers somebody under this name.
fn register(client: &Client, username: &str) -> bank_tests::Response {
    let body = json!({
        "username": username, "password": "a long password", "name": "Zoë Test", "email": "zoe@bank.example"
    });
    client.send_patiently(&Request::post("/v1/customers").json(&body))
}

#[test]
fn registering_makes_a_customer_once() {
    let client = bank().client();
    let name = format!("zoe{}", std::process::id());
    let made = register(&client, &name).expect(201);
    assert!(made["id"].as_str().unwrap().starts_with("cus_"), "{made}");
    assert_eq!((made["username"].as_str(), made["name"].as_str()), (Some(&*name), Some("Zoë Test")));
    assert!(!made.to_string().contains("password"));
    assert_eq!(register(&client, &name).problem(409), "username_taken");
}

#[test]
fn what_is_wrong_with_a_registration_is_named_by_its_field() {
    let client = bank().client();
    let body = json!({ "username": "A", "password": "short", "name": "", "email": "x" });
    let refused = client.send_patiently(&Request::post("/v1/customers").json(&body));
    assert!(refused.problem(refused.status).starts_with("invalid"), "{}", refused.text());
    assert!((400..=422).contains(&refused.status));
    let errors = refused.json()["errors"].clone();
    let fields: BTreeSet<_> =
        errors.as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, BTreeSet::from(["username", "password", "name", "email"]));
    assert!(!refused.text().contains("short"), "no value is repeated");
}

#[test]
fn signing_in_by_json_or_basic_opens_a_session() {
    let customer = bank().customer();
    let pair = STANDARD.encode(format!("{}:{}", customer.username, customer.password));
    let basic = Request::post("/v1/sessions").header("authorization", format!("Basic {pair}"));
    let json = Request::post("/v1/sessions")
        .json(&json!({ "username": customer.username, "password": customer.password }));
    for request in [basic, json] {
        let answer = customer.client.send_patiently(&request);
        let cookie = answer.header("set-cookie").unwrap().to_owned();
        let tokens = answer.clone().expect(201);
        for name in ["access_token", "refresh_token", "csrf_token"] {
            assert!(tokens[name].as_str().is_some_and(|token| token.len() > 20), "{name}");
        }
        assert_eq!(tokens["token_type"], "Bearer");
        assert!(tokens["expires_in"].as_u64().unwrap() > 0);
        // Without TLS, on this machine; `sessions` has the other one.
        assert!(cookie.starts_with("bank-session="), "{cookie}");
        for attribute in ["Path=/", "HttpOnly", "SameSite=Strict"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert!(!cookie.contains("Domain") && !cookie.contains("Secure"), "{cookie}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn an_access_token_is_an_rfc_9068_token_whose_key_is_public() {
    let customer = bank().customer();
    let keys = customer.client.send(Request::get("/.well-known/jwks.json")).expect(200);
    let header = customer.access_token.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!(header["typ"], "at+jwt");
    assert!(["ES256", "EdDSA"].contains(&header["alg"].as_str().unwrap()));
    let keys = keys["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).unwrap();
    assert_eq!(key.get("d"), None, "the private half stays private");
}

#[test]
fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let customer = bank().customer();
    let login = |username: &str| {
        let body = json!({ "username": username, "password": "a wrong password" });
        customer.client.send_patiently(&Request::post("/v1/sessions").json(&body))
    };
    let (wrong, unknown) = (login(&customer.username), login("nobody-of-this-name"));
    assert_eq!(
        (wrong.problem(401), unknown.problem(401)),
        ("invalid_credentials".to_owned(), "invalid_credentials".to_owned())
    );
    assert_eq!(wrong.json()["detail"], unknown.json()["detail"]);
    assert_eq!(wrong.header("www-authenticate"), unknown.header("www-authenticate"));
}

#[test]
fn repeated_failures_make_an_account_wait() {
    let customer = bank().customer();
    let body = json!({ "username": customer.username, "password": "a wrong password" });
    let refused = until("the throttle", || {
        let answer = bank().client().send(Request::post("/v1/sessions").json(&body));
        (answer.status == 429).then_some(answer)
    });
    refused.problem(429);
    assert!(refused.header("retry-after").is_some());
}

#[test]
fn a_token_that_was_tampered_with_is_refused() {
    let customer = bank().customer();
    let parts: Vec<&str> = customer.access_token.split('.').collect();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let decode =
        |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let header = |name: &str, value: Value| {
        let mut header = decode(parts[0]);
        header[name] = value;
        encode(&header)
    };
    let mut claims = decode(parts[1]);
    claims["sub"] = json!("cus_somebody_else");
    for token in [
        format!("{}.{}.{}", parts[0], encode(&claims), parts[2]),
        format!("{}.{}.", header("alg", json!("none")), parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.{}", header("alg", json!("HS256")), parts[1], parts[2]),
        format!("{}.{}.{}", header("typ", json!("JWT")), parts[1], parts[2]),
        format!("{}.{}.{}", header("kid", json!("unknown")), parts[1], parts[2]),
        format!("{}.{}.{}=", parts[0], parts[1], parts[2]),
        format!("{}.{}", customer.access_token, "x"),
        customer.refresh_token.clone(),
        String::from("x"),
        "a".repeat(9_000),
    ] {
        let answer = customer.client.send(Request::get("/v1/me").bearer(&token));
        assert_eq!(answer.problem(401), "invalid_token", "{token}");
        assert!(answer.header("www-authenticate").is_some());
    }
}

#[test]
fn refreshing_gives_new_tokens() {
    let customer = bank().customer();
    let body = json!({ "refresh_token": customer.refresh_token });
    let tokens =
        customer.client.send_patiently(&Request::post("/v1/sessions/refresh").json(&body)).expect(200);
    assert_ne!(tokens["refresh_token"], customer.refresh_token);
    let token = tokens["access_token"].as_str().unwrap();
    customer.client.send(Request::get("/v1/me").bearer(token)).expect(200);
}

#[test]
fn a_refresh_token_used_twice_ends_the_whole_session() {
    let customer = bank().customer();
    let refresh = |token: &str| {
        let body = json!({ "refresh_token": token });
        customer.client.send_patiently(&Request::post("/v1/sessions/refresh").json(&body))
    };
    let tokens = refresh(&customer.refresh_token).expect(200);
    refresh(&customer.refresh_token).problem(401);
    refresh(tokens["refresh_token"].as_str().unwrap()).problem(401);
    for token in [&*customer.access_token, tokens["access_token"].as_str().unwrap()] {
        until_refused(&customer, token);
    }
    refresh("made up").problem(401);
}

/// At once where the session ended; within a second at another gateway.
fn until_refused(customer: &Customer, token: &str) {
    let (start, mut last) = (tokio::time::Instant::now(), Duration::ZERO);
    until("the token to be refused", || {
        // When the last one was sent that was still let in: a slow machine makes this no later.
        let sent = start.elapsed();
        if customer.client.send(Request::get("/v1/me").bearer(token)).status == 401 {
            return Some(());
        }
        last = sent;
        None
    });
    assert!(last < Duration::from_secs(1), "a second was promised: {last:?}");
}

#[test]
fn signing_out_ends_tokens_and_cookie_at_once() {
    let customer = bank().customer();
    // One server, which has seen the session alive just before.
    let client = Client::new(vec![customer.client.address()]);
    let bearer = || client.send(Request::get("/v1/me").bearer(&customer.access_token));
    let cookie = || client.send(Request::get("/v1/me").header("cookie", &*customer.cookie));
    bearer().expect(200);
    cookie().expect(200);
    let out = client.send(Request::delete("/v1/sessions/current").bearer(&customer.access_token));
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")));
    if module_path!().starts_with("five_processes") {
        until_refused(&customer, &customer.access_token);
    }
    bearer().problem(401);
    cookie().problem(401);
    let body = json!({ "refresh_token": customer.refresh_token });
    client.send_patiently(&Request::post("/v1/sessions/refresh").json(&body)).problem(401);
}

#[test]
fn with_a_cookie_unsafe_methods_need_the_csrf_token() {
    let customer = bank().customer();
    let open = || {
        Request::post("/v1/accounts").header("cookie", &*customer.cookie).json(&json!({ "currency": "EUR" }))
    };
    assert_eq!(customer.client.send(open()).problem(403), "csrf_token");
    assert_eq!(customer.client.send(open().header("x-csrf-token", "wrong")).problem(403), "csrf_token");
    customer.client.send(open().header("x-csrf-token", &*customer.csrf_token)).expect(201);
    customer.client.send(Request::get("/v1/accounts").header("cookie", &*customer.cookie)).expect(200);
    let other = bank().customer();
    assert_eq!(
        customer.client.send(open().header("x-csrf-token", &*other.csrf_token)).problem(403),
        "csrf_token"
    );
}

#[test]
fn two_credentials_are_refused() {
    let customer = bank().customer();
    let both = Request::get("/v1/me").bearer(&customer.access_token).header("cookie", &*customer.cookie);
    assert_eq!(customer.client.send(both).problem(400), "two_credentials");
}

#[test]
fn me_tells_who_one_is() {
    let customer = bank().customer();
    let me = customer.get("/v1/me").expect(200);
    assert_eq!((&me["id"], &me["username"]), (&json!(customer.id), &json!(customer.username)));
    assert_eq!(me["email"], "test@bank.example");
    assert_eq!(bank().staff("teller").get("/v1/me").expect(200)["roles"], json!(["teller"]));
    customer.client.send(Request::get("/v1/me")).problem(401);
}

#[test]
fn an_account_is_opened_empty_and_found_again() {
    let customer = bank().customer();
    let account =
        customer.post("/v1/accounts", &json!({ "currency": "EUR", "name": "Everyday" })).expect(201);
    let id = account["id"].as_str().unwrap();
    assert!(id.starts_with("acc_"));
    assert_eq!(account["balance"], euros(0));
    assert_eq!(account["available"], euros(0));
    assert_eq!(
        (&account["currency"], &account["name"], &account["status"]),
        (&json!("EUR"), &json!("Everyday"), &json!("open"))
    );
    assert_eq!(customer.get(&format!("/v1/accounts/{id}")).expect(200), account);
    assert_eq!(customer.all("/v1/accounts"), std::slice::from_ref(&account));
    let balance = customer.get(&format!("/v1/accounts/{id}/balance")).expect(200);
    assert_eq!((&balance["balance"], &balance["account"]), (&euros(0), &json!(id)));
    let yen = customer.open_account("JPY");
    assert_eq!(
        customer.get(&format!("/v1/accounts/{yen}")).expect(200)["balance"],
        json!({ "amount": "0", "currency": "JPY" })
    );
    customer.post("/v1/accounts", &json!({ "currency": "XYZ" })).problem(400);
}

#[test]
fn lists_come_in_pages() {
    let customer = bank().customer();
    let opened: Vec<String> = (0..5).map(|_| customer.open_account("EUR")).collect();
    let (mut seen, mut target) = (Vec::new(), "/v1/accounts?limit=2".to_owned());
    loop {
        let page = customer.get(&target).expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => target = format!("/v1/accounts?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, opened);
    for bad in ["limit=0", "limit=201", "limit=x", "after=nonsense", "unknown=1", "limit=1&limit=2"] {
        customer.get(&format!("/v1/accounts?{bad}")).problem(400);
    }
}

#[test]
fn only_a_teller_pays_cash_in() {
    let (customer, account) = bank().customer_with(0);
    let body = json!({ "account": account, "amount": euros(12_34), "reference": "counter 7" });
    assert_eq!(customer.post_keyed("/v1/deposits", "d", &body).problem(403), "forbidden");
    assert_eq!(bank().staff("auditor").post_keyed("/v1/deposits", "d", &body).problem(403), "forbidden");
    let teller = bank().staff("teller");
    let key = format!("deposit for {account}");
    let deposit = teller.post_keyed("/v1/deposits", &key, &body);
    let again = teller.post_keyed("/v1/deposits", &key, &body);
    assert_eq!((deposit.status, &deposit.body), (again.status, &again.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let deposit = deposit.expect(201);
    assert_eq!((&deposit["amount"], &deposit["account"]), (&euros(12_34), &json!(account)));
    assert_eq!(customer.balance(&account), 12_34);
    let entries = customer.all(&format!("/v1/accounts/{account}/entries"));
    assert_eq!(entries.len(), 1);
    assert_eq!((&entries[0]["amount"], &entries[0]["balance_after"]), (&euros(12_34), &euros(12_34)));
    assert_eq!(entries[0]["reference"], "counter 7");
    teller.post("/v1/deposits", &body).problem(400);
    for (n, (amount, status)) in [
        (euros(0), 422),
        (euros(-5), 422),
        (json!({ "amount": "1.00", "currency": "USD" }), 422),
        (json!({ "amount": "1.001", "currency": "EUR" }), 400),
        (json!({ "amount": 1, "currency": "EUR" }), 400),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({ "account": account, "amount": amount });
        teller.post_keyed("/v1/deposits", &format!("{n} {account}"), &body).problem(status);
    }
    let nowhere = json!({ "account": "acc_of_nobody", "amount": euros(1) });
    teller.post_keyed("/v1/deposits", "nowhere", &nowhere).problem(404);
    assert_eq!(customer.balance(&account), 12_34);
}

#[test]
fn only_an_auditor_reads_the_trial_balance_which_is_zero() {
    let (customer, account) = bank().customer_with(5_00);
    customer.get("/v1/ledger/trial-balance").problem(403);
    bank().staff("teller").get("/v1/ledger/trial-balance").problem(403);
    let trial = bank().staff("auditor").get("/v1/ledger/trial-balance").expect(200);
    assert_eq!(trial["balanced"], true);
    let euros =
        trial["currencies"].as_array().unwrap().iter().find(|total| total["currency"] == "EUR").unwrap();
    assert_eq!(euros["total"], "0.00");
    assert_eq!(customer.balance(&account), 5_00);
    // The chain takes in what was booked, a moment later.
    let chain = until("the chain to take it in", || {
        let trial = bank().staff("auditor").get("/v1/ledger/trial-balance").expect(200);
        let chained = trial["chain"]["sequence"].as_u64().unwrap();
        (chained > 0 && trial["sequence"].as_u64().unwrap() >= chained).then(|| trial["chain"].clone())
    });
    assert_eq!(chain["hash"].as_str().unwrap().len(), 64, "{chain}");
}

#[test]
fn a_hold_keeps_money_until_it_is_captured_or_voided() {
    let (ann, from) = bank().customer_with(100_00);
    let (bea, to) = bank().customer_with(0);
    let body = json!({ "account": from, "amount": euros(70_00), "expires_in": 3600 });
    ann.post("/v1/holds", &body).problem(400);
    let hold = ann.post_keyed("/v1/holds", "hotel", &body).expect(201);
    let id = hold["id"].as_str().unwrap();
    assert!(id.starts_with("hld_"), "{hold}");
    assert_eq!((&hold["status"], &hold["remaining"]), (&json!("open"), &euros(70_00)));
    assert_eq!(ann.get(&format!("/v1/accounts/{from}")).expect(200)["available"], euros(30_00));
    let again = ann.post_keyed("/v1/holds", "hotel", &body);
    assert_eq!((again.header("idempotency-replayed"), again.json()), (Some("true"), hold.clone()));
    let more = json!({ "account": from, "amount": euros(30_01) });
    assert_eq!(ann.post_keyed("/v1/holds", "more", &more).problem(422), "insufficient_funds");
    let (capture, void) = (format!("/v1/holds/{id}/capture"), format!("/v1/holds/{id}/void"));
    let part = json!({ "amount": euros(25_00), "to": to });
    let answer = ann.post_keyed(&capture, "part", &part);
    let captured = answer.json();
    assert_eq!(answer.status, 201, "{captured}");
    assert_eq!((&captured["amount"], &captured["hold"]["remaining"]), (&euros(25_00), &euros(45_00)));
    assert_eq!(ann.post_keyed(&capture, "part", &part).text(), answer.text(), "byte for byte");
    bea.get(&format!("/v1/holds/{id}")).problem(404);
    bea.post_keyed(&void, "v", &json!({})).problem(404);
    let voided = ann.send(Request::post(&*void).key("v")).expect(200);
    assert_eq!((&voided["status"], &voided["captured"]), (&json!("voided"), &euros(25_00)));
    assert_eq!(ann.post_keyed(&capture, "late", &json!({ "to": to })).problem(422), "hold_ended");
    assert_eq!((ann.balance(&from), bea.balance(&to)), (75_00, 25_00));
}

#[test]
fn racers_with_captures_and_a_void_end_a_hold_once() {
    let (ann, from) = bank().customer_with(100_00);
    let (bea, to) = bank().customer_with(0);
    let body = json!({ "account": from, "amount": euros(40_00) });
    let id = ann.post_keyed("/v1/holds", "h", &body).expect(201)["id"].as_str().unwrap().to_owned();
    let outcomes: Vec<u16> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8)
            .map(|n| {
                let (ann, id, to) = (&ann, &id, &to);
                scope.spawn(move || match n % 2 {
                    0 => {
                        ann.post_keyed(
                            &format!("/v1/holds/{id}/capture"),
                            &format!("c{n}"),
                            &json!({ "to": to }),
                        )
                        .status
                    }
                    _ => ann.send(Request::post(format!("/v1/holds/{id}/void")).key(&format!("v{n}"))).status,
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let captures = outcomes.iter().filter(|status| **status == 201).count();
    let voids = outcomes.iter().filter(|status| **status == 200).count();
    // A void may be repeated; a capture to the end happens once, and then no void.
    assert!((captures, voids) == (1, 0) || (captures == 0 && voids == 4), "{outcomes:?}");
    assert_eq!(ann.balance(&from) + bea.balance(&to), 100_00);
    assert_eq!(bea.balance(&to), if captures == 1 { 40_00 } else { 0 });
}

#[test]
fn the_past_of_an_account_is_told_exactly() {
    let (ann, account) = bank().customer_with(10_00);
    let opened = ann.all(&format!("/v1/accounts/{account}/entries"))[0]["at"].as_str().unwrap().to_owned();
    let (_, other) = bank().customer_with(0);
    ann.transfer(&account, &other, 4_00);
    let path = format!("/v1/accounts/{account}");
    let then = ann.get(&format!("{path}/balance?at={opened}")).expect(200);
    assert_eq!((&then["balance"], &then["at"], then.get("available")), (&euros(10_00), &json!(opened), None));
    assert_eq!(ann.get(&format!("{path}/balance?at=2001-01-01T00:00:00Z")).expect(200)["balance"], euros(0));
    assert_eq!(ann.get(&format!("{path}/balance?at=2999-01-01T00:00:00Z")).problem(422), "invalid_time");
    ann.get(&format!("{path}/balance?at=yesterday")).problem(400);
    let statement = ann.get(&format!("{path}/statement?from={opened}&limit=1")).expect(200);
    assert_eq!((&statement["opening"], &statement["closing"]), (&euros(0), &euros(6_00)));
    let next = statement["next"].as_str().unwrap();
    let to = statement["to"].as_str().unwrap();
    let rest = ann.get(&format!("{path}/statement?from={opened}&to={to}&after={next}")).expect(200);
    // Who names no end reads on to where it was.
    let same = ann.get(&format!("{path}/statement?from={opened}&after={next}")).expect(200);
    assert_eq!(same, rest);
    ann.get(&format!("{path}/statement?from={opened}&to={opened}&after={next}")).problem(400);
    let items = [&statement["items"][0], &rest["items"][0]];
    assert_eq!(items.map(|item| item["amount"].clone()), [euros(10_00), euros(-4_00)]);
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (1, &json!(null)));
    let table =
        ann.send(Request::get(format!("{path}/statement?from={opened}")).header("accept", "text/csv"));
    assert!(table.header("content-type").unwrap().starts_with("text/csv"), "{}", table.text());
    assert_eq!(table.text().lines().count(), 5, "{}", table.text());
}

#[test]
fn a_transfer_moves_money_to_the_other_side() {
    let (ann, from) = bank().customer_with(100_00);
    let (bea, to) = bank().customer_with(0);
    let body = json!({ "from": from, "to": to, "amount": euros(25_50), "reference": "rent für März" });
    let transfer = ann.post_keyed("/v1/transfers", "rent", &body).expect(201);
    assert!(transfer["id"].as_str().unwrap().starts_with("trf_"));
    assert_eq!(transfer["status"], "completed");
    for name in ["from", "to", "amount", "reference"] {
        assert_eq!(transfer[name], body[name], "{name}");
    }
    assert!(transfer["created_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!((ann.balance(&from), bea.balance(&to)), (74_50, 25_50));
    let entries = bea.all(&format!("/v1/accounts/{to}/entries"));
    assert_eq!((&entries[0]["amount"], &entries[0]["reference"]), (&euros(25_50), &json!("rent für März")));
    let entries = ann.all(&format!("/v1/accounts/{from}/entries"));
    assert_eq!((&entries[0]["amount"], &entries[0]["balance_after"]), (&euros(-25_50), &euros(74_50)));
    let id = transfer["id"].as_str().unwrap();
    for (side, account, direction) in [(&ann, &from, "out"), (&bea, &to, "in")] {
        assert_eq!(side.get(&format!("/v1/transfers/{id}")).expect(200)["direction"], direction);
        let listed = side.get(&format!("/v1/transfers?account={account}")).expect(200);
        assert_eq!(listed["items"][0]["id"], id);
        assert_eq!(side.get("/v1/transfers").expect(200)["items"][0]["id"], id);
    }
}

#[test]
fn transfers_are_listed_newest_first() {
    let (ann, from) = bank().customer_with(10_00);
    let (_bea, to) = bank().customer_with(0);
    let sent: Vec<Value> = (1..=3).map(|cents| ann.transfer(&from, &to, cents)["id"].clone()).collect();
    let listed: Vec<Value> = ann.all("/v1/transfers").iter().map(|transfer| transfer["id"].clone()).collect();
    assert_eq!(listed, sent.into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn without_enough_money_a_transfer_is_rejected() {
    let (ann, from) = bank().customer_with(10_00);
    let (bea, to) = bank().customer_with(0);
    let transfer = ann.transfer(&from, &to, 10_01);
    assert_eq!((&transfer["status"], &transfer["code"]), (&json!("rejected"), &json!("insufficient_funds")));
    assert_eq!((ann.balance(&from), bea.balance(&to)), (10_00, 0));
    let found = ann.get(&format!("/v1/transfers/{}", transfer["id"].as_str().unwrap())).expect(200);
    assert_eq!(found["status"], "rejected");
    assert_eq!(ann.transfer(&from, &to, 10_00)["status"], "completed", "the whole balance may go");
    assert_eq!((ann.balance(&from), bea.balance(&to)), (0, 10_00));
}

#[test]
fn a_transfer_to_nowhere_is_rejected() {
    let (ann, from) = bank().customer_with(10_00);
    for to in ["acc_of_nobody", "acc_0000000000000000000000000000", "nonsense"] {
        let transfer = ann.transfer(&from, to, 1_00);
        assert_eq!(
            (&transfer["status"], &transfer["code"]),
            (&json!("rejected"), &json!("unknown_account")),
            "{to}"
        );
    }
    assert_eq!(ann.balance(&from), 10_00);
}

#[test]
fn a_transfer_from_an_account_that_is_not_one_s_own_is_404() {
    let (ann, from) = bank().customer_with(10_00);
    let (bea, to) = bank().customer_with(0);
    for (n, not_own) in [&*from, "acc_of_nobody", "nonsense"].iter().enumerate() {
        let body = json!({ "from": not_own, "to": to, "amount": euros(1_00) });
        bea.post_keyed("/v1/transfers", &format!("k{n}"), &body).problem(404);
    }
    assert_eq!((ann.balance(&from), bea.balance(&to)), (10_00, 0));
    assert!(bea.all("/v1/transfers").is_empty());
}

#[test]
fn a_transfer_that_makes_no_sense_is_refused() {
    let (ann, from) = bank().customer_with(10_00);
    let (_bea, to) = bank().customer_with(0);
    let good = json!({ "from": from, "to": to, "amount": euros(1_00) });
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (n, (body, statuses)) in [
        (with("amount", euros(0)), [422, 400]),
        (with("amount", euros(-1_00)), [422, 400]),
        (with("amount", json!({ "amount": "0.001", "currency": "EUR" })), [400, 422]),
        (with("amount", json!({ "amount": "1e2", "currency": "EUR" })), [400, 422]),
        (with("amount", json!({ "amount": "99999999999999999999999", "currency": "EUR" })), [400, 422]),
        (with("amount", json!({ "amount": "NaN", "currency": "EUR" })), [400, 422]),
        (with("amount", json!({ "amount": 1.00, "currency": "EUR" })), [400, 422]),
        (with("amount", json!({ "amount": "1.00", "currency": "eur" })), [400, 422]),
        (with("to", json!(from)), [422, 400]),
        (with("reference", json!("x".repeat(141))), [422, 400]),
        (with("reference", json!("a\u{0}b")), [422, 400]),
        (with("to", Value::Null), [400, 422]),
        (json!([]), [400, 422]),
        (json!("text"), [400, 422]),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = ann.post_keyed("/v1/transfers", &format!("k{n}"), &body);
        assert!(statuses.contains(&answer.status), "{body}: {} {}", answer.status, answer.text());
        answer.problem(answer.status);
    }
    let dollars = with("amount", json!({ "amount": "1.00", "currency": "USD" }));
    let answer = ann.post_keyed("/v1/transfers", "dollars", &dollars);
    assert!(answer.status == 422 || answer.json()["status"] == "rejected", "{}", answer.text());
    assert_eq!(ann.balance(&from), 10_00);
}

#[test]
fn payees_are_found_by_exact_names_only() {
    let (ann, account) = bank().customer_with(0);
    let (bea, _) = bank().customer_with(0);
    let found = bea.get(&format!("/v1/payees?username={}", ann.username)).expect(200);
    assert_eq!(found["items"], json!([{ "account": account, "name": "Test Customer", "currency": "EUR" }]));
    let found = bea.get(&format!("/v1/payees/{account}")).expect(200);
    assert_eq!(found, json!({ "account": account, "name": "Test Customer", "currency": "EUR" }));
    let part = &ann.username[..ann.username.len() - 1];
    for none in [part, "nobody-of-this-name", "%25", "*"] {
        let answer = bea.get(&format!("/v1/payees?username={none}"));
        assert!(answer.status == 404 || answer.json()["items"] == json!([]), "{none}: {}", answer.text());
    }
    bea.get("/v1/payees/acc_of_nobody").problem(404);
    bea.client.send(Request::get(format!("/v1/payees/{account}"))).problem(401);
}

#[test]
fn looking_for_payees_is_tightly_limited() {
    let ann = bank().customer();
    let refused = until("the limit", || {
        let answer = ann.client.send(Request::get("/v1/payees?username=nobody").bearer(&ann.access_token));
        assert!(answer.header("ratelimit-policy").is_some());
        (answer.status == 429).then_some(answer)
    });
    refused.problem(429);
    assert!(refused.header("retry-after").is_some());
}

#[test]
fn both_sides_are_notified_once_and_may_mark_it_read() {
    let (ann, from) = bank().customer_with(10_00);
    let (bea, to) = bank().customer_with(0);
    let transfer = ann.transfer(&from, &to, 3_00)["id"].as_str().unwrap().to_owned();
    for (side, is_read) in [(&ann, true), (&bea, false)] {
        let found = side.notifications_of(&transfer);
        assert_eq!(found.len(), 1, "{found:?}");
        let id = found[0]["id"].as_str().unwrap();
        assert!(id.starts_with("ntf_"));
        assert_eq!(found[0]["read"], is_read, "whoever sent it knows of it");
        for _ in 0..2 {
            let read = side.send(Request::post(format!("/v1/notifications/{id}/read")));
            assert_eq!(read.expect(200)["read"], true);
        }
        assert_eq!(side.notifications_of(&transfer)[0]["read"], true);
    }
}

#[test]
fn events_arrive_as_they_happen_and_resume_where_they_broke_off() {
    let (ann, from) = bank().customer_with(10_00);
    let (bea, to) = bank().customer_with(0);
    let mut events = bea.client.events(Request::get("/v1/events").bearer(&bea.access_token));
    let first = ann.transfer(&from, &to, 1_00)["id"].clone();
    events.find("the transfer", |event, data| event.name == "transfer" && data["id"] == first);
    let seen = events
        .find("the notification", |event, data| event.name == "notification" && data["transfer"] == first);
    let last = seen.id.unwrap();
    drop(events);

    let missed = ann.transfer(&from, &to, 2_00)["id"].clone();
    let _ = bea.notifications_of(missed.as_str().unwrap());
    let resumed = Request::get("/v1/events").bearer(&bea.access_token).header("last-event-id", last);
    let mut events = bea.client.events(resumed);
    let event = events.find("the missed one", |event, _| event.name == "notification");
    assert_eq!(
        serde_json::from_str::<Value>(&event.data).unwrap()["transfer"],
        missed,
        "the missed one, and not the seen one"
    );
    let later = ann.transfer(&from, &to, 3_00)["id"].clone();
    events.find("the later one", |event, data| event.name == "notification" && data["transfer"] == later);
}

#[test]
fn events_are_for_their_customer_only() {
    let (ann, from) = bank().customer_with(10_00);
    let (bea, to) = bank().customer_with(0);
    let (cat, beside) = bank().customer_with(0);
    let mut events = cat.client.events(Request::get("/v1/events").bearer(&cat.access_token));
    let _ = ann.transfer(&from, &to, 1_00);
    let _ = bea.notifications_of(ann.all("/v1/transfers")[0]["id"].as_str().unwrap());
    let own = ann.transfer(&from, &beside, 2_00)["id"].clone();
    let first = events.find("any event", |event, _| event.name == "transfer");
    assert_eq!(serde_json::from_str::<Value>(&first.data).unwrap()["id"], own);
}

#[test]
fn events_end_with_the_session_that_asked_for_them() {
    let bea = bank().customer();
    let mut events = bea.client.events(Request::get("/v1/events").bearer(&bea.access_token));
    assert_eq!(bea.send(Request::delete("/v1/sessions/current")).status, 204);
    let start = tokio::time::Instant::now();
    // By itself, not when there is something to tell.
    let told = std::iter::from_fn(|| events.next_event()).find(|event| event.name != "ping");
    assert_eq!(told, None);
    // It is looked at by a timer, which is late where everything is.
    assert!(start.elapsed() < Duration::from_secs(3), "a second was promised: {:?}", start.elapsed());
}

#[test]
fn the_bank_tells_that_it_is_alive_and_ready() {
    let client = bank().client();
    for path in ["/healthz", "/readyz"] {
        let answer = client.send(Request::get(path));
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains("reason"), "reasons are for the admin listener");
    }
}

#[test]
fn the_api_describes_itself() {
    let document = bank().client().send(Request::get("/openapi.json")).expect(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    for (path, method) in [
        ("/v1/customers", "post"),
        ("/v1/sessions", "post"),
        ("/v1/sessions/refresh", "post"),
        ("/v1/sessions/current", "delete"),
        ("/v1/me", "get"),
        ("/v1/accounts", "post"),
        ("/v1/accounts", "get"),
        ("/v1/accounts/{id}", "get"),
        ("/v1/accounts/{id}/balance", "get"),
        ("/v1/accounts/{id}/entries", "get"),
        ("/v1/deposits", "post"),
        ("/v1/ledger/trial-balance", "get"),
        ("/v1/transfers", "post"),
        ("/v1/transfers", "get"),
        ("/v1/transfers/{id}", "get"),
        ("/v1/payees", "get"),
        ("/v1/payees/{account}", "get"),
        ("/v1/notifications", "get"),
        ("/v1/notifications/{id}/read", "post"),
        ("/v1/events", "get"),
        ("/.well-known/jwks.json", "get"),
    ] {
        assert!(
            paths.get(path).is_some_and(|item| item.get(method).is_some()),
            "{method} {path} is not described"
        );
    }
    assert!(paths.keys().all(|path| !path.starts_with("/internal")), "what is internal is not described");
}

#[test]
fn the_web_bank_and_the_docs_are_pages_with_a_strict_policy() {
    let client = bank().client();
    for path in ["/", "/docs"] {
        let page = client.send(Request::get(path));
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").unwrap().starts_with("text/html"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            !policy.contains("unsafe-inline") && !policy.contains("unsafe-eval") && !policy.contains('*'),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        for asset in page.text().split(['"', '\'']).filter(|text| text.starts_with("/assets/")) {
            assert_eq!(client.send(Request::get(asset)).status, 200, "{asset}");
        }
        assert!(
            !page.text().contains("://") || !page.text().contains("src=\"http"),
            "nothing from elsewhere"
        );
    }
}

#[test]
fn an_address_that_nobody_serves_is_a_page_in_a_browser_and_a_document_for_programs() {
    let client = bank().client();
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let page = client.send(Request::get("/nonexistent").header("accept", browser));
    assert_eq!((page.status, page.header("content-type")), (404, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("vary"), Some("accept"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{policy}");
    let id = page.header("x-request-id").unwrap();
    for part in ["not_found", id, "<a href=\"/\">Go to Reference Bank</a>"] {
        assert!(page.text().contains(part), "no {part}: {}", page.text());
    }
    for accept in ["application/json", "*/*", "text/html;q=0.5, application/json"] {
        let document = client.send(Request::get("/nonexistent").header("accept", accept));
        assert_eq!(document.problem(404), "not_found", "{accept}");
    }
}

#[test]
fn operators_have_pages_of_their_own() {
    let admin = bank().admin();
    let metrics = admin.send(Request::get("/metrics"));
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().lines().any(|line| line.starts_with("# TYPE")), "{}", metrics.text());
    let routes = admin.send(Request::get("/admin/routes")).expect(200);
    assert!(
        routes["items"].as_array().unwrap().iter().any(|route| route["operation"] == "POST /v1/transfers")
    );
    let upstreams = admin.send(Request::get("/admin/upstreams")).expect(200);
    for service in ["accounts", "transactions", "identity", "partners"] {
        assert!(upstreams["services"][service].is_array(), "{upstreams}");
    }
    assert!(admin.send(Request::get("/admin/")).header("content-type").unwrap().starts_with("text/html"));
    admin.send(Request::get("/healthz")).expect(200);
    assert_eq!(admin.send(Request::get("/readyz")).expect(200)["status"], "ready");
    assert_eq!(admin.send(Request::post("/admin/routes")).status, 405);
    for path in ["/metrics", "/admin/routes", "/admin/upstreams", "/admin/"] {
        assert_eq!(bank().client().send(Request::get(path)).status, 404, "{path} is not for the outside");
    }
}

#[test]
fn every_refusal_is_a_problem_document() {
    let ann = bank().customer();
    ann.get("/v1/nowhere").problem(404);
    ann.get("/v1/accounts/acc_of_nobody").problem(404);
    ann.client.send(Request::get("/v1/accounts")).problem(401);
    ann.get("/v1/ledger/trial-balance").problem(403);
    ann.send(Request::post("/v1/accounts").header("content-type", "application/json").body("{")).problem(400);
    ann.send(Request::new("PATCH", "/v1/accounts")).problem(405);
    ann.send(Request::post("/v1/accounts").header("content-type", "text/plain").body("{}")).problem(415);
    ann.send(
        Request::post("/v1/accounts").header("content-type", "application/json").body("x".repeat(70_000)),
    )
    .problem(413);
    ann.send(Request::get("/v1//accounts")).problem(400);
}

#[test]
fn unknown_fields_are_refused_by_their_name() {
    let (ann, from) = bank().customer_with(10_00);
    let (_bea, to) = bank().customer_with(0);
    let body = json!({ "from": from, "to": to, "amount": euros(1_00), "execute_at": "2030-01-01T00:00:00Z" });
    let refused = ann.post_keyed("/v1/transfers", "later", &body);
    refused.problem(400);
    assert!(refused.text().contains("execute_at"), "{}", refused.text());
    let body =
        json!({ "from": from, "to": to, "amount": { "amount": "1.00", "currency": "EUR", "extra": 1 } });
    ann.post_keyed("/v1/transfers", "nested", &body).problem(400);
    ann.post("/v1/accounts", &json!({ "currency": "EUR", "overdraft": "1000.00" })).problem(400);
    let body = json!({ "username": "mallory", "password": "a long password", "name": "M", "email": "m@bank.example", "roles": ["teller"] });
    ann.client.send_patiently(&Request::post("/v1/customers").json(&body)).problem(400);
    let body = json!({ "username": ann.username, "password": ann.password, "admin": true });
    ann.client.send_patiently(&Request::post("/v1/sessions").json(&body)).problem(400);
    assert_eq!(ann.balance(&from), 10_00);
}

#[test]
fn head_works_wherever_get_does() {
    let (ann, account) = bank().customer_with(10_00);
    for path in [
        "/v1/me",
        "/v1/accounts",
        &format!("/v1/accounts/{account}"),
        "/healthz",
        "/openapi.json",
        "/",
        "/docs",
    ] {
        let get = ann.get(path);
        let head = ann.send(Request::new("HEAD", path));
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        if let Some(length) = head.header("content-length") {
            assert_eq!(length, get.body.len().to_string(), "{path}");
        }
    }
    assert_eq!(ann.send(Request::new("HEAD", "/v1/accounts/acc_of_nobody")).status, 404);
}

#[test]
fn a_wrong_method_is_405_with_those_that_work() {
    let ann = bank().customer();
    for (method, path, allow) in [
        ("PUT", "/v1/accounts", "GET, HEAD, POST"),
        ("DELETE", "/v1/me", "GET, HEAD"),
        ("POST", "/v1/sessions/current", "DELETE, GET, HEAD"),
        ("GET", "/v1/me/password", "PUT"),
        ("GET", "/v1/deposits", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
    ] {
        let answer = ann.send(Request::new(method, path));
        assert_eq!(answer.problem(405), "method_not_allowed");
        let mut given: Vec<_> = answer.header("allow").unwrap().split(", ").collect();
        given.sort_unstable();
        assert_eq!(given.join(", "), allow, "{method} {path}");
    }
}

#[test]
fn limited_routes_tell_how_the_caller_stands() {
    let ann = bank().customer();
    for path in ["/v1/me", "/v1/accounts", "/v1/transfers", "/v1/payees?username=x", "/v1/notifications"] {
        let answer = ann.get(path);
        assert!(answer.header("ratelimit-policy").is_some_and(|policy| policy.contains(";q=")), "{path}");
        assert!(answer.header("ratelimit").is_some_and(|stands| stands.contains(";r=")), "{path}");
    }
}

#[test]
fn every_answer_carries_its_id_and_what_keeps_browsers_safe() {
    let ann = bank().customer();
    for path in ["/v1/me", "/nowhere", "/", "/healthz", "/openapi.json"] {
        let answer = ann.get(path);
        assert!(answer.header("x-request-id").is_some_and(|id| id.starts_with("req_")), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(answer.header("content-security-policy").is_some(), "{path}");
        assert!(answer.header("referrer-policy").is_some(), "{path}");
        assert_eq!(answer.header("server"), None, "{path}");
    }
}

#[test]
fn what_waits_for_later_does_not_exist() {
    let (ann, account) = bank().customer_with(1_00);
    let body = json!({});
    for path in [
        "/oauth2/token",
        "/v1/partners",
        "/v1/consents",
        "/partner/v1/payments",
        "/partner/v1/webhooks",
        "/v1/transfers/trf_1/cancel",
    ] {
        ann.post_keyed(path, "k", &body).problem(404);
    }
    for path in ["/partner/v1/accounts", "/v1/consents", "/.well-known/oauth-authorization-server"] {
        ann.get(path).problem(404);
    }
    // A parameter that is not there yet is refused, not ignored.
    ann.get(&format!("/v1/accounts/{account}?as_seen_by=me")).problem(400);
}

#[test]
fn what_is_internal_does_not_exist_outside() {
    let ann = bank().customer();
    for path in [
        "/internal/v1/customers?username=alice",
        "/internal/v1/accounts/acc_x",
        "/internal/v1/accounts/events",
        "/internal/v1/transactions/events",
        "/internal/v1/customers/cus_1/accounts",
        "/internal/v1/customers/cus_1",
    ] {
        ann.get(path).problem(404);
        ann.send(Request::get(path).header("bank-identity", "x.y.z")).problem(404);
    }
    ann.post("/internal/v1/postings", &json!({})).problem(404);
    ann.post("/internal/v1/sessions/used", &json!({ "ids": [] })).problem(404);
}

#[test]
fn the_demo_customers_hold_a_thousand_euros_at_first() {
    // Nobody else in this file touches them.
    for name in ["alice", "bob"] {
        let customer = bank().staff(name);
        let accounts = customer.all("/v1/accounts");
        assert_eq!(accounts.len(), 1);
        assert_eq!(cents(&accounts[0]["balance"]), 1_000_00);
    }
    for (name, role) in [("teller", "teller"), ("auditor", "auditor"), ("operator", "operator")] {
        let me = bank().staff(name).get("/v1/me").expect(200);
        assert!(me["roles"].as_array().unwrap().contains(&json!(role)), "{me}");
    }
}
