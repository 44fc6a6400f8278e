//! The whole bank copied while it works, and put back: the runbook's cases (docs/operating.md, Runbook).

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bank_tests::{Bank, Customer, Part, Shape, cents, euros, exit_of, line_of, program, until, until_ok};
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

#[test]
fn a_restore_that_was_killed_is_run_again_before_the_bank_starts() {
    let mut bank = Bank::start(program!(), Shape::One);
    let pair = Pair::new(&bank);
    pair.pay(1_00);
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy");
    let copy = copy.to_str().unwrap();
    done(&bank.data(), &["backup", copy]);
    drop(bank.stop());
    remove_data(&bank);
    done(&bank.data(), &["restore", copy]);
    // As a kill in the middle leaves it: one store is missing, and the mark is there.
    std::fs::remove_dir_all(bank.data().join("identity")).unwrap();
    std::fs::write(bank.data().join("restore-unfinished"), copy).unwrap();
    for words in
        [&["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"][..], &["accounts", "--listen", "127.0.0.1:0"]]
    {
        let (status, _, errors) = run(&bank.data(), words);
        assert!(status == Some(1) && line_of(&errors).contains("was not finished"), "{errors}");
    }
    done(&bank.data(), &["restore", copy, "--replace"]);
    bank.start_missing();
    assert_eq!(pair.at(&bank).bob.balance(&pair.his), 1_00);
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
    assert!(said.contains("the master keys are not in it"), "{said}");
    drop(bank.stop());
    remove_data(&bank);
    std::fs::rename(&key, elsewhere.path().join("kept.json")).unwrap();
    let said = refused(&bank.data(), &["restore", copy, "--config", config]);
    assert!(said.contains("under the master key") && said.contains("key_file"), "{said}");
    // Another one is no help, and nothing is lost by trying.
    let other = Bank::start(program!(), Shape::One);
    std::fs::copy(other.data().join("keys/seal.json"), &key).unwrap();
    let said = refused(&bank.data(), &["restore", copy, "--config", config, "--replace"]);
    assert!(said.contains("under the master key"), "{said}");
    std::fs::rename(elsewhere.path().join("kept.json"), &key).unwrap();
    bank.start_missing();
    let pair = pair.at(&bank);
    assert_eq!(pair.bob.balance(&pair.his), 1_00);
    assert!(bank.is_running(Part::Identity));
}
