//! Claims in this process's memory.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::once::{Once, Strength, check};
use crate::{Clock, Error, ErrorKind, Result, SystemClock};

/// Claims in this process's memory, in a bounded table that forgets nothing before its time and says so when it is full.
pub struct MemoryOnce {
    claims: Mutex<Claims>,
    clock: Arc<dyn Clock>,
}

/// Claims and the order in which they expire: by time that passes ([`Clock::elapsed`]), which nobody can set.
struct Claims {
    capacity: usize,
    values: HashMap<Arc<str>, (Bytes, Duration)>,
    order: BTreeSet<(Duration, Arc<str>)>,
}

impl MemoryOnce {
    /// Room for 100,000 claims.
    pub fn new() -> Self {
        Self::with_capacity(100_000)
    }

    /// Room for so many claims.
    pub fn with_capacity(capacity: usize) -> Self {
        let claims = Claims { capacity, values: HashMap::new(), order: BTreeSet::new() };
        Self { claims: Mutex::new(claims), clock: Arc::new(SystemClock::new()) }
    }

    /// Where the time comes from; the system's clock otherwise.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn claims(&self, now: Duration) -> MutexGuard<'_, Claims> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.expire(now);
        claims
    }
}

impl Default for MemoryOnce {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryOnce").finish_non_exhaustive()
    }
}

impl Claims {
    /// Forgets what has expired; each is looked at once, when it does.
    fn expire(&mut self, now: Duration) {
        while let Some((at, _)) = self.order.first()
            && *at <= now
        {
            if let Some((_, key)) = self.order.pop_first() {
                self.values.remove(&key);
            }
        }
    }
}

#[async_trait]
impl Once for MemoryOnce {
    async fn claim(&self, key: &str, value: Bytes, ttl: Duration) -> Result<Option<Bytes>> {
        check(key, &value)?;
        let now = self.clock.elapsed();
        let mut claims = self.claims(now);
        if let Some((held, _)) = claims.values.get(key) {
            return Ok(Some(held.clone()));
        }
        if claims.values.len() >= claims.capacity {
            return Err(Error::new(ErrorKind::Unavailable, "the table of claims is full"));
        }
        let (key, expires_at): (Arc<str>, Duration) = (key.into(), now.saturating_add(ttl));
        claims.order.insert((expires_at, key.clone()));
        claims.values.insert(key, (value, expires_at));
        Ok(None)
    }

    async fn release(&self, key: &str, value: &[u8]) -> Result<bool> {
        check(key, value)?;
        let mut claims = self.claims(self.clock.elapsed());
        if claims.values.get(key).is_none_or(|(held, _)| held != value) {
            return Ok(false);
        }
        if let Some((key, (_, at))) = claims.values.remove_entry(key) {
            claims.order.remove(&(at, key));
        }
        Ok(true)
    }

    fn strength(&self) -> Strength {
        Strength::Process
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ManualClock, Timestamp};

    #[tokio::test]
    async fn a_full_table_of_claims_says_so_and_forgets_nothing() {
        let clock = ManualClock::at(Timestamp::from_seconds(1));
        let once = MemoryOnce::with_capacity(2).clock(Arc::new(clock.clone()));
        let minute = Duration::from_secs(60);
        for key in ["a", "b"] {
            assert_eq!(once.claim(key, Bytes::new(), minute).await.unwrap(), None);
        }
        let full = once.claim("c", Bytes::new(), minute).await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::Unavailable);
        assert!(once.claim("a", Bytes::new(), minute).await.unwrap().is_some());
        clock.advance(minute);
        assert_eq!(once.claim("c", Bytes::new(), minute).await.unwrap(), None);
        assert_eq!(once.claim("a", Bytes::new(), minute).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_clock_that_is_set_ends_no_claim() {
        let clock = ManualClock::at(Timestamp::from_seconds(1_000));
        let once = MemoryOnce::new().clock(Arc::new(clock.clone()));
        let day = Duration::from_secs(86_400);
        assert_eq!(once.claim("k", "A".into(), day).await.unwrap(), None);
        for seconds in [1_000 + 2 * 86_400, 10] {
            clock.set(Timestamp::from_seconds(seconds));
            assert_eq!(once.claim("k", "B".into(), day).await.unwrap().unwrap(), "A");
        }
        clock.advance(day);
        assert_eq!(once.claim("k", "B".into(), day).await.unwrap(), None);
    }
}
