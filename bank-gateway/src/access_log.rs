//! One line a request, as a `tracing` event of the target `bank_gateway::access`. It names the operation, never the path or
//! a header: what somebody else puts there is not ours to keep (S23).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bank_sdk::Principal;
use bank_sdk::http::{Body, RequestId};
use http::{Method, Request, Response, StatusCode};
use tokio::time::Instant;
use tower::Service;

use crate::{ClientAddr, Step};

/// Logs how the requests of one operation end. Behind `Authenticate` it knows who called.
#[derive(Clone, Debug)]
pub struct AccessLog(Arc<str>);

impl AccessLog {
    /// Requests are logged under this name, such as `GET /v1/accounts/{id}`.
    pub fn new(operation: impl Into<Arc<str>>) -> Self {
        Self(operation.into())
    }
}

impl Step for AccessLog {
    async fn serve<S>(&self, request: Request<Body>, mut inner: S) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
    {
        let extensions = request.extensions();
        let id = extensions.get::<RequestId>().cloned();
        let client = extensions.get::<ClientAddr>().map(|client| client.0);
        let (who, method) = (extensions.get::<Arc<Principal>>().cloned(), request.method().clone());
        let start = Instant::now();
        let line = |status, reason| {
            Line {
                request: id.as_ref().map_or("", RequestId::as_str),
                client,
                who: who.as_deref(),
                method: &method,
                operation: &self.0,
                status,
                reason,
                took: start.elapsed(),
            }
            .write();
        };
        let abandoned = OnDrop(Some(|| line(CLIENT_GONE, Some("client_gone"))));
        let answer = inner.call(request).await;
        abandoned.disarm();
        match &answer {
            Ok(response) => line(response.status().as_u16(), None),
            Err(_) => line(StatusCode::INTERNAL_SERVER_ERROR.as_u16(), Some("failed")),
        }
        answer
    }
}

/// The status under which a request is logged whose caller hung up.
pub(crate) const CLIENT_GONE: u16 = 499;

/// How one request ended.
pub(crate) struct Line<'a> {
    pub(crate) request: &'a str,
    pub(crate) client: Option<IpAddr>,
    pub(crate) who: Option<&'a Principal>,
    pub(crate) method: &'a Method,
    pub(crate) operation: &'a str,
    pub(crate) status: u16,
    /// The code of a refusal.
    pub(crate) reason: Option<&'a str>,
    pub(crate) took: Duration,
}

impl Line<'_> {
    pub(crate) fn write(&self) {
        tracing::info!(
            target: "bank_gateway::access",
            request = self.request,
            client = self.client.map(tracing::field::display),
            who = self.who.map(tracing::field::display),
            method = %self.method,
            operation = self.operation,
            status = self.status,
            reason = self.reason,
            micros = u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
            "answered"
        );
    }
}

/// Does something when it is dropped, unless it is disarmed before.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> OnDrop<F> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}
