//! What the bank carries on servers, beside what it carries with everything embedded: three banks that take turns, each of one process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bank_benches::Failure;
use bank_benches::arguments::Arguments;
use bank_benches::bank::{self, Bank, Customer};
use bank_benches::calls::verdict;
use bank_benches::sample::Sample;
use bank_tests::Servers;
use tokio::time::Instant;

use crate::START;
use crate::books::{Books, check};
use crate::sending::{Sent, send_all};

/// What the bank on servers has to reach of the embedded one.
const AIM: f64 = 0.5;
/// So many acknowledged transfers of each bank are looked for at most.
const LOOKED_FOR: usize = 1_000;

pub(crate) struct Plan {
    time: Duration,
    rounds: usize,
    connections: usize,
    customers: usize,
    program: PathBuf,
    directory: PathBuf,
}

impl Plan {
    pub(crate) fn take(mut arguments: Arguments) -> Result<Self, Failure> {
        let connections = arguments.take("--connections")?.unwrap_or(64).max(1);
        let plan = Self {
            time: Duration::from_secs(arguments.take("--seconds")?.unwrap_or(5)),
            rounds: arguments.take("--rounds")?.unwrap_or(3).max(1),
            connections,
            customers: arguments.take("--customers")?.unwrap_or(64).max(connections).max(2),
            program: bank::program(arguments.take("--bank")?)?,
            directory: bank::on_disk(arguments.take("--directory")?)?,
        };
        arguments.finish()?;
        Ok(plan)
    }
}

/// Where a bank has its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Embedded,
    /// The transfers' own store is embedded, everything else is on servers.
    ItemsEmbedded,
    Servers,
}

impl Place {
    const ALL: [Self; 3] = [Self::Embedded, Self::ItemsEmbedded, Self::Servers];

    const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "all embedded",
            Self::ItemsEmbedded => "servers, transfers embedded",
            Self::Servers => "servers",
        }
    }

    /// The sections of the bank's file that say so.
    fn sections(self, servers: &Servers) -> String {
        let name = match self {
            Self::Embedded => return String::new(),
            Self::ItemsEmbedded => "bench_mixed",
            Self::Servers => "bench_servers",
        };
        servers.postgres.sql(&format!("CREATE DATABASE {name}"));
        let (postgres, dynamo, mongo) =
            (servers.postgres.port(), servers.dynamo.port(), servers.mongo.port());
        let table = |part: &str| {
            format!("store = \"dynamodb:{name}.{part}?endpoint=http://127.0.0.1:{dynamo}&create=true\"")
        };
        let transactions = match self {
            Self::Servers => format!("[transactions]\n{}\n", table("transactions")),
            _ => String::new(),
        };
        let (identity, keys, redis) = (table("identity"), table("keys"), servers.redis.url());
        format!(
            "{transactions}\
             [accounts]\nstore = \"postgres://bank@127.0.0.1:{postgres}/{name}\"\n\
             [identity]\n{identity}\n\
             [partners]\nstore = \"mongodb://127.0.0.1:{mongo}/{name}\"\n\
             [seal]\n{keys}\n\
             [shared]\ncache = \"{redis}\"\nlimits = \"{redis}\"\ngateways = 1\nprefix = \"{name}\"\n"
        )
    }
}

/// A bank that runs, and what it has carried so far.
struct Contestant {
    place: Place,
    bank: Bank,
    customers: Arc<[Customer]>,
    before: Books,
    sent: Sent,
    turns: Vec<Turn>,
}

struct Turn {
    /// Transfers a second.
    rate: f64,
    /// CPU of the bank's process, in milliseconds a transfer.
    cpu: f64,
    /// The median, in milliseconds.
    latency: f64,
}

impl Contestant {
    async fn start(place: Place, servers: &Servers, plan: &Plan) -> Result<Self, Failure> {
        eprintln!("{}: {} customers register and get an account", place.name(), plan.customers);
        let sections = tokio::task::block_in_place(|| place.sections(servers));
        let bank = Bank::start_with(&plan.program, &plan.directory, &sections).await?;
        let customers: Arc<[Customer]> = bank.customers(plan.customers, START).await?.into();
        let before = Books::read(&bank, &customers).await?;
        Ok(Self { place, bank, customers, before, sent: Sent::default(), turns: Vec::new() })
    }

    async fn turn(&mut self, connections: usize, time: Duration) -> Result<Turn, Failure> {
        let (used, start) = (self.bank.usage()?, Instant::now());
        let sent = send_all(&self.bank, &self.customers, connections, start + time).await?;
        let (took, done) = (start.elapsed(), sent.done.len().max(1) as f64);
        let cpu = (self.bank.usage()?.cpu - used.cpu).as_secs_f64() * 1e3 / done;
        let latency: Sample = sent.done.iter().map(|done| done.took.as_secs_f64() * 1e3).collect();
        let turn = Turn { rate: sent.done.len() as f64 / took.as_secs_f64(), cpu, latency: latency.median() };
        self.sent.merge(sent);
        Ok(turn)
    }

    fn of(&self, value: fn(&Turn) -> f64) -> Sample {
        self.turns.iter().map(value).collect()
    }

    async fn end(self) -> Result<Vec<String>, Failure> {
        let Self { place, bank, customers, before, sent, .. } = self;
        let after = books_at_rest(&bank, &customers, sent.others > 0).await?;
        let faults = check(&bank, &customers, &before, &after, &sent, LOOKED_FOR).await?;
        bank.end().await?;
        Ok(faults.into_iter().map(|fault| format!("{}: {fault}", place.name())).collect())
    }
}

/// The books. Where transfers may end later, they are read until none did meanwhile: balances are read one after the other.
async fn books_at_rest(bank: &Bank, customers: &[Customer], is_moving: bool) -> Result<Books, Failure> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut books = Books::read(bank, customers).await?;
    while is_moving && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let next = Books::read(bank, customers).await?;
        let is_at_rest = (next.postings, &next.balances) == (books.postings, &books.balances);
        books = next;
        if is_at_rest {
            break;
        }
    }
    Ok(books)
}

pub(crate) async fn run(plan: Plan) -> Result<bool, Failure> {
    let servers = tokio::task::block_in_place(|| Servers::start("transfers")).ok_or("a server is missing")?;
    for directory in servers.directories() {
        bank::on_disk(Some(directory)).map_err(|error| format!("{error}, for the servers by TMPDIR"))?;
    }
    let mut banks = Vec::new();
    for place in Place::ALL {
        banks.push(Contestant::start(place, &servers, &plan).await?);
    }
    eprintln!("{} rounds of turns of {} s", plan.rounds, plan.time.as_secs());
    for bank in &mut banks {
        // Warms up: connections, copies of sessions, and the servers' compilers.
        bank.turn(plan.connections, Duration::from_secs(2).min(plan.time)).await?;
    }
    let count = banks.len();
    for round in 0..plan.rounds {
        for number in 0..count {
            let bank = &mut banks[(round + number) % count];
            let turn = bank.turn(plan.connections, plan.time).await?;
            bank.turns.push(turn);
        }
    }
    println!(
        "{} connections of {} customers, {} rounds of {} s; medians, and the lowest and highest round",
        plan.connections,
        plan.customers,
        plan.rounds,
        plan.time.as_secs()
    );
    println!(
        "{:<30}{:>12}{:>10}{:>16}   of all embedded, in the same round",
        "", "transfers/s", "median", "CPU/transfer"
    );
    for bank in &banks {
        let against: Sample =
            bank.turns.iter().zip(&banks[0].turns).map(|(turn, first)| turn.rate / first.rate).collect();
        let (rate, latency, cpu) =
            (bank.of(|turn| turn.rate), bank.of(|turn| turn.latency), bank.of(|turn| turn.cpu));
        let aim = match bank.place {
            Place::Servers => format!("; aim: at least {AIM}: {}", verdict(against.median() >= AIM)),
            _ => String::new(),
        };
        println!(
            "{:<30}{:>12.0}{:>7.1} ms{:>13.2} ms   {against}{aim}",
            bank.place.name(),
            rate.median(),
            latency.median(),
            cpu.median()
        );
    }
    eprintln!("the books are checked");
    let mut faults = Vec::new();
    for bank in banks {
        faults.append(&mut bank.end().await?);
    }
    // A transfer that was answered as pending ends later, so that no balance is known.
    println!(
        "books                         {}",
        if faults.is_empty() { "right" } else { "NOT PROVEN RIGHT" }
    );
    faults.iter().for_each(|fault| println!("  {fault}"));
    Ok(faults.is_empty())
}
