//! A key that was seen before: the answer again, byte for byte, or the wait for it.

use std::time::Duration;

use bank_sdk::{Fingerprint, Problem, Reply};
use bank_stores::{Consistency, ItemsExt};
use http::StatusCode;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::resume::is_young;
use crate::rows::{KeyRow, State, answer_key, unless_erased};
use crate::service::Transactions;
use crate::wire::Transfer;

/// How long a repeated request waits for the first one.
const WAIT: Duration = Duration::from_secs(2);
/// How often it looks, where another process works on the first one.
const LOOK: Duration = Duration::from_millis(50);

impl Transactions {
    /// The answer to the first request with this key, if it stood for the same.
    pub(crate) async fn replay(
        &self,
        id: &str,
        fingerprint: Fingerprint,
        deadline: Instant,
    ) -> Result<Reply<Transfer>, Problem> {
        let left = deadline.saturating_duration_since(Instant::now());
        let until = Instant::now() + WAIT.min(left - left / 10);
        loop {
            // Taken before looking, so that an outcome in between is not missed.
            let running = self.running.find(id);
            if let Some(answer) = self.earlier(id, fingerprint).await? {
                return answer.again();
            }
            if Instant::now() >= until {
                return Err(in_progress());
            }
            match running {
                Some(outcome) => {
                    // Its answer is read from the store above; a driver that gave up is waited for as any other.
                    if let Ok(None) = tokio::time::timeout_at(until, outcome.answer()).await {
                        tokio::time::sleep_until(until.min(Instant::now() + LOOK)).await;
                    }
                }
                None => {
                    self.adopt(id).await?;
                    tokio::time::sleep_until(until.min(Instant::now() + LOOK)).await;
                }
            }
        }
    }

    /// The answer that was given, or nothing while the first request is running.
    async fn earlier(&self, id: &str, fingerprint: Fingerprint) -> Result<Option<Answer>, Problem> {
        let key = unless_erased(self.items.get_json::<KeyRow>(&answer_key(id), Consistency::Current).await)?;
        if let Some((row, _)) = key {
            return if row.fingerprint == fingerprint { Ok(row.answer) } else { Err(key_reused()) };
        }
        // The key was forgotten; the transfer was not, and has the same id.
        let begun = self.load(id).await?.ok_or_else(Problem::unavailable)?;
        if begun.stored.fingerprint != fingerprint {
            return Err(key_reused());
        }
        match begun.stored.state {
            State::Pending => Ok(None),
            _ => begun.stored.answer().await.map(Some),
        }
    }

    /// Goes on with a transfer that nobody seems to work on; harmless if somebody does.
    async fn adopt(&self, id: &str) -> Result<(), Problem> {
        if let Some(begun) = self.load(id).await?
            && begun.stored.state == State::Pending
            && !is_young(begun.stored.created_at, self.clock.now())
        {
            self.drive(begun, None);
        }
        Ok(())
    }
}

pub(crate) fn key_reused() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "this `Idempotency-Key` was used for another request; make a new one",
    )
    .with_code("idempotency_key_reused")
}

fn in_progress() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "the first request with this key is still running; repeat it with the same key",
    )
    .with_code("request_in_progress")
    .with_retry_after(Duration::from_secs(1))
}
