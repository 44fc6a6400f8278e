//! What a transfer writes: bytes of the log and of the files, on SQLite and on PostgreSQL. Counts, which no other load changes. Times beside them are those of a
//! machine as it is.
#![allow(clippy::print_stdout, reason = "the program's purpose")]
#![allow(clippy::float_arithmetic, reason = "bytes, times and ratios, never money")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bank_benches::Failure;
use bank_benches::ledger_load::{Accounts, Choice, server_cpu};
use bank_stores::Ledger;
use bank_stores::aurora::{AuroraLedger, AuroraOptions};
use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_tests::Postgres;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};

const ACCOUNTS: usize = 10_000;
/// Before anything is counted, so that the tables are no small ones.
const HISTORY: usize = 100_000;

/// As the bank's own program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let seconds = std::env::args().nth(1).map_or(Ok(5), |seconds| seconds.parse())?;
    let time = Duration::from_secs(seconds);
    println!("{ACCOUNTS} accounts, chosen evenly, behind {HISTORY} transfers; {seconds} s each");
    sqlite(time).await?;
    postgres(time).await
}

fn size(path: &Path) -> Result<f64, Failure> {
    Ok(std::fs::metadata(path)?.len() as f64)
}

/// Makes a history of at least so many transfers; gives how many.
async fn history(accounts: &Accounts) -> Result<f64, Failure> {
    let mut made = 0.0;
    while made < HISTORY as f64 {
        let time = Duration::from_secs(1);
        made += accounts.run(2_000, Choice::Uniform, time).await?.made;
    }
    Ok(made)
}

async fn chained(ledger: &dyn Ledger) -> Result<(), Failure> {
    while ledger.chain().await?.pending > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn sqlite(time: Duration) -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("ledger.db");
    let log: PathBuf = directory.path().join("ledger.db-wal");
    let ledger = Arc::new(SqliteLedger::open(SqliteOptions::new(&path)).await?);
    let accounts = Accounts::open(ledger.clone(), ACCOUNTS).await?;
    ledger.close().await;
    let before = size(&path)?;
    let ledger = Arc::new(SqliteLedger::open(SqliteOptions::new(&path)).await?);
    let accounts = accounts.on(ledger.clone());
    let mut made = history(&accounts).await?;
    chained(&*ledger).await?;
    for in_flight in [2_000, 64, 1] {
        // With a reader in the way the log is never begun again, so that its size tells what was written.
        let options = SqliteConnectOptions::new().filename(&path).read_only(true);
        let mut reader = options.disable_statement_logging().connect().await?;
        reader.execute("BEGIN; SELECT count(*) FROM currencies").await?;
        let start = size(&log)?;
        let ran = accounts.run(in_flight, Choice::Uniform, time).await?;
        chained(&*ledger).await?;
        let bytes = (size(&log)? - start) / ran.made;
        println!(
            "SQLite, {in_flight} in flight: {bytes:.0} bytes of the log, {:.1} µs of CPU, {:.0}/s",
            ran.cpu, ran.rate
        );
        made += ran.made;
        reader.execute("COMMIT").await?;
    }
    ledger.close().await;
    println!("SQLite: {:.0} bytes of the file", (size(&path)? - before) / made);
    Ok(())
}

async fn postgres(time: Duration) -> Result<(), Failure> {
    let start = || Postgres::start("what a transfer writes");
    let server = tokio::task::block_in_place(start).ok_or("there is no PostgreSQL")?;
    let number = |sql: &str| -> Result<f64, Failure> { Ok(server.sql(sql).trim().parse()?) };
    let ledger = Arc::new(AuroraLedger::open(AuroraOptions::new(&server.url())?.schema("ours")?).await?);
    let accounts = Accounts::open(ledger.clone(), ACCOUNTS).await?;
    let tables = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class
                  WHERE relkind = 'r' AND relnamespace = 'ours'::regnamespace";
    let before = number(tables)?;
    let mut made = history(&accounts).await?;
    chained(&*ledger).await?;
    for in_flight in [2_000, 64, 1] {
        let log = "SELECT wal_bytes FROM pg_stat_wal";
        let whole = "SELECT wal_fpi FROM pg_stat_wal";
        let (start, pages, cpu) = (number(log)?, number(whole)?, server_cpu(&server));
        let ran = accounts.run(in_flight, Choice::Uniform, time).await?;
        let cpu = (server_cpu(&server) - cpu).as_secs_f64() * 1e6 / ran.made;
        chained(&*ledger).await?;
        // What backends have counted they tell a little later.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let bytes = (number(log)? - start) / ran.made;
        println!(
            "PostgreSQL, {in_flight} in flight: {bytes:.0} bytes of the log ({:.2} whole pages), {:.1} µs of our CPU and {cpu:.1} µs of the \
             server's, {:.0}/s",
            (number(whole)? - pages) / ran.made,
            ran.cpu,
            ran.rate
        );
        made += ran.made;
    }
    println!("PostgreSQL: {:.0} bytes of tables and indexes", (number(tables)? - before) / made);
    ledger.close().await;
    Ok(())
}
