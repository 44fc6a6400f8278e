//! So many requests in a time, and how many of them at once.

use std::num::NonZeroU32;
use std::time::Duration;

use bank_stores::limit::Rate;
use serde::Deserialize;

/// A quota. A burst as large as the number itself is allowed where nothing else is said.
///
/// ```
/// use bank_gateway::Quota;
/// let quota = Quota::per_second(100).burst(200);
/// # let _ = quota;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Wire")]
pub struct Quota {
    limit: u32,
    period: Duration,
    burst: Option<u32>,
}

impl Quota {
    /// So many a second.
    #[must_use]
    pub const fn per_second(limit: u32) -> Self {
        Self { limit, period: Duration::from_secs(1), burst: None }
    }

    /// So many a minute.
    #[must_use]
    pub const fn per_minute(limit: u32) -> Self {
        Self { limit, period: Duration::from_secs(60), burst: None }
    }

    /// So many an hour.
    #[must_use]
    pub const fn per_hour(limit: u32) -> Self {
        Self { limit, period: Duration::from_secs(3_600), burst: None }
    }

    /// So many at once.
    #[must_use]
    pub const fn burst(mut self, burst: u32) -> Self {
        self.burst = Some(burst);
        self
    }

    /// `None` where nothing would pass.
    pub(crate) fn rate(self) -> Option<Rate> {
        let rate = Rate::new(NonZeroU32::new(self.limit)?, self.period);
        Some(rate.burst(NonZeroU32::new(self.burst.unwrap_or(self.limit))?))
    }
}

/// As it stands in a configuration file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    per_second: Option<u32>,
    per_minute: Option<u32>,
    per_hour: Option<u32>,
    burst: Option<u32>,
}

impl TryFrom<Wire> for Quota {
    type Error = &'static str;

    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        let quota = match (wire.per_second, wire.per_minute, wire.per_hour) {
            (Some(limit), None, None) => Self::per_second(limit),
            (None, Some(limit), None) => Self::per_minute(limit),
            (None, None, Some(limit)) => Self::per_hour(limit),
            _ => return Err("a quota has exactly one of per_second, per_minute and per_hour"),
        };
        Ok(Self { burst: wire.burst, ..quota })
    }
}
