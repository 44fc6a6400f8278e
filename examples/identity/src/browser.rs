//! What the header fields of a request say of where it comes from. The gateway wrote the forwarded ones anew.

use std::net::IpAddr;

use bank_sdk::http::is_loopback_host;
use bank_sdk::text::is_printable;
use http::header::{HOST, ORIGIN, USER_AGENT};
use http::{HeaderMap, HeaderName};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// So much of what a program calls itself is kept.
const MAX_USER_AGENT: usize = 200;

/// Whether this machine was asked for itself, without TLS: there some browsers take no `Secure` cookie.
pub(crate) fn is_plain_loopback(headers: &HeaderMap) -> bool {
    text(headers, &FORWARDED_PROTO) == Some("http") && host(headers).is_some_and(is_loopback_host)
}

/// Whether no other site had this request made, as far as a browser says (Fetch Metadata, and `Origin`).
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    let is_own_site = match headers.get(&FETCH_SITE) {
        Some(site) => site == "same-origin" || site == "none",
        None => true,
    };
    let mut origins = headers.get_all(ORIGIN).iter();
    let is_own_origin = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => origin.to_str().is_ok_and(|origin| is_own(origin, headers)),
        _ => false,
    };
    is_own_site && is_own_origin
}

fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let (proto, host) = (text(headers, &FORWARDED_PROTO), host(headers));
    let bare = |host: &str| match scheme {
        "https" => host.strip_suffix(":443").unwrap_or(host).to_ascii_lowercase(),
        _ => host.strip_suffix(":80").unwrap_or(host).to_ascii_lowercase(),
    };
    proto == Some(scheme) && host.is_some_and(|host| bare(host) == bare(authority))
}

/// What the program calls itself: printable, and not long.
pub(crate) fn user_agent(headers: &HeaderMap) -> Option<String> {
    let told = text(headers, &USER_AGENT)?.trim();
    let kept: String =
        told.chars().filter(|c| *c == ' ' || is_printable(c.encode_utf8(&mut [0; 4]))).collect();
    let kept: String = kept.chars().take(MAX_USER_AGENT).collect();
    (!kept.is_empty()).then_some(kept)
}

/// The client's network, as the gateway knows its address: a /24, of IPv6 a /48. It tells a customer whether it was at home, and
/// nobody where that is.
pub(crate) fn network(headers: &HeaderMap) -> Option<String> {
    let address: IpAddr = text(headers, &FORWARDED_FOR)?.parse().ok()?;
    Some(match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            format!("{}/48", std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    })
}

fn host(headers: &HeaderMap) -> Option<&str> {
    text(headers, &FORWARDED_HOST).or_else(|| text(headers, &HOST))
}

/// The one value of a field.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn another_site_is_never_taken_for_the_bank_s_own() {
        let own = [("x-forwarded-proto", "https"), ("x-forwarded-host", "bank.example")];
        let with = |more: &[(&'static str, &str)]| is_same_origin(&headers(&[&own[..], more].concat()));
        assert!(with(&[]));
        assert!(with(&[("sec-fetch-site", "same-origin"), ("origin", "https://bank.example")]));
        assert!(with(&[("sec-fetch-site", "none")]));
        assert!(with(&[("origin", "https://Bank.example:443")]));
        for site in ["cross-site", "same-site", "", "SAME-ORIGIN"] {
            assert!(!with(&[("sec-fetch-site", site)]), "{site}");
        }
        for origin in [
            "null",
            "http://bank.example",
            "https://evil.example",
            "https://bank.example:8443",
            "bank.example",
        ] {
            assert!(!with(&[("origin", origin)]), "{origin}");
        }
        assert!(!with(&[("origin", "https://bank.example"), ("origin", "https://bank.example")]));
        assert!(!is_same_origin(&headers(&[("origin", "https://bank.example")])), "its own is not known");
    }

    #[test]
    fn this_machine_without_tls_is_told_by_what_was_asked() {
        for (proto, host, plain) in [
            ("http", "localhost:8080", true),
            ("http", "127.0.0.1:1", true),
            ("https", "localhost:8443", false),
            ("http", "bank.example", false),
        ] {
            let told = headers(&[("x-forwarded-proto", proto), ("x-forwarded-host", host)]);
            assert_eq!(is_plain_loopback(&told), plain, "{proto} {host}");
        }
        assert!(!is_plain_loopback(&headers(&[("host", "localhost")])));
    }

    #[test]
    fn of_an_address_its_network_is_kept_and_of_a_program_what_can_be_shown() {
        let at = |address: &str| network(&headers(&[("x-forwarded-for", address)]));
        assert_eq!(at("203.0.113.77").unwrap(), "203.0.113.0/24");
        assert_eq!(at("::ffff:203.0.113.77").unwrap(), "203.0.113.0/24");
        assert_eq!(at("2001:db8:1:2:3::4").unwrap(), "2001:db8:1::/48");
        assert_eq!((at("unknown"), at("")), (None, None));
        let agent = |text: &str| user_agent(&headers(&[("user-agent", text)]));
        assert_eq!(agent("Browser/1.0 (X11)").unwrap(), "Browser/1.0 (X11)");
        assert_eq!(agent(&"x".repeat(5_000)).unwrap().len(), MAX_USER_AGENT);
        assert_eq!((agent(" "), agent("a\tb")), (None, Some("ab".to_owned())));
    }
}
