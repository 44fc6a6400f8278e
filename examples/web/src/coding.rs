//! Choosing a content coding by `Accept-Encoding` (RFC 9110 §12.5.3).

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// How a file is compressed, the smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Brotli,
    Gzip,
    Identity,
}

impl Coding {
    const ALL: [Self; 3] = [Self::Brotli, Self::Gzip, Self::Identity];

    /// As it stands in `Content-Encoding`, where it does.
    pub(crate) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
            Self::Identity => None,
        }
    }

    fn is_called(self, name: &str) -> bool {
        match self {
            Self::Brotli => name.eq_ignore_ascii_case("br"),
            Self::Gzip => name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip"),
            Self::Identity => name.eq_ignore_ascii_case("identity"),
        }
    }
}

/// The coding with the highest weight among those that there are; of two alike, the smaller file. Who accepts none of them
/// gets the file as it is, which every caller can read.
pub(crate) fn preferred(headers: &HeaderMap, is_there: impl Fn(Coding) -> bool) -> Coding {
    let lists = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let wishes: Vec<(&str, u16)> = lists.flat_map(|list| list.split(',')).filter_map(wish).collect();
    let weight = |coding: Coding| {
        let named = wishes.iter().find(|(name, _)| coding.is_called(name));
        let any = wishes.iter().find(|(name, _)| *name == "*");
        named.or(any).map_or(u16::from(coding == Coding::Identity), |(_, weight)| *weight)
    };
    let mut best = (Coding::Identity, 0);
    for coding in Coding::ALL.into_iter().filter(|coding| is_there(*coding)) {
        if weight(coding) > best.1 {
            best = (coding, weight(coding));
        }
    }
    best.0
}

/// A coding and its weight in thousandths. A list of codings holds no quoted strings, so commas only ever part its elements.
fn wish(element: &str) -> Option<(&str, u16)> {
    let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
    let name = name.trim();
    let weight = match parameters.trim().split_once('=') {
        Some((q, value)) if q.trim().eq_ignore_ascii_case("q") => thousandths(value.trim())?,
        Some(_) => return None,
        None => 1000,
    };
    (!name.is_empty()).then_some((name, weight))
}

/// `0.5` is 500; at most three digits behind the point (RFC 9110 §12.4.2).
fn thousandths(value: &str) -> Option<u16> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_weight_decides_and_then_the_size() {
        let chosen = |accepted: &'static str| {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            preferred(&headers, |_| true)
        };
        assert_eq!(chosen("gzip, deflate, br, zstd"), Coding::Brotli);
        assert_eq!(chosen("gzip;q=1, br;q=0.5"), Coding::Gzip);
        assert_eq!(chosen("GZIP , x"), Coding::Gzip);
        assert_eq!(chosen("br;q=0, *"), Coding::Gzip);
        assert_eq!(chosen("br;q=0.8, gzip;q=0.9, identity;q=1"), Coding::Identity);
        assert_eq!(chosen("*;q=0"), Coding::Identity);
        assert_eq!(chosen("br;q=7"), Coding::Identity);
        assert_eq!(chosen(""), Coding::Identity);
        assert_eq!(preferred(&HeaderMap::new(), |_| true), Coding::Identity);
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("br, gzip"))]);
        assert_eq!(preferred(&headers, |coding| coding == Coding::Gzip), Coding::Gzip);
    }
}
