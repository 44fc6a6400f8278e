//! Schema versions: numbered steps, each taken by one process while others read and write.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Executor, Row};
use tokio::time::{Instant, interval, sleep};

use super::AuroraOptions;
use super::error::from_sqlx;
use crate::{Error, ErrorKind, Result};

/// How often it is looked whether another process has ended its steps.
const POLL: Duration = Duration::from_millis(100);
/// How often what takes long says how far it is.
const TELL: Duration = Duration::from_secs(5);
/// So often a step is tried that waits in vain for a table: half a second each time, since everybody else waits behind it,
/// and longer between two tries.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// The version that the first step leads to. Those before it were of programs from before the first release.
const FIRST: usize = 10;

/// What leads from one version of the ledger's tables to the next.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "conformance"),
    allow(unreachable_pub, reason = "shown to tests of the machinery only")
)]
pub enum Step {
    /// Statements in one transaction that look at no row of a large table. They wait for a table for a
    /// moment only, and are tried again.
    Short(&'static str),
    /// An index, which is built while others write the table. What was left half built is built again.
    Index {
        /// What it is called.
        name: &'static str,
        /// The table, the columns and the condition.
        on: &'static str,
    },
}

/// Brings the schema to the version after the last step, or waits until another process has done so, as long as that makes
/// progress. `pool` is for looking on.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    pool: &PgPool,
    options: &AuroraOptions,
    steps: &[Step],
) -> Result<()> {
    let schema = options.schema.as_str();
    let newest = FIRST - 1 + steps.len();
    if version(connection, newest).await? == Some(newest) {
        return Ok(());
    }
    lock(connection, schema, newest, options.migration_wait).await?;
    // Who owns the schema may not be allowed to make one, which is asked for before it is seen that there is one.
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)")
        .bind(schema)
        .fetch_one(&mut *connection)
        .await
        .map_err(from_sqlx)?;
    let make = if there { String::new() } else { format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\";") };
    // The schema's name has been checked. Building an index takes as long as it takes.
    let prepare = format!(
        "SET statement_timeout = 0;
         {make}
         CREATE TABLE IF NOT EXISTS schema_version (one BOOLEAN PRIMARY KEY CHECK (one), version INTEGER NOT NULL);
         INSERT INTO schema_version VALUES (true, 0) ON CONFLICT DO NOTHING"
    );
    connection.execute(sqlx::raw_sql(AssertSqlSafe(prepare))).await.map_err(from_sqlx)?;
    let first = version(connection, newest).await?.map_or(0, |version| version.saturating_sub(FIRST - 1));
    for (done, step) in steps.iter().enumerate().skip(first) {
        let next = FIRST + done;
        match step {
            Step::Short(statements) => short(connection, statements, next).await?,
            // Nobody uses tables that are made just now.
            Step::Index { name, on } if first == 0 => {
                short(connection, &format!("CREATE INDEX {name} ON {on}"), next).await?;
            }
            Step::Index { name, on } => {
                // It stands in nobody's way while it waits.
                connection.execute("SET lock_timeout = 0").await.map_err(from_sqlx)?;
                index(connection, pool, name, on).await?;
                connection.execute("RESET lock_timeout").await.map_err(from_sqlx)?;
                let update = sqlx::query("UPDATE schema_version SET version = $1").bind(next as i32);
                update.execute(&mut *connection).await.map_err(from_sqlx)?;
            }
        }
        tracing::info!(version = next, of = newest, "the ledger's tables have a newer version");
    }
    Ok(())
}

/// The schema's version, if it has one; refuses what a newer program made.
async fn version(connection: &mut PgConnection, known: usize) -> Result<Option<usize>> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('schema_version') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(from_sqlx)?;
    if !exists {
        return Ok(None);
    }
    let version: Option<i32> = sqlx::query_scalar("SELECT version FROM schema_version")
        .fetch_optional(connection)
        .await
        .map_err(from_sqlx)?;
    let version = version.map(|version| usize::try_from(version).unwrap_or(usize::MAX));
    match version {
        Some(version) if version > known => {
            let message = format!(
                "the ledger store has schema version {version}, this program knows versions up to {known}: use a newer program"
            );
            Err(Error::new(ErrorKind::Denied, message))
        }
        Some(1..FIRST) => {
            let message =
                "the ledger store is of a form from before the first release, which is not read any more";
            Err(Error::new(ErrorKind::Denied, message))
        }
        version => Ok(version),
    }
}

/// One process at a time; the lock ends with the connection. It is asked for again and again instead of waited for: whoever
/// waits within a statement is somebody that the building of an index waits for. Where whoever has it makes no progress within
/// `wait`, this one gives up.
async fn lock(connection: &mut PgConnection, schema: &str, newest: usize, wait: Duration) -> Result<()> {
    let mut told: Option<Instant> = None;
    let (mut seen, mut since) = (None, Instant::now());
    loop {
        let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 7146))")
            .bind(format!("bank-stores.{schema}"))
            .fetch_one(&mut *connection)
            .await
            .map_err(from_sqlx)?;
        if locked {
            return Ok(());
        }
        let progress = progress(connection, schema, newest).await?;
        if seen.as_ref() != Some(&progress) {
            (seen, since) = (Some(progress), Instant::now());
        } else if since.elapsed() >= wait {
            return Err(no_progress(progress, wait));
        }
        if told.is_none_or(|told| told.elapsed() > TELL) {
            tracing::info!("another process brings the ledger's tables to a newer version: waiting for it");
            told = Some(Instant::now());
        }
        sleep(POLL).await;
    }
}

/// How far another process is, as the server tells it; that it changes is enough.
#[derive(PartialEq)]
struct OthersProgress {
    /// The version that it has come to.
    version: Option<usize>,
    /// The server's process that has the lock, what it is about, and how far it is with an index.
    holder: Option<(i32, String, Option<String>)>,
}

async fn progress(connection: &mut PgConnection, schema: &str, newest: usize) -> Result<OthersProgress> {
    let holder = sqlx::query_as(
        "SELECT l.pid, concat_ws(', ', a.client_addr::text, a.state, left(a.query, 60)), p::text
         FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
         LEFT JOIN pg_stat_progress_create_index p ON p.pid = l.pid
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended($1, 7146)",
    );
    let holder = holder.bind(format!("bank-stores.{schema}")).fetch_optional(&mut *connection);
    let holder = holder.await.map_err(from_sqlx)?;
    Ok(OthersProgress { version: version(connection, newest).await?, holder })
}

fn no_progress(progress: OthersProgress, wait: Duration) -> Error {
    let who = match progress.holder {
        Some((process, about, _)) => format!("process {process} of the server ({about})"),
        None => "a process that the server does not name".to_owned(),
    };
    let message = format!(
        "another process brings the ledger's tables to a newer version, and has made no progress for {} s: look for {who} in \
         pg_stat_activity, and end it where it hangs",
        wait.as_secs_f32()
    );
    Error::new(ErrorKind::Unavailable, message)
}

async fn short(connection: &mut PgConnection, statements: &str, next: usize) -> Result<()> {
    // Only our own constants and numbers are in it.
    let script = format!(
        "BEGIN; SET LOCAL lock_timeout = '500ms'; {statements}; UPDATE schema_version SET version = {next}; COMMIT"
    );
    let mut tries = 0;
    loop {
        let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(script.clone()))).await;
        let Err(error) = done else { return Ok(()) };
        tries += 1;
        let in_use = error.as_database_error().and_then(|error| error.code()).as_deref() == Some("55P03");
        if !in_use || tries == TRIES {
            return Err(from_sqlx(error));
        }
        tracing::info!(version = next, "somebody has the ledger's tables: trying again");
        connection.execute("ROLLBACK").await.map_err(from_sqlx)?;
        sleep(PAUSE).await;
    }
}

async fn index(connection: &mut PgConnection, pool: &PgPool, name: &str, on: &str) -> Result<()> {
    let row = sqlx::query(
        "SELECT pg_backend_pid(), (SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1))",
    )
    .bind(name)
    .fetch_one(&mut *connection)
    .await
    .map_err(from_sqlx)?;
    match row.get::<Option<bool>, _>(1) {
        Some(true) => return Ok(()),
        Some(false) => {
            tracing::info!(index = name, "an index was left half built: building it again");
            let drop = format!("DROP INDEX CONCURRENTLY {name}");
            connection.execute(AssertSqlSafe(drop)).await.map_err(from_sqlx)?;
        }
        None => {}
    }
    let script = format!("CREATE INDEX CONCURRENTLY {name} ON {on}");
    let mut building = std::pin::pin!(connection.execute(AssertSqlSafe(script)));
    let mut telling = interval(TELL);
    telling.tick().await;
    loop {
        tokio::select! {
            built = &mut building => break built.map(drop).map_err(from_sqlx),
            _ = telling.tick() => tell(pool, row.get(0), name).await,
        }
    }
}

/// Tells how far the server's process is that builds an index.
async fn tell(pool: &PgPool, process: i32, name: &str) {
    let sql = "SELECT phase, blocks_done, blocks_total FROM pg_stat_progress_create_index WHERE pid = $1";
    if let Ok(Some(row)) = sqlx::query(sql).bind(process).fetch_optional(pool).await {
        let (phase, done, total): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
        tracing::info!(index = name, phase, done, total, "an index of the ledger is being built");
    }
}
