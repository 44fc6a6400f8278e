//! What the web bank's page says, word for word as a person reads it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::time::Duration;

use bank_tests::{Bank, Browser, Customer, program, shared_bank, until};
use serde_json::json;
use tokio::time::Instant;

fn bank() -> &'static Bank {
    shared_bank!()
}

fn url_of(bank: &Bank, path: &str) -> String {
    format!("http://localhost:{}{path}", bank.client().address().port())
}

fn url(path: &str) -> String {
    url_of(bank(), path)
}

fn sign_in_at(bank: &Bank, browser: &Browser, username: &str, password: &str) {
    browser.open(&url_of(bank, "/"));
    browser.see("#username").fill(username);
    browser.see("#password").fill(password);
    browser.see("#sign-in").click();
    browser.see("#sign-out");
}

fn sign_in(browser: &Browser, customer: &Customer) {
    sign_in_at(bank(), browser, &customer.username, &customer.password);
    browser.see("#accounts [data-balance]");
}

/// Fills in a payment up to the amount and goes on.
fn ask_to_send(browser: &Browser, to: &str, amount: &str) {
    browser.see("#send-open").click();
    browser.see("#payee-query").fill(to);
    browser.see("#payee-find").click();
    browser.see("#payee-results input[name='payee']:checked");
    browser.see("#amount").fill(amount);
    browser.see("#send-continue").click();
}

fn count(browser: &Browser, selector: &str) -> i64 {
    browser.script(&format!("return document.querySelectorAll({}).length", json!(selector))).as_i64().unwrap()
}

#[test]
fn a_wrong_password_is_said_in_words_within_seconds_and_no_box_of_the_browser_opens() {
    let Some(browser) = Browser::start("a wrong password") else { return };
    let (ann, _) = bank().customer_with(1_00);
    browser.open(&url("/"));
    browser.see("#username").fill(&ann.username);
    browser.see("#password").fill("a wrong password");
    let asked = Instant::now();
    browser.see("#sign-in").click();
    let said = browser.read("#sign-in-form .form-error", |text| !text.trim().is_empty());
    // A call that the browser's own box holds up is given up after 20 seconds.
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    assert_eq!(said.trim(), "This username and password do not belong together.");
}

#[test]
fn a_new_customer_is_told_the_rules_before_and_that_there_are_no_payments_yet() {
    let Some(browser) = Browser::start("somebody new") else { return };
    browser.open(&url("/"));
    browser.see("#show-register").click();
    browser.read("#register-password-hint", |text| text.contains("10 to 128 characters"));
    browser.read("#register-username-hint", |text| text.contains("3 to 32"));
    browser.see("#register-name").write("Nora New");
    browser.see("#register-username").write("not a username");
    browser.see("#register-email").write("nora@bank.example");
    browser.see("#register-password").write("four unusual words here");
    browser.see("#register").click();
    browser.read("#register-username-error", |text| text.starts_with("Use 3 to 32 of a–z"));
    browser.see("#register-username").fill(&format!("nora{}", std::process::id()));
    browser.see("#register").click();
    browser.see("#hero-open");
    browser.read("#activity", |text| text.contains("No payments yet"));
}

#[test]
fn activity_says_who_and_which_way_and_cash_is_there_too() {
    let Some(browser) = Browser::start("activity") else { return };
    let (ann, from) = bank().customer_with(50_00);
    let (bea, to) = bank().customer_with(20_00);
    let sent = ann.transfer(&from, &to, 12_50);
    let got = bea.transfer(&to, &from, 3_00);
    sign_in(&browser, &ann);
    let row = |transfer: &serde_json::Value| {
        format!("#activity [data-transfer='{}']", transfer["id"].as_str().unwrap())
    };
    browser.read(&row(&sent), |text| text.contains("Test Customer") && text.contains("\u{2212}€12.50"));
    browser.read(&row(&got), |text| text.contains("Test Customer") && text.contains("+€3.00"));
    browser.read("#activity [data-kind='deposit']", |text| {
        text.contains("Cash deposit") && text.contains("+€50.00")
    });
    // The same on the account's own page.
    browser.see("#accounts a").click();
    browser.read("#entries [data-kind='deposit']", |text| text.contains("+€50.00"));
    browser.read(&row(&sent).replace("#activity", "#entries"), |text| text.contains("Test Customer"));
}

#[test]
fn while_accounts_cannot_be_loaded_what_was_sent_is_not_shown_as_received() {
    let Some(browser) = Browser::start("without accounts") else { return };
    let (ann, from) = bank().customer_with(50_00);
    let (_bea, to) = bank().customer_with(0);
    let sent = ann.transfer(&from, &to, 12_50);
    sign_in(&browser, &ann);
    // As if the service were away: the page's own calls for accounts fail from now on.
    browser.script(
        "const real = window.fetch;
         window.fetch = (path, ...rest) =>
           String(path).startsWith('/v1/accounts') ? Promise.reject(new TypeError('away')) : real(path, ...rest);
         dispatchEvent(new Event('online'))",
    );
    let row = format!("#activity [data-transfer='{}'] .figure", sent["id"].as_str().unwrap());
    browser.read(&row, |text| text.contains("\u{2212}€12.50"));
}

#[test]
fn a_row_opens_its_details_and_back_closes_them_and_leaves_the_view() {
    let Some(browser) = Browser::start("details") else { return };
    let (ann, from) = bank().customer_with(50_00);
    let (_bea, to) = bank().customer_with(0);
    let _ = ann.transfer(&from, &to, 9_00);
    sign_in(&browser, &ann);
    browser.see("#accounts a").click();
    browser.see("#entries [data-kind='deposit'] button").click();
    browser.see("#detail-dialog[open]");
    browser.read("#detail", |text| text.contains("+€50.00") && text.contains("Balance after"));
    browser.back();
    browser.gone("#detail-dialog");
    browser.see("#account-view");
    browser.see("#entries [data-direction='out'] button").click();
    browser.read("#detail", |text| text.contains("\u{2212}€9.00") && text.contains("Test Customer"));
    browser.back();
    browser.gone("#detail-dialog");
    browser.back();
    browser.see("#home-view");
}

#[test]
fn activity_can_be_searched_and_filtered() {
    let Some(browser) = Browser::start("search") else { return };
    let (ann, from) = bank().customer_with(50_00);
    let (_bea, to) = bank().customer_with(0);
    let _ = ann.transfer(&from, &to, 1_00);
    sign_in(&browser, &ann);
    browser.see("#activity [data-direction='out']");
    browser.see("#activity-search").click();
    browser.script(
        "const select = document.getElementById('activity-direction');
         select.value = 'in';
         select.dispatchEvent(new Event('input', { bubbles: true }))",
    );
    browser.gone("#activity [data-direction='out']");
    browser.see("#activity [data-direction='in']");
    browser.see("#activity-q").write("nobody writes this");
    browser.read("#activity", |text| text.contains("Nothing found"));
    browser.see("#activity-search").click();
    browser.see("#activity [data-direction='out']");
}

#[test]
fn a_refused_payment_is_said_once_with_its_reason_and_without_a_tick() {
    let Some(browser) = Browser::start("refused") else { return };
    let (ann, _) = bank().customer_with(10_00);
    let (_bea, to) = bank().customer_with(0);
    sign_in(&browser, &ann);
    browser.see("#live[data-state='live']");
    ask_to_send(&browser, &to, "5,000.00");
    browser.see("#send-confirm").click();
    browser.read("#send-status[data-status='rejected']", |text| {
        text.contains("Not sent: €5,000.00 to Test Customer") && text.contains("not enough money")
    });
    assert_eq!(
        browser.script("return document.querySelector('#send-status use').getAttribute('href')"),
        "#i-alert"
    );
    // The notification has come, in the same words as everywhere, and nothing else was said of it.
    browser.read("#notifications-badge", |text| !text.trim().is_empty());
    assert_eq!(count(&browser, "#toasts .toast"), 0);
    browser.see("#notifications-open").click();
    let note = "#notifications [data-tone='error']";
    // A refusal tells nobody's name: who only has an account's id does not learn by it whose it is.
    browser.read(note, |text| {
        text.contains("€5,000.00 to") && text.contains("was not sent") && !text.contains("Test Customer")
    });
    browser.see("#notifications-dialog [data-close]").click();
    // It does not follow to other views.
    browser.see("#accounts a").click();
    browser.gone("#send-status");
}

#[test]
fn good_news_goes_by_itself() {
    let Some(browser) = Browser::start("good news") else { return };
    let (ann, _) = bank().customer_with(10_00);
    let (_bea, to) = bank().customer_with(0);
    sign_in(&browser, &ann);
    ask_to_send(&browser, &to, "1.00");
    browser.see("#send-confirm").click();
    browser
        .read("#send-status[data-status='completed']", |text| text.contains("Sent: €1.00 to Test Customer"));
    browser.gone("#send-status");
}

#[test]
fn whom_one_paid_and_ones_own_accounts_need_no_search() {
    let Some(browser) = Browser::start("recent payees") else { return };
    let (ann, from) = bank().customer_with(10_00);
    let (_bea, to) = bank().customer_with(0);
    let own = ann.open_account("EUR");
    let _ = ann.transfer(&from, &to, 1_00);
    sign_in(&browser, &ann);
    browser.see("#send-open").click();
    browser.see(&format!("#payee-suggestions [data-account='{to}']"));
    browser.see(&format!("#payee-suggestions [data-account='{own}']")).click();
    browser.see("#amount").write("2.00");
    browser.see("#send-continue").click();
    browser.see("#send-confirm").click();
    browser.see("#send-status[data-status='completed']");
    until("the money to move", || (ann.balance(&own) == 2_00).then_some(()));
}

#[test]
fn an_account_whose_opening_was_not_answered_is_not_opened_twice() {
    let Some(browser) = Browser::start("a lost answer") else { return };
    let ann = bank().customer();
    sign_in_at(bank(), &browser, &ann.username, &ann.password);
    // The bank's answer is lost on its way, once.
    browser.script(
        "const real = window.fetch;
         window.fetch = async (path, request) => {
           const answer = await real(path, request);
           if (path !== '/v1/accounts' || request?.method !== 'POST') return answer;
           window.fetch = real;
           throw new TypeError('lost');
         }",
    );
    browser.see("#hero-open").click();
    browser.see("#account-name").write("Only one");
    browser.see("#account-create").click();
    browser.read("#account-form .form-error", |text| text.contains("it cannot be opened twice"));
    browser.see("#account-create").click();
    browser.read("#accounts", |text| text.contains("Only one"));
    assert_eq!(ann.all("/v1/accounts").len(), 1);
}

#[test]
fn an_amount_is_read_as_the_page_prints_it_and_what_means_two_things_is_asked_back() {
    let Some(browser) = Browser::start("amounts") else { return };
    let (ann, _) = bank().customer_with(10_000_00);
    let (_bea, to) = bank().customer_with(0);
    sign_in(&browser, &ann);
    ask_to_send(&browser, &to, "1,234");
    browser.read("#amount-error", |text| text == "“1,234” can be read in two ways. Write 1234.00 or 1.23.");
    for written in ["1,234.50", "€1,234.50", "1.234,50", "1234.5", "1 234.50", "١٬٢٣٤٫٥٠"] {
        browser.see("#amount").fill(written);
        browser.see("#send-continue").click();
        browser.read("#review-amount", |text| text == "€1,234.50");
        browser.see("#send-back").click();
    }
    browser.see("#amount").fill("1.234");
    browser.see("#send-continue").click();
    browser.read("#amount-error", |text| text == "At most 2 digits after the decimal sign.");
}

#[test]
fn a_big_amount_stays_in_one_line_and_names_are_read_whole_on_the_smallest_phone() {
    let Some(browser) = Browser::start("big amounts") else { return };
    let ann = bank().customer();
    let name = "Everyday, and what is left of it";
    let account = ann.post("/v1/accounts", &json!({ "currency": "EUR", "name": name })).expect(201);
    bank().deposit(account["id"].as_str().unwrap(), 98_765_432_109_99);
    browser.resize(320, 640);
    sign_in(&browser, &ann);
    browser.read("#balance-total", |text| text.trim() == "€98,765,432,109.99");
    browser.see("#activity [data-kind='deposit']");
    let fits = browser.script(
        "const edge = document.documentElement.clientWidth;
         const broken = [...document.querySelectorAll('.money')].filter((each) => {
           const lines = new Set([...each.getClientRects()].map((line) => Math.round(line.top)));
           return each.checkVisibility() && (lines.size > 1 || each.getBoundingClientRect().right > edge);
         });
         return broken.map((each) => each.textContent)",
    );
    assert_eq!(fits, json!([]));
    let title = "#accounts .row-title";
    assert_eq!(browser.text(title).unwrap(), name);
    let cut = browser.script(&format!(
        "const e = document.querySelector('{title}'); return e.scrollWidth > e.clientWidth || e.clientWidth < 60"
    ));
    assert_eq!(cut, false);
    // Every sheet can be closed, also with a second button in its head.
    browser.see("#notifications-badge");
    browser.see("#notifications-open").click();
    browser.see("#notifications-all");
    let inside = browser.script(
        "const close = document.querySelector('#notifications-dialog [data-close]').getBoundingClientRect();
         const sheet = document.getElementById('notifications-dialog');
         return close.left >= 0 && close.right <= innerWidth && sheet.scrollWidth <= sheet.clientWidth",
    );
    assert_eq!(inside, true);
}

#[test]
fn all_notifications_are_marked_read_however_many_there_are() {
    let Some(browser) = Browser::start("many notifications") else { return };
    let (ann, account) = bank().customer_with(0);
    for _ in 0..30 {
        bank().deposit(&account, 1_00);
    }
    until("all notifications", || (ann.all("/v1/notifications").len() == 30).then_some(()));
    sign_in(&browser, &ann);
    browser.read("#notifications-badge", |text| text == "30");
    browser.see("#notifications-open").click();
    browser.read("#notifications", |text| text.contains("€1.00 paid in as cash"));
    browser.see("#notifications-all").click();
    browser.gone("#notifications-badge");
    browser.reload();
    browser.see("#accounts [data-balance]");
    browser.wait_for(
        "the inbox",
        "return document.querySelector('#notifications [data-notification]') !== null",
    );
    browser.gone("#notifications-badge");
    assert!(ann.all("/v1/notifications").iter().all(|each| each["read"] == true));
}

#[test]
fn without_a_network_the_page_does_not_say_that_it_is_live() {
    let Some(browser) = Browser::start("no network") else { return };
    let (ann, account) = bank().customer_with(1_00);
    sign_in(&browser, &ann);
    browser.see("#live[data-state='live']");
    browser.set_offline(true);
    browser.see("#live[data-state='offline']");
    browser.read("#live", |text| text == "Not live");
    bank().deposit(&account, 1_00);
    browser.set_offline(false);
    browser.see("#live[data-state='live']");
    // What was missed is there.
    browser.read("#accounts [data-balance]", |text| text.contains("2.00"));
}

#[test]
fn a_statement_is_one_click_away_and_prints_without_the_page_around_it() {
    let Some(browser) = Browser::start("the statement") else { return };
    let (ann, from) = bank().customer_with(50_00);
    let (_bea, to) = bank().customer_with(0);
    let _ = ann.transfer(&from, &to, 12_50);
    sign_in(&browser, &ann);
    browser.see("#accounts a").click();
    browser.see("#account-statement").click();
    browser.read("#statement", |text| {
        ["Opening balance", "€50.00", "€12.50", "€37.50", "Closing balance"]
            .iter()
            .all(|part| text.contains(part))
    });
    browser.see("#statement-csv");
    browser.set_printing(true);
    browser.gone(".bar");
    browser.gone("#statement-csv");
    browser.see("#statement-rows");
    browser.set_printing(false);
    browser.see("#statement-previous").click();
    browser.read("#statement-empty", |text| text == "Nothing moved in this month.");
}

#[test]
fn the_page_speaks_german_to_whom_chooses_it_and_keeps_to_it() {
    let Some(browser) = Browser::start("German") else { return };
    let (ann, _) = bank().customer_with(1_234_50);
    sign_in(&browser, &ann);
    browser.script(
        "const select = document.getElementById('language');
         select.value = 'de';
         select.dispatchEvent(new Event('change'))",
    );
    browser.read("#sign-out", |text| text == "Abmelden");
    browser.read("#accounts [data-balance]", |text| text.contains("1.234,50\u{a0}€"));
    browser.read("#activity [data-kind='deposit']", |text| text.contains("Bareinzahlung"));
    assert_eq!(browser.script("return document.documentElement.lang"), "de");
    browser.reload();
    browser.read("#sign-out", |text| text == "Abmelden");
    browser.see("#sign-out").click();
    browser.read("#sign-in-reason", |text| text == "Sie sind abgemeldet.");
    browser.see("#username").fill(&ann.username);
    browser.see("#password").fill("ein falsches Passwort");
    browser.see("#sign-in").click();
    browser.read("#sign-in-form .form-error", |text| {
        text == "Benutzername und Passwort gehören nicht zusammen."
    });
}

#[test]
fn what_people_wrote_does_not_reorder_what_stands_around_it() {
    let Some(browser) = Browser::start("bidi") else { return };
    let ann = bank().customer();
    let account =
        ann.post("/v1/accounts", &json!({ "currency": "EUR", "name": "חשבון יומיומי" })).expect(201);
    bank().deposit(account["id"].as_str().unwrap(), 1_00);
    sign_in(&browser, &ann);
    browser.see("#activity [data-kind='deposit']");
    let bare = browser.script(
        "const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
         const bare = [];
         while (walk.nextNode()) {
           const text = walk.currentNode;
           if (/[\\u0590-\\u05ff]/.test(text.data) && !text.parentElement.closest('bdi, option')) bare.push(text.data);
         }
         return bare",
    );
    assert_eq!(bare, json!([]));
}

#[test]
fn what_is_not_there_is_said_in_the_pages_own_words() {
    let Some(browser) = Browser::start("not there") else { return };
    let (ann, _) = bank().customer_with(1_00);
    sign_in(&browser, &ann);
    browser.open(&url("/#account/acc_nothing"));
    browser.read("#account-title", |text| text == "No such account");
    browser.read("#entries", |text| text.contains("There is nothing here that you may see."));
}

#[test]
fn a_teller_finds_a_customer_pays_cash_in_and_out_and_proposes_a_freeze() {
    let Some(browser) = Browser::start("the counter") else { return };
    let bank = Bank::start(program!(), bank_tests::Shape::One);
    let (ann, account) = bank.customer_with(10_00);
    sign_in_at(&bank, &browser, "teller", &bank.demo_password("teller"));
    browser.see("#customer-query").write(&ann.username);
    browser.see("#customer-find").click();
    let row = format!("#customers [data-account='{account}']");
    browser.see(&format!("{row} .actions button:nth-child(1)")).click();
    browser.see("#counter-amount").write("5.00");
    browser.see("#counter-submit").click();
    browser.read("#toasts", |text| text.contains("€5.00 paid in"));
    browser.see(&format!("{row} .actions button:nth-child(2)")).click();
    browser.see("#counter-amount").write("1.00");
    browser.see("#counter-submit").click();
    browser.read("#toasts", |text| text.contains("€1.00 paid out"));
    assert_eq!(ann.balance(&account), 14_00);
    browser.see(&format!("{row} .actions button:nth-child(3)")).click();
    browser.see("#counter-reason").write("The card was stolen");
    browser.see("#counter-submit").click();
    browser.read("#toasts", |text| text.contains("Another member of staff has to approve it"));
    browser.see("#tabs a[href='#approvals']").click();
    browser.read("#approvals", |text| {
        text.contains("The card was stolen") && text.contains("somebody else decides")
    });
    assert_eq!(count(&browser, "#approvals .actions button"), 0, "one's own proposal is not offered");
}

#[test]
fn an_auditor_sees_that_the_books_balance() {
    let Some(browser) = Browser::start("the books") else { return };
    let (_ann, _) = bank().customer_with(1_00);
    sign_in_at(bank(), &browser, "auditor", &bank().demo_password("auditor"));
    browser.read("#books", |text| text.contains("The books balance: every currency sums to zero."));
    browser.see("#books [data-currency='EUR']");
}

/// What the elements that a selector finds have in a `data-` attribute, from the top.
fn all_of(browser: &Browser, selector: &str, name: &str) -> Vec<String> {
    let script = format!(
        "return [...document.querySelectorAll({})].map((each) => each.dataset[{}])",
        json!(selector),
        json!(name)
    );
    serde_json::from_value(browser.script(&script)).unwrap()
}

fn ids(items: &[serde_json::Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_list_that_was_read_on_has_neither_holes_nor_ghosts_when_it_is_refreshed() {
    let Some(browser) = Browser::start("a long list") else { return };
    let (ann, account) = bank().customer_with(1_00);
    let deposit_thirty = || (0..30).for_each(|_| bank().deposit(&account, 1_00));
    deposit_thirty();
    until("all notifications", || (ann.all("/v1/notifications").len() == 31).then_some(()));
    sign_in(&browser, &ann);
    browser.see("#activity-more").click();
    let rows = "#activity [data-activity]";
    browser
        .wait_for("all rows", "return document.querySelectorAll('#activity [data-activity]').length === 31");
    browser.see("#notifications-open").click();
    browser.see("#notifications-more").click();
    let notes = "#notifications [data-notification]";
    browser.wait_for("all notes", &format!("return document.querySelectorAll('{notes}').length === 31"));
    // More than a page of them comes while there is no network.
    browser.set_offline(true);
    browser.see("#live[data-state='offline']");
    deposit_thirty();
    until("all notifications", || (ann.all("/v1/notifications").len() == 61).then_some(()));
    browser.set_offline(false);
    let (activity, inbox) = (ids(&ann.all("/v1/activity")), ids(&ann.all("/v1/notifications")));
    until("the new rows", || (all_of(&browser, rows, "activity").first() == activity.first()).then_some(()));
    until("the new notes", || {
        (all_of(&browser, notes, "notification").first() == inbox.first()).then_some(())
    });
    for (shown, there) in
        [(all_of(&browser, rows, "activity"), activity), (all_of(&browser, notes, "notification"), inbox)]
    {
        assert!(shown.len() >= 31, "what was read on stays: {}", shown.len());
        assert_eq!(shown, there[..shown.len()]);
    }
}

#[test]
fn a_search_goes_on_behind_a_page_that_is_empty() {
    let Some(browser) = Browser::start("an empty page") else { return };
    let (ann, _) = bank().customer_with(1_00);
    sign_in(&browser, &ann);
    browser.see("#activity [data-kind='deposit']");
    // The bank looks at so many rows for a page, and says then where to go on.
    browser.script(
        "const real = window.fetch;
         window.asked = 0;
         window.fetch = (path, ...rest) => {
           const { pathname, searchParams } = new URL(path, location);
           if (pathname !== '/v1/activity' || !searchParams.has('q')) return real(path, ...rest);
           window.asked += 1;
           if (!searchParams.has('after')) {
             const next = JSON.stringify({ items: [], next: 'further' });
             return Promise.resolve(new Response(next, { headers: { 'Content-Type': 'application/json' } }));
           }
           searchParams.delete('after');
           searchParams.delete('q');
           return real(`${pathname}?${searchParams}`, ...rest);
         }",
    );
    browser.see("#activity-search").click();
    browser.see("#activity-q").write("cash");
    browser.wait_for("the second page", "return window.asked >= 2");
    browser.see("#activity [data-kind='deposit']");
}

#[test]
fn what_happens_between_the_first_load_and_the_first_event_is_not_missed() {
    let Some(browser) = Browser::start("the first stream") else { return };
    let (ann, account) = bank().customer_with(1_00);
    let id = ann.get("/v1/me").expect(200)["id"].as_str().unwrap().to_owned();
    browser.open(&url("/"));
    // The stream waits for its turn, as behind another tab.
    browser.script(&format!(
        "navigator.locks.request('bank-live-{id}', () => new Promise((resolve) => (window.release = resolve)))"
    ));
    browser.wait_for("the lock", "return Boolean(window.release)");
    browser.see("#username").fill(&ann.username);
    browser.see("#password").fill(&ann.password);
    browser.see("#sign-in").click();
    browser.read("#accounts [data-balance]", |text| text.contains("1.00"));
    bank().deposit(&account, 2_00);
    browser.script("window.release()");
    browser.read("#accounts [data-balance]", |text| text.contains("3.00"));
}

#[test]
fn a_refused_payment_looks_refused_in_the_inbox_and_in_its_details() {
    let Some(browser) = Browser::start("refused before") else { return };
    let (ann, from) = bank().customer_with(10_00);
    let (_bea, to) = bank().customer_with(0);
    let refused = ann.transfer(&from, &to, 5_000_00);
    assert_eq!(refused["status"], "rejected");
    let _ = ann.notifications_of(refused["id"].as_str().unwrap());
    sign_in(&browser, &ann);
    browser.see("#notifications-open").click();
    let note = "#notifications [data-tone='error']";
    browser.read(note, |text| text.contains("was not sent") && text.contains("not enough money"));
    browser.see(&format!("{note} button")).click();
    browser.read("#detail", |text| {
        text.contains("Not sent") && text.contains("There is not enough money in the account.")
    });
    // Struck out: no money went.
    let struck = browser.script(
        "return getComputedStyle(document.querySelector('#detail .review-amount')).textDecorationLine",
    );
    assert_eq!(struck, "line-through");
}

#[test]
fn who_has_frozen_accounts_only_is_told_that_nothing_can_be_sent() {
    let Some(browser) = Browser::start("frozen") else { return };
    let (ann, account) = bank().customer_with(10_00);
    let (_bea, to) = bank().customer_with(0);
    let freeze = format!("/v1/accounts/{account}/freeze");
    let proposed =
        bank().staff("teller").post(&freeze, &json!({ "reason": "The card was stolen" })).expect(202);
    let approve = format!("/v1/approvals/{}/approve", proposed["approval"].as_str().unwrap());
    let approved = bank().staff("operator").post(&approve, &json!({})).expect(200);
    assert_eq!(approved["status"], "completed");
    sign_in(&browser, &ann);
    browser.see("#accounts [data-status='frozen']");
    ask_to_send(&browser, &to, "1.00");
    browser.read("#send-from-error", |text| text.contains("None of your accounts can pay now"));
}

#[test]
fn after_midnight_today_is_another_day() {
    let Some(browser) = Browser::start("midnight") else { return };
    let (ann, _) = bank().customer_with(1_00);
    sign_in(&browser, &ann);
    browser.read("#activity .day h3", |text| text == "Today");
    let before = browser.text("#home-date").unwrap();
    browser.script(
        "const Real = Date;
         window.Date = class extends Real {
           constructor(...all) {
             if (all.length) super(...all);
             else super(Real.now() + 86_400_000);
           }
         };
         document.dispatchEvent(new Event('visibilitychange'))",
    );
    browser.read("#activity .day h3", |text| text == "Yesterday");
    browser.read("#home-date", |text| !text.is_empty() && text != before);
}

#[test]
fn the_table_to_take_away_ends_where_the_statement_that_is_shown_ends() {
    let Some(browser) = Browser::start("the table") else { return };
    let (ann, account) = bank().customer_with(50_00);
    sign_in(&browser, &ann);
    browser.see("#accounts a").click();
    browser.see("#account-statement").click();
    browser.read("#statement", |text| text.contains("€50.00"));
    browser.script(
        "const real = window.fetch;
         window.table = null;
         window.fetch = async (path, request) => {
           const answer = await real(path, request);
           if (request.headers.Accept.startsWith('text/csv')) window.table = await answer.clone().text();
           return answer;
         }",
    );
    bank().deposit(&account, 7_77);
    browser.see("#statement-csv").click();
    let table = until("the table", || browser.script("return window.table").as_str().map(ToOwned::to_owned));
    assert!(table.contains("50.00") && !table.contains("7.77"), "{table}");
}
