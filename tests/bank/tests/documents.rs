//! The guide tells what the code does: every problem code and every command is in it, and every test that it names is there.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bank_tests::{exit_of, program};

const ERRORS: &str = include_str!("../../../docs/errors.md");
const OPERATING: &str = include_str!("../../../docs/operating.md");
const SECURITY: &str = include_str!("../../../docs/security.md");

/// Where answers are made.
const ANSWERING: [&str; 7] = [
    "bank-sdk/src",
    "bank-gateway/src",
    "examples/accounts/src",
    "examples/transactions/src",
    "examples/identity/src",
    "examples/partners/src",
    "examples/web/src",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All Rust files in these directories: their paths from the root of the repository, and their texts.
fn sources(directories: &[&str]) -> BTreeMap<String, String> {
    let (root, mut found) = (root(), BTreeMap::new());
    let mut waiting: Vec<PathBuf> = directories.iter().map(|directory| root.join(directory)).collect();
    while let Some(path) = waiting.pop() {
        if path.ends_with("node_modules") {
            continue;
        }
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    assert!(!found.is_empty(), "no sources in {directories:?}");
    found
}

/// The code itself, without comments and without the tests at its foot.
fn without_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// The texts in quotes that follow `start` behind nothing but space.
fn quoted_after<'a>(code: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    code.split(start).skip(1).filter_map(|rest| Some(rest.trim_start().strip_prefix('"')?.split_once('"')?.0))
}

/// The codes of `[(422, "invalid_name"), …]`.
fn declared(code: &str) -> impl Iterator<Item = &str> {
    code.split('(').skip(1).filter_map(|rest| {
        let (status, behind) = rest.split_once(", \"")?;
        let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
        is_status.then(|| behind.split_once('"').map(|(code, _)| code))?
    })
}

/// Codes between back quotes in the first cells of the tables.
fn documented() -> BTreeSet<String> {
    let cells = ERRORS.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(ToOwned::to_owned).collect()
}

#[test]
fn every_code_of_a_problem_is_documented() {
    let documented = documented();
    let (mut codes, mut missing) = (BTreeSet::new(), Vec::new());
    for (file, text) in sources(&ANSWERING).into_iter().filter(|(file, _)| !file.ends_with("tests.rs")) {
        let code = without_tests(&text);
        let made = ["with_code(", "unprocessable(", "ambiguous(", "rejected(", "POSITION_LOST: &str ="]
            .into_iter()
            .flat_map(|start| quoted_after(&code, start));
        // What the ledger refuses after an approval.
        let refused = code.split("Some(\"").skip(1).filter_map(|rest| rest.split_once("\"),"));
        let refused = refused.map(|(code, _)| code).filter(|_| file.ends_with("accounts/src/decided.rs"));
        for found in made.chain(declared(&code)).chain(refused).filter(|found| is_code(found)) {
            codes.insert(found.to_owned());
            if !documented.contains(found) {
                missing.push(format!("{found} of {file}"));
            }
        }
    }
    assert!(codes.len() > 70, "only {} codes were found: this test no longer reads the sources", codes.len());
    assert!(missing.is_empty(), "docs/errors.md has no row for {missing:#?}");
}

#[test]
fn every_documented_code_is_one_that_is_answered() {
    let all: String = sources(&ANSWERING).values().map(|text| without_tests(text)).collect();
    let codes = documented().into_iter().filter(|code| is_code(code));
    let gone: Vec<String> = codes.filter(|code| !all.contains(&format!("\"{code}\""))).collect();
    assert!(gone.is_empty(), "docs/errors.md has rows for what no code answers: {gone:?}");
}

#[test]
fn every_command_is_in_the_operators_guide() {
    let (status, help, _) = exit_of(program!(), &["--help"], Path::new("/"));
    assert_eq!(status, Some(0));
    let commands = help.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap();
    let names = commands.lines().filter_map(|line| line.split_whitespace().next());
    let missing: Vec<&str> =
        names.filter(|name| *name != "help" && !OPERATING.contains(&format!("bank {name}"))).collect();
    assert!(missing.is_empty(), "docs/operating.md says nothing of {missing:?}");
}

/// Whether a name is this one; `*` at its end stands for whatever follows.
fn is_named(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Whether a module of this name is in the path of a file: `sdk serve::*::s7_*` has `*` for any.
fn is_in_path(file: &str, module: &str) -> bool {
    module == "*"
        || module == "tests"
        || file.split('/').any(|part| part.strip_suffix(".rs").unwrap_or(part) == module)
}

#[test]
fn every_test_that_shows_a_requirement_is_there() {
    let sources = sources(&["bank-sdk", "bank-gateway/src", "bank-stores", "examples", "tests"]);
    let functions: BTreeMap<&str, Vec<&str>> = sources
        .iter()
        .map(|(file, text)| {
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            (&**file, names.collect())
        })
        .collect();
    let rows = SECURITY.lines().filter(|line| line.starts_with("| S"));
    let mut named = 0;
    let mut missing = Vec::new();
    for row in rows {
        let shown = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        for test in shown.split('`').skip(1).step_by(2).filter(|test| test.contains("::")) {
            named += 1;
            let (crate_name, path) = test.split_once(' ').unwrap_or(("", test));
            let mut modules: Vec<&str> = path.split("::").collect();
            let name = modules.pop().unwrap_or_default();
            let directory = match crate_name {
                "" => String::new(),
                "sdk" => "bank-sdk/".to_owned(),
                service => format!("examples/{service}/"),
            };
            let is_there = functions.iter().any(|(file, names)| {
                file.starts_with(&directory)
                    && modules.iter().all(|module| is_in_path(file, module))
                    && (name == "tests" || names.iter().any(|found| is_named(name, found)))
            });
            if !is_there {
                missing.push(test);
            }
        }
    }
    assert!(named > 100, "only {named} tests were found: this test no longer reads docs/security.md");
    assert!(missing.is_empty(), "docs/security.md names tests that there are not: {missing:#?}");
}
