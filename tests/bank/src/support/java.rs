//! DynamoDB Local, and a server of MongoDB's protocol, on free ports; they end with the test. `.ci/servers` fetches them: without
//! them there are none, and the test says so.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::Process;
use edge_tests::{HeldPort, until, until_ok};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Dynamo,
    Mongo,
}

/// A running server, with its data in files.
#[derive(Debug)]
pub struct JavaServer {
    kind: Kind,
    programs: PathBuf,
    port: HeldPort,
    process: Option<Process>,
    directory: TempDir,
}

impl JavaServer {
    /// DynamoDB Local; nothing, and a word why, where there is none.
    ///
    /// # Panics
    /// Where there is, but no server comes of it; and with `BANK_TEST_REQUIRE` where there is none.
    #[must_use]
    pub fn dynamo(test: &str) -> Option<Self> {
        Self::start(test, Kind::Dynamo, "dynamodb")
    }

    /// A server of MongoDB's protocol.
    ///
    /// # Panics
    /// As [`JavaServer::dynamo`].
    #[must_use]
    pub fn mongo(test: &str) -> Option<Self> {
        Self::start(test, Kind::Mongo, "mongodb")
    }

    fn start(test: &str, kind: Kind, name: &str) -> Option<Self> {
        let servers = match std::env::var_os("BANK_TEST_SERVERS") {
            Some(servers) => PathBuf::from(servers),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers"),
        };
        let programs = servers.join(name);
        if !programs.join("pom.xml").exists() || Command::new("java").arg("-version").output().is_err() {
            return super::skip(test, &format!("no {name}, or no Java: call .ci/servers"));
        }
        let programs = programs.canonicalize().unwrap();
        let directory = tempfile::Builder::new().prefix("bank-test-java-").tempdir().unwrap();
        let mut server = Self { kind, programs, port: HeldPort::new(), process: None, directory };
        until_ok("a server to start", || {
            server.port = HeldPort::new();
            server.try_start()
        });
        Some(server)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Ends it. It is told to end: killed, DynamoDB Local loses now and then what it acknowledged last, and H2 what it has not written yet,
    /// which the services that they stand for do not.
    pub fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("TERM");
            process.ended();
        }
    }

    /// Starts it again on the same port and files.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn restart(&mut self) {
        self.end();
        until_ok("the server to start again", || self.try_start());
    }

    /// Waits until it answers, or has ended: DynamoDB Local asks for its port at every address, where a connection may have it for a
    /// moment.
    fn try_start(&mut self) -> Result<(), String> {
        // Its directory outlives it: a process takes its own along.
        let own = self.directory.path().join("life");
        std::fs::create_dir_all(&own).unwrap();
        let mut process = Process::start(Path::new("java"), &self.arguments(), "java", &own);
        let port = self.port();
        let answers = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        let found = until("the server to answer, or to end", || {
            (answers() || !process.is_running()).then(|| process.is_running())
        });
        if !found {
            return Err(process.errors());
        }
        self.process = Some(process);
        Ok(())
    }

    fn arguments(&self) -> Vec<String> {
        let path = |name: &str| self.programs.join(name).display().to_string();
        let (port, data) = (self.port().to_string(), self.directory.path().display().to_string());
        let text = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        match self.kind {
            Kind::Dynamo => text(&[
                "-Xmx512m",
                &format!("-Djava.library.path={}", path("native")),
                "-cp",
                &path("lib/*"),
                "software.amazon.dynamodb.services.local.main.ServerRunner",
                "-disableTelemetry",
                "-sharedDb",
                "-port",
                &port,
                "-dbPath",
                &data,
            ]),
            Kind::Mongo => {
                let classes = format!("{}:{}", path("classes"), path("lib/*"));
                text(&["-Xmx256m", "-cp", &classes, "Main", &port, &format!("{data}/documents.h2")])
            }
        }
    }
}
