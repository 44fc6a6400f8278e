//! What tells a browser to be careful: the fields of the OWASP secure headers project that an API and its pages need.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bank_sdk::http::Body;
use bank_sdk::serve::Connection;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request};

use crate::exchange::{Exchange, Facts};
use crate::route::canonical::host_name;
use crate::step::{Answer, Flow, Refusal, Step};

/// Adds the fields that an answer does not have yet.
///
/// | Field | Value | Where |
/// | --- | --- | --- |
/// | `X-Content-Type-Options` | `nosniff` | everywhere |
/// | `Referrer-Policy` | `no-referrer` | everywhere |
/// | `X-Frame-Options` | `DENY` | everywhere |
/// | `Cache-Control` | `no-store` | not on answers of foreign upstreams |
/// | `Content-Security-Policy` | `default-src 'none'; frame-ancestors 'none'` | not on answers of foreign upstreams |
/// | `Strict-Transport-Security` | `max-age=63072000`, two years | over TLS, unless the host is `localhost` or an address |
///
/// ```
/// use bank_gateway::SecurityHeaders;
/// use http::HeaderValue;
/// use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};
/// use std::time::Duration;
///
/// SecurityHeaders::default()
///     .set(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'self'"))
///     .set(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"))
///     .without(&REFERRER_POLICY)
///     .strict_transport_security(Duration::from_secs(24 * 60 * 60));
/// ```
#[derive(Clone, Debug)]
pub struct SecurityHeaders {
    fields: Arc<[Field]>,
}

#[derive(Clone, Debug)]
struct Field {
    name: HeaderName,
    value: HeaderValue,
    place: Place,
}

/// Which answers get a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Everywhere,
    Ours,
    Secure,
}

impl Default for SecurityHeaders {
    fn default() -> Self {
        let field = |name, value, place| Field { name, value: HeaderValue::from_static(value), place };
        let fields = [
            field(X_CONTENT_TYPE_OPTIONS, "nosniff", Place::Everywhere),
            field(REFERRER_POLICY, "no-referrer", Place::Everywhere),
            field(X_FRAME_OPTIONS, "DENY", Place::Everywhere),
            field(CACHE_CONTROL, "no-store", Place::Ours),
            field(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'", Place::Ours),
            field(STRICT_TRANSPORT_SECURITY, "max-age=63072000", Place::Secure),
        ];
        Self { fields: fields.into() }
    }
}

impl SecurityHeaders {
    /// Gives a field this value. A field that is not in the table goes on every answer.
    #[must_use]
    pub fn set(self, name: HeaderName, value: HeaderValue) -> Self {
        let mut fields = self.fields.to_vec();
        match fields.iter_mut().find(|field| field.name == name) {
            Some(field) => field.value = value,
            None => fields.push(Field { name, value, place: Place::Everywhere }),
        }
        Self { fields: fields.into() }
    }

    /// Leaves a field out.
    #[must_use]
    pub fn without(self, name: &HeaderName) -> Self {
        Self { fields: self.fields.iter().filter(|field| field.name != *name).cloned().collect() }
    }

    /// For how long browsers use TLS alone. For subdomains and preloading [`set`](Self::set) the whole value.
    #[must_use]
    pub fn strict_transport_security(self, max_age: Duration) -> Self {
        let mut value = String::from("max-age=");
        value.push_str(itoa::Buffer::new().format(max_age.as_secs()));
        // Letters and digits always fit.
        match HeaderValue::try_from(value) {
            Ok(value) => self.set(STRICT_TRANSPORT_SECURITY, value),
            Err(_) => self,
        }
    }

    /// Adds what is missing. How an answer that is not `ours` is cached, and what its pages load, is its own business.
    fn add(&self, headers: &mut HeaderMap, ours: bool, is_secure: bool) {
        headers.reserve(self.fields.len());
        for field in &*self.fields {
            let belongs = match field.place {
                Place::Everywhere => true,
                Place::Ours => ours,
                Place::Secure => is_secure,
            };
            if belongs && let http::header::Entry::Vacant(vacant) = headers.entry(&field.name) {
                vacant.insert(field.value.clone());
            }
        }
    }
}

impl Step for SecurityHeaders {
    /// Whether the connection is TLS to a host by name.
    type Held = bool;

    fn before(&self, exchange: &mut Exchange, secure: &mut bool) -> Result<Flow, Refusal> {
        *secure = is_secure(&exchange.request);
        Ok(Flow::Pass)
    }

    fn after(&self, secure: bool, facts: &Facts, answer: &mut Answer) {
        if let Ok(response) = answer {
            // What a foreign upstream shows is its own business.
            let ours = facts.route().is_none_or(|route| route.is_bank_service);
            self.add(response.headers_mut(), ours, secure);
        }
    }
}

/// Whether a browser may be told to use TLS alone for the host of this request. For `localhost` it would break whatever else
/// is developed on that machine, and for addresses it has no meaning (RFC 6797 §8.1.1).
fn is_secure(request: &Request<Body>) -> bool {
    let connection = request.extensions().get::<Arc<Connection>>();
    if connection.is_none_or(|connection| connection.tls.is_none()) {
        return false;
    }
    let host = match request.headers().get(HOST) {
        Some(host) => host.to_str().ok(),
        None => request.uri().authority().map(http::uri::Authority::as_str),
    };
    host.and_then(host_name).is_some_and(is_public_name)
}

fn is_public_name(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    !host.starts_with('[') && host.parse::<IpAddr>().is_err() && !last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_not_bound_to_tls_for_localhost_or_an_address() {
        for host in ["localhost", "LOCALHOST", "localhost.", "a.localhost", "127.0.0.1", "[::1]", "10.0.0.1"]
        {
            assert!(!host_name(host).is_some_and(is_public_name), "{host}");
        }
        for host in ["bank.example", "bank.example:443", "bank.example.", "localhost.example", "intranet"] {
            assert!(host_name(host).is_some_and(is_public_name), "{host}");
        }
    }

    #[test]
    fn every_value_can_be_set_left_out_and_added() {
        let own = HeaderName::from_static("permissions-policy");
        let fields = SecurityHeaders::default()
            .set(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"))
            .set(own.clone(), HeaderValue::from_static("camera=()"))
            .without(&REFERRER_POLICY)
            .strict_transport_security(Duration::from_secs(60));
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=5"));
        fields.add(&mut headers, true, true);
        assert_eq!(headers[X_FRAME_OPTIONS], "SAMEORIGIN");
        assert_eq!(headers[own], "camera=()");
        assert_eq!(headers[STRICT_TRANSPORT_SECURITY], "max-age=60");
        assert_eq!(headers[CACHE_CONTROL], "max-age=5", "what an answer says itself stays");
        assert!(!headers.contains_key(REFERRER_POLICY));
        let mut foreign = HeaderMap::new();
        fields.add(&mut foreign, false, false);
        assert!(
            !foreign.contains_key(CONTENT_SECURITY_POLICY) && foreign.contains_key(X_CONTENT_TYPE_OPTIONS)
        );
        assert!(!foreign.contains_key(STRICT_TRANSPORT_SECURITY));
    }
}
