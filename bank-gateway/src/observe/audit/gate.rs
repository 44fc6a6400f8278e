//! Nothing happens that cannot be recorded.

use std::fmt;
use std::sync::Arc;

use bank_sdk::Problem;
use bank_stores::{Clock, SystemClock};

use super::{Audit, NotRecorded, Record};
use crate::exchange::{Exchange, Facts};
use crate::step::Gate;

/// Refuses with 503 `audit_unavailable` what would change something while it cannot be recorded. Reads pass, unless
/// [`when`](Self::when) says otherwise.
///
/// ```no_run
/// use bank_gateway::Gateway;
/// use bank_gateway::audit::{AuditFile, RequireAudit};
/// use std::sync::Arc;
///
/// let audit = Arc::new(AuditFile::builder("audit.jsonl").open()?);
/// // Both: the record of what came of it, and the record before it happens.
/// Gateway::builder().audit(audit.clone()).step(RequireAudit::new(audit).before());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct RequireAudit {
    audit: Arc<dyn Audit>,
    is_before: bool,
    when: Arc<Predicate>,
    clock: Arc<dyn Clock>,
}

type Predicate = dyn Fn(&Exchange) -> bool + Send + Sync;

impl RequireAudit {
    /// By this audit.
    pub fn new(audit: Arc<dyn Audit>) -> Self {
        Self {
            audit,
            is_before: false,
            when: Arc::new(|exchange: &Exchange| !exchange.request.method().is_safe()),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// A request that would change something is recorded before it passes, with the status 100, the reason `admitted` and its
    /// operation. The record that is written when it ends has the same request id, and tells the outcome.
    #[must_use]
    pub const fn before(mut self) -> Self {
        self.is_before = true;
        self
    }

    /// For which requests it asks that, in the place of those whose method is not safe.
    #[must_use]
    pub fn when(mut self, when: impl Fn(&Exchange) -> bool + Send + Sync + 'static) -> Self {
        self.when = Arc::new(when);
        self
    }

    /// The clock, where a test decides the time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn record(&self, facts: &Facts) -> Record {
        let what = facts.route().map_or(facts.method().as_str(), |route| &route.operation);
        let mut record = Record::new(self.clock.now(), facts.id_text(), what, 100);
        record.who = facts.principal().map(ToString::to_string);
        record.from = facts.client().map(|client| client.0.to_string()).unwrap_or_default();
        record.reason = Some("admitted".to_owned());
        record
    }
}

impl Gate for RequireAudit {
    async fn check(&self, exchange: &mut Exchange) -> Result<(), Problem> {
        if !(self.when)(exchange) {
            return Ok(());
        }
        self.audit.check().map_err(refuse)?;
        if self.is_before {
            let recording = self.audit.record_durably(self.record(&exchange.facts));
            recording.await.map_err(refuse)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RequireAudit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireAudit")
            .field("audit", &self.audit)
            .field("is_before", &self.is_before)
            .finish_non_exhaustive()
    }
}

fn refuse(reason: NotRecorded) -> Problem {
    tracing::error!(%reason, "a request is refused, because it cannot be recorded");
    Problem::unavailable().with_code("audit_unavailable")
}
