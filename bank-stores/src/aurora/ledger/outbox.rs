//! The ledger's events; each connection of a process's writer begins an epoch.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::time::Instant;

use super::AuroraLedger;
use crate::aurora::database::Database;
use crate::aurora::error::from_sqlx;
use crate::ledger::ConsumerId;
use crate::ledger::sql::outbox;
use crate::ledger::work::Work;
use crate::outbox::{Edge, Events, Position, ShardId};
use crate::{Error, Outbox, Result, Timestamp};

/// Begins an epoch behind the newest event.
pub(super) async fn begin_epoch(database: &Database, connection: &mut PgConnection) -> Result<()> {
    let mut transaction = connection.begin().await.map_err(from_sqlx)?;
    // Under the lock of the groups, so that none of them is being committed across the border.
    let lock = database.sql("SELECT pg_advisory_xact_lock({lock})");
    sqlx::query(lock).execute(&mut *transaction).await.map_err(from_sqlx)?;
    outbox::begin_epoch(&mut database.connected(&mut *transaction)).await?;
    transaction.commit().await.map_err(from_sqlx)
}

#[async_trait]
impl Outbox for AuroraLedger {
    async fn shards(&self) -> Result<Vec<ShardId>> {
        Ok(outbox::shards())
    }

    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        outbox::edge(&*self.database, shard, edge).await
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        let Some(deadline) = Instant::now().checked_add(wait) else {
            return Err(Error::invalid("wait", "longer than can be waited"));
        };
        let mut reader = self.watcher.reader(self.writer.position());
        loop {
            reader.reads();
            let over = Instant::now() >= deadline;
            let now = outbox::events_now(&*self.database, *after, limit).await?;
            if over || !now.events.is_empty() {
                return Ok(now);
            }
            // What this process commits wakes at once; what others commit is looked for once for all who wait.
            let _ = tokio::time::timeout_at(deadline, reader.wait_beyond(after.number())).await;
        }
    }

    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()> {
        let consumer = ConsumerId::new(consumer)?;
        outbox::check_kept(&*self.database, *position).await?;
        self.work(Work::Consumed(consumer, position.number() as i64)).await.map(drop)
    }

    async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        outbox::positions(&*self.database, &ConsumerId::new(consumer)?).await
    }

    async fn forget_consumer(&self, consumer: &str) -> Result<()> {
        self.work(Work::Leave(ConsumerId::new(consumer)?)).await.map(drop)
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        self.work(Work::Forget(before)).await
    }
}
