//! The configuration as whoever writes it sees it: what is wrong is said, and what is in force.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use bank_tests::{Bank, Part, Request, Shape, exit_of, line_of, program, until};
use serde_json::Value;
use tempfile::TempDir;

/// Runs the program in a directory with this file, and these variables.
fn run_with(
    file: &str,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> (Option<i32>, String, String, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("bank.toml"), file).unwrap();
    let output = Command::new(program!())
        .args(arguments)
        .args(["--config", "bank.toml"])
        .envs(variables.iter().copied())
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr), directory)
}

#[track_caller]
fn refused(file: &str, arguments: &[&str], wanted: &[&str]) {
    let (status, out, errors, directory) = run_with(file, &[], arguments);
    let line = line_of(&errors);
    assert!(status == Some(1) && out.is_empty(), "{file}: {status:?} {out}");
    for wanted in wanted {
        assert!(line.contains(wanted), "{wanted} is missing: {line}");
    }
    assert!(!directory.path().join("bank-data").exists(), "nothing is begun with a bad file");
}

#[test]
fn what_a_file_says_in_vain_keeps_a_bank_from_starting_with_its_place() {
    refused("[edge.limits]\nlogn = { per_second = 1 }", &[], &["line 2, column 1", "did you mean `login`?"]);
    refused(
        "[edge.upstreams.acounts]\nendpoints = []",
        &["gateway"],
        &["line 1", "did you mean `accounts`?"],
    );
    refused(
        "[edge.upstreams.accounts]\nendpoints = [\"http://127.0.0.1:1\"]",
        &[],
        &["line 2", "one process", "bank gateway"],
    );
    refused("[gateway]\nthreads = 0", &[], &["line 2, column 11", "1 to 1024"]);
    refused("[edge]\ntrusted_proxies = [\"ten\"]", &[], &["line 2, column 20", "10.0.0.0/8"]);
    refused(
        "[accounts]\nstore = \"mysql://x:secret@y/bank\"",
        &["accounts"],
        &["line 2", "`mysql:`", "postgres://"],
    );
    refused("[log]\nlevel = \"inof\"", &[], &["line 2", "did you mean `info`?"]);
    refused("[gateway]\ntls = \"maybe\"", &[], &["line 2", "CERT,KEY"]);
}

#[test]
fn a_level_that_would_log_nothing_is_refused() {
    let (status, _, errors, _directory) = run_with("", &[("BANK_LOG", "inof")], &[]);
    let line = line_of(&errors);
    assert!(status == Some(1) && line.contains("BANK_LOG") && line.contains("`info`"), "{line}");
}

#[test]
fn check_names_all_faults_and_starts_nothing() {
    let file = "[gateway]\nthreads = 0\nadmin = \"0.0.0.0:1\"\n[edge.limits]\nlogn = { per_second = 1 }\n[accounts]\nstore = \"mysql://x\"\n";
    let (status, _, errors, directory) = run_with(file, &[], &["check"]);
    assert_eq!(status, Some(1), "{errors}");
    for wanted in ["line 2", "line 3", "line 5", "line 7", "4 faults"] {
        assert!(errors.contains(wanted), "{wanted} is missing: {errors}");
    }
    assert!(!directory.path().join("bank-data").exists());
    let (status, said, errors, _directory) = run_with(file, &[], &["check", "--json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &*errors, told["ok"].as_bool()), (Some(1), "", Some(false)));
    let lines: Vec<u64> =
        told["faults"].as_array().unwrap().iter().filter_map(|fault| fault["line"].as_u64()).collect();
    assert_eq!(lines.len(), 4, "{told}");
    // The bank itself names one, and says that there are more.
    let (_, _, errors, _directory) = run_with(file, &[], &[]);
    assert!(line_of(&errors).contains("3 more; `bank check`"), "{errors}");
}

#[test]
fn check_looks_for_files_that_are_named_and_for_what_fits_one_way_of_starting() {
    let (status, said, errors, _directory) = run_with("[gateway]\nthreads = 2\n", &[], &["check"]);
    assert!(status == Some(0) && said.contains("the whole bank"), "{said}{errors}");
    let file = "[gateway]\ntls = \"cert.pem,key.pem\"\n";
    let (status, _, errors, _directory) = run_with(file, &[], &["check"]);
    assert!(status == Some(1) && errors.contains("line 2") && errors.contains("key.pem"), "{errors}");
    let file = "[edge.upstreams.accounts]\nendpoints = [\"http://127.0.0.1:1\"]\n";
    let (status, said, errors, _directory) = run_with(file, &[], &["check"]);
    assert!(status == Some(0) && said.contains("gateway, accounts"), "{said}{errors}");
    let (status, _, errors, _directory) = run_with(file, &[], &["check", "bank"]);
    assert!(status == Some(1) && errors.contains("one process"), "{errors}");
}

#[test]
fn what_is_in_force_is_shown_with_who_said_it_and_without_passwords() {
    let file = "[gateway]\nadmin = \"127.0.0.1:1\"\n[shared]\ncache = \"redis://:s3cret@127.0.0.1\"\n";
    let arguments = ["config", "show", "--listen", "127.0.0.1:2"];
    let variables = [("BANK_EVENTS_KEEP_DAYS", "7")];
    let (status, said, errors, _directory) = run_with(file, &variables, &arguments);
    assert_eq!((status, &*errors), (Some(0), ""));
    for line in [
        "gateway.listen = \"127.0.0.1:2\" # --listen",
        "gateway.admin = \"127.0.0.1:1\" # bank.toml:2",
        "events.keep_days = 7 # BANK_EVENTS_KEEP_DAYS",
        "shared.prefix = \"bank\" # default",
        "shared.cache = \"redis://:***@127.0.0.1\" # bank.toml:4",
    ] {
        assert!(said.lines().any(|shown| shown == line), "{line} is not in\n{said}");
    }
    assert!(!said.contains("s3cret"));
    let (_, said, _, _directory) = run_with(file, &variables, &[&arguments[..], &["--json"]].concat());
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["gateway.admin"]["line"], 2);
    assert_eq!(told["events.keep_days"]["variable"], "BANK_EVENTS_KEEP_DAYS");
    assert!(!said.contains("s3cret"));
}

#[test]
fn a_variable_that_is_misspelled_is_a_fault() {
    for (variable, meant) in
        [("BANK_GATEWAY_LISEN", "BANK_GATEWAY_LISTEN"), ("BANK_ACOUNTS_STORE", "BANK_ACCOUNTS_STORE")]
    {
        let (status, _, errors, _directory) = run_with("", &[(variable, "127.0.0.1:1")], &["check"]);
        let wanted = format!("did you mean `{meant}`?");
        assert!(status == Some(1) && errors.contains(variable) && errors.contains(&wanted), "{errors}");
    }
}

#[test]
fn the_environment_changes_what_a_bank_does() {
    let mut bank = Bank::start_with_variables(
        program!(),
        &[],
        &[("BANK_GATEWAY_AUDIT", "false"), ("BANK_EDGE_LIMITS_LOGIN", "{ per_hour = 2, burst = 2 }")],
    );
    let wrong = serde_json::json!({ "username": "nobody", "password": "not this one" });
    // One client is one address.
    let client = bank.client();
    let attempt = || client.send(Request::post("/v1/sessions").json(&wrong)).status;
    assert_eq!([attempt(), attempt(), attempt()], [401, 401, 429]);
    assert!(bank.stop().iter().all(|(_, status)| status.success()));
    let names: Vec<_> =
        std::fs::read_dir(bank.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().starts_with("audit")), "{names:?}");
}

#[test]
fn logs_have_no_colours_off_a_terminal_and_are_json_where_that_is_asked_for() {
    let variables = [("BANK_LOG", "info"), ("BANK_LOG_FORMAT", "json")];
    let bank = Bank::start_with_variables(program!(), &[], &variables);
    bank.client().send(Request::get("/healthz")).expect(200);
    let _ = bank.customer();
    let line = until("a line of the access log", || {
        bank.errors(Part::All)
            .lines()
            .find(|line| line.contains("bank_gateway::access") && line.contains("POST /v1/customers"))
            .map(str::to_owned)
    });
    let told: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(
        (told["level"].as_str(), told["operation"].as_str()),
        (Some("INFO"), Some("POST /v1/customers"))
    );
    assert_eq!(told["trace"].as_str().map(str::len), Some(32), "{told}");
    let bank = Bank::start_with_variables(program!(), &[], &[("BANK_LOG", "info")]);
    let _ = bank.customer();
    until("a line of the access log", || {
        bank.errors(Part::All).contains("bank_gateway::access").then_some(())
    });
    assert!(!bank.errors(Part::All).contains('\x1b'), "{}", bank.errors(Part::All));
}

#[test]
fn a_gateway_that_waits_says_for_what() {
    let directory = tempfile::tempdir().unwrap();
    let mut gateway = Command::new(program!())
        .args([
            "gateway",
            "--data",
            "data",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--internal",
            "127.0.0.1:0",
        ])
        .current_dir(directory.path())
        .env_remove("BANK_LOG")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(directory.path().join("errors")).unwrap())
        .spawn()
        .unwrap();
    let said = until("the word on what it waits for", || {
        let said = std::fs::read_to_string(directory.path().join("errors")).unwrap();
        said.contains("waiting").then_some(said)
    });
    assert!(said.contains("identity") && said.contains("data/identity/items.db"), "{said}");
    gateway.kill().unwrap();
    gateway.wait().unwrap();
}

#[test]
fn a_service_that_is_away_is_told_once_and_again_when_it_is_back() {
    let mut bank = Bank::start(program!(), Shape::Five);
    let (ann, from) = bank.customer_with(100);
    let (_, to) = bank.customer_with(0);
    bank.kill(Part::Accounts);
    let body = serde_json::json!({ "from": from, "to": to, "amount": bank_tests::euros(1) });
    for key in ["a", "b", "c"] {
        let request = Request::post("/v1/transfers").key(key).bearer(&ann.access_token).json(&body);
        let _ = ann.client.send(request);
    }
    until("the word that accounts is away", || {
        bank.errors(Part::Transactions).contains("away").then_some(())
    });
    bank.start_missing();
    until("the word that it is back", || bank.errors(Part::Transactions).contains(" back ").then_some(()));
    let errors = bank.errors(Part::Transactions);
    let of_transfers =
        errors.lines().filter(|line| line.contains("WARN") && line.contains("carrying out transfers"));
    assert_eq!(of_transfers.count(), 1, "{errors}");
    assert!(errors.lines().count() < 20, "{errors}");
}

#[test]
fn a_broken_file_is_said_with_every_place_by_check() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::File::create(directory.path().join("b.toml"))
        .unwrap()
        .write_all(b"data = \n[gateway\n")
        .unwrap();
    let (status, _, errors) = exit_of(program!(), &["check", "--config", "b.toml"], directory.path());
    assert!(status == Some(1) && errors.contains("line 1") && errors.contains("line 2"), "{errors}");
}
