//! How long values are kept.

use std::time::Duration;

use crate::{Error, Result};

/// No time may be longer: a year.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
/// With less patience, an adapter could not tell a silent server from a slow one.
const SHORTEST: Duration = Duration::from_millis(100);

/// How long values are kept, and how many.
#[derive(Clone, Debug)]
#[must_use]
pub struct ReadThroughOptions {
    pub(super) name: String,
    pub(super) ttl: Duration,
    pub(super) local_ttl: Duration,
    pub(super) negative_ttl: Duration,
    pub(super) local_capacity: u64,
    pub(super) load_timeout: Duration,
}

impl ReadThroughOptions {
    /// Values that are kept under `name`, in the shared cache for ten minutes, in the process for ten seconds, and five seconds where
    /// there is no value; 10,000 copies in the process; the loader may take five seconds.
    ///
    /// # Errors
    /// `Invalid`, field `name`: 1 to 64 characters of `a-z A-Z 0-9 _ -`.
    pub fn new(name: &str) -> Result<Self> {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if !plain || !(1..=64).contains(&name.len()) {
            return Err(Error::invalid("name", "1 to 64 characters of a-z A-Z 0-9 _ -"));
        }
        Ok(Self {
            name: name.to_owned(),
            ttl: Duration::from_secs(600),
            local_ttl: Duration::from_secs(10),
            negative_ttl: Duration::from_secs(5),
            local_capacity: 10_000,
            load_timeout: Duration::from_secs(5),
        })
    }

    /// How long the shared cache keeps a value.
    ///
    /// # Errors
    /// `Invalid`, field `ttl`: 1 ms to 365 days.
    pub fn ttl(self, ttl: Duration) -> Result<Self> {
        Ok(Self { ttl: within("ttl", ttl)?, ..self })
    }

    /// How long a process keeps a copy without asking the shared cache.
    ///
    /// # Errors
    /// `Invalid`, field `local_ttl`: 1 ms to 365 days.
    pub fn local_ttl(self, ttl: Duration) -> Result<Self> {
        Ok(Self { local_ttl: within("local_ttl", ttl)?, ..self })
    }

    /// How long it is kept, at most, that there is no value: where somebody makes one, others may not know for so long.
    ///
    /// # Errors
    /// `Invalid`, field `negative_ttl`: 1 ms to 365 days.
    pub fn negative_ttl(self, ttl: Duration) -> Result<Self> {
        Ok(Self { negative_ttl: within("negative_ttl", ttl)?, ..self })
    }

    /// How many copies this process keeps.
    pub fn local_capacity(self, copies: u64) -> Self {
        Self { local_capacity: copies, ..self }
    }

    /// How long the loader may take. A call to the shared cache may take a quarter of it, and
    /// 100 ms at least.
    ///
    /// # Errors
    /// `Invalid`, field `load_timeout`: 1 ms to 365 days.
    pub fn load_timeout(self, timeout: Duration) -> Result<Self> {
        Ok(Self { load_timeout: within("load_timeout", timeout)?, ..self })
    }

    /// How long a call to the shared cache may take.
    pub(super) fn call_timeout(&self) -> Duration {
        (self.load_timeout / 4).max(SHORTEST)
    }

    /// The age at which a value may be taken from the shared cache at most: a loader that takes all its time, and then the shared
    /// cache, put it there for `ttl`.
    pub(super) fn oldest_shared(&self) -> Duration {
        self.load_timeout + self.call_timeout() + self.ttl
    }

    /// The age at which a value is served at most. A copy's time begins before the look-up; whoever waits for a look-up gets a value
    /// that has aged by as much as that takes.
    pub(super) fn staleness_bound(&self, is_shared: bool) -> Duration {
        if is_shared {
            self.oldest_shared() + self.local_ttl.max(self.call_timeout())
        } else {
            self.local_ttl.max(self.load_timeout)
        }
    }
}

fn within(field: &'static str, time: Duration) -> Result<Duration> {
    if !(Duration::from_millis(1)..=LONGEST).contains(&time) {
        return Err(Error::invalid(field, "1 ms to 365 days"));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_both_times_and_what_a_look_up_takes() {
        let options = ReadThroughOptions::new("names").unwrap();
        // 600 s there, 10 s here, 5 s for the loader and a quarter of that to put it there.
        assert_eq!(options.staleness_bound(true), Duration::from_millis(616_250));
        assert_eq!(options.staleness_bound(false), Duration::from_secs(10));
        let hasty = options.local_ttl(Duration::from_secs(1)).unwrap();
        assert_eq!(hasty.staleness_bound(true), Duration::from_millis(607_500));
        assert_eq!(hasty.staleness_bound(false), Duration::from_secs(5));
    }
}
