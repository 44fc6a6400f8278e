//! What of a certificate is asked here: who issued it for whom, and for how long (RFC 5280 §4.1).
//!
//! It verifies nothing: whoever is served a certificate does that.

use bank_stores::Timestamp;
use rustls::pki_types::CertificateDer;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The facts of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) issuer: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Facts {
    /// Nothing where it is no certificate.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (mut outer, _) = Der(certificate).expect(SEQUENCE)?;
        let mut fields = outer.take(SEQUENCE)?;
        if fields.0.first() == Some(&VERSION) {
            fields.take(VERSION)?;
        }
        fields.take(INTEGER)?;
        fields.take(SEQUENCE)?;
        let issuer = fields.take(SEQUENCE)?.0.to_vec();
        let mut validity = fields.take(SEQUENCE)?;
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let subject = fields.take(SEQUENCE)?.0.to_vec();
        Some(Self { issuer, subject, not_before, not_after })
    }
}

/// Bytes in DER that are read from the front.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the value that comes next, if it has this tag, and what follows it.
    fn expect(&self, tag: u8) -> Option<(Self, Self)> {
        let (&[found, first], rest) = self.0.split_first_chunk()?;
        if found != tag {
            return None;
        }
        // 0x80 is a length that is not told; more than four bytes of length has no certificate.
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        Some((Self(content), Self(rest)))
    }

    fn take(&mut self, tag: u8) -> Option<Self> {
        let (content, rest) = self.expect(tag)?;
        *self = rest;
        Some(content)
    }

    /// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from then on.
    fn time(&mut self) -> Option<Timestamp> {
        let (text, year_digits) = match self.0.first()? {
            &UTC_TIME => (self.take(UTC_TIME)?.0, 2),
            _ => (self.take(GENERALIZED_TIME)?.0, 4),
        };
        let digits = text.strip_suffix(b"Z")?;
        if digits.len() != year_digits + 10 || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let (year, rest) = digits.split_at(year_digits);
        let number = |digits: &[u8]| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        let year = match (number(year), year_digits) {
            (year @ 0..50, 2) => 2_000 + year,
            (year, 2) => 1_900 + year,
            (year, _) => year,
        };
        let mut parts = rest.chunks(2).map(number);
        let mut part = |least: i64, most: i64| parts.next().filter(|part| (least..=most).contains(part));
        let (month, day) = (part(1, 12)?, part(1, 31)?);
        let seconds = part(0, 23)? * 3_600 + part(0, 59)? * 60 + part(0, 59)?;
        Some(Timestamp::from_seconds(days(year, month, day) * 86_400 + seconds))
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March end with the day that may be missing.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// The date of a time: year, month and day.
#[cfg(feature = "dev-certificate")]
pub(super) fn date(time: Timestamp) -> (i64, i64, i64) {
    let day_number = time.seconds().div_euclid(86_400);
    // A year that is at most one too large, then the month and the day.
    let mut year = 1970 + day_number.div_euclid(365) + 1;
    while days(year, 1, 1) > day_number {
        year -= 1;
    }
    let month = (1..=12).rev().find(|month| days(year, *month, 1) <= day_number).unwrap_or(1);
    (year, month, day_number - days(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(tag: u8, text: &str) -> Option<String> {
        let bytes = [&[tag, text.len() as u8], text.as_bytes()].concat();
        Der(&bytes).time().map(|time| time.to_string())
    }

    #[test]
    fn times_of_both_forms_are_read() {
        assert_eq!(time(UTC_TIME, "261129112156Z").as_deref(), Some("2026-11-29T11:21:56Z"));
        assert_eq!(time(UTC_TIME, "491231235959Z").as_deref(), Some("2049-12-31T23:59:59Z"));
        assert_eq!(time(UTC_TIME, "500101000000Z").as_deref(), Some("1950-01-01T00:00:00Z"));
        assert_eq!(time(GENERALIZED_TIME, "20500301000000Z").as_deref(), Some("2050-03-01T00:00:00Z"));
        assert_eq!(time(GENERALIZED_TIME, "20240229000000Z").as_deref(), Some("2024-02-29T00:00:00Z"));
        for bad in ["2611291121Z", "261129112156", "261329112156Z", "261129112156+0100", "26112911215éZ"] {
            assert_eq!(time(UTC_TIME, bad), None, "{bad}");
        }
    }

    #[cfg(feature = "dev-certificate")]
    #[test]
    fn a_date_is_that_of_its_day() {
        for number in (-200_000..200_000).step_by(37) {
            let (year, month, day) = date(Timestamp::from_seconds(number * 86_400 + 86_399));
            assert_eq!(days(year, month, day), number);
            assert!((1..=12).contains(&month) && (1..=31).contains(&day), "{year}-{month}-{day}");
        }
        assert_eq!(date(Timestamp::EPOCH), (1970, 1, 1));
    }

    #[test]
    fn what_is_no_certificate_has_no_facts() {
        for bytes in [&[][..], &[0x30], &[0x30, 0x84, 255, 255, 255, 255], &[0x30, 3, 0x30, 0x80, 0], b"text"]
        {
            assert_eq!(Facts::of(&CertificateDer::from(bytes)), None);
        }
    }
}
