//! How often a password may be given wrongly to change it: as often as at a login, so that a session that somebody left open, or
//! that was stolen, is no place to guess at.
//!
//! Each try is counted before it is checked, in one item of the customer: of many at once, at any number of copies of this service,
//! no more are checked than one after the other. A right one forgives all. Logins are counted apart: who guesses here keeps nobody
//! from signing in.

use std::time::Duration;

use bank_sdk::Problem;
use bank_stores::items::{Change, Condition, Key, Transaction};
use bank_stores::{Consistency, ErrorKind, ItemsExt as _, Timestamp, random};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::service::{Identity, RACES};
use crate::user::known;

/// So many wrong ones cost no wait.
const FREE: u32 = 5;
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// So long after its wait all is forgiven.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// Tries since the last right one.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Guesses {
    count: u32,
    /// When the next one may be made.
    until: Timestamp,
}

impl Guesses {
    /// With one more, made at this time.
    fn one_more(self, now: Timestamp) -> Self {
        let count = self.count.saturating_add(1);
        let wait = match count.checked_sub(FREE) {
            Some(over) => Duration::from_secs(1).saturating_mul(1 << over.min(10)).min(LONGEST),
            None => Duration::ZERO,
        };
        Self { count, until: now.saturating_add(wait) }
    }
}

impl Identity {
    /// Counts a try, or says when it may be made.
    pub(crate) async fn enter_guess(&self, customer: &str) -> Result<(), Problem> {
        for _ in 0..RACES {
            let now = self.clock.now();
            let key = guesses_key(customer);
            let found = known(self.users.items.get_json::<Guesses>(&key, Consistency::Current).await)?;
            let (guesses, condition) = match found {
                Some((guesses, version)) => (guesses, Condition::Version(version)),
                None => (Guesses::default(), Condition::Absent),
            };
            if guesses.until > now {
                return Err(too_many(guesses.until.since(now)));
            }
            let guesses = guesses.one_more(now);
            let change = Change::put(key, &guesses)?
                .when(condition)
                .expires_at(guesses.until.saturating_add(FORGOTTEN));
            let write = Transaction::new(random::id(&*self.random, "guess:")).change(change);
            match self.users.items.commit_one(write).await {
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists) => {}
                outcome => return outcome.map(drop).map_err(Problem::from),
            }
        }
        Err(too_many(Duration::from_secs(1)))
    }
}

/// What forgives a customer's wrong ones.
pub(crate) fn forgiven(customer: &str) -> Change {
    Change::delete(guesses_key(customer))
}

fn guesses_key(customer: &str) -> Key {
    Key::new(format!("customer#{customer}"), "guesses")
}

fn too_many(wait: Duration) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong passwords; wait before the next try")
        .with_code("too_many_failures")
        .with_retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_wrong_ones_are_free_and_each_more_waits_twice_as_long() {
        let start = Timestamp::from_seconds(1_893_456_000);
        let mut guesses = Guesses::default();
        let waits: Vec<u64> = (0..20)
            .map(|_| {
                guesses = guesses.one_more(start);
                guesses.until.since(start).as_secs()
            })
            .collect();
        assert_eq!(waits[..8], [0, 0, 0, 0, 1, 2, 4, 8]);
        assert_eq!(waits[19], 900);
    }
}
