//! The directory, the disk, the clock and the ports.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use bank_stores::{Clock as _, SystemClock};
use tokio::time::Instant;

use super::Finding;
use crate::args::Part;
use crate::config::Config;

/// Below this a ledger that is used stops soon.
const LITTLE: u64 = 1024 * 1024 * 1024;
const TOO_LITTLE: u64 = 64 * 1024 * 1024;
/// So long a commit may wait for its disk.
const SLOW: Duration = Duration::from_millis(50);
/// 2025: a clock before it was never set.
const OLDEST: i64 = 1_735_689_600;
/// Files may be so much newer than the clock says: clocks of file servers differ.
const AHEAD: i64 = 60;

pub(super) async fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if config.data.is_dir() {
        findings.push(modes(&config.data));
        findings.push(space(&config.data));
        findings.push(sync(&config.data));
    } else {
        findings.push(Finding::warn(
            "data directory",
            format!("{} is not there", config.data.display()),
            "it is made when the bank first starts; say where it is with --data DIR otherwise",
        ));
    }
    findings.push(clock(&config.data));
    findings.extend(ports(config).await);
    findings
}

/// Nobody but its owner reads anything.
fn modes(data: &Path) -> Finding {
    const WHAT: &str = "modes of files";
    let (mut open, mut files) = (Vec::new(), 0_u64);
    let mut waiting = vec![data.to_owned()];
    while let Some(path) = waiting.pop() {
        // A store's log may end meanwhile.
        let Ok(facts) = fs::symlink_metadata(&path) else { continue };
        files += 1;
        if !facts.is_symlink() && facts.permissions().mode() & 0o077 != 0 {
            open.push(path.display().to_string());
        }
        if facts.is_dir() {
            match fs::read_dir(&path) {
                Ok(entries) => waiting.extend(entries.flatten().map(|entry| entry.path())),
                Err(error) => {
                    let advice = "run this as the user that runs the bank";
                    return Finding::fail(WHAT, format!("{}: {error}", path.display()), advice);
                }
            }
        }
    }
    open.sort();
    match &*open {
        [] => Finding::ok(WHAT, format!("{files} files and directories are their owner's alone")),
        [first, ..] => Finding::fail(
            WHAT,
            format!("others may read {} of {files}, {first} for one", open.len()),
            format!("chmod -R go= {}", data.display()),
        ),
    }
}

fn space(data: &Path) -> Finding {
    const WHAT: &str = "free space";
    let free = match rustix::fs::statvfs(data) {
        Ok(facts) => facts.f_bavail.saturating_mul(facts.f_frsize),
        Err(error) => return Finding::warn(WHAT, error.to_string(), "look at the disk by hand"),
    };
    let found = format!("{} MiB", free / 1024 / 1024);
    if free < TOO_LITTLE {
        Finding::fail(WHAT, found, "make room: without it nothing can be committed")
    } else if free < LITTLE {
        Finding::warn(WHAT, found, "make room soon")
    } else {
        Finding::ok(WHAT, found)
    }
}

/// What is committed is on the disk, and a commit does not wait for it long.
fn sync(data: &Path) -> Finding {
    const WHAT: &str = "sync to disk";
    let path = data.join(format!(".doctor-{}", std::process::id()));
    let written = || -> std::io::Result<Duration> {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
        let mut longest = Duration::ZERO;
        for _ in 0..5 {
            let start = Instant::now();
            file.write_all(&[0; 4_096])?;
            file.sync_all()?;
            longest = longest.max(start.elapsed());
        }
        Ok(longest)
    };
    let outcome = written();
    // It may not have been made at all.
    let _ = fs::remove_file(&path);
    match outcome {
        Ok(longest) if longest > SLOW => {
            let found = format!("takes up to {} ms", longest.as_millis());
            Finding::warn(
                WHAT,
                found,
                "every write waits for it: use a faster disk, or one with a cache that outlives a power cut",
            )
        }
        Ok(longest) => Finding::ok(WHAT, format!("takes up to {} µs", longest.as_micros())),
        Err(error) => {
            let found = format!("{}: {error}", data.display());
            Finding::fail(WHAT, found, "make the directory writable for this user, on a disk that syncs")
        }
    }
}

/// What is booked in the future stays there.
fn clock(data: &Path) -> Finding {
    const WHAT: &str = "clock";
    let now = SystemClock::new().now();
    if now.seconds() < OLDEST {
        return Finding::fail(WHAT, format!("it says {now}"), "set it before the bank starts");
    }
    let newest = ["accounts", "transactions", "identity", "partners"].into_iter().filter_map(|part| {
        let entries = fs::read_dir(data.join(part)).ok()?;
        let times = entries.flatten().filter_map(|entry| {
            use std::os::unix::fs::MetadataExt as _;
            Some(entry.metadata().ok()?.mtime())
        });
        times.max()
    });
    match newest.max() {
        Some(newest) if newest > now.seconds() + AHEAD => Finding::fail(
            WHAT,
            format!("it says {now}, and there is data of {} s later", newest - now.seconds()),
            "set it right before the bank starts: the ledger does not go back",
        ),
        _ => Finding::ok(WHAT, format!("it says {now}")),
    }
}

async fn ports(config: &Config) -> Vec<Finding> {
    let is_ours = |address: SocketAddr| async move { crate::status::run(address, true).await.is_ok() };
    let runs = is_ours(config.admin).await;
    let addresses = match config.part {
        None | Some(Part::Gateway) => {
            vec![("port for customers", config.listen), ("port of the admin pages", config.admin)]
        }
        Some(_) => vec![("port", config.listen)],
    };
    addresses.into_iter().map(|(what, address)| port(what, address, runs)).collect()
}

fn port(what: &'static str, address: SocketAddr, bank_runs: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(what, format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && bank_runs => {
            Finding::ok(what, format!("{address} is served by a bank that runs"))
        }
        Err(error) => {
            let advice = "end what has it, or choose another address";
            Finding::fail(what, format!("{address}: {error}"), advice)
        }
    }
}
