//! Programs beside this one, and what they cost by the system's own accounting.

use std::fs;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::Failure;

/// `/proc` counts in hundredths of a second, on every Linux there is.
const TICK: Duration = Duration::from_millis(10);

/// A program that ends when this value is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    id: u32,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What a process and its children have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time, in the program and in the kernel.
    pub cpu: Duration,
    /// Memory held now, in bytes.
    pub resident: u64,
}

impl Process {
    /// Starts a program. Its standard input stays open as long as it shall run; its standard error is ours.
    ///
    /// # Errors
    /// A program that does not start.
    pub fn start(name: impl Into<String>, mut command: Command) -> Result<Self, Failure> {
        let name = name.into();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("{name} does not start: {error}"))?;
        let id = child.id().ok_or_else(|| format!("{name} has ended"))?;
        let stdout = child.stdout.take().ok_or_else(|| format!("{name} has no standard output"))?;
        Ok(Self { name, id, child, lines: BufReader::new(stdout).lines() })
    }

    /// The rest of the first line that starts with `prefix`; the lines before it are handed to `other`.
    ///
    /// # Errors
    /// A program that ends before it prints such a line, or prints none within half a minute.
    pub async fn line(&mut self, prefix: &str, mut other: impl FnMut(String)) -> Result<String, Failure> {
        let name = self.name.clone();
        let lines = &mut self.lines;
        let found = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(rest) = line.strip_prefix(prefix) {
                    return Ok(rest.trim().to_owned());
                }
                other(line);
            }
            Err(Failure::from(format!("{name} ended before it printed `{prefix}`")))
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), found).await;
        waited.map_err(|_| format!("{} did not print `{prefix}`", self.name))?
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// A process that is gone.
    pub fn usage(&self) -> io::Result<Usage> {
        usage(self.id)
    }

    /// Closes its standard input, which asks our own programs to end, and waits until it has.
    ///
    /// # Errors
    /// What the system says, or a status that is not zero.
    pub async fn finish(mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        let status = self.child.wait().await?;
        if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", self.name).into()) }
    }

    /// Ends it, and waits until it has.
    ///
    /// # Errors
    /// What the system says.
    pub async fn end(mut self) -> io::Result<()> {
        self.child.kill().await
    }
}

/// Does something, unless a signal comes to end it: then too, what was started is dropped and so ends.
///
/// # Errors
/// A signal.
pub async fn unless_signalled<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        done = work => done,
        _ = terminate.recv() => Err("ended by a signal".into()),
        _ = interrupt.recv() => Err("ended by a signal".into()),
    }
}

/// What this process has used so far, without those beside it: to the nanosecond, as short turns need it.
///
/// # Errors
/// What the system says.
pub fn own_cpu() -> io::Result<Duration> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(used).map_err(io::Error::other)
}

fn usage(id: u32) -> io::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let unreadable = || io::Error::other(format!("/proc/{id} cannot be read"));
    let own = Usage {
        cpu: cpu(&stat).ok_or_else(unreadable)?,
        resident: resident(&status).ok_or_else(unreadable)?,
    };
    let mut total = own;
    for child in children(id)? {
        let child = usage(child)?;
        total = Usage { cpu: total.cpu + child.cpu, resident: total.resident + child.resident };
    }
    Ok(total)
}

/// Time in the program (`utime`) and in the kernel (`stime`), all threads together: the 14th and 15th field, of which the
/// second is a name in parentheses that may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    Some(TICK * times.next()?.ok()? + TICK * times.next()?.ok()?)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1_024)
}

fn children(id: u32) -> io::Result<Vec<u32>> {
    let mut children = Vec::new();
    for process in fs::read_dir("/proc")? {
        let Ok(child) = process?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // A process that ended meanwhile is nobody's child.
        let Ok(stat) = fs::read_to_string(format!("/proc/{child}/stat")) else { continue };
        if parent(&stat) == Some(id) {
            children.push(child);
        }
    }
    Ok(children)
}

fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194304 1 0 0 0 120 30 0 0 20 0 1 0 5 1 1";
        assert_eq!(cpu(stat), Some(Duration::from_millis(1_500)));
        assert_eq!(parent(stat), Some(3));
    }

    #[test]
    fn own_time_is_told_in_less_than_ticks() {
        // Other tests of this process use time too, so that one pair of readings says nothing.
        let step = || (own_cpu().unwrap(), own_cpu().unwrap());
        assert!((0..100_000).any(|_| matches!(step(), (first, next) if first < next && next - first < TICK)));
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 * 1_024 * 1_024));
        assert!(usage(std::process::id()).unwrap().resident > 0);
    }
}
