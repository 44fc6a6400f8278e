//! A connection that becomes one of another protocol, such as a WebSocket (RFC 9110 §7.8), where the route says so.
//!
//! | On a route that upgrades | |
//! | --- | --- |
//! | `Upgrade` with a method other than `GET`, or with a body | 400 `ambiguous_fields` |
//! | `Upgrade` that names `h2c`, `HTTP/…` or `TLS/…` | 400 `ambiguous_fields`: nobody would see the requests inside |
//! | `Upgrade` by a server that hands no connection over | 400 `ambiguous_fields` |
//! | the service answers 101 and names a protocol that was asked for | the two connections are joined |
//! | it answers 101 otherwise | 502 `invalid_answer` |
//! | it answers something else | its answer is passed on, and the connection goes on with HTTP |
//!
//! Until the service has answered 101, no byte that the client sent behind its request goes to it.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use bank_sdk::http::{Body, JoinedUntil, Upgrade};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body as _;

use super::strict_http::{InvalidAnswer, check_size, remove_hop_by_hop};
use crate::exchange::{Exchange, Facts};
use crate::problem::ambiguous;
use crate::step::{Flow, Refusal, Step};

/// The option of `Connection` that belongs to `Upgrade`.
const OPTION: HeaderValue = HeaderValue::from_static("upgrade");

/// Refuses a request that asks for another protocol with 400 (`ambiguous_fields`) where its route does not
/// [say so](crate::Route::upgrade), or the protocol is HTTP or TLS again.
///
/// What the client asks for is known as [`Facts::upgrade`] behind [`StrictHttp`](crate::StrictHttp), which removes the field.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Upgrades;

impl Step for Upgrades {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        let Some(asked) = exchange.facts.asked_upgrade() else { return Ok(Flow::Pass) };
        let fault = if !is_declared(&exchange.facts) {
            "this route does not change the protocol of a connection"
        } else if *exchange.request.method() != Method::GET || !exchange.request.body().is_end_stream() {
            "only a `GET` without a body changes the protocol of a connection"
        } else if protocols(&asked.protocols).any(is_hidden) {
            "HTTP and TLS are not spoken inside of a connection that is passed on"
        } else if !asked.can_join() {
            "this server does not change the protocol of a connection"
        } else {
            return Ok(Flow::Pass);
        };
        Err(ambiguous("ambiguous_fields", fault).into())
    }
}

/// Whether the route of a request upgrades.
fn is_declared(facts: &Facts) -> bool {
    facts.route().is_some_and(|route| route.upgrade)
}

/// What a client asks for, where the route of its request upgrades.
fn asked(facts: &Facts) -> Option<&UpgradeRequest> {
    facts.asked_upgrade().filter(|_| is_declared(facts))
}

/// The protocols that a field names.
fn protocols(field: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    field.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty())
}

/// Whether requests could come by inside that nobody has judged.
fn is_hidden(protocol: &[u8]) -> bool {
    let name = protocol.split(|&byte| byte == b'/').next().unwrap_or_default().trim_ascii();
    ["h2c", "h2", "h3", "http", "https", "tls", "ssl"]
        .iter()
        .any(|no| name.eq_ignore_ascii_case(no.as_bytes()))
}

/// A request that asks for another protocol.
pub(crate) struct UpgradeRequest {
    protocols: HeaderValue,
    /// The client's connection, until it is joined.
    client: Mutex<Option<Upgrade>>,
    ends: Mutex<Vec<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

impl UpgradeRequest {
    pub(crate) fn new(protocols: HeaderValue, client: Option<Upgrade>) -> Self {
        Self { protocols, client: Mutex::new(client), ends: Mutex::default() }
    }

    pub(crate) const fn protocols(&self) -> &HeaderValue {
        &self.protocols
    }

    fn can_join(&self) -> bool {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The connection ends when this future completes.
    pub(crate) fn end_when(&self, end: impl Future<Output = ()> + Send + 'static) {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(end));
    }
}

/// Ends the connection of a request, once it speaks another protocol, when this future completes.
pub(crate) fn end_when(
    facts: &Facts,
    end: impl FnOnce() -> Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
) {
    if let Some(asked) = asked(facts)
        && let Some(end) = end()
    {
        asked.end_when(end);
    }
}

/// Says to the service what the client asks for, where the route upgrades.
pub(super) fn ask(headers: &mut HeaderMap, facts: &Facts) {
    if let Some(asked) = asked(facts) {
        headers.insert(CONNECTION, OPTION);
        headers.insert(UPGRADE, asked.protocols.clone());
    }
}

/// Checks the head of an answer 101, and writes anew what holds for this connection.
///
/// # Errors
/// Where nobody asked for it, or for something else.
pub(crate) fn receive_switched(answer: &mut Response<Body>, facts: &Facts) -> Result<(), InvalidAnswer> {
    let unasked = InvalidAnswer::Informational(StatusCode::SWITCHING_PROTOCOLS);
    check_size(answer.headers())?;
    let asked = asked(facts).ok_or(unasked)?;
    let headers = answer.headers_mut();
    let mut chosen = headers.get_all(UPGRADE).iter();
    let (Some(protocol), None) = (chosen.next().cloned(), chosen.next()) else { return Err(unasked) };
    let is_asked_for = |name: &[u8]| protocols(&asked.protocols).any(|own| own.eq_ignore_ascii_case(name));
    // One, and one of those.
    if protocols(&protocol).count() != 1 || !protocols(&protocol).all(is_asked_for) {
        return Err(unasked);
    }
    let _ = remove_hop_by_hop(headers);
    // There is no body whose length they could tell.
    headers.remove(CONTENT_LENGTH);
    headers.remove(TRANSFER_ENCODING);
    headers.insert(CONNECTION, OPTION);
    headers.insert(UPGRADE, protocol);
    Ok(())
}

/// Joins the client's connection with the service's. It ends with either of them, with the session of its caller, when the
/// server drains, and at its times.
///
/// # Errors
/// Where the answer is none that can be joined.
pub(crate) fn join(answer: &Response<Body>, facts: &Facts) -> Result<(), InvalidAnswer> {
    let unasked = InvalidAnswer::Informational(StatusCode::SWITCHING_PROTOCOLS);
    let asked = asked(facts).ok_or(unasked)?;
    let client = asked.client.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(unasked)?;
    let times = facts.route().map(|route| route.times).unwrap_or_default();
    let whole = times.whole.and_then(|whole| facts.start().checked_add(whole));
    let mut until = JoinedUntil::idle(times.upgraded_idle).whole(whole);
    if let Some(drain) = facts.connection().and_then(|connection| connection.drain()) {
        until = until.end(drain.clone().began());
    }
    for end in std::mem::take(&mut *asked.ends.lock().unwrap_or_else(PoisonError::into_inner)) {
        until = until.end(end);
    }
    if answer.body().join(client, until) { Ok(()) } else { Err(unasked) }
}

impl fmt::Debug for UpgradeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeRequest").field("protocols", &self.protocols).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s6_http_and_tls_hide_in_no_upgrade() {
        for hidden in ["h2c", "H2C", "HTTP/2.0", "tls/1.2", "TLS", "h2", "http / 1.1"] {
            assert!(is_hidden(hidden.as_bytes()), "{hidden}");
        }
        for passed in ["websocket", "WebSocket", "connect-udp", "h2clike"] {
            assert!(!is_hidden(passed.as_bytes()), "{passed}");
        }
        let field = HeaderValue::from_static("websocket, , h2c");
        assert_eq!(protocols(&field).collect::<Vec<_>>(), [&b"websocket"[..], b"h2c"]);
    }
}
