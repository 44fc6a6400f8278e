//! A private Redis server on a free port, which ends with the test. Without `redis-server` there is none, and the test says so.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::Process;
use edge_tests::{HeldPort, until};

/// A running server.
#[derive(Debug)]
pub struct Redis {
    port: HeldPort,
    process: Option<Process>,
    directory: TempDir,
    keeps: bool,
}

impl Redis {
    /// Starts a server; nothing, and a word why, where there is no program for it.
    ///
    /// # Panics
    /// Where there is, but no server comes of it; and with `BANK_TEST_REQUIRE` where there is none.
    #[must_use]
    pub fn start(test: &str) -> Option<Self> {
        Self::start_one(test, false)
    }

    /// The same with an append-only file, so that it keeps what it was told.
    ///
    /// # Panics
    /// As [`Redis::start`].
    #[must_use]
    pub fn start_durable(test: &str) -> Option<Self> {
        Self::start_one(test, true)
    }

    fn start_one(test: &str, keeps: bool) -> Option<Self> {
        if Command::new("redis-server").arg("--version").output().is_err() {
            return super::skip(test, "no redis-server: install it");
        }
        let directory = tempfile::Builder::new().prefix("bank-test-redis-").tempdir().unwrap();
        let mut server = Self { port: HeldPort::new(), process: None, directory, keeps };
        server.restart();
        Some(server)
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port.number())
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts it on the same port, with nothing in it but what a durable one keeps.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn restart(&mut self) {
        self.kill();
        let port = self.port.number().to_string();
        let (keeps, data) =
            (if self.keeps { "yes" } else { "no" }, self.directory.path().display().to_string());
        let arguments =
            ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", keeps, "--dir", &data];
        let arguments = arguments.map(str::to_owned);
        // Its directory outlives it: a process takes its own along.
        let own = self.directory.path().join("life");
        std::fs::create_dir_all(&own).unwrap();
        self.process = Some(Process::start(Path::new("redis-server"), &arguments, "redis", &own));
        until("Redis to answer", || self.ping().ok().filter(|answer| answer.starts_with("+PONG")));
    }

    fn ping(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port.number()))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 64];
        let read = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
    }
}
