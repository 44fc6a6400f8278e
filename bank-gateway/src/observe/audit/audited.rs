//! Which requests are recorded, and as what.

use std::sync::Arc;

use bank_stores::Clock;
use http::StatusCode;

use super::{Audit, Record};
use crate::exchange::Facts;
use crate::observe::{Ended, Observe};
use crate::outbound::Outcome;

/// Records what has to be recorded of requests: every login, every refusal of a credential, and everything that changes
/// something. What strangers ask for in vain is counted, and not recorded: they could fill the disk with it.
#[derive(Debug)]
pub(crate) struct Audited {
    pub(crate) audit: Arc<dyn Audit>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Observe for Audited {
    fn ended(&self, facts: &Facts, end: &Ended) {
        let status = end.status;
        // What was sent on and not answered may have had its effect.
        let unfinished = facts.tries() > 0 && end.outcome != Outcome::Answered;
        let known =
            facts.principal().is_some() || status.is_success() || status.is_server_error() || unfinished;
        let refused = status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN;
        if !refused && (facts.method().is_safe() || !known) {
            return;
        }
        // The operation, never the path: what somebody else puts into an address is not ours to keep.
        let what = facts.route().map_or("unrouted", |route| &route.operation);
        let mut record = Record::new(self.clock.now(), facts.id_text(), what, status.as_u16());
        record.who = facts.principal().map(ToString::to_string);
        record.from = facts.client().map(|client| client.0.to_string()).unwrap_or_default();
        record.reason = match facts.refusal() {
            _ if facts.panicked() => Some("panic".to_owned()),
            Some(code) => Some(code.to_owned()),
            None if end.outcome != Outcome::Answered => Some(end.outcome.as_str().to_owned()),
            None => None,
        };
        self.audit.record(record);
    }
}
