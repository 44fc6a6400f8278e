//! A PostgreSQL database: connections, roles, schema versions.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, Postgres};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use super::AuroraOptions;
use super::clock::ServerClock;
use super::error::{WrongSetting, from_sqlx};
use super::ledger::{DIALECT, Groups, PgSession};
use super::migrate::{Step, migrate};
use crate::ledger::sql::Session as _;
use crate::{Consistency, Error, ErrorKind, Result, Timestamp};

/// How long a reader endpoint may lag behind what its caller wrote before the writer is asked.
const PATIENCE: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(10);
/// How long a connection to a reader is waited for before the writer is asked.
const READERS: Duration = Duration::from_secs(2);

/// How long a report waits for those before it.
const REPORT: Duration = Duration::from_secs(300);

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    options: AuroraOptions,
    writer: PgPool,
    /// One connection for what reads much.
    reports: PgPool,
    readers: Option<PgPool>,
    /// The schema, and the lock that its groups take turns by, as they stand in statements.
    schema: Arc<str>,
    lock: Arc<str>,
    clock: ServerClock,
}

impl Database {
    /// Brings the schema to the newest version, whoever else does the same at the moment.
    pub(super) async fn open(options: AuroraOptions, steps: &[Step]) -> Result<Arc<Self>> {
        options.validate()?;
        let password = match &options.password {
            Some(provider) => Some(provider.password().await?),
            None => None,
        };
        let pool = |endpoint: &PgConnectOptions, connections: u32, wait: Duration, current: bool| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(wait)
                .after_connect({
                    let settings = Arc::new(options.settings());
                    move |connection, _| {
                        let settings = settings.clone();
                        Box::pin(async move {
                            is_current(connection, current).await?;
                            check_settings(connection, &settings).await
                        })
                    }
                })
                .max_lifetime(Duration::from_secs(30 * 60))
                .connect_lazy_with(options.connect_options(endpoint, password.as_deref()))
        };
        let wait = options.connect_timeout;
        let readers = options
            .readers
            .as_ref()
            .map(|endpoint| pool(endpoint, options.connections, wait.min(READERS), false));
        let writer = pool(&options.writer, options.connections, wait, true);
        let reports = pool(&options.writer, 1, wait.max(REPORT), true);
        let schema = format!("\"{}\"", options.schema).into();
        let lock = format!("hashtextextended('bank-stores.groups.{}', 7146)", options.schema).into();
        let database =
            Arc::new(Self { options, writer, reports, readers, schema, lock, clock: ServerClock::default() });
        if let Some(lifetime) = database.options.password.as_ref().and_then(|provider| provider.lifetime()) {
            tokio::spawn(refresh(Arc::downgrade(&database), lifetime));
        }
        // It may take longer than a password lasts.
        let mut connection = database.connect_writer().await?;
        let steps = [steps, database.options.further].concat();
        migrate(&mut connection, &database.writer, &database.options, &steps).await?;
        connection.close().await.map_err(from_sqlx)?;
        Ok(database)
    }

    pub(super) fn options(&self) -> &AuroraOptions {
        &self.options
    }

    pub(super) fn reports(&self) -> &PgPool {
        &self.reports
    }

    pub(super) fn clock(&self) -> &ServerClock {
        &self.clock
    }

    /// The schema's name, which has been checked.
    pub(super) fn schema(&self) -> &str {
        &self.options.schema
    }

    /// Where groups are written.
    pub(super) fn groups(&self) -> Groups {
        Groups { schema: self.schema.clone(), lock: self.lock.clone() }
    }

    /// A text of ours, as this database's SQL: it has only our own words in it.
    pub(super) fn sql(&self, text: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(DIALECT.sql(Some(&self.schema), &text.replace("{lock}", &self.lock)))
    }

    /// A connection of this database, whose statements name the schema.
    pub(super) fn connected<C>(&self, connection: C) -> PgSession<C> {
        PgSession { connection, schema: self.schema.clone() }
    }

    pub(super) async fn close(&self) {
        self.writer.close().await;
        self.reports.close().await;
        if let Some(readers) = &self.readers {
            readers.close().await;
        }
    }

    /// A connection of the writer's own, to a server that takes writes. The name is resolved anew each time.
    pub(super) async fn connect_writer(&self) -> Result<PgConnection> {
        let password = match &self.options.password {
            Some(provider) => Some(provider.password().await?),
            None => None,
        };
        let mut settings = self.options.settings();
        // Every statement of the writer finds few rows by their keys. The server's plan for it would be made while the tables
        // are small, by reading them whole, and kept when they are large.
        let by_keys = ["enable_seqscan", "enable_hashjoin", "enable_mergejoin"];
        settings.extend(by_keys.map(|setting| (setting, "off".to_owned())));
        let options = self.options.connect_options(&self.options.writer, password.as_deref());
        let options = options.options(by_keys.map(|setting| (setting, "off")));
        let connecting = async {
            let mut connection = options.connect().await.map_err(from_sqlx)?;
            check_settings(&mut connection, &settings).await.map_err(from_sqlx)?;
            let row = sqlx::query(
                "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
                        getdatabaseencoding()::text, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
            )
            .fetch_one(&mut connection)
            .await
            .map_err(from_sqlx)?;
            if row.get::<bool, _>(0) || row.get::<bool, _>(1) {
                let message = "the writer endpoint leads to a reader: a failover may be under way";
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            let encoding: &str = row.get(2);
            if encoding != "UTF8" {
                // It would refuse what customers write, and everybody's commands of that group with it.
                let message = format!("the database's encoding is {encoding}, and has to be UTF8");
                return Err(Error::new(ErrorKind::Denied, message));
            }
            self.clock.is(Timestamp::from_micros(row.get(3)));
            Ok(connection)
        };
        let slow = || {
            let seconds = self.options.connect_timeout.as_secs_f32();
            Error::new(ErrorKind::Unavailable, format!("no connection to the server within {seconds} s"))
        };
        tokio::time::timeout(self.options.connect_timeout, connecting).await.unwrap_or_else(|_| Err(slow()))
    }

    /// A connection for a read that has to be as fresh as this.
    pub(super) async fn reader(&self, read: Consistency) -> Result<PoolConnection<Postgres>> {
        let (Some(readers), true) = (&self.readers, read != Consistency::Current) else {
            return self.writer.acquire().await.map_err(from_sqlx);
        };
        let mut connection = match readers.acquire().await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(error = ?error, "no connection to a reader: the writer is asked");
                return self.writer.acquire().await.map_err(from_sqlx);
            }
        };
        let Consistency::AtLeast(token) = read else { return Ok(connection) };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let seen = self.connected(&mut *connection).number("SELECT {newest} AS number", Vec::new()).await;
            match seen {
                Ok(seen) if seen.unwrap_or_default() as u64 >= token.sequence() => return Ok(connection),
                Ok(_) if tokio::time::Instant::now() < deadline => tokio::time::sleep(POLL).await,
                _ => return self.writer.acquire().await.map_err(from_sqlx),
            }
        }
    }
}

impl AuroraOptions {
    /// What each connection is told when it begins, as the server says it afterwards.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let millis = |time: Duration| time.as_millis().to_string();
        vec![
            ("search_path", format!("\"{}\"", self.schema)),
            ("statement_timeout", millis(self.statement_timeout)),
            ("lock_timeout", millis(self.lock_timeout)),
            ("idle_in_transaction_session_timeout", millis(self.idle_in_transaction_timeout)),
            // A commit is acknowledged when it is on disk, whatever the server's default.
            ("synchronous_commit", "on".to_owned()),
            // What a statement sees behind a lock is what was committed before it began.
            ("default_transaction_isolation", "read committed".to_owned()),
            ("jit", "off".to_owned()),
        ]
    }

    fn connect_options(&self, endpoint: &PgConnectOptions, password: Option<&str>) -> PgConnectOptions {
        let options = endpoint.clone().statement_cache_capacity(256).options(self.settings());
        let options = match &self.root_certificates {
            Some(path) => options.ssl_root_cert(path),
            None => options,
        };
        let options = options.disable_statement_logging();
        match password {
            Some(password) => options.password(password),
            None => options,
        }
    }
}

/// Refuses a connection for reads that have to be current to a server that only follows another: after a failover the name of the
/// writer may lead to the old one for a while. The pool closes it and connects again.
async fn is_current(connection: &mut PgConnection, required: bool) -> sqlx::Result<()> {
    if required && sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(connection).await? {
        return Err(sqlx::Error::Protocol("the writer endpoint leads to a reader".to_owned()));
    }
    Ok(())
}

/// Refuses a connection that does not have these settings: something on the way has dropped what it was told.
async fn check_settings(
    connection: &mut PgConnection,
    settings: &[(&'static str, String)],
) -> sqlx::Result<()> {
    let names: Vec<&str> = settings.iter().map(|(name, _)| *name).collect();
    let found: Vec<(String, String)> =
        sqlx::query_as("SELECT name, setting FROM pg_settings WHERE name = ANY($1)")
            .bind(names)
            .fetch_all(connection)
            .await?;
    for (name, wanted) in settings {
        let found = found.iter().find(|(found, _)| found == name).map_or("missing", |(_, value)| value);
        // As the role may have it, quoted or not.
        if found.trim_matches('"') != wanted.trim_matches('"') {
            let message = format!(
                "the connection's {name} is {found} and has to be {wanted}: what stands between drops startup options; \
                 connect to the server itself, or give the role these settings"
            );
            return Err(sqlx::Error::Configuration(Box::new(WrongSetting(message))));
        }
    }
    Ok(())
}

/// Asks for a password again, before the one that the pools have is too old.
async fn refresh(database: std::sync::Weak<Database>, lifetime: Duration) {
    // Nobody is asked more often than once a second.
    let pause = |time: Duration| time.max(Duration::from_secs(1));
    let mut wait = lifetime / 3 * 2;
    loop {
        tokio::time::sleep(pause(wait)).await;
        let Some(database) = database.upgrade() else { return };
        let Some(provider) = &database.options.password else { return };
        match provider.password().await {
            Ok(password) => {
                let options = |endpoint| database.options.connect_options(endpoint, Some(&password));
                database.writer.set_connect_options(options(&database.options.writer));
                database.reports.set_connect_options(options(&database.options.writer));
                if let (Some(pool), Some(endpoint)) = (&database.readers, &database.options.readers) {
                    pool.set_connect_options(options(endpoint));
                }
                wait = lifetime / 3 * 2;
            }
            Err(error) => {
                tracing::warn!(error = ?error, "no new password for the ledger's server");
                wait = (lifetime / 10).min(Duration::from_secs(60));
            }
        }
    }
}
