//! The ledger's file: copied beside a bank that runs, put back, and on a disk that is full or fails.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::path::{Path, PathBuf};
use std::process::Command;

use bank_tests::{Bank, Shape, exit_of, line_of, program, until};

/// Runs `bank ledger …` on the data of this bank; gives its status and what it said.
fn ledger(bank: &Bank, words: &[&str]) -> (Option<i32>, String, String) {
    let data = bank.data();
    let mut all = vec!["ledger"];
    all.extend(words);
    all.extend(["--data", data.to_str().unwrap()]);
    exit_of(program!(), &all, Path::new("/"))
}

fn last(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

#[test]
fn a_backup_is_taken_beside_a_bank_that_runs_and_put_back() {
    let mut bank = Bank::start(program!(), Shape::One);
    let (alice, mine) = bank.customer_with(100_00);
    let (bob, his) = bank.customer_with(0);
    alice.transfer(&mine, &his, 10_00);
    let copy = bank.data().join("copies").join("monday.db");
    let (status, said, errors) = ledger(&bank, &["backup", copy.to_str().unwrap()]);
    assert_eq!(status, Some(0), "{errors}");
    assert!(last(&said).contains("commands hold"), "{said}");
    // A backup replaces nothing.
    let (status, _, errors) = ledger(&bank, &["backup", copy.to_str().unwrap()]);
    assert!(status == Some(1) && line_of(&errors).contains("exists"), "{errors}");
    alice.transfer(&mine, &his, 5_00);
    assert_eq!((alice.balance(&mine), bob.balance(&his)), (85_00, 15_00));
    // The bank has its ledger open.
    let (status, _, errors) = ledger(&bank, &["restore", copy.to_str().unwrap()]);
    assert!(status == Some(1) && line_of(&errors).contains("in use"), "{errors}");
    // Until everything is in the chain.
    let head = until("the chain has everything", || {
        let (status, said, errors) = ledger(&bank, &["verify"]);
        assert!(status == Some(0) && last(&said).contains("commands hold"), "{said} {errors}");
        let (commands, head) = (last(&said).split(' ').next()?, last(&said).rsplit(' ').next()?);
        head.starts_with(&format!("{commands}:")).then(|| head.to_owned())
    });
    let head = head.as_str();
    let (status, said, errors) = ledger(&bank, &["verify", "--head", head]);
    assert!(status == Some(0) && last(&said).contains("commands hold"), "{said} {errors}");

    drop(bank.stop());
    let (status, said, errors) = ledger(&bank, &["restore", copy.to_str().unwrap()]);
    assert_eq!(status, Some(0), "{errors}");
    assert!(last(&said).contains("commands hold"), "{said}");
    bank.start_missing();
    let (alice, bob) = (alice.at(bank.client()), bob.at(bank.client()));
    assert_eq!((alice.balance(&mine), bob.balance(&his)), (90_00, 10_00));
    // The older copy holds by itself; the head that was kept tells that something is missing.
    let (status, _, errors) = ledger(&bank, &["verify", "--head", head]);
    assert!(status == Some(1) && errors.contains("head was kept"), "{errors}");
    alice.transfer(&mine, &his, 1_00);
    assert_eq!(bob.balance(&his), 11_00);
}

#[test]
fn a_ledger_is_put_back_on_a_disk_that_is_new_and_the_bank_goes_on() {
    let mut bank = Bank::start(program!(), Shape::One);
    let (alice, mine) = bank.customer_with(100_00);
    let (bob, his) = bank.customer_with(0);
    alice.transfer(&mine, &his, 10_00);
    let backup = tempfile::tempdir().unwrap();
    let copy = backup.path().join("ledger.db");
    let (status, _, errors) = ledger(&bank, &["backup", copy.to_str().unwrap()]);
    assert_eq!(status, Some(0), "{errors}");
    drop(bank.stop());
    let data = bank.data();
    let others = ["keys", "accounts/seal.db", "identity", "transactions", "partners", "jwks.json"];
    std::fs::create_dir(backup.path().join("accounts")).unwrap();
    for other in others {
        std::fs::rename(data.join(other), backup.path().join(other)).unwrap();
    }
    std::fs::remove_dir_all(&data).unwrap();
    // Where the copy is missing nothing is made.
    let (status, ..) = ledger(&bank, &["restore", "missing.db"]);
    assert!(status == Some(1) && !data.exists());
    let (status, said, errors) = ledger(&bank, &["restore", copy.to_str().unwrap()]);
    assert_eq!(status, Some(0), "{errors}");
    assert!(
        last(&said)
            .ends_with("before the bank starts: keys, accounts/seal.db, identity, transactions, partners"),
        "{said}"
    );
    for other in others {
        std::fs::rename(backup.path().join(other), data.join(other)).unwrap();
    }
    let (_, said, _) = ledger(&bank, &["verify"]);
    assert!(!said.contains("before the bank starts"), "{said}");
    bank.start_missing();
    let (alice, bob) = (alice.at(bank.client()), bob.at(bank.client()));
    assert_eq!((alice.balance(&mine), bob.balance(&his)), (90_00, 10_00));
    alice.transfer(&mine, &his, 1_00);
    assert_eq!(bob.balance(&his), 11_00);
}

#[test]
fn a_ledger_command_says_in_one_line_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    // What cannot be done ends with 1, and a command line that is wrong with 2.
    for (words, ends, wanted) in [
        (&["ledger", "verify", "--data", "nowhere"][..], 1, "there is no data"),
        (&["ledger", "verify", "--data", "."], 1, "there is no ledger"),
        (&["ledger", "restore", "missing.db", "--data", "."], 1, "missing.db"),
        (&["ledger", "verify", "--head", "12:5d41"], 2, "--head"),
        (&["ledger", "copy"], 2, "bank ledger"),
        (&["ledger", "backup"], 2, "bank ledger"),
    ] {
        let (status, _, errors) = exit_of(program!(), words, directory.path());
        assert_eq!(status, Some(ends), "{words:?}");
        assert!(line_of(&errors).contains(wanted), "{words:?}: {errors}");
    }
}

/// Stands between a program and the C library: while a file names a fault, writes to logs and databases of SQLite fail so.
const FAULTY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/types.h>

static char fault(void) {
    FILE *file = fopen(getenv("FAULT"), "r");
    if (!file) return 0;
    int named = fgetc(file);
    fclose(file);
    return named < 0 ? 0 : (char)named;
}

static int is_ledger(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "ledger.db") != NULL;
}

#define FAILS(letter, number) if (is_ledger(fd) && fault() == letter) { errno = number; return -1; }

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    FAILS('f', ENOSPC)
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    return real(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    FAILS('f', ENOSPC)
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
    return real(fd, bytes, count, offset);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    FAILS('f', ENOSPC)
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    return real(fd, bytes, count);
}

int fsync(int fd) {
    FAILS('s', EIO)
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    return real(fd);
}

int fdatasync(int fd) {
    FAILS('s', EIO)
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    return real(fd);
}
"#;

fn faulty(directory: &Path) -> PathBuf {
    let (source, library) = (directory.join("faulty.c"), directory.join("faulty.so"));
    std::fs::write(&source, FAULTY).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(compiled.success());
    library
}

/// Runs a program of these tests on a disk that fails as the file `fault` says.
fn on_a_bad_disk(directory: &Path, library: &Path, words: &[&str]) -> (bool, String, String) {
    let fault = directory.join("fault");
    let output = Command::new(env!("CARGO_BIN_EXE_on_a_bad_disk"))
        .arg(directory.join("ledger.db"))
        .arg(&fault)
        .args(words)
        .env("LD_PRELOAD", library)
        .env("FAULT", &fault)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn what_a_full_disk_and_a_failed_fsync_did_is_told_apart_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let library = faulty(directory.path());
    let (success, said, errors) = on_a_bad_disk(directory.path(), &library, &[]);
    assert!(success, "{said}\n{errors}");
    // How each fault was told, and that it was over afterwards.
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "full: unavailable, the disk is full; posted after it: yes",
            "fsync: indeterminate, the commit failed half way: look the outcome up; posted after it: yes",
            "whole: yes",
        ],
        "{errors}"
    );
}

#[test]
fn what_was_looked_up_after_a_failed_fsync_stays_so_when_the_process_dies() {
    let directory = tempfile::tempdir().unwrap();
    let library = faulty(directory.path());
    let (success, said, errors) = on_a_bad_disk(directory.path(), &library, &["dies"]);
    assert!(!success && last(&said).starts_with("looked up: "), "{said}\n{errors}");
    let (success, again, errors) = on_a_bad_disk(directory.path(), &library, &["look"]);
    assert!(success, "{errors}");
    assert_eq!(last(&said), last(&again));
}
