//! Random histories of a store: clients are killed, servers are killed, connections are cut, answers come late or get lost, clocks
//! jump; and afterwards the commit order, replayed through a model, gives every receipt and explains every refusal.
//!
//! A history that is wrong is kept, told with its seed, and made again shorter.
#![allow(clippy::print_stdout, reason = "the program's purpose")]

mod check;
mod client;
mod faults;
mod jumps;
mod ledger;
mod order;
mod plan;
mod replay;
mod report;

use std::process::ExitCode;

use bank_tests::Postgres;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use client::{History, Log, Outcome, id_of};
use faults::{Server, Setting};
use jumps::Jumps;
use ledger::Opening;
use plan::{Address, Failure, HELP, Plan, Store, text};
use report::{Totals, Wrong};

/// How often a wrong history is made again in half the time.
const SHORTER: usize = 5;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let ended = match words.split_first() {
        Some((first, rest)) if first == "client" => client::run(rest).map(|()| true),
        _ => Plan::read(&words).and_then(|plan| run(&plan)),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("histories: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes all histories; says whether each was right.
fn run(plan: &Plan) -> Result<bool, Failure> {
    let runtime = Runtime::new()?;
    let mut server = match plan.store {
        Store::Sqlite => None,
        Store::Postgres => Some(Server::start()?),
    };
    let Plan { count, seed, millis, .. } = plan;
    println!("{count} histories of {millis} ms on {}, with seeds from {seed}", plan.store.name());
    let (mut totals, begun) = (Totals::default(), Instant::now());
    for number in 0..*count {
        let seed = seed.wrapping_add(number);
        let (more, wrong) = one(&runtime, server.as_mut(), seed, *millis)?;
        totals.include(&more);
        totals.millis = begun.elapsed().as_millis() as u64;
        if let Some(wrong) = wrong {
            wrong.tell();
            shorten(&runtime, server.as_mut(), wrong)?;
        }
        if (number + 1).is_multiple_of(10) {
            println!("up to seed {seed}: {totals}");
        }
    }
    totals.millis = begun.elapsed().as_millis() as u64;
    println!("this run: {totals}");
    if let Some(path) = &plan.results {
        println!("all runs: {}", report::keep(path, plan, &totals)?);
    }
    Ok(totals.wrong == 0)
}

/// Makes a wrong history again in less and less time, and tells the shortest that is wrong still.
fn shorten(runtime: &Runtime, mut server: Option<&mut Server>, wrong: Wrong) -> Result<(), Failure> {
    let mut shortest = wrong;
    for _ in 0..SHORTER {
        let millis = shortest.millis / 2;
        if let (_, Some(shorter)) = one(runtime, server.as_deref_mut(), shortest.seed, millis)? {
            shorter.tell();
            shortest = shorter;
        }
    }
    let (millis, lines) = (shortest.millis, shortest.lines.len());
    println!("the shortest: {millis} ms, {lines} lines of logs, kept in {}", shortest.directory.display());
    Ok(())
}

/// Makes one history in a store of its own and judges it.
fn one(
    runtime: &Runtime,
    mut server: Option<&mut Server>,
    seed: u64,
    millis: u64,
) -> Result<(Totals, Option<Wrong>), Failure> {
    let directory = tempfile::Builder::new().prefix("histories-").tempdir()?;
    let address = match server.as_deref() {
        Some(server) => Address::Postgres { url: server.url(), schema: Postgres::fresh_schema() },
        None => Address::Sqlite(directory.path().join("store.db")),
    };
    let setting = Setting { address, directory: directory.path().to_owned(), seed, millis };
    let mut totals = Totals { histories: 1, ..Totals::default() };
    if let Err(message) = history(runtime, &setting, server.as_deref_mut(), &mut totals) {
        totals.wrong = 1;
        let wrong = Wrong::new(&setting, message);
        // Where that is, `wrong` tells.
        let _ = directory.keep();
        return Ok((totals, Some(wrong)));
    }
    if let (Some(server), Address::Postgres { schema, .. }) = (server, &setting.address) {
        server.postgres.sql(&format!("DROP SCHEMA {schema} CASCADE"));
    }
    Ok((totals, None))
}

/// Says what is wrong with the history; that it could not be made is wrong too.
fn history(
    runtime: &Runtime,
    setting: &Setting,
    server: Option<&mut Server>,
    totals: &mut Totals,
) -> Result<(), String> {
    runtime.block_on(set_up(setting)).map_err(text)?;
    let made = faults::make(setting, server).map_err(text)?;
    (totals.client_kills, totals.server_kills) = (made.client_kills, made.server_kills);
    (totals.cuts, totals.lost, totals.delays) = (made.cuts, made.lost, made.delays);
    runtime.block_on(judge(setting, totals))
}

async fn set_up(setting: &Setting) -> Result<(), Failure> {
    let role = client::open(&setting.address, Opening::default(), &Jumps::default()).await?;
    let log = Log::create(&setting.log("setup"))?;
    for order in role.setup() {
        log.invoked(&order)?;
        let outcome = role.send(&order).await?;
        log.answered(id_of(&order), &outcome)?;
        if !matches!(outcome, Outcome::Done { .. }) {
            return Err(format!("`{}` is {outcome:?} before anything went wrong", id_of(&order)).into());
        }
    }
    role.close().await;
    Ok(())
}

/// Finds out what nobody knows, and checks the rest.
async fn judge(setting: &Setting, totals: &mut Totals) -> Result<(), String> {
    let mut history = History::read(&setting.logs()).map_err(text)?;
    (totals.acknowledged, totals.refused) = history.counts();
    totals.observations = history.observations.len() as u64;
    // By then the clients' last holds have come to their deadline.
    tokio::time::sleep(order::EXPIRY).await;
    let clock = Jumps::ahead(jumps::JUDGE);
    let role = client::open(&setting.address, Opening::default(), &clock).await.map_err(text)?;
    let log = Log::create(&setting.log("resolve")).map_err(text)?;
    let judged = match role.resolve(&mut history, &log).await {
        Ok(resolved) => {
            totals.resolved = resolved;
            role.check(&history).await
        }
        Err(message) => Err(message),
    };
    role.close().await;
    judged
}
