//! The settings of the throttle.

use std::time::Duration;

use super::FORGOTTEN;

/// What is allowed; and how much is remembered.
///
/// | Setting | Default | Bounds |
/// | --- | --- | --- |
/// | [`free_failures`](Self::free_failures) | 5 | from 1 |
/// | [`first_wait`](Self::first_wait) | 1 s | 1 ms to `longest_wait` |
/// | [`longest_wait`](Self::longest_wait) | 15 min | up to 15 min |
/// | [`longest_wait_elsewhere`](Self::longest_wait_elsewhere) | 8 s | up to `longest_wait` |
/// | [`returning_every`](Self::returning_every) | 15 s | from 1 s |
/// | [`users`](Self::users) | 65,536 | from 1,024; 400 bytes each at most |
/// | [`names`](Self::names) | 131,072 | from 1,024; 170 bytes each at most |
///
/// ```
/// use bank_gateway::identity::Throttle;
/// use std::time::Duration;
///
/// let strict = Throttle::new().free_failures(3).longest_wait_elsewhere(Duration::from_secs(60));
/// # let _ = strict;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    pub(super) free: u32,
    pub(super) first_wait: Duration,
    pub(super) longest_wait: Duration,
    pub(super) longest_wait_elsewhere: Duration,
    pub(super) returning_every: Duration,
    pub(super) users: usize,
    pub(super) names: usize,
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

impl Throttle {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            free: 5,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(15 * 60),
            longest_wait_elsewhere: Duration::from_secs(8),
            returning_every: Duration::from_secs(15),
            users: 65_536,
            names: 131_072,
        }
    }

    /// How many failures cost no wait.
    #[must_use]
    pub const fn free_failures(mut self, failures: u32) -> Self {
        self.free = if failures == 0 { 1 } else { failures };
        self
    }

    /// How long the first wait is. Each further failure doubles it.
    #[must_use]
    pub fn first_wait(mut self, wait: Duration) -> Self {
        self.first_wait = wait.clamp(Duration::from_millis(1), FORGOTTEN);
        self
    }

    /// How long a network waits at most that failed for a user again and again.
    #[must_use]
    pub fn longest_wait(mut self, wait: Duration) -> Self {
        self.longest_wait = wait.clamp(Duration::from_millis(1), FORGOTTEN);
        self
    }

    /// How long a user's new networks wait at most for what other new networks failed. It bounds what an attacker with ever
    /// new addresses may try, and how long the owner is kept out somewhere new.
    #[must_use]
    pub fn longest_wait_elsewhere(mut self, wait: Duration) -> Self {
        self.longest_wait_elsewhere = wait.clamp(Duration::from_millis(1), FORGOTTEN);
        self
    }

    /// How often one of the networks that come back after they were told to wait has a try for a user.
    #[must_use]
    pub fn returning_every(mut self, time: Duration) -> Self {
        self.returning_every = time.max(Duration::from_secs(1));
        self
    }

    /// How many users' failures, and how many users' networks, are remembered.
    #[must_use]
    pub fn users(mut self, users: usize) -> Self {
        self.users = users.max(1_024);
        self
    }

    /// How many made-up names' failures are remembered.
    #[must_use]
    pub fn names(mut self, names: usize) -> Self {
        self.names = names.max(1_024);
        self
    }

    /// How long the next try waits after so many failures.
    pub(super) fn wait_after(&self, failures: u32, longest: Duration) -> Duration {
        match failures.checked_sub(self.free) {
            None => Duration::ZERO,
            Some(beyond) => self.first_wait.saturating_mul(1 << beyond.min(20)).min(longest),
        }
    }
}
