//! Hosts, query parameters and fields in the form in which conditions of routes are compared (S3).
//!
//! A server behind may read more than one spelling of the same thing. A route that asks for a host, a parameter or a field is
//! meant for all of them: where any of them fits, the condition does.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use http::HeaderMap;

use crate::hex::octet;

/// The host of an authority: without its port, and without the dot at the end of a full name. Letters may still be of either
/// case.
pub(crate) fn host_name(authority: &str) -> Option<&str> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let host = &authority[..end];
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then_some(host)
}

/// Whether the host of an authority is this one.
pub(crate) fn is_host_of(authority: &str, host: &str) -> bool {
    let (Some(own), Some(host)) = (host_name(authority), host_name(host)) else { return false };
    own.eq_ignore_ascii_case(host) || address(own).is_some_and(|own| address(host) == Some(own))
}

/// An IPv6 address in brackets, which can be written in many ways.
fn address(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Whether a query has a parameter of this name with this value, in any place and spelling: escapes and `+` are decoded, and
/// `;` separates as `&` does, because some servers read it so.
pub(crate) fn has_parameter(query: &str, name: &str, value: &str) -> bool {
    query.split(['&', ';']).any(|pair| {
        let (own, held) = pair.split_once('=').unwrap_or((pair, ""));
        *decode(own) == *name.as_bytes() && *decode(held) == *value.as_bytes()
    })
}

/// Whether a field has this value, on any of its lines or as one member of a list.
pub(crate) fn has_field(headers: &HeaderMap, name: &str, value: &str) -> bool {
    let value = value.as_bytes();
    headers.get_all(name).iter().map(|line| line.as_bytes().trim_ascii()).any(|line| {
        line == value || line.split(|&byte| byte == b',').any(|member| member.trim_ascii() == value)
    })
}

/// A path as a server reads it that decodes escapes, does not tell upper from lower case, and takes no notice of a slash at the
/// end.
pub(crate) fn path_in_one_spelling(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    loop {
        rest = match rest {
            [] => break,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.extend(octet(*high, *low));
                rest
            }
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
    without_last_slash(String::from_utf8_lossy(&bytes).to_lowercase())
}

/// The path without a slash at its end, unless it is nothing else.
pub(crate) fn without_last_slash(mut path: String) -> String {
    if path.len() > 1 && path.ends_with('/') {
        path.pop();
    }
    path
}

/// The octets that a form's text stands for. A `%` that starts no escape stands for itself.
fn decode(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return Cow::Owned(decoded),
            [b'+', rest @ ..] => {
                decoded.push(b' ');
                rest
            }
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.extend(octet(*high, *low));
                rest
            }
            [byte, rest @ ..] => {
                decoded.push(*byte);
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_host_is_the_same_with_a_port_a_dot_at_its_end_and_in_any_case() {
        for own in [
            "partner.example",
            "Partner.Example",
            "partner.example.",
            "partner.example:443",
            "partner.example.:1",
        ] {
            assert!(is_host_of(own, "partner.example"), "{own}");
            assert!(is_host_of("PARTNER.example", own), "{own}");
        }
        for own in ["partner.example..", "a.partner.example", "partner.exampl", "", ":80", "."] {
            assert!(!is_host_of(own, "partner.example"), "{own}");
        }
        assert!(is_host_of("[::1]:8080", "[0:0:0:0:0:0:0:1]"));
        assert!(!is_host_of("[::2]", "[::1]") && !is_host_of("[::1", "[::1]"));
    }

    #[test]
    fn s3_spellings_of_a_path_that_some_servers_take_for_one_are_one() {
        for path in ["/v1/@admin", "/V1/%40Admin/", "/v1/%40ADMIN"] {
            assert_eq!(path_in_one_spelling(path), "/v1/@admin", "{path}");
        }
        assert_eq!(path_in_one_spelling("/%C3%89t%C3%A9"), path_in_one_spelling("/%c3%a9T%c3%89"));
        assert_eq!((path_in_one_spelling("/").as_str(), path_in_one_spelling("/a%").as_str()), ("/", "/a%"));
    }

    #[test]
    fn a_parameter_is_found_in_any_spelling() {
        for query in [
            "kind=a",
            "x=1&kind=a",
            "kind=b&kind=a",
            "%6bind=a",
            "kin%64=%61",
            "%6B%69nd=a&",
            "x;kind=a",
            "&&kind=a",
        ] {
            assert!(has_parameter(query, "kind", "a"), "{query}");
        }
        for query in [
            "", "kind", "kind=", "kind=ab", "akind=a", "kind==a", "Kind=a", "kind%3da", "kind=a%", "x=kind=a",
        ] {
            assert!(!has_parameter(query, "kind", "a"), "{query}");
        }
        assert!(
            has_parameter("q=two+words", "q", "two words")
                && has_parameter("q=two%20words", "q", "two words")
        );
        assert!(has_parameter("flag", "flag", "") && has_parameter("q=100%", "q", "100%"));
    }

    #[test]
    fn a_field_is_found_on_any_line_and_in_any_list() {
        let name = HeaderName::from_static("x-version");
        let has = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(&name, HeaderValue::from_static(line));
            }
            has_field(&headers, name.as_str(), "beta")
        };
        assert!(
            has(&["beta"]) && has(&["alpha", "beta"]) && has(&["beta", "alpha"]) && has(&["alpha,\tbeta "])
        );
        assert!(!has(&[]) && !has(&["alpha"]) && !has(&["betas"]) && !has(&["beta gamma"]));
    }
}
