//! A private PostgreSQL server on a free port, which ends with the test. Without PostgreSQL's programs there is none, and the
//! test says so.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;

use super::process::Process;
use edge_tests::{HeldPort, patience, until_ok};

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    directory: PathBuf,
    port: HeldPort,
    process: Option<Process>,
    settings: Vec<String>,
}

impl Postgres {
    /// Makes a database directory and starts a server on it; nothing, and a word why, where there are no programs for it.
    ///
    /// # Panics
    /// Where there are, but no server comes of them; and with `BANK_TEST_REQUIRE` where there are none.
    #[must_use]
    pub fn start(test: &str) -> Option<Self> {
        let Some(programs) = programs() else {
            let reason =
                "no PostgreSQL: install it, or name the directory of its programs in BANK_TEST_POSTGRES";
            return super::skip(test, reason);
        };
        let directory = directory();
        let data = directory.join("data");
        let made = as_user(&programs.join("initdb"))
            .args(["-A", "trust", "-U", "bank", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = HeldPort::new();
        let mut server = Self { programs, directory, port, process: None, settings: Vec::new() };
        server.restart();
        Some(server)
    }

    /// The server that the tests of one program share.
    #[must_use]
    pub fn shared(test: &str) -> Option<&'static Self> {
        static SERVER: OnceLock<Result<Option<Postgres>, ()>> = OnceLock::new();
        // A server that does not start does so once: the next test does not wait for it again.
        let start = || std::panic::catch_unwind(|| Self::start(test)).map_err(drop);
        let Ok(server) = SERVER.get_or_init(start) else {
            panic!("{test}: the server did not start, as another test tells");
        };
        server.as_ref()
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://bank@127.0.0.1:{}/postgres", self.port())
    }

    /// One of PostgreSQL's programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where its files are; `data` in it is the database's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A name that no other schema of this test program has.
    #[must_use]
    pub fn fresh_schema() -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        format!("t{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// Gives files in its directory to the server's user, who alone may read them.
    ///
    /// # Panics
    /// Where they cannot be given.
    pub fn own(&self, files: &[&str]) {
        use std::os::unix::fs::PermissionsExt as _;
        for file in files {
            let file = self.directory.join(file);
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            if is_root() {
                assert!(
                    Command::new("chown").arg("postgres:postgres").arg(&file).status().unwrap().success()
                );
            }
        }
    }

    /// Starts it anew with more settings, as `name=value`.
    #[must_use]
    pub fn with(mut self, settings: &[&str]) -> Self {
        self.settings.extend(settings.iter().map(ToString::to_string));
        self.restart();
        self
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Sends it a signal by name, such as `STOP`.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn signal(&self, name: &str) {
        self.process.as_ref().unwrap().signal(name);
    }

    /// Starts it again on the same files.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + patience();
        loop {
            let mut arguments: Vec<String> = user_arguments(&self.programs.join("postgres"));
            let data = self.directory.join("data");
            arguments.extend(["-D".to_owned(), data.display().to_string()]);
            arguments.extend(["-p".to_owned(), self.port().to_string()]);
            arguments.extend(["-k".to_owned(), self.directory.display().to_string()]);
            for setting in ["listen_addresses=127.0.0.1", "max_connections=300"] {
                arguments.extend(["-c".to_owned(), setting.to_owned()]);
            }
            for setting in &self.settings {
                arguments.extend(["-c".to_owned(), setting.clone()]);
            }
            let program = PathBuf::from(arguments.remove(0));
            self.process = Some(Process::start(&program, &arguments, "postgres", &self.directory));
            while self.process.as_mut().unwrap().is_running() && Instant::now() < deadline {
                if self.is_ready() {
                    return;
                }
                sleep(Duration::from_millis(20));
            }
            // After a kill the shared memory is in use for a moment.
            let errors = self.process.take().unwrap().errors();
            assert!(Instant::now() < deadline, "PostgreSQL does not start: {errors}");
            sleep(Duration::from_millis(100));
        }
    }

    fn is_ready(&self) -> bool {
        let host = self.directory.display().to_string();
        let port = self.port().to_string();
        let asked =
            Command::new(self.programs.join("pg_isready")).args(["-q", "-h", &host, "-p", &port]).status();
        asked.is_ok_and(|status| status.success())
    }

    /// Runs SQL, as an administrator would; gives what it prints.
    ///
    /// # Panics
    /// Where it fails. What may fail for a while is asked with [`Postgres::until`].
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Asks until SQL prints this. A failure is asked again: a replica may not have the table yet.
    ///
    /// # Panics
    /// Where it does not in time; says what it printed last, or why it failed.
    #[track_caller]
    pub fn until(&self, sql: &str, wanted: &str) {
        until_ok(sql, || match self.try_sql(sql)? {
            printed if printed == wanted => Ok(()),
            printed => Err(format!("`{printed}`, and not `{wanted}`")),
        });
    }

    /// Runs SQL; gives what it prints, or what is wrong with it.
    ///
    /// # Errors
    /// What the server says, or that there is none.
    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        let port = self.port().to_string();
        let Output { status, stdout, stderr } = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &port])
            .args(["-U", "bank", "-d", "postgres", "-c", sql])
            .output()
            .unwrap();
        match status.success() {
            true => Ok(String::from_utf8_lossy(&stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&stderr).trim().to_owned()),
        }
    }

    /// Ends every connection that ledgers have under this user, and returns when they have ended.
    ///
    /// # Panics
    /// Where the server cannot be asked to.
    #[track_caller]
    pub fn cut(&self, user: &str) {
        self.sql(&format!(
            "SELECT pg_terminate_backend(pid, {}) FROM pg_stat_activity
             WHERE usename = '{user}' AND application_name = 'bank-stores'",
            patience().as_millis()
        ));
    }

    /// A replica stands still from here on: nothing is replayed that reaches it after this.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn pause_replay(&self) {
        // It is only asked to: what it is about to replay it replays.
        self.sql("SELECT pg_wal_replay_pause()");
        self.until("SELECT pg_get_wal_replay_pause_state()", "paused");
    }

    /// A streaming replica of it, which takes reads only.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn replica(&self) -> Self {
        let directory = directory();
        let port = self.port().to_string();
        let made = as_user(&self.programs.join("pg_basebackup"))
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "bank", "-R", "-c", "fast", "-D"])
            .arg(directory.join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&made.stderr));
        let programs = self.programs.clone();
        let mut replica =
            Self { programs, directory, port: HeldPort::new(), process: None, settings: Vec::new() };
        replica.restart();
        replica
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
        // It was only for this test.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The directory of PostgreSQL's programs.
fn programs() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("BANK_TEST_POSTGRES") {
        return Some(PathBuf::from(named));
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    // The newest first, and what stands on the path last.
    found.sort();
    found.reverse();
    found.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let all = ["initdb", "postgres", "pg_isready", "psql", "pg_basebackup"];
    found.into_iter().find(|directory| all.iter().all(|program| directory.join(program).is_file()))
}

/// The server refuses to run as root: another user runs it then.
fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0"))
}

fn user_arguments(program: &Path) -> Vec<String> {
    let program = program.display().to_string();
    match is_root() {
        true => ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", &program]
            .map(Into::into)
            .into(),
        false => vec![program],
    }
}

fn as_user(program: &Path) -> Command {
    let arguments = user_arguments(program);
    let mut command = Command::new(&arguments[0]);
    command.args(&arguments[1..]);
    command
}

/// A new directory that the server's user may write.
fn directory() -> PathBuf {
    let directory = tempfile::Builder::new().prefix("bank-postgres-").tempdir().unwrap().keep();
    if is_root() {
        let owned = Command::new("chown").arg("postgres:postgres").arg(&directory).status().unwrap();
        assert!(owned.success());
    }
    directory
}
