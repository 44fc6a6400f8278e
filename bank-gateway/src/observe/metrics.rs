//! What the gateway counts, in the Prometheus text format. Labels are route templates and classes, never paths or callers,
//! so that their number is bounded.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Ended, Observe};
use crate::exchange::Facts;
use crate::outbound::Outcome;

/// Counts of what a gateway, or a stack of its layers, serves.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, Buckets>,
    refused: Family<RefusedLabels, Counter>,
    unfinished: Family<OutcomeLabels, Counter>,
    pub(crate) in_flight: Gauge,
    unrouted: Counter,
    /// The series of routes. What is measured under a name of the team's own is not among them.
    routes: Mutex<BTreeSet<RouteLabels>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    service: String,
    operation: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct RouteLabels {
    service: String,
    operation: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    status: u16,
    reason: String,
}

#[derive(Clone, Copy)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new([
            0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
        ])
    }
}

/// The metrics of one route, found once when the table is built.
#[derive(Clone)]
pub(crate) struct RouteMetrics {
    by_class: [Counter; 5],
    seconds: Histogram,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let requests = Family::<RequestLabels, Counter>::default();
        let seconds = Family::<RouteLabels, Histogram, Buckets>::new_with_constructor(Buckets);
        let refused = Family::<RefusedLabels, Counter>::default();
        let unfinished = Family::<OutcomeLabels, Counter>::default();
        let (in_flight, unrouted) = (Gauge::default(), Counter::default());
        let mut registry = Registry::with_prefix("bank_gateway");
        registry.register("requests", "Requests answered, by route and class of status", requests.clone());
        registry.register("request_seconds", "Time to the end of the answer; streams apart", seconds.clone());
        registry.register("refused", "Requests that the gateway itself refused", refused.clone());
        registry.register(
            "unfinished",
            "Requests that a service did not answer to the end, by what became of them",
            unfinished.clone(),
        );
        registry.register("in_flight", "Requests being served", in_flight.clone());
        registry.register("unrouted", "Requests that no route serves", unrouted.clone());
        Arc::new(Self {
            registry,
            requests,
            seconds,
            refused,
            unfinished,
            in_flight,
            unrouted,
            routes: Mutex::default(),
        })
    }

    /// The metrics of a route of the table.
    pub(crate) fn route(&self, service: &str, operation: &str) -> RouteMetrics {
        let labels = RouteLabels { service: service.to_owned(), operation: operation.to_owned() };
        let metrics = self.series(&labels);
        self.lock().insert(labels);
        metrics
    }

    /// Drops the series of routes that are no more. Requests that are still on their way there are not counted.
    pub(crate) fn sweep<'a>(&self, in_force: impl Iterator<Item = (&'a str, &'a str)>) {
        let in_force: BTreeSet<_> = in_force.collect();
        self.lock().retain(|labels| {
            let stays = in_force.contains(&(&*labels.service, &*labels.operation));
            if !stays {
                self.seconds.remove(labels);
                for status in CLASSES {
                    self.requests.remove(&labels.with(status));
                }
            }
            stays
        });
    }

    fn series(&self, labels: &RouteLabels) -> RouteMetrics {
        let by_class = CLASSES.map(|status| self.requests.get_or_create_owned(&labels.with(status)));
        RouteMetrics { by_class, seconds: self.seconds.get_or_create_owned(labels) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<RouteLabels>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn refused(&self, status: StatusCode, reason: Option<&str>) {
        // Reasons are the codes of our own problems, of which there are a few dozen.
        let reason = reason.unwrap_or("unspecified").to_owned();
        self.refused.get_or_create(&RefusedLabels { status: status.as_u16(), reason }).inc();
    }

    pub(crate) fn unrouted(&self) {
        self.unrouted.inc();
    }

    /// An observer that counts requests under this name where no route of ours serves them.
    #[must_use]
    pub fn measure(self: &Arc<Self>, service: &str, operation: &str) -> Measure {
        let labels = RouteLabels { service: service.to_owned(), operation: operation.to_owned() };
        Measure { route: Some(self.series(&labels)), metrics: self.clone() }
    }

    /// An observer that counts requests under the routes that serve them.
    pub(crate) fn observer(self: &Arc<Self>) -> Measure {
        Measure { route: None, metrics: self.clone() }
    }

    /// Everything in the Prometheus text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

impl RouteLabels {
    fn with(&self, status: &'static str) -> RequestLabels {
        RequestLabels { service: self.service.clone(), operation: self.operation.clone(), status }
    }
}

impl RouteMetrics {
    fn ended(&self, end: &Ended, timed: bool) {
        let class = usize::from(end.status.as_u16() / 100).clamp(1, 5) - 1;
        self.by_class[class].inc();
        if timed {
            self.seconds.observe(end.whole.as_secs_f64());
        }
    }
}

/// Counts and times requests; made by [`Metrics::measure`].
#[derive(Clone)]
pub struct Measure {
    metrics: Arc<Metrics>,
    route: Option<RouteMetrics>,
}

impl Observe for Measure {
    fn began(&self) {
        self.metrics.in_flight.inc();
    }

    fn ended(&self, facts: &Facts, end: &Ended) {
        self.metrics.in_flight.dec();
        let route = facts.route();
        let timed = end.status != StatusCode::SWITCHING_PROTOCOLS && route.is_none_or(|route| !route.stream);
        if let Some(metrics) = route.map(|route| &route.metrics).or(self.route.as_ref()) {
            metrics.ended(end, timed);
        }
        if end.outcome != Outcome::Answered {
            let labels = OutcomeLabels { outcome: end.outcome.as_str() };
            self.metrics.unfinished.get_or_create(&labels).inc();
        }
        match facts.refusal() {
            _ if facts.panicked() => self.metrics.refused(end.status, Some("panic")),
            Some(code) => self.metrics.refused(end.status, Some(code)),
            None if end.status.as_u16() == 499 => self.metrics.refused(end.status, Some("client_gone")),
            None => {}
        }
    }
}

impl fmt::Debug for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Measure")
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
