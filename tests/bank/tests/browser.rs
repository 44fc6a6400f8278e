//! The web bank in a real Chromium, as a customer uses it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use bank_tests::{Bank, Browser, Shape, cents, program, shared_bank, until};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

fn bank() -> &'static Bank {
    shared_bank!()
}

/// `localhost` is a secure context, which the `__Host-` cookie needs.
fn url_of(bank: &Bank, path: &str) -> String {
    format!("http://localhost:{}{path}", bank.client().address().port())
}

fn url(path: &str) -> String {
    url_of(bank(), path)
}

fn sign_in(browser: &Browser, username: &str, password: &str) {
    sign_in_at(bank(), browser, username, password);
}

fn sign_in_at(bank: &Bank, browser: &Browser, username: &str, password: &str) {
    browser.open(&url_of(bank, "/"));
    browser.see("#username").write(username);
    browser.see("#password").write(password);
    browser.see("#sign-in").click();
    browser.see("#sign-out");
    browser.see("#accounts [data-balance]");
}

#[track_caller]
fn quiet(browser: &Browser) {
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "the console complains: {complaints:#?}");
}

/// The cents of the first account on the page.
fn balance(browser: &Browser) -> i64 {
    let script =
        "const e = document.querySelector('#accounts [data-balance]'); return e ? e.dataset.balance : null";
    until("a balance on the page", || {
        Some(cents(&serde_json::json!({ "amount": browser.script(script).as_str()? })))
    })
}

#[test]
fn alice_signs_in_sends_money_and_bob_sees_it_arrive() {
    walk(Shape::One);
}

#[test]
fn with_five_processes_alice_sends_money_and_bob_sees_it_arrive() {
    walk(Shape::Five);
}

#[cfg(has_servers)]
#[test]
fn on_servers_with_two_copies_of_each_part_alice_sends_money_and_bob_sees_it_arrive() {
    walk(Shape::OnServers);
}

fn walk(shape: Shape) {
    let (Some(alices), Some(bobs)) = (Browser::start("the walk"), Browser::start("the walk")) else { return };
    // A bank of their own.
    let bank = Bank::start(program!(), shape);
    sign_in_at(&bank, &alices, "alice", &bank.demo_password("alice"));
    sign_in_at(&bank, &bobs, "bob", &bank.demo_password("bob"));
    let (had, theirs) = (balance(&alices), balance(&bobs));
    bobs.see("#live[data-state='live']");

    alices.see("#send-open").click();
    alices.see("#payee-query").write("bob");
    alices.see("#payee-find").click();
    alices.see("#payee-results input[name='payee']:checked");
    assert!(alices.text("#payee-results").unwrap().contains("Bob"), "the name is there to be looked at");
    alices.see("#amount").write("25.50");
    alices.see("#reference").write("Dinner");
    alices.see("#send-continue").click();
    alices.read("#review-amount", |text| text.contains("25.50"));
    alices.see("#send-confirm").click();
    let outcome = alices.see("#send-status[data-status='completed']");
    let transfer = outcome.attribute("data-transfer-id").unwrap();
    until("the money to leave", || (balance(&alices) == had - 25_50).then_some(()));

    // On the other side it arrives by itself, without a reload.
    let row = format!("#activity [data-transfer='{transfer}'][data-direction='in'][data-status='completed']");
    bobs.see(&row);
    until("the money to arrive", || (balance(&bobs) == theirs + 25_50).then_some(()));
    bobs.read(&row, |text| text.contains("Dinner") && text.contains("Alice"));
    bobs.read("#notifications-badge", |text| text.trim() != "" && text.trim() != "0");
    if let Some(file) = std::env::var_os("BANK_SCREENSHOT").filter(|_| shape == Shape::One) {
        std::fs::write(file, alices.screenshot()).unwrap();
    }
    assert!(alices.screenshot().starts_with(b"\x89PNG"));

    for browser in [&alices, &bobs] {
        browser.see("#sign-out").click();
        browser.see("#username");
        quiet(browser);
    }
    // Nothing is left that a reload would show.
    alices.open(&url_of(&bank, "/"));
    alices.see("#username");
    assert!(!alices.script("return document.body.innerText").as_str().unwrap().contains("25.50"));
    quiet(&alices);
}

#[test]
fn what_the_page_is_not_allowed_to_do_is_noticed_by_these_tests() {
    let Some(browser) = Browser::start("the console") else { return };
    browser.open(&url("/"));
    browser.see("#username");
    quiet(&browser);
    let inline =
        "const s = document.createElement('script'); s.append('window.inlined = 1'); document.body.append(s)";
    // Refused by the policy, whichever of its rules is first.
    browser.script(&format!("try {{ {inline} }} catch (error) {{ console.error(String(error)) }}"));
    assert_eq!(browser.script("return window.inlined ?? null"), serde_json::Value::Null);
    until("the refusal in the log", || (!browser.complaints().is_empty()).then_some(()));
    browser.script("console.error('complaint')");
    until("the error in the log", || {
        browser.complaints().iter().any(|line| line.contains("complaint")).then_some(())
    });
}

#[test]
fn somebody_new_registers_and_opens_an_account() {
    let Some(browser) = Browser::start("registering") else { return };
    let name = format!("new{}", std::process::id());
    browser.open(&url("/"));
    browser.see("#show-register").click();
    browser.see("#register-name").write("Nora New");
    browser.see("#register-username").write(&name);
    browser.see("#register-email").write("nora@bank.example");
    browser.see("#register-password").write("four unusual words here");
    browser.see("#register").click();
    browser.see("#sign-out");
    browser.see("#account-open").click();
    browser.see("#account-create").click();
    browser.see("#accounts [data-balance]");
    assert_eq!(balance(&browser), 0);
    quiet(&browser);
}

#[test]
fn a_wrong_password_is_said_and_the_page_stays_usable() {
    let Some(browser) = Browser::start("a wrong password") else { return };
    let (customer, _) = bank().customer_with(1_00);
    browser.open(&url("/"));
    browser.see("#username").write(&customer.username);
    browser.see("#password").write("a wrong password");
    browser.see("#sign-in").click();
    browser.read("#sign-in-form .form-error", |text| text.contains("do not belong together"));
    let password = browser.see("#password");
    password.clear();
    password.write(&customer.password);
    browser.see("#sign-in").click();
    browser.see("#sign-out");
    // Chromium itself notes the refused login; the page adds nothing to that.
    let complaints = browser.complaints();
    assert!(
        complaints.iter().all(|line| line.contains("/v1/sessions") && line.contains("401")),
        "{complaints:#?}"
    );
}

#[test]
fn more_money_than_there_is_is_not_sent_and_the_page_says_why() {
    let Some(browser) = Browser::start("too much") else { return };
    let (ann, from) = bank().customer_with(10_00);
    let (_bea, to) = bank().customer_with(0);
    sign_in(&browser, &ann.username, &ann.password);
    browser.see("#send-open").click();
    browser.see("#payee-query").write(&to);
    browser.see("#payee-find").click();
    browser.see("#payee-results input[name='payee']:checked");
    browser.see("#amount").write("10.01");
    browser.see("#send-continue").click();
    browser.see("#review-warning");
    browser.see("#send-confirm").click();
    browser.see("#send-status[data-status='rejected']");
    assert_eq!(ann.balance(&from), 10_00);
    quiet(&browser);
}

#[test]
fn one_can_sign_in_with_the_keyboard_alone() {
    let Some(browser) = Browser::start("the keyboard") else { return };
    let (customer, _) = bank().customer_with(1_00);
    browser.open(&url("/"));
    browser.see("#username");
    // From the start of the page to the first field, by Tab alone.
    for _ in 0..12 {
        if browser.focus() == "username" {
            break;
        }
        browser.press(TAB);
    }
    assert_eq!(browser.focus(), "username");
    browser.press(&customer.username);
    browser.press(TAB);
    assert_eq!(browser.focus(), "password");
    browser.press(&customer.password);
    browser.press(ENTER);
    browser.see("#sign-out");
    browser.see("#accounts [data-balance]");
    // And on to the button that sends money, which opens what it says.
    for _ in 0..15 {
        if browser.focus() == "send-open" {
            break;
        }
        browser.press(TAB);
    }
    assert_eq!(browser.focus(), "send-open");
    browser.press(ENTER);
    browser.see("#payee-query");
    quiet(&browser);
}

#[test]
fn on_a_phone_nothing_is_wider_than_the_screen() {
    let Some(browser) = Browser::start("a phone") else { return };
    let (ann, from) = bank().customer_with(12_345_678_90);
    let (_bea, to) = bank().customer_with(0);
    let _ = ann.transfer(&from, &to, 1_234_567_89);
    browser.resize(360, 740);
    let fits = |what: &str| {
        let wide = browser
            .script("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
        let which = browser.script(
            "const edge = document.documentElement.clientWidth;
             return [...document.querySelectorAll('body *')]
               .filter((each) => each.getBoundingClientRect().right > edge)
               .slice(0, 5).map((each) => `${each.tagName}.${each.className} ${each.textContent.slice(0, 60)}`)",
        );
        assert!(wide.as_i64().unwrap() <= 0, "{what} is {wide} pixels too wide: {which}");
    };
    browser.open(&url("/"));
    browser.see("#username");
    fits("the sign-in page");
    sign_in(&browser, &ann.username, &ann.password);
    browser.see("#activity [data-transfer]");
    fits("the home page");
    browser.see("#send-open").click();
    browser.see("#payee-query");
    fits("the form to send money");
    browser.open(&url("/docs"));
    browser.see("#operations article");
    fits("the API's page");
    quiet(&browser);
}

#[test]
fn the_docs_show_every_call_and_try_one() {
    let Some(browser) = Browser::start("the docs") else { return };
    let (ann, _) = bank().customer_with(1_00);
    sign_in(&browser, &ann.username, &ann.password);
    browser.open(&url("/docs"));
    browser.see("#operations:not([aria-busy]) article");
    let text = browser.text("#operations").unwrap();
    for path in ["/v1/transfers", "/v1/accounts/{id}/entries", "/v1/sessions/refresh", "/v1/events"] {
        assert!(text.contains(path), "{path} is not described");
    }
    browser.script(
        "const article = [...document.querySelectorAll('#operations article')].find((each) => {
           const path = each.querySelector('.operation-path');
           return path && /^GET\\s*\\/v1\\/me\\s*#?$/.test(path.textContent.trim());
         });
         article.id = 'try-me';
         article.querySelector('details').open = true;",
    );
    browser.see("#try-me .try > summary").click();
    browser.see("#try-me .try-form button[type='submit']").click();
    browser.read("#try-me .result .status", |text| text == "200");
    browser.read("#try-me .result", |text| text.contains(&ann.username));
    quiet(&browser);
}
