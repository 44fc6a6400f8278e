//! How many transfers a second the whole bank carries, and whether its books are right afterwards.
//!
//! The bank runs as its users run it, with its data on a disk and every commit flushed. Beside its rate stands that of the
//! ledger alone, on the same disk in the same minute.
#![allow(clippy::print_stdout, reason = "the program's purpose")]
#![allow(clippy::float_arithmetic, reason = "times and ratios, never money")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use accounts::wire::BalanceAt;
use bank_benches::Failure;
use bank_benches::arguments::Arguments;
use bank_benches::bank::{self, Bank, Customer, euros, new_key};
use bank_benches::posting::Book;
use bank_benches::process::unless_signalled;
use bank_benches::sample::Sample;
use bank_sdk::Empty;
use bank_sdk::client::{CallError, Client};
use bank_stores::{Currency, Money};
use tokio::task::JoinSet;
use tokio::time::Instant;
use transactions::wire::{NewTransfer, TransferPath, TransferStatus};

const HELP: &str = "\
transfers [OPTIONS]

Options:
  --seconds N       how long transfers are sent (10)
  --connections N   over how many connections (32)
  --customers N     between how many customers (64)
  --min N           fail below so many a second
  --bank PATH       the bank's program (the one built beside this one)
  --directory DIR   where the data goes, on a disk (/var/tmp)";

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match unless_signalled(run()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("transfers: {error}");
            ExitCode::FAILURE
        }
    }
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
const START: Money = euros(100_000);

async fn run() -> Result<bool, Failure> {
    let plan = Plan::take(Arguments::parse(std::env::args().skip(1))?)?;
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
    let faults = check(&bank, &customers, &before, &after, &sent).await?;
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

/// A transfer that the bank acknowledged as completed.
struct Done {
    id: String,
    from: usize,
    to: usize,
    amount: Money,
    took: Duration,
}

/// What became of all transfers.
#[derive(Default)]
struct Sent {
    done: Vec<Done>,
    /// Refused, not known or not completed; the first few in words.
    others: usize,
    reasons: Vec<String>,
}

impl Sent {
    fn other(&mut self, reason: impl std::fmt::Display) {
        self.others += 1;
        if self.reasons.len() < 5 {
            self.reasons.push(reason.to_string());
        }
    }

    fn merge(&mut self, mut more: Self) {
        self.done.append(&mut more.done);
        self.others += more.others;
        self.reasons.append(&mut more.reasons);
    }
}

async fn send_all(
    bank: &Bank,
    customers: &Arc<[Customer]>,
    connections: usize,
    until: Instant,
) -> Result<Sent, Failure> {
    let mut tasks = JoinSet::new();
    for first in 0..connections {
        let shared = bank.connect()?;
        let own = (first..customers.len()).step_by(connections);
        let clients = own
            .map(|number| Ok((number, Client::new(shared.clone()).bearer(&customers[number].token)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        tasks.spawn(send(clients, customers.clone(), until));
    }
    let mut sent = Sent::default();
    while let Some(task) = tasks.join_next().await {
        sent.merge(task??);
    }
    Ok(sent)
}

/// One connection, on which its customers take turns.
async fn send(
    clients: Vec<(usize, Client)>,
    customers: Arc<[Customer]>,
    until: Instant,
) -> Result<Sent, Failure> {
    let mut sent = Sent::default();
    for (turn, (from, client)) in clients.iter().cycle().enumerate() {
        if Instant::now() >= until {
            break;
        }
        let to = (from + 1 + turn % (customers.len() - 1)) % customers.len();
        let amount = Money::from_minor(1 + i64::try_from(turn % 100)?, Currency::EUR);
        let new = NewTransfer {
            from: customers[*from].account.clone(),
            to: customers[to].account.clone(),
            amount,
            reference: Some("bench".to_owned()),
        };
        let (key, start) = (new_key()?, Instant::now());
        match client.call(transactions::endpoints::CREATE, &new).key(&key).send().await {
            Ok(transfer) if transfer.status == TransferStatus::Completed => {
                sent.done.push(Done { id: transfer.id, from: *from, to, amount, took: start.elapsed() });
            }
            Ok(transfer) => sent.other(format!("{} is {:?}", transfer.id, transfer.status)),
            Err(CallError::Refused(problem)) => sent.other(problem),
            Err(error) => sent.other(error),
        }
    }
    Ok(sent)
}

/// The books at one moment.
struct Books {
    balanced: bool,
    total: String,
    postings: u64,
    balances: Vec<Money>,
}

impl Books {
    async fn read(bank: &Bank, customers: &[Customer]) -> Result<Self, Failure> {
        let auditor = bank.demo_user("auditor").await?;
        let trial = auditor.call(accounts::endpoints::TRIAL_BALANCE, &Empty {}).send().await?;
        let euro = trial.currencies.iter().find(|total| total.currency == Currency::EUR);
        let euro = euro.ok_or("the trial balance has no euros")?;
        let connections = bank.connect()?;
        let mut balances = Vec::with_capacity(customers.len());
        for customer in customers {
            let client = Client::new(connections.clone()).bearer(&customer.token)?;
            let path = BalanceAt::now(&*customer.account);
            balances.push(client.call(accounts::endpoints::BALANCE, &path).send().await?.balance);
        }
        Ok(Self { balanced: trial.balanced, total: euro.total.clone(), postings: euro.postings, balances })
    }
}

/// What is wrong with the books.
async fn check(
    bank: &Bank,
    customers: &Arc<[Customer]>,
    before: &Books,
    after: &Books,
    sent: &Sent,
) -> Result<Vec<String>, Failure> {
    let mut faults = Vec::new();
    let zero = after.total.chars().all(|digit| digit == '0' || digit == '.');
    if !after.balanced || !zero {
        faults.push(format!("the trial balance is {}", after.total));
    }
    let sum = |books: &Books| books.balances.iter().map(|balance| i128::from(balance.minor())).sum::<i128>();
    if sum(before) != sum(after) {
        faults.push(format!("the customers had {} cents together and have {}", sum(before), sum(after)));
    }
    if sent.others > 0 {
        faults.push(format!("{} transfers were not completed: {}", sent.others, sent.reasons.join("; ")));
    }
    let posted = after.postings - before.postings;
    if sent.others == 0 && posted != sent.done.len() as u64 {
        faults.push(format!("{} transfers were acknowledged and {posted} posted", sent.done.len()));
    }
    if sent.others == 0 {
        let mut expected: Vec<i64> = before.balances.iter().map(|balance| balance.minor()).collect();
        for done in &sent.done {
            expected[done.from] -= done.amount.minor();
            expected[done.to] += done.amount.minor();
        }
        let wrong =
            expected.iter().zip(&after.balances).filter(|(expected, found)| **expected != found.minor());
        match wrong.count() {
            0 => {}
            wrong => faults.push(format!("{wrong} balances are not what the transfers make of them")),
        }
    }
    match not_visible(bank, customers, sent).await? {
        0 => {}
        lost => faults.push(format!("{lost} acknowledged transfers are not there")),
    }
    Ok(faults)
}

/// How many acknowledged transfers their senders do not see as they sent them.
async fn not_visible(bank: &Bank, customers: &Arc<[Customer]>, sent: &Sent) -> Result<usize, Failure> {
    const AT_ONCE: usize = 16;
    let mut tasks = JoinSet::new();
    for first in 0..AT_ONCE {
        let own = sent.done.iter().skip(first).step_by(AT_ONCE);
        let own: Vec<_> = own.map(|done| (done.id.clone(), done.from, done.to, done.amount)).collect();
        let (connections, customers) = (bank.connect()?, customers.clone());
        tasks.spawn(async move {
            let mut lost = 0;
            for (id, from, to, amount) in own {
                let client = Client::new(connections.clone()).bearer(&customers[from].token)?;
                let found = client.call(transactions::endpoints::FIND, &TransferPath { id }).send().await;
                let whole = found.is_ok_and(|found| {
                    found.status == TransferStatus::Completed
                        && found.amount == amount
                        && found.from == customers[from].account
                        && found.to == customers[to].account
                });
                lost += usize::from(!whole);
            }
            Ok::<_, Failure>(lost)
        });
    }
    let mut lost = 0;
    while let Some(task) = tasks.join_next().await {
        lost += task??;
    }
    Ok(lost)
}

/// Postings a second of a ledger with nothing around it.
async fn ledger_alone(directory: &Path, in_flight: usize) -> Result<f64, Failure> {
    let directory = tempfile::Builder::new().prefix("bank-bench-").tempdir_in(directory)?;
    let book = Book::open(directory.path()).await?;
    let rate = book.rate(in_flight, Instant::now() + Duration::from_secs(3)).await?;
    book.close().await;
    Ok(rate)
}
