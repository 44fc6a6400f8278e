//! Sessions as their customers see them: one for all tabs of a browser, a list of them, and how they end.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bank_tests::{Bank, Client, Customer, Request, Response, shared_bank, until};
use serde_json::{Value, json};

const CURRENT: &str = "/v1/sessions/current";

fn bank() -> &'static Bank {
    shared_bank!()
}

/// A request as a page of the bank's own sends it, in a browser that holds the customer's cookie.
fn from_page(customer: &Customer, request: Request) -> Request {
    request.header("cookie", &*customer.cookie).header("sec-fetch-site", "same-origin")
}

fn send(customer: &Customer, request: Request) -> Response {
    customer.client.send_patiently(&request)
}

/// The same user, who signs in once more, by another program.
fn again(customer: &Customer) -> Customer {
    Customer::sign_in(&bank().client(), &customer.username, &customer.password)
}

fn sessions(customer: &Customer) -> Vec<Value> {
    customer.all("/v1/sessions")
}

fn session_of(customer: &Customer) -> String {
    customer.get(CURRENT).expect(200)["id"].as_str().unwrap().to_owned()
}

/// The token is refused by every gateway: within a second where another one was told of the end.
fn until_refused(token: &str) {
    let client = bank().client();
    let (start, mut last, mut refused) = (tokio::time::Instant::now(), Duration::ZERO, 0);
    until("the token to be refused", || {
        // When the last one was sent that was still let in: a slow machine makes this no later.
        let sent = start.elapsed();
        match client.send(Request::get("/v1/me").bearer(token)).status {
            401 => refused += 1,
            _ => (last, refused) = (sent, 0),
        }
        (refused == 4).then_some(())
    });
    assert!(last < Duration::from_secs(1), "a second was promised: {last:?}");
}

fn change_password(customer: &Customer, current: &str, new: &str) -> Response {
    let body = json!({ "current": current, "new": new });
    customer.client.send(Request::new("PUT", "/v1/me/password").json(&body).bearer(&customer.access_token))
}

fn login(username: &str, password: &str) -> Response {
    let body = json!({ "username": username, "password": password });
    bank().client().send_patiently(&Request::post("/v1/sessions").json(&body))
}

#[test]
fn a_second_tab_needs_no_second_login() {
    let ann = bank().customer();
    let answer = send(&ann, from_page(&ann, Request::get(CURRENT)));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let current = answer.expect(200);
    assert_eq!(
        [&current["username"], &current["name"], &current["customer"], &current["csrf_token"]],
        [&json!(ann.username), &json!("Test Customer"), &json!(ann.id), &json!(ann.csrf_token)]
    );
    assert!(current["id"].as_str().unwrap().starts_with("ses_"), "{current}");
    assert!(current["created_at"].as_str().unwrap() < current["expires_at"].as_str().unwrap(), "{current}");
    let token = current["csrf_token"].as_str().unwrap();
    let open =
        Request::post("/v1/accounts").header("x-csrf-token", token).json(&json!({ "currency": "EUR" }));
    send(&ann, from_page(&ann, open)).expect(201);
    assert_eq!(send(&ann, Request::get(CURRENT)).problem(401), "unauthenticated");
}

#[test]
fn the_csrf_token_is_told_to_no_other_site_and_to_no_program() {
    let ann = bank().customer();
    let by_cookie = || Request::get(CURRENT).header("cookie", &*ann.cookie);
    let own = format!("http://{}", ann.client.address());
    let one = Client::new(vec![ann.client.address()]);
    for (told, request) in [
        (true, by_cookie()),
        (true, by_cookie().header("sec-fetch-site", "none")),
        (true, by_cookie().header("origin", own)),
        (false, by_cookie().header("sec-fetch-site", "cross-site")),
        (false, by_cookie().header("sec-fetch-site", "same-site")),
        (false, by_cookie().header("origin", "http://evil.example")),
        (false, by_cookie().header("origin", "null")),
        (false, Request::get(CURRENT).bearer(&ann.access_token)),
        (false, Request::get(CURRENT).bearer(&ann.access_token).header("sec-fetch-site", "same-origin")),
    ] {
        let answer = one.send_patiently(&request).expect(200);
        assert_eq!(answer.get("csrf_token").is_some(), told, "{request:?}");
        assert_eq!(answer["customer"], json!(ann.id));
    }
}

#[test]
fn a_customer_sees_where_they_are_signed_in_and_ends_one_session_everywhere() {
    let ann = bank().customer();
    let client = bank().client();
    let body = json!({ "username": ann.username, "password": ann.password });
    let request = Request::post("/v1/sessions").header("user-agent", "Tablet/2.0 (kitchen)").json(&body);
    let other = client.send_patiently(&request).expect(201);
    let other_token = other["access_token"].as_str().unwrap();
    let listed = sessions(&ann);
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!((&listed[0]["current"], &listed[1]["current"]), (&json!(false), &json!(true)));
    assert_eq!(listed[1]["id"], json!(session_of(&ann)));
    for session in &listed {
        let network = session["network"].as_str().unwrap();
        assert!(network.starts_with("127.") && network.ends_with(".0/24"), "{session}");
        assert!(session["last_used_at"].as_str() >= session["created_at"].as_str(), "{session}");
    }
    assert_eq!(
        (&listed[0]["user_agent"], &listed[1]["user_agent"]),
        (&json!("Tablet/2.0 (kitchen)"), &json!(null))
    );

    let path = format!("/v1/sessions/{}", listed[0]["id"].as_str().unwrap());
    let bea = bank().customer();
    let missing = format!("/v1/sessions/ses_{}", "0".repeat(26));
    for path in [&path, &missing, "/v1/sessions/no-session"] {
        assert_eq!(bea.send(Request::delete(path)).problem(404), "not_found", "{path}");
    }
    client.send(Request::get("/v1/me").bearer(other_token)).expect(200);
    for _ in 0..2 {
        assert_eq!(ann.send(Request::delete(&*path)).status, 204, "again changes nothing");
    }
    until_refused(other_token);
    let body = json!({ "refresh_token": other["refresh_token"] });
    client.send_patiently(&Request::post("/v1/sessions/refresh").json(&body)).problem(401);
    let left = sessions(&ann);
    assert_eq!((left.len(), &left[0]["current"]), (1, &json!(true)));
}

#[test]
fn all_other_sessions_end_at_once_and_ones_own_goes_on() {
    let ann = bank().customer();
    let others: Vec<Customer> = (0..3).map(|_| again(&ann)).collect();
    let bea = bank().customer();
    assert_eq!(sessions(&ann).len(), 4);
    assert_eq!(ann.send(Request::delete("/v1/sessions")).status, 204);
    for other in &others {
        until_refused(&other.access_token);
        send(other, from_page(other, Request::get("/v1/me"))).problem(401);
    }
    ann.get("/v1/me").expect(200);
    bea.get("/v1/me").expect(200);
    assert_eq!(sessions(&ann).len(), 1);
}

#[test]
fn the_list_of_sessions_comes_in_pages_the_newest_first() {
    let ann = bank().customer();
    let signed_in: Vec<Customer> = (0..4).map(|_| again(&ann)).collect();
    let mut wanted: Vec<String> = signed_in.iter().map(session_of).rev().collect();
    wanted.push(session_of(&ann));
    let (mut seen, mut target) = (Vec::new(), "/v1/sessions?limit=2".to_owned());
    loop {
        let page = ann.get(&target).expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        target = format!("/v1/sessions?limit=2&after={next}");
    }
    assert_eq!(seen, wanted);
}

#[test]
fn signing_out_ends_what_the_cookie_holds_whichever_tab_asks() {
    let (ann, bea) = (bank().customer(), bank().customer());
    // Two tabs of one browser: somebody else signed in in the second one, so that both hold her cookie.
    let out = |token: &str| Request::delete(CURRENT).header("x-csrf-token", token);
    assert_eq!(send(&bea, from_page(&bea, out(&ann.csrf_token))).problem(403), "csrf_token");
    let current = send(&bea, from_page(&bea, Request::get(CURRENT))).expect(200);
    assert_eq!(current["customer"], json!(bea.id));
    let answer = send(&bea, from_page(&bea, out(current["csrf_token"].as_str().unwrap())));
    assert_eq!(answer.status, 204);
    let cleared = answer.header("set-cookie").unwrap();
    assert!(cleared.starts_with("bank-session=;") && cleared.contains("Max-Age=0"), "{cleared}");
    until_refused(&bea.access_token);
    send(&bea, from_page(&bea, Request::get("/v1/accounts"))).problem(401);
    ann.get("/v1/me").expect(200);
}

#[test]
fn each_answer_to_a_cookie_says_whose_session_it_was() {
    let (ann, bea) = (bank().customer(), bank().customer());
    for customer in [&ann, &bea] {
        for request in [
            Request::get("/v1/accounts"),
            Request::get("/v1/accounts/acc_of_nobody"),
            Request::get("/v1/ledger/trial-balance"),
            Request::get("/v1/accounts?limit=0"),
            Request::get(CURRENT),
            Request::post("/v1/accounts").header("x-csrf-token", &*customer.csrf_token).body("x"),
        ] {
            let answer = send(customer, from_page(customer, request));
            assert_eq!(answer.header("bank-customer"), Some(&*customer.id), "{}", answer.text());
        }
    }
    assert_eq!(ann.get("/v1/me").header("bank-customer"), None, "a token says it by itself");
    for request in [Request::get("/healthz"), Request::get("/v1/me"), Request::get("/")] {
        assert_eq!(send(&ann, request).header("bank-customer"), None);
    }
    // What a client says of itself is nothing.
    let forged = from_page(&ann, Request::get("/v1/me")).header("bank-customer", &*bea.id);
    assert_eq!(send(&ann, forged).header("bank-customer"), Some(&*ann.id));
}

#[test]
fn a_new_password_counts_from_now_on_and_other_sessions_end() {
    let ann = bank().customer();
    let other = again(&ann);
    let new = "another long password";
    let short = change_password(&ann, &ann.password, "short");
    assert_eq!(short.problem(422), "invalid_password");
    assert_eq!(short.json()["errors"][0]["field"], "new");
    assert!(!short.text().contains("short"), "no value is repeated");
    assert_eq!(change_password(&ann, "a wrong password", new).problem(403), "wrong_password");
    ann.get("/v1/me").expect(200);
    other.get("/v1/me").expect(200);
    // Sent twice, as after an answer that got lost, it is done once.
    for _ in 0..2 {
        change_password(&ann, &ann.password, new).expect(200);
    }
    until_refused(&other.access_token);
    ann.get("/v1/me").expect(200);
    assert_eq!(login(&ann.username, &ann.password).problem(401), "invalid_credentials");
    login(&ann.username, new).expect(201);
    let by_nobody = json!({ "current": new, "new": "yet another password" });
    send(&ann, Request::new("PUT", "/v1/me/password").json(&by_nobody)).problem(401);
}

#[test]
fn a_login_that_is_held_at_the_gateway_while_the_password_changes_opens_no_session() {
    let ann = bank().customer();
    let new = "another long password";
    let (body, is_changed) =
        (json!({ "username": ann.username, "password": ann.password }), AtomicBool::new(false));
    // Somebody who has the old password signs in all the time. The gateway checks one after the other: most of them wait there.
    let opened: Vec<Response> = std::thread::scope(|scope| {
        let sign_in_while = || {
            let (client, mut opened) = (bank().client(), Vec::new());
            loop {
                let was_changed = is_changed.load(Ordering::SeqCst);
                let answer = client.send(Request::post("/v1/sessions").json(&body));
                match answer.status {
                    201 => opened.push(answer),
                    401 | 429 | 503 => {}
                    other => panic!("{other}: {}", answer.text()),
                }
                if was_changed {
                    return opened;
                }
            }
        };
        let thieves: Vec<_> = (0..8).map(|_| scope.spawn(sign_in_while)).collect();
        until("them to be in", || (sessions(&ann).len() > 8).then_some(()));
        change_password(&ann, &ann.password, new).expect(200);
        is_changed.store(true, Ordering::SeqCst);
        thieves.into_iter().flat_map(|thief| thief.join().unwrap()).collect()
    });
    assert_eq!(sessions(&ann).len(), 1, "her own");
    let last = opened.last().unwrap();
    until_refused(last.json()["access_token"].as_str().unwrap());
    for answer in &opened {
        let me = Request::get("/v1/me").bearer(answer.json()["access_token"].as_str().unwrap());
        assert_eq!(bank().client().send_patiently(&me).status, 401);
    }
    ann.get("/v1/me").expect(200);
}

#[test]
fn a_new_password_gives_the_browser_another_cookie_and_another_token_in_the_same_answer() {
    let ann = bank().customer();
    let send_with = |cookie: &str, csrf: &str, request: Request| {
        let request = request.header("cookie", cookie).header("sec-fetch-site", "same-origin");
        ann.client.send_patiently(&request.header("x-csrf-token", csrf))
    };
    let new = "another long password";
    let body = json!({ "current": ann.password, "new": new });
    let change = Request::new("PUT", "/v1/me/password").json(&body);
    let answer = send_with(&ann.cookie, &ann.csrf_token, change);
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_ne!(cookie, ann.cookie);
    let tokens = answer.expect(200);
    let csrf = tokens["csrf_token"].as_str().unwrap();
    // At once, at every gateway, whatever it remembers of the session.
    for _ in 0..4 {
        let open = Request::post("/v1/accounts").json(&json!({ "currency": "EUR" }));
        send_with(&cookie, csrf, open).expect(201);
        let current = send_with(&cookie, csrf, Request::get(CURRENT)).expect(200);
        assert_eq!(current["csrf_token"], json!(csrf));
        let old = Request::post("/v1/accounts").json(&json!({ "currency": "EUR" }));
        assert_eq!(send_with(&cookie, &ann.csrf_token, old).problem(403), "csrf_token");
    }
    until("the cookie of before to be refused", || {
        (send_with(&ann.cookie, csrf, Request::get("/v1/me")).status == 401).then_some(())
    });
    send_with(&cookie, csrf, Request::get("/v1/me")).expect(200);
    let refresh = |token: &Value| {
        let body = json!({ "refresh_token": token });
        bank().client().send_patiently(&Request::post("/v1/sessions/refresh").json(&body))
    };
    assert_eq!(refresh(&json!(ann.refresh_token)).problem(401), "invalid_refresh_token");
    refresh(&tokens["refresh_token"]).expect(200);
}

#[test]
fn the_current_password_cannot_be_guessed_by_changing_it() {
    let ann = bank().customer();
    let new = "another long password";
    let refused = until("the throttle", || {
        let answer = change_password(&ann, "a wrong password", new);
        if answer.status == 403 {
            assert_eq!(answer.problem(403), "wrong_password");
            return None;
        }
        Some(answer)
    });
    assert_eq!(refused.problem(429), "too_many_failures");
    assert!(refused.header("retry-after").is_some());
    // Many at once are no more.
    let checked: usize = std::thread::scope(|scope| {
        let guess = || change_password(&ann, "a wrong password", new).status == 403;
        let guesses: Vec<_> = (0..8).map(|_| scope.spawn(guess)).collect();
        guesses.into_iter().map(|guess| usize::from(guess.join().unwrap())).sum()
    });
    assert!(checked <= 2, "{checked} guesses were checked at once");
    // Whoever guesses here keeps nobody from signing in, and the right one forgives.
    login(&ann.username, &ann.password).expect(201);
    until("the wait to be over", || (change_password(&ann, &ann.password, new).status == 200).then_some(()));
    assert_eq!(
        change_password(&ann, "a wrong password", "yet another password").problem(403),
        "wrong_password"
    );
}

#[test]
fn a_password_is_the_same_on_whichever_system_it_is_typed() {
    let (composed, apart) = ("p\u{e4}ssw\u{f6}rd-\u{fc}ber-12", "pa\u{308}sswo\u{308}rd-u\u{308}ber-12");
    for (index, [registered, typed]) in [[composed, apart], [apart, composed]].into_iter().enumerate() {
        let client = bank().client();
        let username = format!("nfc{index}-{}", std::process::id());
        let body = json!({
            "username": username, "password": registered, "name": "Zo\u{eb}", "email": "zoe@bank.example"
        });
        client.send_patiently(&Request::post("/v1/customers").json(&body)).expect(201);
        let zoe = Customer::sign_in(&client, &username, typed);
        let _ = Customer::sign_in(&client, &username, registered);
        let new = "\u{dc}berl\u{e4}nge mit Leerzeichen";
        change_password(&zoe, typed, new).expect(200);
        login(&username, &new.replace(' ', "\u{a0}").replace('\u{e4}', "a\u{308}")).expect(201);
        login(&username, typed).problem(401);
    }
    let body = json!({
        "username": format!("nfc-bad-{}", std::process::id()), "password": "with\u{7}a bell in it",
        "name": "Zo\u{eb}", "email": "zoe@bank.example"
    });
    let refused = bank().client().send_patiently(&Request::post("/v1/customers").json(&body));
    assert_eq!(refused.problem(422), "invalid_customer");
}

#[test]
fn the_uses_of_sessions_are_told_to_identity() {
    let ann = bank().customer();
    until("the uses to be told", || {
        ann.get("/v1/me").expect(200);
        let metrics = bank().admin().send(Request::get("/metrics")).text();
        let told = metrics.lines().find(|line| {
            line.starts_with("bank_gateway_requests_total")
                && line.contains("POST /internal/v1/sessions/used")
                && line.contains("2xx")
        })?;
        (!told.ends_with(" 0")).then_some(())
    });
}
