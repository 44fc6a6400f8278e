//! The command line as whoever types it sees it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bank_tests::{Bank, Part, Shape, exit_of, line_of, program, until};
use serde_json::Value;

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    exit_of(program!(), arguments, Path::new("/"))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The audit's file in a bank's data.
fn audit_of(bank: &Bank) -> PathBuf {
    let mut files = std::fs::read_dir(bank.data()).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.file_name().unwrap().to_string_lossy().starts_with("audit-")).unwrap()
}

#[test]
fn help_and_version_are_answers_and_every_command_has_its_help() {
    let (status, said, errors) = run(&["--version"]);
    assert_eq!((status, said.trim(), &*errors), (Some(0), concat!("bank ", env!("CARGO_PKG_VERSION")), ""));
    for command in [
        &[][..],
        &["gateway"],
        &["accounts"],
        &["status"],
        &["check"],
        &["config", "show"],
        &["doctor"],
        &["user", "add"],
        &["seed"],
        &["audit", "verify"],
        &["ledger"],
        &["ledger", "verify"],
        &["seal"],
        &["completions"],
    ] {
        let (status, said, errors) = run(&[command, &["--help"]].concat());
        assert_eq!((status, &*errors), (Some(0), ""), "{command:?}");
        assert!(said.contains("Usage: bank") && said.contains("--data"), "{command:?}: {said}");
        assert!(!said.contains('\x1b'), "colours are for terminals");
    }
    assert!(run(&["help", "ledger"]).1.contains("Examples:"));
    assert!(run(&["--help"]).1.contains("Exit status:"));
}

#[test]
fn a_wrong_command_line_is_one_line_with_what_was_meant_and_status_2() {
    for (arguments, said) in [
        (&["--listne", "127.0.0.1:0"][..], "'--listen'"),
        (&["leger", "verify"], "'ledger'"),
        (&["ledger", "verfy"], "'verify'"),
        (&["--demo=yes"], "true, false"),
        (&["--data", "a", "--data", "b"], "--data"),
        (&["--data", "a", "ledger", "verify", "--data", "b"], "twice"),
        (&["--demo", "ledger", "verify"], "--demo"),
        (&["ledger", "verify", "--head", "nonsense"], "--head"),
        (&["completions", "cobol"], "fish"),
    ] {
        let (status, out, errors) = run(arguments);
        let line = line_of(&errors);
        assert!(
            status == Some(2) && out.is_empty() && line.contains(said),
            "{arguments:?}: {status:?} {line}"
        );
        assert!(line.starts_with("bank: "), "{line}");
    }
}

#[test]
fn completions_and_a_manual_come_from_the_same_description() {
    for shell in ["bash", "zsh", "fish"] {
        let (status, said, errors) = run(&["completions", shell]);
        assert_eq!((status, &*errors), (Some(0), ""));
        for word in ["ledger", "shred", "admin"] {
            assert!(said.contains(word), "{shell} does not know {word}");
        }
    }
    let (status, said, errors) = run(&["man"]);
    assert_eq!((status, &*errors), (Some(0), ""));
    for word in [".TH bank", "BANK LEDGER RESTORE", "\\-\\-internal"] {
        assert!(said.contains(word), "the manual has no {word}");
    }
}

#[test]
fn an_option_that_means_nothing_for_what_is_started_is_refused_or_said() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, said) in [
        (&["--internal", "127.0.0.1:0"][..], "--internal"),
        (&["accounts", "--admin", "127.0.0.1:0"], "--admin"),
        (&["accounts", "--tls", "dev"], "--tls"),
    ] {
        let (status, _, errors) = exit_of(program!(), arguments, directory.path());
        assert!(status == Some(1) && line_of(&errors).contains(said), "{arguments:?}: {errors}");
    }
    // Many start all parts with the same options.
    let bank = Bank::start(program!(), Shape::Five);
    until("the word on --demo", || {
        bank.errors(Part::Accounts).contains("--demo means nothing").then_some(())
    });
    assert!(!bank.errors(Part::Identity).contains("--demo means nothing"));
}

#[test]
fn status_tells_how_a_bank_is_or_that_none_answers() {
    let mut bank = Bank::start(program!(), Shape::One);
    let admin = bank.admin_address();
    let (status, said, errors) = run(&["status", "--admin", &admin]);
    assert_eq!((status, &*errors), (Some(0), ""));
    assert!(said.starts_with(concat!("ready: bank ", env!("CARGO_PKG_VERSION"), ", up ")), "{said}");
    let (status, said, _) = run(&["--admin", &admin, "status", "--json"]);
    let told = json(&said);
    assert_eq!(
        (status, &told["status"], &told["version"]),
        (Some(0), &"ready".into(), &env!("CARGO_PKG_VERSION").into())
    );
    assert!(told["uptime_seconds"].is_u64() && told["audit_head"].is_string(), "{told}");
    drop(bank.stop());
    let (status, out, errors) = run(&["status", "--admin", &admin]);
    assert!(
        status == Some(1) && out.is_empty() && line_of(&errors).contains("no bank answers at"),
        "{errors}"
    );
    let (status, said, _) = run(&["status", "--admin", &admin, "--json"]);
    assert_eq!((status, &json(&said)["status"]), (Some(1), &"away".into()));
}

#[test]
fn status_says_what_is_out_of_service() {
    let mut bank = Bank::start(program!(), Shape::Five);
    let admin = bank.admin_address();
    let ann = bank.customer();
    bank.kill(Part::Accounts);
    let told = until("the gateway to notice", || {
        let _ = ann.get("/v1/accounts");
        let (_, said, _) = run(&["status", "--admin", &admin, "--json"]);
        Some(json(&said)).filter(|told| told["status"] == "degraded")
    });
    assert!(told["degraded"]["accounts"].as_str().unwrap().contains("out of service"), "{told}");
    let (status, said, _) = run(&["status", "--admin", &admin]);
    assert!(status == Some(0) && said.starts_with("degraded: ") && said.contains("accounts: "), "{said}");
}

#[test]
fn a_doctor_finds_nothing_wrong_with_a_bank_that_is_well_and_what_is_wrong_with_others() {
    let mut bank = Bank::start(program!(), Shape::One);
    let (_, account) = bank.customer_with(1_00);
    assert!(!account.is_empty());
    let data = bank.data().display().to_string();
    let ports = ["BANK_GATEWAY_LISTEN=127.0.0.1:0", "BANK_GATEWAY_ADMIN=127.0.0.1:0"];
    let doctor = |more: &[&str]| {
        let output = Command::new("env")
            .args(ports)
            .arg(program!())
            .args(["doctor", "--data", &data])
            .args(more)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (status, said) = doctor(&[]);
    assert_eq!(status, Some(0), "{said}");
    for line in [
        "modes of files",
        "free space",
        "sync to disk",
        "clock",
        "keys",
        "chain of the ledger",
        "notifications from accounts",
    ] {
        assert!(said.contains(line), "{line} is missing in\n{said}");
    }
    drop(bank.stop());
    let key = bank.data().join("keys/seal.json");
    std::os::unix::fs::symlink("/nowhere", bank.data().join("link")).unwrap();
    std::fs::rename(&key, key.with_extension("away")).unwrap();
    let mut open = std::fs::metadata(bank.data()).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut open, 0o755);
    std::fs::set_permissions(bank.data(), open).unwrap();
    let (status, said) = doctor(&["--json"]);
    let told = json(&said);
    let failed: Vec<&str> = told["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["health"] == "fail")
        .map(|finding| finding["what"].as_str().unwrap())
        .collect();
    assert_eq!((status, failed), (Some(1), vec!["modes of files", "keys"]), "{told}");
}

#[test]
fn what_verifies_answers_in_json_too() {
    let mut bank = Bank::start(program!(), Shape::One);
    let _ = bank.customer_with(1_00);
    drop(bank.stop());
    let data = bank.data().display().to_string();
    let (status, said, _) = run(&["ledger", "verify", "--data", &data, "--json"]);
    let told = json(&said);
    assert_eq!((status, &told["holds"]), (Some(0), &true.into()));
    let beyond = format!("{}:{}", u32::MAX, "0".repeat(64));
    let (status, said, _) = run(&["ledger", "verify", "--head", &beyond, "--data", &data, "--json"]);
    assert_eq!((status, &json(&said)["holds"]), (Some(1), &false.into()), "{said}");
    let (status, said, _) = run(&["seal", "--data", &data, "status", "--json"]);
    assert_eq!(status, Some(0));
    assert!(json(&said)["identity"]["current"].is_string(), "{said}");
}

#[test]
fn newest_records_of_the_audit_that_were_cut_off_are_found_by_a_head_that_was_kept() {
    let mut bank = Bank::start(program!(), Shape::One);
    let _ = bank.customer_with(1_00);
    drop(bank.stop());
    let file = audit_of(&bank);
    let name = file.display().to_string();
    let (_, said, _) = run(&["audit", "verify", &name, "--json"]);
    let head = json(&said)["head"].as_str().unwrap().to_owned();
    assert!(run(&["audit", "verify", &name]).1.lines().last().unwrap().ends_with(&head));
    let hash = head.split_once(':').unwrap().1;
    for kept in [&*head, hash] {
        assert_eq!(run(&["audit", "verify", &name, "--head", kept]).0, Some(0));
    }
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text.lines().count();
    let cut: String = text.split_inclusive('\n').take(lines - 2).collect();
    std::fs::write(&file, cut).unwrap();
    assert_eq!(run(&["audit", "verify", &name]).0, Some(0), "a chain does not show that its end is missing");
    for kept in [&*head, hash] {
        let (status, _, errors) = run(&["audit", "verify", &name, "--head", kept]);
        assert!(status == Some(1) && line_of(&errors).contains("cut off"), "{errors}");
    }
}

#[test]
fn the_admin_listener_tells_the_audit_head_that_a_command_verifies() {
    let mut bank = Bank::start(program!(), Shape::One);
    let _ = bank.customer_with(1_00);
    let metrics = bank.admin().send(bank_tests::Request::get("/metrics")).text();
    let head =
        metrics.lines().find_map(|line| line.strip_prefix("bank_gateway_audit_head_info{hash=\"")).unwrap();
    let head = head.split('"').next().unwrap().to_owned();
    drop(bank.stop());
    let file = audit_of(&bank);
    assert_eq!(run(&["audit", "verify", file.to_str().unwrap(), "--head", &head]).0, Some(0));
}

#[test]
fn nobody_at_the_other_end_changes_no_exit_status() {
    for (arguments, status) in [
        (&["check", "--bogus"][..], 2),
        (&["ledger", "verify", "--data", "/nowhere"], 1),
        (&["config", "reference"], 0),
    ] {
        let gone = || {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            Stdio::from(writer)
        };
        let mut command = Command::new(program!());
        let ended = command.args(arguments).stdout(gone()).stderr(gone()).status().unwrap();
        assert_eq!(ended.code(), Some(status), "{arguments:?}");
    }
}
