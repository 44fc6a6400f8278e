//! A service's events: kept in its store's outbox, pulled through the gateway by whoever needs them.
//!
//! A consumer keeps the position with its effect and drops ids it has seen, so that each event has its effect once
//! although it may be delivered more than once.

use std::time::Duration;

use bank_stores::{Event, Position};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client::{CallError, Client};
use crate::{Endpoint, Problem};

/// Which events are asked for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventsAfter {
    /// The position of the last event that the consumer has; the start where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Position>,
    /// At most so many, 1 to 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// How many milliseconds to wait for the first one, at most 20,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// Events in commit order.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventList {
    /// The events.
    pub items: Vec<Event>,
}

impl EventsAfter {
    /// Position, number and time to wait, within their bounds.
    ///
    /// # Errors
    /// A problem that names the field.
    pub fn bounded(&self) -> Result<(Position, u32, Duration), Problem> {
        let limit = self.limit.unwrap_or(200);
        let wait = self.wait_ms.unwrap_or(0);
        if !(1..=1_000).contains(&limit) {
            return Err(
                Problem::bad_request("`limit` must be 1 to 1000").with_field("limit", "must be 1 to 1000")
            );
        }
        if wait > 20_000 {
            return Err(Problem::bad_request("`wait_ms` must be at most 20000")
                .with_field("wait_ms", "must be at most 20000"));
        }
        Ok((self.after.unwrap_or_default(), limit, Duration::from_millis(wait)))
    }
}

/// Follows a service's events for ever: each batch is handed over in order, and asked for again until it was taken.
///
/// `take` stores the effect and the position together, and returns the position of the last event taken.
pub async fn follow<F, Fut>(
    client: Client,
    endpoint: Endpoint<EventsAfter, EventList>,
    start: Position,
    mut take: F,
) where
    F: FnMut(Vec<Event>) -> Fut + Send,
    Fut: Future<Output = Result<Position, bank_stores::Error>> + Send,
{
    const WAIT: Duration = Duration::from_secs(15);
    let mut position = start;
    let mut failures = 0_u32;
    loop {
        let input = EventsAfter { after: Some(position), limit: Some(500), wait_ms: Some(15_000) };
        let answer = client.call(endpoint, &input).timeout(WAIT + Duration::from_secs(5)).send().await;
        let taken = match answer {
            Ok(list) if list.items.is_empty() => Ok(position),
            Ok(list) => take(list.items).await.map_err(Failure::Store),
            Err(error) => Err(Failure::Call(error)),
        };
        match taken {
            Ok(last) => (position, failures) = (last, 0),
            Err(error) => {
                failures = (failures + 1).min(7);
                tracing::warn!(?endpoint, %error, failures, "events cannot be taken now");
                tokio::time::sleep(Duration::from_millis(25 << failures)).await;
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Call(CallError),
    #[error(transparent)]
    Store(bank_stores::Error),
}
