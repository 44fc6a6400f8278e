//! A SQLite file: opening, schema versions, connections.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use super::error::from_sqlx;
use super::files::Lock;
use super::steady::SteadyClock;
use super::{SqliteOptions, files};
use crate::{Error, ErrorKind, Result};

/// How long a report waits for those before it.
const REPORT: Duration = Duration::from_secs(300);

/// So many bytes of the log are brought into the file at once.
const CHECKPOINT: u32 = 16 * 1_024 * 1_024;

/// The size of pages that is right where nothing else was measured.
pub(super) const PAGE_SIZE: u32 = 4_096;

/// What a kind of store keeps in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema {
    /// What people call it.
    pub(super) name: &'static str,
    /// Marks the file, so that the file of one role is not opened as another. Its last byte counts how often the role's tables
    /// were begun anew.
    pub(super) application: i32,
    /// The size of the file's pages, in bytes, chosen when it is made.
    pub(super) page_size: u32,
    /// Statements that lead from one version to the next; version n is after the first n. Never changed, only added to.
    pub(super) migrations: &'static [&'static str],
}

/// An open file.
#[derive(Debug)]
pub(super) struct Database {
    readers: SqlitePool,
    /// One connection for what reads much.
    reports: SqlitePool,
    options: SqliteOptions,
    schema: Schema,
    /// Held by the writer for its life; none where the store is read only.
    lock: Mutex<Option<Lock>>,
    clock: Arc<SteadyClock>,
}

impl Database {
    /// Opens the file; creates and migrates it unless it is only read.
    pub(super) async fn open(options: SqliteOptions, schema: Schema) -> Result<Arc<Self>> {
        let lock = if options.read_only { None } else { Some(Self::prepare(&options, schema).await?) };
        let pool = |connections: u32, wait: Duration| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(wait)
                // The operating system keeps the pages as well; the writer has more of its own.
                .connect_lazy_with(connect_options(&options).read_only(true).pragma("cache_size", "-1024"))
        };
        let readers = pool(options.readers, Duration::from_secs(10));
        let reports = pool(1, REPORT);
        let clock = Arc::new(SteadyClock::new(options.clock.clone()));
        let database = Arc::new(Self { readers, reports, options, schema, lock: Mutex::new(lock), clock });
        if database.options.read_only {
            let mut connection = database.readers.acquire().await.map_err(from_sqlx)?;
            let version = database.schema.version(&mut connection).await?;
            database.schema.check(version)?;
            if version < database.schema.migrations.len() {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "the store was not yet made or migrated by its writer",
                ));
            }
        }
        Ok(database)
    }

    async fn prepare(options: &SqliteOptions, schema: Schema) -> Result<Lock> {
        files::prepare(&options.path)?;
        let lock = files::lock(&options.path)?;
        let made = connect_options(options).page_size(schema.page_size);
        let mut connection = made.connect().await.map_err(from_sqlx)?;
        schema.migrate(&mut connection).await?;
        connection.close().await.map_err(from_sqlx)?;
        Ok(lock)
    }

    pub(super) fn options(&self) -> &SqliteOptions {
        &self.options
    }

    /// The time, which a clock that is set does not make leap.
    pub(super) fn clock(&self) -> &Arc<SteadyClock> {
        &self.clock
    }

    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    pub(super) fn reports(&self) -> &SqlitePool {
        &self.reports
    }

    pub(super) async fn close_readers(&self) {
        self.readers.close().await;
        self.reports.close().await;
    }

    pub(super) fn name(&self) -> &'static str {
        self.schema.name
    }

    /// Lets another process write, when the writer has ended.
    pub(super) fn release(&self) {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// A connection of the writer's own.
    pub(super) async fn connect_writer(&self) -> Result<SqliteConnection> {
        // What undoes a statement that fails half way is in memory: otherwise a file is made and removed for each.
        let options = connect_options(&self.options).pragma("temp_store", "MEMORY");
        let checkpoint = (CHECKPOINT / self.schema.page_size).to_string();
        options.pragma("wal_autocheckpoint", checkpoint).connect().await.map_err(from_sqlx)
    }

    /// Writes the file's first page as it is.
    pub(super) async fn touch(&self, connection: &mut SqliteConnection) -> Result<()> {
        // Only a number is in it.
        let sql = format!("PRAGMA user_version = {}", self.schema.migrations.len());
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map_err(from_sqlx).map(drop)
    }

    /// Writes the file anew, and empties its log.
    pub(super) async fn vacuum(&self) -> Result<()> {
        if self.options.read_only {
            return Err(self.read_only_refusal());
        }
        let mut connection = self.connect_writer().await?;
        // The log has it once more, until it is emptied.
        for sql in ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"] {
            sqlx::raw_sql(sql).execute(&mut connection).await.map_err(from_sqlx)?;
        }
        connection.close().await.map_err(from_sqlx)
    }

    /// The refusal of a write by a store that was opened only to read.
    pub(super) fn read_only_refusal(&self) -> Error {
        Error::new(ErrorKind::Denied, format!("this {} store was opened only to read", self.schema.name))
    }
}

fn connect_options(options: &SqliteOptions) -> SqliteConnectOptions {
    let connect = SqliteConnectOptions::new()
        .filename(&options.path)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .synchronous(SqliteSynchronous::Full)
        // On macOS a sync reaches the disk with this only; elsewhere it changes nothing.
        .pragma("fullfsync", "ON")
        // In KiB where negative: 4 MiB a connection.
        .pragma("cache_size", "-4096")
        .statement_cache_capacity(64)
        .disable_statement_logging();
    // A reader must not try to change the mode that the writer has set.
    if options.read_only { connect.read_only(true) } else { connect.journal_mode(SqliteJournalMode::Wal) }
}

impl Schema {
    async fn version(&self, connection: &mut SqliteConnection) -> Result<usize> {
        let row = sqlx::query(
            "SELECT (SELECT user_version FROM pragma_user_version), (SELECT application_id FROM pragma_application_id)",
        )
        .fetch_one(connection)
        .await
        .map_err(from_sqlx)?;
        let (version, application): (i64, i64) = (row.get(0), row.get(1));
        let own = i64::from(self.application);
        if application != 0 && application != own {
            let message = if application >> 8 != own >> 8 {
                format!("the file holds another kind of store, not {}", self.name)
            } else if application > own {
                format!(
                    "the {} store is of a newer form than this program knows: use a newer program",
                    self.name
                )
            } else {
                format!(
                    "the {} store is of a form from before the first release, which is not read any more",
                    self.name
                )
            };
            return Err(Error::new(ErrorKind::Denied, message));
        }
        usize::try_from(version)
            .map_err(|_| Error::new(ErrorKind::Denied, "the file is not one of our stores"))
    }

    fn check(&self, version: usize) -> Result<()> {
        let known = self.migrations.len();
        if version <= known {
            return Ok(());
        }
        let message = format!(
            "the {} store has schema version {version}, this program knows versions up to {known}: use a newer program",
            self.name
        );
        Err(Error::new(ErrorKind::Denied, message))
    }

    /// Brings the file to the newest version; each step is one transaction, so that it can be stopped anywhere.
    async fn migrate(&self, connection: &mut SqliteConnection) -> Result<()> {
        let version = self.version(connection).await?;
        self.check(version)?;
        for (done, step) in self.migrations.iter().enumerate().skip(version) {
            let script = format!(
                "BEGIN IMMEDIATE; {step}; PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT;",
                self.application,
                done + 1
            );
            let (store, next, of) = (self.name, done + 1, self.migrations.len());
            if version > 0 {
                tracing::info!(store, version = next, of, "the store is being brought to a newer version");
            }
            // Only our own constants and numbers are in it.
            sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *connection).await.map_err(from_sqlx)?;
            if version > 0 {
                tracing::info!(store, version = next, of, "the store has a newer version");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn schema(application: i32, migrations: &'static [&'static str]) -> Schema {
        Schema { name: "test", application, page_size: PAGE_SIZE, migrations }
    }

    const FIRST: &[&str] = &["CREATE TABLE t (a INTEGER)"];
    const SECOND: &[&str] = &[FIRST[0], "ALTER TABLE t ADD COLUMN b INTEGER; INSERT INTO t VALUES (1, 2)"];

    async fn rows(database: &Database) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(database.readers()).await.unwrap()
    }

    #[tokio::test]
    async fn a_file_is_brought_to_the_newest_version_each_step_once() {
        let options = SqliteOptions::temporary().unwrap();
        let open = async |migrations| Database::open(options.clone(), schema(0x6261_7401, migrations)).await;
        assert_eq!(rows(&open(FIRST).await.unwrap()).await, 0);
        for _ in 0..2 {
            let database = open(SECOND).await.unwrap();
            assert_eq!(rows(&database).await, 1);
            database.release();
        }
        let newer = open(FIRST).await.unwrap_err();
        assert!(newer.to_string().contains("use a newer program"), "{newer}");
    }

    #[tokio::test]
    async fn a_step_that_fails_leaves_the_version_before_and_is_taken_again() {
        const WRONG: &[&str] = &[FIRST[0], "INSERT INTO t VALUES (1); INSERT INTO missing VALUES (1)"];
        let options = SqliteOptions::temporary().unwrap();
        let open = async |migrations| Database::open(options.clone(), schema(0x6261_7401, migrations)).await;
        assert!(open(WRONG).await.is_err());
        assert_eq!(rows(&open(SECOND).await.unwrap()).await, 1);
    }

    #[tokio::test]
    async fn a_file_from_before_the_first_release_is_refused_with_one_clear_line() {
        let options = SqliteOptions::temporary().unwrap();
        Database::open(options.clone(), schema(0x6261_7401, FIRST)).await.unwrap();
        for (application, says) in [
            (0x6261_7402, "from before the first release"),
            (0x6261_7400, "use a newer program"),
            (0x6261_6c02, "another kind of store"),
        ] {
            let refused = Database::open(options.clone(), schema(application, FIRST)).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Denied);
            assert!(refused.to_string().contains(says), "{refused}");
        }
    }
}
