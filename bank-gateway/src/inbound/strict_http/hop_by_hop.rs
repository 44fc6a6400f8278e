//! What holds for one connection only (RFC 9110 §7.6.1), gone before anything judges a message (S4, S34).

use bank_sdk::Problem;
use http::header::{
    CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName};

use super::reserved::{Reserved, is_folded};
use crate::exchange::Exchange;
use crate::problem::ambiguous;
use crate::step::{Flow, Refusal, Step};

/// The hop-by-hop fields, in the order of their [`bit`]s.
const NAMES: [HeaderName; 11] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Removes what holds for one connection only, and what `Connection` names.
///
/// `Connection` may name extension fields of the hop. A request where it names a field that is meant for the server behind
/// (`Host`, `Content-Type`, `Authorization`, `Cookie`, `Idempotency-Key`, `bank-*`, …), or something that is no field name,
/// is refused with 400 `ambiguous_fields`: the field would be gone after a check has relied on it.
///
/// [`StrictHttp`](crate::StrictHttp) does the same. This step is for stacks without it.
///
/// ```
/// use bank_gateway::{Exchange, Step};
/// use bank_gateway::inbound::HopByHop;
/// use bank_sdk::http::Body;
/// use http::Request;
///
/// let ask = |connection: &str| {
///     let request = Request::get("/").header("connection", connection).header("x-hop", "1");
///     Exchange::new(request.header("idempotency-key", "k").body(Body::empty()).unwrap())
/// };
/// let mut exchange = ask("keep-alive, X-Hop");
/// HopByHop::default().before(&mut exchange, &mut ()).unwrap();
/// assert!(!exchange.headers().contains_key("x-hop"));
///
/// let refused = HopByHop::default().before(&mut ask("Idempotency-Key"), &mut ()).unwrap_err();
/// let problem = refused.problem().unwrap();
/// assert_eq!((problem.status().as_u16(), problem.code()), (400, Some("ambiguous_fields")));
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct HopByHop;

impl Step for HopByHop {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        remove_hop_by_hop(exchange.request.headers_mut()).map_err(Problem::from)?;
        Ok(Flow::Pass)
    }
}

/// `Connection` names what is not hop-by-hop.
#[derive(Debug)]
pub(crate) struct NamesEndToEnd;

impl From<NamesEndToEnd> for Problem {
    fn from(_: NamesEndToEnd) -> Self {
        ambiguous("ambiguous_fields", "`Connection` names what does not end with this connection")
    }
}

/// Removes what holds for one connection only, and the fields that `Connection` names unless they are end-to-end: those
/// stay, and the error tells that they were named.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) -> Result<(), NamesEndToEnd> {
    let present = headers.keys().fold(0, |present, name| present | bit(name.as_str()));
    remove_present(headers, present, Reserved::standard())
}

/// The same where it is known which of them are there.
pub(super) fn remove_present(
    headers: &mut HeaderMap,
    present: u16,
    reserved: &Reserved,
) -> Result<(), NamesEndToEnd> {
    if present == 0 {
        return Ok(());
    }
    let outcome = if present & 1 == 0 { Ok(()) } else { remove_named(headers, reserved) };
    for (place, name) in NAMES.iter().enumerate() {
        if present & (1 << place) != 0 {
            headers.remove(name);
        }
    }
    outcome
}

/// Whether `Connection` names this option.
pub(super) fn is_option(headers: &HeaderMap, option: &[u8]) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| {
        value.as_bytes().split(|&byte| byte == b',').any(|own| own.trim_ascii().eq_ignore_ascii_case(option))
    })
}

fn remove_named(headers: &mut HeaderMap, reserved: &Reserved) -> Result<(), NamesEndToEnd> {
    let mut outcome = Ok(());
    let mut named = Vec::new();
    for value in headers.get_all(CONNECTION) {
        for option in value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            let is_usual = option.is_empty()
                || option.eq_ignore_ascii_case(b"keep-alive")
                || option.eq_ignore_ascii_case(b"close");
            if is_usual {
                continue;
            }
            match HeaderName::from_bytes(option) {
                Ok(name) if !is_end_to_end(name.as_str(), reserved) => named.push(name),
                _ => outcome = Err(NamesEndToEnd),
            }
        }
    }
    for name in named {
        headers.remove(name);
    }
    outcome
}

/// A bit for each hop-by-hop field; 0 for another one.
pub(super) fn bit(name: &str) -> u16 {
    match name.as_bytes() {
        [b'c', ..] if name == "connection" => 1,
        [b'k', ..] if name == "keep-alive" => 1 << 1,
        [b'p', b'r', b'o', b'x', ..] => match name {
            "proxy-connection" => 1 << 2,
            "proxy-authenticate" => 1 << 3,
            "proxy-authorization" => 1 << 4,
            "proxy-authentication-info" => 1 << 5,
            _ => 0,
        },
        [b't', ..] => match name {
            "te" => 1 << 6,
            "trailer" => 1 << 7,
            "transfer-encoding" => 1 << 8,
            _ => 0,
        },
        [b'u', ..] if name == "upgrade" => 1 << 9,
        [b'h', ..] if name == "http2-settings" => 1 << 10,
        _ => 0,
    }
}

/// Whether a field, in any spelling, is known to be for the server behind, or is one that the gateway or a check relies on.
pub(super) fn is_end_to_end(name: &str, reserved: &Reserved) -> bool {
    const PREFIXES: [&str; 14] = [
        "accept",
        "access-control-",
        "authentication-",
        "authorization",
        "bank-",
        "content-",
        "cookie",
        "idempotency-",
        "if-",
        "origin",
        "sec-",
        "signature",
        "x-api-key",
        "x-csrf-",
    ];
    if name.contains('_') {
        return is_folded(name, |name| is_end_to_end(name, reserved));
    }
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || matches!(
            name,
            "age"
                | "allow"
                | "baggage"
                | "cache-control"
                | "date"
                | "digest"
                | "dpop"
                | "etag"
                | "expect"
                | "expires"
                | "from"
                | "host"
                | "last-modified"
                | "link"
                | "location"
                | "max-forwards"
                | "pragma"
                | "prefer"
                | "priority"
                | "range"
                | "referer"
                | "retry-after"
                | "server"
                | "set-cookie"
                | "strict-transport-security"
                | "traceparent"
                | "tracestate"
                | "user-agent"
                | "vary"
                | "via"
                | "want-content-digest"
                | "want-repr-digest"
                | "repr-digest"
                | "www-authenticate"
        )
        || reserved.has(name)
        || reserved.is_end_to_end(name)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn s4_hop_by_hop_fields_and_those_that_connection_names_are_removed() {
        let mut headers = headers(&[
            ("connection", "close, x-one"),
            ("connection", ", X-Two ,,"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("te", "trailers"),
            ("trailer", "x-late"),
            ("transfer-encoding", "chunked"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authorization", "Basic x"),
            ("proxy-authentication-info", "x"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
            ("accept", "a"),
        ]);
        remove_hop_by_hop(&mut headers).unwrap();
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
        for name in &NAMES {
            assert_ne!(bit(name.as_str()), 0, "{name}");
        }
    }

    #[test]
    fn s34_connection_cannot_name_what_others_rely_on() {
        for named in [
            "Host",
            "content-type",
            "Content-Length",
            "content-encoding",
            "Authorization",
            "cookie",
            "Idempotency-Key",
            "idempotency_key",
            "bank-identity",
            "Bank-Timeout-Ms",
            "bank-anything",
            "x-request-id",
            "X-Forwarded-For",
            "x-user",
            "Remote-User",
            "origin",
            "sec-fetch-site",
            "x-csrf-token",
            "traceparent",
            "via",
            "dpop",
            "signature-input",
            "close, host",
            "x-hop, Cookie",
            "a b",
            "\"x\"",
            "x-hop;q=1",
            "x y",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECTION, HeaderValue::from_str(named).unwrap());
            headers.insert("host", HeaderValue::from_static("a"));
            assert!(remove_hop_by_hop(&mut headers).is_err(), "{named}");
            assert!(headers.contains_key("host") && !headers.contains_key(CONNECTION), "{named}");
        }
        for named in ["close", "Keep-Alive", "", ",", "te, trailers", "Upgrade", "x-hop", "keep-alive, TE"] {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECTION, HeaderValue::from_str(named).unwrap());
            assert!(remove_hop_by_hop(&mut headers).is_ok(), "{named}");
        }
    }
}
