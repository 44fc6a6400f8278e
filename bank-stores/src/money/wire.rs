//! Money as text and on the wire: `{"amount":"12.34","currency":"EUR"}`.

use std::fmt::Write as _;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Currency, Money};
use crate::{Error, Result};

/// The longest text that an amount can have: 19 digits, sign and point, with room for a zero in front.
const MAX_TEXT: usize = 24;

impl Money {
    /// Reads a decimal amount such as `12.34`, `-0.05` or `12`.
    ///
    /// Digits, at most one point, at most as many decimals as the currency has (missing ones are zero), a `-` in front
    /// where the amount is negative. Anything else is `Invalid`: exponent, `+`, spaces, separators, needless zeros.
    pub fn parse(text: &str, currency: Currency) -> Result<Self> {
        let wrong = |message: &'static str| Error::invalid("amount", message);
        if text.len() > MAX_TEXT {
            return Err(wrong("longer than an amount can be"));
        }
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(wrong("no digit after the point")),
            Some(parts) => parts,
            None => (digits, ""),
        };
        if whole.is_empty() {
            return Err(wrong("no digit before the point"));
        }
        if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err(wrong("digits with at most one point, such as 12.34"));
        }
        if whole.len() > 1 && whole.starts_with('0') {
            return Err(wrong("a needless zero in front"));
        }
        let decimals = currency.minor_units() as usize;
        if fraction.len() > decimals {
            let message = format!("{currency} has {decimals} decimals, not {}", fraction.len());
            return Err(Error::invalid("amount", message));
        }
        let padding = std::iter::repeat_n(b'0', decimals - fraction.len());
        let mut minor: i64 = 0;
        for digit in whole.bytes().chain(fraction.bytes()).chain(padding) {
            // Towards the sign from the start, so that the smallest number is read too.
            let digit = i64::from(digit - b'0') * if negative { -1 } else { 1 };
            minor = minor
                .checked_mul(10)
                .and_then(|minor| minor.checked_add(digit))
                .ok_or_else(|| wrong("larger than can be held"))?;
        }
        if negative && minor == 0 {
            return Err(wrong("zero has no sign"));
        }
        Ok(Self::from_minor(minor, currency))
    }

    /// The amount as a decimal with all of the currency's decimals, such as `12.34` or `-0.05`.
    pub fn decimal(self) -> String {
        let mut text = String::with_capacity(MAX_TEXT);
        let units = 10_u64.pow(self.currency().minor_units());
        let minor = self.minor().unsigned_abs();
        if self.is_negative() {
            text.push('-');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{}", minor / units);
        if units > 1 {
            let width = self.currency().minor_units() as usize;
            let _ = write!(text, ".{:0width$}", minor % units);
        }
        text
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut wire = serializer.serialize_struct("Money", 2)?;
        wire.serialize_field("amount", &self.decimal())?;
        wire.serialize_field("currency", &self.currency())?;
        wire.end()
    }
}

#[derive(Deserialize)]
#[serde(rename = "Money", deny_unknown_fields)]
struct Wire {
    amount: String,
    currency: Currency,
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        Self::parse(&wire.amount, wire.currency).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn missing_decimals_are_filled() {
        for (text, minor) in [("12", 1200), ("12.3", 1230), ("12.34", 1234), ("-0.05", -5), ("0", 0)] {
            assert_eq!(Money::parse(text, Currency::EUR).unwrap().minor(), minor, "{text}");
        }
        assert_eq!(Money::parse("12", Currency::JPY).unwrap().decimal(), "12");
        assert_eq!(Money::parse("1.005", Currency::KWD).unwrap().minor(), 1005);
    }

    #[test]
    fn anything_but_a_plain_decimal_is_refused() {
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "+1",
            " 1",
            "1 ",
            "1,00",
            "1e2",
            "0x1",
            "1.234",
            "01",
            "-0",
            "-0.00",
            "1.2.3",
            "--1",
            "١",
            "1_000",
            "NaN",
            "92233720368547758.08",
            "999999999999999999999999999",
        ] {
            assert_eq!(Money::parse(text, Currency::EUR).unwrap_err().field(), Some("amount"), "{text}");
        }
        assert!(Money::parse("1.0", Currency::JPY).is_err());
    }

    #[test]
    fn the_wire_form_is_strict() {
        let read = |json: &str| serde_json::from_str::<Money>(json);
        assert!(read(r#"{"amount":"1.00","currency":"EUR"}"#).is_ok());
        assert!(read(r#"{"amount":1.00,"currency":"EUR"}"#).is_err());
        assert!(read(r#"{"amount":"1.00"}"#).is_err());
        assert!(read(r#"{"amount":"1.00","currency":"EUR","scale":2}"#).is_err());
        let error = read(r#"{"amount":"1.001","currency":"EUR"}"#).unwrap_err().to_string();
        assert!(error.contains("EUR has 2 decimals"), "{error}");
    }

    proptest! {
        #[test]
        fn every_amount_reads_what_it_writes(minor in any::<i64>(), index in 0..Currency::all().count()) {
            let money = Money::from_minor(minor, Currency::all().nth(index).unwrap());
            prop_assert_eq!(Money::parse(&money.decimal(), money.currency()).unwrap(), money);
            let json = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        }

        #[test]
        fn no_text_panics(text in ".{0,30}") {
            let _ = Money::parse(&text, Currency::EUR);
        }
    }
}
