//! The pages of those who work at the bank, as they see them.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use bank_tests::{Bank, Browser, shared_bank, until};
use serde_json::json;

fn bank() -> &'static Bank {
    shared_bank!()
}

fn sign_in(browser: &Browser, name: &str) {
    browser.open(&format!("http://localhost:{}/", bank().client().address().port()));
    browser.see("#username").fill(name);
    browser.see("#password").fill(&bank().demo_password(name));
    browser.see("#sign-in").click();
    browser.see("#sign-out");
}

/// Looks for a customer and returns the selector of one of the buttons of their account.
fn find(browser: &Browser, username: &str, account: &str) -> impl Fn(u32) -> String + use<> {
    browser.see("#customer-query").fill(username);
    browser.see("#customer-find").click();
    let row = format!("#customers [data-account='{account}']");
    browser.see(&row);
    move |button| format!("{row} .actions button:nth-child({button})")
}

/// The bank's next answer to a call of this path is lost on its way.
fn lose_answer(browser: &Browser, path: &str) {
    browser.script(&format!(
        "const real = window.fetch;
         window.fetch = async (path, request) => {{
           const answer = await real(path, request);
           if (path !== {} || request?.method !== 'POST') return answer;
           window.fetch = real;
           throw new TypeError('lost');
         }}",
        json!(path)
    ));
}

fn pay_in(browser: &Browser, button: &str, amount: &str) {
    browser.see(button).click();
    browser.see("#counter-amount").fill(amount);
    browser.see("#counter-submit").click();
}

#[test]
fn a_deposit_whose_answer_was_lost_is_settled_before_another_one_is_taken() {
    let Some(browser) = Browser::start("a lost deposit") else { return };
    let (ann, account) = bank().customer_with(10_00);
    sign_in(&browser, "teller");
    let button = find(&browser, &ann.username, &account);
    lose_answer(&browser, "/v1/deposits");
    pay_in(&browser, &button(1), "5.00");
    let asks =
        |text: &str| text.contains("not known whether €5.00 was paid into") && text.contains("Send again");
    browser.read("#counter-open", asks);
    // Closed and opened again it is still what comes first.
    browser.see("#counter-dialog [data-close]").click();
    browser.gone("#counter-dialog");
    browser.see(&button(1)).click();
    browser.read("#counter-open", asks);
    browser.gone("#counter-form");
    browser.see("#counter-again").click();
    browser.read("#toasts", |text| text.contains("€5.00 had been paid in before"));
    browser.gone("#counter-dialog");
    assert_eq!(ann.balance(&account), 15_00);
    // The same once more is another deposit.
    pay_in(&browser, &button(1), "5.00");
    browser.read("#toasts", |text| text.contains("€5.00 paid in"));
    until("the second deposit", || (ann.balance(&account) == 20_00).then_some(()));
}

#[test]
fn a_deposit_that_was_looked_up_and_discarded_is_not_taken_for_the_next_one() {
    let Some(browser) = Browser::start("a discarded deposit") else { return };
    let (ann, account) = bank().customer_with(10_00);
    sign_in(&browser, "teller");
    let button = find(&browser, &ann.username, &account);
    lose_answer(&browser, "/v1/deposits");
    pay_in(&browser, &button(1), "5.00");
    browser.see("#counter-discard").click();
    browser.see("#counter-amount").fill("5.00");
    browser.see("#counter-submit").click();
    browser.read("#toasts", |text| text.contains("€5.00 paid in"));
    until("both deposits", || (ann.balance(&account) == 20_00).then_some(()));
}

#[test]
fn a_proposal_whose_answer_was_lost_is_not_made_twice() {
    let Some(browser) = Browser::start("a lost proposal") else { return };
    let (ann, account) = bank().customer_with(10_00);
    sign_in(&browser, "teller");
    let button = find(&browser, &ann.username, &account);
    lose_answer(&browser, &format!("/v1/accounts/{account}/freeze"));
    browser.see(&button(3)).click();
    browser.see("#counter-reason").fill("The card was stolen");
    browser.see("#counter-submit").click();
    browser.read("#counter-open", |text| {
        text.contains("not known whether the freezing of") && text.contains(&account)
    });
    browser.see("#counter-again").click();
    browser.read("#toasts", |text| text.contains("This had been proposed before"));
    let proposals = bank().staff("teller").all("/v1/approvals");
    assert_eq!(proposals.iter().filter(|each| each["account"] == account.as_str()).count(), 1);
}

#[test]
fn what_the_bank_refuses_at_the_counter_is_said_in_the_pages_words() {
    let Some(browser) = Browser::start("a refused withdrawal") else { return };
    let (ann, account) = bank().customer_with(10_00);
    sign_in(&browser, "teller");
    let button = find(&browser, &ann.username, &account);
    browser.see(&button(2)).click();
    browser.see("#counter-amount").fill("10.01");
    browser.see("#counter-submit").click();
    browser.read("#counter-form", |text| text.contains("There is not enough money in the account."));
    // It was decided: nothing is left to be settled.
    browser.see("#counter-amount").fill("1.00");
    browser.see("#counter-submit").click();
    browser.read("#toasts", |text| text.contains("€1.00 paid out"));
    assert_eq!(ann.balance(&account), 9_00);
}

#[test]
fn what_a_teller_found_is_not_in_the_page_for_whoever_signs_in_next() {
    let Some(browser) = Browser::start("the next teller") else { return };
    let (ann, account) = bank().customer_with(321_09);
    sign_in(&browser, "teller");
    let _ = find(&browser, &ann.username, &account);
    browser.read("#customers", |text| text.contains("321.09"));
    browser.see("#sign-out").click();
    browser.read("#sign-in-reason", |text| text == "You are signed out.");
    let source = browser.script("return document.documentElement.outerHTML");
    let source = source.as_str().unwrap();
    for text in ["321.09", account.as_str(), ann.username.as_str()] {
        assert!(!source.contains(text), "{text} is still in the page");
    }
    assert_eq!(browser.script("return document.getElementById('customer-query').value"), "");
}

#[test]
fn an_operator_sees_what_would_be_moved_decides_it_and_is_told_what_became_of_it() {
    let Some(browser) = Browser::start("approvals") else { return };
    let teller = bank().staff("teller");
    let (ann, from) = bank().customer_with(30_00);
    let (bea, to) = bank().customer_with(0);
    let (first, second) = (ann.transfer(&from, &to, 10_00), ann.transfer(&from, &to, 12_34));
    let propose = |transfer: &serde_json::Value, reason: &str| {
        let body = json!({ "posting": transfer["id"], "reason": reason });
        teller.post("/v1/reversals", &body).expect(202)["approval"].as_str().unwrap().to_owned()
    };
    let good = propose(&first, "Paid to the wrong Bea");
    let bad = propose(&second, "Paid to the wrong Bea as well");
    let refused = propose(&ann.transfer(&from, &to, 1_00), "Not needed");
    sign_in(&browser, "operator");
    browser.see("#tabs a[href='#approvals']").click();
    let row = |id: &str| format!("#approvals [data-approval='{id}']");
    browser.read(&row(&good), |text| {
        [
            "Reverse a posting",
            "Paid to the wrong Bea",
            "+€10.00",
            "\u{2212}€10.00",
            "Proposed by Tilda Teller",
        ]
        .iter()
        .all(|part| text.contains(part))
    });
    browser.see(&format!("{} .actions button:nth-child(1)", row(&good))).click();
    browser.read("#toasts", |text| text.contains("Approved and done"));
    let decided = |id: &str| format!("#approvals-decided [data-approval='{id}']");
    browser.read(&decided(&good), |text| {
        text.contains("Approved and done") && text.contains("Decided by Otto Operator")
    });
    // The money that should go back is gone meanwhile.
    let _ = bea.transfer(&to, &from, 13_34);
    browser.see(&format!("{} .actions button:nth-child(1)", row(&bad))).click();
    browser.read("#toasts", |text| {
        text.contains("Approved, but not done: There is not enough money in the account.")
    });
    browser.read(&decided(&bad), |text| text.contains("Approved, but not done"));
    browser.see(&format!("{} .actions button:nth-child(2)", row(&refused))).click();
    browser.read(&decided(&refused), |text| text.contains("Rejected"));
    assert!(!browser.text("#approvals-view").unwrap().contains("[object"));
}
