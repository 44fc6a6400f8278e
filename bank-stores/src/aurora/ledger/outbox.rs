//! Reading the ledger's events. They are in one shard; each connection of a process's writer begins an epoch.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgRow};
use tokio::time::Instant;

use super::AuroraLedger;
use crate::aurora::database::Database;
use crate::aurora::error::{damaged, from_sqlx};
use crate::ledger::sql::rows::Record as _;
use crate::ledger::sql::{Session as _, Store as _};
use crate::ledger::work::{Work, forget};
use crate::ledger::{ConsumerId, STREAM};
use crate::outbox::{
    Edge, Event, Events, NewEvent, Position, ShardId, check_consumer, check_limit, no_such_shard,
    not_in_history,
};
use crate::{Consistency, Error, ErrorKind, Outbox, Random as _, Result, SystemRandom, Timestamp};

const SHARD: ShardId = ShardId::new(0);

/// Begins an epoch behind the newest event: what is written from now on is told from what a copy of the database writes.
pub(super) async fn begin_epoch(database: &Database, connection: &mut PgConnection) -> Result<()> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes);
    // Never 0, which is before the first event.
    let epoch = (i64::from_be_bytes(bytes) & i64::MAX) | 1;
    let mut transaction = connection.begin().await.map_err(from_sqlx)?;
    // Under the lock of the groups, so that none of them is being committed across the border.
    let lock = database.sql("SELECT pg_advisory_xact_lock({lock})");
    sqlx::query(lock).execute(&mut *transaction).await.map_err(from_sqlx)?;
    let begin = "INSERT INTO {epochs} AS e (number, epoch) SELECT {newest} + 1, $1
                 ON CONFLICT (number) DO UPDATE SET epoch = excluded.epoch";
    database.connected(&mut *transaction).execute(begin, vec![epoch.into()]).await?;
    transaction.commit().await.map_err(from_sqlx)
}

/// The epoch of the event with this number, or of $1.
macro_rules! epoch_of {
    ($number:literal) => {
        concat!(
            "coalesce((SELECT epoch FROM {epochs} WHERE number <= ",
            $number,
            " ORDER BY number DESC LIMIT 1), 0)"
        )
    };
}

fn place(row: &PgRow) -> Result<Position> {
    Ok(Position::new(row.sequence("epoch")?, SHARD, row.sequence("position")?))
}

impl AuroraLedger {
    /// Refuses what is not in this ledger's history.
    async fn check(&self, field: &'static str, position: Position) -> Result<()> {
        if position.shard() != SHARD {
            return Err(no_such_shard(position.shard()).with_field(field));
        }
        let sql = concat!(
            "SELECT {newest} AS newest, coalesce((SELECT min(position) - 1 FROM {outbox}), 0) AS forgotten, ",
            epoch_of!("$1"),
            " AS epoch"
        );
        let number = i64::try_from(position.number()).unwrap_or(i64::MAX);
        let mut session = self.database.session(Consistency::Current).await?;
        let row = session.row(sql, vec![number.into()]).await?;
        let row = row.ok_or_else(|| Error::new(ErrorKind::Unavailable, "the server gave no row"))?;
        let (newest, forgotten) = (row.sequence("newest")?, row.sequence("forgotten")?);
        if position.number() > newest {
            return Err(not_in_history(field, "the position lies beyond the newest event"));
        }
        if row.sequence("epoch")? != position.epoch() {
            return Err(not_in_history(field, "the position is of another epoch: the ledger was replaced"));
        }
        if position.number() < forgotten {
            return Err(not_in_history(field, "events behind the position were forgotten"));
        }
        Ok(())
    }

    async fn events_now(&self, after: Position, limit: u32) -> Result<Vec<Event>> {
        let sql = concat!(
            "SELECT position, id, topic, at, payload, ",
            epoch_of!("position"),
            " AS epoch FROM {outbox} WHERE position > $1 ORDER BY position LIMIT $2"
        );
        let after = i64::try_from(after.number()).unwrap_or(i64::MAX);
        let mut session = self.database.session(Consistency::Current).await?;
        let rows = session.rows(sql, vec![after.into(), i64::from(limit).into()]).await?;
        let event = |row: &PgRow| {
            let payload = serde_json::from_str(row.text("payload")?)
                .map_err(|source| damaged(Error::invalid("payload", "not JSON").with_source(source)))?;
            let event = NewEvent::new(row.text("id")?, STREAM, row.text("topic")?, payload);
            Ok(Event::new(place(row)?, row.time("at")?, event))
        };
        rows.iter().map(event).collect()
    }
}

#[async_trait]
impl Outbox for AuroraLedger {
    async fn shards(&self) -> Result<Vec<ShardId>> {
        Ok(vec![SHARD])
    }

    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        if shard != SHARD {
            return Err(no_such_shard(shard));
        }
        let number = match edge {
            Edge::Newest => "SELECT {newest} AS number",
            Edge::Oldest => "SELECT coalesce(min(position) - 1, 0) AS number FROM {outbox}",
        };
        let mut session = self.database.session(Consistency::Current).await?;
        let number = session.number(number, Vec::new()).await?.unwrap_or_default();
        let epoch = concat!("SELECT ", epoch_of!("$1"), " AS number");
        let epoch = session.number(epoch, vec![number.into()]).await?.unwrap_or_default();
        Ok(Position::new(epoch as u64, SHARD, number as u64))
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        check_limit(limit)?;
        let Some(deadline) = Instant::now().checked_add(wait) else {
            return Err(Error::invalid("wait", "longer than can be waited"));
        };
        let mut reader = self.watcher.reader(self.writer.position());
        let mut checked = false;
        loop {
            reader.reads();
            let over = Instant::now() >= deadline;
            let events = self.events_now(*after, limit).await?;
            if !checked {
                // After reading: what was forgotten meanwhile is noticed.
                self.check("after", *after).await?;
                checked = true;
            }
            if let Some((first, last)) = events.first().zip(events.last()) {
                if first.position.number() != after.number() + 1 {
                    return Err(not_in_history("after", "events behind the position were forgotten"));
                }
                let next = last.position;
                return Ok(Events::new(events, next));
            }
            if over {
                return Ok(Events::new(events, *after));
            }
            // What this process commits wakes at once; what others commit is looked for once for all who wait.
            let _ = tokio::time::timeout_at(deadline, reader.wait_beyond(after.number())).await;
        }
    }

    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()> {
        check_consumer(consumer)?;
        self.check("position", *position).await?;
        self.work(Work::Consumed(ConsumerId::new(consumer)?, position.number() as i64)).await.map(drop)
    }

    async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        check_consumer(consumer)?;
        let sql =
            concat!("SELECT position, ", epoch_of!("position"), " AS epoch FROM {consumers} WHERE id = $1");
        let mut session = self.database.session(Consistency::Current).await?;
        session.rows(sql, vec![consumer.into()]).await?.iter().map(place).collect()
    }

    async fn forget_consumer(&self, consumer: &str) -> Result<()> {
        self.work(Work::Leave(ConsumerId::new(consumer)?)).await.map(drop)
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        forget(&self.writer, before).await
    }
}
