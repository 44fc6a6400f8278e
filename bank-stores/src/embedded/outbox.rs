//! Reading events, and waiting for the next.

use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::SqlitePool;
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::{damaged, from_sqlx};
use crate::ledger::reading::stored_position;
use crate::{Error, Event, NewEvent, PageRequest, Position, Result, Timestamp};

/// How often a store that another process writes is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Reads events after `after`; waits up to `wait` for the first.
pub(super) async fn read(
    readers: &SqlitePool,
    position: Option<watch::Receiver<u64>>,
    after: Position,
    limit: u32,
    wait: Duration,
) -> Result<Vec<Event>> {
    PageRequest::first(limit).validate()?;
    let from = stored_position("after", after)?;
    let Some(deadline) = Instant::now().checked_add(wait) else {
        return Err(Error::invalid("wait", "longer than can be waited"));
    };
    let mut position = position;
    loop {
        let events = read_now(readers, from, limit).await?;
        if !events.is_empty() || Instant::now() >= deadline {
            return Ok(events);
        }
        match &mut position {
            Some(position) => {
                let later = position.wait_for(|position| *position > after.number());
                if !matches!(tokio::time::timeout_at(deadline, later).await, Ok(Ok(_))) {
                    // Time is over, or the writer has ended: what there is, is the answer.
                    return read_now(readers, from, limit).await;
                }
            }
            None => tokio::time::sleep_until(deadline.min(Instant::now() + POLL)).await,
        }
    }
}

async fn read_now(readers: &SqlitePool, after: i64, limit: u32) -> Result<Vec<Event>> {
    let rows = sqlx::query(
        "SELECT position, id, topic, at, payload FROM outbox WHERE position > ?1 ORDER BY position LIMIT ?2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(readers)
    .await
    .map_err(from_sqlx)?;
    rows.iter()
        .map(|row| {
            let payload = serde_json::from_str(row.get(4))
                .map_err(|source| damaged(Error::invalid("payload", "not JSON").with_source(source)))?;
            let event = NewEvent::new(row.get::<String, _>(1), row.get::<String, _>(2), payload);
            Ok(Event::new(
                Position::new(row.get::<i64, _>(0) as u64),
                Timestamp::from_micros(row.get(3)),
                event,
            ))
        })
        .collect()
}
