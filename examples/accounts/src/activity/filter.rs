//! Which rows of the activity are asked for.

use bank_sdk::Problem;
use bank_stores::ledger::{AccountId, Period};
use bank_stores::{Money, Timestamp};

use crate::activity::place::Place;
use crate::counterparties::Counterparties;
use crate::problems::{invalid, unprocessable};
use crate::wire::{Activity, ActivityOf, Direction};

/// The longest text that is looked for, in characters.
const MAX_TEXT: usize = 140;
/// Amounts are compared in so small parts of a unit that every currency's smallest is a whole number of them.
const PARTS: i128 = 10_000;

/// Which rows are asked for.
#[derive(Debug)]
pub(super) struct Filter {
    direction: Option<Direction>,
    /// In lower case.
    text: Option<String>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    min: Option<i128>,
    max: Option<i128>,
}

/// Everything that decides which rows come in which order, for the cursor.
pub(super) fn identity(subject: &str, input: &ActivityOf) -> Vec<String> {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let direction = input.direction.map(|direction| format!("{direction:?}"));
    let parts = [
        input.account.clone(),
        direction,
        input.q.clone(),
        time(input.from),
        time(input.to),
        input.min.clone(),
        input.max.clone(),
    ];
    // What is left out is not what is empty.
    let parts = parts.into_iter().map(|part| part.map_or_else(String::new, |part| format!("={part}")));
    ["accounts.activity".to_owned(), subject.to_owned()].into_iter().chain(parts).collect()
}

impl Filter {
    pub(super) fn new(input: &ActivityOf) -> Result<Self, Problem> {
        let amount = |text: Option<&str>, field| match text {
            Some(text) => {
                let amount = decimal(text).ok_or_else(|| invalid(field, "must be a number such as 12.50"));
                amount.map(Some)
            }
            None => Ok(None),
        };
        let (min, max) = (amount(input.min.as_deref(), "min")?, amount(input.max.as_deref(), "max")?);
        if min.zip(max).is_some_and(|(min, max)| max < min) {
            return Err(unprocessable("invalid_amount", "max", "must not be less than `min`"));
        }
        if input.from.zip(input.to).is_some_and(|(from, to)| to < from) {
            return Err(unprocessable("invalid_period", "to", "must not lie before `from`"));
        }
        let text = input.q.as_deref().map(str::trim).filter(|text| !text.is_empty());
        if text.is_some_and(|text| text.chars().count() > MAX_TEXT) {
            return Err(invalid("q", "must have at most 140 characters"));
        }
        let text = text.map(str::to_lowercase);
        Ok(Self { direction: input.direction, text, from: input.from, until: input.to, min, max })
    }

    pub(super) const fn direction(&self) -> Option<Direction> {
        self.direction
    }

    /// The time of booking in which rows are looked for that stand before a place; nothing where it is over.
    pub(super) fn period(&self, before: Option<&Place>) -> Option<Period> {
        let behind = before.map(|place| Timestamp::from_micros(place.at.micros().saturating_add(1)));
        let until = self.until.into_iter().chain(behind).min();
        let from = self.from.unwrap_or(Timestamp::from_micros(i64::MIN));
        Period::new(from, until.unwrap_or(Timestamp::from_micros(i64::MAX))).ok()
    }

    /// Whether a row is asked for, as far as it can be told from itself.
    pub(super) fn admits(&self, row: &Activity) -> bool {
        self.direction.is_none_or(|direction| direction == row.direction)
            && self.min.is_none_or(|min| parts_of(row.amount) >= min)
            && self.max.is_none_or(|max| parts_of(row.amount) <= max)
    }

    /// Whether the text that is looked for stands in the reference or in the counterparty's name.
    pub(super) async fn finds(
        &self,
        row: &Activity,
        other: Option<&AccountId>,
        people: &Counterparties<'_>,
    ) -> Result<bool, Problem> {
        let Some(wanted) = &self.text else { return Ok(true) };
        let has = |text: Option<&str>| text.is_some_and(|text| text.to_lowercase().contains(wanted));
        Ok(has(row.reference.as_deref()) || has(people.name(other).await?.as_deref()))
    }
}

fn parts_of(amount: Money) -> i128 {
    let units = 10_i128.pow(amount.currency().minor_units());
    i128::from(amount.minor()) * PARTS / units
}

/// A decimal of at most 15 digits before the point and four behind it.
fn decimal(text: &str) -> Option<i128> {
    let (whole, part) = text.split_once('.').map_or((text, None), |(whole, part)| (whole, Some(part)));
    let digits = |text: &str, most: usize| {
        let fits = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse::<i128>().ok()).flatten()
    };
    let part = match part {
        Some(part) => digits(part, 4)? * 10_i128.pow(4 - u32::try_from(part.len()).ok()?),
        None => 0,
    };
    Some(digits(whole, 15)? * PARTS + part)
}

#[cfg(test)]
mod tests {
    use bank_stores::Currency;

    use super::*;

    #[test]
    fn amounts_are_compared_as_decimals_whatever_their_currency() {
        assert_eq!(decimal("12.5"), Some(parts_of(Money::from_minor(1_250, Currency::EUR))));
        assert_eq!(decimal("12"), Some(parts_of(Money::from_minor(12, Currency::JPY))));
        assert_eq!(decimal("0.001"), Some(parts_of(Money::from_minor(1, Currency::KWD))));
        for wrong in ["", ".5", "1.", "-1", "+1", "1,5", "1.00000", "1e3", "1234567890123456", "1.2.3", "١"]
        {
            assert_eq!(decimal(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_left_out_is_another_query_than_what_is_empty() {
        let empty = ActivityOf { q: Some(String::new()), ..ActivityOf::default() };
        assert_ne!(identity("ann", &ActivityOf::default()), identity("ann", &empty));
        assert_ne!(identity("ann", &empty), identity("bea", &empty));
    }
}
