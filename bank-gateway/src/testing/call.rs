//! A call of a gateway under test, and its answer.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bank_sdk::http::{Body, ReadError};
use bank_sdk::serve::Connection;
use bank_sdk::{Principal, Problem};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request, Response};
use tower::{BoxError, Service, ServiceExt as _};

use super::Harness;
use crate::GatewayFuture;

/// Of the addresses for documentation (RFC 5737).
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const HOST_NAME: HeaderValue = HeaderValue::from_static("gateway.test");
/// More than any answer of a test.
const LONGEST: usize = 64 * 1024 * 1024;

/// A call that waits to be awaited.
#[must_use = "a call is made when it is awaited"]
pub struct Call {
    harness: Harness,
    request: Request<Body>,
    from: SocketAddr,
}

impl Call {
    pub(super) const fn new(harness: Harness, request: Request<Body>) -> Self {
        Self { harness, request, from: SocketAddr::new(CLIENT, 50_000) }
    }

    /// It comes from this principal, as if a credential had proved it.
    pub fn as_principal(mut self, principal: Principal) -> Self {
        self.harness.chosen.mark(&mut self.request, Arc::new(principal));
        self
    }

    /// It comes from this address: limits by address, and what is known of networks, go by it.
    pub const fn from_address(mut self, address: IpAddr) -> Self {
        self.from.set_ip(address);
        self
    }
}

impl IntoFuture for Call {
    type Output = Answered;
    type IntoFuture = Pin<Box<dyn Future<Output = Answered> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { harness, mut request, from } = self;
        arrive(&mut request, from);
        Box::pin(async move {
            let Ok(response) = harness.gateway.oneshot(request).await;
            Answered(response)
        })
    }
}

/// What a server does with a request before the gateway sees it.
fn arrive(request: &mut Request<Body>, from: SocketAddr) {
    request.extensions_mut().insert(Arc::new(Connection::new(from)));
    if request.uri().authority().is_none() && !request.headers().contains_key(HOST) {
        request.headers_mut().insert(HOST, HOST_NAME);
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", self.request.method())
            .field("uri", self.request.uri())
            .finish_non_exhaustive()
    }
}

/// The answer of a gateway under test. Its body is read when it is asked for.
#[derive(Debug)]
pub struct Answered(Response<Body>);

impl Answered {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The first field of this name, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    /// The body as text.
    ///
    /// # Errors
    /// A body that breaks off, or has more than 64 MiB.
    pub async fn text(self) -> Result<String, ReadError> {
        let bytes = self.0.into_body().read(LONGEST).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// As [`text`](Self::text); or a body that is no JSON, or not of this form.
    pub async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(&self.0.into_body().read(LONGEST).await?)?)
    }

    /// The problem that a refusal describes.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub async fn problem(self) -> Result<Problem, ReadError> {
        let status = self.0.status();
        Ok(Problem::from_document(status, &self.0.into_body().read(LONGEST).await?))
    }

    /// The code of the problem that a refusal describes; `None` for an answer that describes none.
    pub async fn code(self) -> Option<String> {
        self.problem().await.ok()?.code().map(ToOwned::to_owned)
    }

    /// The answer as it is, for what streams or upgrades.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        self.0
    }
}

/// A gateway under test as the transport of a [`Client`](bank_sdk::client::Client), whose calls come from one principal.
#[derive(Clone)]
pub struct Transport {
    harness: Harness,
    principal: Option<Arc<Principal>>,
}

impl Transport {
    pub(super) const fn new(harness: Harness, principal: Option<Arc<Principal>>) -> Self {
        Self { harness, principal }
    }
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = GatewayFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> GatewayFuture {
        arrive(&mut request, SocketAddr::new(CLIENT, 50_000));
        if let Some(principal) = &self.principal {
            self.harness.chosen.mark(&mut request, principal.clone());
        }
        self.harness.gateway.call(request)
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("principal", &self.principal).finish_non_exhaustive()
    }
}
