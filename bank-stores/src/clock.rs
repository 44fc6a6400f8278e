//! Time, passed in, so that tests decide it.
//!
//! ```
//! use bank_stores::{Clock, ManualClock, Timestamp};
//! use std::time::Duration;
//!
//! let clock = ManualClock::at(Timestamp::from_seconds(0));
//! clock.advance(Duration::from_millis(1500));
//! assert_eq!(clock.now().to_string(), "1970-01-01T00:00:01.5Z");
//! ```

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{Error, Result};

/// Microseconds since the Unix epoch, UTC; on the wire RFC 3339 with `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);

    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since the epoch; saturates at the ends of what can be held.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whether RFC 3339 can write it: it lies in the years 0 to 9999.
    pub fn has_wire_form(self) -> bool {
        OffsetDateTime::from_unix_timestamp(self.seconds())
            .is_ok_and(|time| (0..=9_999).contains(&time.year()))
    }

    /// `self + duration`, or `None` beyond what can be held.
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let micros = i64::try_from(duration.as_micros()).ok()?;
        self.0.checked_add(micros).map(Self)
    }

    /// `self + duration`, at most the greatest timestamp.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self(i64::MAX))
    }

    /// `self - duration`, at least the smallest timestamp.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// The time that has passed since `earlier`; zero when that lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        let micros = i128::from(self.0) - i128::from(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Outside the years 0 to 9999, which RFC 3339 cannot write, the number itself is shown.
        match OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000) {
            Ok(time) if (0..=9999).contains(&time.year()) => {
                write!(
                    f,
                    "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                    time.year(),
                    u8::from(time.month()),
                    time.day(),
                    time.hour(),
                    time.minute(),
                    time.second()
                )?;
                let micros = self.0.rem_euclid(1_000_000);
                if micros != 0 {
                    write!(f, ".{}", format!("{micros:06}").trim_end_matches('0'))?;
                }
                f.write_str("Z")
            }
            _ => write!(f, "{}us", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// Reads RFC 3339 with any offset; finer than a microsecond is cut off. A time whose form in UTC leaves the years 0 to 9999 is
    /// `Invalid`: it could not be written again.
    fn from_str(text: &str) -> Result<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|source| {
            Error::invalid("timestamp", "not an RFC 3339 time such as 2026-01-31T09:30:00Z")
                .with_source(source)
        })?;
        let micros = i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000)).ok().map(Self);
        micros
            .filter(|time| time.has_wire_form())
            .ok_or_else(|| Error::invalid("timestamp", "must lie in the years 0 to 9999 of UTC"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::deserialize(deserializer)
    }
}

/// Where the time comes from.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// How much time has passed since some moment. Nobody can set it, so that a step of the clock is told from time that passed.
    fn elapsed(&self) -> Duration {
        since_start()
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn elapsed(&self) -> Duration {
        (**self).elapsed()
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place where the system's monotonic time enters")]
fn since_start() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl SystemClock {
    /// The operating system's clock.
    pub const fn new() -> Self {
        Self
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the system's time enters")]
    fn now(&self) -> Timestamp {
        match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => Timestamp::EPOCH.saturating_add(since),
            Err(before) => Timestamp::EPOCH.saturating_sub(before.duration()),
        }
    }
}

/// A clock that moves only when told; clones share the time.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<Manual>);

#[derive(Debug, Default)]
struct Manual {
    time: AtomicI64,
    /// The microseconds by which it was advanced.
    elapsed: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `time`.
    pub fn at(time: Timestamp) -> Self {
        Self(Arc::new(Manual { time: AtomicI64::new(time.micros()), elapsed: AtomicI64::new(0) }))
    }

    /// Sets the time, backwards too, as somebody does who sets a clock: no time passes.
    pub fn set(&self, time: Timestamp) {
        self.0.time.store(time.micros(), Ordering::SeqCst);
    }

    /// Moves the time forward: so much of it passes.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.0.elapsed.fetch_add(micros, Ordering::SeqCst);
        self.0.time.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.time.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.0.elapsed.load(Ordering::SeqCst).unsigned_abs())
    }
}

/// A clock as far as it may be believed: it is ahead of where it was at the opening, and the time that passed since, by an hour at
/// most. What a clock that jumps makes look expired is there all the same.
#[cfg(any(feature = "dynamodb", feature = "mongodb"))]
#[derive(Debug)]
pub(crate) struct Believed {
    clock: Arc<dyn Clock>,
    at_opening: Timestamp,
    opened: Duration,
}

#[cfg(any(feature = "dynamodb", feature = "mongodb"))]
impl Believed {
    const AHEAD: Duration = Duration::from_secs(3_600);

    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { at_opening: clock.now(), opened: clock.elapsed(), clock }
    }

    /// What the clock says.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The same, as far as it may be believed.
    pub(crate) fn believed(&self) -> Timestamp {
        self.clock.now().min(self.passed().saturating_add(Self::AHEAD))
    }

    /// The time at the opening and the time since, whatever the clock was set to.
    pub(crate) fn passed(&self) -> Timestamp {
        self.at_opening.saturating_add(self.clock.elapsed().saturating_sub(self.opened))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_reads_what_it_writes() {
        for micros in [0, 1, 10, 1_500_000, -1, 1_700_000_000_123_456, -62_000_000_000_000_000] {
            let at = Timestamp::from_micros(micros);
            assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
            let json = serde_json::to_string(&at).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), at);
        }
        assert_eq!(
            "2026-01-31T10:30:00+01:00".parse::<Timestamp>().unwrap().to_string(),
            "2026-01-31T09:30:00Z"
        );
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn a_time_that_could_not_be_written_again_is_not_read() {
        for outside in
            ["9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.999999-00:01", "0000-01-01T00:00:00+00:01"]
        {
            let error = outside.parse::<Timestamp>().unwrap_err();
            assert_eq!(
                (error.kind(), error.field()),
                (crate::ErrorKind::Invalid, Some("timestamp")),
                "{outside}"
            );
            assert!(serde_json::from_str::<Timestamp>(&format!("\"{outside}\"")).is_err());
        }
        for inside in ["9999-12-31T23:59:59.999999Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59+23:59"] {
            let at: Timestamp = inside.parse().unwrap();
            assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at, "{inside}");
        }
    }

    #[test]
    fn seconds_round_down_and_durations_never_go_negative() {
        assert_eq!(Timestamp::from_micros(-1).seconds(), -1);
        let (early, late) = (Timestamp::from_seconds(1), Timestamp::from_seconds(3));
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(Timestamp::from_micros(i64::MAX).checked_add(Duration::from_micros(1)), None);
    }
}
