//! A promise of the suite that no macro names would be asked of nobody.

#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

fn promises(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let name = |line: &str| line.strip_prefix("pub async fn ")?.split('(').next().map(ToOwned::to_owned);
    text.lines().filter_map(name).collect()
}

#[test]
fn every_promise_of_the_suites_is_asked() {
    let suites = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance");
    let asked = std::fs::read_to_string(suites.join("mod.rs")).unwrap();
    let asked: Vec<&str> = asked.lines().map(str::trim).collect();
    let mut seen = 0;
    for folder in [suites.clone(), suites.join("ledger")] {
        for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "rs") {
                for promise in promises(&file) {
                    assert!(asked.contains(&promise.as_str()), "{promise} of {}", file.display());
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 90, "only {seen} were found");
}
