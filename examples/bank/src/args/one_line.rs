//! What is wrong with a command line, on one line.

use clap::error::ContextKind;

/// What is wrong with a command line, and what would do.
pub(super) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut said: Vec<String> = Vec::new();
    for paragraph in text.split("\n\n") {
        let words = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_advice = words.starts_with("Usage:") || words.starts_with("For more information");
        if !words.is_empty() && !is_advice {
            said.push(words.strip_prefix("error: ").unwrap_or(&words).to_owned());
        }
    }
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let command = commands_of(&usage);
    format!("{}; see `{command} --help`", said.join("; "))
}

/// The commands at the start of a line of usage: `bank ledger verify`.
pub(super) fn commands_of(usage: &str) -> String {
    let words = usage.trim_start_matches("Usage:").split_whitespace();
    let plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let words: Vec<&str> = words.take_while(plain).collect();
    if words.is_empty() { "bank".to_owned() } else { words.join(" ") }
}
