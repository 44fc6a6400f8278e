//! How often may a password be guessed? Failures are counted for each user, in bounded memory, so that guessing is slow and
//! its victim can still sign in (S13, S33).
//!
//! | Who tries | After five failures there |
//! | --- | --- |
//! | a network from which the user has signed in | it waits: 1 s, doubled with each failure, up to 15 min. Failures elsewhere do not count |
//! | a device that is known ([`Passwords::known_device`](super::Passwords::known_device)) | the same, and nobody's failures but its own count |
//! | any other network | the same for itself; all of them together wait too: 1 s, doubled up to 8 s |
//! | one of those, that comes back after it was told to wait | has a try every 15 s, all of them together, whatever the others do |
//!
//! So an attacker with ever new addresses has some eight tries a minute. The owner who is somewhere new is told to wait for two
//! seconds like everybody, and has the next try that is set apart for those who come back: addresses that are used once
//! never do. Attackers who come back as well compete for it, four times a minute. Only a known device keeps them apart.
//!
//! - A try counts while it is going on, apart from failures: as many at once as may fail, and others wait for their outcome.
//!   A success, an outage and a caller who hangs up give it back. A success forgives what its own network failed, and what that
//!   added to the common count.
//! - A quarter of an hour after the wait forgives.
//! - Four tables are apart: users who exist; made-up names; the networks from which users signed in; what failed from those
//!   and from known devices. Entries are of fixed size, by a hash under a random key of this process. Old entries go first, a
//!   few with each new one. A full table of users drops nobody: those without a place share 1,024 places. The others drop the
//!   oldest: only somebody who has signed in as a user gets into the last two. With the defaults all of them take 50 MB at
//!   most.
//! - Several gateways count the failures of new networks together where they share a store
//!   ([`Passwords::shared_failures`](super::Passwords::shared_failures)). What fails where the user has signed in before, each
//!   gateway counts alone. A success makes its network known at its gateway, where the common count does not concern it then; in
//!   the store failures are forgiven by time alone.

mod options;
mod shared;
mod table;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

pub use self::options::Throttle;
pub(crate) use self::shared::SharedFailures;
use self::shared::Together;
use self::table::{Millis, Table};
use super::failure_budget::Network;

/// So long after its wait a failure is forgiven.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);
/// A network from which nobody signed in for so long is new again.
const NETWORK_LIFE: Duration = Duration::from_secs(90 * 24 * 3_600);
const NETWORKS_EACH: usize = 8;
/// Whoever is told to wait may come back after this.
const COME_BACK: Duration = Duration::from_secs(2);
/// So many failures of its own leave a network the try that is set apart for those who come back.
const COMES_BACK_WITH: u32 = 2;
/// So many networks that were told to come back are remembered, 16 bytes each; newer ones take the place of older ones.
const TOLD: usize = 65_536;
/// So many tries of one user and network wait for the outcome of those that go on.
const MAX_WAITING: usize = 64;

/// Whose password is tried.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) enum Account<'a> {
    /// A user, by the id that a store gives it: however the name was written.
    User(&'a str),
    /// A name that nobody has.
    Name(&'a str),
}

/// From where.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) enum Origin<'a> {
    /// A network.
    Network(Network),
    /// A device from which the user has signed in before, by its id.
    Device(&'a str),
}

/// What is counted. Each is a type of its own, so that no name can be taken for another's count.
#[derive(Hash)]
enum Counted<'a> {
    Here(Account<'a>, Origin<'a>),
    Elsewhere(Account<'a>),
    Networks(&'a str),
}

/// The counts of all users.
pub(crate) struct LoginThrottle {
    options: Throttle,
    hasher: RandomState,
    start: Instant,
    state: Mutex<State>,
}

struct State {
    users: Table<Failures>,
    names: Table<Failures>,
    /// From where users have signed in before.
    known: Table<Failures>,
    networks: Table<Networks>,
    /// Who was told to come back, and from when on.
    told: Box<[(u64, Millis)]>,
    going_on: HashMap<u64, GoingOn>,
}

/// Which table counts a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    User,
    Name,
    Known,
}

/// Failures of one user, here or elsewhere.
#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    /// When the next try may be made.
    until: Millis,
    /// How many of those here were added to those elsewhere; for those elsewhere nothing.
    shared: u32,
    /// When those who come back have the next try.
    returning: Millis,
}

/// The networks from which a user signed in last, the newest first.
#[derive(Clone, Copy, Debug, Default)]
struct Networks([u64; NETWORKS_EACH]);

/// Tries whose outcome is not known yet.
struct GoingOn {
    count: u32,
    waiting: usize,
    ended: Arc<Notify>,
}

/// What a try is told.
pub(crate) enum Entrance {
    /// It may go on.
    Go(Attempt),
    /// It is to ask again when this says so: another try's outcome decides.
    Wait(Waiting),
    /// It may come back after this time.
    Refused(Duration),
}

/// Until another try of the same user has ended.
pub(crate) struct Waiting {
    throttle: Arc<LoginThrottle>,
    key: u64,
    ended: std::pin::Pin<Box<OwnedNotified>>,
}

/// A try that goes on. Dropped without an outcome, it was none.
pub(crate) struct Attempt {
    throttle: Arc<LoginThrottle>,
    /// The count of its own origin.
    here: (Kept, u64),
    /// The common count of new networks, where that decided. The try that is set apart for those who come back does not make
    /// the others wait longer.
    elsewhere: Option<(Kept, u64)>,
    /// Whether it comes from where the user has signed in before.
    pub(crate) is_known: bool,
    /// The user's list of networks, and this one.
    network: Option<(u64, u64)>,
    /// Where a failure counts with those at other gateways.
    together: Option<Together>,
}

enum Verdict {
    Go,
    Wait,
    Refuse(Duration),
}

impl LoginThrottle {
    pub(crate) fn new(options: Throttle) -> Arc<Self> {
        let state = State {
            users: Table::new(options.users * 2, millis(FORGOTTEN)),
            names: Table::new(options.names * 2, millis(FORGOTTEN)),
            known: Table::new(options.users, millis(FORGOTTEN)),
            networks: Table::new(options.users, millis(NETWORK_LIFE)),
            told: vec![(0, 0); TOLD].into_boxed_slice(),
            going_on: HashMap::new(),
        };
        let start = Instant::now();
        Arc::new(Self { options, hasher: RandomState::new(), start, state: Mutex::new(state) })
    }

    /// Lets a try go on, or says when it may.
    pub(crate) fn enter(
        self: &Arc<Self>,
        account: Account<'_>,
        origin: Origin<'_>,
        now: Instant,
    ) -> Entrance {
        let now = self.since_start(now);
        let network = match (account, origin) {
            (Account::User(user), Origin::Network(network)) => {
                Some((self.key(&Counted::Networks(user)), self.key(&network)))
            }
            _ => None,
        };
        let mut state = self.lock();
        let is_known = matches!(origin, Origin::Device(_))
            || network.is_some_and(|(user, network)| {
                state.networks.get(user, now).is_some_and(|known| known.0.contains(&network))
            });
        let kept = if matches!(account, Account::User(_)) { Kept::User } else { Kept::Name };
        let here = (if is_known { Kept::Known } else { kept }, self.key(&Counted::Here(account, origin)));
        match self.judge(&state, here, now) {
            Verdict::Go => {}
            Verdict::Wait => return self.wait(&mut state, here.1),
            Verdict::Refuse(wait) => return Entrance::Refused(wait),
        }
        let mut elsewhere = (!is_known).then(|| (kept, self.key(&Counted::Elsewhere(account))));
        if let Some(common) = elsewhere {
            match self.judge(&state, common, now) {
                Verdict::Go => {}
                Verdict::Wait => return self.wait(&mut state, common.1),
                Verdict::Refuse(wait) => match self.returns(&mut state, here, common, now) {
                    Ok(()) => elsewhere = None,
                    Err(sooner) => return Entrance::Refused(wait.min(sooner)),
                },
            }
        }
        for (_, key) in [Some(here), elsewhere].into_iter().flatten() {
            state.going_on(key).count += 1;
        }
        Entrance::Go(Attempt { throttle: self.clone(), here, elsewhere, is_known, network, together: None })
    }

    /// Whether the failures of one count let another try begin.
    fn judge(&self, state: &State, (kept, key): (Kept, u64), now: Millis) -> Verdict {
        let going_on = state.going_on.get(&key).map_or(0, |going_on| going_on.count);
        let failures = state.failures(kept, key, now);
        let failed = failures.map_or(0, |failures| failures.count);
        let wait = failures.map_or(0, |failures| failures.until.saturating_sub(now));
        if failed < self.options.free {
            if failed + going_on < self.options.free { Verdict::Go } else { Verdict::Wait }
        } else if wait > 0 {
            Verdict::Refuse(Duration::from_millis(wait))
        } else if going_on == 0 {
            Verdict::Go
        } else {
            Verdict::Wait
        }
    }

    /// The try that is set apart for networks that come back after they were told to wait.
    ///
    /// # Errors
    /// When to come back.
    fn returns(
        &self,
        state: &mut State,
        (kept_here, here): (Kept, u64),
        (kept, elsewhere): (Kept, u64),
        now: Millis,
    ) -> Result<(), Duration> {
        let failed_here = state.failures(kept_here, here, now).map_or(0, |failures| failures.count);
        if failed_here >= COMES_BACK_WITH {
            return Err(Duration::MAX);
        }
        let told = &mut state.told[here as usize % TOLD];
        let (who, due) = *told;
        if who != here || now.saturating_sub(due) >= millis(FORGOTTEN) {
            *told = (here, now + millis(COME_BACK));
            return Err(COME_BACK);
        }
        let Some(failures) = state.table(kept).get_mut(elsewhere, now) else { return Ok(()) };
        let free = due.max(failures.returning);
        if free > now {
            return Err(Duration::from_millis(free - now));
        }
        failures.returning = now + millis(self.options.returning_every);
        Ok(())
    }

    fn wait(self: &Arc<Self>, state: &mut State, key: u64) -> Entrance {
        let going_on = state.going_on(key);
        if going_on.waiting >= MAX_WAITING {
            return Entrance::Refused(Duration::from_secs(1));
        }
        going_on.waiting += 1;
        let ended = Box::pin(going_on.ended.clone().notified_owned());
        Entrance::Wait(Waiting { throttle: self.clone(), key, ended })
    }

    fn since_start(&self, now: Instant) -> Millis {
        millis(now.saturating_duration_since(self.start))
    }

    fn key(&self, counted: &impl Hash) -> u64 {
        self.hasher.hash_one(counted)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(time: Duration) -> Millis {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl State {
    fn table(&mut self, kept: Kept) -> &mut Table<Failures> {
        match kept {
            Kept::User => &mut self.users,
            Kept::Name => &mut self.names,
            Kept::Known => &mut self.known,
        }
    }

    fn failures(&self, kept: Kept, key: u64, now: Millis) -> Option<Failures> {
        let table = match kept {
            Kept::User => &self.users,
            Kept::Name => &self.names,
            Kept::Known => &self.known,
        };
        table.get(key, now).copied()
    }

    fn going_on(&mut self, key: u64) -> &mut GoingOn {
        let none = || GoingOn { count: 0, waiting: 0, ended: Arc::new(Notify::new()) };
        self.going_on.entry(key).or_insert_with(none)
    }

    fn has_ended(&mut self, key: u64) {
        if let Some(going_on) = self.going_on.get_mut(&key) {
            going_on.count = going_on.count.saturating_sub(1);
            going_on.ended.notify_waiters();
        }
        self.tidy(key);
    }

    fn tidy(&mut self, key: u64) {
        if self.going_on.get(&key).is_some_and(|going_on| going_on.count == 0 && going_on.waiting == 0) {
            self.going_on.remove(&key);
        }
    }

    /// Counts a failure.
    fn fail(
        &mut self,
        kept: Kept,
        key: u64,
        now: Millis,
        wait: impl FnOnce(u32) -> Duration,
    ) -> &mut Failures {
        let new = || Failures { count: 0, until: now, shared: 0, returning: now };
        let table = self.table(kept);
        let entry =
            if kept == Kept::User { table.share(key, now, new) } else { table.replace(key, now, new) };
        let failures = &mut entry.value;
        failures.count = failures.count.saturating_add(1);
        failures.until = now + millis(wait(failures.count));
        // It is forgiven a quarter of an hour after the wait, not while it goes on.
        entry.touched = failures.until;
        failures
    }
}

impl Waiting {
    /// Completes when the try may ask again.
    pub(crate) async fn ended(mut self) {
        self.ended.as_mut().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.throttle.lock();
        if let Some(going_on) = state.going_on.get_mut(&self.key) {
            going_on.waiting = going_on.waiting.saturating_sub(1);
        }
        state.tidy(self.key);
    }
}

impl Attempt {
    /// The password was wrong.
    pub(crate) fn fail(self, now: Instant) {
        let (options, now) = (self.throttle.options, self.throttle.since_start(now));
        let mut state = self.throttle.lock();
        if let Some((kept, key)) = self.elsewhere {
            let longest = options.longest_wait_elsewhere.min(options.longest_wait);
            state.fail(kept, key, now, |count| options.wait_after(count, longest));
        }
        let (kept, key) = self.here;
        let failures = state.fail(kept, key, now, |count| options.wait_after(count, options.longest_wait));
        failures.shared = failures.shared.saturating_add(u32::from(self.elsewhere.is_some()));
    }

    /// The password was right: what was failed from here is forgiven, and the network is known from now on.
    pub(crate) fn succeed(self, now: Instant) {
        let now = self.throttle.since_start(now);
        let mut state = self.throttle.lock();
        let mut forgiven = 0;
        // Not in a place that others share: their failures are not this caller's to forgive.
        if let Some(failures) = state.table(self.here.0).own_mut(self.here.1, now) {
            forgiven = failures.shared;
            (failures.count, failures.shared, failures.until) = (0, 0, now);
        }
        if let Some((kept, key)) = self.elsewhere
            && let Some(failures) = state.table(kept).own_mut(key, now)
        {
            failures.count = failures.count.saturating_sub(forgiven);
        }
        if let Some((user, network)) = self.network {
            let known = &mut state.networks.replace(user, now, Networks::default).value;
            let at = known.0.iter().position(|other| *other == network).unwrap_or(NETWORKS_EACH - 1);
            known.0[..=at].rotate_right(1);
            known.0[0] = network;
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut state = self.throttle.lock();
        for (_, key) in [Some(self.here), self.elsewhere].into_iter().flatten() {
            state.has_ended(key);
        }
    }
}

impl fmt::Debug for LoginThrottle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginThrottle").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
