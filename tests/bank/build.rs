//! Tells the tests whether PostgreSQL's programs are there: whole files of tests hang on it.

use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has_postgres)");
    println!("cargo::rerun-if-env-changed=BANK_TEST_POSTGRES");
    println!("cargo::rerun-if-changed=/usr/lib/postgresql");
    let named = std::env::var_os("BANK_TEST_POSTGRES").is_some();
    let installed = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
    let on_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let mut places = installed.map(|entry| entry.path().join("bin")).chain(on_path);
    if named || places.any(|place| ["initdb", "psql"].iter().all(|program| place.join(program).is_file())) {
        println!("cargo::rustc-cfg=has_postgres");
    }
}
