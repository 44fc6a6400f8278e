//! The end of a request's way: refusals become documents, and what is counted, logged and recorded is.

use std::net::IpAddr;
use std::sync::Arc;

use bank_sdk::http::{Body, REQUEST_ID, RequestId};
use bank_sdk::serve::Connection;
use bank_sdk::{Principal, Problem};
use http::{Method, Request, Response, StatusCode};
use tokio::time::Instant;

use crate::access_log::{CLIENT_GONE, Line};
use crate::audit::Record;
use crate::gateway::Shared;
use crate::request_id::id_value;
use crate::route::{Entry, Target};
use crate::security_headers;
use crate::state::State;
use crate::step::AnswerHeaders;

/// What is known of a request on its way. However it ends, it is counted, logged and recorded once: a caller that hangs up
/// leaves a record of what it asked for.
pub(crate) struct Trip {
    id: RequestId,
    pub(crate) start: Instant,
    method: Method,
    pub(crate) client: Option<IpAddr>,
    pub(crate) entry: Option<Arc<Entry>>,
    pub(crate) principal: Option<Arc<Principal>>,
    pub(crate) connection: Option<Arc<Connection>>,
    shared: Arc<Shared>,
    state: Arc<State>,
    ended: bool,
}

impl Trip {
    pub(crate) fn begin(
        id: RequestId,
        shared: &Arc<Shared>,
        state: &Arc<State>,
        request: &Request<Body>,
    ) -> Self {
        shared.metrics.in_flight.inc();
        Self {
            id,
            start: Instant::now(),
            method: request.method().clone(),
            client: None,
            entry: None,
            principal: None,
            connection: request.extensions().get::<Arc<Connection>>().cloned(),
            shared: shared.clone(),
            state: state.clone(),
            ended: false,
        }
    }

    /// Whether the answer is the bank's own; what a foreign upstream shows is its own business.
    fn is_ours(&self) -> bool {
        match self.entry.as_ref().map(|entry| &entry.target) {
            Some(Target::Backend(backend)) => backend.is_bank_service(),
            _ => true,
        }
    }

    /// The answer to the caller.
    pub(crate) fn end(&mut self, outcome: Result<Response<Body>, Problem>) -> Response<Body> {
        self.ended = true;
        match outcome {
            Ok(response) => {
                self.note(response.status(), None);
                response
            }
            Err(problem) => {
                self.shared.metrics.refused(problem.status(), problem.code());
                self.note(problem.status(), Some(problem.code().unwrap_or("unspecified")));
                problem.into_response(self.id.as_str())
            }
        }
    }

    /// Counts, logs and records how the request ended.
    fn note(&self, status: StatusCode, reason: Option<&str>) {
        let took = self.start.elapsed();
        if let Some(entry) = &self.entry {
            entry.metrics.answered(status, took);
        }
        // The operation, never the path: what somebody else puts into an address is not ours to keep.
        let what = self.entry.as_ref().map_or("unrouted", |entry| &entry.operation);
        let who = self.principal.as_deref();
        Line {
            request: self.id.as_str(),
            client: self.client,
            who,
            method: &self.method,
            operation: what,
            status: status.as_u16(),
            reason,
            took,
        }
        .write();
        if let Some(audit) = self.state.audit.as_ref().filter(|_| self.is_audited(status)) {
            audit.record(Record {
                at: self.shared.clock.now(),
                request: self.id.as_str().to_owned(),
                who: who.map(ToString::to_string),
                from: self.client.map(|address| address.to_string()).unwrap_or_default(),
                what: what.to_owned(),
                status: status.as_u16(),
                reason: reason.map(ToOwned::to_owned),
            });
        }
    }

    /// Every login, every refusal of a credential, and everything that changes something. What strangers ask for in vain is
    /// counted, and not recorded: they could fill the disk with it.
    fn is_audited(&self, status: StatusCode) -> bool {
        let known = self.principal.is_some() || status.is_success() || status.is_server_error();
        status == StatusCode::UNAUTHORIZED
            || status == StatusCode::FORBIDDEN
            || (!self.method.is_safe() && known)
    }
}

impl Drop for Trip {
    fn drop(&mut self) {
        self.shared.metrics.in_flight.dec();
        if !self.ended {
            // The caller hung up, or the request ended in a panic: it may have had its effect all the same.
            let (status, reason) = if std::thread::panicking() {
                (StatusCode::INTERNAL_SERVER_ERROR, "panic")
            } else {
                (StatusCode::from_u16(CLIENT_GONE).unwrap_or(StatusCode::REQUEST_TIMEOUT), "client_gone")
            };
            self.shared.metrics.refused(status, Some(reason));
            self.note(status, Some(reason));
        }
    }
}

/// The fields that every answer carries.
pub(crate) fn dress(response: &mut Response<Body>, own: AnswerHeaders, trip: &Trip) {
    let headers = response.headers_mut();
    own.replace_in(headers);
    headers.insert(REQUEST_ID, id_value(&trip.id));
    security_headers::add(headers, trip.is_ours(), security_headers::is_tls(trip.connection.as_ref()));
}
