//! Servers of the tests' own, on free ports, which end with the test program, however it ends.

#![allow(dead_code, reason = "each program uses a part")]

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// A running server.
pub(crate) struct Running {
    pub(crate) port: u16,
    pid: String,
    command: Vec<String>,
    directory: PathBuf,
    /// A shell that ends the server when this end of its input is closed.
    _keeper: Child,
}

impl Running {
    /// Starts what `command` gives for a port, in this directory, and waits until it answers.
    pub(crate) fn start(directory: &Path, command: impl Fn(u16) -> Vec<String>) -> Self {
        // Somebody else may take a port between the two.
        let started = (0..20).find_map(|_| {
            let port = free_port();
            let command = command(port);
            let (keeper, pid) = run(&command, directory);
            let running = Self { port, pid, command, directory: directory.to_owned(), _keeper: keeper };
            running.answers().then_some(running)
        });
        started.unwrap_or_else(|| panic!("a server starts; {:?} tells why not", directory.join("log")))
    }

    /// Ends it as a failing machine would.
    pub(crate) fn kill(&self) {
        self.signal("-KILL");
    }

    /// Lets it end by itself, stand still, or go on.
    pub(crate) fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.pid]).status().unwrap().success());
    }

    /// Starts it again on the same port, after it was killed or has ended.
    pub(crate) fn restart(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            while self.is_alive() {
                assert!(Instant::now() < deadline, "it does not end");
                std::thread::sleep(Duration::from_millis(10));
            }
            (self._keeper, self.pid) = run(&self.command, &self.directory);
            if self.answers() {
                return;
            }
        }
        panic!("it does not start again");
    }

    fn is_alive(&self) -> bool {
        let asked = Command::new("kill").args(["-0", &self.pid]).stderr(Stdio::null()).status();
        asked.unwrap().success()
    }

    /// Whether somebody answers on its port while it lives: what cannot have the port ends.
    fn answers(&self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline && self.is_alive() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                std::thread::sleep(Duration::from_millis(50));
                return self.is_alive();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn run(command: &[String], directory: &Path) -> (Child, String) {
    // Its shell waits for the server, so that one that has ended is not taken for a living one.
    let script = "exec 3<&0; \"$@\" >>log 2>&1 </dev/null 3<&- & pid=$!; echo $pid; \
                  { read -r _ <&3; kill -KILL $pid; } 2>/dev/null & exec 3<&-; wait $pid";
    let mut keeper = Command::new("sh")
        .args(["-c", script, "sh"])
        .args(command)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    (keeper, pid.trim().to_owned())
}

/// Where `.ci/servers` has put a server; nothing, and a word why, where it has not.
pub(crate) fn fetched(server: &str) -> Option<PathBuf> {
    let servers = match std::env::var_os("BANK_TEST_SERVERS") {
        Some(servers) => PathBuf::from(servers),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers"),
    };
    let directory = servers.join(server);
    if directory.join("pom.xml").exists() && Command::new("java").arg("-version").output().is_ok() {
        return Some(directory.canonicalize().unwrap());
    }
    assert!(std::env::var_os("BANK_TEST_REQUIRE").is_none(), "no {server}, or no Java: call .ci/servers");
    eprintln!("skipped: no {server}, or no Java: call .ci/servers");
    None
}
