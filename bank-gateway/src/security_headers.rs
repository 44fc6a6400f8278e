//! What tells a browser to be careful: the fields of the OWASP secure headers project that an API and its pages need.

use std::sync::Arc;

use bank_sdk::http::Body;
use bank_sdk::serve::Connection;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tower::Service;

use crate::Step;

/// Adds the fields that an answer does not have yet.
///
/// | Field | Value |
/// | --- | --- |
/// | `X-Content-Type-Options` | `nosniff` |
/// | `Referrer-Policy` | `no-referrer` |
/// | `X-Frame-Options` | `DENY` |
/// | `Cache-Control` | `no-store` |
/// | `Content-Security-Policy` | `default-src 'none'; frame-ancestors 'none'` |
/// | `Strict-Transport-Security` | two years, where the connection is TLS |
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SecurityHeaders;

impl Step for SecurityHeaders {
    async fn serve<S>(&self, request: Request<Body>, mut inner: S) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
    {
        let tls = is_tls(request.extensions().get());
        let mut response = inner.call(request).await?;
        add(response.headers_mut(), true, tls);
        Ok(response)
    }
}

pub(crate) fn is_tls(connection: Option<&Arc<Connection>>) -> bool {
    connection.is_some_and(|connection| connection.tls.is_some())
}

/// Adds what is missing. How an answer that is not `ours` is cached, and what its pages load, is its own business.
pub(crate) fn add(headers: &mut HeaderMap, ours: bool, tls: bool) {
    const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
    const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
    const DENY: HeaderValue = HeaderValue::from_static("DENY");
    const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
    const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    const TWO_YEARS: HeaderValue = HeaderValue::from_static("max-age=63072000");
    let mut default = |name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    default(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    default(REFERRER_POLICY, NO_REFERRER);
    default(X_FRAME_OPTIONS, DENY);
    if ours {
        default(CACHE_CONTROL, NO_STORE);
        default(CONTENT_SECURITY_POLICY, NOTHING);
    }
    if tls {
        default(STRICT_TRANSPORT_SECURITY, TWO_YEARS);
    }
}
