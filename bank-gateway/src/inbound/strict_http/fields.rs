//! One pass over the fields of a request: what can be read in two ways is refused, what has to go is noted.

use bank_sdk::Problem;
use http::{HeaderMap, HeaderValue, Version};

use super::hop_by_hop;
use super::reserved::{Reserved, is_folded};
use crate::exchange::Sought;
use crate::problem::ambiguous;

/// What a pass found.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    /// The first `Host`, and whether there is another.
    pub(super) host: (Option<&'a HeaderValue>, bool),
    /// The hop-by-hop fields, as [`hop_by_hop::bit`] numbers them.
    pub(super) hop_by_hop: u16,
    /// Whether a field stands there that has to be removed whatever it says.
    pub(super) has_unwanted: bool,
    /// The protocols that the client would change to.
    pub(super) upgrade: Option<&'a HeaderValue>,
    /// Whether the client takes trailers.
    pub(super) takes_trailers: bool,
    /// The [`Sought`] fields that are there.
    pub(super) sought: u8,
}

/// Fields that stand once, or could be read in two ways.
mod once {
    pub(super) const AUTHORIZATION: u8 = 1;
    pub(super) const CONTENT_LENGTH: u8 = 2;
    pub(super) const CONTENT_TYPE: u8 = 4;
    pub(super) const ORIGIN: u8 = 8;
    pub(super) const RANGE: u8 = 16;
    pub(super) const SEC_FETCH_SITE: u8 = 32;
    pub(super) const TRANSFER_ENCODING: u8 = 64;
    pub(super) const UPGRADE: u8 = 128;
}

const TWICE: &str = "a field that stands once is given twice";
const TWO_LENGTHS: &str = "the length of the body is given in two ways";

/// Reads all fields once.
pub(super) fn check_fields<'a>(
    headers: &'a HeaderMap,
    version: Version,
    reserved: &Reserved,
) -> Result<Found<'a>, Problem> {
    let refuse = |what: &'static str| Err(ambiguous("ambiguous_fields", what));
    let mut found = Found::default();
    let mut seen = 0_u8;
    for (name, value) in headers {
        let name = name.as_str();
        let bit = match kind(name) {
            Kind::Plain => 0,
            Kind::Sought(field) => {
                found.sought |= field.bit();
                0
            }
            Kind::Once(bit) => bit,
            Kind::Length if is_length(value.as_bytes()) => once::CONTENT_LENGTH,
            Kind::Length => return refuse("`Content-Length` must be a number without leading zeros"),
            Kind::Coding => {
                if !value.as_bytes().eq_ignore_ascii_case(b"chunked") || seen & once::TRANSFER_ENCODING != 0 {
                    return refuse("`Transfer-Encoding` must be exactly `chunked`, once");
                }
                found.hop_by_hop |= hop_by_hop::bit(name);
                once::TRANSFER_ENCODING
            }
            Kind::Host => {
                if found.host.0.is_some() {
                    found.host.1 = true;
                } else {
                    found.host.0 = Some(value);
                }
                0
            }
            // HTTP/1.0 and HTTP/2 do not know it.
            Kind::Upgrade if version == Version::HTTP_11 => {
                found.hop_by_hop |= hop_by_hop::bit(name);
                found.upgrade = Some(value);
                once::UPGRADE
            }
            Kind::Connection | Kind::Upgrade => {
                found.hop_by_hop |= hop_by_hop::bit(name);
                0
            }
            Kind::Other => {
                found.hop_by_hop |= hop_by_hop::bit(name);
                found.has_unwanted |= is_unwanted(name, reserved);
                found.sought |= Sought::named(name).map_or(0, Sought::bit);
                0
            }
        };
        if seen & bit != 0 {
            return refuse(if bit == once::AUTHORIZATION {
                "the request has two `Authorization` fields"
            } else {
                TWICE
            });
        }
        seen |= bit;
        found.has_unwanted |= reserved.has_known && reserved.has(name);
    }
    if found.upgrade.is_some() && !hop_by_hop::is_option(headers, b"upgrade") {
        return refuse("`Upgrade` must be named in `Connection`");
    }
    found.takes_trailers = found.hop_by_hop & hop_by_hop::bit("te") != 0 && takes_trailers(headers, version);
    let is_chunked = seen & once::TRANSFER_ENCODING != 0;
    // Chunks are a thing of HTTP/1.1 alone.
    if is_chunked && (seen & once::CONTENT_LENGTH != 0 || version != Version::HTTP_11) {
        return refuse(TWO_LENGTHS);
    }
    Ok(found)
}

/// What is known of a field without a look at the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A usual name, of which nothing is asked.
    Plain,
    /// The same, where steps look for it.
    Sought(Sought),
    Once(u8),
    Length,
    Coding,
    Host,
    Connection,
    Upgrade,
    Other,
}

/// Decided by the length and then byte by byte: most requests have usual names only.
const fn kind(name: &str) -> Kind {
    match name.as_bytes() {
        b"host" => Kind::Host,
        b"authorization" => Kind::Once(once::AUTHORIZATION),
        b"content-type" => Kind::Once(once::CONTENT_TYPE),
        b"origin" => Kind::Once(once::ORIGIN),
        b"range" => Kind::Once(once::RANGE),
        b"sec-fetch-site" => Kind::Once(once::SEC_FETCH_SITE),
        b"content-length" => Kind::Length,
        b"transfer-encoding" => Kind::Coding,
        b"connection" => Kind::Connection,
        b"upgrade" => Kind::Upgrade,
        b"cookie" => Kind::Sought(Sought::Cookie),
        b"idempotency-key" => Kind::Sought(Sought::IdempotencyKey),
        b"traceparent" => Kind::Sought(Sought::Traceparent),
        b"tracestate" => Kind::Sought(Sought::Tracestate),
        b"accept" | b"accept-encoding" | b"accept-language" | b"cache-control" | b"if-none-match"
        | b"pragma" | b"priority" | b"referer" | b"sec-fetch-dest" | b"sec-fetch-mode"
        | b"sec-fetch-user" | b"user-agent" | b"x-api-key" | b"x-csrf-token" => Kind::Plain,
        _ => Kind::Other,
    }
}

/// Whether a field has to go: its name is reserved, stands for another one, or is no name that all servers read alike.
pub(super) fn is_unwanted(name: &str, reserved: &Reserved) -> bool {
    match spelling(name) {
        Spelling::Plain => reserved.has(name),
        Spelling::Underscores => is_alias(name, reserved),
        Spelling::Odd => true,
    }
}

/// Whether `TE` says that trailers are welcome; on HTTP/1.1 `Connection` has to name it (RFC 9110 §10.1.4).
fn takes_trailers(headers: &HeaderMap, version: Version) -> bool {
    (version != Version::HTTP_11 || hop_by_hop::is_option(headers, b"te"))
        && headers.get_all(http::header::TE).iter().any(|value| {
            let mut codings = value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            codings.any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
        })
}

/// Whether a trailer of this name could be taken for a field that somebody acts upon.
pub(crate) fn has_no_place_in_trailers(name: &str, reserved: &Reserved) -> bool {
    const PLACED: [&str; 6] =
        ["content-digest", "digest", "etag", "repr-digest", "signature", "signature-input"];
    is_unwanted(name, reserved)
        || hop_by_hop::bit(name) != 0
        || (hop_by_hop::is_end_to_end(name, reserved) && !PLACED.contains(&name))
}

/// A number as everybody writes it.
pub(super) fn is_length(value: &[u8]) -> bool {
    match value {
        [b'0'] => true,
        // What has nineteen digits fits into 64 bits.
        [b'1'..=b'9', rest @ ..] => rest.len() <= 18 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// Letters, digits and `-`.
    Plain,
    /// `_` as well, which servers behind may fold into `-`.
    Underscores,
    /// Other characters that HTTP allows, and that servers behind may drop or fold.
    Odd,
}

fn spelling(name: &str) -> Spelling {
    let mut worst = 0;
    for byte in name.bytes() {
        worst |= WEIGHT[usize::from(byte)];
    }
    match worst {
        0 => Spelling::Plain,
        1 => Spelling::Underscores,
        _ => Spelling::Odd,
    }
}

/// Names are lower case here.
const WEIGHT: [u8; 256] = {
    let mut weight = [2; 256];
    let mut byte = 0;
    while byte < 256 {
        if (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'-' {
            weight[byte] = 0;
        }
        byte += 1;
    }
    weight[b'_' as usize] = 1;
    weight
};

/// Whether a name with `_` in it is another spelling of one that means something here.
fn is_alias(name: &str, reserved: &Reserved) -> bool {
    is_folded(name, |name| {
        reserved.has(name)
            || name == "bank-timeout-ms"
            || hop_by_hop::bit(name) != 0
            || hop_by_hop::is_end_to_end(name, reserved)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn check(fields: &[(&str, &str)], version: Version) -> Result<(u16, bool), Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        check_fields(&headers, version, Reserved::standard())
            .map(|found| (found.hop_by_hop, found.has_unwanted))
    }

    #[test]
    fn the_names_that_are_known_are_those_that_are_listed() {
        for name in super::super::known::KNOWN {
            assert_ne!(kind(name), Kind::Other, "{name}");
            assert!(!Reserved::standard().has(name), "{name}");
        }
        assert_eq!(kind("accept-charset"), Kind::Other);
        let mut own = Reserved::clone(Reserved::standard());
        own.add("sec-fetch-", true);
        let mut headers = HeaderMap::new();
        headers.insert("sec-fetch-mode", HeaderValue::from_static("cors"));
        assert!(check_fields(&headers, Version::HTTP_11, &own).unwrap().has_unwanted);
    }

    #[test]
    fn s2_a_length_is_written_in_one_way_and_given_once() {
        for value in ["0", "1", "10", "1234567890123456789"] {
            assert!(check(&[("content-length", value)], Version::HTTP_11).is_ok(), "{value}");
        }
        for value in [
            "",
            "00",
            "010",
            "+1",
            "-1",
            "1 ",
            "1,1",
            "1, 1",
            "0x1",
            "1e1",
            "12345678901234567890",
            "a",
            "\u{661}",
        ] {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                let mut headers = HeaderMap::new();
                headers.insert("content-length", value);
                assert!(check_fields(&headers, Version::HTTP_11, Reserved::standard()).is_err());
            }
        }
        for version in [Version::HTTP_11, Version::HTTP_2] {
            assert!(check(&[("content-length", "5"), ("content-length", "5")], version).is_err());
        }
    }

    #[test]
    fn s1_what_stands_once_is_not_given_twice() {
        for name in [
            "authorization",
            "content-type",
            "content-length",
            "origin",
            "range",
            "sec-fetch-site",
            "transfer-encoding",
        ] {
            let value = match name {
                "content-length" => "1",
                "transfer-encoding" => "chunked",
                _ => "a",
            };
            assert!(check(&[(name, value)], Version::HTTP_11).is_ok(), "{name}");
            assert!(check(&[(name, value), (name, value)], Version::HTTP_11).is_err(), "{name}");
        }
        assert!(check(&[("cookie", "a=b"), ("cookie", "c=d")], Version::HTTP_2).is_ok());
    }

    #[test]
    fn a_rule_of_one_version_is_not_applied_to_another() {
        assert!(check(&[("upgrade", "h2c")], Version::HTTP_11).is_err());
        assert!(check(&[("upgrade", "h2c"), ("connection", "a, Upgrade")], Version::HTTP_11).is_ok());
        assert!(check(&[("upgrade", "h2c")], Version::HTTP_10).is_ok(), "RFC 9110 §7.8: to be ignored");
        assert!(check(&[("transfer-encoding", "chunked")], Version::HTTP_11).is_ok());
        for version in [Version::HTTP_10, Version::HTTP_2, Version::HTTP_3] {
            assert!(check(&[("transfer-encoding", "chunked")], version).is_err());
        }
    }

    #[test]
    fn s5_names_that_servers_spell_anew_are_unwanted() {
        for name in [
            "content_length",
            "transfer_encoding",
            "host_",
            "x.forwarded.for",
            "x~user",
            "remote_user",
            "a+b",
            "a!",
            "idempotency_key",
            "connection_",
            "keep_alive",
            "bank_timeout_ms",
            "x*y",
            "a|b",
            "a'b",
            "authorization.",
        ] {
            let unwanted = check(&[(name, "a")], Version::HTTP_11).unwrap().1;
            assert_eq!(unwanted, !matches!(name, "host_" | "connection_"), "{name}");
            assert_eq!(unwanted, is_unwanted(name, Reserved::standard()));
        }
        for name in ["x-own", "x_own", "api_version", "accept", "dnt", "x-1"] {
            assert!(!check(&[(name, "a")], Version::HTTP_11).unwrap().1, "{name}");
        }
    }
}
