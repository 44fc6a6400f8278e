//! The whole bank copied while it works, and put back: the runbook's cases (docs/operating.md, Runbook).

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bank_tests::{
    Bank, Customer, Part, Postgres, Shape, cents, euros, exit_of, line_of, program, until, until_ok,
};
use serde_json::{Value, json};

/// Runs the program with these arguments on this data directory.
fn run(data: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let mut all = words.to_vec();
    all.extend(["--data", data.to_str().unwrap()]);
    exit_of(program!(), &all, Path::new("/"))
}

#[track_caller]
fn done(data: &Path, words: &[&str]) -> String {
    let (status, said, errors) = run(data, words);
    assert_eq!(status, Some(0), "{words:?}: {said} {errors}");
    said
}

/// The line in which a command refuses; what it told of its progress stands before.
#[track_caller]
fn refused(data: &Path, words: &[&str]) -> String {
    let (status, said, errors) = run(data, words);
    assert_eq!(status, Some(1), "{words:?}: {said}");
    errors.lines().last().unwrap_or_default().to_owned()
}

fn remove_data(bank: &Bank) {
    std::fs::remove_dir_all(bank.data()).unwrap();
}

/// Somebody who pays and somebody who is paid.
struct Pair {
    alice: Customer,
    mine: String,
    bob: Customer,
    his: String,
}

impl Pair {
    fn new(bank: &Bank) -> Self {
        let (alice, mine) = bank.customer_with(100_000_00);
        let (bob, his) = bank.customer_with(0);
        Self { alice, mine, bob, his }
    }

    /// At a bank that was started again.
    fn at(&self, bank: &Bank) -> Self {
        Self {
            alice: self.alice.at(bank.client()),
            bob: self.bob.at(bank.client()),
            mine: self.mine.clone(),
            his: self.his.clone(),
        }
    }

    /// Pays an amount that no other payment has, under a key of its own.
    fn pay(&self, amount: i64) -> Value {
        let body = json!({ "from": self.mine, "to": self.his, "amount": euros(amount) });
        let sent = self.alice.post_keyed("/v1/transfers", &format!("pay-{amount}"), &body).expect(201);
        self.alice.ended(sent)
    }

    /// How often each amount came in.
    fn received(&self) -> HashMap<i64, usize> {
        let mut amounts = HashMap::new();
        for entry in self.bob.all(&format!("/v1/accounts/{}/entries", self.his)) {
            *amounts.entry(cents(&entry["amount"])).or_default() += 1;
        }
        amounts
    }

    /// How often each completed transfer was told to the one who was paid.
    fn told(&self) -> HashMap<String, usize> {
        let mut told = HashMap::new();
        for notification in self.bob.all("/v1/notifications") {
            *told.entry(notification["transfer"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        told
    }
}

#[test]
fn a_bank_that_lost_its_disk_is_put_back_from_a_copy_taken_while_it_paid() {
    for shape in [Shape::One, Shape::Five] {
        let mut bank = Bank::start(program!(), shape);
        let pair = Pair::new(&bank);
        let elsewhere = tempfile::tempdir().unwrap();
        let copy = elsewhere.path().join("deep/monday");
        let copy = copy.to_str().unwrap();
        let over = AtomicBool::new(false);
        let paid = std::thread::scope(|scope| {
            let paying = scope.spawn(|| {
                let mut amount = 1;
                while !over.load(Ordering::SeqCst) || amount <= 30 {
                    assert_eq!(pair.pay(amount)["status"], "completed");
                    amount += 1;
                }
                amount - 1
            });
            until("some payments", || (pair.received().len() >= 10).then_some(()));
            let said = done(&bank.data(), &["backup", copy]);
            over.store(true, Ordering::SeqCst);
            assert!(said.contains("is a backup of partners, transactions, accounts, identity"), "{said}");
            assert!(said.contains("its head is") && said.contains("master keys are in it"), "{said}");
            paying.join().unwrap()
        });
        assert!(refused(&bank.data(), &["backup", copy]).contains("replaces nothing"));
        drop(bank.stop());
        remove_data(&bank);
        let said = done(&bank.data(), &["restore", copy]);
        assert!(said.contains("the ledger holds"), "{said}");
        bank.start_missing();

        let pair = pair.at(&bank);
        let received = pair.received();
        let transfers = pair.alice.all("/v1/transfers");
        assert!(received.len() >= 10 && transfers.len() >= 10, "{} and {}", received.len(), transfers.len());
        for transfer in &transfers {
            let ended = pair.alice.ended(transfer.clone());
            assert_eq!(ended["status"], "completed");
            let amount = cents(&ended["amount"]);
            assert_eq!(
                pair.received().get(&amount),
                Some(&1),
                "{ended} says completed, and the money did not move"
            );
        }
        // What came behind the copy is lost, and paid again under its key; what is there is not paid twice.
        for amount in 1..=paid {
            assert_eq!(pair.pay(amount)["status"], "completed");
        }
        let received = pair.received();
        assert!(
            received.values().all(|count| *count == 1) && received.len() == paid as usize,
            "{received:?}"
        );
        assert_eq!(pair.bob.balance(&pair.his), received.keys().sum::<i64>());
        until_ok("everybody to be told once", || {
            let told = pair.told();
            assert!(told.values().all(|count| *count == 1), "told twice: {told:?}");
            if told.len() == paid as usize { Ok(()) } else { Err(format!("{} of {paid}", told.len())) }
        });
        let totals = bank.staff("auditor").at(bank.client()).get("/v1/ledger/trial-balance").expect(200);
        assert!(totals.to_string().contains("\"0.00\""), "{totals}");
    }
}

#[test]
fn a_part_that_lost_its_store_takes_it_from_the_copy_and_finds_again_what_it_missed() {
    let mut bank = Bank::start(program!(), Shape::One);
    let pair = Pair::new(&bank);
    pair.pay(1_00);
    until("the first notice", || (pair.told().len() == 1).then_some(()));
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy");
    let copy = copy.to_str().unwrap();
    done(&bank.data(), &["backup", copy]);
    pair.pay(2_00);
    until("the second notice", || (pair.told().len() == 2).then_some(()));
    // While the bank runs nothing is replaced.
    let said = refused(&bank.data(), &["restore", copy, "--part", "partners", "--replace"]);
    assert!(said.contains("in use"), "{said}");
    drop(bank.stop());
    std::fs::remove_dir_all(bank.data().join("partners")).unwrap();
    let said = refused(&bank.data(), &["restore", copy]);
    assert!(said.contains("--replace"), "{said}");
    let said = refused(&bank.data(), &["restore", copy, "--part", "accounts", "--replace"]);
    assert!(said.contains("--part accounts --part transactions"), "{said}");
    done(&bank.data(), &["restore", copy, "--part", "partners"]);
    bank.start_missing();
    let pair = pair.at(&bank);
    let told = until("both notices", || {
        let told = pair.told();
        (told.len() == 2).then_some(told)
    });
    assert!(told.values().all(|count| *count == 1), "{told:?}");
    assert_eq!(pair.bob.balance(&pair.his), 3_00);
}

#[test]
fn a_whole_bank_that_is_put_back_over_another_keeps_that_one_beside_it() {
    let mut bank = Bank::start(program!(), Shape::One);
    let pair = Pair::new(&bank);
    pair.pay(1_00);
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy");
    let copy = copy.to_str().unwrap();
    done(&bank.data(), &["backup", copy]);
    pair.pay(2_00);
    drop(bank.stop());
    done(&bank.data(), &["restore", copy, "--replace"]);
    let names =
        std::fs::read_dir(bank.data().join("accounts")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().any(|name| name.to_str().unwrap().contains(".replaced-")));
    bank.start_missing();
    let pair = pair.at(&bank);
    assert_eq!(pair.bob.balance(&pair.his), 1_00);
    assert_eq!(pair.pay(2_00)["status"], "completed");
    assert_eq!(pair.bob.balance(&pair.his), 3_00);
}

#[test]
fn a_copy_that_is_not_as_it_was_written_changes_nothing() {
    let mut bank = Bank::start(program!(), Shape::One);
    let pair = Pair::new(&bank);
    pair.pay(1_00);
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy");
    done(&bank.data(), &["backup", copy.to_str().unwrap()]);
    drop(bank.stop());
    let refuses = |file: &str, change: &dyn Fn(&mut Vec<u8>), wanted: &str| {
        let path = copy.join(file);
        let whole = std::fs::read(&path).unwrap();
        let mut changed = whole.clone();
        change(&mut changed);
        std::fs::write(&path, changed).unwrap();
        let said = refused(&bank.data(), &["restore", copy.to_str().unwrap(), "--replace"]);
        assert!(said.contains(wanted), "{file}: {said}");
        std::fs::write(&path, whole).unwrap();
    };
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    for file in ["identity/items.db", "accounts/ledger.db", "keys/signing.key", "transactions/items.db"] {
        refuses(file, &flip, "not as it was written");
    }
    refuses("partners/documents.db", &|bytes| bytes.truncate(4_096), "not as it was written");
    let text = |from: &'static str, to: &'static str| {
        move |bytes: &mut Vec<u8>| {
            *bytes = String::from_utf8(bytes.clone()).unwrap().replace(from, to).into_bytes()
        }
    };
    refuses("manifest.json", &text("\"format\": 1", "\"format\": 2"), "does not know its format 2");
    refuses("manifest.json", &text("identity/items.db", "../items.db"), "leads out of the backup");
    std::fs::rename(copy.join("manifest.json"), copy.join("kept")).unwrap();
    let said = refused(&bank.data(), &["restore", copy.to_str().unwrap(), "--replace"]);
    assert!(said.contains("not finished"), "{said}");
    bank.start_missing();
    let pair = pair.at(&bank);
    assert_eq!(pair.bob.balance(&pair.his), 1_00);
}

/// Marks data as a restore that was killed leaves it.
fn mark(data: &Path, copy: &str, parts: &[&str]) {
    let command = format!("bank restore {copy} --data {}", data.display());
    let mark = json!({ "backup": copy, "manifest": "", "parts": parts, "command": command });
    std::fs::write(data.join("restore-unfinished"), mark.to_string()).unwrap();
}

fn is_marked(data: &Path) -> bool {
    data.join("restore-unfinished").exists()
}

/// The files below a directory whose names have this in them.
fn named(directory: &Path, part: &str) -> Vec<PathBuf> {
    let (mut waiting, mut found) = (vec![directory.to_owned()], Vec::new());
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.file_name().unwrap().to_str().unwrap().contains(part) {
            found.push(path);
        }
    }
    found
}

/// A bank that was stopped after a backup, and the directory that the backup is in.
fn stopped_with_a_copy(without: &[&str]) -> (Bank, Pair, tempfile::TempDir, String) {
    let mut bank = Bank::start(program!(), Shape::One);
    let pair = Pair::new(&bank);
    pair.pay(1_00);
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy").to_str().unwrap().to_owned();
    let without: Vec<&str> = without.iter().flat_map(|part| ["--without", part]).collect();
    done(&bank.data(), &[&["backup", &*copy][..], &without[..]].concat());
    drop(bank.stop());
    (bank, pair, elsewhere, copy)
}

const ALL: [&str; 4] = ["partners", "transactions", "accounts", "identity"];

#[test]
fn a_restore_that_was_killed_is_run_again_before_the_bank_starts() {
    let (mut bank, pair, _elsewhere, copy) = stopped_with_a_copy(&[]);
    remove_data(&bank);
    done(&bank.data(), &["restore", &copy]);
    // As a kill in the middle leaves it: one store is missing, and the mark is there.
    std::fs::remove_dir_all(bank.data().join("identity")).unwrap();
    mark(&bank.data(), &copy, &ALL);
    for words in
        [&["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"][..], &["accounts", "--listen", "127.0.0.1:0"]]
    {
        let (status, _, errors) = run(&bank.data(), words);
        assert!(status == Some(1) && line_of(&errors).contains("was not finished"), "{errors}");
    }
    done(&bank.data(), &["restore", &copy, "--replace"]);
    assert!(!is_marked(&bank.data()));
    bank.start_missing();
    assert_eq!(pair.at(&bank).bob.balance(&pair.his), 1_00);
}

#[test]
fn no_command_works_on_data_that_is_half_restored_and_the_doctor_says_so() {
    let (bank, _pair, elsewhere, copy) = stopped_with_a_copy(&[]);
    let another = elsewhere.path().join("another");
    mark(&bank.data(), &copy, &ALL);
    for words in [
        &["backup", another.to_str().unwrap()][..],
        &["user", "list"],
        &["seed"],
        &["seal", "status"],
        &["seal", "rotate"],
        &["ledger", "verify"],
    ] {
        let said = refused(&bank.data(), words);
        assert!(said.contains("was not finished; run `bank restore"), "{words:?}: {said}");
    }
    assert!(!another.exists());
    let (status, said, _) = run(&bank.data(), &["doctor"]);
    assert!(status == Some(1) && said.contains("fail restore:"), "{said}");
    // What cannot be read is not finished either.
    std::fs::remove_file(bank.data().join("restore-unfinished")).unwrap();
    std::fs::create_dir(bank.data().join("restore-unfinished")).unwrap();
    assert!(refused(&bank.data(), &["user", "list"]).contains("restore-unfinished"));
}

#[test]
fn only_a_restore_that_has_all_parts_of_an_unfinished_one_ends_it() {
    let (mut bank, pair, _elsewhere, copy) = stopped_with_a_copy(&[]);
    mark(&bank.data(), &copy, &ALL);
    let said = refused(&bank.data(), &["restore", &copy, "--part", "partners", "--replace"]);
    assert!(
        said.contains("was not finished; run `bank restore") && said.contains("all of its parts"),
        "{said}"
    );
    // One that is refused, since somebody has a store to itself, leaves it too.
    let held = held(&bank.data().join("partners/documents.db"));
    assert!(refused(&bank.data(), &["restore", &copy, "--replace"]).contains("in use"));
    drop(held);
    assert!(is_marked(&bank.data()));
    done(&bank.data(), &["restore", &copy, "--replace"]);
    assert!(!is_marked(&bank.data()));
    // Of a part alone, that part is enough.
    mark(&bank.data(), &copy, &["partners"]);
    done(&bank.data(), &["restore", &copy, "--part", "partners", "--replace"]);
    bank.start_missing();
    assert_eq!(pair.at(&bank).bob.balance(&pair.his), 1_00);
}

/// The lock of a store, as its writer has it.
fn held(store: &Path) -> std::fs::File {
    let mut name = store.as_os_str().to_owned();
    name.push(".lock");
    let file = std::fs::File::options().create(true).truncate(false).write(true).open(name).unwrap();
    file.lock().unwrap();
    file
}

#[test]
fn a_restore_that_any_part_refuses_replaces_nothing_of_the_others() {
    let (mut bank, pair, _elsewhere, copy) = stopped_with_a_copy(&[]);
    let data = bank.data();
    let is_unchanged = || {
        assert_eq!(named(&data, ".replaced-"), [] as [PathBuf; 0]);
        assert_eq!(named(&data, ".part-"), [] as [PathBuf; 0]);
        assert_eq!(named(&data, ".new-"), [] as [PathBuf; 0]);
        assert!(!is_marked(&data));
    };
    // The last part is somebody else's.
    let lock = held(&data.join("identity/items.db"));
    assert!(refused(&data, &["restore", &copy, "--replace"]).contains("in use"));
    drop(lock);
    is_unchanged();
    // Or of a program that is newer.
    let (store, manifest) =
        (Path::new(&copy).join("identity/items.db"), Path::new(&copy).join("manifest.json"));
    let (whole, before) = (std::fs::read(&store).unwrap(), std::fs::read_to_string(&manifest).unwrap());
    let mut newer = whole.clone();
    newer[60..64].copy_from_slice(&1_000_i32.to_be_bytes());
    let old = sha256(&store);
    std::fs::write(&store, newer).unwrap();
    std::fs::write(&manifest, before.replace(&old, &sha256(&store))).unwrap();
    let said = refused(&data, &["restore", &copy, "--replace"]);
    assert!(said.contains("schema version 1000") && said.contains("newer program"), "{said}");
    is_unchanged();
    std::fs::write(&store, whole).unwrap();
    std::fs::write(&manifest, before).unwrap();
    // What a killed run has left is removed by the next.
    std::fs::write(data.join("accounts/ledger.db.part-1"), b"half").unwrap();
    done(&data, &["restore", &copy, "--replace"]);
    assert_eq!(named(&data, ".part-"), [] as [PathBuf; 0]);
    bank.start_missing();
    assert_eq!(pair.at(&bank).bob.balance(&pair.his), 1_00);
}

fn sha256(path: &Path) -> String {
    let output = std::process::Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_backup_lacks_a_part_only_where_that_was_said() {
    let (bank, _pair, elsewhere, _copy) = stopped_with_a_copy(&[]);
    std::fs::remove_dir_all(bank.data().join("partners")).unwrap();
    let another = elsewhere.path().join("another");
    let another = another.to_str().unwrap();
    let said = refused(&bank.data(), &["backup", another]);
    assert!(said.contains("no data of partners") && said.contains("--without partners"), "{said}");
    let said = done(&bank.data(), &["backup", another, "--without", "partners"]);
    assert!(said.contains("of transactions, accounts, identity"), "{said}");
}

#[test]
fn parts_that_a_backup_lacks_keep_their_master_keys() {
    let (mut bank, pair, _elsewhere, copy) = stopped_with_a_copy(&["identity"]);
    let data = bank.data();
    let old = master(&data);
    done(&data, &["seal", "rotate"]);
    done(&data, &["seal", "retire", &old]);
    let current = master(&data);
    assert_ne!(current, old);
    let said = refused(&data, &["restore", &copy]);
    assert!(said.contains("--replace"), "{said}");
    done(&data, &["restore", &copy, "--replace"]);
    assert_eq!(master(&data), current, "it stays the one that wraps");
    bank.start_missing();
    let again = pair.at(&bank);
    assert_eq!(again.bob.balance(&pair.his), 1_00);
    assert_eq!(again.pay(2_00)["status"], "completed");
}

#[test]
fn one_part_alone_brings_the_master_keys_that_it_needs() {
    let (mut bank, pair, _elsewhere, copy) = stopped_with_a_copy(&[]);
    let data = bank.data();
    let old = master(&data);
    done(&data, &["seal", "rotate"]);
    done(&data, &["seal", "retire", &old]);
    done(&data, &["restore", &copy, "--part", "partners", "--replace"]);
    bank.start_missing();
    let pair = pair.at(&bank);
    until("the notice", || (pair.told().len() == 1).then_some(()));
}

/// The name of the current master key.
fn master(data: &Path) -> String {
    let keyring: Value =
        serde_json::from_slice(&std::fs::read(data.join("keys/seal.json")).unwrap()).unwrap();
    keyring["current"].as_str().unwrap().to_owned()
}

#[test]
fn a_data_key_that_cannot_be_unwrapped_fails_a_rotation() {
    let (bank, _pair, _elsewhere, _copy) = stopped_with_a_copy(&[]);
    let path = bank.data().join("keys/seal.json");
    // Another keyring than that of the data.
    let keyring = std::fs::read_to_string(&path).unwrap().replace(&master(&bank.data()), "master_other");
    std::fs::write(&path, keyring).unwrap();
    let said = refused(&bank.data(), &["seal", "rotate"]);
    assert!(said.contains("could not be unwrapped"), "{said}");
}

#[test]
fn a_user_is_added_with_no_other_master_key_than_the_one_that_was_lost() {
    let (bank, _pair, _elsewhere, _copy) = stopped_with_a_copy(&[]);
    let config = bank.data().with_file_name("sealed.toml");
    let file = bank.data().with_file_name("nowhere.json");
    std::fs::write(&config, format!("[seal]\nkey_file = {file:?}\n")).unwrap();
    let words =
        ["user", "add", "tess", "--role", "teller", "--generate", "--config", config.to_str().unwrap()];
    assert!(refused(&bank.data(), &words).contains("nowhere.json"));
    assert!(!file.exists());
}

/// The bank's ledger on PostgreSQL, whose programs are on the path.
fn run_on(server: &Postgres, data: &Path, config: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let programs = server.program("psql");
    let mut path = vec![programs.parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let output = std::process::Command::new(program!())
        .args(words)
        .args([Path::new("--data"), data, Path::new("--config"), config])
        .env("PATH", std::env::join_paths(path).unwrap())
        // Nothing of this is the bank's.
        .envs([("PGHOSTADDR", "192.0.2.1"), ("PGSERVICE", "none")])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_ledger_on_postgresql_is_put_back_whole_or_the_bank_does_not_start() {
    let Some(server) = Postgres::start("a backup of a ledger on PostgreSQL") else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    let (config, copy) = (elsewhere.path().join("bank.toml"), elsewhere.path().join("copy"));
    let copy = copy.to_str().unwrap();
    std::fs::write(&config, format!("[accounts]\nstore = \"{}\"\n", server.url())).unwrap();
    let mut bank =
        Bank::start_with(program!(), Shape::One, &["--demo", "--config", config.to_str().unwrap()]);
    let data = bank.data();
    let on = |words: &[&str]| run_on(&server, &data, &config, words);
    let pair = Pair::new(&bank);
    pair.pay(1_00);
    let (status, said, errors) = on(&["backup", copy]);
    assert_eq!(status, Some(0), "{said}{errors}");
    assert!(
        said.contains("keys/seal-accounts.key is in it") || said.contains("master keys are in it"),
        "{said}"
    );
    pair.pay(2_00);
    let (_, _, errors) = on(&["restore", copy, "--replace"]);
    assert!(errors.contains("in use"), "{errors}");
    drop(bank.stop());
    let schemas = || {
        server.sql("SELECT string_agg(regexp_replace(nspname, '[0-9]+$', ''), ' ' ORDER BY nspname) FROM pg_namespace WHERE nspname LIKE 'bank%'")
    };
    let (_, _, errors) = on(&["restore", copy]);
    assert!(errors.contains("--replace"), "{errors}");

    // A dump that does not come in leaves everything as it was.
    let refuse = |on: &str, what: &str| {
        server.sql(&format!(
            "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS
             $$ BEGIN IF current_query() LIKE '%{what}%' THEN RAISE EXCEPTION 'not now'; END IF; END $$"
        ));
        server.sql(&format!(
            "CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('{on}') EXECUTE FUNCTION refuse()"
        ));
    };
    let allow = || server.sql("DROP EVENT TRIGGER refuse; DROP FUNCTION refuse()");
    refuse("CREATE TABLE", "postings");
    let (status, _, errors) = on(&["restore", copy, "--replace"]);
    assert!(status == Some(1) && errors.contains("not now"), "{errors}");
    allow();
    assert_eq!(schemas(), "bank_ledger");
    assert!(!is_marked(&data));
    assert_eq!(named(&data, ".replaced-"), [] as [PathBuf; 0]);

    // One that fails in the middle is repeated before the bank starts.
    refuse("ALTER SCHEMA", "replaced");
    let (status, _, errors) = on(&["restore", copy, "--replace"]);
    assert!(status == Some(1) && errors.contains("not now"), "{errors}");
    assert_eq!(schemas(), "bank_ledger bank_ledger_restored");
    let (status, _, errors) = on(&["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    assert!(
        status == Some(1) && line_of(&errors).contains("was not finished; run `bank restore"),
        "{errors}"
    );
    let (status, _, errors) = on(&["restore", copy, "--part", "partners", "--replace"]);
    assert!(status == Some(1) && errors.contains("all of its parts"), "{errors}");
    allow();
    let (status, said, errors) = on(&["restore", copy, "--replace"]);
    assert_eq!(status, Some(0), "{said}{errors}");
    assert!(said.contains("the ledger holds, its head is"), "{said}");
    assert_eq!(schemas(), "bank_ledger bank_ledger_replaced_");
    assert!(!data.join("accounts/ledger.dump").exists());
    bank.start_missing();
    let again = pair.at(&bank);
    assert_eq!(again.bob.balance(&pair.his), 1_00);
    assert_eq!(again.pay(2_00)["status"], "completed");
    assert_eq!(again.bob.balance(&pair.his), 3_00);
}

#[test]
fn a_copy_without_its_master_key_says_which_one_is_missing() {
    let elsewhere = tempfile::tempdir().unwrap();
    let key = elsewhere.path().join("secrets/seal.json");
    std::fs::create_dir(elsewhere.path().join("secrets")).unwrap();
    let section = format!("[seal]\nkey_file = {key:?}\n");
    let mut bank = Bank::start_configured(program!(), Shape::Five, &["--demo"], &section);
    let pair = Pair::new(&bank);
    pair.pay(1_00);
    let copy = elsewhere.path().join("copy");
    let (copy, config) = (copy.to_str().unwrap(), bank.config());
    let config = config.to_str().unwrap();
    let said = done(&bank.data(), &["backup", copy, "--config", config]);
    assert!(
        said.contains("the master keys are not in it") && said.contains("keys/signing.key is in it"),
        "{said}"
    );
    drop(bank.stop());
    remove_data(&bank);
    std::fs::rename(&key, elsewhere.path().join("kept.json")).unwrap();
    let said = refused(&bank.data(), &["restore", copy, "--config", config]);
    assert!(said.contains("under the master key") && said.contains("key_file"), "{said}");
    // Another one is no help, and nothing is lost by trying.
    let other = Bank::start(program!(), Shape::One);
    std::fs::copy(other.data().join("keys/seal.json"), &key).unwrap();
    let said = refused(&bank.data(), &["restore", copy, "--config", config, "--replace"]);
    assert!(said.contains("under the master key") && said.contains("nothing was changed"), "{said}");
    assert!(!is_marked(&bank.data()) && !bank.data().join("accounts/ledger.db").exists());
    std::fs::rename(elsewhere.path().join("kept.json"), &key).unwrap();
    done(&bank.data(), &["restore", copy, "--config", config]);
    bank.start_missing();
    let pair = pair.at(&bank);
    assert_eq!(pair.bob.balance(&pair.his), 1_00);
    assert!(bank.is_running(Part::Identity));
}
