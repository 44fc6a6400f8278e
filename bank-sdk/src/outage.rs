//! What a log says of something that is away: that it is, once; how often it was asked for meanwhile, once a minute; and that it is
//! back. A line for each try would bury everything else.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// While it lasts it is told again after so long.
const AGAIN: Duration = Duration::from_secs(60);

/// Tells of one thing that may be away.
///
/// ```
/// use bank_sdk::Outage;
///
/// static ACCOUNTS: Outage = Outage::new("accounts");
/// ACCOUNTS.failed(&"no connection could be made");
/// ACCOUNTS.failed(&"no connection could be made");
/// assert!(ACCOUNTS.is_away());
/// ACCOUNTS.recovered();
/// assert!(!ACCOUNTS.is_away());
/// ```
#[derive(Debug)]
pub struct Outage {
    what: &'static str,
    away: Mutex<Option<Away>>,
}

#[derive(Debug)]
struct Away {
    since: Instant,
    failures: u64,
    told: Instant,
}

/// What is to be told of an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Away,
    Still { failures: u64 },
    Nothing,
}

impl Outage {
    /// Of this, as the log names it.
    #[must_use]
    pub const fn new(what: &'static str) -> Self {
        Self { what, away: Mutex::new(None) }
    }

    /// It was asked for in vain.
    pub fn failed(&self, why: &dyn fmt::Display) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        tell(self.what, why, &note_failure(&mut away, Instant::now()));
    }

    /// It answers.
    pub fn recovered(&self) {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(away) = away {
            back(self.what, &away);
        }
    }

    /// Whether it was away when it was last asked for.
    pub fn is_away(&self) -> bool {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// The same for each of the operations that somebody calls: there are as many as are declared.
#[derive(Debug, Default)]
pub(crate) struct Outages(Mutex<HashMap<&'static str, Away>>);

impl Outages {
    pub(crate) fn failed(&self, operation: &'static str, why: &dyn fmt::Display) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut away = all.remove(operation);
        let told = note_failure(&mut away, Instant::now());
        all.extend(away.map(|away| (operation, away)));
        drop(all);
        tell(operation, why, &told);
    }

    pub(crate) fn recovered(&self, operation: &'static str) {
        let away = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(operation);
        if let Some(away) = away {
            back(operation, &away);
        }
    }
}

fn note_failure(away: &mut Option<Away>, now: Instant) -> Told {
    let Some(away) = away else {
        *away = Some(Away { since: now, failures: 1, told: now });
        return Told::Away;
    };
    away.failures += 1;
    if now.saturating_duration_since(away.told) < AGAIN {
        return Told::Nothing;
    }
    away.told = now;
    Told::Still { failures: away.failures }
}

fn tell(what: &str, why: &dyn fmt::Display, told: &Told) {
    match told {
        Told::Away => tracing::warn!(what, error = %why, "away"),
        Told::Still { failures } => tracing::warn!(what, error = %why, failures, "still away"),
        Told::Nothing => tracing::debug!(what, error = %why, "away"),
    }
}

fn back(what: &str, away: &Away) {
    let seconds = away.since.elapsed().as_secs();
    tracing::info!(what, failures = away.failures, seconds, "back");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_when_it_begins_once_a_minute_and_when_it_ends() {
        let mut away = None;
        assert_eq!(note_failure(&mut away, Instant::now()), Told::Away);
        let mut told = 0;
        for _ in 0..200 {
            tokio::time::advance(Duration::from_secs(1)).await;
            told += u32::from(note_failure(&mut away, Instant::now()) != Told::Nothing);
        }
        assert_eq!((told, away.unwrap().failures), (3, 201));
    }
}
