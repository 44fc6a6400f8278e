//! `Host` and `:authority` as RFC 3986 §3.2.2 writes a host and a port (S1).

use std::net::Ipv6Addr;
use std::sync::OnceLock;

use bank_sdk::Problem;
use http::{HeaderValue, Uri, Version};

use crate::problem::ambiguous;

/// Refuses a request whose host is missing, given in two ways, or no host. `fields` are the first `Host` and whether there
/// is another; `known` is the host that was found to be one before.
pub(super) fn check_host(
    fields: (Option<&HeaderValue>, bool),
    uri: &Uri,
    version: Version,
    known: Option<&OnceLock<Box<[u8]>>>,
) -> Result<(), Problem> {
    let refuse = |what: &'static str| Err(ambiguous("ambiguous_host", what));
    if uri.scheme_str().is_some_and(|scheme| scheme != "http" && scheme != "https") {
        return Err(ambiguous("ambiguous_scheme", "the target's scheme must be http or https"));
    }
    let (field, has_another) = fields;
    if has_another {
        return refuse("the request has two `Host` fields");
    }
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    match (field, authority) {
        // RFC 9112 §3.2 asks HTTP/1.1 for it; a balancer that asks for health in HTTP/1.0 has none.
        (None, None) if version <= Version::HTTP_10 => Ok(()),
        (None, None) => refuse("the request has no `Host`"),
        // HTTP/2 carries it in `:authority`.
        (None, Some(authority)) if version != Version::HTTP_11 => {
            if is_host(authority) {
                Ok(())
            } else {
                refuse("`:authority` is not a host with an optional port")
            }
        }
        (None, Some(_)) => refuse("the request has no `Host`"),
        (Some(host), _) if !is_host_again(host.as_bytes(), known) => {
            refuse("`Host` is not a host with an optional port")
        }
        (Some(host), Some(authority)) if !authority.eq_ignore_ascii_case(host.as_bytes()) => {
            refuse("the target names another host than `Host`")
        }
        (Some(_), _) => Ok(()),
    }
}

/// The same as [`is_host`], which is not asked about a host that is known.
fn is_host_again(text: &[u8], known: Option<&OnceLock<Box<[u8]>>>) -> bool {
    let Some(known) = known else { return is_host(text) };
    if known.get().is_some_and(|known| **known == *text) {
        return true;
    }
    let is_host = is_host(text);
    if is_host {
        let _ = known.set(text.into());
    }
    is_host
}

/// Whether this is a host with an optional port: a name, an IPv4 address, or an IPv6 address in brackets without a zone.
pub(crate) fn is_host(text: &[u8]) -> bool {
    if let [b'[', rest @ ..] = text {
        let Some(end) = rest.iter().position(|&byte| byte == b']') else { return false };
        let is_address =
            std::str::from_utf8(&rest[..end]).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok());
        return is_address && is_port(&rest[end + 1..]);
    }
    let end = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
    is_name(&text[..end]) && is_port(&text[end..])
}

/// Nothing, or `:` with a number that is a port. RFC 3986 lets the number be missing.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => {
            digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) && value(digits) <= 65_535
        }
        _ => false,
    }
}

/// Labels of letters, digits, `-` and `_`, none of them empty but for a dot at the end. A name that ends in a number is an
/// address, because that is how browsers and resolvers read it.
fn is_name(text: &[u8]) -> bool {
    let name = text.strip_suffix(b".").unwrap_or(text);
    if name.len() > 253 {
        return false;
    }
    let mut last: &[u8] = &[];
    for label in name.split(|&byte| byte == b'.') {
        if label.is_empty() || label.len() > 63 || !label.iter().all(|&byte| IN_LABEL[usize::from(byte)]) {
            return false;
        }
        last = label;
    }
    !is_number(last) || is_ipv4(name)
}

const IN_LABEL: [bool; 256] = {
    let mut is_in = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        is_in[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'_');
        byte += 1;
    }
    is_in
};

/// Four decimal numbers up to 255, without leading zeros.
fn is_ipv4(name: &[u8]) -> bool {
    let is_octet = |digits: &[u8]| {
        let is_short = matches!(digits, [b'0'] | [b'1'..=b'9'] | [b'1'..=b'9', _] | [b'1'..=b'9', _, _]);
        is_short && digits.iter().all(u8::is_ascii_digit) && value(digits) <= 255
    };
    let mut octets = name.split(|&byte| byte == b'.');
    octets.by_ref().take(4).filter(|octet| is_octet(octet)).count() == 4 && octets.next().is_none()
}

/// The number that a few decimal digits are.
fn value(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit & 15))
}

/// Decimal, or hexadecimal as in `0x7f`.
fn is_number(label: &[u8]) -> bool {
    match label {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_a_host_is_a_name_or_an_address_with_an_optional_port() {
        let long = format!("{}.example", "a".repeat(64));
        let longer = ["a"; 128].join(".");
        for wrong in [
            "",
            ":",
            ":::",
            ":80",
            "]a[",
            "[::1",
            "::1",
            "[::1]a",
            "[::1]:x",
            "[::1%eth0]",
            "[fe80::1%25eth0]",
            "[]",
            "[1.2.3.4]",
            "[v1.a]",
            "a:80:90",
            "a:abc",
            "a:99999",
            "a:65536",
            "a:000080",
            "a:-1",
            "a:+1",
            "a: 80",
            "a..b",
            ".localhost",
            ".",
            "..",
            "a..",
            "a b",
            "u@a",
            "a/b",
            "a%20b",
            "a,b",
            "a?b",
            "a#b",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "127.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "2130706433",
            "1.2.3.04",
            "b\u{fc}cher.example",
            &long,
            &longer,
        ] {
            assert!(!is_host(wrong.as_bytes()), "{wrong}");
        }
        for right in [
            "a",
            "a:80",
            "a:",
            "a:0",
            "a:65535",
            "A.Example",
            "partner.example.",
            "partner.example.:443",
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:8080",
            "[2001:db8::7]:443",
            "[::ffff:1.2.3.4]",
            "service_a",
            "xn--bcher-kva.example",
            "4chan.example",
            "1.2.3.4a",
            "a-b",
        ] {
            assert!(is_host(right.as_bytes()), "{right}");
        }
    }
}
