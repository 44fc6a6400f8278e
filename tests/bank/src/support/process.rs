//! One process under test: started, watched, and ended by its own id.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;

use edge_tests::patience;

/// A running program. It ends with this value, and even when the test is killed.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// A shell that kills the child and removes its directory when this test's end of its input closes, however this test
    /// ends.
    watchdog: Option<Child>,
    lines: Arc<Mutex<Vec<String>>>,
    errors: PathBuf,
    name: String,
}

impl Process {
    pub(crate) fn start(program: &Path, arguments: &[String], name: &str, directory: &Path) -> Self {
        Self::start_with(program, arguments, name, directory, &[])
    }

    /// The same with these variables in its environment.
    pub(crate) fn start_with(
        program: &Path,
        arguments: &[String],
        name: &str,
        directory: &Path,
        variables: &[(String, String)],
    ) -> Self {
        let errors = directory.join(format!("{name}.stderr"));
        let stderr = File::options().create(true).append(true).open(&errors).unwrap();
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(directory)
            .env_remove("BANK_LOG")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        let watchdog = Command::new("sh")
            .args([
                "-c",
                "read _; kill -9 \"$1\"; sleep 0.2; rm -rf \"$2\"",
                "watchdog",
                &child.id().to_string(),
            ])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok();
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let (stdout, sink) = (child.stdout.take().unwrap(), lines.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                sink.lock().unwrap().push(line);
            }
        });
        Self { child, watchdog, lines, errors, name: name.to_owned() }
    }

    /// The rest of the first printed line that starts so.
    pub(crate) fn printed(&mut self, start: &str) -> String {
        let deadline = Instant::now() + patience();
        loop {
            if let Some(rest) =
                self.lines().iter().find_map(|line| Some(line.strip_prefix(start)?.to_owned()))
            {
                return rest;
            }
            let ended = self.child.try_wait().unwrap();
            let late = Instant::now() >= deadline;
            // What was printed right before the end may still be on its way.
            if late || (ended.is_some() && Instant::now() + patience() > deadline + Duration::from_secs(1)) {
                panic!(
                    "{} printed no `{start}…` (ended: {ended:?}); its errors: {}",
                    self.name,
                    self.errors()
                );
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// The memory that it holds, in kilobytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// What it wrote to standard error, in all its lives.
    pub(crate) fn errors(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status().unwrap();
        assert!(sent.success(), "{} is gone", self.name);
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.leave_watchdog();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + patience();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.leave_watchdog();
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end; its errors: {}", self.name, self.errors());
            sleep(Duration::from_millis(5));
        }
    }

    /// The watchdog goes first, so that it never kills whoever has the child's number next.
    fn leave_watchdog(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
