//! How many transfers a second the whole bank carries, and whether its books are right afterwards.
//!
//! The bank runs as its users run it, with its data on a disk and every commit flushed. Beside its rate stands that of the
//! ledger alone, on the same disk in the same minute.
//!
//! With `compared` as its first word, it tells instead what the bank carries with its data on four servers, as a part of what it carries
//! with all of it embedded. The aim is at least 0.5.
#![allow(clippy::print_stdout, reason = "the program's purpose")]
#![allow(clippy::float_arithmetic, reason = "times and ratios, never money")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bank_benches::Failure;
use bank_benches::arguments::{Arguments, program};
use bank_benches::bank::{self, Bank, Customer, euros};
use bank_benches::posting::Book;
use bank_benches::process::unless_signalled;
use bank_benches::sample::Sample;
use bank_stores::Money;
use tokio::time::Instant;

mod books;
mod compared;
mod sending;

use books::{Books, check};
use sending::send_all;

const HELP: &str = "\
transfers [OPTIONS]             the bank with its data in files
transfers compared [OPTIONS]    the same beside a bank on PostgreSQL, DynamoDB Local, MongoDB and Redis

Options:
  --seconds N       how long transfers are sent (10)
  --connections N   over how many connections (32)
  --customers N     between how many customers (64)
  --min N           fail below so many a second
  --bank PATH       the bank's program (the one built beside this one)
  --directory DIR   where the data goes, on a disk (/var/tmp)

Options of `compared`:
  --seconds N       how long each turn is (5)
  --rounds N        how many turns each bank has (3)
  --connections N, --customers N, --bank PATH, --directory DIR
                    as above; 64 connections";

fn main() -> ExitCode {
    program("transfers", HELP, |part, arguments| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(unless_signalled(async {
            match part.as_deref() {
                None => run(Plan::take(arguments)?).await,
                Some("compared") => compared::run(compared::Plan::take(arguments)?).await,
                Some(other) => Err(format!("{other} is not known: compared, or nothing").into()),
            }
        }))
    })
}

/// What was asked for.
struct Plan {
    time: Duration,
    connections: usize,
    customers: usize,
    min: Option<f64>,
    program: PathBuf,
    directory: PathBuf,
}

impl Plan {
    fn take(mut arguments: Arguments) -> Result<Self, Failure> {
        let connections = arguments.take("--connections")?.unwrap_or(32).max(1);
        let plan = Self {
            time: Duration::from_secs(arguments.take("--seconds")?.unwrap_or(10)),
            connections,
            customers: arguments.take("--customers")?.unwrap_or(64).max(connections).max(2),
            min: arguments.take("--min")?,
            program: bank::program(arguments.take("--bank")?)?,
            directory: bank::on_disk(arguments.take("--directory")?)?,
        };
        arguments.finish()?;
        Ok(plan)
    }
}

/// What every customer starts with.
pub(crate) const START: Money = euros(100_000);

async fn run(plan: Plan) -> Result<bool, Failure> {
    let bank = Bank::start(&plan.program, &plan.directory).await?;
    eprintln!("{} customers register and get an account", plan.customers);
    let customers: Arc<[Customer]> = bank.customers(plan.customers, START).await?.into();
    let before = Books::read(&bank, &customers).await?;

    eprintln!("transfers for {} s over {} connections", plan.time.as_secs(), plan.connections);
    let (usage, start) = (bank.usage()?, Instant::now());
    let sent = send_all(&bank, &customers, plan.connections, start + plan.time).await?;
    let took = start.elapsed();
    let used = bank.usage()?;
    let rate = sent.done.len() as f64 / took.as_secs_f64();
    let cpu = (used.cpu - usage.cpu).as_secs_f64() * 1e3 / sent.done.len().max(1) as f64;

    eprintln!("the books are checked");
    let after = Books::read(&bank, &customers).await?;
    let faults = check(&bank, &customers, &before, &after, &sent, usize::MAX).await?;
    bank.end().await?;

    eprintln!("the ledger alone");
    let grouped = ledger_alone(&plan.directory, plan.connections).await?;
    let single = ledger_alone(&plan.directory, 1).await?;

    let latency: Sample = sent.done.iter().map(|done| done.took.as_secs_f64() * 1e3).collect();
    println!(
        "transfers through the bank      {rate:>8.0}/s   from {} connections of {} customers, {} in {:.1} s",
        plan.connections,
        plan.customers,
        sent.done.len(),
        took.as_secs_f64()
    );
    println!(
        "  latency                       {:>8.1} ms  median; p99 {:.1} ms",
        latency.median(),
        latency.percentile(99.0)
    );
    println!(
        "  CPU of the bank's process     {cpu:>8.2} ms  a transfer; {:.0} MB of memory",
        used.resident as f64 / 1e6
    );
    println!(
        "Ledger::post alone, {:>3} in flight {grouped:>7.0}/s   the bank carries {:.0} % of it",
        plan.connections,
        rate / grouped * 100.0
    );
    println!("Ledger::post alone,   1 in flight {single:>7.0}/s");
    println!(
        "books                           {}",
        if faults.is_empty() {
            "right: the trial balance is zero, no money came or went, every acknowledged transfer is there once"
        } else {
            "WRONG"
        }
    );
    faults.iter().for_each(|fault| println!("  {fault}"));
    let fast = plan.min.is_none_or(|min| rate >= min);
    if let Some(min) = plan.min {
        println!("at least {min}/s asked for        {}", if fast { "passed" } else { "FAILED" });
    }
    Ok(fast && faults.is_empty())
}

/// Postings a second of a ledger with nothing around it.
async fn ledger_alone(directory: &Path, in_flight: usize) -> Result<f64, Failure> {
    let directory = tempfile::Builder::new().prefix("bank-bench-").tempdir_in(directory)?;
    let book = Book::open(directory.path()).await?;
    let rate = book.rate(in_flight, Instant::now() + Duration::from_secs(3)).await?;
    book.close().await;
    Ok(rate)
}
