//! PostgreSQL: pgbench's TPC-B, one transaction a transfer, and the same rows by batches inside the database.

use std::process::Command;
use std::sync::Arc;

use bank_benches::Failure;
use bank_benches::ledger_load::{Accounts, server_cpu};
use bank_stores::aurora::{AuroraLedger, AuroraOptions};
use bank_tests::Postgres;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};
use tokio::time::Instant;

use crate::{Plan, measure};

/// Starts a server of our own.
pub(crate) fn start(plan: &Plan) -> Result<Postgres, Failure> {
    let settings: Vec<&str> = plan.settings.iter().flat_map(|list| list.split(',')).collect();
    let start = || Some(Postgres::start("the comparison")?.with(&settings));
    let server = tokio::task::block_in_place(start).ok_or("there is no PostgreSQL")?;
    println!(
        "{}; fsync on, defaults but for max_connections=300 {}",
        server.sql("SELECT version()"),
        settings.join(" ")
    );
    Ok(server)
}

pub(crate) async fn run(plan: &Plan) -> Result<(), Failure> {
    let server = start(plan)?;
    let options = |schema: &str| AuroraOptions::new(&server.url())?.schema(schema);
    let ledger = Arc::new(AuroraLedger::open(options("ours")?).await?);
    let accounts = Accounts::open(ledger.clone(), plan.accounts).await?;
    // Another ledger, whose rows are written without us.
    let other = Arc::new(AuroraLedger::open(options("ceiling")?).await?);
    Accounts::open(other.clone(), plan.accounts).await?;
    other.close().await;
    server.sql(&CEILING.replace("ACCOUNTS", &plan.accounts.to_string()));
    pgbench(&server, &["-i", "-q", "-s", "64"])?;
    let script = server.directory().join("ceiling.sql");
    std::fs::write(&script, "SELECT ceiling.batch(500);\n")?;
    let mut connection = PgConnection::connect(&server.url()).await?;
    connection.execute("SET search_path = ceiling").await?;
    let (seconds, script) = (plan.time.as_secs().to_string(), script.display().to_string());
    measure(
        plan,
        &accounts,
        &[
            "pgbench TPC-B, scale 64, 16 clients",
            "the ceiling, batches of 500",
            "one transaction a transfer, by hand",
        ],
        || server_cpu(&server),
        async |number| match number {
            0 => tokio::task::block_in_place(|| {
                pgbench(&server, &["-n", "-c", "16", "-j", "2", "-T", &seconds])
            }),
            1 => tokio::task::block_in_place(|| {
                Ok(pgbench(&server, &["-n", "-c", "1", "-T", &seconds, "-f", &script])? * 500.0)
            }),
            _ => {
                let (start, mut done) = (Instant::now(), 0.0);
                while start.elapsed() < plan.time {
                    one_by_hand(&mut connection, plan.accounts as i64).await?;
                    done += 1.0;
                }
                Ok(done / start.elapsed().as_secs_f64())
            }
        },
    )
    .await?;
    ledger.close().await;
    Ok(())
}

/// Runs pgbench; gives its transactions a second, where it tells them.
fn pgbench(server: &Postgres, arguments: &[&str]) -> Result<f64, Failure> {
    let output = Command::new(server.program("pgbench"))
        .args(["-h", "127.0.0.1", "-p", &server.port().to_string(), "-U", "bank"])
        .args(arguments)
        .arg("postgres")
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("pgbench: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let tps =
        text.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
    Ok(tps.unwrap_or_default())
}

/// The rows of so many transfers, as the ledger writes them, by one set of statements. Balances stand in a table, as teams have them;
/// so does what the one transaction a transfer locks.
pub(crate) const CEILING: &str = r#"
CREATE TABLE ceiling.balances WITH (fillfactor = 50) AS
    SELECT sequence AS account, 0::bigint AS balance, 0::bigint AS entries FROM ceiling.accounts;
ALTER TABLE ceiling.balances ADD PRIMARY KEY (account);
CREATE TABLE ceiling.state WITH (fillfactor = 10) AS SELECT max(sequence) AS sequence FROM ceiling.groups;
CREATE FUNCTION ceiling.batch(size INTEGER) RETURNS VOID LANGUAGE plpgsql SET search_path = ceiling AS $$
DECLARE start BIGINT; at BIGINT := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
BEGIN
    PERFORM sequence FROM state FOR UPDATE;
    SELECT sequence INTO start FROM groups ORDER BY number DESC LIMIT 1;
    WITH chosen AS MATERIALIZED (
        SELECT start + g AS posting, 1 + floor(random() * ACCOUNTS)::bigint AS payer, 1 + floor(random() * ACCOUNTS)::bigint AS payee
        FROM generate_series(1, size) g
    ), legs AS MATERIALIZED (
        SELECT posting, 0::smallint AS leg, payer AS account, -1::bigint AS amount FROM chosen
        UNION ALL SELECT posting, 1::smallint, payee, 1::bigint FROM chosen
    ), moved AS MATERIALIZED (
        SELECT l.posting, l.leg, l.account, l.amount, b.entries + row_number() OVER w AS number,
               b.balance + sum(l.amount) OVER w AS balance
        FROM legs l JOIN balances b ON b.account = l.account WINDOW w AS (PARTITION BY l.account ORDER BY l.posting, l.leg)
    ), p AS (
        INSERT INTO postings (sequence, id, kind, booked_at, value_at, content)
        SELECT posting, md5(posting::text), 'transfer', at, at, sha256(posting::text::bytea) FROM chosen
    ), e AS (
        INSERT INTO entries (posting, leg, account, number, amount, balance)
        SELECT posting, leg, account, number, amount, balance FROM moved
    )
    UPDATE balances b SET balance = v.balance, entries = v.entries FROM (
        SELECT account, (array_agg(balance ORDER BY number DESC))[1] AS balance, max(number) AS entries FROM moved GROUP BY account
    ) v WHERE b.account = v.account;
    INSERT INTO groups SELECT number + 1, 0, start + size, at FROM groups ORDER BY number DESC LIMIT 1;
    UPDATE state SET sequence = start + size;
END $$"#;

/// A transfer as a team would write it: the same rows, each by its own statement, with its accounts locked first.
async fn one_by_hand(connection: &mut PgConnection, accounts: i64) -> Result<(), Failure> {
    connection.execute("BEGIN").await?;
    let number: i64 = sqlx::query_scalar("UPDATE state SET sequence = sequence + 1 RETURNING sequence")
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO groups SELECT number + 1, 0, $1, $1 FROM groups ORDER BY number DESC LIMIT 1")
        .bind(number)
        .execute(&mut *connection)
        .await?;
    let (payer, payee) = (1 + number * 7_919 % accounts, 1 + (number * 104_729 + 1) % accounts);
    sqlx::query("INSERT INTO postings (sequence, id, kind, booked_at, value_at, content) VALUES ($1, $2, 'transfer', $3, $3, $4)")
        .bind(number)
        .bind(format!("by.hand.{number:x}"))
        .bind(number)
        .bind(&[7_u8; 32][..])
        .execute(&mut *connection)
        .await?;
    for (leg, account, amount) in [(0_i16, payer, -1_i64), (1, payee, 1)] {
        let (entries, balance): (i64, i64) = sqlx::query_as(
            "UPDATE balances SET balance = balance + $2, entries = entries + 1 WHERE account = $1
             RETURNING entries, balance",
        )
        .bind(account)
        .bind(amount)
        .fetch_one(&mut *connection)
        .await?;
        sqlx::query(
            "INSERT INTO entries (posting, leg, account, number, amount, balance) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(number)
        .bind(leg)
        .bind(account)
        .bind(entries)
        .bind(amount)
        .bind(balance)
        .execute(&mut *connection)
        .await?;
    }
    connection.execute("COMMIT").await?;
    Ok(())
}
