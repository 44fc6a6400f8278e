//! What the ledger carries, against what its engines can do: one transaction a transfer by hand, and the same rows written by
//! set-based batches inside the database; on PostgreSQL pgbench's TPC-B too. Everything takes turns, round after round, and what
//! counts are the ratios within a round.
#![allow(clippy::print_stdout, reason = "the program's purpose")]
#![allow(clippy::float_arithmetic, reason = "rates and ratios, never money")]

mod larger;
mod plot;
mod postgres;
mod sqlite;

use std::process::ExitCode;
use std::time::Duration;

use bank_benches::Failure;
use bank_benches::arguments::Arguments;
use bank_benches::ledger_load::{Accounts, Choice, Ran};
use bank_benches::sample::Sample;
use tokio::time::Instant;

/// As the bank's own program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
ledger_against_pgbench [OPTIONS]

Options:
  --engine NAME    postgres or sqlite (postgres)
  --rounds N       how often each takes its turn (7)
  --seconds N      how long each time (4)
  --accounts N     how many accounts (10000)
  --settings LIST  settings of the server, as shared_buffers=1GB,full_page_writes=off (PostgreSQL; its defaults)
  --larger true    instead: what ten times the accounts and the history cost (PostgreSQL)
  --plot FILE      writes throughput against callers in flight as an SVG
";

/// What takes turns with our transfers.
const IN_FLIGHT: [(&str, usize, Choice); 5] = [
    ("alone, 1 in flight", 1, Choice::Uniform),
    ("64 in flight", 64, Choice::Uniform),
    ("2,000 in flight", 2_000, Choice::Uniform),
    ("2,000, Zipf", 2_000, Choice::Zipf),
    ("2,000, one hot account", 2_000, Choice::Hot),
];

fn main() -> ExitCode {
    if std::env::args().any(|word| word == "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ran = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(run()));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ledger_against_pgbench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is asked for.
struct Plan {
    rounds: usize,
    time: Duration,
    accounts: usize,
    plot: Option<String>,
    settings: Option<String>,
}

async fn run() -> Result<(), Failure> {
    let mut arguments = Arguments::parse(std::env::args().skip(1))?;
    let engine: Option<String> = arguments.take("--engine")?;
    let plan = Plan {
        rounds: arguments.take("--rounds")?.unwrap_or(7),
        time: Duration::from_secs(arguments.take("--seconds")?.unwrap_or(4)),
        accounts: arguments.take("--accounts")?.unwrap_or(10_000),
        plot: arguments.take("--plot")?,
        settings: arguments.take("--settings")?,
    };
    let is_larger = arguments.take("--larger")?.unwrap_or(false);
    arguments.finish()?;
    match engine.as_deref() {
        None | Some("postgres") if is_larger => larger::run(&plan).await,
        None | Some("postgres") => postgres::run(&plan).await,
        Some("sqlite") => sqlite::run(&plan).await,
        Some(other) => Err(format!("--engine {other}: give postgres or sqlite").into()),
    }
}

/// Runs ours in turn with the yardsticks; prints medians of the ratios within a round.
async fn measure(
    plan: &Plan,
    accounts: &Accounts,
    yardsticks: &[&str],
    server_cpu: impl Fn() -> Duration,
    mut yardstick: impl AsyncFnMut(usize) -> Result<f64, Failure>,
) -> Result<(), Failure> {
    let mut measured: Vec<(Vec<f64>, Vec<Ran>)> = Vec::new();
    let mut of_server: Vec<Vec<f64>> = vec![Vec::new(); IN_FLIGHT.len()];
    // The first run of each fills caches.
    accounts.run(64, Choice::Uniform, Duration::from_secs(1)).await?;
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        let (mut others, mut ours) = (Vec::new(), Vec::new());
        for number in 0..yardsticks.len() {
            others.push(yardstick(number).await?);
        }
        for (number, (_, in_flight, choice)) in IN_FLIGHT.into_iter().enumerate() {
            let (cpu, start) = (server_cpu(), Instant::now());
            let ran = accounts.run(in_flight, choice, plan.time).await?;
            let (cpu, done) = ((server_cpu() - cpu).as_secs_f64(), ran.rate * start.elapsed().as_secs_f64());
            of_server[number].push(cpu * 1e6 / done.max(1.0));
            ours.push(ran);
        }
        measured.push((others, ours));
    }
    println!(
        "{} accounts, {} rounds of {} s; medians, in parentheses the lowest and the highest round\n",
        plan.accounts,
        plan.rounds,
        plan.time.as_secs()
    );
    for (number, name) in yardsticks.iter().enumerate() {
        let rates: Sample = measured.iter().map(|(others, _)| others[number]).collect();
        println!("{name:<44} {:>9.0}/s", rates.median());
    }
    let uniform = IN_FLIGHT.iter().position(|(name, ..)| *name == "2,000 in flight").unwrap_or_default();
    for (number, (name, ..)) in IN_FLIGHT.iter().enumerate() {
        let of = |which: fn(&Ran) -> f64| -> Sample {
            measured.iter().map(|(_, ours)| which(&ours[number])).collect()
        };
        println!(
            "{name:<44} {:>9.0}/s   p50 {:.1} ms, p99 {:.1} ms, {:.1} µs of our CPU, {:.1} µs of the server's",
            of(|ran| ran.rate).median(),
            of(|ran| ran.latency[0]).median(),
            of(|ran| ran.latency[1]).median(),
            of(|ran| ran.cpu).median(),
            of_server[number].iter().copied().collect::<Sample>().median(),
        );
        for (other, yardstick) in yardsticks.iter().enumerate() {
            let ratio: Sample =
                measured.iter().map(|(others, ours)| ours[number].rate / others[other]).collect();
            println!("    against {yardstick:<36} {ratio}");
        }
        if number > uniform {
            let ratio: Sample =
                measured.iter().map(|(_, ours)| ours[number].rate / ours[uniform].rate).collect();
            println!("    against uniform {:<28} {ratio}", "");
        }
    }
    if let Some(file) = &plan.plot {
        let mut points = Vec::new();
        for in_flight in [1, 4, 16, 64, 256, 1_024, 2_000] {
            points.push((in_flight, accounts.run(in_flight, Choice::Uniform, plan.time).await?.rate));
        }
        std::fs::write(file, plot::svg(&points))?;
    }
    Ok(())
}
