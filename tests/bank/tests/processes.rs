//! The program as whoever runs it sees it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bank_tests::{
    Bank, Customer, Part, Request, Shape, cents, euros, exit_of, line_of, program, until, until_ok,
};
use serde_json::json;
use tokio::time::Instant;

/// A process for each part.
#[cfg(has_servers)]
const MANY: &[Shape] = &[Shape::Five, Shape::OnServers];
#[cfg(not(has_servers))]
const MANY: &[Shape] = &[Shape::Five];

fn start(shape: Shape) -> Bank {
    Bank::start(program!(), shape)
}

/// Runs the program where it must refuse to start, and returns its one line.
#[track_caller]
fn refusal(arguments: &[&str], directory: &Path) -> String {
    let (status, stdout, stderr) = exit_of(program!(), arguments, directory);
    assert!(status.is_some_and(|status| status != 0), "{arguments:?} ended with {status:?}: {stderr}");
    assert!(!stdout.contains("listening"), "{stdout}");
    for inside in ["panicked", "Error {", "RUST_BACKTRACE"] {
        assert!(!stderr.contains(inside), "{stderr}");
    }
    line_of(&stderr).to_owned()
}

#[test]
fn a_port_in_use_is_said_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    for (which, other) in [("--listen", "--admin"), ("--admin", "--listen")] {
        let line = refusal(&["--data", "data", which, &address, other, "127.0.0.1:0"], directory.path());
        assert!(line.contains(&address), "{line}");
    }
}

#[test]
fn a_bad_file_is_said_in_one_line_with_the_line_at_fault() {
    let directory = tempfile::tempdir().unwrap();
    for (text, wanted) in [
        ("data = \"x\"\nlisten_on = \"127.0.0.1:0\"\n", "line 2"),
        ("[gateway]\nlisten = \"127.0.0.1:0\"\nadmin = 7\n", "line 3"),
        ("data = ", "line 1"),
    ] {
        std::fs::write(directory.path().join("bank.toml"), text).unwrap();
        for part in [
            &["--config", "bank.toml"][..],
            &["gateway", "--config", "bank.toml"],
            &["accounts", "--config", "bank.toml"],
        ] {
            let line = refusal(part, directory.path());
            assert!(line.contains("bank.toml") && line.contains(wanted), "{line}");
        }
    }
    assert!(refusal(&["--config", "missing.toml"], directory.path()).contains("missing.toml"));
}

#[test]
fn a_wrong_command_line_is_said_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, wanted) in [
        (&["--listne", "127.0.0.1:0"][..], "--listne"),
        (&["--listen"], "--listen"),
        (&["--listen", "nowhere"], "nowhere"),
        (&["ledger"], "ledger"),
        (&["--tls", "maybe"], "--tls"),
    ] {
        assert!(refusal(arguments, directory.path()).contains(wanted), "{arguments:?}");
    }
}

#[test]
fn plain_http_is_served_on_loopback_only() {
    let directory = tempfile::tempdir().unwrap();
    let line =
        refusal(&["--data", "data", "--listen", "0.0.0.0:0", "--admin", "127.0.0.1:0"], directory.path());
    assert!(line.contains("--tls"), "{line}");
    let line =
        refusal(&["--data", "data", "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0"], directory.path());
    assert!(line.contains("--admin"), "{line}");
}

#[test]
fn data_in_use_by_another_process_is_said_in_one_line() {
    let bank = start(Shape::One);
    let data = bank.data().display().to_string();
    let line = refusal(&["--data", &data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], &bank.data());
    assert!(line.contains("in use"), "{line}");
    bank.client().send(Request::get("/healthz")).expect(200);
}

#[test]
fn the_data_of_one_part_in_use_is_said_in_one_line() {
    let bank = start(Shape::Five);
    let config = bank.config().display().to_string();
    for part in ["accounts", "transactions", "identity", "partners"] {
        let line = refusal(&[part, "--config", &config, "--listen", "127.0.0.1:0"], &bank.data());
        assert!(line.contains("in use"), "{part}: {line}");
    }
    bank.client().send(Request::get("/readyz")).expect(200);
}

#[test]
fn what_is_printed_is_one_line_for_each_address() {
    let bank = start(Shape::One);
    // What it printed may still be on its way, but nothing comes behind this.
    let lines = until("the last line", || {
        Some(bank.printed(Part::All))
            .filter(|lines| lines.iter().any(|line| line.starts_with("listening on")))
    });
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("listening on http://127.0.0.1:")).count(),
        1,
        "{lines:?}"
    );
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("admin on http://127.0.0.1:")).count(),
        1,
        "{lines:?}"
    );
    let demo: Vec<&str> =
        lines.iter().filter_map(|line| line.strip_prefix("demo ")?.split(' ').next()).collect();
    assert_eq!(demo, ["alice", "bob", "teller", "auditor", "operator"]);
    assert_eq!(lines.len(), 7, "{lines:?}");
}

#[test]
fn demo_users_are_made_once_and_their_printed_passwords_work() {
    let mut bank = start(Shape::One);
    let alice = bank.staff("alice");
    let account = alice.all("/v1/accounts")[0]["id"].as_str().unwrap().to_owned();
    let bob = bank.staff("bob").all("/v1/accounts")[0]["id"].as_str().unwrap().to_owned();
    let sent = alice.transfer(&account, &bob, 1_00);
    assert_eq!(sent["status"], "completed");
    let ids: Vec<String> =
        ["alice", "bob", "teller", "auditor", "operator"].iter().map(|name| bank.staff(name).id).collect();
    assert!(bank.stop().iter().all(|(_, status)| status.success()));
    bank.start_missing();
    for (name, id) in ["alice", "bob", "teller", "auditor", "operator"].iter().zip(&ids) {
        let again = Customer::sign_in(&bank.client(), name, &bank.demo_password(name));
        assert_eq!(&again.id, id);
        if *name == "alice" {
            assert_eq!(again.balance(&account), 999_00);
            assert_eq!(again.all("/v1/accounts").len(), 1);
        }
    }
}

#[test]
fn without_demo_there_are_no_such_users() {
    let bank = Bank::start_with(program!(), Shape::One, &[]);
    assert!(bank.printed(Part::All).iter().all(|line| !line.starts_with("demo")));
    for password in ["alice", "password", "demo"] {
        let body = json!({ "username": "alice", "password": password });
        bank.client().send(Request::post("/v1/sessions").json(&body)).problem(401);
    }
}

#[test]
fn a_terminated_bank_finishes_what_is_in_flight_and_ends_with_0() {
    for &shape in [Shape::One].iter().chain(MANY) {
        let mut bank = start(shape);
        let (ann, from) = bank.customer_with(100_00);
        let (_bea, to) = bank.customer_with(0);
        let mut events = ann.client.events(Request::get("/v1/events").bearer(&ann.access_token));
        let edge = if shape == Shape::One { Part::All } else { Part::Gateway };
        let client = bank.client_of(edge);
        let done = AtomicU32::new(0);
        let sending = || {
            loop {
                let number = done.load(Ordering::SeqCst);
                let body = json!({ "from": from, "to": to, "amount": euros(1) });
                let request = Request::post("/v1/transfers")
                    .key(&format!("k{number}"))
                    .bearer(&ann.access_token)
                    .json(&body);
                match client.try_send(request) {
                    Ok(answer) => {
                        assert_eq!(answer.status, 201, "{}", answer.text());
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                    // Refused at the door: nothing was begun.
                    Err(error) => return error,
                }
            }
        };
        let error = std::thread::scope(|scope| {
            let sending = scope.spawn(sending);
            until("a transfer", || (done.load(Ordering::SeqCst) > 0 || sending.is_finished()).then_some(()));
            // In the midst of one, most likely.
            std::thread::sleep(Duration::from_millis(300));
            bank.signal(edge, "TERM");
            assert_eq!(bank.ended(edge).code(), Some(0), "{shape:?}");
            sending.join().unwrap()
        });
        assert!(done.into_inner() > 0);
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "a request in flight was cut");
        assert!(
            shape != Shape::One || {
                while events.next_event().is_some() {}
                true
            },
            "streams end at drain"
        );
        for (part, status) in bank.stop() {
            assert_eq!(status.code(), Some(0), "{part:?}: {}", bank.errors(part));
        }
    }
}

#[test]
fn data_is_readable_by_its_owner_only() {
    for shape in [Shape::One, Shape::Five] {
        let bank = start(shape);
        let _ = bank.customer_with(1_00);
        let (mut waiting, mut files) = (vec![bank.data()], 0);
        while let Some(path) = waiting.pop() {
            // A store's log may end meanwhile.
            let Ok(facts) = path.metadata() else { continue };
            assert_eq!(facts.permissions().mode() & 0o077, 0, "{} is open to others", path.display());
            if facts.is_dir() {
                waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                files += 1;
            }
        }
        assert!(files > 3, "there is data");
    }
}

#[test]
fn no_password_or_token_is_in_the_data_or_the_log() {
    let bank = start(Shape::One);
    let (ann, account) = bank.customer_with(1_00);
    let _ = ann.transfer(&account, "acc_of_nobody", 1);
    let secrets =
        [&*ann.password, &ann.access_token, &ann.refresh_token, ann.cookie.split('.').next_back().unwrap()];
    let mut waiting = vec![bank.data()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
    for secret in secrets {
        assert!(!bank.errors(Part::All).contains(secret));
    }
}

#[test]
fn sessions_survive_a_power_cut() {
    for shape in [Shape::One, Shape::Five] {
        let mut bank = start(shape);
        let (ann, account) = bank.customer_with(7_00);
        let gone = bank.customer();
        assert_eq!(gone.send(Request::delete("/v1/sessions/current")).status, 204);
        for part in bank.parts() {
            bank.kill(*part);
        }
        bank.start_missing();
        let ann = ann.at(bank.client());
        assert_eq!(ann.balance(&account), 7_00, "{shape:?}");
        ann.client.send(Request::get("/v1/me").header("cookie", &*ann.cookie)).expect(200);
        gone.at(bank.client()).get("/v1/me").problem(401);
        let body = json!({ "refresh_token": ann.refresh_token });
        ann.client.send_patiently(&Request::post("/v1/sessions/refresh").json(&body)).expect(200);
    }
}

#[test]
fn a_session_ended_at_one_gateway_is_refused_at_the_other_within_a_second() {
    let bank = start(Shape::Five);
    let (here, there) = (bank.client_of(Part::Gateway), bank.client_of(Part::SecondGateway));
    let mut worst = Duration::ZERO;
    for _ in 0..5 {
        let ann = Customer::register(&here);
        let me = || Request::get("/v1/me").bearer(&ann.access_token);
        let cookie = || Request::get("/v1/me").header("cookie", &*ann.cookie);
        there.send(me()).expect(200);
        there.send(cookie()).expect(200);
        here.send(Request::delete("/v1/sessions/current").bearer(&ann.access_token));
        let start = Instant::now();
        assert_eq!(here.send(me()).status, 401, "where it ended it is refused at once");
        until("the other gateway to refuse", || {
            // When the last one was sent that was still let in: a slow machine makes this no later.
            let sent = start.elapsed();
            if there.send(me()).status == 401 && there.send(cookie()).status == 401 {
                return Some(());
            }
            worst = worst.max(sent);
            None
        });
        // Once refused it stays refused.
        assert_eq!(there.send(me()).status, 401);
    }
    assert!(worst < Duration::from_secs(1), "a second was promised: {worst:?}");
}

#[test]
fn a_service_that_is_away_is_a_503_and_back_again_when_it_is() {
    for &shape in MANY {
        is_away(shape);
    }
}

fn is_away(shape: Shape) {
    let mut bank = start(shape);
    let (ann, account) = bank.customer_with(5_00);
    bank.kill(Part::Accounts);
    if shape == Shape::OnServers {
        // The other copy carries on alone.
        until_ok("the other copy to be asked", || ann.try_get(&format!("/v1/accounts/{account}")));
        bank.kill(Part::SecondAccounts);
    }
    let refused = ann.client.send(Request::get(format!("/v1/accounts/{account}")).bearer(&ann.access_token));
    assert_eq!(refused.problem(503), "unavailable");
    ann.get("/v1/me").expect(200);
    // Taken down, and carried out once accounts is back.
    let body = json!({ "from": account, "to": "acc_of_nobody", "amount": euros(1) });
    let sent = ann.client.send(Request::post("/v1/transfers").key("k").bearer(&ann.access_token).json(&body));
    assert!(
        sent.status == 201 && sent.json()["status"] == "pending" || sent.status >= 500,
        "{} {}",
        sent.status,
        sent.text()
    );
    bank.start_missing();
    until_ok("the service to be asked again", || ann.try_get(&format!("/v1/accounts/{account}")));
    until_ok("the transfer to end", || {
        let listed = ann.try_all("/v1/transfers")?;
        let ended = listed.iter().all(|transfer| transfer["status"] == "rejected") && listed.len() == 1;
        if ended { Ok(()) } else { Err(format!("{listed:?}")) }
    });
    let balance = until_ok("a balance", || ann.try_get(&format!("/v1/accounts/{account}/balance")));
    assert_eq!(cents(&balance["balance"]), 5_00);
}

#[test]
fn services_answer_their_gateway_only() {
    let bank = start(Shape::Five);
    let text = std::fs::read_to_string(bank.config()).unwrap();
    let mut sections = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some(address) = line.strip_prefix("listen = ") {
            sections.insert(section.clone(), address.trim_matches('"').parse().unwrap());
        }
    }
    for (service, path) in [
        ("accounts", "/v1/accounts"),
        ("accounts", "/internal/v1/accounts/acc_1"),
        ("transactions", "/v1/transfers"),
        ("identity", "/v1/me"),
        ("identity", "/internal/v1/customers?username=alice"),
        ("partners", "/v1/notifications"),
    ] {
        let client = bank_tests::Client::new(vec![sections[service]]);
        let ann = bank.staff("alice");
        for request in [
            Request::get(path),
            Request::get(path).bearer(&ann.access_token),
            Request::get(path).header("bank-identity", "e30.e30.e30"),
        ] {
            let answer = client.send(request);
            assert_eq!(answer.status, 401, "{service} {path}: {}", answer.text());
        }
    }
    let inside = bank.internal().unwrap();
    let ann = bank.staff("alice");
    assert_eq!(inside.send(Request::get("/internal/v1/accounts/acc_1")).status, 401);
    assert_eq!(
        inside.send(Request::get("/internal/v1/accounts/acc_1").bearer(&ann.access_token)).status,
        401
    );
    assert_eq!(inside.send(Request::get("/v1/me").bearer(&ann.access_token)).status, 404);
}

#[test]
fn five_processes_are_one_bank() {
    for &shape in MANY {
        are_one_bank(&start(shape));
    }
}

fn are_one_bank(bank: &Bank) {
    let (alice, bob) = (bank.staff("alice"), bank.staff("bob"));
    let account = |customer: &Customer| customer.all("/v1/accounts")[0]["id"].as_str().unwrap().to_owned();
    let (from, to) = (account(&alice), account(&bob));
    assert_eq!((alice.balance(&from), bob.balance(&to)), (1_000_00, 1_000_00));
    let transfer = alice.transfer(&from, &to, 12_34);
    assert_eq!(transfer["status"], "completed");
    assert_eq!((alice.balance(&from), bob.balance(&to)), (987_66, 1_012_34));
    for side in [&alice, &bob] {
        assert_eq!(side.notifications_of(transfer["id"].as_str().unwrap()).len(), 1);
    }
    let trial = bank.staff("auditor").get("/v1/ledger/trial-balance").expect(200);
    assert_eq!(trial["balanced"], true);
    assert_eq!(cents(&json!({ "amount": trial["currencies"][0]["total"] })), 0);
}

#[test]
fn the_audit_file_is_a_chain_that_a_command_verifies() {
    let mut bank = start(Shape::One);
    let (ann, account) = bank.customer_with(1_00);
    ann.get(&format!("/v1/accounts/{account}")).expect(200);
    ann.client.send(Request::get("/v1/me").bearer("forged")).problem(401);
    assert!(bank.stop().iter().all(|(_, status)| status.success()));
    let file = find_audit(&bank.data());
    let text = std::fs::read_to_string(&file).unwrap();
    for wanted in [&*ann.id, "POST /v1/deposits", "POST /v1/sessions", "invalid_token"] {
        assert!(text.contains(wanted), "no `{wanted}` in the audit file");
    }
    assert!(!text.contains(&ann.password) && !text.contains(&ann.access_token));
    let verify = || exit_of(program!(), &["audit", "verify", file.to_str().unwrap()], &bank.data());
    assert_eq!(verify().0, Some(0), "{:?}", verify());
    std::fs::write(&file, text.replacen("POST /v1/deposits", "POST /v1/deposit$", 1)).unwrap();
    assert_ne!(verify().0, Some(0), "a changed record is found");
}

fn find_audit(directory: &Path) -> std::path::PathBuf {
    let mut waiting = vec![directory.to_owned()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("audit")) {
            return path;
        }
    }
    panic!("there is no audit file");
}
