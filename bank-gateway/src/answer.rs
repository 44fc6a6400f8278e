//! The end of a request's way: refusals become documents, and what is counted, logged and recorded is.

use std::net::IpAddr;
use std::sync::Arc;

use bank_sdk::http::{Body, REQUEST_ID, RequestId};
use bank_sdk::serve::Connection;
use bank_sdk::{Principal, Problem};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use crate::audit::Record;
use crate::gateway::{Shared, id_value};
use crate::route::{Entry, Target};
use crate::state::State;

/// What is known of a request on its way.
pub(crate) struct Trip {
    id: RequestId,
    pub(crate) start: Instant,
    pub(crate) client: Option<IpAddr>,
    pub(crate) entry: Option<Arc<Entry>>,
    pub(crate) principal: Option<Arc<Principal>>,
    pub(crate) connection: Option<Arc<Connection>>,
    /// Kept only where somebody wants to read it.
    target: Option<(Method, Uri)>,
    _in_flight: InFlight,
}

struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Trip {
    pub(crate) fn begin(id: RequestId, shared: &Shared, state: &State, request: &Request<Body>) -> Self {
        let wanted =
            state.audit.is_some() || tracing::enabled!(target: "bank_gateway::access", tracing::Level::INFO);
        shared.metrics.in_flight.inc();
        Self {
            id,
            start: Instant::now(),
            client: None,
            entry: None,
            principal: None,
            connection: request.extensions().get::<Arc<Connection>>().cloned(),
            target: wanted.then(|| (request.method().clone(), request.uri().clone())),
            _in_flight: InFlight(shared.metrics.in_flight.clone()),
        }
    }

    /// Whether the answer is the bank's own; what a foreign upstream shows is its own business.
    fn is_ours(&self) -> bool {
        match self.entry.as_ref().map(|entry| &entry.target) {
            Some(Target::Backend(backend)) => backend.is_bank_service(),
            _ => true,
        }
    }

    fn is_tls(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.tls.is_some())
    }

    /// The answer, counted, logged and recorded.
    pub(crate) fn end(
        &self,
        outcome: Result<Response<Body>, Problem>,
        shared: &Shared,
        state: &State,
    ) -> Response<Body> {
        let took = self.start.elapsed();
        let (response, reason) = match outcome {
            Ok(response) => (response, None),
            Err(problem) => {
                shared.metrics.refused(problem.status(), problem.code());
                let reason = problem.code().unwrap_or("unspecified").to_owned();
                (problem.into_response(self.id.as_str()), Some(reason))
            }
        };
        let status = response.status();
        if let Some(entry) = &self.entry {
            entry.metrics.answered(status, took);
        }
        if let Some((method, uri)) = &self.target {
            let what = self.entry.as_ref().map_or_else(|| uri.path(), |entry| &entry.operation);
            let who = self.principal.as_deref();
            tracing::info!(
                target: "bank_gateway::access",
                request = self.id.as_str(),
                client = self.client.map(tracing::field::display),
                who = who.map(tracing::field::display),
                %method,
                operation = what,
                status = status.as_u16(),
                reason = reason.as_deref(),
                micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                "answered"
            );
            if let Some(audit) = state.audit.as_ref().filter(|_| self.is_audited(method, status)) {
                audit.record(Record {
                    at: shared.clock.now(),
                    request: self.id.as_str().to_owned(),
                    who: who.map(ToString::to_string),
                    from: self.client.map(|address| address.to_string()).unwrap_or_default(),
                    what: what.to_owned(),
                    status: status.as_u16(),
                    reason,
                });
            }
        }
        response
    }

    /// Every login, every refusal, and everything that changes something.
    fn is_audited(&self, method: &Method, status: StatusCode) -> bool {
        !method.is_safe() || status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN
    }
}

/// The fields that every answer carries.
pub(crate) fn dress(mut response: Response<Body>, own: &mut HeaderMap, trip: &Trip) -> Response<Body> {
    const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
    const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
    const DENY: HeaderValue = HeaderValue::from_static("DENY");
    const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
    const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    const TWO_YEARS: HeaderValue = HeaderValue::from_static("max-age=63072000");
    let headers = response.headers_mut();
    headers.extend(own.drain());
    headers.insert(REQUEST_ID, id_value(&trip.id));
    let mut default = |name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    default(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    default(REFERRER_POLICY, NO_REFERRER);
    default(X_FRAME_OPTIONS, DENY);
    if trip.is_ours() {
        default(CACHE_CONTROL, NO_STORE);
        default(CONTENT_SECURITY_POLICY, NOTHING);
    }
    if trip.is_tls() {
        default(STRICT_TRANSPORT_SECURITY, TWO_YEARS);
    }
    response
}
