//! Is it HTTP, and can it be read in one way only? (S1, S3–S6, S34 of the security page)
//!
//! | Refused | With | Source |
//! | --- | --- | --- |
//! | no `Host` in HTTP/1.1 and later, two of them, one that is no host with an optional port | 400 `ambiguous_host` | RFC 9112 §3.2, RFC 3986 §3.2.2 |
//! | an absolute-form target or `:authority` that names another host than `Host` | 400 `ambiguous_host` | RFC 9112 §3.2.2 |
//! | a scheme other than `http` and `https` | 400 `ambiguous_scheme` | |
//! | a path as in [`check_path`] | 400 `ambiguous_path` | RFC 3986 §6 |
//! | more than one `Authorization`, `Content-Length`, `Content-Type`, `Origin`, `Range`, `Sec-Fetch-Site` or `Transfer-Encoding` | 400 `ambiguous_fields` | RFC 9110 §5.3 |
//! | a `Content-Length` with a leading zero or anything else but digits | 400 `ambiguous_fields` | RFC 9110 §8.6 |
//! | a `Transfer-Encoding` that is not exactly `chunked`, in HTTP/1.1, without `Content-Length` | 400 `ambiguous_fields` | RFC 9112 §6.1 |
//! | `Connection` that names a field which is not hop-by-hop | 400 `ambiguous_fields` | RFC 9110 §7.6.1 |
//! | `Upgrade` in HTTP/1.1 that `Connection` does not name, or twice; [`Upgrades`](super::Upgrades) judges the others on their route | 400 `ambiguous_fields` | RFC 9110 §7.8 |
//! | `CONNECT`, `TRACE` | 405 `method_not_allowed` | |
//! | a method that is not `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE` or `OPTIONS`, nor [allowed](StrictHttp::allow_method) | 405 `method_not_allowed` | RFC 9110 §9.1 |
//!
//! The connection of a refused request is closed: its next bytes cannot be trusted.
//!
//! Removed are hop-by-hop fields with those that `Connection` names; fields that only the gateway may set or that other
//! proxies use to say who calls, in any spelling; spellings with `_` of fields that mean something to a server, such as
//! `content_length`; and fields whose names hold other characters than letters, digits, `-` and `_`, because servers behind
//! fold them in different ways.

mod answer;
mod fields;
mod hop_by_hop;
mod host;
mod known;
mod path;
mod reserved;

use std::sync::Arc;

use bank_sdk::http::{Body, Upgrade};
use bank_sdk::serve::Connection;
use bank_sdk::{Problem, method_not_allowed};
use http::header::{CONNECTION, HOST, TRAILER};
use http::{HeaderValue, Method, Request, Version};
use http_body::Body as _;

use super::client_addr::Peer;
use super::trailers::JudgeTrailers;
use super::upgrade::UpgradeRequest;
use crate::exchange::Exchange;
use crate::step::{Flow, Refusal, Step};
use fields::{check_fields, is_unwanted};
use hop_by_hop::remove_present;
use host::check_host;
use reserved::remove_where;

pub(crate) use answer::check_size;
pub use answer::{InvalidAnswer, check_answer};
pub(crate) use fields::has_no_place_in_trailers;
pub use hop_by_hop::HopByHop;
pub(crate) use hop_by_hop::remove_hop_by_hop;
pub(crate) use host::is_host;
pub use path::check_path;
pub(crate) use path::hex;
pub(crate) use reserved::{Reserved, is_reserved, remove_reserved};

/// Refuses what two readers could read in two ways, and removes what only the gateway may say.
///
/// ```
/// use bank_gateway::{Exchange, Step, StrictHttp};
/// use bank_sdk::http::Body;
/// use http::Request;
///
/// // `X-Tenant` is set by a gate of the team's own, and by nobody outside.
/// let strict = StrictHttp::default().reserve("x-tenant");
/// let request = Request::get("/v1/things").header("host", "bank.example").header("X_Tenant", "forged");
/// let mut exchange = Exchange::new(request.body(Body::empty()).unwrap());
/// strict.before(&mut exchange, &mut ()).unwrap();
/// assert_eq!(exchange.headers().len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct StrictHttp {
    reserved: Arc<Reserved>,
    methods: Arc<[Method]>,
}

impl Default for StrictHttp {
    fn default() -> Self {
        Self { reserved: Reserved::standard().clone(), methods: Arc::default() }
    }
}

impl Step for StrictHttp {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        let read = self.apply(&mut exchange.request)?;
        if let Some(protocols) = read.protocols {
            let client = Upgrade::of(&mut exchange.request);
            exchange.facts.set_upgrade(UpgradeRequest::new(protocols, client));
        }
        if read.takes_trailers {
            exchange.facts.set_takes_trailers();
        }
        exchange.facts.set_found(read.sought);
        self.watch_trailers(&mut exchange.request);
        Ok(Flow::Pass)
    }
}

/// What was read of a request's fields.
#[derive(Debug)]
struct Read {
    /// The protocols that the client asks for.
    protocols: Option<HeaderValue>,
    takes_trailers: bool,
    /// The [`Sought`](crate::exchange::Sought) fields that are there.
    sought: u8,
}

impl StrictHttp {
    /// Removes fields of this name from outside, in any spelling, as those that are reserved anyway.
    #[must_use]
    pub fn reserve(mut self, name: &str) -> Self {
        Arc::make_mut(&mut self.reserved).add(name, false);
        self
    }

    /// Removes fields whose names begin so, in any spelling.
    #[must_use]
    pub fn reserve_prefix(mut self, prefix: &str) -> Self {
        Arc::make_mut(&mut self.reserved).add(prefix, true);
        self
    }

    /// A field that a check of the team's own relies on, or the server behind: `Connection` cannot name it, nor can it come in
    /// another spelling or as a trailer. A gateway adds the [credentials' fields](crate::identity::Scheme::credential_fields) of
    /// all its schemes.
    #[must_use]
    pub fn end_to_end(mut self, name: &str) -> Self {
        Arc::make_mut(&mut self.reserved).add_end_to_end(name);
        self
    }

    /// Lets a method pass that is not one of the usual ones, such as `PROPFIND`. `CONNECT` and `TRACE` never pass.
    #[must_use]
    pub fn allow_method(mut self, method: Method) -> Self {
        self.methods = self.methods.iter().cloned().chain([method]).collect();
        self
    }

    /// Whether it removes a field of this name.
    pub(crate) fn removes(&self, name: &str) -> bool {
        self.reserved.has(&name.to_ascii_lowercase().replace('_', "-"))
    }

    fn apply(&self, request: &mut Request<Body>) -> Result<Read, Problem> {
        self.check_method(request.method())?;
        check_path(request.uri().path())?;
        let version = request.version();
        let found = check_fields(request.headers(), version, &self.reserved)?;
        let connection = request.extensions().get::<Arc<Connection>>();
        let known = connection.and_then(|connection| Peer::on(connection)).map(|peer| &peer.host);
        check_host(found.host, request.uri(), version, known)?;
        let (is_hostless, hop_by_hop, has_unwanted) =
            (found.host.0.is_none(), found.hop_by_hop, found.has_unwanted);
        let protocols = found.upgrade.cloned();
        let read = Read { protocols, takes_trailers: found.takes_trailers, sought: found.sought };
        // It announces what comes behind a body.
        let kept = if request.body().is_end_stream() { 0 } else { hop_by_hop::bit(TRAILER.as_str()) };
        remove_present(request.headers_mut(), hop_by_hop & !kept, &self.reserved)?;
        if has_unwanted {
            remove_where(request.headers_mut(), |name| is_unwanted(name, &self.reserved));
        }
        if is_hostless {
            // What HTTP/2 says in `:authority` everybody behind finds in one place.
            let host = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
            if let Some(host) = host {
                request.headers_mut().insert(HOST, host);
            }
        }
        Ok(read)
    }

    /// Trailers come behind chunks, and by HTTP/2.
    fn watch_trailers(&self, request: &mut Request<Body>) {
        let body = request.body();
        let by_chunks = request.version() == Version::HTTP_11 && body.size_hint().exact().is_none();
        if !body.is_end_stream() && (by_chunks || request.version() >= Version::HTTP_2) {
            request.body_mut().watch(JudgeTrailers(self.reserved.clone()));
        }
    }

    fn check_method(&self, method: &Method) -> Result<(), Problem> {
        match *method {
            Method::GET
            | Method::POST
            | Method::PUT
            | Method::DELETE
            | Method::HEAD
            | Method::PATCH
            | Method::OPTIONS => return Ok(()),
            Method::CONNECT | Method::TRACE => {}
            _ if self.methods.contains(method) => return Ok(()),
            _ => {}
        }
        use bank_sdk::declaration::Method::{Delete, Get, Patch, Post, Put};
        let problem = method_not_allowed([Get, Post, Put, Patch, Delete]);
        // What follows on the connection is not read.
        Err(problem.with_header(CONNECTION, HeaderValue::from_static("close")))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn request(uri: &str, fields: &[(&str, &str)]) -> Request<Body> {
        let mut builder = Request::get(uri);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::empty()).unwrap()
    }

    #[test]
    fn s1_a_request_has_exactly_one_host() {
        let strict = StrictHttp::default();
        assert!(strict.apply(&mut request("/", &[])).is_err());
        assert!(strict.apply(&mut request("/", &[("host", "a"), ("host", "b")])).is_err());
        assert!(strict.apply(&mut request("/", &[("host", "a b")])).is_err());
        assert!(strict.apply(&mut request("/", &[("host", "u@a")])).is_err());
        assert!(strict.apply(&mut request("http://a/", &[("host", "b")])).is_err());
        assert!(strict.apply(&mut request("http://a/", &[("host", "A")])).is_ok());
        assert!(strict.apply(&mut request("/", &[("host", "[::1]:8080")])).is_ok());
        assert!(strict.apply(&mut request("ftp://a/", &[("host", "a")])).is_err());
        assert!(strict.apply(&mut request("https://a/", &[("host", "a")])).is_ok());
    }

    #[test]
    fn only_http_1_0_has_no_host_and_http_2_finds_its_own_in_the_field() {
        let asking = |uri: &str, version| {
            let mut request = request(uri, &[]);
            *request.version_mut() = version;
            request
        };
        let strict = StrictHttp::default();
        assert!(strict.apply(&mut asking("/", Version::HTTP_10)).is_ok());
        for version in [Version::HTTP_11, Version::HTTP_2, Version::HTTP_3] {
            assert!(strict.apply(&mut asking("/", version)).is_err(), "{version:?}");
        }
        let mut second = asking("https://bank.example:443/", Version::HTTP_2);
        strict.apply(&mut second).unwrap();
        assert_eq!(second.headers()["host"], "bank.example:443");
        assert!(strict.apply(&mut asking("https://a..b/", Version::HTTP_2)).is_err());
        assert!(strict.apply(&mut asking("http://a/", Version::HTTP_11)).is_err());
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
        StrictHttp::default().apply(&mut request).unwrap();
        let mut left: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "host"]);
    }

    #[test]
    fn s6_connect_trace_and_upgrade_are_refused() {
        for method in [Method::CONNECT, Method::TRACE] {
            let mut request = request("/", &[("host", "a")]);
            *request.method_mut() = method;
            assert_eq!(StrictHttp::default().apply(&mut request).unwrap_err().status(), 405);
        }
        for fields in [
            &[("host", "a"), ("upgrade", "websocket")][..],
            &[("host", "a"), ("upgrade", "websocket"), ("connection", "close")],
            &[("host", "a"), ("upgrade", "a"), ("upgrade", "b"), ("connection", "upgrade")],
        ] {
            assert!(StrictHttp::default().apply(&mut request("/", fields)).is_err(), "{fields:?}");
        }
    }

    #[test]
    fn s6_what_a_client_would_upgrade_to_is_a_fact_and_no_field() {
        let fields = [("host", "a"), ("upgrade", "websocket"), ("connection", "keep-alive, Upgrade")];
        let mut exchange = Exchange::new(request("/", &fields));
        StrictHttp::default().before(&mut exchange, &mut ()).unwrap();
        assert_eq!(exchange.facts.upgrade().unwrap(), "websocket");
        assert_eq!(exchange.headers().keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["host"]);
    }

    #[test]
    fn a_method_that_nobody_knows_is_refused_unless_it_is_allowed() {
        let asking = |method: &str| {
            let mut request = request("/", &[("host", "a")]);
            *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
            request
        };
        for method in ["get", "Get", "FROB", "PROPFIND", "PRI", "QUERY"] {
            let refused = StrictHttp::default().apply(&mut asking(method)).unwrap_err();
            assert_eq!(
                (refused.status().as_u16(), refused.code()),
                (405, Some("method_not_allowed")),
                "{method}"
            );
        }
        let webdav = |name: &'static [u8]| Method::from_bytes(name).unwrap();
        let strict = StrictHttp::default().allow_method(webdav(b"PROPFIND")).allow_method(Method::TRACE);
        assert!(strict.apply(&mut asking("PROPFIND")).is_ok());
        assert_eq!(strict.apply(&mut asking("TRACE")).unwrap_err().status(), 405);
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            assert!(strict.apply(&mut asking(method)).is_ok(), "{method}");
        }
    }
}
