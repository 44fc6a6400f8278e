//! What a group of commands on items does: evaluated in memory, then written as a fixed number of statements, whatever its size.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::{events, rows, write};
use crate::embedded::database::{PAGE_SIZE, Schema};
use crate::embedded::error::from_sqlx;
use crate::embedded::json::Rows;
use crate::embedded::outbox::{begin_epoch, epochs_table};
use crate::embedded::uptime::Uptime;
use crate::embedded::writer::Engine;
use crate::items::{Change, Committed, Condition, Key, Settled, Transaction, WriteId};
use crate::{Clock, Error, ErrorKind, Result, Timestamp, random};

pub(super) const SCHEMA: Schema = Schema {
    name: "items",
    application: 0x6261_6902,
    page_size: PAGE_SIZE,
    migrations: &[concat!(
        "
CREATE TABLE items (
    partition TEXT NOT NULL, sort TEXT NOT NULL, value BLOB NOT NULL, version INTEGER NOT NULL, expires_at INTEGER
) STRICT;
CREATE UNIQUE INDEX items_by_key ON items (partition, sort);
CREATE INDEX items_by_expiry ON items (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE writes (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, versions TEXT, content BLOB
) STRICT;
CREATE INDEX writes_by_time ON writes (at);
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY, shard INTEGER NOT NULL, id TEXT NOT NULL, stream TEXT NOT NULL, topic TEXT NOT NULL,
    at INTEGER NOT NULL, payload TEXT NOT NULL
) STRICT;
CREATE INDEX outbox_by_shard ON outbox (shard, number);
CREATE TABLE shards (shard INTEGER PRIMARY KEY, forgotten INTEGER NOT NULL) STRICT;
CREATE TABLE consumers (
    id TEXT NOT NULL, shard INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (id, shard)
) STRICT, WITHOUT ROWID;
CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL, age INTEGER NOT NULL) STRICT;
INSERT INTO state VALUES (1, 0, 0);",
        epochs_table!()
    )],
};

/// How long a transaction's id is remembered: a day more than is promised.
const REMEMBERED: Duration = Duration::from_secs(8 * 86_400);
/// What has expired is removed as fast as it may come: with each group, so many times what the group wrote.
const SWEEP_FACTOR: usize = 2;
/// How often much of it is removed by a group that wrote little, and how much at once.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const SWEEP_LIMIT: usize = 1_000;

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Command {
    Transaction(Transaction),
    Settle(WriteId),
    Consumed { consumer: String, shard: u16, number: u64 },
    Leave(String),
    Forget(Timestamp),
}

/// What it did.
#[derive(Debug)]
pub(super) enum Done {
    Committed(Committed),
    Settled(Settled),
    Count(u64),
}

/// What the writer keeps in memory.
#[derive(Debug)]
pub(super) struct ItemsEngine {
    clock: Arc<dyn Clock>,
    /// How many shards a new store gets.
    shards_of_new: u16,
    shards: u16,
    /// Of the newest event.
    number: u64,
    swept_at: Option<Timestamp>,
    uptime: Uptime,
}

/// An item's state while a group is evaluated; without one, the item is absent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    pub(super) version: u64,
    pub(super) expires_at: Option<Timestamp>,
}

/// What is known of a transaction's id.
#[derive(Clone, Debug)]
pub(super) enum Known {
    Committed([u8; 32], Committed),
    Never,
}

/// Content and versions of a transaction that was committed.
pub(super) type First = ([u8; 32], Vec<u64>);

/// What a group leaves behind.
#[derive(Debug, Default)]
pub(super) struct Left<'a> {
    /// The last change to each key.
    pub(super) items: HashMap<&'a Key, Option<(&'a [u8], Present)>>,
    /// Ids that were taken.
    pub(super) writes: Vec<(&'a WriteId, Option<First>)>,
    /// The transactions that took effect.
    pub(super) committed: Vec<&'a Transaction>,
}

struct Group<'a> {
    /// The clock's time as far as it may be believed: what a clock that jumps makes look expired is there all the same.
    believed: Timestamp,
    present: HashMap<&'a Key, Present>,
    known: HashMap<&'a WriteId, Known>,
    left: Left<'a>,
}

impl ItemsEngine {
    pub(super) fn new(clock: Arc<dyn Clock>, shards_of_new: u16) -> Self {
        let uptime = Uptime::new(clock.clone());
        Self { clock, shards_of_new, shards: shards_of_new, number: 0, swept_at: None, uptime }
    }
}

impl Engine for ItemsEngine {
    type Command = Command;
    type Outcome = Done;

    async fn load(&mut self, connection: &mut SqliteConnection) -> Result<()> {
        let row = sqlx::query("SELECT number, age, (SELECT count(*) FROM shards) FROM state")
            .fetch_one(connection)
            .await
            .map_err(from_sqlx)?;
        self.number = row.get::<i64, _>(0) as u64;
        let age = Duration::from_micros(row.get::<i64, _>(1) as u64);
        self.shards = row.get::<i64, _>(2) as u16;
        self.uptime.load_age(age);
        Ok(())
    }

    async fn begin(&mut self, connection: &mut SqliteConnection) -> Result<()> {
        if self.shards == 0 {
            self.shards = self.shards_of_new;
            events::make_shards(connection, self.shards).await?;
        }
        begin_epoch(connection, self.number).await
    }

    async fn apply(
        &mut self,
        connection: &mut SqliteConnection,
        commands: &[Command],
    ) -> Result<Vec<Result<Done>>> {
        let now = self.clock.now();
        let believed = self.uptime.believed(now);
        let mut group = Group::load(connection, commands, believed).await?;
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in commands {
            outcomes.push(match command {
                Command::Transaction(transaction) => group.evaluate(transaction).map(Done::Committed),
                Command::Settle(id) => Ok(Done::Settled(group.settle(id))),
                Command::Consumed { consumer, shard, number } => {
                    events::keep(connection, consumer, *shard, *number).await.map(Done::Count)
                }
                Command::Leave(consumer) => events::leave(connection, consumer).await.map(Done::Count),
                Command::Forget(before) => events::forget(connection, *before).await.map(Done::Count),
            });
        }
        let left = group.left;
        if left.writes.is_empty() {
            return Ok(outcomes);
        }
        let age = self.uptime.age();
        let place = write::Place { number: self.number, shards: self.shards, now, age };
        self.number = write::write(connection, &left, place).await?;
        let due = self.swept_at.is_none_or(|at| now.since(at).max(at.since(now)) >= SWEEP_EVERY);
        let least = if due { SWEEP_LIMIT } else { 0 };
        let limit = |written: usize| least.max(written * SWEEP_FACTOR);
        write::sweep_items(connection, believed, limit(left.items.len())).await?;
        if let Some(before) = age.checked_sub(REMEMBERED) {
            write::sweep_writes(connection, before, limit(left.writes.len())).await?;
        }
        if due {
            self.swept_at = Some(now);
        }
        Ok(outcomes)
    }

    fn size(command: &Command) -> usize {
        match command {
            Command::Transaction(transaction) => transaction.size(),
            _ => 0,
        }
    }

    fn position(&self) -> u64 {
        self.number
    }
}

impl<'a> Group<'a> {
    async fn load(
        connection: &mut SqliteConnection,
        commands: &'a [Command],
        believed: Timestamp,
    ) -> Result<Self> {
        let mut group =
            Self { believed, present: HashMap::new(), known: HashMap::new(), left: Left::default() };
        let (mut wanted_ids, mut wanted_keys) = (Rows::new(), Rows::new());
        let (mut ids, mut keys): (Vec<&WriteId>, Vec<&Key>) = (Vec::new(), Vec::new());
        for command in commands {
            let id = match command {
                Command::Transaction(transaction) => &transaction.id,
                Command::Settle(id) => id,
                _ => continue,
            };
            wanted_ids.value(id.as_str());
            ids.push(id);
            let Command::Transaction(transaction) = command else { continue };
            for change in &transaction.changes {
                let key = change.key();
                wanted_keys.row().text(&key.partition).text(&key.sort);
                keys.push(key);
            }
        }
        if ids.is_empty() {
            return Ok(group);
        }
        let rows = sqlx::query(
            "SELECT j.key, w.versions, w.content FROM jsonb_each(?1) j CROSS JOIN writes w ON w.id = j.value",
        )
        .bind(wanted_ids.json())
        .fetch_all(&mut *connection)
        .await
        .map_err(from_sqlx)?;
        for row in &rows {
            let id = ids[row.get::<i64, _>(0) as usize];
            group.known.insert(id, rows::known(id, row.get(1), row.get(2))?);
        }
        let rows = sqlx::query(
            "SELECT j.key, i.version, i.expires_at FROM jsonb_each(?1) j
             CROSS JOIN items i ON i.partition = j.value->>0 AND i.sort = j.value->>1",
        )
        .bind(wanted_keys.json())
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
            Some(present) if present.expires_at.is_none_or(|at| at > self.believed) => present.version,
            _ => 0,
        }
    }

    fn evaluate(&mut self, transaction: &'a Transaction) -> Result<Committed> {
        let content = transaction.content();
        match self.known.get(&transaction.id) {
            Some(Known::Committed(known, committed)) if *known == content => {
                return Ok(committed.clone().replay());
            }
            Some(Known::Committed(..)) => {
                let message = "the same id was used for other content";
                return Err(Error::new(ErrorKind::Conflict, message).with_field("id"));
            }
            Some(Known::Never) => {
                let message = "the transaction was settled: it never takes effect";
                return Err(Error::new(ErrorKind::Rejected, message).with_field("id"));
            }
            None => {}
        }
        for (index, change) in transaction.changes.iter().enumerate() {
            check(change.condition(), self.version(change.key()))
                .map_err(|error| error.with_change(index))?;
        }
        let mut versions = Vec::with_capacity(transaction.changes.len());
        for change in &transaction.changes {
            let key = change.key();
            versions.push(match change {
                Change::Put { value, expires_at, .. } => {
                    let present = Present { version: random::version(), expires_at: *expires_at };
                    self.present.insert(key, present);
                    self.left.items.insert(key, Some((value, present)));
                    present.version
                }
                Change::Delete { .. } => {
                    self.present.remove(key);
                    self.left.items.insert(key, None);
                    0
                }
                Change::Check { .. } => 0,
            });
        }
        self.left.writes.push((&transaction.id, Some((content, versions.clone()))));
        self.left.committed.push(transaction);
        let committed = Committed::new(transaction.id.clone(), versions);
        self.known.insert(&transaction.id, Known::Committed(content, committed.clone()));
        Ok(committed)
    }

    /// Takes the id for good where nothing was committed under it.
    fn settle(&mut self, id: &'a WriteId) -> Settled {
        match self.known.get(id) {
            Some(Known::Committed(_, committed)) => Settled::Committed(committed.clone()),
            Some(Known::Never) => Settled::Never,
            None => {
                self.known.insert(id, Known::Never);
                self.left.writes.push((id, None));
                Settled::Never
            }
        }
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
