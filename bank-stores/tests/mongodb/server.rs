//! A server of MongoDB's protocol for the tests: the user's, or one of our own.

#![allow(dead_code, reason = "each program uses a part")]

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bank_stores::mongodb::MongoOptions;

use crate::running::{Running, fetched};

/// A server that the tests started, with its data in a file.
pub(crate) struct Server {
    pub(crate) running: Running,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Nothing where there is none to start.
    pub(crate) fn start() -> Option<Self> {
        let programs = fetched("mongodb")?;
        let directory = tempfile::tempdir().unwrap();
        let running = Running::start(directory.path(), |port| command(&programs, port, directory.path()));
        Some(Self { running, _directory: directory })
    }

    pub(crate) fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}", self.running.port)
    }
}

fn command(programs: &Path, port: u16, directory: &Path) -> Vec<String> {
    let path = |name: &str| programs.join(name).display().to_string();
    let file = directory.join("documents.h2").display().to_string();
    let classes = format!("{}:{}", path("classes"), path("lib/*"));
    ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", &classes, "Main", &port.to_string(), &file]
        .map(str::to_owned)
        .into()
}

/// The server that the tests of this program share.
fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(Server::start).as_ref()
}

/// A database of its own: at `BANK_TEST_MONGODB_URL` where that is set, on the shared server otherwise.
pub(crate) fn somewhere() -> Option<MongoOptions> {
    match std::env::var("BANK_TEST_MONGODB_URL") {
        Ok(url) => Some(fresh(&url)),
        Err(_) => Some(fresh(&shared()?.url())),
    }
}

/// The port of the shared server, which the tests may talk to through something that stands between.
pub(crate) fn port() -> Option<u16> {
    Some(shared()?.running.port)
}

/// Options for this URL with a database that no other test has, and patience for a slow machine.
pub(crate) fn fresh(url: &str) -> MongoOptions {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let (number, patience) = (NUMBER.fetch_add(1, Ordering::Relaxed), Duration::from_secs(20));
    let options = MongoOptions::new(url).unwrap().connect_timeout(patience).response_timeout(patience);
    options.database(&format!("t{}_{number}", std::process::id())).unwrap()
}
