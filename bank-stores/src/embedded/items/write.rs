//! What a group leaves behind, as rows.

use std::time::Duration;

use sqlx::sqlite::SqliteConnection;

use super::engine::Left;
use crate::embedded::error::from_sqlx;
use crate::embedded::json::Rows;
use crate::{Result, Timestamp};

/// Where and when a group is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The number of the newest event before it.
    pub(super) number: u64,
    pub(super) shards: u16,
    pub(super) now: Timestamp,
    /// How long the store has been open, all openings together.
    pub(super) age: Duration,
}

/// Writes what the group did; gives the number of the newest event.
pub(super) async fn write(connection: &mut SqliteConnection, left: &Left<'_>, place: Place) -> Result<u64> {
    let (mut puts, mut deletes, mut writes, mut outbox, mut state) =
        (Rows::new(), Rows::new(), Rows::new(), Rows::new(), Rows::new());
    for (key, left) in &left.items {
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
    let age = i64::try_from(place.age.as_micros()).unwrap_or(i64::MAX);
    for (id, committed) in &left.writes {
        let row = writes.row().text(id.as_str()).integer(age);
        match committed {
            Some((content, versions)) => drop(row.json(versions).bytes(content)),
            None => drop(row.optional_text(None)),
        }
    }
    let mut number = place.number;
    for event in left.committed.iter().flat_map(|transaction| &transaction.events) {
        number += 1;
        outbox
            .row()
            .unsigned(number)
            .integer(i64::from(event.stream.shard(place.shards).number()))
            .text(&event.id)
            .text(event.stream.as_str())
            .text(&event.topic)
            .integer(place.now.micros())
            .json_bytes(&event.payload);
    }
    state.row().unsigned(number).integer(age);
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
            "INSERT INTO writes (id, at, versions, content)
             SELECT value->>0, value->>1, value->>2, iif(value->>2 IS NULL, NULL, substr(?2, value->>3, value->>4))
             FROM jsonb_each(?1)",
            writes,
        ),
        (
            "INSERT INTO outbox (number, shard, id, stream, topic, at, payload)
             SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5,
                    CAST(substr(?2, value->>6, value->>7) AS TEXT) FROM jsonb_each(?1)",
            outbox,
        ),
        (
            "UPDATE state SET number = (SELECT value->>0 FROM jsonb_each(?1)),
                              age = max(age, (SELECT value->>1 FROM jsonb_each(?1)))",
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
    Ok(number)
}

/// Removes up to so many of the items that have expired.
pub(super) async fn sweep_items(
    connection: &mut SqliteConnection,
    now: Timestamp,
    limit: usize,
) -> Result<()> {
    let sql = "DELETE FROM items WHERE rowid IN
               (SELECT rowid FROM items WHERE expires_at IS NOT NULL AND expires_at <= ?1 LIMIT ?2)";
    sqlx::query(sql).bind(now.micros()).bind(limit as i64).execute(connection).await.map_err(from_sqlx)?;
    Ok(())
}

/// Forgets up to so many of the ids that were taken when the store had been open for less than `before`.
pub(super) async fn sweep_writes(
    connection: &mut SqliteConnection,
    before: Duration,
    limit: usize,
) -> Result<()> {
    let sql = "DELETE FROM writes WHERE sequence IN (SELECT sequence FROM writes WHERE at < ?1 LIMIT ?2)";
    let before = i64::try_from(before.as_micros()).unwrap_or(i64::MAX);
    sqlx::query(sql).bind(before).bind(limit as i64).execute(connection).await.map_err(from_sqlx)?;
    Ok(())
}
