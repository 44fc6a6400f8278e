//! The events of items: how they are asked for, who reads them, and when they are forgotten.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::embedded::error::from_sqlx;
use crate::embedded::outbox::{Tables, epoch_of};
use crate::{Result, Timestamp};

/// How many events are forgotten at once.
pub(super) const PORTION: u64 = 1_000;

pub(super) const TABLES: Tables = Tables {
    shards: "SELECT shard FROM shards ORDER BY shard",
    bounds: "SELECT (SELECT number FROM state), forgotten FROM shards WHERE shard = ?1",
    events: concat!(
        "SELECT number, id, stream, topic, at, payload, ",
        epoch_of!("o.number"),
        " FROM outbox o WHERE shard = ?1 AND number > ?2 ORDER BY number LIMIT ?3"
    ),
    positions: "SELECT shard, number FROM consumers WHERE id = ?1 ORDER BY shard",
};

pub(super) async fn make_shards(connection: &mut SqliteConnection, shards: u16) -> Result<()> {
    let sql = "INSERT INTO shards
               WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n + 1 < ?1)
               SELECT n, 0 FROM s";
    sqlx::query(sql).bind(i64::from(shards)).execute(connection).await.map_err(from_sqlx)?;
    Ok(())
}

/// Keeps how far a consumer has come.
pub(super) async fn keep(
    connection: &mut SqliteConnection,
    consumer: &str,
    shard: u16,
    number: u64,
) -> Result<u64> {
    let sql = "INSERT INTO consumers VALUES (?1, ?2, ?3)
               ON CONFLICT (id, shard) DO UPDATE SET number = max(number, excluded.number)";
    let query = sqlx::query(sql).bind(consumer).bind(i64::from(shard)).bind(number as i64);
    Ok(query.execute(connection).await.map_err(from_sqlx)?.rows_affected())
}

pub(super) async fn leave(connection: &mut SqliteConnection, consumer: &str) -> Result<u64> {
    let query = sqlx::query("DELETE FROM consumers WHERE id = ?1").bind(consumer);
    Ok(query.execute(connection).await.map_err(from_sqlx)?.rows_affected())
}

/// Forgets a portion of the events before a time that every consumer has passed.
///
/// Those of a shard go from the oldest on, and none before a younger one: the times of events go back where a clock does, and a
/// reader has to find no hole.
pub(super) async fn forget(connection: &mut SqliteConnection, before: Timestamp) -> Result<u64> {
    // A consumer that has kept nothing in a shard has read nothing there.
    let shards = sqlx::query(
        "SELECT s.shard, (SELECT min(coalesce(k.number, 0)) FROM (SELECT DISTINCT id FROM consumers) c
                          LEFT JOIN consumers k ON k.id = c.id AND k.shard = s.shard)
         FROM shards s",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(from_sqlx)?;
    let mut forgotten = 0;
    for shard in &shards {
        let (shard, passed): (i64, Option<i64>) = (shard.get(0), shard.get(1));
        let oldest = sqlx::query(
            "SELECT number, at FROM outbox WHERE shard = ?1 AND number <= ?2 ORDER BY number LIMIT ?3",
        )
        .bind(shard)
        .bind(passed.unwrap_or(i64::MAX))
        .bind((PORTION - forgotten) as i64)
        .fetch_all(&mut *connection)
        .await
        .map_err(from_sqlx)?;
        let old = oldest.iter().take_while(|event| event.get::<i64, _>(1) < before.micros());
        let Some(last) = old.last().map(|event| event.get::<i64, _>(0)) else { continue };
        let deleted = sqlx::query("DELETE FROM outbox WHERE shard = ?1 AND number <= ?2")
            .bind(shard)
            .bind(last)
            .execute(&mut *connection)
            .await
            .map_err(from_sqlx)?;
        sqlx::query("UPDATE shards SET forgotten = ?2 WHERE shard = ?1")
            .bind(shard)
            .bind(last)
            .execute(&mut *connection)
            .await
            .map_err(from_sqlx)?;
        forgotten += deleted.rows_affected();
        if forgotten >= PORTION {
            break;
        }
    }
    Ok(forgotten)
}
