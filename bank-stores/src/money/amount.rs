//! An amount of money and its arithmetic.

use std::fmt;

use super::Currency;
use crate::{Error, ErrorKind, Result};

/// A whole number of a currency's minor units, negative ones too.
///
/// Amounts of two currencies are never mixed: arithmetic that would do so, or that would overflow, is an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// `minor` units: 1234 is 12.34 in euro and 1234 in yen.
    pub const fn from_minor(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing.
    pub const fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// Whether it is less than nothing.
    pub const fn is_negative(self) -> bool {
        self.minor < 0
    }

    /// Whether it is more than nothing.
    pub const fn is_positive(self) -> bool {
        self.minor > 0
    }

    /// The sum; `Invalid` for two currencies or an overflow.
    pub fn checked_add(self, other: Self) -> Result<Self> {
        self.same_currency(other)?;
        let minor = self.minor.checked_add(other.minor).ok_or_else(overflow)?;
        Ok(Self { minor, ..self })
    }

    /// The difference; `Invalid` for two currencies or an overflow.
    pub fn checked_sub(self, other: Self) -> Result<Self> {
        self.same_currency(other)?;
        let minor = self.minor.checked_sub(other.minor).ok_or_else(overflow)?;
        Ok(Self { minor, ..self })
    }

    /// The opposite amount; `Invalid` for the one number that has none.
    pub fn checked_neg(self) -> Result<Self> {
        let minor = self.minor.checked_neg().ok_or_else(overflow)?;
        Ok(Self { minor, ..self })
    }

    /// Splits the amount in proportion to `weights`; the parts sum to exactly the whole.
    ///
    /// Each part is first rounded towards zero. The units that are then left over go one each to the parts that
    /// rounding cut most (the largest remainders), the earlier part first where two are equal. A weight of zero gets
    /// nothing. `Invalid` when no weight is above zero.
    pub fn allocate(self, weights: &[u64]) -> Result<Vec<Self>> {
        let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        if sum == 0 {
            return Err(Error::invalid("weights", "at least one has to be above zero"));
        }
        let whole = u128::from(self.minor.unsigned_abs());
        // Neither overflows: an amount has 63 bits and a weight 64.
        let mut parts: Vec<i128> = Vec::with_capacity(weights.len());
        let mut cuts: Vec<(u128, usize)> = Vec::with_capacity(weights.len());
        let mut given = 0;
        for (index, weight) in weights.iter().enumerate() {
            let share = whole * u128::from(*weight);
            given += share / sum;
            parts.push((share / sum) as i128);
            cuts.push((share % sum, index));
        }
        cuts.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        for (_, index) in cuts.into_iter().take((whole - given) as usize) {
            parts[index] += 1;
        }
        let sign = i128::from(self.minor.signum());
        parts
            .into_iter()
            .map(|part| {
                i64::try_from(part * sign).map(|minor| Self { minor, ..self }).map_err(|_| overflow())
            })
            .collect()
    }

    fn same_currency(self, other: Self) -> Result<()> {
        if self.currency == other.currency {
            return Ok(());
        }
        let message = format!("{} and {} do not mix", self.currency, other.currency);
        Err(Error::invalid("currency", message))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn overflow() -> Error {
    Error::new(ErrorKind::Invalid, "the amount is larger than can be held").with_field("amount")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn eur(minor: i64) -> Money {
        Money::from_minor(minor, Currency::EUR)
    }

    #[test]
    fn currencies_do_not_mix_and_overflow_is_an_error() {
        let usd = Money::from_minor(1, Currency::USD);
        assert_eq!(eur(1).checked_add(usd).unwrap_err().field(), Some("currency"));
        assert_eq!(eur(i64::MAX).checked_add(eur(1)).unwrap_err().field(), Some("amount"));
        assert!(eur(i64::MIN).checked_sub(eur(1)).is_err());
        assert!(eur(i64::MIN).checked_neg().is_err());
    }

    #[test]
    fn the_leftover_goes_to_the_largest_remainder_and_then_to_the_first() {
        let parts = |minor, weights: &[u64]| -> Vec<i64> {
            eur(minor).allocate(weights).unwrap().iter().map(|part| part.minor()).collect()
        };
        assert_eq!(parts(5, &[3, 7]), [2, 3]);
        assert_eq!(parts(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(parts(-100, &[1, 1, 1]), [-34, -33, -33]);
        assert_eq!(parts(10, &[0, 1, 0]), [0, 10, 0]);
        assert_eq!(parts(i64::MIN, &[1]), [i64::MIN]);
        assert!(eur(1).allocate(&[]).is_err());
        assert!(eur(1).allocate(&[0, 0]).is_err());
    }

    proptest! {
        #[test]
        fn allocation_sums_exactly_and_strays_by_less_than_a_unit(
            minor in any::<i64>(),
            weights in prop::collection::vec(any::<u64>(), 1..20),
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let parts = eur(minor).allocate(&weights).unwrap();
            prop_assert_eq!(parts.iter().map(|part| i128::from(part.minor())).sum::<i128>(), i128::from(minor));
            let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
            for (part, weight) in parts.iter().zip(&weights) {
                let exact = u128::from(minor.unsigned_abs()) * u128::from(*weight) / sum;
                let got = u128::from(part.minor().unsigned_abs());
                prop_assert!(got == exact || got == exact + 1);
                prop_assert!(*weight > 0 || got == 0);
            }
        }

        #[test]
        fn adding_and_taking_away_cancel_out(a in any::<i64>(), b in any::<i64>()) {
            if let Ok(sum) = eur(a).checked_add(eur(b)) {
                prop_assert_eq!(sum.checked_sub(eur(b)).unwrap(), eur(a));
            }
        }
    }
}
