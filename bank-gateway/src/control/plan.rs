//! What a description makes of a gateway: built whole, never changed, swapped by a reload.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bank_sdk::declaration::Access;

use super::builder::{GatewayBuilder, MetricsText, ServicePolicy};
use super::lasting::Lasting;
use super::readiness::Readiness;
use super::routes::Common;
use crate::edge::{EdgeSteps, InsideRouteSteps, InsideSteps, RouteSteps, Served, StrictPath};
use crate::identity::Authenticate;
use crate::inbound::{HopByHop, LoopGuard, NameRequests, Preflights, is_reserved};
use crate::observe::{Audited, Metrics, Observe, Record, TraceContext, render_audit};
use crate::outbound::Destination;
use crate::route::{Matcher, Render, RouteInfo, Table};
use crate::step::PanicGuard;
use crate::traffic::{Counted, LimitBy, RateLimit};
use crate::{BuildError, Gateway};

/// A gateway, whatever its configuration.
pub(crate) struct Shared {
    pub(crate) state: ArcSwap<State>,
    pub(crate) lasting: Lasting,
}

/// A configuration in force.
pub(crate) struct State {
    pub(crate) name: Arc<str>,
    pub(crate) edge: EdgeSteps,
    pub(crate) outside: Table<Served<RouteSteps>>,
    pub(crate) inside_steps: InsideSteps,
    pub(crate) inside: Table<Served<InsideRouteSteps>>,
    pub(crate) services: Vec<(String, Arc<Destination>)>,
    pub(crate) render: Option<Arc<dyn Render>>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) metrics_text: Vec<MetricsText>,
}

impl Shared {
    pub(crate) fn build(builder: GatewayBuilder) -> Result<Self, BuildError> {
        let lasting = Lasting::of(&builder);
        let state = State::build(builder, &lasting).map_err(BuildError::new)?;
        Ok(Self { state: ArcSwap::from_pointee(state), lasting })
    }
}

impl GatewayBuilder {
    /// The gateway, where everything fits together.
    ///
    /// # Errors
    /// Every fault, each with what to change.
    pub fn build(self) -> Result<Gateway, BuildError> {
        Shared::build(self).map(|shared| Gateway { shared: Arc::new(shared) })
    }
}

impl State {
    pub(crate) fn build(builder: GatewayBuilder, lasting: &Lasting) -> Result<Self, Vec<String>> {
        let schemes = Authenticate::new(builder.schemes.iter().cloned()).by_clock(&lasting.clock);
        let mut faults: Vec<String> = schemes.faults().collect();
        let common = Common {
            lasting,
            name: builder.name.as_str().into(),
            schemes,
            #[cfg(feature = "passwords")]
            passwords: builder.passwords.clone(),
            quotas: builder.quotas.clone(),
            shared_limits: builder.shared_limits.clone(),
            classes: RefCell::new(builder.quotas.clone()),
            total: builder.total.clone(),
            callers: builder.callers.clone().into(),
            trace: TraceContext::new(builder.random.clone()).sampling(builder.sampling),
        };
        for (class, quota) in &builder.quotas {
            faults.extend(Counted::new(class, *quota, LimitBy::default(), 1).err());
        }
        let address_limit = Counted::new("gateway-address", builder.address_limit, LimitBy::Address, 1)
            .map_err(|fault| faults.push(fault))
            .ok();
        let credential_fields = credential_fields(&builder);
        let readiness = Readiness::of(builder.checks.clone());
        // What tells one service who calls, no client says to any: the same server may stand behind another route.
        let upstreams = builder.services.iter().map(|(_, upstream, _)| upstream);
        let upstreams = upstreams.chain(builder.routes.iter().map(|(_, upstream)| upstream));
        let names: BTreeSet<String> =
            upstreams.flat_map(|upstream| upstream.field_names().map(str::to_owned)).collect();
        let strict = names.iter().fold(builder.strict_http.clone(), |strict, name| strict.reserve(name));
        let strict = credential_fields.iter().fold(strict, |strict, name| strict.end_to_end(name));
        for field in credential_fields.iter().filter(|field| strict.removes(field) && !is_reserved(field)) {
            faults.push(format!(
                "a scheme reads `{field}`, which this gateway removes from every request \
                 (StrictHttp::reserve, or a field that tells an upstream who calls); use another name"
            ));
        }
        let (mut outside, mut inside) = (Vec::new(), Vec::new());
        let mut services = Vec::new();
        common.add_own(&builder, &readiness, &mut outside, &mut faults);
        for (api, upstream, policy) in builder.services {
            let policy = ServicePolicy { all: policy.all.over(&builder.policy), ..policy };
            if let Some(destination) =
                common.add_service(&api, upstream, &policy, (&mut outside, &mut inside), &mut faults)
            {
                services.push((api.name.clone(), destination));
            }
        }
        for (route, upstream) in builder.routes {
            let operation = route.operation();
            if let Some(destination) =
                common.add_route(route, upstream, &builder.policy, &mut outside, &mut faults)
            {
                services.push((operation, destination));
            }
        }
        if common.schemes.is_empty() {
            let needs = |(matcher, served): &(Matcher, Served<RouteSteps>)| {
                matches!(matcher.info.access, Access::Authenticated { .. })
                    && served.steps.authenticate.is_none()
            };
            if outside.iter().any(needs) {
                faults.push(
                    "some routes need a credential, but no scheme is accepted; add .authenticate(…)"
                        .to_owned(),
                );
            }
        }
        let mut observers: Vec<Arc<dyn Observe>> =
            vec![Arc::new(lasting.metrics.observer()), Arc::new(builder.access_log)];
        let mut metrics_text = builder.metrics_text;
        if let Some(audit) = builder.audit {
            let told = audit.clone();
            metrics_text.push(Arc::new(move || render_audit(&*told)));
            observers.push(Arc::new(Audited { audit, clock: lasting.clock.clone() }));
        }
        observers.extend(builder.observers);
        let record = Record::to(observers);
        let outside = Table::build(outside).map_err(|more| faults.extend(more)).ok();
        let inside = Table::build(inside).map_err(|more| faults.extend(more)).ok();
        let (Some(outside), Some(inside), Some(address_limit), []) =
            (outside, inside, address_limit, &*faults)
        else {
            return Err(faults);
        };
        let edge = EdgeSteps {
            name: NameRequests::new(builder.random.clone()),
            security: builder.security_headers,
            record: record.clone(),
            guard: PanicGuard::default(),
            client: builder.client_address,
            address_limit: RateLimit::of(lasting.edge.clone(), [address_limit]).quietly(),
            strict,
            loops: LoopGuard::new(&common.name).visits(builder.loop_visits),
            preflights: builder.cors.clone().map(Preflights::of),
            cors: builder.cors,
        };
        let inside_steps = InsideSteps {
            name: NameRequests::new(builder.random),
            record,
            guard: PanicGuard::default(),
            strict: StrictPath::default(),
            hops: HopByHop::default(),
        };
        Ok(Self {
            name: common.name,
            edge,
            outside,
            inside_steps,
            inside,
            services,
            render: builder.policy.render,
            readiness,
            metrics: lasting.metrics.clone(),
            metrics_text,
        })
    }
}

impl State {
    /// All routes, of the outside and of the inside.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Arc<RouteInfo>> {
        let outside = self.outside.entries().iter().map(|entry| &entry.matcher.info);
        outside.chain(self.inside.entries().iter().map(|entry| &entry.matcher.info))
    }
}

/// The fields in which credentials come, whichever route they are for.
fn credential_fields(builder: &GatewayBuilder) -> BTreeSet<&'static str> {
    let of_services = builder.services.iter().flat_map(|(_, _, policy)| {
        std::iter::once(&policy.all).chain(policy.operations.iter().map(|(_, policy)| policy))
    });
    let of_routes = builder.routes.iter().map(|(route, _)| &route.policy);
    let of_policies = std::iter::once(&builder.policy).chain(of_services).chain(of_routes);
    let schemes =
        builder.schemes.iter().chain(of_policies.flat_map(|policy| policy.schemes.iter().flatten()));
    schemes.flat_map(|scheme| scheme.credential_fields()).copied().collect()
}
