//! The outbox of embedded items: events have one count over all shards, and each opening of the file begins an epoch.
//!
//! The event with number n lies in the epoch that began last at or before n. A position of another history names an epoch that
//! does not: an older copy of the file never had it, and begins its own when it is opened.

use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::{damaged, from_sqlx};
use crate::outbox::{
    Edge, Event, Events, NewEvent, Position, ShardId, check_consumer, check_limit, new_epoch, no_such_shard,
    not_in_history,
};
use crate::{Error, Result, Timestamp};

/// How often a store that another process writes is looked at.
const POLL: Duration = Duration::from_millis(50);

/// The table of epochs, by the number of the first event in each.
macro_rules! epochs_table {
    () => {
        "CREATE TABLE epochs (number INTEGER PRIMARY KEY, epoch INTEGER NOT NULL) STRICT"
    };
}
pub(super) use epochs_table;

/// The epoch in which the event with this number lies. Before the first event there is none, which is 0.
macro_rules! epoch_of {
    ($number:literal) => {
        concat!(
            "coalesce((SELECT e.epoch FROM epochs e WHERE e.number <= ",
            $number,
            " ORDER BY e.number DESC LIMIT 1), 0)"
        )
    };
}
pub(super) use epoch_of;

/// How a store's tables are asked.
#[derive(Debug)]
pub(super) struct Tables {
    /// The shards there are.
    pub(super) shards: &'static str,
    /// Of shard ?1, where there is one: the number of the store's newest event, and the greatest number that was forgotten.
    pub(super) bounds: &'static str,
    /// Of shard ?1 behind number ?2, up to ?3: number, id, stream, topic, time, payload, epoch.
    pub(super) events: &'static str,
    /// Of consumer ?1: shard and number.
    pub(super) positions: &'static str,
}

/// Reads a store's events.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) pool: &'a SqlitePool,
    pub(super) tables: &'static Tables,
}

impl Reader<'_> {
    pub(super) async fn shards(&self) -> Result<Vec<ShardId>> {
        let shards: Vec<i64> =
            sqlx::query_scalar(self.tables.shards).fetch_all(self.pool).await.map_err(from_sqlx)?;
        Ok(shards.into_iter().map(|shard| ShardId::new(shard as u16)).collect())
    }

    pub(super) async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        let mut snapshot = self.pool.begin().await.map_err(from_sqlx)?;
        let (newest, forgotten) = self.bounds(&mut snapshot, shard).await?;
        let number = match edge {
            Edge::Oldest => forgotten,
            Edge::Newest => newest,
        };
        place(&mut snapshot, shard, number).await
    }

    /// Waits up to `wait` for the first event; `written` tells the number of the newest one, where this process writes.
    pub(super) async fn events(
        &self,
        written: Option<watch::Receiver<u64>>,
        after: Position,
        limit: u32,
        wait: Duration,
    ) -> Result<Events> {
        check_limit(limit)?;
        let mut waiting = Waiting::up_to(wait, written)?;
        loop {
            let over = waiting.is_over();
            let now = self.read(after, limit).await?;
            if over || !now.events.is_empty() {
                return Ok(now);
            }
            waiting.behind(now.next.number()).await;
        }
    }

    async fn read(&self, after: Position, limit: u32) -> Result<Events> {
        let shard = after.shard();
        let mut snapshot = self.pool.begin().await.map_err(from_sqlx)?;
        let newest = self.check(&mut snapshot, "after", after).await?;
        let rows = sqlx::query(self.tables.events)
            .bind(i64::from(shard.number()))
            .bind(after.number() as i64)
            .bind(limit)
            .fetch_all(&mut *snapshot)
            .await
            .map_err(from_sqlx)?;
        let events = rows.iter().map(|row| event(shard, row)).collect::<Result<Vec<_>>>()?;
        let next = match events.last() {
            Some(last) if events.len() == limit as usize => last.position,
            _ => place(&mut snapshot, shard, newest).await?,
        };
        Ok(Events::new(events, next))
    }

    /// Whether the position is in this store's history; for a consumer to keep.
    pub(super) async fn check_kept(&self, consumer: &str, position: Position) -> Result<()> {
        check_consumer(consumer)?;
        let mut snapshot = self.pool.begin().await.map_err(from_sqlx)?;
        self.check(&mut snapshot, "position", position).await.map(drop)
    }

    /// Refuses what is not in this store's history; gives the number of the newest event.
    async fn check(
        &self,
        snapshot: &mut SqliteConnection,
        field: &'static str,
        position: Position,
    ) -> Result<u64> {
        let (newest, forgotten) =
            self.bounds(snapshot, position.shard()).await.map_err(|error| error.with_field(field))?;
        if position.number() > newest {
            return Err(not_in_history(field, "the position lies beyond the newest event"));
        }
        if place(snapshot, position.shard(), position.number()).await? != position {
            return Err(not_in_history(field, "the position is of another epoch: the store was replaced"));
        }
        if position.number() < forgotten {
            return Err(not_in_history(field, "events behind the position were forgotten"));
        }
        Ok(newest)
    }

    async fn bounds(&self, snapshot: &mut SqliteConnection, shard: ShardId) -> Result<(u64, u64)> {
        let query = sqlx::query(self.tables.bounds).bind(i64::from(shard.number()));
        let row = query.fetch_optional(snapshot).await.map_err(from_sqlx)?;
        let row = row.ok_or_else(|| no_such_shard(shard))?;
        Ok((row.get::<i64, _>(0) as u64, row.get::<i64, _>(1) as u64))
    }

    pub(super) async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        check_consumer(consumer)?;
        let mut snapshot = self.pool.begin().await.map_err(from_sqlx)?;
        let rows = sqlx::query(self.tables.positions)
            .bind(consumer)
            .fetch_all(&mut *snapshot)
            .await
            .map_err(from_sqlx)?;
        let mut positions = Vec::with_capacity(rows.len());
        for row in &rows {
            let (shard, number) = (row.get::<i64, _>(0) as u16, row.get::<i64, _>(1) as u64);
            positions.push(place(&mut snapshot, ShardId::new(shard), number).await?);
        }
        Ok(positions)
    }
}

/// The waiting of a reader for events.
pub(super) struct Waiting {
    deadline: Instant,
    /// The number of the newest event, where this process writes.
    written: Option<watch::Receiver<u64>>,
}

impl Waiting {
    pub(super) fn up_to(wait: Duration, written: Option<watch::Receiver<u64>>) -> Result<Self> {
        match Instant::now().checked_add(wait) {
            Some(deadline) => Ok(Self { deadline, written }),
            None => Err(Error::invalid("wait", "longer than can be waited")),
        }
    }

    /// Whether what is read now is the answer, be it nothing.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Waits for an event behind this number, as far as can be known without reading.
    pub(super) async fn behind(&mut self, newest: u64) {
        match &mut self.written {
            Some(written) => {
                let later = written.wait_for(|written| *written > newest);
                if matches!(tokio::time::timeout_at(self.deadline, later).await, Ok(Err(_))) {
                    // The writer has ended.
                    self.deadline = Instant::now();
                }
            }
            None => tokio::time::sleep_until(self.deadline.min(Instant::now() + POLL)).await,
        }
    }
}

/// The position with this number, in the epoch that it lies in.
async fn place(connection: &mut SqliteConnection, shard: ShardId, number: u64) -> Result<Position> {
    let query = sqlx::query_scalar(concat!("SELECT ", epoch_of!("?1")));
    let query = query.bind(i64::try_from(number).unwrap_or(i64::MAX));
    let epoch: i64 = query.fetch_one(connection).await.map_err(from_sqlx)?;
    Ok(Position::new(epoch as u64, shard, number))
}

fn event(shard: ShardId, row: &SqliteRow) -> Result<Event> {
    let position = Position::new(row.get::<i64, _>(6) as u64, shard, row.get::<i64, _>(0) as u64);
    let payload = serde_json::from_str(row.get(5))
        .map_err(|source| damaged(Error::invalid("payload", "not JSON").with_source(source)))?;
    let (id, stream, topic): (String, String, String) = (row.get(1), row.get(2), row.get(3));
    let event = NewEvent::new(id, stream, topic, payload);
    Ok(Event::new(position, Timestamp::from_micros(row.get(4)), event))
}

/// Begins an epoch behind the newest event: what is written from now on is told from what another copy of the file writes.
pub(super) async fn begin_epoch(connection: &mut SqliteConnection, newest: u64) -> Result<()> {
    sqlx::query("INSERT OR REPLACE INTO epochs VALUES (?1, ?2)")
        .bind(newest as i64 + 1)
        .bind(new_epoch())
        .execute(connection)
        .await
        .map(drop)
        .map_err(from_sqlx)
}
