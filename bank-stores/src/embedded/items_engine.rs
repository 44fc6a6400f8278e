//! How transactions on items become rows: a fixed number of statements a group, whatever its size.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::database::Schema;
use super::error::{damaged, from_sqlx};
use super::json::Rows;
use super::writer::Engine;
use crate::items::{Change, Committed, Condition, Item, Key, Transaction, WriteId};
use crate::{Clock, Error, ErrorKind, Result, Timestamp};

pub(super) const SCHEMA: Schema = Schema {
    name: "items",
    application: 0x6261_6901,
    migrations: &["
CREATE TABLE items (
    partition TEXT NOT NULL, sort TEXT NOT NULL, value BLOB NOT NULL, version INTEGER NOT NULL, expires_at INTEGER
) STRICT;
CREATE UNIQUE INDEX items_by_key ON items (partition, sort);
CREATE INDEX items_by_expiry ON items (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE writes (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, versions TEXT NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX writes_by_time ON writes (at);
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL, topic TEXT NOT NULL, at INTEGER NOT NULL, payload TEXT NOT NULL
) STRICT;
CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL, position INTEGER NOT NULL) STRICT;
INSERT INTO state VALUES (1, 0, 0)"],
};

/// How long a transaction's id is remembered: a day more than is promised.
const REMEMBERED: Duration = Duration::from_secs(8 * 86_400);
/// What has expired is removed as fast as it may come: with each group, so many times what the group wrote.
const SWEEP_FACTOR: usize = 2;
/// How often much of it is removed by a group that wrote little, and how much at once.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const SWEEP_LIMIT: usize = 1_000;

/// What the writer keeps in memory.
#[derive(Debug)]
pub(super) struct ItemsEngine {
    clock: Arc<dyn Clock>,
    sequence: u64,
    position: u64,
    swept_at: Option<Timestamp>,
}

/// An item's state while a group is evaluated; without one, the item is absent.
#[derive(Clone, Copy, Debug)]
struct Present {
    version: u64,
    expires_at: Option<Timestamp>,
}

/// What a group leaves behind: the last change to each key.
type Left<'a> = HashMap<&'a Key, Option<(&'a [u8], Present)>>;

struct Group<'a> {
    now: Timestamp,
    sequence: u64,
    present: HashMap<&'a Key, Present>,
    left: Left<'a>,
    /// Transactions that took effect before, in this group or an earlier one.
    known: HashMap<&'a WriteId, ([u8; 32], Committed)>,
}

impl ItemsEngine {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, sequence: 0, position: 0, swept_at: None }
    }
}

impl Engine for ItemsEngine {
    type Command = Transaction;
    type Outcome = Committed;

    async fn load(&mut self, connection: &mut SqliteConnection) -> Result<()> {
        let row = sqlx::query("SELECT sequence, position FROM state")
            .fetch_one(connection)
            .await
            .map_err(from_sqlx)?;
        (self.sequence, self.position) = (row.get::<i64, _>(0) as u64, row.get::<i64, _>(1) as u64);
        Ok(())
    }

    async fn apply(
        &mut self,
        connection: &mut SqliteConnection,
        commands: &[Transaction],
    ) -> Result<Vec<Result<Committed>>> {
        let now = self.clock.now();
        let mut group = Group::load(connection, commands, self.sequence, now).await?;
        let outcomes: Vec<Result<Committed>> =
            commands.iter().map(|command| group.evaluate(command)).collect();
        let position = group.write(connection, commands, &outcomes, self.position).await?;
        let due = self.swept_at.is_none_or(|at| now.since(at) >= SWEEP_EVERY);
        let least = if due { SWEEP_LIMIT } else { 0 };
        let (items, writes) = (group.left.len(), (group.sequence - self.sequence) as usize);
        sweep(connection, now, least.max(items * SWEEP_FACTOR), least.max(writes * SWEEP_FACTOR)).await?;
        if due {
            self.swept_at = Some(now);
        }
        (self.sequence, self.position) = (group.sequence, position);
        Ok(outcomes)
    }

    fn size(command: &Transaction) -> usize {
        let change = |change: &Change| match change {
            Change::Put { value, .. } => value.len(),
            _ => 0,
        };
        command.changes.iter().map(change).sum()
    }

    fn position(&self) -> u64 {
        self.position
    }
}

impl<'a> Group<'a> {
    async fn load(
        connection: &mut SqliteConnection,
        commands: &'a [Transaction],
        sequence: u64,
        now: Timestamp,
    ) -> Result<Self> {
        let mut group =
            Self { now, sequence, present: HashMap::new(), left: HashMap::new(), known: HashMap::new() };
        let mut ids = Rows::new();
        let mut keys: Vec<&Key> = Vec::new();
        let mut wanted = Rows::new();
        for command in commands {
            ids.value(command.id.as_str());
            for change in &command.changes {
                let key = change.key();
                wanted.row().text(&key.partition).text(&key.sort);
                keys.push(key);
            }
        }
        let rows = sqlx::query(
            "SELECT j.key, w.sequence, w.versions, w.content
             FROM jsonb_each(?1) j CROSS JOIN writes w ON w.id = j.value",
        )
        .bind(ids.json())
        .fetch_all(&mut *connection)
        .await
        .map_err(from_sqlx)?;
        for row in &rows {
            let id = &commands[row.get::<i64, _>(0) as usize].id;
            group.known.insert(id, (content(row.get(3))?, committed(id.clone(), row.get(1), row.get(2))?));
        }
        let rows = sqlx::query(
            "SELECT j.key, i.version, i.expires_at FROM jsonb_each(?1) j
             CROSS JOIN items i ON i.partition = j.value->>0 AND i.sort = j.value->>1",
        )
        .bind(wanted.json())
        .fetch_all(&mut *connection)
        .await
        .map_err(from_sqlx)?;
        for row in &rows {
            let expires_at = row.get::<Option<i64>, _>(2).map(Timestamp::from_micros);
            let present = Present { version: row.get::<i64, _>(1) as u64, expires_at };
            group.present.insert(keys[row.get::<i64, _>(0) as usize], present);
        }
        Ok(group)
    }

    /// The version of the item as it stands now, 0 where there is none.
    fn version(&self, key: &Key) -> u64 {
        match self.present.get(key) {
            Some(present) if present.expires_at.is_none_or(|at| at > self.now) => present.version,
            _ => 0,
        }
    }

    fn evaluate(&mut self, command: &'a Transaction) -> Result<Committed> {
        command.validate()?;
        let content = command.content();
        if let Some((known, committed)) = self.known.get(&command.id) {
            if *known != content {
                let message = "the same id was used for other content";
                return Err(Error::new(ErrorKind::Conflict, message).with_field("id"));
            }
            return Ok(committed.clone().replay());
        }
        for (index, change) in command.changes.iter().enumerate() {
            check(change.condition(), self.version(change.key()))
                .map_err(|error| error.with_change(index))?;
        }
        self.sequence += 1;
        let mut versions = Vec::with_capacity(command.changes.len());
        for change in &command.changes {
            let key = change.key();
            versions.push(match change {
                Change::Put { value, expires_at, .. } => {
                    let present = Present { version: self.sequence, expires_at: *expires_at };
                    self.present.insert(key, present);
                    self.left.insert(key, Some((value, present)));
                    self.sequence
                }
                Change::Delete { .. } => {
                    self.present.remove(key);
                    self.left.insert(key, None);
                    0
                }
                Change::Check { .. } => self.version(key),
            });
        }
        let committed = Committed::new(command.id.clone(), self.sequence, versions);
        self.known.insert(&command.id, (content, committed.clone()));
        Ok(committed)
    }

    /// Writes what the group did; gives the position of the last event.
    async fn write(
        &self,
        connection: &mut SqliteConnection,
        commands: &[Transaction],
        outcomes: &[Result<Committed>],
        mut position: u64,
    ) -> Result<u64> {
        let (mut puts, mut deletes, mut writes, mut outbox) =
            (Rows::new(), Rows::new(), Rows::new(), Rows::new());
        for (key, left) in &self.left {
            match left {
                None => drop(deletes.row().text(&key.partition).text(&key.sort)),
                Some((value, present)) => drop(
                    puts.row()
                        .text(&key.partition)
                        .text(&key.sort)
                        .unsigned(present.version)
                        .optional_integer(present.expires_at.map(Timestamp::micros))
                        .bytes(value),
                ),
            }
        }
        for (command, outcome) in commands.iter().zip(outcomes) {
            let Ok(committed) = outcome else { continue };
            if committed.replayed {
                continue;
            }
            writes
                .row()
                .unsigned(committed.sequence)
                .text(command.id.as_str())
                .integer(self.now.micros())
                .json(&committed.versions)
                .bytes(&command.content());
            for event in &command.events {
                position += 1;
                outbox
                    .row()
                    .unsigned(position)
                    .text(&event.id)
                    .text(&event.topic)
                    .integer(self.now.micros())
                    .json_bytes(&event.payload);
            }
        }
        if writes.is_empty() {
            return Ok(position);
        }
        let mut state = Rows::new();
        state.row().unsigned(self.sequence).unsigned(position);
        let statements = [
            (
                "DELETE FROM items WHERE rowid IN (SELECT i.rowid FROM jsonb_each(?1) j
                 CROSS JOIN items i ON i.partition = j.value->>0 AND i.sort = j.value->>1)",
                deletes,
            ),
            (
                "INSERT INTO items (partition, sort, version, expires_at, value)
                 SELECT value->>0, value->>1, value->>2, value->>3,
                        coalesce(substr(?2, value->>4, value->>5), x'') FROM jsonb_each(?1) WHERE true
                 ON CONFLICT (partition, sort) DO UPDATE
                 SET version = excluded.version, expires_at = excluded.expires_at, value = excluded.value",
                puts,
            ),
            (
                "INSERT INTO writes (sequence, id, at, versions, content)
                 SELECT value->>0, value->>1, value->>2, value->>3, substr(?2, value->>4, value->>5) FROM jsonb_each(?1)",
                writes,
            ),
            (
                "INSERT INTO outbox (position, id, topic, at, payload)
                 SELECT value->>0, value->>1, value->>2, value->>3,
                        CAST(substr(?2, value->>4, value->>5) AS TEXT) FROM jsonb_each(?1)",
                outbox,
            ),
            (
                "UPDATE state SET sequence = (SELECT value->>0 FROM jsonb_each(?1)),
                                  position = (SELECT value->>1 FROM jsonb_each(?1))",
                state,
            ),
        ];
        for (sql, rows) in statements {
            if !rows.is_empty() {
                let (json, bytes) = rows.finish();
                let query = sqlx::query(sql).bind(json);
                let query = if sql.contains("?2") { query.bind(bytes) } else { query };
                query.execute(&mut *connection).await.map_err(from_sqlx)?;
            }
        }
        Ok(position)
    }
}

fn check(condition: Condition, version: u64) -> Result<()> {
    let conflict = |message: &'static str| Err(Error::new(ErrorKind::Conflict, message));
    match condition {
        Condition::Absent if version != 0 => {
            Err(Error::new(ErrorKind::AlreadyExists, "there is such an item already"))
        }
        Condition::Exists if version == 0 => conflict("there is no such item"),
        Condition::Version(wanted) if version != wanted || version == 0 => {
            conflict("the item has another version")
        }
        _ => Ok(()),
    }
}

/// Removes up to so many of the items that have expired, and of the writes that need not be remembered.
async fn sweep(connection: &mut SqliteConnection, now: Timestamp, items: usize, writes: usize) -> Result<()> {
    let forgotten = now.saturating_sub(REMEMBERED);
    for (sql, before, limit) in [
        (
            "DELETE FROM items WHERE rowid IN
             (SELECT rowid FROM items WHERE expires_at IS NOT NULL AND expires_at <= ?1 LIMIT ?2)",
            now,
            items,
        ),
        (
            "DELETE FROM writes WHERE sequence IN (SELECT sequence FROM writes WHERE at < ?1 LIMIT ?2)",
            forgotten,
            writes,
        ),
    ] {
        if limit == 0 {
            continue;
        }
        let query = sqlx::query(sql).bind(before.micros()).bind(limit as i64);
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

pub(super) fn committed(id: WriteId, sequence: i64, versions: &str) -> Result<Committed> {
    let versions = serde_json::from_str(versions)
        .map_err(|source| damaged(Error::invalid("versions", "not a list").with_source(source)))?;
    Ok(Committed::new(id, sequence as u64, versions))
}

/// An item from a row of partition, sort, value, version, expiry.
pub(super) fn item(row: &SqliteRow) -> Item {
    let key = Key::new(row.get::<String, _>(0), row.get::<String, _>(1));
    let value = row.get::<Vec<u8>, _>(2).into();
    let expires_at = row.get::<Option<i64>, _>(4).map(Timestamp::from_micros);
    Item::new(key, value, row.get::<i64, _>(3) as u64, expires_at)
}

fn content(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| damaged(Error::invalid("content", "not a fingerprint")))
}
