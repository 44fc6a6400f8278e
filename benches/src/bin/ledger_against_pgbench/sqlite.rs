//! SQLite: one transaction a transfer, and the same rows by batches inside the database.

use std::sync::Arc;
use std::time::Duration;

use bank_benches::Failure;
use bank_benches::ledger_load::Accounts;
use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Executor as _};
use tokio::time::Instant;

use crate::{Plan, measure};

pub(crate) async fn run(plan: &Plan) -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let ledger = Arc::new(SqliteLedger::open(SqliteOptions::new(directory.path().join("ours.db"))).await?);
    let accounts = Accounts::open(ledger.clone(), plan.accounts).await?;
    let by_hand = directory.path().join("by-hand.db");
    let other = Arc::new(SqliteLedger::open(SqliteOptions::new(&by_hand)).await?);
    Accounts::open(other.clone(), plan.accounts).await?;
    other.close().await;
    let mut connection = SqliteConnectOptions::new()
        .filename(&by_hand)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
        .connect()
        .await?;
    let mut next = plan.accounts as i64;
    let no_server = || Duration::ZERO;
    connection.execute(BALANCES).await?;
    connection.execute(CHOSEN).await?;
    measure(
        plan,
        &accounts,
        &[
            "one transaction a transfer, by hand",
            "the ceiling, batches of 64",
            "the ceiling, batches of 1,000",
        ],
        no_server,
        async |number| {
            let (start, mut done) = (Instant::now(), 0.0);
            let size = [1, 64, 1_000][number];
            while start.elapsed() < plan.time {
                match size {
                    1 => one_by_hand(&mut connection, next + 1, plan.accounts as i64).await?,
                    _ => one_batch(&mut connection, next, size, plan.accounts as i64).await?,
                }
                next += size;
                done += size as f64;
            }
            Ok(done / start.elapsed().as_secs_f64())
        },
    )
    .await?;
    ledger.close().await;
    Ok(())
}

/// A transfer as a team would write it: the same rows, each by its own statement.
async fn one_by_hand(connection: &mut SqliteConnection, number: i64, accounts: i64) -> Result<(), Failure> {
    let (payer, payee) = (1 + number * 7_919 % accounts, 1 + (number * 104_729 + 1) % accounts);
    connection.execute("BEGIN IMMEDIATE").await?;
    sqlx::query("INSERT INTO postings (sequence, id, kind, booked_at, value_at, content) VALUES (?1, ?2, 'transfer', ?3, ?3, ?4)")
        .bind(number)
        .bind(format!("by.hand.{number:x}"))
        .bind(number)
        .bind(&[7_u8; 32][..])
        .execute(&mut *connection)
        .await?;
    for (leg, account, amount) in [(0, payer, -1), (1, payee, 1)] {
        sqlx::query("UPDATE balances SET balance = balance + ?2, entries = entries + 1 WHERE account = ?1")
            .bind(account)
            .bind(amount)
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "INSERT INTO entries (posting, leg, account, number, amount, balance)
             SELECT ?1, ?2, account, entries, ?4, balance FROM balances WHERE account = ?3",
        )
        .bind(number)
        .bind(leg)
        .bind(account)
        .bind(amount)
        .execute(&mut *connection)
        .await?;
    }
    connection.execute("COMMIT").await?;
    Ok(())
}

/// Balances as teams have them, in a table of their own.
const BALANCES: &str =
    "CREATE TABLE balances (account INTEGER PRIMARY KEY, balance INTEGER NOT NULL, entries INTEGER NOT NULL);
    INSERT INTO balances SELECT sequence, 0, 0 FROM accounts";

/// Where a batch stands while it is made; in memory.
const CHOSEN: &str = "PRAGMA temp_store = MEMORY;
    CREATE TEMP TABLE chosen (posting INTEGER PRIMARY KEY, payer INTEGER, payee INTEGER);
    CREATE TEMP TABLE legs (posting INTEGER, leg INTEGER, account INTEGER, number INTEGER, amount INTEGER, balance INTEGER)";

/// So many transfers in one transaction, by statements over sets and without a check: what SQLite can do.
async fn one_batch(
    connection: &mut SqliteConnection,
    last: i64,
    size: i64,
    accounts: i64,
) -> Result<(), Failure> {
    sqlx::query(
        "BEGIN IMMEDIATE; DELETE FROM temp.chosen; DELETE FROM temp.legs;
         WITH RECURSIVE g (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < $2)
         INSERT INTO temp.chosen SELECT $1 + n, 1 + abs(random() % $3), 1 + abs(random() % $3) FROM g;
         INSERT INTO temp.legs
         SELECT l.posting, l.leg, l.account, b.entries + row_number() OVER w, l.amount, b.balance + sum(l.amount) OVER w
         FROM (SELECT posting, 0 AS leg, payer AS account, -1 AS amount FROM temp.chosen
               UNION ALL SELECT posting, 1, payee, 1 FROM temp.chosen) l
         JOIN balances b ON b.account = l.account WINDOW w AS (PARTITION BY l.account ORDER BY l.posting, l.leg);
         INSERT INTO postings (sequence, id, kind, booked_at, value_at, content)
         SELECT posting, format('batch.%x.%x', posting - $1, $1), 'transfer', $1, $1, zeroblob(32) FROM temp.chosen;
         INSERT INTO entries (posting, leg, account, number, amount, balance) SELECT * FROM temp.legs ORDER BY posting, leg;
         UPDATE balances SET balance = v.balance, entries = v.number
         FROM (SELECT account, max(number) AS number, balance FROM temp.legs GROUP BY account) v
         WHERE v.account = balances.account;
         COMMIT",
    )
    .bind(last)
    .bind(size)
    .bind(accounts)
    .execute(connection)
    .await?;
    Ok(())
}
