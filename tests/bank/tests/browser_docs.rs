//! The API's page in a real Chromium: what somebody who writes a client sees and does there.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::time::Duration;

use bank_tests::{Bank, Browser, shared_bank, until};
use serde_json::Value;
use tokio::time::Instant;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const RIGHT: &str = "\u{e014}";

fn bank() -> &'static Bank {
    shared_bank!()
}

fn url(path: &str) -> String {
    format!("http://localhost:{}{path}", bank().client().address().port())
}

fn open(browser: &Browser, hash: &str) {
    // Another page first: a change of the hash alone is no new visit.
    browser.open("about:blank");
    browser.open(&url(&format!("/docs{hash}")));
    browser.see("#operations:not([aria-busy]) article");
}

#[track_caller]
fn quiet(browser: &Browser) {
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "the console complains: {complaints:#?}");
}

fn number(browser: &Browser, script: &str) -> i64 {
    browser.script(&format!("return {script}")).as_i64().unwrap()
}

/// Opens a call and its form.
fn try_form(browser: &Browser, id: &str) {
    open(browser, &format!("#{id}"));
    browser.see(&format!("#{id} .try > summary")).click();
    browser.see(&format!("#{id} .try-form button[type='submit']"));
}

#[test]
fn the_guide_and_every_call_are_there_and_a_call_is_drawn_when_it_opens() {
    let Some(browser) = Browser::start("the API's page") else { return };
    let started = Instant::now();
    open(&browser, "");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let guide = browser.text("#guide").unwrap();
    for section in ["Authentication", "Idempotency", "Errors", "Pages", "Limits"] {
        assert!(guide.contains(section), "{section} is not in the guide");
    }
    assert!(guide.contains("repeat the same request with the same key"), "{guide}");
    let calls = browser.text("#operations").unwrap();
    for path in ["/v1/transfers", "/v1/accounts/{id}/entries", "/v1/sessions/refresh", "/v1/events"] {
        assert!(calls.contains(path), "{path} is not there");
    }
    // A closed call has a heading and no more; the page stays light.
    assert_eq!(number(&browser, "document.querySelectorAll('.operation-body').length"), 0);
    let nodes = number(&browser, "document.querySelectorAll('*').length");
    assert!(nodes < 1_500, "{nodes} elements before anything was opened");

    browser.see("#createTransfer summary").click();
    browser.read("#createTransfer .operation-body", |text| {
        // Who may call, how to repeat it, a constraint, a refusal's code, a field of the answer, an example.
        [
            "scope transfers:write",
            "with the same Idempotency-Key",
            "max length 140",
            "same_account",
            "Headers (",
        ]
        .iter()
        .all(|wanted| text.contains(wanted))
    });
    let headers = browser.script(
        "return [...document.querySelectorAll('#createTransfer .headers .property-name')].map((name) => name.textContent)",
    );
    for name in ["Idempotency-Replayed", "RateLimit", "RateLimit-Policy", "X-Request-Id"] {
        assert!(headers.as_array().unwrap().iter().any(|known| known == name), "{name} is not in {headers}");
    }
    let link = "document.querySelector('.docs-intro a[download]').getAttribute('href')";
    assert_eq!(browser.script(&format!("return {link}")), "/openapi.json");
    quiet(&browser);
}

#[test]
fn a_link_leads_to_its_call_opens_it_and_so_does_the_list_at_the_side() {
    let Some(browser) = Browser::start("a deep link") else { return };
    open(&browser, "#getStatement");
    browser.see("#getStatement .operation-body");
    let top = "Math.round(document.getElementById('getStatement').getBoundingClientRect().top)";
    until("the call at the top of the window", || (0..=200).contains(&number(&browser, top)).then_some(()));
    browser.see("#toc a[href='#placeHold']").click();
    browser.see("#placeHold .operation-body");
    // The guide and the schemas have links too.
    browser.script("location.hash = '#schema-Money'");
    browser.read("#schema-Money", |text| text.contains("currency") && text.contains("pattern"));
    quiet(&browser);
}

#[test]
fn the_filter_keeps_the_calls_with_every_word() {
    let Some(browser) = Browser::start("the filter") else { return };
    open(&browser, "");
    browser.press("/");
    assert_eq!(browser.focus(), "filter");
    browser.see("#filter").write("post /v1/holds");
    browser.read("#filter-count", |text| text.starts_with("3 of "));
    let shown = browser.script(
        "return [...document.querySelectorAll('#operations article')].filter((each) => each.checkVisibility()).map(({ id }) => id)",
    );
    assert_eq!(shown, serde_json::json!(["placeHold", "captureHold", "voidHold"]));
    browser.see("#filter").clear();
    browser.see("#guide");
    quiet(&browser);
}

#[test]
fn signing_in_on_the_page_tries_calls_and_a_reload_forgets_it() {
    let Some(browser) = Browser::start("signing in on the API's page") else { return };
    let (ann, _) = bank().customer_with(1_00);
    open(&browser, "");
    browser.see("#credential-username").write(&ann.username);
    browser.see("#credential-password").write("a wrong password");
    let asked = Instant::now();
    browser.see("#credential-sign-in").click();
    browser.read("#credential-error", |text| text == "The user name or the password is wrong.");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    // Chromium itself notes the refused login; the page adds nothing to that.
    let complaints = browser.complaints();
    assert!(
        complaints.iter().all(|line| line.contains("/v1/sessions") && line.contains("401")),
        "{complaints:#?}"
    );

    browser.see("#credential-password").clear();
    browser.see("#credential-password").write(&ann.password);
    browser.see("#credential-sign-in").click();
    browser.read("#credential-session", |text| text.contains(&ann.username));
    browser.script("location.hash = '#getMe'");
    browser.see("#getMe .try > summary").click();
    browser.see("#getMe .try-form button[type='submit']").click();
    browser.read("#getMe .result .status", |text| text == "200");
    browser.read("#getMe .result", |text| text.contains(&ann.username));

    let stores = "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])";
    let kept = browser.script(&format!("return {stores}"));
    assert_eq!(kept, "[{},{},\"\"]", "what is kept survives the page");
    open(&browser, "#getMe");
    browser.see("#credential-form");
    quiet(&browser);
}

#[test]
fn a_get_asks_for_no_key_and_a_transfer_comes_with_one() {
    let Some(browser) = Browser::start("the key") else { return };
    try_form(&browser, "listAccounts");
    let labels = browser.text("#listAccounts .try-form").unwrap();
    assert!(!labels.contains("Idempotency-Key"), "{labels}");
    try_form(&browser, "createTransfer");
    browser.read("#createTransfer .try-form", |text| text.contains("Idempotency-Key header, required"));
    let key = "document.querySelector('#createTransfer .try-form input[id$=Idempotency-Key]').value.length";
    assert_eq!(number(&browser, key), 38);
    quiet(&browser);
}

#[test]
fn a_sample_is_there_in_four_languages_by_mouse_and_by_keyboard() {
    let Some(browser) = Browser::start("the samples") else { return };
    open(&browser, "#createTransfer");
    let sample = "#createTransfer .sample pre";
    browser.read(sample, |text| {
        text.starts_with("curl 'http://localhost:") && text.contains("Authorization: Bearer $ACCESS_TOKEN")
    });
    browser.see("#createTransfer [data-language='python']").click();
    browser
        .read(sample, |text| text.contains("requests.post(") && text.contains("os.environ['ACCESS_TOKEN']"));
    browser.press(RIGHT);
    browser.read(sample, |text| text.contains("reqwest::blocking") && text.contains("serde_json::json!"));
    browser.press(RIGHT);
    browser.press(RIGHT);
    browser.read(sample, |text| text.contains("await fetch(") && text.contains("process.env.ACCESS_TOKEN"));
    // Another call shows the language that was chosen.
    browser.script("location.hash = '#getMe'");
    browser.read("#getMe .sample pre", |text| text.contains("await fetch("));
    quiet(&browser);
}

#[test]
fn the_keyboard_alone_opens_a_call() {
    let Some(browser) = Browser::start("the keyboard on the API's page") else { return };
    open(&browser, "");
    browser.script("document.querySelector('#group-identity').scrollIntoView(); document.querySelector('#registerCustomer summary').focus()");
    browser.press(ENTER);
    browser.see("#registerCustomer .operation-body");
    browser.press(TAB);
    let inside = "return document.activeElement.closest('article')?.id ?? ''";
    assert_eq!(browser.script(inside), "registerCustomer");
    quiet(&browser);
}

#[test]
fn on_a_phone_of_320_pixels_nothing_of_an_open_call_is_wider_than_the_screen() {
    let Some(browser) = Browser::start("the API's page on a phone") else { return };
    browser.resize(320, 640);
    for call in ["createTransfer", "getStatement", "streamEvents"] {
        open(&browser, &format!("#{call}"));
        browser.see(&format!("#{call} .operation-body"));
        browser.script(&format!(
            "document.querySelectorAll('#{call} details').forEach((details) => {{ details.open = true; }})"
        ));
        browser.see(&format!("#{call} .try-form button[type='submit']"));
        let wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert!(number(&browser, wide) <= 0, "{call} is too wide");
    }
    quiet(&browser);
}

#[test]
fn the_statement_is_tried_as_a_table() {
    let Some(browser) = Browser::start("the statement on the API's page") else { return };
    let (ann, account) = bank().customer_with(1_00);
    try_form(&browser, "getStatement");
    // It stands at the top of the page.
    browser.script("scrollTo(0, 0)");
    browser.see(".credentials details > summary").click();
    browser.see("#bearer").write(&ann.access_token);
    let id = "#getStatement .try-form input[id$='-path-id']";
    browser.see(id).write(&account);
    browser.script(
        "const accept = document.querySelector('#getStatement .try-form select'); accept.value = 'text/csv'",
    );
    browser.see("#getStatement .try-form button[type='submit']").click();
    browser
        .read("#getStatement .result pre[aria-label='Response body']", |text| text.starts_with("booked_at,"));
    assert_ne!(browser.script("return document.querySelector('#bearer').value"), Value::Null);
    quiet(&browser);
}
