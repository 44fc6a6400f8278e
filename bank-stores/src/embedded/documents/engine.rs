//! What a group of writes of documents does.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use super::definition::{Definition, declare, table};
use crate::documents::{Collection, DocumentChange, DocumentWrite, Written};
use crate::embedded::error::{from_sqlx, is_constraint};
use crate::embedded::filter::expression;
use crate::embedded::uptime::Uptime;
use crate::embedded::writer::Engine;
use crate::{Clock, Error, ErrorKind, Result, Timestamp, random};

/// What has expired is removed with each group: so many times what the group wrote, and so much at least.
const SWEEP_FACTOR: usize = 2;
const SWEEP_LEAST: usize = 100;

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Command {
    Declare(Collection),
    Write { collection: Arc<str>, write: DocumentWrite },
}

#[derive(Debug)]
pub(super) struct DocumentsEngine {
    clock: Arc<dyn Clock>,
    uptime: Uptime,
}

impl DocumentsEngine {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let uptime = Uptime::new(clock.clone());
        Self { clock, uptime }
    }
}

impl Engine for DocumentsEngine {
    type Command = Command;
    /// Nothing of a declaration.
    type Outcome = Option<Written>;

    /// Nothing of the file is kept in memory.
    async fn load(&mut self, _connection: &mut SqliteConnection) -> Result<()> {
        Ok(())
    }

    async fn apply(
        &mut self,
        connection: &mut SqliteConnection,
        commands: &[Command],
    ) -> Result<Vec<Result<Option<Written>>>> {
        let now = self.clock.now();
        let believed = self.uptime.believed(now);
        let mut definitions: HashMap<&str, Definition> = HashMap::new();
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in commands {
            let outcome = match command {
                Command::Declare(collection) => {
                    definitions.remove(&*collection.name);
                    declare(connection, collection).await.map(|()| None)
                }
                Command::Write { collection, write } => {
                    if !definitions.contains_key(&**collection)
                        && let Some(found) = Definition::find(connection, collection).await?
                    {
                        definitions.insert(collection, found);
                    }
                    match definitions.get(&**collection) {
                        Some(definition) => {
                            Writing { connection, definition, now, believed }.write(write).await.map(Some)
                        }
                        None => Err(super::never_declared(collection)),
                    }
                }
            };
            // What the disk or the file does wrong fails the group; what the caller does wrong, only its own command.
            match outcome {
                Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Damaged) => {
                    return Err(error);
                }
                outcome => outcomes.push(outcome),
            }
        }
        let limit = SWEEP_LEAST.max(commands.len() * SWEEP_FACTOR);
        for definition in definitions.values() {
            sweep(connection, definition, believed, limit).await?;
        }
        Ok(outcomes)
    }

    fn size(command: &Command) -> usize {
        match command {
            Command::Declare(_) => 0,
            Command::Write { write, .. } => write.change.size(),
        }
    }

    /// Nobody waits for documents.
    fn position(&self) -> u64 {
        0
    }
}

/// Removes up to so many documents that have expired.
async fn sweep(
    connection: &mut SqliteConnection,
    definition: &Definition,
    now: Timestamp,
    limit: usize,
) -> Result<()> {
    let table = table(&definition.name);
    let sql = format!(
        "DELETE FROM {table} WHERE rowid IN
         (SELECT rowid FROM {table} WHERE expires_at IS NOT NULL AND expires_at <= ?1 LIMIT ?2)"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(now.micros()).bind(limit as i64);
    query.execute(connection).await.map_err(from_sqlx).map(drop)
}

/// A write that is being done.
struct Writing<'a> {
    connection: &'a mut SqliteConnection,
    definition: &'a Definition,
    now: Timestamp,
    /// The same as far as it may be believed: what a clock that jumps makes look expired still holds its id and keys.
    believed: Timestamp,
}

impl Writing<'_> {
    async fn write(mut self, write: &DocumentWrite) -> Result<Written> {
        let id = write.change.id();
        if let DocumentChange::Insert { body, .. } | DocumentChange::Replace { body, .. } = &write.change {
            self.definition.collection().check(body)?;
        }
        // What has expired holds no id.
        let sql = format!(
            "DELETE FROM {} WHERE id = ?1 AND expires_at IS NOT NULL AND expires_at <= ?2",
            self.table()
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id).bind(self.believed.micros());
        query.execute(&mut *self.connection).await.map_err(from_sqlx)?;
        let content = write.content();
        if let Some(outcome) = self.repeated(write, &content).await? {
            return outcome;
        }
        match self.change(write, &content).await {
            // Nor does it hold a key.
            Err(error) if is_constraint(&error) => {
                if !self.free_keys(&write.change).await? {
                    return Err(self.taken(&write.change).await?);
                }
                match self.change(write, &content).await {
                    Err(error) if is_constraint(&error) => Err(self.taken(&write.change).await?),
                    changed => self.outcome(id, changed.map_err(from_sqlx)?).await,
                }
            }
            changed => self.outcome(id, changed.map_err(from_sqlx)?).await,
        }
    }

    fn table(&self) -> String {
        table(&self.definition.name)
    }

    /// Changes the document; gives its version, or nothing where there is no such document of that version.
    async fn change(
        &mut self,
        write: &DocumentWrite,
        content: &[u8; 32],
    ) -> Result<Option<u64>, sqlx::Error> {
        let (table, version) = (self.table(), random::version());
        let (sql, body, expires_at, expected) = match &write.change {
            DocumentChange::Insert { body, expires_at, .. } => (
                format!(
                    "INSERT INTO {table} (id, version, body, expires_at, created, write, content)
                     VALUES (?1, ?2, ?3, ?4, ?8, ?6, ?7)"
                ),
                Some(body),
                *expires_at,
                None,
            ),
            DocumentChange::Replace { version, body, expires_at, .. } => (
                format!(
                    "UPDATE {table} SET version = ?2, body = ?3, expires_at = ?4, write = ?6, content = ?7
                     WHERE id = ?1 AND version = ?5"
                ),
                Some(body),
                *expires_at,
                Some(*version),
            ),
            DocumentChange::Delete { version, .. } => {
                (format!("DELETE FROM {table} WHERE id = ?1 AND version = ?5"), None, None, Some(*version))
            }
        };
        let deletes = body.is_none();
        let changed = sqlx::query(AssertSqlSafe(sql))
            .bind(write.change.id())
            .bind(version as i64)
            .bind(body.map(Value::to_string))
            .bind(expires_at.map(Timestamp::micros))
            .bind(expected.map(|expected| i64::try_from(expected).unwrap_or(-1)))
            .bind(write.write.as_str())
            .bind(&content[..])
            .bind(self.now.micros())
            .execute(&mut *self.connection)
            .await?
            .rows_affected();
        Ok((changed > 0).then_some(if deletes { 0 } else { version }))
    }

    async fn outcome(&mut self, id: &str, changed: Option<u64>) -> Result<Written> {
        match changed {
            Some(version) => Ok(Written::new(id, version)),
            None => Err(self.missed(id).await?),
        }
    }

    /// The outcome of a write that the document remembers, if this is one.
    async fn repeated(
        &mut self,
        write: &DocumentWrite,
        content: &[u8; 32],
    ) -> Result<Option<Result<Written>>> {
        let id = write.change.id();
        let sql = format!("SELECT version, content FROM {} WHERE id = ?1 AND write = ?2", self.table());
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(write.write.as_str())
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(from_sqlx)?;
        let Some(row) = row else { return Ok(None) };
        if row.get::<&[u8], _>(1) == content {
            return Ok(Some(Ok(Written::new(id, row.get::<i64, _>(0) as u64).replay())));
        }
        let error = Error::new(ErrorKind::Conflict, "the same id was used for other content");
        Ok(Some(Err(error.with_field("write"))))
    }

    /// Why nothing was there to be replaced or deleted.
    async fn missed(&mut self, id: &str) -> Result<Error> {
        let sql = format!("SELECT 1 FROM {} WHERE id = ?1", self.table());
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id);
        Ok(match query.fetch_optional(&mut *self.connection).await.map_err(from_sqlx)? {
            Some(_) => {
                Error::new(ErrorKind::Conflict, "the document has another version").with_field("version")
            }
            None => Error::new(ErrorKind::NotFound, "there is no such document").with_field("id"),
        })
    }

    /// Removes what has expired and holds a key of this document; says whether there was any.
    async fn free_keys(&mut self, change: &DocumentChange) -> Result<bool> {
        let mut freed = 0;
        for unique in &self.definition.uniques {
            let sql = format!(
                "DELETE FROM {} WHERE {} AND expires_at IS NOT NULL AND expires_at <= ?3",
                self.table(),
                holds_key(&unique.1)
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(change.id()).bind(body(change));
            let query = query.bind(self.believed.micros()).execute(&mut *self.connection);
            freed += query.await.map_err(from_sqlx)?.rows_affected();
        }
        Ok(freed > 0)
    }

    /// Which key was taken: SQLite's code does not say, so that each is looked for.
    async fn taken(&mut self, change: &DocumentChange) -> Result<Error> {
        let message = "another document has this key";
        for (name, fields) in &self.definition.uniques {
            let sql = format!("SELECT 1 FROM {} WHERE {}", self.table(), holds_key(fields));
            let query = sqlx::query(AssertSqlSafe(sql)).bind(change.id()).bind(body(change));
            if query.fetch_optional(&mut *self.connection).await.map_err(from_sqlx)?.is_some() {
                return Ok(Error::new(ErrorKind::AlreadyExists, message).with_field(name.clone()));
            }
        }
        Ok(Error::new(ErrorKind::AlreadyExists, message).with_field("id"))
    }
}

/// That a document other than ?1 has the key that the body ?2 has.
fn holds_key(fields: &[String]) -> String {
    let mut sql = String::from("id <> ?1");
    for field in fields {
        let expression = expression(field);
        let of_body = expression.replacen("body", "?2", 1);
        // Writing to a string cannot fail.
        let _ = write!(sql, " AND {expression} = {of_body}");
    }
    sql
}

fn body(change: &DocumentChange) -> Option<String> {
    match change {
        DocumentChange::Insert { body, .. } | DocumentChange::Replace { body, .. } => Some(body.to_string()),
        DocumentChange::Delete { .. } => None,
    }
}
