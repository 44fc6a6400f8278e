//! What moved a customer's money, and what customers do with their accounts, as a client sees it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use bank_tests::{Bank, Customer, Request, cents, euros, shared_bank};
use serde_json::{Value, json};

fn bank() -> &'static Bank {
    shared_bank!()
}

/// Every row of an activity, in pages of two.
fn activity(customer: &Customer, query: &str) -> Vec<Value> {
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let page = customer.get(&format!("/v1/activity?limit=2{query}{after}")).expect(200);
        rows.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return rows,
        }
    }
}

fn rename(customer: &Customer, account: &str, name: &str) -> bank_tests::Response {
    let request = Request::new("PATCH", format!("/v1/accounts/{account}"));
    customer.send(request.json(&json!({ "name": name })))
}

#[test]
fn the_activity_of_all_accounts_is_told_with_names_and_directions() {
    let (ann, mine) = bank().customer_with(100_00);
    let (bea, theirs) = bank().customer_with(0);
    let body = json!({ "from": mine, "to": theirs, "amount": euros(30_00), "reference": "Rent" });
    let sent = ann.post_keyed("/v1/transfers", "rent", &body).expect(201);
    let savings = ann.open_account("EUR");
    ann.transfer(&mine, &savings, 5_00);
    let held = json!({ "account": mine, "amount": euros(7_00) });
    let hold = ann.post_keyed("/v1/holds", "hotel", &held).expect(201);

    let rows = activity(&ann, "");
    let kinds: Vec<_> = rows.iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["hold", "transfer", "transfer", "transfer", "deposit"]);
    let (first, rent, cash) = (&rows[0], &rows[3], &rows[4]);
    assert_eq!((&first["id"], &first["status"]), (&hold["id"], &json!("pending")));
    assert_eq!((&first["direction"], &first["amount"]), (&json!("out"), &euros(7_00)));
    assert_eq!((&rent["direction"], &rent["amount"]), (&json!("out"), &euros(30_00)));
    assert_eq!((&rent["transfer"], &rent["reference"]), (&sent["id"], &json!("Rent")));
    assert_eq!(rent["counterparty"], json!({ "name": "Test Customer", "account": theirs }));
    assert_eq!((&rent["balance_after"], &rent["account"]), (&euros(70_00), &json!(mine)));
    assert_eq!((&rent["status"], &cash["direction"]), (&json!("completed"), &json!("in")));
    assert_eq!((cash.get("counterparty"), cash.get("transfer")), (None, None));

    let received = activity(&bea, "");
    assert_eq!((received.len(), &received[0]["direction"]), (1, &json!("in")));
    assert_eq!(received[0]["counterparty"]["account"], json!(mine));

    let amounts =
        |query: &str| activity(&ann, query).iter().map(|row| cents(&row["amount"])).collect::<Vec<_>>();
    assert_eq!(amounts(&format!("&account={savings}")), [5_00]);
    assert_eq!(amounts("&direction=in&min=10"), [100_00]);
    assert_eq!(amounts("&q=rent"), [30_00]);
    assert_eq!(amounts("&q=no%20such%20text"), [0_i64; 0]);
    let at = rent["at"].as_str().unwrap();
    assert_eq!(amounts(&format!("&to={at}")), [100_00]);
    for (query, status) in
        [("direction=sideways", 400), ("min=x", 400), ("after=x", 400), ("min=2&max=1", 422)]
    {
        ann.get(&format!("/v1/activity?{query}")).problem(status);
    }
    ann.get(&format!("/v1/activity?account={theirs}")).problem(404);

    let entries = ann.all(&format!("/v1/accounts/{mine}/entries"));
    let rent = entries.iter().find(|entry| entry["reference"] == "Rent").unwrap();
    assert_eq!((&rent["kind"], &rent["direction"]), (&json!("transfer"), &json!("out")));
    assert_eq!((&rent["amount"], &rent["balance_after"]), (&euros(-30_00), &euros(70_00)));
    assert_eq!(rent["counterparty"]["name"], "Test Customer");
}

#[test]
fn what_is_held_on_an_account_is_listed_with_what_is_available() {
    let (ann, mine) = bank().customer_with(100_00);
    for n in 1..=3 {
        let body = json!({ "account": mine, "amount": euros(n), "expires_in": 3600 });
        ann.post_keyed("/v1/holds", &format!("h{n}"), &body).expect(201);
    }
    let page = ann.get(&format!("/v1/accounts/{mine}/holds?limit=2")).expect(200);
    assert_eq!((&page["balance"], &page["available"]), (&euros(100_00), &euros(99_94)));
    let next = page["next"].as_str().unwrap();
    let rest = ann.get(&format!("/v1/accounts/{mine}/holds?after={next}")).expect(200);
    let holds = [&page["items"][0], &page["items"][1], &rest["items"][0]];
    assert_eq!(holds.map(|hold| cents(&hold["amount"])), [3, 2, 1]);
    assert!(holds.iter().all(|hold| hold["expires_at"].is_string() && hold["at"].is_string()));
    bank().customer().get(&format!("/v1/accounts/{mine}/holds")).problem(404);
}

#[test]
fn an_account_is_renamed_and_closed_by_its_owner() {
    let (ann, mine) = bank().customer_with(5_00);
    let bea = bank().customer();
    assert_eq!(rename(&ann, &mine, "Holidays").expect(200)["name"], "Holidays");
    assert_eq!(ann.get(&format!("/v1/accounts/{mine}")).expect(200)["name"], "Holidays");
    assert_eq!(rename(&bea, &mine, "Mine").problem(404), "not_found");
    assert_eq!(rename(&ann, &mine, "\u{200b}").problem(422), "invalid_name");
    let close = |who: &Customer| who.send(Request::post(format!("/v1/accounts/{mine}/close")));
    let refused = close(&ann);
    assert_eq!(refused.problem(409), "account_in_use");
    assert_eq!(refused.json()["errors"][0]["field"], "balance");
    assert_eq!(close(&bea).problem(404), "not_found");
    let other = ann.open_account("EUR");
    ann.transfer(&mine, &other, 5_00);
    let closed = close(&ann);
    assert_eq!(close(&ann).body, closed.body);
    assert_eq!(closed.expect(200)["status"], "closed");
    let late = ann.transfer(&other, &mine, 1_00);
    assert_eq!((&late["status"], &late["code"]), (&json!("rejected"), &json!("unknown_account")));
}

#[test]
fn an_account_that_is_opened_with_a_key_is_opened_once_and_answered_byte_for_byte() {
    let ann = bank().customer();
    let body = json!({ "currency": "EUR", "name": "Everyday" });
    let first = ann.post_keyed("/v1/accounts", "open", &body);
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    let id = first.json()["id"].as_str().unwrap().to_owned();
    bank().deposit(&id, 5_00);
    rename(&ann, &id, "Other").expect(200);
    let again = ann.post_keyed("/v1/accounts", "open", &body);
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(ann.all("/v1/accounts").len(), 1);
    let other = ann.post_keyed("/v1/accounts", "open", &json!({ "currency": "USD" }));
    assert_eq!(other.problem(422), "idempotency_key_reused");
}

#[test]
fn no_cell_of_a_statement_begins_as_a_formula_whatever_divides_it() {
    let (ann, mine) = bank().customer_with(10_00);
    let (bea, theirs) = bank().customer_with(0);
    for (n, reference) in ["rent;=1+1;", "=1", "a|@b", "a, +1", "＝1", "\"=1", "a;\"-1"].iter().enumerate() {
        let body = json!({ "from": mine, "to": theirs, "amount": euros(1), "reference": reference });
        ann.post_keyed("/v1/transfers", &format!("r{n}"), &body).expect(201);
    }
    let request = Request::get(format!("/v1/accounts/{theirs}/statement")).header("accept", "text/csv");
    let table = bea.send(request).text();
    assert_eq!(table.lines().count(), 1 + 2 + 7, "{table}");
    for separator in [',', ';', '|', '\t'] {
        for cell in table.lines().flat_map(|line| line.split(separator)) {
            let cell = cell.trim_start_matches(['"', ' ']);
            assert!(!cell.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']), "{cell:?} in {table}");
        }
    }
}

#[test]
fn a_time_that_leaves_the_years_of_rfc_3339_in_utc_is_refused_wherever_one_is_read() {
    let (ann, mine) = bank().customer_with(1_00);
    for time in ["9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00%2B00:01"] {
        for target in [
            format!("/v1/accounts/{mine}/statement?to={time}"),
            format!("/v1/accounts/{mine}/statement?from={time}"),
            format!("/v1/accounts/{mine}/balance?at={time}"),
            format!("/v1/activity?from={time}"),
            format!("/v1/activity?to={time}"),
        ] {
            ann.get(&target).problem(400);
        }
    }
    let last = ann.get(&format!("/v1/accounts/{mine}/statement?to=9999-12-31T23:59:59Z")).expect(200);
    assert_eq!(last["to"], "9999-12-31T23:59:59Z");
}

#[test]
fn names_references_and_labels_have_something_to_see_and_hide_nothing() {
    let (ann, mine) = bank().customer_with(5_00);
    let (_bea, theirs) = bank().customer_with(0);
    for (n, hidden) in [
        "\u{200b}",
        "\u{202e}ecila",
        "\u{2066}a\u{2069}",
        "a\u{e0041}",
        "\u{fe0f}",
        "\u{3164}",
        "\u{301}",
        "\u{e000}",
        "\u{378}",
        "a\u{2060}b",
    ]
    .iter()
    .enumerate()
    {
        let user = json!({
            "username": format!("hidden{n}{}", std::process::id()), "password": "a long password", "name": hidden,
            "email": "h@bank.example"
        });
        ann.client.send_patiently(&Request::post("/v1/customers").json(&user)).problem(422);
        ann.post("/v1/accounts", &json!({ "currency": "EUR", "name": hidden })).problem(422);
        let body = json!({ "from": mine, "to": theirs, "amount": euros(1), "reference": hidden });
        assert_eq!(
            ann.post_keyed("/v1/transfers", &format!("h{n}"), &body).problem(422),
            "invalid_reference"
        );
        let cash = json!({ "account": mine, "amount": euros(1), "reference": hidden });
        let key = format!("hidden {n} {mine}");
        bank().staff("teller").post_keyed("/v1/deposits", &key, &cash).problem(422);
    }
    assert_eq!(ann.balance(&mine), 5_00);
}

#[test]
fn all_accounts_of_a_payee_are_found_page_by_page() {
    let (ann, _) = bank().customer_with(0);
    let carol = bank().customer();
    let opened: Vec<String> = (0..53).map(|_| carol.open_account("EUR")).collect();
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = ann.get(&format!("/v1/payees?username={}{after}", carol.username)).expect(200);
        let items = page["items"].as_array().unwrap();
        found.extend(items.iter().map(|payee| payee["account"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(found, opened);
}
