//! What the routes of a description become: for each, the list of its steps and where it goes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bank_sdk::declaration::{Access, Api, EndpointDeclaration, Idempotency, Method};
use bank_stores::limit::MAX_CHARGES;

use super::builder::{GatewayBuilder, ServicePolicy};
use super::lasting::Lasting;
use super::own_routes;
use super::readiness::Readiness;
use crate::edge::{InsideRouteSteps, Own, RemoveReserved, RouteSteps, Served, Target};
use crate::identity::{
    Authenticate, Authorize, EndSessions, ForwardPrincipal, KnownCaller, MintIdentity, Stated,
    StripCredentials, Tell,
};
use crate::inbound::{ForwardedFields, SameSite, Upgrades};
use crate::observe::TraceContext;
use crate::outbound::{Credentials, Destination, Origin, Upstream};
use crate::route::{Conditions, Matcher, Policy, Route, RouteInfo};
use crate::step::OwnSteps;
use crate::traffic::{
    BodyLimit, Counted, Deadline, LimitBy, Quota, RateLimit, RequireIdempotencyKey, SharedLimits, Times,
    TotalLimit,
};

pub(super) type OutsideRoutes = Vec<(Matcher, Served<RouteSteps>)>;
pub(super) type InsideRoutes = Vec<(Matcher, Served<InsideRouteSteps>)>;

/// What the routes of one configuration have in common.
pub(super) struct Common<'a> {
    pub(super) lasting: &'a Lasting,
    pub(super) name: Arc<str>,
    pub(super) schemes: Authenticate,
    #[cfg(feature = "passwords")]
    pub(super) passwords: Option<crate::identity::Passwords>,
    pub(super) quotas: HashMap<String, Quota>,
    /// The quotas of classes, those of policies too: one class has one.
    pub(super) classes: RefCell<HashMap<String, Quota>>,
    pub(super) shared_limits: Option<SharedLimits>,
    pub(super) total: Option<TotalLimit>,
    pub(super) callers: Arc<[(String, bank_sdk::identity::IdentityKeys)]>,
    pub(super) trace: TraceContext,
}

/// The service behind a route.
struct Behind {
    service: Arc<str>,
    /// Whom its identity tokens are for.
    audience: Arc<str>,
    target: Target,
    tell: Tell,
    forwards: Option<ForwardPrincipal>,
    credentials: Credentials,
    is_bank_service: bool,
    is_http2: bool,
    origin: Option<Origin>,
}

impl Common<'_> {
    fn can_login(&self) -> bool {
        #[cfg(feature = "passwords")]
        return self.passwords.is_some();
        #[cfg(not(feature = "passwords"))]
        false
    }

    /// What the gateway answers itself.
    pub(super) fn add_own(
        &self,
        builder: &GatewayBuilder,
        readiness: &Arc<Readiness>,
        outside: &mut OutsideRoutes,
        faults: &mut Vec<String>,
    ) {
        let mut own: Vec<(&str, Own)> =
            vec![("/healthz", own_routes::health()), ("/readyz", own_routes::readiness(readiness.clone()))];
        if let Some(info) = &builder.openapi {
            let apis: Vec<&Api> = builder.services.iter().map(|(api, ..)| api).collect();
            // What this gateway accepts, and nothing else.
            let security = self.schemes.describe();
            #[cfg(feature = "passwords")]
            let security = {
                let passwords = self.passwords.as_ref().map(crate::identity::Passwords::describe);
                security.into_iter().chain(passwords).collect::<Vec<_>>()
            };
            own.push(("/openapi.json", own_routes::document(&info.document(&apis, &security))));
        }
        for (path, answer) in own {
            let route = Route::new(Method::Get, path).access(Access::Public);
            let behind = Behind {
                service: "gateway".into(),
                audience: "gateway".into(),
                target: Target::Own(answer),
                tell: Tell::Nothing,
                forwards: None,
                credentials: Credentials::Strip,
                is_bank_service: true,
                is_http2: false,
                origin: None,
            };
            match self.outside(&behind, &route.declaration, Policy::new(), route.when, Some(Method::Get)) {
                Ok((matcher, mut served)) => {
                    if is_probe(path) {
                        // A crowd at the prober's address must not make the gateway look dead.
                        Arc::make_mut(&mut served.steps).address_quota = None;
                    }
                    outside.push((matcher, served));
                }
                Err(more) => faults.extend(more),
            }
        }
    }

    pub(super) fn add_service(
        &self,
        api: &Api,
        upstream: Upstream,
        policy: &ServicePolicy,
        (outside, inside): (&mut OutsideRoutes, &mut InsideRoutes),
        faults: &mut Vec<String>,
    ) -> Option<Arc<Destination>> {
        if let Err(error) = api.check() {
            faults.extend(error.faults().iter().cloned());
            return None;
        }
        for (operation, _) in &policy.operations {
            if !api.endpoints.iter().any(|endpoint| endpoint.operation() == *operation) {
                faults.push(format!(
                    "{}: there is a policy for `{operation}`, which it does not declare",
                    api.name
                ));
            }
        }
        if upstream.is_bank_service() && upstream.audience.as_ref().is_some_and(|name| **name != *api.name) {
            faults.push(format!(
                "{0}: a service of the bank believes tokens for its own name only; leave .audience(…) out, or add .foreign()",
                api.name
            ));
        }
        let behind = match self.behind(&api.name, upstream) {
            Ok(behind) => behind,
            Err(more) => {
                faults.extend(more);
                return None;
            }
        };
        for endpoint in &api.endpoints {
            let own = policy.operations.iter().filter(|(name, _)| *name == endpoint.operation());
            let policy = own.fold(policy.all.clone(), |all, (_, own)| own.clone().over(&all));
            if endpoint.access.as_ref().is_some_and(Access::is_internal) {
                if endpoint.upgrade {
                    faults.push(format!(
                        "{} {}: is internal and upgrades its connection, which calls between services cannot do; remove .upgrade()",
                        api.name,
                        endpoint.operation()
                    ));
                }
                inside.extend(self.inside(&behind, endpoint));
                continue;
            }
            match self.outside(&behind, endpoint, policy, Conditions::default(), Some(endpoint.method)) {
                Ok(entry) => outside.push(entry),
                Err(more) => faults.extend(more),
            }
        }
        destination(behind.target)
    }

    pub(super) fn add_route(
        &self,
        route: Route,
        upstream: Upstream,
        policy: &Policy,
        outside: &mut OutsideRoutes,
        faults: &mut Vec<String>,
    ) -> Option<Arc<Destination>> {
        let operation = route.operation();
        if let Err(error) = Api::new("route").endpoint(route.declaration.clone()).check() {
            faults.extend(error.faults().iter().cloned());
            return None;
        }
        if route.declaration.access.as_ref().is_some_and(Access::is_internal) {
            faults.push(format!(
                "{operation}: only a service can declare an internal endpoint; give the route another .access(…)"
            ));
            return None;
        }
        let behind = match self.behind(&operation, upstream) {
            Ok(behind) => Behind { service: "route".into(), ..behind },
            Err(more) => {
                faults.extend(more);
                return None;
            }
        };
        let method = (!route.all_methods).then_some(route.declaration.method);
        let policy = route.policy.over(policy);
        match self.outside(&behind, &route.declaration, policy, route.when, method) {
            Ok(entry) => outside.push(entry),
            Err(more) => faults.extend(more),
        }
        destination(behind.target)
    }

    fn behind(&self, name: &str, upstream: Upstream) -> Result<Behind, Vec<String>> {
        let (tell, forwards) = (upstream.tell(), upstream.forwards());
        let (credentials, is_bank_service) = (upstream.credentials.clone(), upstream.is_bank_service());
        let origin = upstream.origin();
        let is_http2 = upstream.is_http2();
        let audience = upstream.audience.clone().unwrap_or_else(|| name.into());
        let destination = upstream.by_clock(&self.lasting.clock).destination(name, &self.lasting.registry)?;
        let target = Target::Service(Arc::new(destination));
        Ok(Behind {
            service: name.into(),
            audience,
            target,
            tell,
            forwards,
            credentials,
            is_bank_service,
            is_http2,
            origin,
        })
    }

    fn info(
        &self,
        behind: &Behind,
        declared: &EndpointDeclaration,
        operation: &Arc<str>,
        access: &Access,
        policy: &Policy,
    ) -> Arc<RouteInfo> {
        let millis = Duration::from_millis;
        let times = Times {
            head: millis(declared.timeout_ms),
            idle: millis(declared.idle_timeout_ms),
            whole: declared.whole_timeout_ms.map(millis),
            ..Times::default()
        };
        Arc::new(RouteInfo {
            service: behind.service.clone(),
            operation: operation.clone(),
            access: access.clone(),
            idempotency: declared.idempotency,
            limit_class: declared.limit_class.clone(),
            times: policy.times.unwrap_or(times),
            body_limit: declared.body_limit as u64,
            stream: declared.stream,
            long_poll: declared.long_poll,
            upgrade: declared.upgrade,
            is_bank_service: behind.is_bank_service,
            render: policy.render.clone(),
            metrics: self.lasting.metrics.route(&behind.service, operation),
        })
    }

    fn mint(&self, behind: &Behind, operation: &Arc<str>) -> MintIdentity {
        let stated = Stated::new(self.name.clone(), behind.audience.clone(), operation.clone());
        MintIdentity::by(behind.tell.clone(), stated, self.lasting.clock.clone())
    }

    /// The limit of a route: the quota of its class, and those of its policy.
    fn limit(
        &self,
        who: &str,
        class: &str,
        own: Vec<(String, Quota, LimitBy, u32)>,
        faults: &mut Vec<String>,
    ) -> RateLimit {
        let mut limits = Vec::new();
        match self.quotas.get(class) {
            Some(quota) => limits.extend(Counted::new(class, *quota, LimitBy::default(), 1).ok()),
            None => faults.push(format!(
                "{who}: is counted in the class `{0}`, which has no quota; add .rate_limit(\"{0}\", …)",
                class
            )),
        }
        for (class, quota, by, cost) in own {
            if *self.classes.borrow_mut().entry(class.clone()).or_insert(quota) != quota {
                faults.push(format!(
                    "{who}: the class `{class}` has another quota elsewhere; give this one another name"
                ));
            }
            match Counted::new(&class, quota, by, cost) {
                // One bucket would be charged twice, or two callers' be mixed.
                Ok(_) if limits.iter().any(|other: &Counted| other.class() == class) => faults.push(format!(
                    "{who}: counts a request in the class `{class}` twice; give one of its limits another name"
                )),
                Ok(counted) => limits.push(counted),
                Err(fault) => faults.push(format!("{who}: {fault}")),
            }
        }
        if limits.len() > MAX_CHARGES {
            faults.push(format!(
                "{who}: counts a request against {} quotas; {MAX_CHARGES} are the most",
                limits.len()
            ));
        }
        let limit =
            RateLimit::of(self.lasting.callers.clone(), limits).strangers(self.lasting.addresses.clone());
        match &self.shared_limits {
            Some(shared) => limit.shared(shared.clone()),
            None => limit,
        }
    }

    /// A route of the outside. What it does not ask for is not there.
    fn outside(
        &self,
        behind: &Behind,
        declared: &EndpointDeclaration,
        policy: Policy,
        when: Conditions,
        method: Option<Method>,
    ) -> Result<(Matcher, Served<RouteSteps>), Vec<String>> {
        let operation: Arc<str> = match method {
            Some(_) => declared.operation().into(),
            None => format!("* {}", declared.path).into(),
        };
        let who = format!("{} {operation}", behind.service);
        let Some(access) = declared.access.clone() else {
            return Err(vec![format!("{who}: does not say who may call it; add .access(…)")]);
        };
        let mut faults: Vec<String> = policy.faults.iter().map(|fault| format!("{who}: {fault}")).collect();
        if access == Access::Login && !self.can_login() {
            faults.push(format!("{who}: is a login, but the gateway checks no passwords; add .passwords(…)"));
        }
        if declared.upgrade && behind.is_http2 {
            faults.push(format!(
                "{who}: upgrades its connection, which HTTP/2 cannot do; give its upstream without .http2()"
            ));
        }
        if declared.upgrade && behind.target.is_local() {
            faults.push(format!(
                "{who}: upgrades its connection, which a service that is called as a function cannot do; mount it with Upstream::at or Upstream::tower"
            ));
        }
        faults.extend(policy.rewrite.as_ref().and_then(crate::route::Rewrite::fault));
        let info = self.info(behind, declared, &operation, &access, &policy);
        let nobody_is_known = matches!(access, Access::Public | Access::Login);
        let is_own = matches!(behind.target, Target::Own(_));
        for (class, _, by, _) in &policy.limits {
            if nobody_is_known && matches!(by, LimitBy::Principal(_)) {
                faults.push(format!(
                    "{who}: counts `{class}` by who calls, whom nobody knows there; count by LimitBy::Address, or let the \
                     route ask for a credential"
                ));
            }
        }
        let limit = self.limit(&who, &info.limit_class, policy.limits, &mut faults);
        let schemes = match policy.schemes {
            Some(schemes) => {
                let own = Authenticate::new(schemes).by_clock(&self.lasting.clock);
                faults.extend(own.faults());
                own
            }
            None => self.schemes.clone(),
        };
        let needs_somebody = matches!(access, Access::Authenticated { .. });
        let authenticate = (!nobody_is_known && !schemes.is_empty()).then(|| match needs_somebody {
            true => schemes.clone().required(),
            false => schemes.clone(),
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        let credentials = policy.credentials.unwrap_or_else(|| behind.credentials.clone());
        let own = |steps: Vec<_>| (!steps.is_empty()).then(|| OwnSteps::new(steps));
        let key = match info.idempotency {
            Idempotency::Key => RequireIdempotencyKey::default(),
            _ => RequireIdempotencyKey::if_present(),
        };
        let goes_on = !is_own;
        let steps = RouteSteps {
            total: self.total.clone().filter(|_| goes_on),
            deadline: Deadline::of(info.times),
            upgrade: Upgrades::default(),
            same_site: match access {
                Access::Login => Some(SameSite::login()),
                _ if method == Some(Method::Get) && !info.upgrade => None,
                _ => Some(SameSite::default()),
            },
            address_quota: nobody_is_known.then(|| limit.clone()),
            query: policy.query,
            body: BodyLimit::bytes(info.body_limit),
            front: own(policy.front),
            login: self.login(&access),
            authenticate,
            authorize: Authorize::new(access).and(policy.decisions),
            quota: (!nobody_is_known).then_some(limit),
            own: own(policy.steps),
            key: Some(key),
            sessions: goes_on.then(|| EndSessions::of(schemes.clone(), behind.is_bank_service)),
            credentials: (goes_on && !matches!(credentials, Credentials::Keep))
                .then(|| StripCredentials::of(schemes, credentials)),
            rewrite: policy.rewrite,
            forwarded: goes_on.then(ForwardedFields::default),
            fields: (!policy.fields.is_empty()).then_some(policy.fields),
            trace: goes_on.then(|| self.trace.clone()),
            principal: behind.forwards.clone(),
            mint: (goes_on && !matches!(behind.tell, Tell::Nothing)).then(|| self.mint(behind, &operation)),
        };
        let served = Served { steps: Arc::new(steps), target: behind.target.clone() };
        let (path, origin) = (declared.path.clone(), behind.origin.clone());
        Ok((Matcher::new(info, method, path, when, origin), served))
    }

    #[cfg(feature = "passwords")]
    fn login(&self, access: &Access) -> Option<crate::identity::Login> {
        self.passwords.clone().filter(|_| *access == Access::Login).map(crate::identity::Login::new)
    }

    #[cfg(not(feature = "passwords"))]
    fn login(&self, _: &Access) -> Option<crate::step::PanicGuard> {
        None
    }

    /// A route of the inside.
    fn inside(
        &self,
        behind: &Behind,
        declared: &EndpointDeclaration,
    ) -> Option<(Matcher, Served<InsideRouteSteps>)> {
        let access = declared.access.clone()?;
        let operation: Arc<str> = declared.operation().into();
        let info = self.info(behind, declared, &operation, &access, &Policy::new());
        let steps = InsideRouteSteps {
            deadline: Deadline::of(info.times),
            caller: KnownCaller::new(
                self.callers.clone(),
                self.name.clone(),
                operation.clone(),
                self.lasting.clock.clone(),
            ),
            authorize: Authorize::new(access),
            reserved: RemoveReserved::default(),
            body: BodyLimit::bytes(info.body_limit),
            budget: self.lasting.budget.clone(),
            sessions: Some(EndSessions::of(self.schemes.clone(), true)),
            forwarded: ForwardedFields::default(),
            trace: self.trace.clone(),
            mint: self.mint(behind, &operation),
        };
        let served = Served { steps: Arc::new(steps), target: behind.target.clone() };
        let (method, path) = (Some(declared.method), declared.path.clone());
        Some((Matcher::new(info, method, path, Conditions::default(), None), served))
    }
}

/// Whether an orchestrator asks here how the gateway does. The answers cost next to nothing.
fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

fn destination(target: Target) -> Option<Arc<Destination>> {
    match target {
        Target::Service(destination) => Some(destination),
        Target::Own(_) => None,
    }
}
