//! One line a request, as a `tracing` event of the target `bank_gateway::access`, when the request has ended. It names the
//! operation, never the path or a header: what somebody else puts there is not ours to keep (S23).

use std::sync::Arc;
use std::time::Duration;

use super::{Ended, Observe};
use crate::exchange::Facts;

/// Logs how requests end.
///
/// Neither addresses nor subjects of callers are in it: those are personal data (S23), and stand in the audit. A team that may
/// keep them in its logs says so.
///
/// ```
/// use std::sync::Arc;
/// use bank_gateway::{AccessLog, Record, StepLayer};
///
/// let layer = StepLayer::new(Record::to([Arc::new(AccessLog::default()) as _]));
/// # let _ = layer;
/// ```
#[derive(Clone, Debug, Default)]
pub struct AccessLog {
    operation: Option<Arc<str>>,
    callers: bool,
}

impl AccessLog {
    /// Requests that no route of ours serves are logged under this name, such as `GET /v1/accounts/{id}`.
    pub fn of(operation: impl Into<Arc<str>>) -> Self {
        Self { operation: Some(operation.into()), callers: false }
    }

    /// Logs who called, and from where, too.
    #[must_use]
    pub const fn with_callers(mut self) -> Self {
        self.callers = true;
        self
    }
}

impl Observe for AccessLog {
    fn ended(&self, facts: &Facts, end: &Ended) {
        let operation = match (facts.route(), &self.operation) {
            (Some(route), _) => &route.operation,
            (None, Some(operation)) => operation,
            (None, None) => "unrouted",
        };
        let caller = self.callers.then(|| facts.principal()).flatten();
        let client = self.callers.then(|| facts.client_ip()).flatten();
        tracing::info!(
            target: "bank_gateway::access",
            request = facts.id_text(),
            trace = facts.trace().map(tracing::field::display),
            client = client.map(tracing::field::display),
            who = caller.map(tracing::field::display),
            method = %facts.method(),
            operation,
            status = end.status.as_u16(),
            reason = facts.refusal(),
            outcome = end.outcome.as_str(),
            tries = facts.tries(),
            bytes = end.bytes,
            head_micros = micros(end.head),
            micros = micros(end.whole),
            "answered"
        );
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
