//! What of a request's fields goes on to the upstream.

use bank_sdk::http::{BANK_TIMEOUT_MS, Body, REQUEST_ID, RequestId};
use http::header::{
    CONNECTION, EXPECT, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::time::Instant;

use crate::client_addr::{ClientAddr, text};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Removes what held for the client's connection only, and says what the service needs to know. A stream has no deadline.
pub(super) fn prepare(request: &mut Request<Body>, deadline: Option<Instant>) {
    let id = request.extensions().get::<RequestId>().and_then(|id| HeaderValue::from_str(id.as_str()).ok());
    let client = request
        .extensions()
        .get::<ClientAddr>()
        .and_then(|address| HeaderValue::try_from(text(address.0)).ok());
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    headers.remove(EXPECT);
    if let Some(id) = id {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(client) = client {
        headers.insert(X_FORWARDED_FOR, client);
    }
    match deadline {
        None => {
            headers.remove(BANK_TIMEOUT_MS);
        }
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now()).as_millis();
            headers.insert(BANK_TIMEOUT_MS, HeaderValue::from(u64::try_from(left).unwrap_or(u64::MAX)));
        }
    }
}

/// Removes what holds for one connection only, and what `Connection` names (RFC 9110 §7.6.1). It runs before the gateway
/// sets its own fields, so that naming one of those removes nothing (S4).
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages have none of them: one look at the names instead of a search for each.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    if headers.contains_key(CONNECTION) {
        let nominated: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in nominated {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_hop_by_hop_fields_and_those_that_connection_names_are_removed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-one"),
            ("connection", "X-Two"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "h2c"),
            ("accept", "a"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn s4_naming_a_field_in_connection_never_removes_what_the_gateway_sets() {
        let mut request = Request::get("/")
            .header("connection", "x-request-id, bank-timeout-ms, x-forwarded-for")
            .body(Body::empty())
            .unwrap();
        request.extensions_mut().insert(RequestId("req_1".into()));
        prepare(&mut request, Some(Instant::now() + std::time::Duration::from_secs(5)));
        assert_eq!(request.headers()["x-request-id"], "req_1");
        assert!(request.headers().contains_key("bank-timeout-ms"));
    }
}
