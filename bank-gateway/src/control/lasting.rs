//! What outlives a configuration: counts, metrics, and the health of endpoints.

use std::sync::Arc;

use bank_stores::Clock;

use super::builder::GatewayBuilder;
use crate::edge::InFlightBudget;
use crate::observe::Metrics;
use crate::outbound::Registry;
use crate::traffic::Buckets;

/// What outlives a configuration.
pub(crate) struct Lasting {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) registry: Registry,
    /// Of callers who are known.
    pub(crate) callers: Buckets,
    /// Of addresses where nobody is known: strangers take no room from callers.
    pub(crate) addresses: Buckets,
    /// Of all addresses, before anything else: the long quotas of a few routes take no room here.
    pub(crate) edge: Buckets,
    pub(super) budget: InFlightBudget,
    internal_at_once: usize,
    buckets: usize,
    pub(super) clock: Arc<dyn Clock>,
}

impl Lasting {
    pub(super) fn of(builder: &GatewayBuilder) -> Self {
        Self {
            metrics: Metrics::new(),
            registry: Registry::default(),
            callers: Buckets::new(builder.buckets),
            addresses: Buckets::new(builder.buckets),
            edge: Buckets::new(builder.buckets),
            budget: InFlightBudget::of(builder.internal_at_once),
            internal_at_once: builder.internal_at_once,
            buckets: builder.buckets,
            clock: builder.clock_or_system(),
        }
    }

    /// What a reload would have to change and cannot.
    pub(crate) fn cannot_change(&self, builder: &GatewayBuilder) -> Vec<String> {
        let mut faults = Vec::new();
        if builder.clock.as_ref().is_some_and(|clock| !Arc::ptr_eq(clock, &self.clock)) {
            faults.push("the clock cannot be changed by a reload; leave .clock(…) out".to_owned());
        }
        if builder.internal_at_once != self.internal_at_once {
            faults.push(format!(
                ".internal_at_once(…) cannot be changed by a reload; it is {}",
                self.internal_at_once
            ));
        }
        if builder.buckets != self.buckets {
            faults.push(format!(".buckets(…) cannot be changed by a reload; it is {}", self.buckets));
        }
        faults
    }
}
