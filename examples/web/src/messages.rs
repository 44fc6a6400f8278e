//! The page's words are the same in every language: keys, what is filled in, and what the page asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

type Catalogue = BTreeMap<String, String>;

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)).unwrap()
}

/// The keys and texts of a catalogue, which has one `'key': 'text',` after the other, the text on the next line where it
/// is long.
fn catalogue(name: &str) -> Catalogue {
    let text = file(name).replace(":\n    '", ": '");
    let mut found = Catalogue::new();
    for line in text.lines() {
        let Some((key, value)) = line.trim().strip_prefix('\'').and_then(|rest| rest.split_once("': '"))
        else {
            continue;
        };
        let value = value.strip_suffix("',").unwrap_or_else(|| panic!("{name}: {line}")).replace("\\'", "'");
        assert!(found.insert(key.to_owned(), value).is_none(), "{name} has {key} twice");
    }
    assert!(found.len() > 200, "{name} was not read");
    found
}

/// `{amount}` and the like.
fn values(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
}

/// All texts in quotes behind `start`.
fn quoted<'a>(text: &'a str, start: &'a str, end: char) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(move |rest| rest.split(end).next())
}

fn scripts() -> Vec<(String, String)> {
    let names = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.ends_with(".js") && !name.starts_with("messages-"))
        .map(|name| (name.clone(), file(&name)))
        .collect()
}

#[test]
fn every_language_says_the_same_things() {
    let (english, german) = (catalogue("messages-en.js"), catalogue("messages-de.js"));
    assert_eq!(english.keys().collect::<Vec<_>>(), german.keys().collect::<Vec<_>>());
    for (key, text) in &english {
        // "1 second" may leave out the figure; nothing else may leave out anything.
        if !key.ends_with(".one") {
            assert_eq!(values(text), values(&german[key]), "{key}");
        }
        assert!(!german[key].trim().is_empty(), "{key}");
    }
}

#[test]
fn every_text_that_the_page_asks_for_is_there() {
    let english = catalogue("messages-en.js");
    let known = |key: &str| english.contains_key(key) || english.contains_key(&format!("{key}.other"));
    for (name, text) in scripts() {
        for start in [" t('", "(t('", "...sentence('", " sentence('", "[t('"] {
            for key in quoted(&text, start, '\'') {
                assert!(known(key), "{name} asks for {key}");
            }
        }
    }
    let page = file("index.html");
    for start in ["data-t=\"", "data-t-label=\"", "data-t-placeholder=\""] {
        for key in quoted(&page, start, '"') {
            assert!(known(key), "the page asks for {key}");
        }
    }
}

#[test]
fn what_stands_in_the_page_before_its_script_runs_is_english() {
    let (page, english) = (file("index.html"), catalogue("messages-en.js"));
    for rest in page.split(" data-t=\"").skip(1) {
        let (key, rest) = rest.split_once('"').unwrap();
        let text = rest.split_once('>').unwrap().1.split_once('<').unwrap().0;
        assert_eq!(text, english[key], "{key}");
    }
}

/// The codes in the first column of the tables behind `start`, up to the next heading.
fn codes_behind(document: &str, start: &str) -> BTreeSet<String> {
    let part = document.split_once(start).unwrap_or_else(|| panic!("no `{start}`")).1;
    let part = part.split_once("\n#").map_or(part, |(part, _)| part);
    let first = part.lines().filter_map(|line| Some(line.strip_prefix("| ")?.split_once(" |")?.0));
    let codes = first.filter(|cell| cell.starts_with('`')).flat_map(|cell| cell.split(", "));
    codes.map(|code| code.trim_matches('`').to_owned()).collect()
}

/// The codes with which a service's endpoints say that they refuse, such as `(422, "invalid_amount")`.
fn declared(endpoints: &str) -> impl Iterator<Item = String> {
    let refusals = endpoints.split("(4").skip(1);
    refusals.filter_map(|rest| Some(rest.get(2..)?.strip_prefix(", \"")?.split_once('"')?.0.to_owned()))
}

/// Codes that no call of the page gets: a browser cannot send what they are about, or the page has no such call.
const NEVER: [&str; 21] = [
    "ambiguous_fields",
    "ambiguous_host",
    "ambiguous_path",
    "ambiguous_scheme",
    "credential_in_query",
    "draining",
    "hold_ended",
    "hold_exceeded",
    "invalid_escape",
    "invalid_idempotency_key",
    "invalid_json",
    "invalid_refresh_token",
    "invalid_time",
    "loop_detected",
    "method_not_allowed",
    "missing_idempotency_key",
    "no_identity",
    "position_lost",
    "unknown_service",
    "unsupported_content_coding",
    "unsupported_media_type",
];

#[test]
fn every_refusal_that_the_page_can_get_has_words_of_its_own_in_every_language() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read =
        |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let document = read("docs/errors.md");
    let mut codes = BTreeSet::new();
    for heading in ["\n## Codes of the gateway", "\n## Codes of bank-sdk", "\n## Codes of the reference bank"]
    {
        codes.extend(codes_behind(&document, heading));
    }
    for service in ["accounts", "identity", "partners", "transactions"] {
        codes.extend(declared(&read(&format!("examples/{service}/src/endpoints.rs"))));
    }
    assert!(codes.len() > 60, "the codes were not read: {codes:?}");
    let reasons = codes_behind(&document, "\nA transfer that was taken on and not made is");
    for language in ["messages-en.js", "messages-de.js"] {
        let words = catalogue(language);
        for code in codes.iter().filter(|code| !NEVER.contains(&code.as_str())) {
            assert!(words.contains_key(&format!("problem.{code}")), "{language} has no words for {code}");
        }
        for code in &reasons {
            assert!(words.contains_key(&format!("reason.{code}")), "{language} has no reason for {code}");
        }
        // For codes that are newer than the page.
        for key in ["problem.other", "problem.500", "reason.other", "field.other"] {
            assert!(words.contains_key(key), "{language}: {key}");
        }
    }
}
