//! What of a request's fields goes on to the upstream, and what of its answer comes back.

use bank_sdk::http::{BANK_TIMEOUT_MS, Body, REQUEST_ID};
use http::header::{EXPECT, HOST};
use http::{HeaderName, HeaderValue, Request, Response};

use super::client_addr::{Peer, field_of};
use super::strict_http::{InvalidAnswer, check_answer};
use super::trailers::{pass_back, pass_on};
use super::upgrade::ask;
use crate::exchange::{Exchange, Facts, Sought};
use crate::field_text::field_number;
use crate::observe::next_span;
use crate::step::{Flow, Refusal, Step};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HTTP: HeaderValue = HeaderValue::from_static("http");
const HTTPS: HeaderValue = HeaderValue::from_static("https");

/// Removes what held for the client's connection only, and says what the service needs to know: the request's id and the
/// client's address. [`Outbound`](crate::outbound::Outbound) does the same by itself.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ForwardedFields;

impl Step for ForwardedFields {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        prepare(exchange);
        Ok(Flow::Pass)
    }
}

/// Makes the fields ready for the upstream.
pub(crate) fn prepare(exchange: &mut Exchange) {
    let Exchange { request, facts } = exchange;
    pass_on(request, facts);
    let headers = request.headers_mut();
    if !facts.lacks(Sought::Expect) {
        headers.remove(EXPECT);
    }
    ask(headers, facts);
    if let Some(id) = facts.id_field() {
        headers.insert(REQUEST_ID, id);
    }
    let client = facts.client().and_then(|client| match Peer::of(facts) {
        Some(peer) => peer.field.clone(),
        None => field_of(client.0),
    });
    if let Some(client) = client {
        let origin = facts.origin();
        let tls = || facts.connection().is_some_and(|connection| connection.tls.is_some());
        let secure = origin.and_then(|origin| origin.is_secure).unwrap_or_else(tls);
        let host = origin.and_then(|origin| origin.host.as_ref()).or_else(|| headers.get(HOST)).cloned();
        headers.insert(X_FORWARDED_FOR, client);
        let scheme = if secure { HTTPS } else { HTTP };
        headers.insert(X_FORWARDED_PROTO, scheme);
        if let Some(host) = host {
            headers.insert(X_FORWARDED_HOST, host);
        }
    }
}

/// Says what is new with each try: the time that is left, and the span that it is in. A stream has no deadline.
pub(crate) fn stamp(request: &mut Request<Body>, facts: &Facts) {
    let headers = request.headers_mut();
    match facts.time_left().filter(|_| facts.route().is_none_or(|route| !route.stream)) {
        None if facts.lacks(Sought::Timeout) => {}
        None => {
            headers.remove(BANK_TIMEOUT_MS);
        }
        Some(left) => {
            let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            if let Some(left) = field_number(left) {
                headers.insert(BANK_TIMEOUT_MS, left);
            }
        }
    }
    if facts.tries() > 0 {
        next_span(headers);
    }
}

/// Checks the head of an upstream's answer, and removes what held for that connection only.
///
/// # Errors
/// What is wrong with an answer that a caller could not read in one way only.
pub(crate) fn receive(answer: &mut Response<Body>, facts: &Facts) -> Result<(), InvalidAnswer> {
    check_answer(answer)?;
    pass_back(answer, facts);
    Ok(())
}

#[cfg(test)]
mod tests {
    use bank_sdk::http::RequestId;
    use bank_sdk::serve::{Connection, TlsFacts};

    use super::*;
    use crate::inbound::{ClientAddr, ClientOrigin};

    fn asking() -> http::request::Builder {
        Request::get("/").header("host", "bank.example")
    }

    #[test]
    fn s4_naming_a_field_in_connection_never_removes_what_the_gateway_sets() {
        let request = asking().header("connection", "x-request-id, bank-timeout-ms, x-forwarded-for, x-hop");
        let mut exchange = Exchange::new(request.header("x-hop", "1").body(Body::empty()).unwrap());
        exchange.facts.set_id(RequestId::new("req_1").unwrap());
        exchange.facts.set_client(ClientAddr([9, 9, 9, 9].into()));
        exchange.facts.limit_time(std::time::Duration::from_secs(5), None);
        prepare(&mut exchange);
        stamp(&mut exchange.request, &exchange.facts);
        let headers = exchange.headers();
        assert_eq!(
            (&headers["x-request-id"], &headers["x-forwarded-for"]),
            (&"req_1".parse().unwrap(), &"9.9.9.9".parse().unwrap())
        );
        assert!(headers.contains_key("bank-timeout-ms") && !headers.contains_key("x-hop"));
    }

    #[test]
    fn s5_an_upstream_is_told_address_scheme_and_host_of_the_client() {
        let prepared = |secure: bool, origin: Option<ClientOrigin>| {
            let mut request = asking().body(Body::empty()).unwrap();
            if secure {
                let mut connection = Connection::new("9.9.9.9:1".parse().unwrap());
                connection.tls = Some(TlsFacts::default());
                request.extensions_mut().insert(std::sync::Arc::new(connection));
            }
            let mut exchange = Exchange::new(request);
            exchange.facts.set_client(ClientAddr([9, 9, 9, 9].into()));
            if let Some(origin) = origin {
                exchange.facts.set_origin(origin);
            }
            prepare(&mut exchange);
            let field = |name: HeaderName| exchange.headers()[name].to_str().unwrap().to_owned();
            (field(X_FORWARDED_FOR), field(X_FORWARDED_PROTO), field(X_FORWARDED_HOST))
        };
        let told = |proto: &str, host: &str| ("9.9.9.9".to_owned(), proto.to_owned(), host.to_owned());
        assert_eq!(prepared(false, None), told("http", "bank.example"));
        assert_eq!(prepared(true, None), told("https", "bank.example"));
        let mut origin = ClientOrigin::default();
        (origin.is_secure, origin.host) = (Some(true), Some(HeaderValue::from_static("outside.example")));
        assert_eq!(prepared(false, Some(origin)), told("https", "outside.example"));
    }
}
