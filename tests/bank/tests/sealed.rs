//! What customers tell the bank about themselves is in no byte of its files, and the keys of it rotate and are shredded.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::path::{Path, PathBuf};

use bank_tests::{
    Bank, Client, Customer, Request, Response, Servers, Shape, euros, exit_of, program, until_ok,
};
use serde_json::json;

const COUNT: usize = 1_000;
/// So many callers at once.
const CALLERS: usize = 4;
/// Nobody waits for a limit.
const LIMITS: &str = "[edge.limits]\n\
    default = { per_second = 5000, burst = 10000 }\n\
    login = { per_second = 5000, burst = 10000 }\n\
    registration = { per_second = 5000, burst = 10000 }\n";

/// The `n`th text of this kind, which stands nowhere else.
fn planted(kind: &str, n: usize) -> String {
    format!("pl4nt3d {kind} {n:04}")
}

fn start(shape: Shape, directory: &Path) -> Bank {
    if shape != Shape::One {
        return Bank::start_configured(program!(), shape, &["--demo"], LIMITS);
    }
    let file = directory.join("limits.toml");
    std::fs::write(&file, LIMITS).unwrap();
    Bank::start_with(program!(), shape, &["--demo", "--config", file.to_str().unwrap()])
}

/// Where a bank's data is: its own directory, and those of the servers that it stands on.
fn directories(bank: &Bank, shape: Shape) -> Vec<PathBuf> {
    let mut all = vec![bank.data()];
    if shape == Shape::OnServers {
        let servers = Servers::shared("sealed data on servers").expect("who asks for it has looked");
        all.extend(servers.directories());
    }
    all
}

/// Does it for each of 1,000 numbers, a few at once.
fn each(work: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let work = &work;
            scope.spawn(move || (caller..COUNT).step_by(CALLERS).for_each(work));
        }
    });
}

fn register(client: &Client, n: usize) {
    let body = json!({
        "username": format!("planted{n:04}"),
        "password": "a password that is long",
        "name": planted("name", n),
        "email": format!("pl4nt3d-email-{n:04}@bank.example"),
    });
    let request = Request::post("/v1/customers").json(&body);
    // One whose answer got lost may be there already.
    let mut sent = 0;
    until_ok("a customer to be registered", || {
        sent += 1;
        answered(&client.send(request.clone()), sent > 1)
    });
}

/// Sends it with its key until it is done: a slow machine answers late.
fn until_done(client: &Client, request: &Request) {
    until_ok("a request to be done", || answered(&client.send(request.clone()), false));
}

fn answered(answer: &Response, may_be_there: bool) -> Result<(), String> {
    match answer.status {
        201 => Ok(()),
        409 if may_be_there => Ok(()),
        409 | 429 | 502..=504 => Err(answer.text()),
        status => panic!("{status}: {}", answer.text()),
    }
}

/// No file below the directories holds what all planted texts begin with, nor its base64 at any offset.
#[track_caller]
fn assert_nowhere(directories: Vec<PathBuf>) {
    let (mut waiting, mut bytes_seen) = (directories, 0);
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        // One that belongs to a database may be gone by now, and a socket cannot be read.
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes_seen += bytes.len();
        for wanted in ["pl4nt3d", "cGw0bnQz", "NG50M2", "bDRudDNk", "a password that is long"] {
            let found = bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes());
            assert!(!found, "{} holds {wanted}", path.display());
        }
    }
    assert!(bytes_seen > COUNT * 1_000, "{bytes_seen} bytes are not all of it");
}

#[test]
fn nothing_that_was_planted_is_in_any_byte_of_the_files() {
    nothing_planted_is_anywhere(Shape::One);
}

#[cfg(has_servers)]
#[test]
fn nothing_that_was_planted_is_in_any_byte_of_the_servers_files() {
    nothing_planted_is_anywhere(Shape::OnServers);
}

fn nothing_planted_is_anywhere(shape: Shape) {
    let directory = tempfile::tempdir().unwrap();
    let mut bank = start(shape, directory.path());
    let client = bank.client();
    each(|n| register(&client, n));
    let ann = Customer::sign_in(&client, "planted0000", "a password that is long");
    let bob = Customer::sign_in(&client, "planted0001", "a password that is long");
    let (from, to) = (ann.open_account("EUR"), bob.open_account("EUR"));
    bank.deposit(&from, 2_000_00);
    each(|n| {
        let account = json!({ "currency": "EUR", "name": planted("label", n) });
        let request = Request::post("/v1/accounts").key(&format!("label-{n}")).bearer(&bob.access_token);
        until_done(&client, &request.json(&account));
        let transfer =
            json!({ "from": from, "to": to, "amount": euros(1), "reference": planted("reference", n) });
        let request = Request::post("/v1/transfers").key(&format!("planted-{n}")).bearer(&ann.access_token);
        until_done(&client, &request.json(&transfer));
    });
    until_ok("every transfer to be told to whom it was sent", || {
        let told = bob.try_all("/v1/notifications")?.len();
        if told == COUNT { Ok(()) } else { Err(format!("{told} of {COUNT}")) }
    });
    // It is all there for those whose it is.
    assert_eq!(ann.all("/v1/transfers").len(), COUNT);
    assert!(
        bob.all("/v1/transfers").iter().all(|t| t["reference"].as_str().unwrap().starts_with("pl4nt3d ref"))
    );
    let names = bob.all("/v1/accounts").into_iter().filter(|account| account["name"].is_string());
    assert_eq!(names.count(), COUNT);
    // While SQLite's logs are there, and when all is closed.
    assert_nowhere(directories(&bank, shape));
    assert!(bank.stop().iter().all(|(_, status)| status.success()));
    assert_nowhere(directories(&bank, shape));
    for part in bank.parts() {
        for shown in ["pl4nt3d", "a password that is long"] {
            assert!(!bank.errors(*part).contains(shown), "{part:?}");
        }
    }
}

/// Runs `bank seal …` and returns what it said.
#[track_caller]
fn seal(bank: &Bank, words: &[&str]) -> Result<String, String> {
    let data = bank.data().display().to_string();
    let arguments = [&["seal"][..], words, &["--data", data.as_str()][..]].concat();
    let (status, said, errors) = exit_of(program!(), &arguments, &bank.data());
    if status == Some(0) { Ok(said) } else { Err(errors) }
}

#[test]
fn master_keys_rotate_while_the_bank_runs_and_the_old_one_can_go() {
    let mut bank = Bank::start(program!(), Shape::One);
    let (ann, account) = bank.customer_with(5_00);
    let before = seal(&bank, &["status"]).unwrap();
    let old = before.split_whitespace().find(|word| word.starts_with("master_")).unwrap();
    let old = old.trim_end_matches(',').to_owned();
    let said = seal(&bank, &["rotate"]).unwrap();
    assert!(said.contains("is the current master key") && said.contains("identity runs"), "{said}");
    until_ok("every data key to be wrapped anew", || {
        let status = seal(&bank, &["status"])?;
        if status.contains(&old) { Err(status) } else { Ok(()) }
    });
    assert!(seal(&bank, &["retire", &old]).unwrap().contains("is gone"));
    let refused = seal(&bank, &["retire", &old]).unwrap_err();
    assert!(refused.contains("no such master key"), "{refused}");
    assert_eq!(ann.balance(&account), 5_00);
    bank.stop();
    bank.start_missing();
    let ann = ann.at(bank.client());
    assert_eq!(ann.balance(&account), 5_00);
    ann.get("/v1/me").expect(200);
}

#[test]
fn a_customer_whose_key_is_shredded_is_nobody_and_the_others_go_on() {
    let mut bank = Bank::start(program!(), Shape::One);
    let ((ann, from), (bob, to)) = (bank.customer_with(9_00), bank.customer_with(0));
    let transfer = ann.transfer(&from, &to, 1_00);
    let _ = bob.notifications_of(transfer["id"].as_str().unwrap());
    let refused = seal(&bank, &["shred", &ann.id]).unwrap_err();
    assert!(refused.contains("stop the bank"), "{refused}");
    bank.stop();
    let said = seal(&bank, &["shred", &ann.id]).unwrap();
    assert!(said.contains("identity: shredded") && said.contains("transactions: shredded"), "{said}");
    bank.start_missing();
    let client = bank.client();
    let body = json!({ "username": ann.username, "password": ann.password });
    client.send_patiently(&Request::post("/v1/sessions").json(&body)).problem(401);
    ann.at(client.clone()).get("/v1/me").problem(401);
    let bob = bob.at(client);
    assert_eq!(bob.balance(&to), 1_00);
    assert_eq!(bob.all("/v1/transfers").len(), 1);
    // Money that is still sent to the account of who was erased arrives, and is told.
    let back = bob.transfer(&to, &from, 50);
    assert_eq!(back["status"], "completed");
    let _ = bob.notifications_of(back["id"].as_str().unwrap());
}
