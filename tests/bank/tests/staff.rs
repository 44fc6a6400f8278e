//! What members of staff do, and that each of them needs a colleague for what is grave.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use bank_tests::{Bank, Customer, Request, euros, shared_bank, until};
use serde_json::{Value, json};

fn bank() -> &'static Bank {
    shared_bank!()
}

fn propose(target: &str, body: &Value) -> String {
    let proposed = bank().staff("teller").post(target, body).expect(202);
    proposed["approval"].as_str().unwrap().to_owned()
}

/// Approves as somebody, and waits until it is done.
fn approved(who: &Customer, id: &str) -> Value {
    let decided = who.post(&format!("/v1/approvals/{id}/approve"), &json!({ "reason": "seen" })).expect(200);
    if decided["status"] != "approved" {
        return decided;
    }
    until("what was approved to be done", || {
        let all = who.all("/v1/approvals");
        all.into_iter().find(|approval| approval["id"] == id && approval["status"] != "approved")
    })
}

#[test]
fn a_teller_pays_cash_out_once_and_never_more_than_there_is() {
    let (ann, mine) = bank().customer_with(50_00);
    let teller = bank().staff("teller");
    let body = json!({ "account": mine, "amount": euros(20_00), "reference": "counter 7" });
    assert_eq!(ann.post_keyed("/v1/withdrawals", "w", &body).problem(403), "forbidden");
    teller.post("/v1/withdrawals", &body).problem(400);
    let key = format!("withdrawal from {mine}");
    let first = teller.post_keyed("/v1/withdrawals", &key, &body);
    let again = teller.post_keyed("/v1/withdrawals", &key, &body);
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let paid = first.expect(201);
    assert_eq!(
        (&paid["amount"], &paid["balance"], &paid["account"]),
        (&euros(20_00), &euros(30_00), &json!(mine))
    );
    let more = json!({ "account": mine, "amount": euros(30_01) });
    let key = format!("too much from {mine}");
    assert_eq!(teller.post_keyed("/v1/withdrawals", &key, &more).problem(422), "insufficient_funds");
    assert_eq!(ann.balance(&mine), 30_00);
    let trial = bank().staff("auditor").get("/v1/ledger/trial-balance").expect(200);
    assert_eq!(trial["balanced"], true);
}

#[test]
fn a_teller_finds_a_customer_by_the_whole_user_name_or_an_account() {
    let (ann, mine) = bank().customer_with(5_00);
    let teller = bank().staff("teller");
    let by_name = teller.get(&format!("/v1/staff/customers?username={}", ann.username)).expect(200);
    let by_account = teller.get(&format!("/v1/staff/customers?account={mine}")).expect(200);
    assert_eq!(by_name, by_account);
    let found = &by_name["items"][0];
    assert_eq!((&found["id"], &found["username"]), (&json!(ann.id), &json!(ann.username)));
    assert_eq!((&found["accounts"][0]["id"], &found["accounts"][0]["balance"]), (&json!(mine), &euros(5_00)));
    let part = &ann.username[..ann.username.len() - 1];
    let nobody = teller.get(&format!("/v1/staff/customers?username={part}")).expect(200);
    assert_eq!(nobody["items"], json!([]));
    teller.get("/v1/staff/customers").problem(400);
    for other in [&ann, &bank().staff("auditor"), &bank().staff("operator")] {
        other.get(&format!("/v1/staff/customers?username={}", ann.username)).problem(403);
    }
}

#[test]
fn a_transfer_is_undone_when_a_second_member_of_staff_approves() {
    let (ann, mine) = bank().customer_with(50_00);
    let (bea, theirs) = bank().customer_with(0);
    let sent = ann.transfer(&mine, &theirs, 20_00);
    let id = propose("/v1/reversals", &json!({ "posting": sent["id"], "reason": "paid twice" }));
    let (teller, operator) = (bank().staff("teller"), bank().staff("operator"));
    let target = format!("/v1/approvals/{id}/approve");
    assert_eq!(teller.post(&target, &json!({})).problem(403), "own_proposal");
    assert_eq!(ann.post(&target, &json!({})).problem(403), "forbidden");
    assert_eq!(bank().staff("auditor").post(&target, &json!({})).problem(403), "forbidden");
    let open = teller.get("/v1/approvals?status=open").expect(200)["items"].clone();
    let open = open.as_array().unwrap().iter().find(|approval| approval["id"] == json!(id)).unwrap().clone();
    assert_eq!((&open["kind"], &open["posting"]), (&json!("reversal"), &sent["id"]));
    assert_eq!((&open["reason"], &open["proposed_by"]["id"]), (&json!("paid twice"), &json!(teller.id)));
    assert_eq!((ann.balance(&mine), bea.balance(&theirs)), (30_00, 20_00));

    let done = approved(&operator, &id);
    assert_eq!((&done["status"], &done["decided_by"]["id"]), (&json!("completed"), &json!(operator.id)));
    assert_eq!(done["decision_reason"], "seen");
    assert_eq!((ann.balance(&mine), bea.balance(&theirs)), (50_00, 0));
    assert_eq!(
        operator.post(&target, &json!({})).expect(200)["status"],
        "completed",
        "the answer may be lost"
    );
    let other = operator.post(&format!("/v1/approvals/{id}/reject"), &json!({}));
    assert_eq!(other.problem(409), "already_decided");
    let row = ann.get("/v1/activity?limit=1").expect(200)["items"][0].clone();
    assert_eq!(
        (&row["kind"], &row["direction"], &row["amount"]),
        (&json!("reversal"), &json!("in"), &euros(20_00))
    );
    let again =
        bank().staff("teller").post("/v1/reversals", &json!({ "posting": sent["id"], "reason": "again" }));
    assert_eq!(again.problem(409), "not_reversible");
}

#[test]
fn an_account_is_frozen_and_unfrozen_by_two() {
    let (ann, mine) = bank().customer_with(50_00);
    let (_bea, theirs) = bank().customer_with(0);
    let (teller, operator) = (bank().staff("teller"), bank().staff("operator"));
    let id = propose(&format!("/v1/accounts/{mine}/freeze"), &json!({ "reason": "stolen card" }));
    assert_eq!(ann.transfer(&mine, &theirs, 1_00)["status"], "completed", "nothing is frozen before");
    assert_eq!(approved(&operator, &id)["status"], "completed");
    assert_eq!(ann.get(&format!("/v1/accounts/{mine}")).expect(200)["status"], "frozen");
    let refused = ann.transfer(&mine, &theirs, 1_00);
    assert_eq!((&refused["status"], &refused["code"]), (&json!("rejected"), &json!("account_blocked")));
    let cash = json!({ "account": mine, "amount": euros(1) });
    let key = format!("into the frozen {mine}");
    assert_eq!(teller.post_keyed("/v1/deposits", &key, &cash).problem(422), "account_blocked");
    let close = ann.send(Request::post(format!("/v1/accounts/{mine}/close")));
    assert_eq!(close.problem(409), "account_in_use");

    let thaw = json!({ "reason": "the card was found" });
    let once = propose(&format!("/v1/accounts/{mine}/unfreeze"), &thaw);
    let twice = teller.post(&format!("/v1/accounts/{mine}/unfreeze"), &thaw);
    assert_eq!(twice.problem(409), "already_proposed");
    operator.post(&format!("/v1/approvals/{once}/reject"), &json!({})).expect(200);
    let rejected = propose(&format!("/v1/accounts/{mine}/unfreeze"), &thaw);
    let decided = operator.post(&format!("/v1/approvals/{rejected}/reject"), &json!({})).expect(200);
    assert_eq!(decided["status"], "rejected");
    assert_eq!(ann.get(&format!("/v1/accounts/{mine}")).expect(200)["status"], "frozen");
    let id = propose(&format!("/v1/accounts/{mine}/unfreeze"), &thaw);
    assert_eq!(approved(&operator, &id)["status"], "completed");
    assert_eq!(ann.transfer(&mine, &theirs, 1_00)["status"], "completed");
    assert_eq!(
        teller.post(&format!("/v1/accounts/{mine}/unfreeze"), &thaw).problem(409),
        "account_not_frozen"
    );
    teller.post("/v1/accounts/acc_of_nobody/freeze", &thaw).problem(404);
    ann.post(&format!("/v1/accounts/{mine}/freeze"), &thaw).problem(403);
}

#[test]
fn a_proposal_with_a_key_is_made_once_and_answered_byte_for_byte() {
    let (_ann, mine) = bank().customer_with(0);
    let teller = bank().staff("teller");
    let (target, key) = (format!("/v1/accounts/{mine}/freeze"), format!("freeze {mine}"));
    let body = json!({ "reason": "stolen card" });
    let first = teller.post_keyed(&target, &key, &body);
    let again = teller.post_keyed(&target, &key, &body);
    assert_eq!((first.status, again.status, &again.body), (202, 202, &first.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = teller.post_keyed(&target, &key, &json!({ "reason": "another" }));
    assert_eq!(other.problem(422), "idempotency_key_reused");
    teller.post(&target, &json!({ "reason": " " })).problem(422);
    teller.post(&target, &json!({})).problem(400);
}

#[test]
fn an_id_of_dots_names_nothing() {
    let (ann, mine) = bank().customer_with(1_00);
    for dots in [".", ".."] {
        assert_eq!(ann.get(&format!("/v1/transfers?account={dots}")).problem(404), "not_found", "{dots}");
        let undo = json!({ "posting": dots, "reason": "paid twice" });
        assert_eq!(bank().staff("teller").post("/v1/reversals", &undo).problem(404), "not_found", "{dots}");
        assert_eq!(ann.transfer(&mine, dots, 1)["code"], "unknown_account", "{dots}");
    }
}
