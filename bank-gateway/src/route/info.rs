//! What is known of the route that serves a request.

use std::fmt;
use std::sync::Arc;

use bank_sdk::declaration::{Access, Idempotency};

use super::policy::Render;
use crate::observe::RouteMetrics;
use crate::traffic::Times;

/// The route that serves a request, as [`Facts::route`](crate::Facts::route).
#[derive(Clone)]
#[non_exhaustive]
pub struct RouteInfo {
    /// The service's name.
    pub service: Arc<str>,
    /// Method and path template, such as `GET /v1/accounts/{id}`.
    pub operation: Arc<str>,
    /// Who may call it.
    pub access: Access,
    /// Whether a call may be repeated.
    pub idempotency: Idempotency,
    /// The class of limits that counts it.
    pub limit_class: String,
    /// How long it may take; see [`Deadline`](crate::Deadline).
    pub times: Times,
    /// The largest body of a request, in bytes.
    pub body_limit: u64,
    /// Whether its answer is a stream without an end of its own.
    pub stream: bool,
    /// Whether its service may wait for news before it answers.
    pub long_poll: bool,
    /// Whether its connection may become one of another protocol.
    pub upgrade: bool,
    /// Whether a service of the bank answers, or the gateway itself.
    pub is_bank_service: bool,
    pub(crate) render: Option<Arc<dyn Render>>,
    pub(crate) metrics: RouteMetrics,
}

impl fmt::Debug for RouteInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteInfo")
            .field("service", &self.service)
            .field("operation", &self.operation)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
