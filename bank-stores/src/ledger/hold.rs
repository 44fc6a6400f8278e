//! Holds: money that is kept for a payment to come, and what becomes of them.
//!
//! A hold ends once: by the capture that takes the last of it or releases the rest, by being voided, or by its deadline,
//! which the store keeps. Whoever races, one of the three wins, and the others are `Rejected` with the field `hold`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::posting::{check_details, details_content};
use super::{AccountId, HoldId, PostingId};
use crate::canonical::Canonical;
use crate::{Error, Money, Result, Timestamp};

/// The longest time for which a hold may keep money: ten years.
pub const MAX_HOLD: Duration = Duration::from_secs(10 * 366 * 24 * 3_600);

/// Whether a hold still keeps money, and how it ended otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HoldStatus {
    /// It keeps what was not captured yet.
    #[default]
    Open,
    /// It was captured to the end.
    Captured,
    /// It was voided; what was captured before stays captured.
    Voided,
    /// Its deadline came first; what was captured before stays captured.
    Expired,
}

#[cfg(any(feature = "embedded", feature = "aurora", test))]
impl HoldStatus {
    pub(crate) const fn number(self) -> i64 {
        self as i64
    }

    pub(crate) const fn from_number(number: i64) -> Self {
        match number {
            0 => Self::Open,
            1 => Self::Captured,
            2 => Self::Voided,
            _ => Self::Expired,
        }
    }
}

/// A hold as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hold {
    /// Its name in the ledger.
    pub id: HoldId,
    /// On which account.
    pub account: AccountId,
    /// What it kept when it was placed.
    pub amount: Money,
    /// What was captured of it.
    pub captured: Money,
    /// What it still keeps: nothing when it has ended.
    pub remaining: Money,
    /// Whether it still keeps money.
    pub status: HoldStatus,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// When it ends by itself, if it does.
    pub deadline: Option<Timestamp>,
}

impl Hold {
    /// Made by an adapter: the hold as `place` leaves it.
    pub fn placed(place: &PlaceHold, placed_at: Timestamp) -> Self {
        Self {
            id: place.id.clone(),
            account: place.account.clone(),
            amount: place.amount,
            captured: Money::zero(place.amount.currency()),
            remaining: place.amount,
            status: HoldStatus::Open,
            placed_at,
            deadline: place.expires_in.map(|time| placed_at.saturating_add(time)),
        }
    }

    /// Whether its deadline has come by `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.status == HoldStatus::Open && self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Made by an adapter: the hold after so many minor units were captured of it in all, as it then stood.
    #[must_use]
    pub fn with(mut self, captured: i64, status: HoldStatus) -> Self {
        let currency = self.amount.currency();
        let remaining = match status {
            HoldStatus::Open => self.amount.minor().saturating_sub(captured),
            _ => 0,
        };
        (self.captured, self.remaining, self.status) =
            (Money::from_minor(captured, currency), Money::from_minor(remaining, currency), status);
        self
    }
}

/// The command that keeps money on an account for a payment to come.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlaceHold {
    /// Names it.
    pub id: HoldId,
    /// On which account.
    pub account: AccountId,
    /// How much.
    pub amount: Money,
    /// After which time it ends by itself, counted from its booking; never where it is not said.
    pub expires_in: Option<Duration>,
    /// What it is for, kept with it and hashed; no read gives it back.
    pub reference: Option<String>,
    /// What else is kept with it, as its reference is.
    pub metadata: BTreeMap<String, String>,
    /// Whether a refusal takes the id, as for [`Posting`](super::Posting). Not part of the content.
    pub remember: bool,
}

impl PlaceHold {
    /// Keeps `amount` until it is captured or voided.
    pub fn new(id: HoldId, account: AccountId, amount: Money) -> Self {
        Self {
            id,
            account,
            amount,
            expires_in: None,
            reference: None,
            metadata: BTreeMap::new(),
            remember: false,
        }
    }

    /// After which time it ends by itself; at most ten years.
    #[must_use]
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.expires_in = Some(time);
        self
    }

    /// What people read; at most 1,024 bytes.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// Adds a piece of metadata; the later of two with the same key stays.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// A refusal by the ledger takes the id for good.
    #[must_use]
    pub fn remember_refusal(mut self) -> Self {
        self.remember = true;
        self
    }

    /// Checks what can be checked without the ledger; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        if !self.amount.is_positive() {
            return Err(Error::invalid("amount", "a hold keeps more than nothing"));
        }
        if self.expires_in.is_some_and(|time| time.as_micros() == 0 || time > MAX_HOLD) {
            return Err(Error::invalid("expires_in", "a hold ends after a microsecond to ten years"));
        }
        check_details(self.reference.as_deref(), None, &self.metadata)
    }

    /// What tells this content from any other under the same id.
    pub fn content(&self) -> [u8; 32] {
        let form = Canonical::new("hold.1")
            .text(self.id.as_str())
            .text(self.account.as_str())
            .number(self.amount.minor())
            .text(self.amount.currency().code())
            // Ten years of microseconds fit.
            .optional(self.expires_in, |form, time| form.number(time.as_micros() as i64));
        details_content(form, self.reference.as_deref(), None, &self.metadata).finish()
    }
}

/// The command that pays out of a hold: a posting from the held account to another.
///
/// A hold may be captured more than once, up to its amount. The capture of all that is left ends it, and so does one that
/// releases the rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capture {
    /// Names the posting.
    pub id: PostingId,
    /// Of which hold.
    pub hold: HoldId,
    /// How much; all that is left where it is not said.
    pub amount: Option<Money>,
    /// To which account.
    pub to: AccountId,
    /// Whether what is left is no longer kept.
    pub release: bool,
    /// What it is, such as `capture`; its event's topic is `posting.` and this.
    pub kind: String,
    /// What the customer reads on the statement.
    pub reference: Option<String>,
    /// When it takes effect; the time of booking where it is not said.
    pub value_time: Option<Timestamp>,
    /// What the caller wants to find again; not interpreted.
    pub metadata: BTreeMap<String, String>,
    /// Whether a refusal takes the id, as for [`Posting`](super::Posting). Not part of the content.
    pub remember: bool,
}

impl Capture {
    /// Pays all that is left of the hold.
    pub fn new(id: PostingId, hold: HoldId, to: AccountId) -> Self {
        Self {
            id,
            hold,
            amount: None,
            to,
            release: false,
            kind: "capture".to_owned(),
            reference: None,
            value_time: None,
            metadata: BTreeMap::new(),
            remember: false,
        }
    }

    /// Pays this much of it.
    #[must_use]
    pub fn amount(mut self, amount: Money) -> Self {
        self.amount = Some(amount);
        self
    }

    /// What it is, 1 to 64 characters of `A-Z a-z 0-9 _ . : -`; `capture` otherwise.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = kind.into();
        self
    }

    /// What is left is no longer kept.
    #[must_use]
    pub fn release_rest(mut self) -> Self {
        self.release = true;
        self
    }

    /// What the customer reads on the statement; at most 1,024 bytes.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// When it takes effect, where that is not the time of booking.
    #[must_use]
    pub fn value_time(mut self, at: Timestamp) -> Self {
        self.value_time = Some(at);
        self
    }

    /// Adds a piece of metadata; the later of two with the same key stays.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// A refusal by the ledger takes the id for good.
    #[must_use]
    pub fn remember_refusal(mut self) -> Self {
        self.remember = true;
        self
    }

    /// Checks what can be checked without the ledger; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        if self.amount.is_some_and(|amount| !amount.is_positive()) {
            return Err(Error::invalid("amount", "a capture takes more than nothing"));
        }
        if !super::id::is_id(&self.kind) {
            return Err(Error::invalid("kind", "a kind is 1 to 64 characters of A-Z a-z 0-9 _ . : -"));
        }
        check_details(self.reference.as_deref(), self.value_time, &self.metadata)
    }

    /// What tells this content from any other under the same id.
    pub fn content(&self) -> [u8; 32] {
        let form = Canonical::new("capture.1")
            .text(self.id.as_str())
            .text(self.hold.as_str())
            .text(self.to.as_str())
            .text(&self.kind)
            .number(i64::from(self.release))
            .optional(self.amount, |form, amount| form.number(amount.minor()).text(amount.currency().code()));
        details_content(form, self.reference.as_deref(), self.value_time, &self.metadata).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Currency;

    fn eur(minor: i64) -> Money {
        Money::from_minor(minor, Currency::EUR)
    }

    fn place() -> PlaceHold {
        PlaceHold::new(HoldId::new("h").unwrap(), AccountId::new("a").unwrap(), eur(5))
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (wrong, field) in [
            (PlaceHold { amount: eur(0), ..place() }, "amount"),
            (place().expires_in(Duration::ZERO), "expires_in"),
            (place().expires_in(MAX_HOLD * 2), "expires_in"),
            (place().reference("\0"), "reference"),
        ] {
            assert_eq!(wrong.validate().unwrap_err().field(), Some(field));
        }
        let capture = Capture::new(
            PostingId::new("p").unwrap(),
            HoldId::new("h").unwrap(),
            AccountId::new("b").unwrap(),
        );
        assert_eq!(capture.amount(eur(-1)).validate().unwrap_err().field(), Some("amount"));
    }

    #[test]
    fn each_field_is_part_of_the_content() {
        let content = place().content();
        for other in [
            PlaceHold { amount: eur(6), ..place() },
            PlaceHold { account: AccountId::new("b").unwrap(), ..place() },
            place().expires_in(Duration::from_secs(1)),
            place().reference("r"),
            place().metadata("k", "v"),
        ] {
            assert_ne!(content, other.content(), "{other:?}");
        }
    }

    #[test]
    fn what_is_left_follows_from_what_was_captured() {
        let hold = Hold::placed(&place().expires_in(Duration::from_secs(2)), Timestamp::from_seconds(1));
        assert_eq!(hold.deadline, Some(Timestamp::from_seconds(3)));
        assert!(!hold.is_due(Timestamp::from_seconds(2)) && hold.is_due(Timestamp::from_seconds(3)));
        let open = hold.clone().with(2, HoldStatus::Open);
        assert_eq!((open.captured, open.remaining), (eur(2), eur(3)));
        let ended = hold.with(2, HoldStatus::Voided);
        assert_eq!((ended.captured, ended.remaining), (eur(2), eur(0)));
        assert!(!ended.is_due(Timestamp::from_seconds(9)));
    }
}
