//! Reading the ledger's events. They are in one shard; each opening by a process begins an epoch.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row};
use tokio::time::Instant;

use super::AuroraLedger;
use crate::aurora::error::{damaged, from_sqlx};
use crate::ledger::work::{Work, forget};
use crate::ledger::{ConsumerId, STREAM};
use crate::outbox::{
    Edge, Event, Events, NewEvent, Position, ShardId, check_consumer, check_limit, no_such_shard,
    not_in_history,
};
use crate::{Error, Outbox, Random as _, Result, SystemRandom, Timestamp};

/// How often the events of other processes are looked for.
const POLL: Duration = Duration::from_millis(50);

const SHARD: ShardId = ShardId::new(0);

/// Begins an epoch behind the newest event: what is written from now on is told from what a copy of the database writes.
pub(super) async fn begin_epoch(connection: &mut PgConnection) -> Result<()> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes);
    // Never 0, which is before the first event.
    let epoch = (i64::from_be_bytes(bytes) & i64::MAX) | 1;
    let mut transaction = connection.begin().await.map_err(from_sqlx)?;
    // Under the lock of the groups, so that none of them is being committed across the border.
    let sequence: i64 = sqlx::query_scalar("SELECT sequence FROM state FOR UPDATE")
        .fetch_one(&mut *transaction)
        .await
        .map_err(from_sqlx)?;
    sqlx::query(
        "INSERT INTO epochs VALUES ($1, $2) ON CONFLICT (number) DO UPDATE SET epoch = excluded.epoch",
    )
    .bind(sequence + 1)
    .bind(epoch)
    .execute(&mut *transaction)
    .await
    .map_err(from_sqlx)?;
    transaction.commit().await.map_err(from_sqlx)
}

/// The epoch of the event with this number, or of $1.
macro_rules! epoch_of {
    ($number:literal) => {
        concat!(
            "coalesce((SELECT epoch FROM epochs WHERE number <= ",
            $number,
            " ORDER BY number DESC LIMIT 1), 0)"
        )
    };
}

fn place(epoch: i64, number: i64) -> Position {
    Position::new(epoch as u64, SHARD, number as u64)
}

impl AuroraLedger {
    /// Refuses what is not in this ledger's history.
    async fn check(&self, field: &'static str, position: Position) -> Result<()> {
        if position.shard() != SHARD {
            return Err(no_such_shard(position.shard()).with_field(field));
        }
        let sql = concat!(
            "SELECT sequence, coalesce((SELECT min(position) - 1 FROM outbox), 0), ",
            epoch_of!("$1"),
            " FROM state"
        );
        let row = sqlx::query(sql)
            .bind(i64::try_from(position.number()).unwrap_or(i64::MAX))
            .fetch_one(self.database.current())
            .await
            .map_err(from_sqlx)?;
        let (newest, forgotten) = (row.get::<i64, _>(0) as u64, row.get::<i64, _>(1) as u64);
        if position.number() > newest {
            return Err(not_in_history(field, "the position lies beyond the newest event"));
        }
        if row.get::<i64, _>(2) as u64 != position.epoch() {
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
            " FROM outbox WHERE position > $1 ORDER BY position LIMIT $2"
        );
        let rows = sqlx::query(sql)
            .bind(i64::try_from(after.number()).unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(self.database.current())
            .await
            .map_err(from_sqlx)?;
        let event = |row: &sqlx::postgres::PgRow| {
            let payload = serde_json::from_str(row.get(4))
                .map_err(|source| damaged(Error::invalid("payload", "not JSON").with_source(source)))?;
            let event = NewEvent::new(row.get::<String, _>(1), STREAM, row.get::<String, _>(2), payload);
            Ok(Event::new(place(row.get(5), row.get(0)), Timestamp::from_micros(row.get(3)), event))
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
            Edge::Newest => "SELECT sequence FROM state",
            Edge::Oldest => "SELECT coalesce(min(position) - 1, 0) FROM outbox",
        };
        let mut connection = self.database.current().acquire().await.map_err(from_sqlx)?;
        let number: i64 = sqlx::query_scalar(number).fetch_one(&mut *connection).await.map_err(from_sqlx)?;
        let query = sqlx::query_scalar(concat!("SELECT ", epoch_of!("$1"))).bind(number);
        Ok(place(query.fetch_one(&mut *connection).await.map_err(from_sqlx)?, number))
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        check_limit(limit)?;
        let Some(deadline) = Instant::now().checked_add(wait) else {
            return Err(Error::invalid("wait", "longer than can be waited"));
        };
        let mut written = self.writer.position();
        let mut checked = false;
        loop {
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
            // What this process commits wakes at once; what others commit is looked for.
            let own = written.wait_for(|written| *written > after.number());
            let _ = tokio::time::timeout_at(deadline.min(Instant::now() + POLL), own).await;
        }
    }

    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()> {
        check_consumer(consumer)?;
        self.check("position", *position).await?;
        self.work(Work::Consumed(ConsumerId::new(consumer)?, position.number() as i64)).await.map(drop)
    }

    async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        check_consumer(consumer)?;
        let sql = concat!("SELECT position, ", epoch_of!("position"), " FROM consumers WHERE id = $1");
        let rows =
            sqlx::query(sql).bind(consumer).fetch_all(self.database.current()).await.map_err(from_sqlx)?;
        Ok(rows.iter().map(|row| place(row.get(1), row.get(0))).collect())
    }

    async fn forget_consumer(&self, consumer: &str) -> Result<()> {
        self.work(Work::Leave(ConsumerId::new(consumer)?)).await.map(drop)
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        forget(&self.writer, before).await
    }
}
