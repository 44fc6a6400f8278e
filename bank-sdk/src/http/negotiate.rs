//! Choosing among several representations by `Accept` (RFC 9110 §12.5.1).

use http::HeaderMap;
use http::header::ACCEPT;
use mediatype::names::{_STAR, CHARSET};
use mediatype::{MediaType, MediaTypeList, Name, ReadParams as _, Value};

/// Which of these media types the caller wants, or none where it accepts none of them.
///
/// The highest weight wins; a type of weight 0 is not wanted. The most specific range says a type's weight:
/// `text/csv;header=present`, then `text/csv`, then `text/*`, then `*/*`. Among equal weights the range that stands first
/// wins, and then the type that is offered first. Without `Accept`, everything is wanted. A range that cannot be read
/// counts for nothing.
///
/// ```
/// use bank_sdk::http::preferred;
/// use http::{HeaderMap, HeaderValue, header::ACCEPT};
///
/// let asked = |accept| HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
/// let offers = ["application/json", "text/csv"];
/// assert_eq!(preferred(&asked("text/csv, */*;q=0.1"), &offers), Some("text/csv"));
/// assert_eq!(preferred(&asked("text/csv;q=0, */*"), &offers), Some("application/json"));
/// assert_eq!(preferred(&asked("image/png"), &offers), None);
/// ```
#[must_use]
pub fn preferred<'o>(headers: &HeaderMap, offers: &[&'o str]) -> Option<&'o str> {
    let lists: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    if lists.iter().all(|list| list.trim().is_empty()) {
        return offers.first().copied();
    }
    let ranges: Vec<Range<'_>> = lists
        .iter()
        .flat_map(|list| MediaTypeList::new(list))
        .filter_map(|range| Range::of(range.ok()?))
        .collect();
    let mut best: Option<(&'o str, u16, usize)> = None;
    for &offer in offers {
        let Ok(media_type) = MediaType::parse(offer) else { continue };
        let matching = ranges.iter().enumerate().filter(|(_, range)| range.takes(&media_type));
        // Of two ranges alike the first one counts.
        let Some((place, range)) = matching.rev().max_by_key(|(_, range)| range.specificity) else {
            continue;
        };
        let better = match best {
            None => true,
            Some((_, weight, before)) => (range.weight, before) > (weight, place),
        };
        if range.weight > 0 && better {
            best = Some((offer, range.weight, place));
        }
    }
    best.map(|(offer, ..)| offer)
}

/// A media range with its weight.
struct Range<'a> {
    media_type: MediaType<'a>,
    specificity: usize,
    /// In thousandths.
    weight: u16,
}

const Q: Name<'static> = Name::new_unchecked("q");

impl<'a> Range<'a> {
    fn of(media_type: MediaType<'a>) -> Option<Self> {
        let any = (media_type.ty == _STAR, media_type.subty == _STAR);
        let specificity = match any {
            (true, true) => 0,
            (true, false) => return None,
            (false, true) => 1,
            (false, false) => 2 + conditions(&media_type).count(),
        };
        let weight = match media_type.params().find(|(name, _)| *name == Q) {
            Some((_, weight)) => thousandths(weight.as_str())?,
            None => 1_000,
        };
        Some(Self { media_type, specificity, weight })
    }

    fn takes(&self, offer: &MediaType<'_>) -> bool {
        let range = &self.media_type;
        match self.specificity {
            0 => true,
            1 => range.ty == offer.ty,
            _ => {
                range.ty == offer.ty
                    && range.subty == offer.subty
                    && range.suffix == offer.suffix
                    && conditions(range).all(|(name, wanted)| {
                        offer
                            .get_param(name)
                            .is_some_and(|value| value.unquoted_str() == wanted.unquoted_str())
                    })
            }
        }
    }
}

/// The parameters that a representation must have. What stands behind the weight is none, and all we write is UTF-8.
fn conditions<'m>(range: &'m MediaType<'_>) -> impl Iterator<Item = (Name<'m>, Value<'m>)> {
    let parameters = range.params().take_while(|(name, _)| *name != Q);
    parameters.filter(|(name, value)| *name != CHARSET || !value.unquoted_str().eq_ignore_ascii_case("utf-8"))
}

/// A weight by its grammar: `0`, `1`, or with up to three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    match (whole, decimals) {
        ("0", part) => Some(part),
        ("1", 0) => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const OFFERS: [&str; 2] = ["application/json", "text/csv; charset=utf-8; header=present"];

    /// The first letter of what is chosen, `-` for nothing.
    fn chosen(accept: &[&str]) -> char {
        let headers: HeaderMap =
            accept.iter().map(|value| (ACCEPT, HeaderValue::from_str(value).unwrap())).collect();
        match preferred(&headers, &OFFERS) {
            Some("application/json") => 'j',
            Some(_) => 'c',
            None => '-',
        }
    }

    #[test]
    fn weights_and_ranges_choose_the_representation() {
        for (accept, expected) in [
            ("", 'j'),
            ("*/*", 'j'),
            ("text/csv", 'c'),
            ("TEXT/Csv", 'c'),
            ("text/*", 'c'),
            ("application/*", 'j'),
            ("text/csv;q=0, application/json", 'j'),
            ("text/csv;q=0", '-'),
            ("text/csv;q=0.000, */*", 'j'),
            ("text/csv;Q=0, */*", 'j'),
            ("*/*;q=0", '-'),
            ("*/*, application/json;q=0", 'c'),
            ("text/*, text/csv;q=0, */*;q=0.1", 'j'),
            ("application/json;q=0.5, text/csv;q=0.8", 'c'),
            ("text/csv;q=0.5, application/json;q=0.501", 'j'),
            ("text/csv, application/json", 'c'),
            ("application/json, text/csv", 'j'),
            ("text/csv;q=0.9, */*;q=0.9", 'c'),
            ("text/csv; header=present, */*;q=0.1", 'c'),
            ("text/csv; header=absent, */*;q=0.1", 'j'),
            ("text/csv;header=present;q=0, text/csv;q=1", '-'),
            ("application/json;charset=UTF-8", 'j'),
            ("application/json;charset=latin1", '-'),
            ("application/json;q=1;version=2", 'j'),
            ("text/html, application/xhtml+xml, image/png;q=0.8", '-'),
            ("application/vnd.x+json", '-'),
            ("text/csv;q=2, application/json;q=0.1", 'j'),
            ("text/csv;q=0.1234, application/json;q=0.1", 'j'),
            ("text/csv;q=, application/json;q=0.1", 'j'),
            ("*/csv, application/json;q=0.1", 'j'),
            ("text/plain;a=\"x, text/csv\", application/json;q=0.1", 'j'),
        ] {
            assert_eq!(chosen(&[accept]), expected, "{accept}");
        }
        assert_eq!(chosen(&["text/csv;q=0.2", "application/json;q=0.3"]), 'j');
        assert_eq!(chosen(&[]), 'j');
    }
}
