//! Reading the ledger's events, and waiting for the next.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::rows::Record as _;
use super::{Session, Store};
use crate::error::damaged;
use crate::ledger::reading::{stored_position, without_gap};
use crate::{Consistency, Error, Event, NewEvent, PageRequest, Position, Result};

/// How often a ledger that other processes write is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Reads events behind `after`; waits up to `wait` for the first. `own` tells of what this process commits, which wakes at once;
/// where others may commit, it is looked for.
pub(crate) async fn events(
    store: &impl Store,
    mut own: Option<watch::Receiver<u64>>,
    others: bool,
    (after, limit, wait): (Position, u32, Duration),
) -> Result<Vec<Event>> {
    PageRequest::first(limit).validate()?;
    let from = stored_position("after", after)?;
    let Some(deadline) = Instant::now().checked_add(wait) else {
        return Err(Error::invalid("wait", "longer than can be waited"));
    };
    loop {
        let events = without_gap(after, events_now(store, from, limit).await?)?;
        let now = Instant::now();
        if !events.is_empty() || now >= deadline {
            return Ok(events);
        }
        let until = if others { deadline.min(now + POLL) } else { deadline };
        let ended = match &mut own {
            Some(own) => {
                let later = own.wait_for(|position| *position > after.number());
                matches!(tokio::time::timeout_at(until, later).await, Ok(Err(_)))
            }
            None => {
                tokio::time::sleep_until(until).await;
                false
            }
        };
        if ended {
            // The writer has ended: what there is, is the answer.
            return without_gap(after, events_now(store, from, limit).await?);
        }
    }
}

async fn events_now(store: &impl Store, after: i64, limit: u32) -> Result<Vec<Event>> {
    let mut session = store.session(Consistency::Current).await?;
    let sql = "SELECT position, id, topic, at, payload FROM {outbox} WHERE position > $1 ORDER BY position LIMIT $2";
    let rows = session.rows(sql, vec![after.into(), i64::from(limit).into()]).await?;
    rows.iter()
        .map(|row| {
            let payload = serde_json::from_str(row.text("payload")?)
                .map_err(|source| damaged(Error::invalid("payload", "not JSON").with_source(source)))?;
            let event = NewEvent::new(row.text("id")?, row.text("topic")?, payload);
            Ok(Event::new(Position::new(row.sequence("position")?), row.time("at")?, event))
        })
        .collect()
}
