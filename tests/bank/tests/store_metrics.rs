//! What the stores were asked, what the caches before them spared them, and how far the consumer of events is behind are shown at the admin
//! listener, without a value in it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use bank_tests::{Bank, Browser, Request, Shape, program, until_ok};

#[test]
fn a_transfer_is_counted_in_the_stores_of_each_part() {
    let bank = Bank::start(program!(), Shape::One);
    let (ann, from) = bank.customer_with(10_00);
    let (_bea, to) = bank.customer_with(0);
    let transfer = ann.transfer(&from, &to, 7_13);
    assert_eq!(transfer["status"], "completed");
    let id = transfer["id"].as_str().unwrap();
    assert_eq!(ann.notifications_of(id).len(), 1);

    let metrics = || bank.admin().send(Request::get("/metrics")).text();
    for labels in [
        r#"store="accounts",role="ledger",call="execute",outcome="ok""#,
        r#"store="accounts",role="outbox",call="events",outcome="ok""#,
        r#"store="transactions",role="items",call="commit",outcome="ok""#,
        r#"store="identity",role="items",call="get",outcome="ok""#,
        r#"store="partners",role="documents",call="write",outcome="ok""#,
    ] {
        let start = format!("bank_store_calls_total{{{labels}}} ");
        until_ok("the call to be counted", || {
            let text = metrics();
            let count = text.lines().find_map(|line| line.strip_prefix(&start)?.parse::<u64>().ok());
            count.filter(|count| *count > 0).ok_or_else(|| format!("no `{start}` in\n{text}"))
        });
    }

    let text = metrics();
    let count = r#"bank_store_call_seconds_count{store="accounts",role="ledger",call="execute"} "#;
    assert!(text.lines().any(|line| line.starts_with(count)), "{text}");
    assert!(text.contains("bank_gateway_requests_total"), "the gateway's own numbers are there too");
    assert_eq!(text.matches("# EOF").count(), 1);
    assert!(text.ends_with("# EOF\n"), "{text}");
    for value in [&*ann.id, &from, &to, id] {
        assert!(!text.contains(value), "{value} stands in\n{text}");
    }
}

/// A number of the bank's, if it is there.
fn number(metrics: &str, series: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn caches_show_their_hits_and_serve_nothing_older_than_they_may() {
    let bank = Bank::start(program!(), Shape::One);
    let (ann, from) = bank.customer_with(10_00);
    let (bea, to) = bank.customer_with(0);
    for _ in 0..3 {
        let id = ann.transfer(&from, &to, 1_00)["id"].as_str().unwrap().to_owned();
        assert_eq!(ann.notifications_of(&id).len(), 1);
        ann.get("/v1/me").expect(200);
        let payees = ann.get(&format!("/v1/payees?username={}", bea.username)).expect(200);
        assert_eq!(payees["items"].as_array().unwrap().len(), 1);
    }

    let metrics = || bank.admin().send(Request::get("/metrics")).text();
    for cache in ["accounts", "profiles", "usernames", "names"] {
        let of = |metric: &str| {
            let (text, series) = (metrics(), format!("bank_cache_{metric}{{cache=\"{cache}\"}}"));
            number(&text, &series).ok_or_else(|| format!("no `{series}` in\n{text}"))
        };
        until_ok("a hit", || {
            of("hits_total").and_then(|hits| if hits > 0.0 { Ok(()) } else { Err(cache.into()) })
        });
        let of = |metric| of(metric).unwrap();
        assert!(of("loads_total") > 0.0 && of("entries") > 0.0, "{}", metrics());
        assert_eq!(of("failures_total"), 0.0, "{cache}");
        let (oldest, bound) = (of("oldest_served_seconds"), of("staleness_bound_seconds"));
        assert!(oldest <= bound, "{cache} served a value of {oldest} s, and may up to {bound} s");
    }
    let text = metrics();
    assert!(number(&text, r#"bank_cache_oldest_served_seconds{cache="accounts"}"#).unwrap() > 0.0, "{text}");
    for value in [&ann.id, &ann.username, &bea.id, &bea.username, &from, &to] {
        assert!(!text.contains(&**value), "{value} stands in\n{text}");
    }
}

#[test]
fn the_admin_page_shows_the_caches() {
    let bank = Bank::start(program!(), Shape::One);
    let ann = bank.customer();
    let page = bank.admin().send(Request::get("/admin/")).text();
    assert!(page.contains("Those of this process."), "{page}");

    let Some(browser) = Browser::start("the admin page") else { return };
    browser.open(&format!("http://{}/admin/", bank.admin().address()));
    let profiles = |text: &str| text.lines().find(|line| line.starts_with("profiles")).map(ToOwned::to_owned);
    let is_hit = |text: &str| profiles(text).is_some_and(|row| row.contains('%') && !row.contains("\t0.0 %"));
    let text = until_ok("a hit on the page", || {
        ann.get("/v1/me").expect(200);
        let text = browser.text("#caches").unwrap_or_default();
        if is_hit(&text) { Ok(text) } else { Err(text) }
    });
    // How old a copy may be at most: what `/metrics` says too, and more than the ten seconds that one is kept here.
    let metrics = bank.admin().send(Request::get("/metrics")).text();
    let bound = number(&metrics, r#"bank_cache_staleness_bound_seconds{cache="profiles"}"#).unwrap();
    assert!((10.0..60.0).contains(&bound), "{bound}");
    let row = profiles(&text).unwrap();
    let shown: f64 = row.rsplit('\t').next().unwrap().trim_end_matches(" s").parse().unwrap();
    assert!((shown - bound).abs() < 0.1, "{bound}: {text}");
    assert!(browser.complaints().is_empty(), "{:?}", browser.complaints());
}

#[test]
fn the_consumer_of_events_shows_how_far_it_is_behind() {
    let bank = Bank::start(program!(), Shape::One);
    let (ann, from) = bank.customer_with(10_00);
    let (_, to) = bank.customer_with(0);
    let id = ann.transfer(&from, &to, 1_00)["id"].as_str().unwrap().to_owned();
    assert_eq!(ann.notifications_of(&id).len(), 1);
    for source in ["accounts", "transactions"] {
        until_ok("the lag", || {
            let text = bank.admin().send(Request::get("/metrics")).text();
            let of = |metric: &str| {
                number(&text, &format!("bank_events_{metric}{{consumer=\"partners\",source=\"{source}\"}}"))
            };
            let told = of("handled_total").zip(of("lag_seconds")).zip(of("newest_timestamp_seconds"));
            let ((handled, lag), newest) = told.ok_or_else(|| text.clone())?;
            // Whatever the machine is busy with: it is behind by seconds, not by the age of the world.
            if handled >= 1.0 && lag < 60.0 && newest > 1_700_000_000.0 { Ok(()) } else { Err(text) }
        });
    }
}
