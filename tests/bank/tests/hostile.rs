//! S1, S6, S7, S8: requests as bytes, over a real socket, against the whole bank. The table grows with each bug.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::time::Duration;

use bank_tests::{Bank, Client, Request, raw, shared_bank};
use tokio::time::Instant;

fn bank() -> &'static Bank {
    shared_bank!()
}

/// What must become of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Refused with this status, and the connection closed.
    Closed(u16),
    /// Refused with this status.
    Refused(u16),
    /// Served with this status, as what it is.
    Served(u16),
}
use Fate::{Closed, Refused, Served};

#[track_caller]
fn check(client: &Client, name: &str, bytes: &[u8], fate: Fate) -> Result<(), String> {
    let (answer, closed) = raw(client, bytes).map_err(|error| format!("{name}: no answer: {error}"))?;
    let wanted = match fate {
        Closed(status) | Refused(status) | Served(status) => status,
    };
    if answer.status != wanted {
        return Err(format!("{name}: {} instead of {wanted}: {}", answer.status, answer.text()));
    }
    if matches!(fate, Closed(_)) && !closed {
        return Err(format!("{name}: the connection stays open"));
    }
    if matches!(fate, Served(_)) && closed {
        return Err(format!("{name}: the connection was closed"));
    }
    Ok(())
}

#[track_caller]
fn check_all(cases: impl IntoIterator<Item = (String, Vec<u8>, Fate)>) {
    let client = bank().client();
    let wrong: Vec<String> = cases
        .into_iter()
        .filter_map(|(name, bytes, fate)| check(&client, &name, &bytes, fate).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    bank().client().send(Request::get("/healthz")).expect(200);
}

/// A whole `GET` with these fields beside none.
fn get(target: &str, fields: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\n{fields}\r\n").into_bytes()
}

fn post(fields: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /v1/sessions HTTP/1.1\r\nhost: bank\r\ncontent-type: application/json\r\n{fields}\r\n{body}"
    )
    .into_bytes()
}

fn cases(list: &[(&str, Vec<u8>, Fate)]) -> Vec<(String, Vec<u8>, Fate)> {
    list.iter().map(|(name, bytes, fate)| ((*name).to_owned(), bytes.clone(), *fate)).collect()
}

#[test]
fn s1_a_request_has_exactly_one_host_that_is_one() {
    check_all(cases(&[
        ("plain", get("/healthz", "host: bank\r\n"), Served(200)),
        ("with port", get("/healthz", "Host: bank:8080\r\n"), Served(200)),
        ("IPv6", get("/healthz", "host: [::1]:8080\r\n"), Served(200)),
        ("absolute form that agrees", get("http://bank/healthz", "host: bank\r\n"), Served(200)),
        ("no Host", get("/healthz", ""), Closed(400)),
        ("empty Host", get("/healthz", "host: \r\n"), Closed(400)),
        ("two Hosts", get("/healthz", "host: bank\r\nhost: bank\r\n"), Closed(400)),
        ("two different Hosts", get("/healthz", "host: bank\r\nHost: evil\r\n"), Closed(400)),
        ("Host with @", get("/healthz", "host: user@bank\r\n"), Closed(400)),
        ("Host with a space", get("/healthz", "host: bank evil\r\n"), Closed(400)),
        ("Host with a comma", get("/healthz", "host: bank, evil\r\n"), Closed(400)),
        ("Host with a path", get("/healthz", "host: bank/x\r\n"), Closed(400)),
        ("Host with a control byte", get("/healthz", "host: ba\tnk\r\n"), Closed(400)),
        ("absolute form that differs", get("http://evil/healthz", "host: bank\r\n"), Closed(400)),
        ("absolute form with user", get("http://u@bank/healthz", "host: bank\r\n"), Closed(400)),
        ("absolute form without Host", get("http://bank/healthz", ""), Closed(400)),
    ]));
}

#[test]
fn s1_a_path_is_read_in_one_way_only() {
    let refused = [
        "/v1%2faccounts",
        "/v1%2Faccounts",
        "/v1%5caccounts",
        "/v1%5Caccounts",
        "/v1/me%00",
        "/v1/me%00.css",
        "/v1;x/me",
        "/v1/me;x=1",
        "//v1/me",
        "/v1//me",
        "/v1/me//",
        "/.",
        "/..",
        "/v1/./me",
        "/v1/../v1/me",
        "/v1/%2e/me",
        "/v1/%2e%2e/v1/me",
        "/v1/%2E./me",
        "/v1/.%2e/me",
        "/v1/me/..",
        "/v1/me/%2e",
        "/%",
        "/%g0",
        "/%2",
        "/v1/me%",
        "/a\\b",
        "*",
        "/internal/../healthz",
        "/healthz/%2e%2e/internal/v1/postings",
    ];
    check_all(refused.map(|path| (path.to_owned(), get(path, "host: bank\r\n"), Closed(400))));
    let beyond_ascii = [
        &b"GET /v1/\xc3\xa4 HTTP/1.1\r\nhost: bank\r\n\r\n"[..],
        b"GET /v1/\x80 HTTP/1.1\r\nhost: bank\r\n\r\n",
    ];
    check_all(beyond_ascii.map(|bytes| (format!("{bytes:?}"), bytes.to_vec(), Closed(400))));
    let served = ["/healthz", "/healthz?a=/../b", "/healthz?a=%2f%00"];
    check_all(served.map(|path| (path.to_owned(), get(path, "host: bank\r\n"), Served(200))));
}

#[test]
fn s1_the_length_of_a_body_is_given_in_one_way() {
    let te = |value: &str| post(&format!("transfer-encoding: {value}\r\n"), "2\r\n{}\r\n0\r\n\r\n");
    check_all(cases(&[
        ("chunked", te("chunked"), Served(400)),
        ("Chunked", te("Chunked"), Served(400)),
        ("chunked, chunked", te("chunked, chunked"), Closed(400)),
        (",chunked", te(",chunked"), Closed(400)),
        ("chunked,", te("chunked,"), Closed(400)),
        ("gzip, chunked", te("gzip, chunked"), Closed(400)),
        ("identity", te("identity"), Closed(400)),
        ("xchunked", te("xchunked"), Closed(400)),
        (
            "two lines",
            post("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"),
            Closed(400),
        ),
        (
            "length and chunked",
            post("content-length: 2\r\ntransfer-encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"),
            Closed(400),
        ),
        ("two lengths", post("content-length: 2\r\ncontent-length: 3\r\n", "{}"), Closed(400)),
        ("a list of lengths", post("content-length: 2, 2\r\n", "{}"), Closed(400)),
        ("a negative length", post("content-length: -1\r\n", "{}"), Closed(400)),
        ("a signed length", post("content-length: +2\r\n", "{}"), Closed(400)),
        ("a length beyond all", post("content-length: 99999999999999999999999\r\n", "{}"), Closed(400)),
    ]));
}

#[test]
fn s1_a_field_that_stands_once_is_not_given_twice() {
    check_all(cases(&[
        (
            "two Authorization",
            get("/v1/me", "host: bank\r\nauthorization: Bearer a\r\nauthorization: Bearer b\r\n"),
            Closed(400),
        ),
        ("two Content-Type", post("content-length: 2\r\ncontent-type: text/plain\r\n", "{}"), Closed(400)),
        (
            "Upgrade",
            get("/healthz", "host: bank\r\nconnection: upgrade\r\nupgrade: websocket\r\n"),
            Closed(400),
        ),
        (
            "h2c",
            get(
                "/healthz",
                "host: bank\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
            ),
            Closed(400),
        ),
        ("space before the colon", get("/healthz", "host: bank\r\nx-a : 1\r\n"), Closed(400)),
        ("folded line", get("/healthz", "host: bank\r\nx-a: 1\r\n b\r\n"), Closed(400)),
        ("NUL in a value", get("/healthz", "host: bank\r\nx-a: \0\r\n"), Closed(400)),
        ("bare CR in a value", get("/healthz", "host: bank\r\nx-a: a\rb\r\n"), Closed(400)),
        ("empty name", get("/healthz", "host: bank\r\n: 1\r\n"), Closed(400)),
    ]));
}

#[test]
fn what_no_layer_sees_is_read_in_the_one_way_that_http_allows() {
    check_all(cases(&[
        // RFC 9112 §2.2 lets a line end in LF alone; nothing behind the gateway sees these bytes.
        ("bare LF", b"GET /healthz HTTP/1.1\nhost: bank\n\n".to_vec(), Served(200)),
        // RFC 9110 §8.6: a length that is repeated unchanged is that length.
        ("two equal lengths", post("content-length: 2\r\ncontent-length: 2\r\n", "{}"), Served(400)),
        // A fragment is no part of a target: it is dropped before the path is matched.
        ("a fragment", get("/healthz#/../v1/me", "host: bank\r\n"), Served(200)),
    ]));
}

#[test]
fn s6_connect_and_trace_are_refused() {
    check_all(cases(&[
        ("CONNECT", b"CONNECT bank:443 HTTP/1.1\r\nhost: bank:443\r\n\r\n".to_vec(), Refused(405)),
        ("TRACE", b"TRACE /v1/me HTTP/1.1\r\nhost: bank\r\n\r\n".to_vec(), Refused(405)),
        ("an unknown method", b"BREW /v1/me HTTP/1.1\r\nhost: bank\r\n\r\n".to_vec(), Refused(405)),
        ("OPTIONS of everything", b"OPTIONS * HTTP/1.1\r\nhost: bank\r\n\r\n".to_vec(), Refused(400)),
        ("HTTP/0.9", b"GET /healthz\r\n\r\n".to_vec(), Closed(400)),
        ("HTTP/3.0", b"GET /healthz HTTP/3.0\r\nhost: bank\r\n\r\n".to_vec(), Closed(400)),
        ("nonsense", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), Closed(400)),
    ]));
}

#[test]
fn s7_a_head_that_is_too_large_is_431() {
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = format!("host: bank\r\nx-long: {}\r\n", "a".repeat(64 * 1024));
    let target = format!("/{}", "a".repeat(80_000));
    check_all(cases(&[
        ("many fields", get("/healthz", &format!("host: bank\r\n{many}")), Closed(431)),
        ("a long field", get("/healthz", &long), Closed(431)),
    ]));
    let (answer, closed) = raw(&bank().client(), &get(&target, "host: bank\r\n")).unwrap();
    assert!([414, 431].contains(&answer.status) && closed, "{}", answer.status);
}

#[test]
fn s7_a_body_that_is_too_large_is_413() {
    let ann = bank().customer();
    let token = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", ann.access_token);
    let head = |rest: &str| format!("POST /v1/accounts HTTP/1.1\r\nhost: bank\r\n{token}{rest}");
    // Only told, never sent.
    let told = head("content-length: 10000000000\r\n\r\n");
    let (answer, _) = raw(&bank().client(), told.as_bytes()).unwrap();
    assert_eq!(answer.problem(413), "body_too_large");
    let chunk = format!("{:x}\r\n{}\r\n", 100_000, "a".repeat(100_000));
    let sent = head(&format!("transfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"));
    let (answer, _) = raw(&bank().client(), sent.as_bytes()).unwrap();
    assert_eq!(answer.status, 413, "{}", answer.text());
    let login = format!(
        "POST /v1/sessions HTTP/1.1\r\nhost: bank\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"
    );
    let (answer, _) = raw(&bank().client(), login.as_bytes()).unwrap();
    assert_eq!(answer.status, 413, "{}", answer.text());
}

#[test]
fn s7_who_never_finishes_a_head_is_not_waited_for() {
    let mut connection = bank().client().connect().unwrap();
    connection.write(b"GET /healthz HTTP/1.1\r\nhost: bank\r\n").unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        // A byte every now and then does not help.
        if connection.write(b"x-a: 1\r\n").is_err() || connection.closes_within(Duration::from_secs(1)) {
            return;
        }
    }
    panic!("the connection is still open after {:?}", start.elapsed());
}

#[test]
fn s7_who_never_finishes_a_body_is_not_waited_for() {
    let mut connection = bank().client().connect().unwrap();
    connection.write(&post("content-length: 100\r\n", "{")).unwrap();
    let start = Instant::now();
    let answer = connection.read_response(false).unwrap();
    assert!([400, 408, 504].contains(&answer.status), "{} {}", answer.status, answer.text());
    assert!(start.elapsed() < Duration::from_secs(40));
    assert!(connection.is_closed(), "what comes later is not the next request");
}

#[test]
fn s8_the_body_of_a_request_that_was_refused_is_never_read_as_the_next_one() {
    let hidden = "GET /openapi.json HTTP/1.1\r\nhost: bank\r\n\r\n";
    // Refused for want of a credential, of a route, and of a method, each before its body was read.
    for target in ["/v1/accounts", "/nowhere", "/healthz"] {
        let mut connection = bank().client().connect().unwrap();
        let head =
            format!("POST {target} HTTP/1.1\r\nhost: bank\r\ncontent-length: {}\r\n\r\n", hidden.len());
        connection.write(head.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let _ = connection.write(hidden.as_bytes());
        let first = connection.read_response(false).unwrap();
        assert!([401, 404, 405].contains(&first.status), "{target}: {}", first.status);
        let next = connection.exchange(&Request::get("/healthz"));
        assert!(
            next.is_err() || next.is_ok_and(|answer| answer.text().contains("alive")),
            "{target}: the body was served"
        );
    }
}

#[test]
fn s8_a_smuggled_request_is_never_served() {
    let smuggled = "GET /openapi.json HTTP/1.1\r\nhost: bank\r\n\r\n";
    for fields in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "transfer-encoding: \x0bchunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
    ] {
        let mut connection = bank().client().connect().unwrap();
        connection.write(&post(fields, &format!("0\r\n\r\n{smuggled}"))).unwrap();
        let first = connection.read_response(false).unwrap();
        assert!(first.status == 400 || first.status == 501, "{fields:?}: {}", first.status);
        let second = connection.read_response(false);
        assert!(second.is_err(), "{fields:?}: a second answer: {:?}", second.map(|answer| answer.status));
    }
}

#[test]
fn requests_in_a_row_on_one_connection_get_their_answers_in_order() {
    let mut connection = bank().client().connect().unwrap();
    let row = [
        get("/healthz", "host: bank\r\n"),
        get("/nowhere", "host: bank\r\n"),
        get("/v1/me", "host: bank\r\n"),
    ]
    .concat();
    connection.write(&row).unwrap();
    let statuses: Vec<u16> = (0..3).map(|_| connection.read_response(false).unwrap().status).collect();
    assert_eq!(statuses, [200, 404, 401]);
}

#[test]
fn s16_a_password_in_the_address_is_refused() {
    let ann = bank().customer();
    let target = format!("/v1/sessions?password={}", ann.password.replace(' ', "%20"));
    let body = serde_json::json!({ "username": ann.username, "password": ann.password });
    let answer = ann.client.send_patiently(&Request::post(target).json(&body));
    assert_eq!(answer.problem(400), "credential_in_query");
}
