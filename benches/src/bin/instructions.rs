//! How many instructions of the processor a proxied request takes at our gateway, counted by callgrind: a figure that a busy
//! machine does not change.
//!
//! Each gateway is run twice, with few and with many requests: the difference is the requests' own. SHA-256 is counted apart,
//! because valgrind does not offer the processor's own instructions for it, which every server has.
#![allow(clippy::print_stdout, reason = "the program's purpose")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use bank_benches::arguments::{Arguments, program};
use bank_benches::loopback::{self, Caller};
use bank_benches::process::{Process, unless_signalled};
use bank_benches::tokens::Issuer;
use bank_benches::{Failure, gateways, handwritten, lean, serving};
use jsonwebtoken::jwk::JwkSet;
use tokio::process::Command;

/// As the bank's own program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
instructions [OPTIONS]             counts

Options:
  --requests N      how many requests are counted (2000)
  --connections N   over how many connections, one request on each at once (16)
  --directory DIR   keeps callgrind's files there, for callgrind_annotate
  --only NAME       bare, full, lean, handwritten-bare or handwritten-full
  --max-bare N      fail where the bare gateway takes more instructions a request
  --max-full N      fail where the full one does

What is counted, until its standard input ends:
  instructions bare|full|lean|handwritten-bare|handwritten-full --upstream ADDR --keys FILE";

const ROLES: [&str; 5] = ["lean", "bare", "full", "handwritten-bare", "handwritten-full"];

fn main() -> ExitCode {
    program("instructions", HELP, run)
}

fn run(role: Option<String>, mut arguments: Arguments) -> Result<bool, Failure> {
    if let Some(role) = role {
        let behind = arguments.take("--upstream")?.ok_or("--upstream is missing; see --help")?;
        let keys: PathBuf = arguments.take("--keys")?.ok_or("--keys is missing; see --help")?;
        arguments.finish()?;
        let trusted = serde_json::from_slice(&std::fs::read(keys)?)?;
        return play(&role, behind, &trusted).map(|()| true);
    }
    let directory = tempfile::tempdir()?;
    let issuer = Issuer::new()?;
    let mut plan = Plan {
        requests: arguments.take("--requests")?.unwrap_or(2_000),
        connections: arguments.take("--connections")?.unwrap_or(16).max(1),
        directory: arguments.take("--directory")?.unwrap_or_else(|| directory.path().to_owned()),
        upstream: loopback::upstream()?,
        keys: PathBuf::new(),
        token: issuer.token("cus_bench")?,
    };
    // A key is made here and not in what is counted: it takes more instructions than thousands of requests, and not always the
    // same number.
    plan.keys = plan.directory.join("keys.json");
    std::fs::write(&plan.keys, serde_json::to_vec(issuer.keys())?)?;
    let only: Option<String> = arguments.take("--only")?;
    let bounds = [("bare", arguments.take("--max-bare")?), ("full", arguments.take("--max-full")?)];
    arguments.finish()?;
    serving::one_thread()?.block_on(unless_signalled(async {
        let mut passed = true;
        for role in ROLES.into_iter().filter(|role| only.as_ref().is_none_or(|only| only == role)) {
            let counted = plan.count(role).await?;
            println!("{role:<17} {counted:>7} instructions a request, SHA-256 aside");
            let bound: Option<u64> = bounds.iter().find(|(of, _)| *of == role).and_then(|(_, bound)| *bound);
            if let Some(bound) = bound.filter(|bound| counted > *bound) {
                println!("{role}: at most {bound} are allowed: FAILED");
                passed = false;
            }
        }
        Ok(passed)
    }))
}

/// Serves as one of the proxies, until the parent is gone.
fn play(role: &str, behind: SocketAddr, trusted: &JwkSet) -> Result<(), Failure> {
    serving::one_thread()?.block_on(async {
        match role {
            "bare" => serving::thread_a_core(gateways::bare(behind)?).await,
            "full" => serving::thread_a_core(gateways::full(trusted, behind)?).await,
            "lean" => lean::play(behind).await,
            "handwritten-bare" => handwritten::play(behind, None).await,
            "handwritten-full" => handwritten::play(behind, Some(trusted)).await,
            _ => Err(format!("`{role}` is not known; see --help").into()),
        }
    })
}

/// What was asked for.
struct Plan {
    requests: usize,
    connections: usize,
    directory: PathBuf,
    upstream: SocketAddr,
    keys: PathBuf,
    token: String,
}

/// Instructions of a process.
#[derive(Clone, Copy)]
struct Count {
    all: u64,
    sha256: u64,
}

impl Plan {
    /// Instructions a request.
    async fn count(&self, role: &str) -> Result<u64, Failure> {
        let few = (self.requests / 10).div_ceil(self.connections);
        let many = few + self.requests.div_ceil(self.connections);
        let before = self.measure(role, "few", few).await?;
        let after = self.measure(role, "many", many).await?;
        let requests = ((many - few) * self.connections) as u64;
        let own = |count: Count| count.all - count.sha256;
        Ok(own(after).saturating_sub(own(before)) / requests)
    }

    /// Runs a proxy under callgrind, with so many requests on each connection.
    async fn measure(&self, role: &str, name: &str, times: usize) -> Result<Count, Failure> {
        let file = self.directory.join(format!("callgrind.{role}.{name}"));
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", "--quiet"])
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(std::env::current_exe()?)
            .args([role, "--upstream", &self.upstream.to_string(), "--keys"])
            .arg(&self.keys)
            .stderr(Stdio::inherit());
        let mut process = Process::start("valgrind", command)
            .map_err(|error| format!("{error}; install it, on Debian with apt-get install valgrind"))?;
        let address: SocketAddr = process.line("listening on ", drop).await?.parse()?;
        let (connections, token) = (self.connections, self.token.clone());
        tokio::task::spawn_blocking(move || {
            Caller::connect(address, connections, gateways::PATH, &token)?.send(times)
        })
        .await??;
        process.finish().await?;
        read(&file)
    }
}

/// Adds up a file of callgrind's.
fn read(file: &Path) -> Result<Count, Failure> {
    let text = std::fs::read_to_string(file)?;
    let mut count = Count { all: 0, sha256: 0 };
    let (mut hashing, mut is_call) = (Vec::new(), false);
    let mut in_sha256 = false;
    for line in text.lines() {
        if let Some(function) = line.strip_prefix("fn=") {
            // `(id) name` the first time, `(id)` later.
            let (id, name) = function.split_once(' ').unwrap_or((function, ""));
            if name.contains("sha256_block") {
                hashing.push(id);
            }
            in_sha256 = hashing.contains(&id);
        } else if let Some(called) = line.strip_prefix("cfn=") {
            if let Some((id, _)) = called.split_once(' ').filter(|(_, name)| name.contains("sha256_block")) {
                hashing.push(id);
            }
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            // What a call cost stands with the function that was called.
            let own = !std::mem::take(&mut is_call);
            let cost: u64 = line.split(' ').nth(1).and_then(|cost| cost.parse().ok()).unwrap_or(0);
            if own {
                count.all += cost;
                count.sha256 += if in_sha256 { cost } else { 0 };
            }
        }
    }
    if count.all == 0 { Err(format!("{} holds no counts", file.display()).into()) } else { Ok(count) }
}
