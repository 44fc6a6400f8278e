//! What customers tell the bank about themselves is in no byte of its files, and the keys of it rotate and are shredded.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bank_stores::documents::{DocumentChange, DocumentWrite, Find};
use bank_stores::embedded::{SqliteDocuments, SqliteItems, SqliteOptions};
use bank_stores::items::{Change, Transaction};
use bank_stores::seal::{Common, DataKeys, Keyring, SealedDocuments, SealedFields, SealedItems};
use bank_stores::{Consistency, Documents, DocumentsExt, Items, ItemsExt, ItemsScan, PageRequest};
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
        let found =
            which_of(&["pl4nt3d", "cGw0bnQz", "NG50M2", "bDRudDNk", "a password that is long"], &bytes);
        assert_eq!(found, None, "in {}", path.display());
    }
    assert!(bytes_seen > COUNT * 1_000, "{bytes_seen} bytes are not all of it");
}

/// The first of these texts that is in the bytes. One pass over them: they are hundreds of megabytes, and this is a debug build.
fn which_of(texts: &[&'static str], bytes: &[u8]) -> Option<&'static str> {
    let mut begins = [false; 256];
    for text in texts {
        begins[usize::from(text.as_bytes()[0])] = true;
    }
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        if begins[usize::from(*first)]
            && let Some(text) = texts.iter().find(|text| rest.starts_with(text.as_bytes()))
        {
            return Some(text);
        }
        rest = after;
    }
    None
}

#[test]
fn a_text_in_bytes_is_found_wherever_it_is() {
    let texts = ["pl4nt3d", "NG50M2"];
    assert_eq!(which_of(&texts, b"\0plpl4nt3"), None);
    assert_eq!(which_of(&texts, b"\0plpl4nt3d"), Some("pl4nt3d"));
    assert_eq!(which_of(&texts, b"NG50M2\0"), Some("NG50M2"));
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

/// Puts what is sealed in the clear, as a bank had it before it sealed: all items, and all notifications. Gives how many that were.
fn unseal(data: &Path) -> [usize; 3] {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let transactions = unseal_items(data, "transactions", "").await;
        [transactions, unseal_items(data, "identity", "").await, unseal_notifications(data).await]
    })
}

fn keyring(data: &Path) -> Arc<Keyring> {
    Arc::new(Keyring::load(data.join("keys/seal.json")).unwrap())
}

/// Those whose partition begins so.
async fn unseal_items(data: &Path, part: &str, partition: &str) -> usize {
    let options = SqliteOptions::new(data.join(part).join("items.db"));
    let rows = Arc::new(SqliteItems::open(options).await.unwrap());
    let keys = DataKeys::new(rows.clone(), keyring(data)).allow_unsealed();
    let sealed = SealedItems::new(rows.clone(), keys, Arc::new(Common::new()), part);
    let all = rows.scan(&PageRequest::first(1_000)).await.unwrap();
    assert!(all.next.is_none());
    let mut count = 0;
    let wanted = |of: &str| of.starts_with(partition) && !of.starts_with("seal.");
    for item in all.items.iter().filter(|item| wanted(&item.key.partition)) {
        let clear = sealed.get(&item.key, Consistency::Current).await.unwrap().unwrap();
        let mut put = Change::put_bytes(clear.key, clear.value);
        if let Some(at) = clear.expires_at {
            put = put.expires_at(at);
        }
        rows.commit_one(Transaction::new(format!("unseal-{partition}-{count}")).change(put)).await.unwrap();
        count += 1;
    }
    rows.close().await;
    count
}

async fn unseal_notifications(data: &Path) -> usize {
    let options = |file: &str| SqliteOptions::new(data.join("partners").join(file));
    let rows = Arc::new(SqliteItems::open(options("seal.db")).await.unwrap());
    let inner = Arc::new(SqliteDocuments::open(options("documents.db")).await.unwrap());
    let fields = ["account", "counterparty", "reference", "transfer"];
    let fields =
        fields.into_iter().fold(SealedFields::new(), |fields, field| fields.seal("notifications", field));
    let keys = DataKeys::new(rows.clone(), keyring(data));
    let sealed = SealedDocuments::new(inner.clone(), keys, Arc::new(Common::new()), fields, "partners");
    let all = sealed.find("notifications", &Find::all()).await.unwrap().items;
    for (n, document) in all.iter().enumerate() {
        let clear = DocumentChange::replace(&*document.id, document.version, &document.body).unwrap();
        inner.write_one("notifications", DocumentWrite::new(format!("unseal-{n}"), clear)).await.unwrap();
    }
    inner.close().await;
    rows.close().await;
    all.len()
}

/// The files that hold a text.
fn holding(directory: &Path, text: &str) -> Vec<PathBuf> {
    let (mut waiting, mut found) = (vec![directory.to_owned()], Vec::new());
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(path);
        }
    }
    found
}

#[test]
fn what_is_in_the_clear_is_refused_until_it_is_resealed() {
    let mut bank = Bank::start(program!(), Shape::One);
    register(&bank.client(), 1);
    let planted = || (planted("name", 1), "a password that is long");
    let ann = Customer::sign_in(&bank.client(), "planted0001", planted().1);
    let (bob, from) = bank.customer_with(9_00);
    let to = ann.open_account("EUR");
    let transfer = bob.transfer(&from, &to, 1_00);
    let _ = ann.notifications_of(transfer["id"].as_str().unwrap());
    let refused = seal(&bank, &["reseal"]).unwrap_err();
    assert!(refused.contains("stop the bank"), "{refused}");
    bank.stop();

    // A foreign hand makes up who a customer is.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime.block_on(unseal_items(&bank.data(), "identity", "user#planted0001")), 1);
    bank.start_missing();
    let body = json!({ "username": "planted0001", "password": planted().1 });
    let login = bank.client().send_patiently(&Request::post("/v1/sessions").json(&body));
    assert!(login.status >= 500, "{}: {}", login.status, login.text());
    bob.at(bank.client()).get("/v1/me").expect(200);
    bank.stop();

    // All that was written before the bank sealed.
    let clear = unseal(&bank.data());
    assert!(clear.iter().all(|count| *count > 0), "{clear:?}");
    assert!(!holding(&bank.data(), &planted().0).is_empty());
    let said = seal(&bank, &["reseal"]).unwrap();
    let [transactions, identity, notifications] = clear;
    for (part, what, count) in [
        ("transactions", "items", transactions),
        ("identity", "items", identity),
        ("partners", "documents", notifications),
    ] {
        let line = said.lines().find(|line| line.starts_with(part) && line.contains(what)).unwrap();
        assert!(line.contains(&format!("{count} of which were sealed now")), "{said}");
    }
    assert!(
        said.contains("a ledger is never changed") && said.contains("until they are forgotten"),
        "{said}"
    );
    assert_eq!(holding(&bank.data(), &planted().0), [] as [PathBuf; 0]);
    let again = seal(&bank, &["reseal"]).unwrap();
    assert_eq!(again.matches(" 0 of which were sealed now").count(), 3, "{again}");

    bank.start_missing();
    let client = bank.client();
    let ann = Customer::sign_in(&client, "planted0001", planted().1);
    assert_eq!(ann.get("/v1/me").expect(200)["name"], planted().0);
    assert_eq!(ann.balance(&to), 1_00);
    assert_eq!(ann.notifications_of(transfer["id"].as_str().unwrap()).len(), 1);
    let bob = bob.at(client);
    assert_eq!((bob.balance(&from), bob.all("/v1/transfers").len()), (8_00, 1));
}
