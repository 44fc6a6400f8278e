//! Users at the terminal, the demo's users, and a bank that is seeded.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bank_tests::{Bank, Customer, Part, Request, Response, Shape, exit_of, line_of, program, until};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Runs `bank user …` on the data of this bank, with this on its standard input.
fn user(bank: &Bank, words: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(program!())
        .arg("user")
        .args(words)
        .args(["--data", bank.data().to_str().unwrap()])
        .env_remove("BANK_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without having read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn sign_in(bank: &Bank, username: &str, password: &str) -> Response {
    let body = json!({ "username": username, "password": password });
    bank.client().send(Request::post("/v1/sessions").json(&body))
}

fn stop(bank: &mut Bank) {
    assert!(bank.stop().iter().all(|(_, status)| status.success()));
}

#[test]
fn staff_is_added_at_the_terminal_and_can_work() {
    let mut bank = Bank::start_with(program!(), Shape::One, &[]);
    let (status, said, errors) = user(&bank, &["add", "tilda", "--role", "teller"], "a long password\n");
    assert!(status == Some(1) && said.is_empty(), "{said}");
    assert!(line_of(&errors).contains("stop it"), "{errors}");
    stop(&mut bank);
    let (status, said, errors) =
        user(&bank, &["add", "tilda", "--role", "teller", "--name", "Tilda T"], "a long password\n");
    assert!(
        status == Some(0) && said.contains("as teller") && !said.contains("a long password"),
        "{said}{errors}"
    );
    let (_, said, _) = user(&bank, &["add", "ada", "--role", "auditor", "--generate"], "");
    let generated = said.lines().find_map(|line| line.strip_prefix("password ")).unwrap().to_owned();
    let (status, _, errors) = user(&bank, &["add", "tilda", "--role", "teller"], "another password\n");
    assert!(status == Some(1) && line_of(&errors).contains("already"), "{errors}");
    let (status, _, errors) = user(&bank, &["add", "short", "--role", "teller"], "short\n");
    assert!(status == Some(1) && line_of(&errors).contains("10 to 128"), "{errors}");
    let (status, _, errors) = user(&bank, &["add", "clerk", "--role", "clerk"], "");
    assert!(status == Some(2) && line_of(&errors).contains("auditor"), "{errors}");
    bank.start_missing();

    let tilda = Customer::sign_in(&bank.client(), "tilda", "a long password");
    let ann = bank.customer();
    let account = ann.open_account("EUR");
    let cash = json!({ "account": account, "amount": bank_tests::euros(12_34) });
    tilda.post_keyed("/v1/deposits", "cash", &cash).expect(201);
    assert_eq!(ann.balance(&account), 12_34);
    let ada = Customer::sign_in(&bank.client(), "ada", &generated);
    ada.get("/v1/ledger/trial-balance").expect(200);
    // A list needs no pause of the bank.
    let (status, said, _) = user(&bank, &["list", "--json"], "");
    let list: Value = serde_json::from_str(&said).unwrap();
    let names: Vec<&str> =
        list.as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap()).collect();
    assert_eq!((status, names), (Some(0), vec!["ada", "tilda"]));
    assert!(!said.contains("argon2"));
    let (_, said, _) = user(&bank, &["list"], "");
    assert!(
        said.lines()
            .any(|line| line.starts_with("tilda") && line.contains("teller") && line.ends_with("Tilda T")),
        "{said}"
    );
}

#[test]
fn a_user_who_is_locked_out_cannot_sign_in_and_their_sessions_are_over() {
    let mut bank = Bank::start_with(program!(), Shape::One, &[]);
    let ann = bank.customer();
    let me = |bank: &Bank| bank.client().send(Request::get("/v1/me").bearer(&ann.access_token)).status;
    let cookie =
        |bank: &Bank| bank.client().send(Request::get("/v1/me").header("cookie", &*ann.cookie)).status;
    assert_eq!([me(&bank), cookie(&bank)], [200, 200]);
    stop(&mut bank);
    let (status, said, errors) = user(&bank, &["disable", &ann.username], "");
    assert!(status == Some(0) && said.contains("sessions have ended"), "{said}{errors}");
    bank.start_missing();
    assert_eq!([me(&bank), cookie(&bank)], [401, 401]);
    sign_in(&bank, &ann.username, &ann.password).problem(401);
    let refresh = json!({ "refresh_token": ann.refresh_token });
    bank.client().send(Request::post("/v1/sessions/refresh").json(&refresh)).problem(401);
    let (_, said, _) = user(&bank, &["list"], "");
    assert!(said.contains("locked out"), "{said}");
    stop(&mut bank);
    assert_eq!(user(&bank, &["enable", &ann.username], "").0, Some(0));
    bank.start_missing();
    assert_eq!(me(&bank), 401, "what has ended stays ended");
    sign_in(&bank, &ann.username, &ann.password).expect(201);
    let (status, _, errors) = user(&bank, &["disable", "nobody-here"], "");
    assert!(status == Some(1), "{errors}");
}

#[test]
fn another_password_and_other_roles_end_the_sessions_that_there_are() {
    let mut bank = Bank::start_with(program!(), Shape::One, &[]);
    let ann = bank.customer();
    stop(&mut bank);
    assert_eq!(user(&bank, &["passwd", &ann.username], "quite another one\n").0, Some(0));
    bank.start_missing();
    ann.at(bank.client()).get("/v1/me").problem(401);
    sign_in(&bank, &ann.username, &ann.password).problem(401);
    let again = Customer::sign_in(&bank.client(), &ann.username, "quite another one");
    stop(&mut bank);
    let (status, said, _) = user(&bank, &["role", &ann.username, "auditor"], "");
    assert!(status == Some(0) && said.contains("as auditor"), "{said}");
    bank.start_missing();
    again.at(bank.client()).get("/v1/me").problem(401);
    let auditor = Customer::sign_in(&bank.client(), &ann.username, "quite another one");
    auditor.get("/v1/ledger/trial-balance").expect(200);
    stop(&mut bank);
    assert_eq!(user(&bank, &["role", &ann.username], "").0, Some(0));
    bank.start_missing();
    let customer = Customer::sign_in(&bank.client(), &ann.username, "quite another one");
    customer.get("/v1/ledger/trial-balance").problem(403);
}

#[test]
fn a_customer_who_has_a_demo_users_name_is_left_alone_and_that_is_said_at_once() {
    let mut bank = Bank::start_with(program!(), Shape::One, &[]);
    let body = json!({ "username": "alice", "password": "the real alice", "name": "Alice", "email": "alice@home.example" });
    bank.client().send(Request::post("/v1/customers").json(&body)).expect(201);
    stop(&mut bank);
    let data = bank.data().display().to_string();
    let start = Instant::now();
    let arguments = ["--demo", "--data", &data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let (status, out, errors) = exit_of(program!(), &arguments, Path::new("/"));
    assert!(status == Some(1) && !out.contains("listening"), "{out}");
    assert!(line_of(&errors).contains("`alice` exists and is not the demo's"), "{errors}");
    assert!(start.elapsed() < bank_tests::patience() / 2);
    bank.start_missing();
    sign_in(&bank, "alice", "the real alice").expect(201);
    let (_, said, _) = user(&bank, &["list", "--json"], "");
    assert_eq!(said.trim(), "[]", "none of the others was made");
}

#[test]
fn a_terminal_is_shown_in_a_box_who_may_sign_in_and_where() {
    let directory = tempfile::tempdir().unwrap();
    let command =
        format!("{} --demo --data data --listen 127.0.0.1:0 --admin 127.0.0.1:0", program!().display());
    let out = directory.path().join("screen");
    // `script` gives the program a terminal.
    let screen = Command::new("script")
        .args(["-qefc", &command, out.to_str().unwrap()])
        .current_dir(directory.path())
        .env_remove("BANK_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut screen) = screen else { return };
    let shown = until("the box", || {
        let shown = std::fs::read_to_string(&out).unwrap_or_default();
        shown.contains('┘').then_some(shown)
    });
    for said in [
        "demo alice ",
        "listening on http://",
        "The bank is open",
        "/docs",
        "/admin/",
        "teller",
        "Ctrl+C",
        "data",
    ] {
        assert!(shown.contains(said), "{said} is missing in\n{shown}");
    }
    // The terminal goes away, and the bank with it.
    screen.kill().unwrap();
    screen.wait().unwrap();
}

#[test]
fn a_seeded_bank_has_a_history_with_its_times_and_is_seeded_once() {
    let mut bank = Bank::start_with(program!(), Shape::One, &[]);
    stop(&mut bank);
    let data = bank.data().display().to_string();
    let seed = |customers: &str| {
        exit_of(
            program!(),
            &["seed", "--customers", customers, "--days", "40", "--data", &data],
            Path::new("/"),
        )
    };
    let (status, said, errors) = seed("3");
    assert!(status == Some(0) && said.contains("3 customers"), "{said}{errors}");
    let password = said.trim().rsplit(' ').next().unwrap().to_owned();
    let (status, again, _) = seed("3");
    assert!(status == Some(0) && again.contains("done before") && again.contains(&password), "{again}");
    let (status, _, errors) = seed("4");
    assert!(status == Some(1) && line_of(&errors).contains("--customers 3"), "{errors}");
    bank.start_missing();
    let mia = Customer::sign_in(&bank.client(), "mia-001", &password);
    let account = mia.all("/v1/accounts")[0]["id"].as_str().unwrap().to_owned();
    let entries = mia.all(&format!("/v1/accounts/{account}/entries"));
    let days: std::collections::BTreeSet<&str> =
        entries.iter().map(|entry| &entry["at"].as_str().unwrap()[..10]).collect();
    assert!(days.len() > 10, "{days:?}");
    let references: Vec<&str> = entries.iter().filter_map(|entry| entry["reference"].as_str()).collect();
    for reference in ["Salary", "Rent", "Coffee", "Groceries"] {
        assert!(references.contains(&reference), "{references:?}");
    }
    assert_eq!(references.iter().filter(|reference| **reference == "Salary").count(), 2);
    // Life goes on, and the books are right.
    mia.transfer(&account, &account_of(&bank, "noah-002", &password), 1_00);
    stop(&mut bank);
    let (status, said, errors) = exit_of(program!(), &["ledger", "verify", "--data", &data], Path::new("/"));
    assert!(status == Some(0) && said.contains("commands hold"), "{said}{errors}");
    assert!(bank.errors(Part::All).lines().all(|line| !line.contains("ERROR")), "{}", bank.errors(Part::All));
}

fn account_of(bank: &Bank, username: &str, password: &str) -> String {
    let customer = Customer::sign_in(&bank.client(), username, password);
    customer.all("/v1/accounts")[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_booked_already_is_not_seeded_over() {
    let mut bank = Bank::start(program!(), Shape::One);
    let _ = bank.customer_with(1_00);
    stop(&mut bank);
    let data = bank.data().display().to_string();
    let (status, _, errors) = exit_of(program!(), &["seed", "--data", &data], Path::new("/"));
    assert!(status == Some(1) && line_of(&errors).contains("new"), "{errors}");
}
