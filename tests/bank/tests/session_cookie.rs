//! The session cookie is `Secure` wherever there is TLS, and one that every browser takes where there is none.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bank_tests::{Bank, Request, Shape, program, until};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};

const STRICT: [&str; 4] = ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"];
const PLAIN: [&str; 3] = ["Path=/", "HttpOnly", "SameSite=Strict"];

/// The name and value of a cookie, and its attributes.
fn parts(cookie: &str) -> (&str, Vec<&str>) {
    let mut parts = cookie.split("; ");
    (parts.next().unwrap(), parts.collect())
}

#[test]
fn without_tls_this_machine_gets_a_cookie_that_every_browser_takes_and_behind_a_proxy_with_tls_a_secure_one()
{
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proxies.toml");
    std::fs::write(&file, "[edge]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").unwrap();
    let bank = Bank::start_with(program!(), Shape::One, &["--demo", "--config", file.to_str().unwrap()]);
    let ann = bank.customer();
    assert!(ann.cookie.starts_with("bank-session="), "{}", ann.cookie);
    let body = json!({ "username": ann.username, "password": ann.password });
    // As a proxy says it, which may name the bank otherwise than it asks itself.
    let proxied = |request: Request, proto: &str, host: &str| {
        request
            .header("x-forwarded-for", "203.0.113.7")
            .header("x-forwarded-proto", proto)
            .header("x-forwarded-host", host)
    };
    for (proto, host, name, attributes) in [
        ("http", "localhost", "bank-session", &PLAIN[..]),
        ("https", "localhost", "__Host-session", &STRICT),
        ("https", "bank.example", "__Host-session", &STRICT),
        ("http", "bank.example", "__Host-session", &STRICT),
    ] {
        let request = proxied(Request::post("/v1/sessions").json(&body), proto, host);
        let answer = ann.client.send_patiently(&request);
        let (cookie, given) = parts(answer.header("set-cookie").unwrap());
        assert!(cookie.starts_with(&format!("{name}=")), "{proto} {host}: {cookie}");
        assert_eq!(given, attributes, "{proto} {host}");
        let me = || proxied(Request::get("/v1/me"), proto, host);
        ann.client.send_patiently(&me().header("cookie", cookie)).expect(200);
        // Under the other name it is nothing: nobody plants a session from a page without TLS.
        let other = if name == "bank-session" { "__Host-session" } else { "bank-session" };
        let renamed = cookie.replacen(name, other, 1);
        ann.client.send_patiently(&me().header("cookie", renamed)).problem(401);
    }
}

#[test]
fn with_tls_the_cookie_is_secure_and_the_plain_one_is_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let (address, _bank) = start_over_tls(&data);
    let ask = |request: &str, body: &Value| {
        let config = bank_gateway::tls::client_config(&data.join("tls/ca.pem")).unwrap();
        let mut config = ClientConfig::clone(&config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let client =
            ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
        let mut stream = StreamOwned::new(client, TcpStream::connect(&address).unwrap());
        let body = if body.is_null() { String::new() } else { body.to_string() };
        write!(
            stream,
            "{request}\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = Vec::new();
        // Its end may come without a farewell.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let status = |answer: &str| answer.split(' ').nth(1).unwrap_or_default().to_owned();
    let new = json!({
        "username": "ann", "password": "a long password", "name": "Ann", "email": "ann@bank.example"
    });
    assert_eq!(status(&ask("POST /v1/customers HTTP/1.1", &new)), "201");
    let body = json!({ "username": "ann", "password": "a long password" });
    let answer = ask("POST /v1/sessions HTTP/1.1", &body);
    let line = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let (cookie, attributes) = parts(line);
    assert!(cookie.starts_with("__Host-session="), "{cookie}");
    assert_eq!(attributes, STRICT);
    let me = |cookie: &str| status(&ask(&format!("GET /v1/me HTTP/1.1\r\ncookie: {cookie}"), &Value::Null));
    assert_eq!(me(cookie), "200");
    assert_eq!(me(&cookie.replacen("__Host-session", "bank-session", 1)), "401");
}

/// A bank over TLS, which ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_over_tls(data: &std::path::Path) -> (String, Running) {
    let mut child = Command::new(program!())
        .args(["--tls", "dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let running = Running(child);
    let address = until("the bank to serve", || {
        let line = lines.next().expect("it serves before it ends").unwrap();
        Some(line.strip_prefix("listening on https://")?.to_owned())
    });
    (address, running)
}
