//! A SQLite store's connection that writes, and its transactions.

use std::future::Future;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row as _};

use super::database::Database;
use super::error::{commit_had_no_effect, from_sqlx};
use crate::writer::{Group, Next, Writer};
use crate::{Error, ErrorKind, Result};

/// What a kind of store does with a group of commands.
pub(super) trait Engine: Send + 'static {
    type Command: Send + Sync + 'static;
    type Outcome: Send + 'static;

    /// Reads what the engine keeps in memory, at the start and after a failure.
    fn load(&mut self, connection: &mut SqliteConnection) -> impl Future<Output = Result<()>> + Send;

    /// Does once what is due for each file that is opened, or found in the place of the one before, when it has been loaded. It may be
    /// a part of a transaction.
    fn begin(&mut self, _connection: &mut SqliteConnection) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// Executes commands in order within an open transaction; an error undoes them all.
    fn apply(
        &mut self,
        connection: &mut SqliteConnection,
        commands: &[Self::Command],
    ) -> impl Future<Output = Result<Vec<Result<Self::Outcome>>>> + Send;

    /// About how many bytes a command carries; what is small beside the bound on a group need not be counted.
    fn size(_command: &Self::Command) -> usize {
        0
    }

    /// Whether a command is only to be executed together with the next one of its call.
    fn joins_next(_command: &Self::Command) -> bool {
        false
    }

    /// The position of the last event, of what is committed now.
    fn position(&self) -> u64;
}

/// An engine with its connection.
pub(super) struct SqliteGroup<E> {
    database: Arc<Database>,
    engine: E,
    /// None after a failure, until the file could be opened again.
    connection: Option<SqliteConnection>,
    /// What the file's number of changes by others was when the engine was loaded; none where it is to be loaded again.
    others: Option<i64>,
    /// Whether a commit failed half way and nothing was written since: its pages may be in the log, behind its end, and a
    /// recovery after a crash would take them in.
    adrift: bool,
}

/// Starts an engine's writer.
pub(super) async fn start<E: Engine>(
    database: Arc<Database>,
    mut engine: E,
) -> Result<Writer<SqliteGroup<E>>> {
    let mut connection = database.connect_writer().await?;
    let others = changes_by_others(&mut connection, "PRAGMA data_version").await?;
    engine.load(&mut connection).await?;
    engine.begin(&mut connection).await?;
    let limit = database.options().group;
    let group =
        SqliteGroup { database, engine, connection: Some(connection), others: Some(others), adrift: false };
    Ok(Writer::start(group, limit))
}

impl<E: Engine> Group for SqliteGroup<E> {
    type Command = E::Command;
    type Outcome = E::Outcome;
    type Ready = ();

    async fn commit(
        &mut self,
        commands: &[E::Command],
        _ready: Option<()>,
        _next: Next<'_, Self>,
    ) -> Result<Vec<Result<E::Outcome>>> {
        let committed = self.try_commit(commands).await;
        if let Err(error) = &committed {
            tracing::warn!(store = self.database.name(), error = ?error, "a group of writes failed");
            self.connection = None;
        }
        committed
    }

    /// Moves the log into the database file, so that a closed store is one file.
    async fn finish(mut self) {
        if let Some(connection) = self.connection.take() {
            checkpoint(connection, self.database.name()).await;
        }
        self.database.close_readers().await;
        self.database.release();
    }

    fn size(command: &E::Command) -> usize {
        E::size(command)
    }

    fn joins_next(command: &E::Command) -> bool {
        E::joins_next(command)
    }

    fn position(&self) -> u64 {
        self.engine.position()
    }
}

impl<E: Engine> SqliteGroup<E> {
    async fn try_commit(&mut self, commands: &[E::Command]) -> Result<Vec<Result<E::Outcome>>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                self.others = None;
                self.connection.insert(self.database.connect_writer().await?)
            }
        };
        // An optimistic lock, where the file's own lock was got around: what the engine remembers is of no file that another
        // hand has written since.
        let others = changes_by_others(connection, "BEGIN IMMEDIATE; PRAGMA data_version").await?;
        if self.others != Some(others) {
            if self.others.is_some() {
                let store = self.database.name();
                tracing::warn!(store, "somebody else has written the store's file: reading it again");
            }
            self.engine.load(connection).await?;
            // It may be another file, or an older copy.
            self.engine.begin(connection).await?;
            self.others = Some(others);
        }
        // On an error the connection is dropped, which rolls the transaction back.
        let outcomes = self.engine.apply(connection, commands).await?;
        if self.adrift {
            // Something is written over them, so that what was looked up in vain stays away.
            self.database.touch(connection).await?;
        }
        if let Err(error) = sqlx::query("COMMIT").execute(&mut *connection).await {
            if commit_had_no_effect(&error) {
                return Err(from_sqlx(error));
            }
            self.adrift = true;
            let message = "the commit failed half way: look the outcome up";
            return Err(Error::new(ErrorKind::Indeterminate, message).with_source(error));
        }
        self.adrift = false;
        Ok(outcomes)
    }
}

/// The number that changes whenever another connection has written the file, by a statement whose last row it is.
async fn changes_by_others(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64> {
    let rows = sqlx::raw_sql(sql).fetch_all(connection).await.map_err(from_sqlx)?;
    let missing = || Error::new(ErrorKind::Unavailable, "the store does not tell of changes");
    rows.last().map(|row| row.get(0)).ok_or_else(missing)
}

/// Closes the connection with an empty log; where that fails, the log stays and is read at the next opening.
async fn checkpoint(mut connection: SqliteConnection, store: &'static str) {
    let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await;
    let closed = connection.close().await;
    if let Err(error) = checkpoint.map(drop).and(closed) {
        tracing::warn!(store, error = ?error, "the log stays beside the store's file");
    }
}
