//! Is it HTTP, and can it be read in one way only? (S1, S3–S6 of the security page)
//!
//! | Refused with 400 | Source |
//! | --- | --- |
//! | no `Host`, two of them, one with spaces, `@` or a path | RFC 9112 §3.2 |
//! | an absolute-form target that names another host than `Host` | RFC 9112 §3.2.2 |
//! | a path with `%2f`, `%5c`, `%00`, `;`, `//`, dot segments plain or encoded, or bytes that are not visible ASCII | RFC 3986 §6 |
//! | more than one `Authorization`, `Content-Length`, `Content-Type` or `Transfer-Encoding` | RFC 9110 §5.3 |
//! | a `Transfer-Encoding` that is not exactly `chunked` | RFC 9112 §6.1 |
//! | `Upgrade` | until a route allows it |
//!
//! `CONNECT` and `TRACE` are answered with 405. Fields that only the gateway may set are removed, in any spelling.

use bank_sdk::http::Body;
use bank_sdk::{Problem, method_not_allowed};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, Method, Request, Version};

use crate::Gate;
use crate::problem::ambiguous;

/// Refuses what two readers could read in two ways, and removes what only the gateway may say.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct StrictHttp;

impl Gate for StrictHttp {
    async fn check(&self, request: &mut Request<Body>) -> Result<(), Problem> {
        self.apply(request)
    }
}

impl StrictHttp {
    pub(crate) fn apply(self, request: &mut Request<Body>) -> Result<(), Problem> {
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            use bank_sdk::declaration::Method::{Delete, Get, Patch, Post, Put};
            return Err(method_not_allowed([Get, Post, Put, Patch, Delete]));
        }
        check_path(request.uri().path())?;
        check_host(request)?;
        check_fields(request.headers(), request.version())?;
        remove_reserved(request.headers_mut());
        Ok(())
    }
}

/// Refuses a path that can be read in two ways.
///
/// # Errors
/// 400 with the code `ambiguous_path`.
pub fn check_path(path: &str) -> Result<(), Problem> {
    let refuse = |what: &'static str| Err(ambiguous("ambiguous_path", what));
    if path == "*" || !path.starts_with('/') {
        return refuse("the target must be an absolute path");
    }
    let bytes = path.as_bytes();
    let mut segment = 1;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'/' if at > 0 && bytes[at - 1] == b'/' => return refuse("the path holds `//`"),
            b';' => return refuse("the path holds `;`"),
            b'\\' => return refuse("the path holds a backslash"),
            b'%' => {
                let escape = bytes.get(at + 1..at + 3).unwrap_or_default();
                match escape {
                    [b'2', b'f' | b'F'] => return refuse("the path holds an encoded `/`"),
                    [b'5', b'c' | b'C'] => return refuse("the path holds an encoded backslash"),
                    [b'0', b'0'] => return refuse("the path holds an encoded NUL"),
                    [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                        // Whoever decodes it sees another path than the one that was matched.
                        if is_unreserved(hex(*high) * 16 + hex(*low)) {
                            return refuse("the path holds an escape of a character that needs none");
                        }
                    }
                    _ => return refuse("the path holds a `%` that starts no escape"),
                }
            }
            0x21..=0x7e => {}
            _ => return refuse("the path holds bytes that are not visible ASCII"),
        }
        if byte == b'/' {
            if at > 0 && is_dots(&bytes[segment..at]) {
                return refuse("the path holds a dot segment");
            }
            segment = at + 1;
        }
    }
    if is_dots(&bytes[segment.min(bytes.len())..]) {
        return refuse("the path holds a dot segment");
    }
    Ok(())
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The value of a hexadecimal digit.
const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

/// `.` or `..`, plain or encoded.
fn is_dots(segment: &[u8]) -> bool {
    let mut rest = segment;
    let mut dots = 0;
    while !rest.is_empty() {
        rest = match rest {
            [b'.', tail @ ..] | [b'%', b'2', b'e' | b'E', tail @ ..] => tail,
            _ => return false,
        };
        dots += 1;
    }
    dots == 1 || dots == 2
}

fn check_host(request: &Request<Body>) -> Result<(), Problem> {
    let refuse = |what: &'static str| Err(ambiguous("ambiguous_host", what));
    let mut fields = request.headers().get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return refuse("the request has two `Host` fields");
    }
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    match (field, authority) {
        (None, None) => return refuse("the request has no `Host`"),
        // HTTP/2 carries it in `:authority`.
        (None, Some(authority)) if request.version() == Version::HTTP_2 => {
            if !is_host(authority.as_bytes()) {
                return refuse("`:authority` is not a host");
            }
        }
        (None, Some(_)) => return refuse("the request has no `Host`"),
        (Some(host), authority) => {
            if !is_host(host.as_bytes()) {
                return refuse("`Host` is not a host with an optional port");
            }
            if authority.is_some_and(|authority| !authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
            {
                return refuse("the target names another host than `Host`");
            }
        }
    }
    Ok(())
}

fn is_host(host: &[u8]) -> bool {
    !host.is_empty()
        && host.len() <= 255
        && host.iter().all(|&b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'~')
        })
}

fn check_fields(headers: &HeaderMap, version: Version) -> Result<(), Problem> {
    let refuse = |what: &'static str| Err(ambiguous("ambiguous_fields", what));
    let several = |name: &HeaderName| headers.get_all(name).iter().nth(1).is_some();
    if several(&AUTHORIZATION) {
        return refuse("the request has two `Authorization` fields");
    }
    if several(&CONTENT_LENGTH) || several(&CONTENT_TYPE) {
        return refuse("a field that stands once is given twice");
    }
    if let Some(encoding) = headers.get(TRANSFER_ENCODING) {
        if several(&TRANSFER_ENCODING) || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return refuse("`Transfer-Encoding` must be exactly `chunked`, once");
        }
        if headers.contains_key(CONTENT_LENGTH) || version == Version::HTTP_2 {
            return refuse("the length of the body is given in two ways");
        }
    }
    if headers.contains_key(UPGRADE) && version != Version::HTTP_2 {
        return refuse("no route here upgrades");
    }
    Ok(())
}

/// Removes, in any spelling, what only the gateway may say to a service.
pub(crate) fn remove_reserved(headers: &mut HeaderMap) {
    let reserved: Vec<HeaderName> =
        headers.keys().filter(|name| is_reserved(name.as_str())).cloned().collect();
    for name in reserved {
        headers.remove(&name);
    }
}

/// Whether a field name is the gateway's. Servers behind may fold `_` into `-`, so both spellings are.
pub(crate) fn is_reserved(name: &str) -> bool {
    let Some(first) = name.bytes().next() else { return false };
    // Header names are lower case here; most start with another letter.
    if !matches!(first, b'b' | b'f' | b'x') {
        return false;
    }
    if name == "bank-timeout-ms" {
        return false;
    }
    let name = if name.contains('_') { &*name.replace('_', "-") } else { name };
    name == "forwarded"
        || name == "x-real-ip"
        || name == "x-request-id"
        || name.starts_with("bank-")
        || ["x-forwarded-", "x-client-cert", "x-bank-", "x-identity", "x-user", "x-envoy-"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        || name == "x-original-url"
        || name == "x-rewrite-url"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, fields: &[(&str, &str)]) -> Request<Body> {
        let mut builder = Request::get(uri);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::empty()).unwrap()
    }

    #[test]
    fn s1_a_path_that_reads_in_two_ways_is_refused() {
        for path in [
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a%00",
            "/a;b",
            "//a",
            "/a//b",
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "/a/.%2e",
            "/a%",
            "/a%g0",
            "a",
            "*",
            "/a/%2e",
            "/\u{fc}",
            "/a\\b",
        ] {
            assert!(check_path(path).is_err(), "{path}");
        }
        for path in ["/", "/a", "/a/", "/a/b.c", "/a/...", "/a/.b", "/a/b..", "/a%20b", "/a%C3%BC"] {
            assert!(check_path(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn s1_a_request_has_exactly_one_host() {
        let strict = StrictHttp;
        assert!(strict.apply(&mut request("/", &[])).is_err());
        assert!(strict.apply(&mut request("/", &[("host", "a"), ("host", "b")])).is_err());
        assert!(strict.apply(&mut request("/", &[("host", "a b")])).is_err());
        assert!(strict.apply(&mut request("/", &[("host", "u@a")])).is_err());
        assert!(strict.apply(&mut request("http://a/", &[("host", "b")])).is_err());
        assert!(strict.apply(&mut request("http://a/", &[("host", "A")])).is_ok());
        assert!(strict.apply(&mut request("/", &[("host", "[::1]:8080")])).is_ok());
    }

    #[test]
    fn s5_reserved_fields_are_removed_in_any_spelling() {
        let names = [
            "forwarded",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-real-ip",
            "x_real_ip",
            "bank-identity",
            "bank_identity",
            "x-client-cert-san",
            "x-request-id",
            "x-bank-anything",
            "x-forwarded_host",
        ];
        let fields: Vec<(&str, &str)> =
            names.iter().map(|name| (*name, "x")).chain([("host", "a"), ("accept", "b")]).collect();
        let mut request = request("/", &fields);
        StrictHttp.apply(&mut request).unwrap();
        let mut left: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "host"]);
    }

    #[test]
    fn s6_connect_trace_and_upgrade_are_refused() {
        for method in [Method::CONNECT, Method::TRACE] {
            let mut request = request("/", &[("host", "a")]);
            *request.method_mut() = method;
            assert_eq!(StrictHttp.apply(&mut request).unwrap_err().status(), 405);
        }
        assert!(StrictHttp.apply(&mut request("/", &[("host", "a"), ("upgrade", "h2c")])).is_err());
    }
}
