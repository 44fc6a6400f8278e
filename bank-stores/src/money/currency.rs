//! Currencies of ISO 4217.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result};

/// A currency of ISO 4217 by its alphabetic code.
///
/// Codes without a minor unit (gold, testing, "no currency") are not among them, since no account is held in those. A code that
/// was withdrawn stays for good, so that what was held in it can be read; no account is opened in it any more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(u8);

impl Currency {
    /// Australian dollar.
    pub const AUD: Self = Self::known("AUD");
    /// Bahraini dinar, with three decimals.
    pub const BHD: Self = Self::known("BHD");
    /// Brazilian real.
    pub const BRL: Self = Self::known("BRL");
    /// Canadian dollar.
    pub const CAD: Self = Self::known("CAD");
    /// Swiss franc.
    pub const CHF: Self = Self::known("CHF");
    /// Yuan renminbi.
    pub const CNY: Self = Self::known("CNY");
    /// Czech koruna.
    pub const CZK: Self = Self::known("CZK");
    /// Danish krone.
    pub const DKK: Self = Self::known("DKK");
    /// Euro.
    pub const EUR: Self = Self::known("EUR");
    /// Pound sterling.
    pub const GBP: Self = Self::known("GBP");
    /// Indian rupee.
    pub const INR: Self = Self::known("INR");
    /// Yen, without decimals.
    pub const JPY: Self = Self::known("JPY");
    /// Kuwaiti dinar, with three decimals.
    pub const KWD: Self = Self::known("KWD");
    /// Mexican peso.
    pub const MXN: Self = Self::known("MXN");
    /// Norwegian krone.
    pub const NOK: Self = Self::known("NOK");
    /// Zloty.
    pub const PLN: Self = Self::known("PLN");
    /// Swedish krona.
    pub const SEK: Self = Self::known("SEK");
    /// Singapore dollar.
    pub const SGD: Self = Self::known("SGD");
    /// United States dollar.
    pub const USD: Self = Self::known("USD");

    /// The three-letter code.
    pub fn code(self) -> &'static str {
        TABLE[usize::from(self.0)].0
    }

    /// How many decimals an amount has: 2 for euro, 0 for yen, 3 for Kuwaiti dinar.
    pub fn minor_units(self) -> u32 {
        TABLE[usize::from(self.0)].1
    }

    /// Whether it was withdrawn: accounts that are held in it go on, and none is opened.
    pub fn is_withdrawn(self) -> bool {
        WITHDRAWN.contains(&self.code())
    }

    /// Every currency, withdrawn ones among them, in the order of the codes.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..COUNT).map(Self)
    }

    /// Evaluated at compile time only, so that an unknown code does not compile.
    const fn known(code: &str) -> Self {
        let wanted = code.as_bytes();
        let mut index = 0;
        while index < TABLE.len() {
            let found = TABLE[index].0.as_bytes();
            if found[0] == wanted[0] && found[1] == wanted[1] && found[2] == wanted[2] {
                return Self(index as u8);
            }
            index += 1;
        }
        panic!("not a currency of ISO 4217")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = Error;

    fn from_str(code: &str) -> Result<Self> {
        match TABLE.binary_search_by_key(&code, |(known, _)| known) {
            Ok(index) => Ok(Self(index as u8)),
            Err(_) => Err(Error::invalid("currency", "not a code of ISO 4217 such as EUR")),
        }
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::deserialize(deserializer)
    }
}

const COUNT: u8 = TABLE.len() as u8;

/// Those that were withdrawn since 2015.
const WITHDRAWN: [&str; 10] = ["ANG", "BGN", "BYR", "CUC", "HRK", "MRO", "SLL", "STD", "VEF", "ZWL"];

/// Code and number of decimals, sorted by code. None is ever removed, and no number of decimals changes: ledgers hold amounts in
/// them.
#[rustfmt::skip]
const TABLE: &[(&str, u32)] = &[
    ("AED", 2), ("AFN", 2), ("ALL", 2), ("AMD", 2), ("ANG", 2), ("AOA", 2), ("ARS", 2), ("AUD", 2),
    ("AWG", 2), ("AZN", 2), ("BAM", 2), ("BBD", 2), ("BDT", 2), ("BGN", 2), ("BHD", 3), ("BIF", 0),
    ("BMD", 2), ("BND", 2), ("BOB", 2), ("BOV", 2), ("BRL", 2), ("BSD", 2), ("BTN", 2), ("BWP", 2),
    ("BYN", 2), ("BYR", 0), ("BZD", 2), ("CAD", 2), ("CDF", 2), ("CHE", 2), ("CHF", 2), ("CHW", 2),
    ("CLF", 4), ("CLP", 0), ("CNY", 2), ("COP", 2), ("COU", 2), ("CRC", 2), ("CUC", 2), ("CUP", 2),
    ("CVE", 2), ("CZK", 2), ("DJF", 0), ("DKK", 2), ("DOP", 2), ("DZD", 2), ("EGP", 2), ("ERN", 2),
    ("ETB", 2), ("EUR", 2), ("FJD", 2), ("FKP", 2), ("GBP", 2), ("GEL", 2), ("GHS", 2), ("GIP", 2),
    ("GMD", 2), ("GNF", 0), ("GTQ", 2), ("GYD", 2), ("HKD", 2), ("HNL", 2), ("HRK", 2), ("HTG", 2),
    ("HUF", 2), ("IDR", 2), ("ILS", 2), ("INR", 2), ("IQD", 3), ("IRR", 2), ("ISK", 0), ("JMD", 2),
    ("JOD", 3), ("JPY", 0), ("KES", 2), ("KGS", 2), ("KHR", 2), ("KMF", 0), ("KPW", 2), ("KRW", 0),
    ("KWD", 3), ("KYD", 2), ("KZT", 2), ("LAK", 2), ("LBP", 2), ("LKR", 2), ("LRD", 2), ("LSL", 2),
    ("LYD", 3), ("MAD", 2), ("MDL", 2), ("MGA", 2), ("MKD", 2), ("MMK", 2), ("MNT", 2), ("MOP", 2),
    ("MRO", 2), ("MRU", 2), ("MUR", 2), ("MVR", 2), ("MWK", 2), ("MXN", 2), ("MXV", 2), ("MYR", 2),
    ("MZN", 2), ("NAD", 2), ("NGN", 2), ("NIO", 2), ("NOK", 2), ("NPR", 2), ("NZD", 2), ("OMR", 3),
    ("PAB", 2), ("PEN", 2), ("PGK", 2), ("PHP", 2), ("PKR", 2), ("PLN", 2), ("PYG", 0), ("QAR", 2),
    ("RON", 2), ("RSD", 2), ("RUB", 2), ("RWF", 0), ("SAR", 2), ("SBD", 2), ("SCR", 2), ("SDG", 2),
    ("SEK", 2), ("SGD", 2), ("SHP", 2), ("SLE", 2), ("SLL", 2), ("SOS", 2), ("SRD", 2), ("SSP", 2),
    ("STD", 2), ("STN", 2), ("SVC", 2), ("SYP", 2), ("SZL", 2), ("THB", 2), ("TJS", 2), ("TMT", 2),
    ("TND", 3), ("TOP", 2), ("TRY", 2), ("TTD", 2), ("TWD", 2), ("TZS", 2), ("UAH", 2), ("UGX", 0),
    ("USD", 2), ("USN", 2), ("UYI", 0), ("UYU", 2), ("UYW", 4), ("UZS", 2), ("VED", 2), ("VEF", 2),
    ("VES", 2), ("VND", 0), ("VUV", 0), ("WST", 2), ("XAD", 2), ("XAF", 0), ("XCD", 2), ("XCG", 2),
    ("XOF", 0), ("XPF", 0), ("YER", 2), ("ZAR", 2), ("ZMW", 2), ("ZWG", 2), ("ZWL", 2),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_code_is_found() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for currency in Currency::all() {
            assert_eq!(currency.code().parse::<Currency>().unwrap(), currency);
        }
    }

    #[test]
    fn decimals_differ_by_currency() {
        assert_eq!(Currency::EUR.minor_units(), 2);
        assert_eq!(Currency::JPY.minor_units(), 0);
        assert_eq!(Currency::KWD.minor_units(), 3);
        assert_eq!("CLF".parse::<Currency>().unwrap().minor_units(), 4);
    }

    #[test]
    fn a_withdrawn_currency_can_still_be_read() {
        let lev: Currency = "BGN".parse().unwrap();
        assert!(lev.is_withdrawn() && !Currency::EUR.is_withdrawn());
        assert!(WITHDRAWN.iter().all(|code| code.parse::<Currency>().is_ok()));
    }

    #[test]
    fn lower_case_and_unknown_codes_are_refused() {
        for code in ["eur", "EU", "EURO", "", "XXX", "XAU", "DEM"] {
            assert!(code.parse::<Currency>().is_err(), "{code}");
        }
        assert!(serde_json::from_str::<Currency>("\"USD\"").is_ok());
        assert!(serde_json::from_str::<Currency>("978").is_err());
    }
}
