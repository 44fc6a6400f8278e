//! What the README says happens: its walk with curl, line by line as it stands there.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::process::Command;

use bank_tests::{Bank, Shape, program};

const README: &str = include_str!("../../../README.md");

/// The first block of this language under a heading.
fn block<'a>(heading: &str, language: &str) -> &'a str {
    let section = README.split_once(&format!("\n## {heading}\n")).expect("the heading is there").1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let block = section.split_once(&format!("\n```{language}\n")).expect("the block is there").1;
    block.split_once("\n```").expect("the block ends").0
}

/// Whether a line is as it was printed, with anything in the place of each `…`.
fn is_like(line: &str, printed: &str) -> bool {
    let mut pieces = printed.split('…');
    let Some(mut rest) = line.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        let found = if pieces.peek().is_some() { rest.find(piece) } else { rest.rfind(piece) };
        let Some(at) = found else { return false };
        rest = &rest[at + piece.len()..];
    }
    printed.ends_with('…') || rest.is_empty()
}

#[test]
fn lines_are_compared_but_for_what_was_left_out() {
    assert!(
        is_like("abc", "abc")
            && is_like("a123c", "a…c")
            && is_like("a1b2b", "a…b")
            && is_like("x,1,y", "…,…,y")
    );
    assert!(
        !is_like("abcd", "abc")
            && !is_like("a123d", "a…c")
            && !is_like("ab", "a…c…b")
            && !is_like("ba", "a…")
    );
}

#[test]
fn the_walk_from_login_to_statement_prints_what_the_readme_says() {
    let bank = Bank::start(program!(), Shape::One);
    let walk = block("From login to statement, with curl", "sh");
    let output = Command::new("sh")
        .args(["-euc", walk])
        .env("URL", format!("http://{}", bank.client().address()))
        .env("PASSWORD", bank.demo_password("alice"))
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && errors.is_empty(), "{}: {said}\n{errors}", output.status);
    let printed: Vec<&str> = block("From login to statement, with curl", "text").lines().collect();
    let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    for (line, printed) in lines.iter().zip(&printed) {
        assert!(
            is_like(line, printed),
            "the README says\n{printed}\nand this was printed:\n{line}\nof\n{said}"
        );
    }
    assert_eq!(lines.len(), printed.len(), "{said}");
}
