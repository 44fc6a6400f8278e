//! Whether a request costs more where there is more: routes, callers, reloads. All are the same gateway with its full pipeline,
//! asked in turn; what counts is CPU a request, against the one with one route and one caller.
#![allow(clippy::print_stdout, reason = "the program's purpose")]
#![allow(clippy::float_arithmetic, reason = "times and ratios, never money")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bank_benches::arguments::{Arguments, program};
use bank_benches::load::Load;
use bank_benches::process::{Process, unless_signalled};
use bank_benches::sample::Sample;
use bank_benches::serving::{one_thread, thread_a_core};
use bank_benches::tokens::Issuer;
use bank_benches::{Failure, gateways, upstream};
use tokio::net::TcpListener;
use tokio::process::Command;

/// As the bank's own program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
growth [OPTIONS]             measures

Options:
  --rounds N        how often each is asked in turn (7)
  --seconds N       how long each time (1)
  --routes N        how many routes there are where there are many (10000)
  --principals N    how many callers (100000)
  --reloads N       how often the configuration was put in force anew (10000)

What is measured, until its standard input ends:
  growth upstream
  growth gateway --upstream ADDR --keys FILE --routes N --reloads N";

/// Requests for each token that was never seen.
const ONE_IN: usize = 10;

/// More requests a second than come.
const MOST: usize = 100_000;

fn main() -> ExitCode {
    program("growth", HELP, run)
}

fn run(role: Option<String>, mut arguments: Arguments) -> Result<bool, Failure> {
    match role.as_deref() {
        None => {
            let plan = Plan {
                rounds: arguments.take("--rounds")?.unwrap_or(7).max(1),
                seconds: arguments.take("--seconds")?.unwrap_or(1).max(1),
                routes: arguments.take("--routes")?.unwrap_or(10_000),
                principals: arguments.take("--principals")?.unwrap_or(100_000),
                reloads: arguments.take("--reloads")?.unwrap_or(10_000),
            };
            arguments.finish()?;
            one_thread()?.block_on(unless_signalled(plan.measure())).map(|()| true)
        }
        Some("upstream") => one_thread()?.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            println!("listening on {}", listener.local_addr()?);
            bank_benches::serving::until_parent_ends(upstream::serve(listener)).await.map(|()| true)
        }),
        Some("gateway") => {
            let behind: SocketAddr =
                arguments.take("--upstream")?.ok_or("--upstream is missing; see --help")?;
            let keys: PathBuf = arguments.take("--keys")?.ok_or("--keys is missing; see --help")?;
            let routes: usize = arguments.take("--routes")?.unwrap_or(1);
            let reloads: usize = arguments.take("--reloads")?.unwrap_or(0);
            arguments.finish()?;
            let trusted = serde_json::from_slice(&std::fs::read(keys)?)?;
            one_thread()?.block_on(async {
                let describe = || gateways::full_among(&trusted, behind, routes);
                let gateway = describe()?.build()?;
                for _ in 0..reloads {
                    gateway.reload(describe()?)?;
                }
                thread_a_core(gateway).await.map(|()| true)
            })
        }
        Some(role) => Err(format!("`{role}` is not known; see --help").into()),
    }
}

struct Plan {
    rounds: usize,
    seconds: u32,
    routes: usize,
    principals: usize,
    reloads: usize,
}

/// One of those that are compared.
struct Contestant {
    name: String,
    process: Process,
    address: SocketAddr,
    callers: Callers,
    /// Microseconds of CPU a request, of each round.
    costs: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Callers {
    One,
    Many,
    /// Of which one request in ten brings a token that was never seen.
    Ever,
}

impl Plan {
    async fn measure(&self) -> Result<(), Failure> {
        let directory = tempfile::tempdir()?;
        let load = Load::new(directory.path(), 64)?;
        let issuer = Issuer::new()?;
        let keys = directory.path().join("keys.json");
        std::fs::write(&keys, serde_json::to_vec(issuer.keys())?)?;
        let mut behind = Process::start("upstream", ourselves(&["upstream"])?)?;
        let upstream = behind.line("listening on ", drop).await?;
        let token = |number: usize| issuer.token(&format!("cus_{number}"));
        let known = (0..self.principals).map(token).collect::<Result<Vec<_>, _>>()?;
        let mut all = Vec::new();
        for (name, routes, reloads, callers) in [
            ("one route, one caller".to_owned(), 1, 0, Callers::One),
            (format!("{} routes", self.routes), self.routes, 0, Callers::One),
            (format!("after {} reloads", self.reloads), 1, self.reloads, Callers::One),
            (format!("{} callers", self.principals), 1, 0, Callers::Many),
            (format!("{} callers, one in {ONE_IN} with a new token", self.principals), 1, 0, Callers::Ever),
        ] {
            let (routes, reloads) = (routes.to_string(), reloads.to_string());
            let mut command =
                ourselves(&["gateway", "--upstream", &upstream, "--routes", &routes, "--reloads", &reloads])?;
            command.arg("--keys").arg(&keys);
            let mut process = Process::start(&name, command)?;
            let address = process.line("listening on ", drop).await?.parse()?;
            all.push(Contestant { name, process, address, callers, costs: Vec::new() });
        }
        let file = directory.path().join("tokens");
        for one in &all {
            // Every known token is seen once before anything counts.
            std::fs::write(
                &file,
                if one.callers == Callers::One { known[0].clone() } else { known.join("\n") },
            )?;
            let patience = if one.callers == Callers::One { 1 } else { 30 };
            load.run_with(one.address, gateways::PATH, &file, patience).await?;
        }
        for round in 0..self.rounds {
            for turn in 0..all.len() {
                let at = (round + turn) % all.len();
                let fresh = MOST / ONE_IN * self.seconds as usize;
                std::fs::write(
                    &file,
                    match all[at].callers {
                        Callers::One => known[0].clone(),
                        Callers::Many => known.join("\n"),
                        Callers::Ever => mixed(&known, fresh, &issuer)?,
                    },
                )?;
                let one = &mut all[at];
                let before = one.process.usage()?.cpu;
                let measured = load.run_with(one.address, gateways::PATH, &file, self.seconds).await?;
                let cpu: Duration = one.process.usage()?.cpu - before;
                one.costs.push(cpu.as_secs_f64() * 1e6 / measured.requests as f64);
            }
            eprintln!("round {} of {}", round + 1, self.rounds);
        }
        report(&all)?;
        for one in all {
            one.process.end().await?;
        }
        Ok(behind.end().await?)
    }
}

/// Known tokens, and after nine of them one that was never seen.
fn mixed(known: &[String], fresh: usize, issuer: &Issuer) -> Result<String, Failure> {
    let mut text = String::new();
    let mut known = known.iter().cycle();
    for number in 0..fresh {
        for token in known.by_ref().take(ONE_IN - 1) {
            text.push_str(token);
            text.push('\n');
        }
        text.push_str(&issuer.token(&format!("new_{number}"))?);
        text.push('\n');
    }
    Ok(text)
}

fn report(all: &[Contestant]) -> Result<(), Failure> {
    println!("{:<52} {:>12}  {:<19} {:>9}", "", "CPU/request", "of the first", "memory");
    for one in all {
        let cost: Sample = one.costs.iter().copied().collect();
        let ratio: Sample = one.costs.iter().zip(&all[0].costs).map(|(own, first)| own / first).collect();
        let memory = one.process.usage()?.resident as f64 / 1e6;
        println!("{:<52} {:>9.1} µs  {:<19} {memory:>6.1} MB", one.name, cost.median(), ratio.to_string());
    }
    Ok(())
}

/// This program again, in one of its parts.
fn ourselves(arguments: &[&str]) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}
