//! What is told of requests: to metrics, to the log, to the audit, and to the services behind.

mod access_log;
pub mod audit;
mod metrics;
mod record;
mod trace;

pub use access_log::AccessLog;
pub use audit::Audit;
pub(crate) use audit::{Audited, render_audit};
pub(crate) use metrics::RouteMetrics;
pub use metrics::{Measure, Metrics};
pub use record::{Ended, Observe, Record, Recording};
pub(crate) use trace::next_span;
pub use trace::{Sampling, TraceContext, TraceId};
