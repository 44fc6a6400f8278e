//! What a request costs at our gateway, against nginx that does nothing but pass it on, against a lean proxy on hyper, and against
//! a proxy that was written by hand.
//!
//! Every contestant is a process of its own and is asked in turn, round after round; what counts are the ratios within a
//! round, so that a machine which is busy with other things disturbs all alike.
#![allow(clippy::print_stdout, reason = "the program's purpose")]
#![allow(clippy::float_arithmetic, reason = "times and ratios, never money")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use bank_benches::arguments::{Arguments, program};
use bank_benches::load::{Load, Measured};
use bank_benches::process::{Process, Usage, unless_signalled};
use bank_benches::sample::Sample;
use bank_benches::serving::{one_thread, thread_a_core, until_parent_ends};
use bank_benches::tokens::Issuer;
use bank_benches::{Failure, gateways, handwritten, lean, nginx, upstream};
use bank_sdk::client::{ConnectOptions, Connections};
use bank_sdk::http::Body;
use http::{Request, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::process::Command;

/// As the bank's own program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
against_peers [OPTIONS]             measures

Options:
  --rounds N        how often each is asked in turn (7)
  --seconds N       how long each time (3)
  --connections N   how many stay open (64)
  --max-full RATIO  fail where the full pipeline costs more than so many times nginx's CPU a request

The contestants, each until its standard input ends:
  against_peers upstream
  against_peers bare|full|full-in-axum|full-in-tokio|lean|handwritten-bare|handwritten-full --upstream ADDR";

fn main() -> ExitCode {
    program("against_peers", HELP, run)
}

fn run(role: Option<String>, mut arguments: Arguments) -> Result<bool, Failure> {
    let Some(role) = role else {
        let plan = Plan::take(&mut arguments)?;
        arguments.finish()?;
        return one_thread()?.block_on(unless_signalled(measure(&plan)));
    };
    let behind = arguments.take("--upstream")?;
    arguments.finish()?;
    contest(&role, behind)?;
    Ok(true)
}

/// Plays one part, until the parent is gone.
fn contest(role: &str, behind: Option<SocketAddr>) -> Result<(), Failure> {
    let behind = || behind.ok_or_else(|| Failure::from("--upstream is missing; see --help"));
    match role {
        "upstream" => one_thread()?.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            println!("listening on {}", listener.local_addr()?);
            until_parent_ends(upstream::serve(listener)).await
        }),
        "bare" => one_thread()?.block_on(thread_a_core(gateways::bare(behind()?)?)),
        "full" => {
            let issuer = Issuer::new()?;
            println!("token {}", issuer.token("cus_bench")?);
            one_thread()?.block_on(thread_a_core(gateways::full(issuer.keys(), behind()?)?))
        }
        "full-in-tokio" => {
            let issuer = Issuer::new()?;
            println!("token {}", issuer.token("cus_bench")?);
            let gateway = gateways::full(issuer.keys(), behind()?)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                println!("listening on {}", listener.local_addr()?);
                until_parent_ends(tokio::spawn(async { bank_gateway::serve(listener, gateway).await })).await
            })
        }
        "full-in-axum" => {
            let issuer = Issuer::new()?;
            println!("token {}", issuer.token("cus_bench")?);
            let application = axum::Router::new().fallback_service(gateways::full(issuer.keys(), behind()?)?);
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                println!("listening on {}", listener.local_addr()?);
                let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
                until_parent_ends(tokio::spawn(async { axum::serve(listener, application).await })).await
            })
        }
        "lean" => one_thread()?.block_on(lean::play(behind()?)),
        "handwritten-bare" => one_thread()?.block_on(handwritten::play(behind()?, None)),
        "handwritten-full" => {
            let issuer = Issuer::new()?;
            println!("token {}", issuer.token("cus_bench")?);
            one_thread()?.block_on(handwritten::play(behind()?, Some(issuer.keys())))
        }
        _ => Err(format!("`{role}` is not known; see --help").into()),
    }
}

/// What was asked for.
struct Plan {
    rounds: usize,
    seconds: u32,
    connections: u32,
    max_full: Option<f64>,
}

impl Plan {
    fn take(arguments: &mut Arguments) -> Result<Self, Failure> {
        Ok(Self {
            rounds: arguments.take("--rounds")?.unwrap_or(7).max(1),
            seconds: arguments.take("--seconds")?.unwrap_or(3).max(1),
            connections: arguments.take("--connections")?.unwrap_or(64).max(1),
            max_full: arguments.take("--max-full")?,
        })
    }
}

/// One of those that are compared.
struct Contestant {
    name: &'static str,
    process: Process,
    address: SocketAddr,
    token: String,
    runs: Vec<Run>,
}

/// What one round found.
#[derive(Clone, Copy)]
struct Run {
    measured: Measured,
    cpu: Duration,
}

impl Run {
    /// Microseconds of CPU a request.
    fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.measured.requests as f64
    }

    /// Requests a second.
    fn rate(&self) -> f64 {
        self.measured.requests as f64 / self.measured.took.as_secs_f64()
    }
}

const NGINX: &str = "nginx, bare";
const FULL: &str = "gateway, full";

async fn measure(plan: &Plan) -> Result<bool, Failure> {
    let directory = tempfile::tempdir()?;
    let load = Load::new(directory.path(), plan.connections)?;
    let mut behind = ourselves("upstream", None)?;
    let upstream: SocketAddr = behind.line("listening on ", drop).await?.parse()?;
    let mut contestants = start(directory.path(), upstream).await?;
    for contestant in &contestants {
        contestant.check().await?;
        // Connections are made and memory is taken before anything counts.
        load.run(contestant.address, gateways::PATH, &contestant.token, 1).await?;
    }
    for round in 0..plan.rounds {
        // Each round starts with another one, so that no place in the order is anybody's own.
        let count = contestants.len();
        for turn in 0..count {
            let contestant = &mut contestants[(round + turn) % count];
            let before = contestant.process.usage()?;
            let measured =
                load.run(contestant.address, gateways::PATH, &contestant.token, plan.seconds).await?;
            let cpu = contestant.process.usage()?.cpu - before.cpu;
            contestant.runs.push(Run { measured, cpu });
        }
        eprintln!("round {} of {}", round + 1, plan.rounds);
    }
    let passed = report(plan, &contestants)?;
    for contestant in contestants {
        contestant.process.end().await?;
    }
    behind.end().await?;
    Ok(passed)
}

/// Those of our own: their names and their parts.
const OURS: [(&str, &str); 7] = [
    (FULL, "full"),
    ("full, in tokio", "full-in-tokio"),
    ("full, in axum", "full-in-axum"),
    ("gateway, bare", "bare"),
    ("lean hyper, bare", "lean"),
    ("by hand, bare", "handwritten-bare"),
    ("by hand, full", "handwritten-full"),
];

async fn start(directory: &std::path::Path, upstream: SocketAddr) -> Result<Vec<Contestant>, Failure> {
    let (process, address) = nginx::start(directory, upstream).await?;
    let mut contestants =
        vec![Contestant { name: NGINX, process, address, token: String::new(), runs: Vec::new() }];
    for (name, role) in OURS {
        let (process, address, token) = gateway(role, upstream).await?;
        contestants.push(Contestant { name, process, address, token, runs: Vec::new() });
    }
    // Those that look at no token carry one of the same length.
    let token = contestants[1].token.clone();
    for contestant in contestants.iter_mut().filter(|contestant| contestant.token.is_empty()) {
        contestant.token.clone_from(&token);
    }
    Ok(contestants)
}

/// A gateway as a process, its address, and the token that it knows.
async fn gateway(role: &str, upstream: SocketAddr) -> Result<(Process, SocketAddr, String), Failure> {
    let mut process = ourselves(role, Some(upstream))?;
    let mut token = String::new();
    let address = process
        .line("listening on ", |line| {
            if let Some(printed) = line.strip_prefix("token ") {
                printed.clone_into(&mut token);
            }
        })
        .await?;
    Ok((process, address.parse()?, token))
}

/// This program again, in one of its parts.
fn ourselves(role: &str, upstream: Option<SocketAddr>) -> Result<Process, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(role);
    if let Some(upstream) = upstream {
        command.args(["--upstream", &upstream.to_string()]);
    }
    Process::start(role, command)
}

impl Contestant {
    /// Whether it does what it is measured for: everybody passes the answer on; a full pipeline tells the upstream who calls,
    /// and refuses whoever is not known.
    async fn check(&self) -> Result<(), Failure> {
        let is_full = self.name.contains("full");
        let (status, size, identity) = self.ask(Some(&self.token)).await?;
        if (status, size, identity) != (StatusCode::OK, upstream::SIZE, is_full) {
            return Err(format!(
                "{} answered {status} with {size} bytes, identity told: {identity}",
                self.name
            )
            .into());
        }
        let (status, ..) = self.ask(None).await?;
        if (status == StatusCode::UNAUTHORIZED) != is_full {
            return Err(format!("{} answered {status} to a request without a token", self.name).into());
        }
        Ok(())
    }

    async fn ask(&self, token: Option<&str>) -> Result<(StatusCode, usize, bool), Failure> {
        let address: Uri = format!("http://{}", self.address).parse()?;
        let mut request = Request::get(gateways::PATH);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let connections = Connections::new(&address, ConnectOptions::default())?;
        let response = connections.send(request.body(Body::empty())?).await?;
        let (status, told) = (response.status(), response.headers().contains_key(upstream::IDENTITY_SEEN));
        Ok((status, response.into_body().read(64 * 1_024).await?.len(), told))
    }

    fn sample(&self, value: impl Fn(&Run) -> f64) -> Sample {
        self.runs.iter().map(value).collect()
    }

    /// The ratios to another's values, round by round.
    fn against(&self, other: &Self, value: impl Fn(&Run) -> f64) -> Sample {
        self.runs.iter().zip(&other.runs).map(|(own, other)| value(own) / value(other)).collect()
    }
}

/// The table, and whether the bound holds.
fn report(plan: &Plan, contestants: &[Contestant]) -> Result<bool, Failure> {
    let find = |name| contestants.iter().find(|one| one.name == name).ok_or("a contestant is missing");
    let (nginx, full) = (find(NGINX)?, find(FULL)?);
    println!(
        "{} connections, {} rounds of {} s; medians, in parentheses the lowest and the highest round\n",
        plan.connections, plan.rounds, plan.seconds
    );
    println!(
        "{:<17} {:>13}  {:<19} {:>10}  {:<19} {:>8} {:>8} {:>8}",
        "", "CPU/request", "of nginx's", "requests/s", "of nginx's", "p50", "p99", "memory"
    );
    for one in contestants {
        let Usage { resident, .. } = one.process.usage()?;
        println!(
            "{:<17} {:>10.1} µs  {:<19} {:>10.0}  {:<19} {:>5.2} ms {:>5.2} ms {:>5.1} MB",
            one.name,
            one.sample(Run::cost).median(),
            one.against(nginx, Run::cost).to_string(),
            one.sample(Run::rate).median(),
            one.against(nginx, Run::rate).to_string(),
            one.sample(|run| run.measured.median.as_secs_f64() * 1e3).median(),
            one.sample(|run| run.measured.p99.as_secs_f64() * 1e3).median(),
            resident as f64 / 1e6,
        );
    }
    let ratio = full.against(nginx, Run::cost);
    let Some(max) = plan.max_full else { return Ok(true) };
    let passed = ratio.median() <= max;
    println!(
        "\nthe full pipeline costs {:.2} times nginx's bare proxying; allowed are {max}: {}",
        ratio.median(),
        if passed { "passed" } else { "FAILED" }
    );
    Ok(passed)
}
