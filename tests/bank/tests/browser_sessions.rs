//! One session for all tabs of a browser, as whoever sits before it sees it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use bank_tests::{Bank, Browser, Customer, Request, program, shared_bank, until};

fn bank() -> &'static Bank {
    shared_bank!()
}

fn url(path: &str) -> String {
    format!("http://localhost:{}{path}", bank().client().address().port())
}

fn fill_in(browser: &Browser, username: &str, password: &str) {
    browser.see("#username").fill(username);
    browser.see("#password").fill(password);
    browser.see("#sign-in").click();
}

fn sign_in(browser: &Browser, username: &str, password: &str) {
    browser.open(&url("/"));
    fill_in(browser, username, password);
    browser.see("#sign-out");
    browser.see("#accounts [data-balance]");
}

/// Signs in by a bare call, so that no page of the bank hears of it.
fn sign_in_behind_the_page(browser: &Browser, username: &str, password: &str) {
    let body = serde_json::json!({ "username": username, "password": password });
    browser.script(&format!(
        "window.signedIn = null;
         fetch('/v1/sessions', {{ method: 'POST', headers: {{ 'Content-Type': 'application/json' }}, body: JSON.stringify({body}) }})
           .then((answer) => (window.signedIn = answer.status))"
    ));
    browser.wait_for("the other sign-in", "return window.signedIn === 201");
}

/// The status of a call that the page's script makes by itself.
fn status(browser: &Browser, path: &str) -> i64 {
    browser.script(&format!(
        "window.answered = null; fetch('{path}').then((answer) => (window.answered = answer.status))"
    ));
    until("an answer", || browser.script("return window.answered").as_i64())
}

/// Asks for everything again, as when the network comes back.
fn refresh(browser: &Browser) {
    browser.script("dispatchEvent(new Event('online'))");
}

#[test]
fn a_second_tab_needs_no_login_and_may_write() {
    let Some(browser) = Browser::start("a second tab") else { return };
    let (ann, _) = bank().customer_with(1_00);
    sign_in(&browser, &ann.username, &ann.password);
    let _second = browser.new_tab();
    browser.open(&url("/"));
    browser.see("#sign-out");
    browser.see("#accounts [data-balance]");
    browser.see("#account-open").click();
    browser.see("#account-name").write("From the second tab");
    browser.see("#account-create").click();
    browser.read("#accounts", |text| text.contains("From the second tab"));
    assert!(browser.complaints().is_empty());
}

#[test]
fn when_somebody_else_signs_in_no_tab_shows_their_data_under_the_first_name() {
    let Some(browser) = Browser::start("two users") else { return };
    // A bank of their own: their names and accounts are what is looked for.
    let bank = Bank::start(program!(), bank_tests::Shape::One);
    let url = |path: &str| format!("http://localhost:{}{path}", bank.client().address().port());
    let bob = bank.staff("bob");
    let account = bob.get("/v1/accounts").expect(200)["items"][0]["id"].as_str().unwrap().to_owned();

    browser.open(&url("/"));
    fill_in(&browser, "alice", &bank.demo_password("alice"));
    browser.read("#home-title", |text| text.contains("Alice"));
    browser.see("#accounts [data-balance]");
    // From now on a mixture is written down, and stays so over a reload.
    browser.script(&format!(
        "new MutationObserver(() => {{
           const alices = document.querySelector('#home-title').textContent.includes('Alice');
           if (alices && document.querySelector('[data-account=\"{account}\"]')) sessionStorage.mixed = 'yes';
         }}).observe(document.body, {{ childList: true, subtree: true, characterData: true }})"
    ));
    let alices = browser.tab();
    let _other = browser.new_tab();
    browser.open(&url("/"));
    browser.see("#sign-out");
    sign_in_behind_the_page(&browser, "bob", &bank.demo_password("bob"));
    browser.switch_to(&alices);
    refresh(&browser);
    browser.read("#home-title", |text| text.contains("Bob"));
    browser.see(&format!("#accounts [data-account='{account}']"));
    assert_eq!(browser.script("return sessionStorage.mixed ?? null"), serde_json::Value::Null);
}

#[test]
fn signing_out_ends_what_the_cookie_holds_and_every_tab_says_so() {
    let Some(browser) = Browser::start("signing out") else { return };
    let (ann, _) = bank().customer_with(1_00);
    sign_in(&browser, &ann.username, &ann.password);
    let first = browser.tab();
    let second = browser.new_tab();
    browser.open(&url("/"));
    browser.see("#sign-out");
    // The token that both tabs have is of a session that the cookie is no longer of.
    sign_in_behind_the_page(&browser, &ann.username, &ann.password);
    browser.switch_to(&first);
    browser.see("#sign-out").click();
    browser.read("#sign-in-reason", |text| text == "You are signed out.");
    assert_eq!(status(&browser, "/v1/accounts"), 401);
    browser.switch_to(&second);
    browser.read("#sign-in-reason", |text| text == "You signed out in another tab.");
    assert_eq!(status(&browser, "/v1/accounts"), 401);
    // And signing in again in one is signing in in both.
    fill_in(&browser, &ann.username, &ann.password);
    browser.see("#sign-out");
    browser.switch_to(&first);
    browser.see("#sign-out");
}

/// Everything that is in the page, whether it can be seen or not.
fn source(browser: &Browser) -> String {
    browser.script("return document.documentElement.outerHTML").as_str().unwrap().to_owned()
}

#[test]
fn whoever_signs_in_next_finds_nothing_of_the_one_before_in_the_page() {
    let Some(browser) = Browser::start("the next one") else { return };
    let (ann, account) = bank().customer_with(12_345);
    let (bea, _) = bank().customer_with(0);
    sign_in(&browser, &ann.username, &ann.password);
    browser.read("#balance-total", |text| text.contains("123.45"));
    browser.see("#accounts a").click();
    browser.see("#entries [data-kind='deposit'] button").click();
    browser.read("#detail", |text| text.contains("123.45"));
    browser.see("#detail-dialog [data-close]").click();
    browser.gone("#detail-dialog");
    browser.wait_for(
        "the inbox",
        "return document.querySelector('#notifications [data-notification]') !== null",
    );
    browser.see("#sign-out").click();
    browser.read("#sign-in-reason", |text| text == "You are signed out.");
    let nothing_is_left = || {
        let source = source(&browser);
        for text in ["123.45", account.as_str(), ann.username.as_str()] {
            assert!(!source.contains(text), "{text} is still in the page");
        }
    };
    nothing_is_left();
    // The same page goes on, and what the next one asks for is held back.
    browser.script(
        "const real = window.fetch;
         const held = ['/v1/accounts', '/v1/activity', '/v1/notifications'];
         window.fetch = (path, ...rest) =>
           held.some((start) => String(path).startsWith(start))
             ? new Promise((resolve) => (window.release ??= []).push(() => resolve(real(path, ...rest))))
             : real(path, ...rest)",
    );
    fill_in(&browser, &bea.username, &bea.password);
    browser.read("#home-title", |text| text.contains("Hello"));
    browser.see("#balance-total .bone");
    nothing_is_left();
    browser.script("while (window.release.length) window.release.pop()()");
    browser.read("#balance-total", |text| text.contains("0.00"));
    // What is made by the page itself works for the next one as well.
    browser.see("#account-open").click();
    browser.see("#account-name").write("The next one");
    browser.see("#account-create").click();
    browser.script("setInterval(() => { while (window.release.length) window.release.pop()() }, 50)");
    browser.read("#accounts", |text| text.contains("The next one"));
}

#[test]
fn an_event_of_somebody_who_signed_in_meanwhile_is_never_said() {
    let Some(browser) = Browser::start("another one's event") else { return };
    let (ann, _) = bank().customer_with(1_00);
    let (bea, account) = bank().customer_with(0);
    sign_in(&browser, &ann.username, &ann.password);
    browser.see("#live[data-state='live']");
    browser.wait_for(
        "the inbox",
        "return document.querySelector('#notifications [data-notification]') !== null",
    );
    // From now on the page's calls wait until its next stream, which is the other one's, has brought something.
    browser.script(
        "const real = window.fetch;
         const Real = window.EventSource;
         const heard = new Promise((resolve) => {
           window.EventSource = class extends Real {
             constructor(...all) {
               super(...all);
               this.addEventListener('open', () => (sessionStorage.opened = 'yes'));
               this.addEventListener('notification', resolve);
             }
           };
         });
         window.fetch = async (path, request) => {
           if (path !== '/v1/sessions') await heard;
           return real(path, request);
         };
         new MutationObserver(() => (sessionStorage.said = document.getElementById('toasts').textContent))
           .observe(document.getElementById('toasts'), { childList: true });",
    );
    sign_in_behind_the_page(&browser, &bea.username, &bea.password);
    refresh(&browser);
    browser.wait_for("the stream", "return sessionStorage.opened === 'yes'");
    bank().deposit(&account, 2_00);
    browser.read("#accounts [data-balance]", |text| text.contains("2.00"));
    assert_eq!(browser.script("return sessionStorage.said ?? null"), serde_json::Value::Null);
}

#[test]
fn a_sign_out_without_a_network_is_told_by_another_tab() {
    let Some(browser) = Browser::start("an untold sign-out") else { return };
    let (ann, _) = bank().customer_with(1_00);
    sign_in(&browser, &ann.username, &ann.password);
    let first = browser.tab();
    let second = browser.new_tab();
    browser.open(&url("/"));
    browser.see("#accounts [data-balance]");
    browser.switch_to(&first);
    browser.set_offline(true);
    browser.see("#sign-out").click();
    browser.read("#sign-in-reason", |text| text.contains("the bank could not be told"));
    // The other tab shows nothing more either, and has a connection to tell the bank.
    browser.switch_to(&second);
    browser.read("#sign-in-reason", |text| text == "You are signed out.");
    assert_eq!(status(&browser, "/v1/accounts"), 401);
}

#[test]
fn a_sign_out_that_the_bank_could_not_be_told_of_is_told_by_the_next_page() {
    let Some(browser) = Browser::start("the next page") else { return };
    let (ann, _) = bank().customer_with(1_00);
    sign_in(&browser, &ann.username, &ann.password);
    browser.script(
        "const real = window.fetch;
         window.fetch = (path, request) =>
           request?.method === 'DELETE' ? Promise.reject(new TypeError('lost')) : real(path, request)",
    );
    browser.see("#sign-out").click();
    browser.read("#sign-in-reason", |text| text.contains("the bank could not be told"));
    assert_eq!(status(&browser, "/v1/accounts"), 200);
    browser.reload();
    browser.read("#sign-in-reason", |text| text == "You are signed out.");
    assert_eq!(status(&browser, "/v1/accounts"), 401);
}

#[test]
fn a_sign_out_is_told_as_soon_as_the_network_is_back() {
    let Some(browser) = Browser::start("a late sign-out") else { return };
    let (ann, _) = bank().customer_with(1_00);
    sign_in(&browser, &ann.username, &ann.password);
    browser.set_offline(true);
    browser.see("#sign-out").click();
    browser.read("#sign-in-reason", |text| text.contains("the bank could not be told"));
    browser.set_offline(false);
    browser.read("#sign-in-reason", |text| text == "You are signed out.");
    assert_eq!(status(&browser, "/v1/accounts"), 401);
}

#[test]
fn a_registration_whose_answer_was_lost_is_gone_on_with() {
    let Some(browser) = Browser::start("a lost registration") else { return };
    browser.open(&url("/"));
    browser.see("#show-register").click();
    browser.see("#register-name").write("Nora New");
    browser.see("#register-username").write(&format!("lost{}", std::process::id()));
    browser.see("#register-email").write("nora@bank.example");
    // Ten code points that are five letters once they are composed, as the bank counts.
    browser.see("#register-password").write("e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}");
    browser.see("#register").click();
    browser.read("#register-password-error", |text| text == "Use 10 to 128 characters.");
    browser.see("#register-password").fill("four unusual words here");
    browser.script(
        "const real = window.fetch;
         window.fetch = async (path, request) => {
           const answer = await real(path, request);
           if (path !== '/v1/customers') return answer;
           window.fetch = real;
           throw new TypeError('lost');
         }",
    );
    browser.see("#register").click();
    browser.read("#register-form .form-error", |text| text.contains("cannot be reached"));
    browser.see("#register").click();
    browser.see("#sign-out");
    browser.see("#hero-open");
    // For everybody else the name is taken.
    browser.see("#sign-out").click();
    browser.see("#show-register").click();
    browser.see("#register-name").write("Somebody Else");
    browser.see("#register-username").write(&format!("lost{}", std::process::id()));
    browser.see("#register-email").write("else@bank.example");
    browser.see("#register-password").write("four other words here");
    browser.see("#register").click();
    browser.read("#register-username-error", |text| text == "This username is taken. Choose another.");
}

#[test]
fn a_part_of_the_page_that_an_upgrade_took_away_is_loaded_with_the_new_page_once() {
    let Some(browser) = Browser::start("an upgrade") else { return };
    let (ann, _) = bank().customer_with(1_00);
    sign_in(&browser, &ann.username, &ann.password);
    browser.script("window.isOld = true");
    browser.block(&["*/security.js"]);
    browser.see("#security-open").click();
    browser.wait_for("the new page", "return window.isOld === undefined");
    // What the new page has not either is said, and not asked for for ever.
    browser.read("#toasts", |text| text.contains("cannot be reached"));
    browser.script("window.isNew = true");
    browser.block(&[]);
    browser.open(&url("/#home"));
    browser.see("#accounts [data-balance]");
    assert_eq!(browser.script("return window.isNew"), true);
    browser.see("#security-open").click();
    browser.see("#sessions [data-current='true']");
}

#[test]
fn a_write_with_the_token_of_an_older_session_is_made_with_the_new_one() {
    let Some(browser) = Browser::start("an old token") else { return };
    let (ann, _) = bank().customer_with(1_00);
    sign_in(&browser, &ann.username, &ann.password);
    sign_in_behind_the_page(&browser, &ann.username, &ann.password);
    browser.see("#account-open").click();
    browser.see("#account-name").write("Once more");
    browser.see("#account-create").click();
    browser.read("#accounts", |text| text.contains("Once more"));
    browser.see("#sign-out");
}

#[test]
fn any_number_of_tabs_is_live_and_when_one_closes_the_next_goes_on() {
    let Some(browser) = Browser::start("many tabs") else { return };
    let (ann, account) = bank().customer_with(1_00);
    sign_in(&browser, &ann.username, &ann.password);
    let first = browser.tab();
    let mut tabs = Vec::new();
    // More than the six connections that a browser makes to a host.
    for _ in 0..8 {
        tabs.push(browser.new_tab());
        browser.open(&url("/"));
        browser.see("#accounts [data-balance]");
        browser.see("#live[data-state='live']");
    }
    bank().deposit(&account, 2_00);
    for tab in &tabs {
        browser.switch_to(tab);
        browser.read("#accounts [data-balance]", |text| text.contains("3.00"));
    }
    browser.switch_to(&first);
    browser.close_tab();
    browser.switch_to(&tabs[5]);
    bank().deposit(&account, 3_00);
    browser.read("#accounts [data-balance]", |text| text.contains("6.00"));
    browser.see("#live[data-state='live']");
}

#[test]
fn a_browser_that_keeps_no_cookie_is_told_so_and_what_to_do() {
    let Some(browser) = Browser::without_cookies("no cookies") else { return };
    let (ann, _) = bank().customer_with(1_00);
    browser.open(&url("/"));
    fill_in(&browser, &ann.username, &ann.password);
    let said = browser.read("#sign-in-form .form-error", |text| !text.trim().is_empty());
    assert!(said.contains("did not keep the session cookie"), "{said}");
    assert!(said.contains("Allow cookies for this site"), "{said}");
    // On this machine the bank's cookie needs no TLS: no browser is to blame for that.
    assert!(!said.contains("Safari") && !said.contains("https"), "{said}");
}

#[test]
fn the_security_page_lists_where_one_is_signed_in_and_ends_the_others() {
    let Some(browser) = Browser::start("the sessions") else { return };
    let (ann, _) = bank().customer_with(1_00);
    let third = Customer::sign_in(&bank().client(), &ann.username, &ann.password);
    sign_in(&browser, &ann.username, &ann.password);
    browser.see("#security-open").click();
    browser.see("#sessions [data-current='true']");
    browser.wait_for(
        "three sessions",
        "return document.querySelectorAll('#sessions [data-session]').length === 3",
    );
    let own = browser.text("#sessions [data-current='true']").unwrap();
    assert!(own.contains("Chrome on") && own.contains("This browser"), "{own}");
    browser.see("#sessions [data-current='false'] button").click();
    browser.wait_for(
        "two sessions",
        "return document.querySelectorAll('#sessions [data-session]').length === 2",
    );
    browser.see("#sessions-end").click();
    browser
        .wait_for("one session", "return document.querySelectorAll('#sessions [data-session]').length === 1");
    browser.read("#toasts", |text| text.contains("All other sessions have ended"));
    for gone in [&ann, &third] {
        let ask = Request::get("/v1/me").bearer(&gone.access_token);
        until("the session to end", || (gone.client.send(ask.clone()).status == 401).then_some(()));
    }
    browser.see("#sign-out");
}

#[test]
fn the_password_is_changed_by_who_knows_the_current_one() {
    let Some(browser) = Browser::start("the password") else { return };
    let (ann, _) = bank().customer_with(1_00);
    sign_in(&browser, &ann.username, &ann.password);
    browser.see("#security-open").click();
    let rules = browser.see("#password-new-hint");
    assert!(browser.text("#password-new-hint").unwrap().contains("10 to 128 characters"), "{rules:?}");
    browser.see("#password-current").fill("not this one");
    browser.see("#password-new").fill("short");
    browser.see("#password-change").click();
    browser.read("#password-new-error", |text| text == "Use 10 to 128 characters.");
    browser.see("#password-new").fill("some other unusual words");
    browser.see("#password-change").click();
    browser.read("#password-current-error", |text| text == "This is not your current password.");
    browser.see("#password-current").fill(&ann.password);
    browser.see("#password-change").click();
    browser.read("#toasts", |text| text.contains("Your password is changed"));
    browser.see("#sign-out").click();
    browser.see("#username");
    fill_in(&browser, &ann.username, &ann.password);
    browser.read("#sign-in-form .form-error", |text| text.contains("do not belong together"));
    fill_in(&browser, &ann.username, "some other unusual words");
    browser.see("#sign-out");
}

#[test]
fn a_payment_that_was_begun_outlives_the_session_that_ended_under_it() {
    let Some(browser) = Browser::start("a draft") else { return };
    let (ann, _) = bank().customer_with(10_00);
    let (_bea, to) = bank().customer_with(0);
    sign_in(&browser, &ann.username, &ann.password);
    browser.see("#send-open").click();
    browser.see("#payee-query").write(&to);
    browser.see("#payee-find").click();
    browser.see("#payee-results input[name='payee']:checked");
    browser.see("#amount").write("4.20");
    browser.see("#reference").write("Begun before");
    // All other sessions of hers end, this one among them.
    let other = Customer::sign_in(&bank().client(), &ann.username, &ann.password);
    assert!(other.send(Request::delete("/v1/sessions")).status < 300);
    refresh(&browser);
    browser.read("#sign-in-reason", |text| text.contains("Your session has ended"));
    fill_in(&browser, &ann.username, &ann.password);
    browser.see("#send-dialog[open]");
    let value = |id: &str| browser.script(&format!("return document.getElementById('{id}').value"));
    assert_eq!(value("amount"), "4.20");
    assert_eq!(value("reference"), "Begun before");
    browser.see("#payee-results input[name='payee']:checked");
    browser.see("#send-continue").click();
    browser.see("#send-confirm").click();
    browser.see("#send-status[data-status='completed']");
}
