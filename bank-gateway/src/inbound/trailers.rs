//! Trailers pass, and never become fields of a head: whatever a server might act upon as one is removed from them (RFC 9110
//! §6.5.1).

use std::sync::Arc;

use bank_sdk::http::{Body, End, Watch};
use http::header::{CONNECTION, TE, TRAILER};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body as _;

use super::strict_http::{Reserved, has_no_place_in_trailers, remove_hop_by_hop};
use crate::exchange::Facts;

/// `TE: trailers` and the option of `Connection` that belongs to it.
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const OPTION: HeaderValue = HeaderValue::from_static("te");

/// Removes from the trailers of a request what they may not say.
pub(super) struct JudgeTrailers(pub(super) Arc<Reserved>);

impl Watch for JudgeTrailers {
    fn trailers(&mut self, fields: &mut HeaderMap) {
        judge_trailers(fields, &self.0);
    }

    fn ended(&mut self, _: End) {}
}

/// Removes from the trailers of an answer what they may not say.
pub(crate) fn judge_answer_trailers(fields: &mut HeaderMap) {
    judge_trailers(fields, Reserved::standard());
}

fn judge_trailers(fields: &mut HeaderMap, reserved: &Reserved) {
    let names: Vec<_> =
        fields.keys().filter(|name| has_no_place_in_trailers(name.as_str(), reserved)).cloned().collect();
    for name in names {
        fields.remove(&name);
    }
}

/// Removes what held for the client's connection, and says to the service whether trailers may come, and are welcome.
pub(super) fn pass_on(request: &mut Request<Body>, facts: &Facts) {
    let announced = announced(request.headers(), request.body());
    let headers = request.headers_mut();
    // An end-to-end field stays, even if `Connection` names it.
    let _ = remove_hop_by_hop(headers);
    announced.map(|trailer| headers.insert(TRAILER, trailer));
    if facts.takes_trailers() {
        headers.insert(TE, TRAILERS);
        headers.insert(CONNECTION, OPTION);
    }
}

/// Removes what held for the service's connection; a client that takes trailers is told which come.
pub(crate) fn pass_back(answer: &mut Response<Body>, facts: &Facts) {
    let takes_trailers = facts.takes_trailers();
    let announced = if takes_trailers { announced(answer.headers(), answer.body()) } else { None };
    let headers = answer.headers_mut();
    let _ = remove_hop_by_hop(headers);
    announced.map(|trailer| headers.insert(TRAILER, trailer));
}

fn announced(headers: &HeaderMap, body: &Body) -> Option<HeaderValue> {
    if body.is_end_stream() { None } else { headers.get(TRAILER).cloned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s6_a_trailer_says_nothing_that_a_server_acts_upon() {
        let mut fields = HeaderMap::new();
        for name in [
            "authorization",
            "bank-identity",
            "bank_identity",
            "connection",
            "content-length",
            "content-type",
            "content_length",
            "cookie",
            "host",
            "idempotency-key",
            "set-cookie",
            "te",
            "transfer-encoding",
            "x-forwarded-for",
            "x.odd",
        ] {
            fields.insert(name, HeaderValue::from_static("1"));
        }
        for name in
            ["grpc-status", "grpc-message", "x-late", "content-digest", "etag", "signature", "server-timing"]
        {
            fields.insert(name, HeaderValue::from_static("1"));
        }
        judge_answer_trailers(&mut fields);
        let mut left: Vec<_> = fields.keys().map(http::HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            ["content-digest", "etag", "grpc-message", "grpc-status", "server-timing", "signature", "x-late"]
        );
    }
}
