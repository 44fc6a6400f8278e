//! Tells the tests whether PostgreSQL's programs are there, and all servers that a bank may stand on: whole files of tests hang on it.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has_postgres)");
    println!("cargo::rustc-check-cfg=cfg(has_servers)");
    println!("cargo::rerun-if-env-changed=BANK_TEST_SERVERS");
    println!("cargo::rerun-if-env-changed=BANK_TEST_POSTGRES");
    println!("cargo::rerun-if-changed=/usr/lib/postgresql");
    let named = std::env::var_os("BANK_TEST_POSTGRES").is_some();
    let installed = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
    let path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let mut places = installed.map(|entry| entry.path().join("bin")).chain(path.iter().cloned());
    if named || places.any(|place| ["initdb", "psql"].iter().all(|program| place.join(program).is_file())) {
        println!("cargo::rustc-cfg=has_postgres");
        has_all(&path);
    }
}

/// Whether the other servers are there as well.
fn has_all(path: &[PathBuf]) {
    let servers = match std::env::var_os("BANK_TEST_SERVERS") {
        Some(servers) => PathBuf::from(servers),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers"),
    };
    let fetched = ["dynamodb", "mongodb"].map(|server| servers.join(server).join("pom.xml"));
    for file in &fetched {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let installed = |program: &str| path.iter().any(|place| place.join(program).is_file());
    if fetched.iter().all(|file| file.is_file()) && installed("java") && installed("redis-server") {
        println!("cargo::rustc-cfg=has_servers");
    }
}
