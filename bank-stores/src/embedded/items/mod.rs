//! Items in a SQLite file.

mod engine;
mod events;
mod rows;
mod scan;
#[cfg(test)]
mod tests;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Row};

use super::backup::{self, Staged};
use super::database::Database;
use super::error::from_sqlx;
use super::writer::{SqliteGroup, start};
use super::{SqliteOptions, outbox};
use crate::items::{Committed, Item, Key, Query, Settled, SortRange, Transaction, WriteId};
use crate::outbox::{Edge, Events, Position, ShardId, check_consumer};
use crate::writer::Writer;
use crate::{Consistency, Cursor, Direction, Error, ErrorKind, Items, Outbox, Page, Result, Timestamp};
use engine::{Command, Done, ItemsEngine, Known};

/// Items in a SQLite file.
#[derive(Debug)]
pub struct SqliteItems {
    database: Arc<Database>,
    /// None where the store is read only.
    writer: Option<Writer<SqliteGroup<ItemsEngine>>>,
}

impl SqliteItems {
    /// Opens the store and starts its writer on the current tokio runtime.
    pub async fn open(options: SqliteOptions) -> Result<Self> {
        let (clock, shards) = (options.clock.clone(), options.shards);
        let database = Database::open(options, engine::SCHEMA).await?;
        let writer = match database.options().read_only {
            true => None,
            false => Some(start(database.clone(), ItemsEngine::new(clock, shards)).await?),
        };
        Ok(Self { database, writer })
    }

    /// Executes what is waiting and closes the file; later calls are `Unavailable`.
    pub async fn close(&self) {
        match &self.writer {
            Some(writer) => writer.close().await,
            None => self.database.readers().close().await,
        }
    }

    /// Copies the store, as it is at one moment, into the new file `to`, while others go on writing. The file has its name only when
    /// it is whole and the disk has it. A store that was opened only to read can be copied too, so that it is done beside the process
    /// that writes.
    ///
    /// # Errors
    /// `Conflict`, field `to`, where there is such a file; `Denied` and `Unavailable` where it cannot be written.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<()> {
        backup::backup(&self.database, to.as_ref()).await
    }

    /// Puts the backup `from` in the place of the store's file `to`, which nobody may have open. There is a whole store in that place at
    /// every moment; the one that was there stays beside it, under a name with `.replaced-` and the time at its end.
    ///
    /// # Errors
    /// `Denied` where `to` is in use; `Unavailable` where somebody reads it; `NotFound`, `Denied` and `Rejected`, field `from`, where
    /// the backup is not there, is no file of such a store, or is not whole.
    pub async fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        Self::stage(from, to).await?.take_place().await
    }

    /// The first half of [`restore`](Self::restore): a copy that is whole and of this program's schema, for whoever restores more than
    /// this at once.
    ///
    /// # Errors
    /// As for [`restore`](Self::restore).
    pub async fn stage(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Staged> {
        let staged = Staged::whole(from.as_ref(), to.as_ref(), engine::SCHEMA).await?;
        // Older tables are brought to the newest version.
        Self::open(SqliteOptions::new(staged.path())).await?.close().await;
        Ok(staged)
    }

    /// Writes the file anew, without what was changed or removed, which stays in it otherwise until its room is used again. It needs
    /// as much room on the disk as the file takes, and writes wait meanwhile.
    ///
    /// # Errors
    /// `Denied` where the store is read only; `Unavailable` where others use it, or the disk is full.
    pub async fn vacuum(&self) -> Result<()> {
        self.database.vacuum().await
    }

    fn now(&self) -> i64 {
        self.database.options().clock.now().micros()
    }

    fn outbox(&self) -> outbox::Reader<'_> {
        outbox::Reader { pool: self.database.readers(), tables: &events::TABLES }
    }

    async fn run(&self, commands: Vec<Command>) -> Vec<Result<Done>> {
        match &self.writer {
            Some(writer) => writer.execute(commands).await,
            None => commands.iter().map(|_| Err(self.database.read_only_refusal())).collect(),
        }
    }

    async fn one(&self, command: Command) -> Result<Done> {
        self.run(vec![command]).await.pop().unwrap_or_else(|| Err(no_outcome()))
    }

    async fn known(&self, id: &WriteId) -> Result<Option<Known>> {
        id.validate()?;
        let row = sqlx::query("SELECT versions, content FROM writes WHERE id = ?1")
            .bind(id.as_str())
            .fetch_optional(self.database.readers())
            .await
            .map_err(from_sqlx)?;
        row.map(|row| rows::known(id, row.get(0), row.get(1))).transpose()
    }
}

fn no_outcome() -> Error {
    Error::new(ErrorKind::Indeterminate, "the store gave no outcome")
}

#[async_trait]
impl Items for SqliteItems {
    async fn get(&self, key: &Key, _read: Consistency) -> Result<Option<Item>> {
        key.validate()?;
        let row = sqlx::query(
            "SELECT partition, sort, value, version, expires_at FROM items
             WHERE partition = ?1 AND sort = ?2 AND (expires_at IS NULL OR expires_at > ?3)",
        )
        .bind(&key.partition)
        .bind(&key.sort)
        .bind(self.now())
        .fetch_optional(self.database.readers())
        .await
        .map_err(from_sqlx)?;
        Ok(row.as_ref().map(rows::item))
    }

    /// What is wrong with a form is said before anything waits.
    async fn commit(&self, transactions: Vec<Transaction>) -> Vec<Result<Committed>> {
        let faults: Vec<Option<Error>> =
            transactions.iter().map(|transaction| transaction.validate().err()).collect();
        let sound = transactions.into_iter().zip(&faults).filter(|(_, fault)| fault.is_none());
        let sound = sound.map(|(transaction, _)| Command::Transaction(transaction)).collect();
        let mut done = self.run(sound).await.into_iter();
        let mut outcome = || match done.next() {
            Some(Ok(Done::Committed(committed))) => Ok(committed),
            Some(Err(error)) => Err(error),
            _ => Err(no_outcome()),
        };
        faults.into_iter().map(|fault| fault.map_or_else(&mut outcome, Err)).collect()
    }

    async fn committed(&self, id: &WriteId) -> Result<Option<Committed>> {
        Ok(match self.known(id).await? {
            Some(Known::Committed(_, committed)) => Some(committed),
            Some(Known::Never) | None => None,
        })
    }

    async fn settle(&self, id: &WriteId) -> Result<Settled> {
        match self.known(id).await? {
            Some(Known::Committed(_, committed)) => return Ok(Settled::Committed(committed)),
            Some(Known::Never) => return Ok(Settled::Never),
            None => {}
        }
        match self.one(Command::Settle(id.clone())).await? {
            Done::Settled(settled) => Ok(settled),
            _ => Err(no_outcome()),
        }
    }

    async fn query(&self, query: &Query) -> Result<Page<Item>> {
        query.validate()?;
        let identity = query.identity();
        let after = query.page.after.as_ref().map(|cursor| cursor.position(&identity)).transpose()?;
        let (low, high, beyond) = bounds(&query.range);
        let mut sql = String::from(
            "SELECT partition, sort, value, version, expires_at FROM items
             WHERE partition = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
        );
        let forward = query.page.direction == Direction::Forward;
        for (present, part) in [
            (low.is_some(), " AND sort >= ?3"),
            (high.is_some(), " AND sort <= ?4"),
            (beyond.is_some(), " AND sort < ?5"),
            (after.is_some(), if forward { " AND sort > ?6" } else { " AND sort < ?6" }),
        ] {
            if present {
                sql.push_str(part);
            }
        }
        sql.push_str(if forward { " ORDER BY sort LIMIT ?7" } else { " ORDER BY sort DESC LIMIT ?7" });
        // Only the constant pieces above are in it; there are 32 such texts at most.
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(&query.partition)
            .bind(self.now())
            .bind(low)
            .bind(high)
            .bind(beyond)
            .bind(after)
            .bind(i64::from(query.page.limit) + 1)
            .fetch_all(self.database.readers())
            .await
            .map_err(from_sqlx)?;
        let items = rows.iter().map(rows::item).collect();
        Ok(Page::cut(items, query.page.limit, |last: &Item| Cursor::new(&identity, &last.key.sort)))
    }
}

#[async_trait]
impl Outbox for SqliteItems {
    async fn shards(&self) -> Result<Vec<ShardId>> {
        self.outbox().shards().await
    }

    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        self.outbox().edge(shard, edge).await
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        let written = self.writer.as_ref().map(Writer::position);
        self.outbox().events(written, *after, limit, wait).await
    }

    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()> {
        self.outbox().check_kept(consumer, *position).await?;
        let (shard, number) = (position.shard().number(), position.number());
        self.one(Command::Consumed { consumer: consumer.to_owned(), shard, number }).await.map(drop)
    }

    async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        self.outbox().positions(consumer).await
    }

    async fn forget_consumer(&self, consumer: &str) -> Result<()> {
        check_consumer(consumer)?;
        self.one(Command::Leave(consumer.to_owned())).await.map(drop)
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        let mut forgotten = 0;
        loop {
            let Done::Count(more) = self.one(Command::Forget(before)).await? else {
                return Err(no_outcome());
            };
            forgotten += more;
            if more < events::PORTION {
                return Ok(forgotten);
            }
        }
    }
}

/// The smallest `sort`, the greatest, and the first that lies beyond.
fn bounds(range: &SortRange) -> (Option<&str>, Option<&str>, Option<String>) {
    match range {
        SortRange::All => (None, None, None),
        SortRange::Between(from, to) => (Some(from), Some(to), None),
        SortRange::Prefix(prefix) => (Some(prefix), None, beyond(prefix)),
    }
}

/// The first text, in byte order, that lies beyond all that start with `prefix`; none where there is no such text.
fn beyond(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Byte order of UTF-8 is the order of code points; the surrogates' gap is stepped over.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            _ => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}
