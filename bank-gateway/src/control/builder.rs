//! Everything that a gateway is told before it is built.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bank_sdk::declaration::Api;
use bank_sdk::identity::IdentityKeys;
use bank_sdk::openapi::Info;
use bank_stores::{Clock, Random, SystemClock, SystemRandom};
use tower_http::cors::CorsLayer;

use super::ReadyCheck;
use crate::Upstream;
#[cfg(feature = "passwords")]
use crate::identity::Passwords;
use crate::identity::Scheme;
use crate::inbound::{ClientAddress, Cors, SecurityHeaders, StrictHttp};
use crate::observe::{AccessLog, Audit, Observe, Sampling};
use crate::route::{Policy, Render, Route};
use crate::step::Step;
use crate::traffic::{Quota, SharedLimits, TotalLimit};

/// Gives lines for `/metrics`.
pub(crate) type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// A gateway that is not built yet.
///
/// ```
/// use bank_gateway::{Gateway, Quota, Route, Upstream};
/// use bank_sdk::Access;
///
/// # let runtime = tokio::runtime::Runtime::new().unwrap();
/// # let _inside = runtime.enter();
/// let gateway = Gateway::builder()
///     .rate_limit("default", Quota::per_second(100).burst(200))
///     .route(Route::all("/files/{*rest}").access(Access::Public), Upstream::at(["http://127.0.0.1:9000"]).foreign())
///     .build()?;
/// # Ok::<(), bank_gateway::BuildError>(())
/// ```
#[must_use]
pub struct GatewayBuilder {
    pub(crate) name: String,
    pub(crate) services: Vec<(Api, Upstream, ServicePolicy)>,
    pub(crate) routes: Vec<(Route, Upstream)>,
    pub(crate) schemes: Vec<Arc<dyn Scheme>>,
    #[cfg(feature = "passwords")]
    pub(crate) passwords: Option<Passwords>,
    pub(crate) policy: Policy,
    pub(crate) quotas: HashMap<String, Quota>,
    pub(crate) address_limit: Quota,
    pub(crate) buckets: usize,
    pub(crate) shared_limits: Option<SharedLimits>,
    pub(crate) total: Option<TotalLimit>,
    pub(crate) client_address: ClientAddress,
    pub(crate) strict_http: StrictHttp,
    pub(crate) security_headers: SecurityHeaders,
    pub(crate) sampling: Sampling,
    pub(crate) loop_visits: usize,
    pub(crate) cors: Option<Cors>,
    pub(crate) callers: Vec<(String, IdentityKeys)>,
    pub(crate) internal_at_once: usize,
    pub(crate) openapi: Option<Info>,
    pub(crate) access_log: AccessLog,
    pub(crate) audit: Option<Arc<dyn Audit>>,
    pub(crate) observers: Vec<Arc<dyn Observe>>,
    pub(crate) checks: Vec<(String, ReadyCheck)>,
    pub(crate) metrics_text: Vec<MetricsText>,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) random: Arc<dyn Random>,
}

/// The policy of a service, and of its single operations.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ServicePolicy {
    pub(crate) all: Policy,
    pub(crate) operations: Vec<(String, Policy)>,
}

impl ServicePolicy {
    /// Nothing beside the declaration.
    pub fn new() -> Self {
        Self::default()
    }

    /// For all operations of the service.
    pub fn all(mut self, policy: Policy) -> Self {
        self.all = policy.over(&self.all);
        self
    }

    /// For one operation, such as `POST /v1/transfers`, over what is said for all.
    pub fn at(mut self, operation: impl Into<String>, policy: Policy) -> Self {
        self.operations.push((operation.into(), policy));
        self
    }
}

impl GatewayBuilder {
    pub(crate) fn new() -> Self {
        Self {
            name: "bank-gateway".to_owned(),
            services: Vec::new(),
            routes: Vec::new(),
            schemes: Vec::new(),
            #[cfg(feature = "passwords")]
            passwords: None,
            policy: Policy::new(),
            quotas: HashMap::from([("default".to_owned(), Quota::per_second(100).burst(200))]),
            address_limit: Quota::per_second(5_000).burst(10_000),
            buckets: 32_768,
            shared_limits: None,
            total: None,
            client_address: ClientAddress::default(),
            strict_http: StrictHttp::default(),
            security_headers: SecurityHeaders::default(),
            sampling: Sampling::default(),
            loop_visits: 1,
            cors: None,
            callers: Vec::new(),
            internal_at_once: 4_096,
            openapi: None,
            access_log: AccessLog::default(),
            audit: None,
            observers: Vec::new(),
            checks: Vec::new(),
            metrics_text: Vec::new(),
            clock: None,
            random: Arc::new(SystemRandom::new()),
        }
    }

    /// The gateway's name, which stands in identity tokens and is the audience of calls between services.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Accepts a way to prove who calls.
    pub fn authenticate(mut self, scheme: impl Scheme) -> Self {
        self.schemes.push(Arc::new(scheme));
        self
    }

    /// Checks user names and passwords on routes that are logins.
    #[cfg(feature = "passwords")]
    pub fn passwords(mut self, passwords: Passwords) -> Self {
        self.passwords = Some(passwords);
        self
    }

    /// A step of the team's own, on every route: it runs when the caller is known and allowed, and before the request is passed
    /// on. It knows its route, [`Facts::route`](crate::Facts::route). Calls between services do not pass it. For one route or
    /// one service, give a [`Policy`].
    pub fn step(mut self, step: impl Step) -> Self {
        self.policy = self.policy.step(step);
        self
    }

    /// The policy of all routes; what a service or a route says stands over it.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy.over(&self.policy);
        self
    }

    /// Makes the answers of all refusals. [`ErrorPages`](crate::ErrorPages) shows a page to people who open an address in a browser.
    pub fn render(mut self, render: impl Render) -> Self {
        self.policy = self.policy.render(render);
        self
    }

    /// The quota of a class of routes for each caller. `default` is the class of what names none.
    pub fn rate_limit(mut self, class: impl Into<String>, quota: Quota) -> Self {
        self.quotas.insert(class.into(), quota);
        self
    }

    /// The quota of each address, taken before any expensive work.
    pub const fn address_limit(mut self, quota: Quota) -> Self {
        self.address_limit = quota;
        self
    }

    /// How many buckets there are for callers, and as many for addresses: 32,768 each by default, of 64 bytes. When all are in
    /// use, callers that are new share one. It is for the first build; a reload keeps the buckets that there are.
    pub const fn buckets(mut self, buckets: usize) -> Self {
        self.buckets = buckets;
        self
    }

    /// Counts the quotas of classes and routes in a store that several gateways share. Those of addresses and of all callers
    /// together protect this gateway, and are counted here.
    pub fn shared_limits(mut self, shared: SharedLimits) -> Self {
        self.shared_limits = Some(shared);
        self
    }

    /// The quota of all callers together.
    pub fn total_limit(mut self, limit: TotalLimit) -> Self {
        self.total = Some(limit);
        self
    }

    /// Believes forwarding information from these proxies.
    pub fn client_address(mut self, client_address: ClientAddress) -> Self {
        self.client_address = client_address;
        self
    }

    /// How strictly requests are read, and which fields only the gateway may set.
    pub fn strict_http(mut self, strict_http: StrictHttp) -> Self {
        self.strict_http = strict_http;
        self
    }

    /// What every answer tells a browser.
    pub fn security_headers(mut self, security_headers: SecurityHeaders) -> Self {
        self.security_headers = security_headers;
        self
    }

    /// Whether the sampled flag of a caller's trace is believed.
    pub const fn sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }

    /// How often a request may have passed a gateway of this [`name`](Self::name) before: once by default. One that has done so
    /// more often is refused with 508 (`loop_detected`).
    pub const fn loop_visits(mut self, visits: usize) -> Self {
        self.loop_visits = visits;
        self
    }

    /// Answers browsers of other origins.
    pub fn cors(mut self, cors: CorsLayer) -> Self {
        self.cors = Some(Cors::new(cors));
        self
    }

    /// A service, by its declaration, and where it runs.
    pub fn service(self, api: Api, upstream: Upstream) -> Self {
        self.service_with(api, upstream, ServicePolicy::new())
    }

    /// A service with a policy of its own.
    ///
    /// ```
    /// use bank_gateway::{Gateway, LimitBy, Policy, Quota, ServicePolicy, Upstream};
    /// # let runtime = tokio::runtime::Runtime::new().unwrap();
    /// # let _inside = runtime.enter();
    /// # let api = bank_sdk::Api::new("fees").endpoint(
    /// #     bank_sdk::Endpoint::<bank_sdk::Empty, bank_sdk::Empty>::get("/v1/fees").public().declare());
    /// let policy = ServicePolicy::new()
    ///     .at("GET /v1/fees", Policy::new().limit("fees", Quota::per_minute(6), LimitBy::Address));
    /// let gateway = Gateway::builder()
    ///     .service_with(api, Upstream::at(["http://127.0.0.1:9000"]).foreign(), policy)
    ///     .build()?;
    /// # Ok::<(), bank_gateway::BuildError>(())
    /// ```
    pub fn service_with(mut self, api: Api, upstream: Upstream, policy: ServicePolicy) -> Self {
        self.services.push((api, upstream, policy));
        self
    }

    /// A route that no service declares.
    pub fn route(mut self, route: Route, upstream: Upstream) -> Self {
        self.routes.push((route, upstream));
        self
    }

    /// A service that calls others through the gateway, and the keys by which it is known.
    pub fn caller(mut self, service: impl Into<String>, keys: IdentityKeys) -> Self {
        self.callers.push((service.into(), keys));
        self
    }

    /// How many internal calls run at once. They have this budget for themselves, so that a full edge cannot keep a service
    /// waiting for another.
    pub const fn internal_at_once(mut self, calls: usize) -> Self {
        self.internal_at_once = calls;
        self
    }

    /// Serves the document of all services at `/openapi.json`.
    pub fn openapi(self, title: impl Into<String>, version: impl Into<String>) -> Self {
        self.openapi_info(Info::new(title, version))
    }

    /// As [`openapi`](Self::openapi), with more on the document's title page: a text, a licence, other servers.
    pub fn openapi_info(mut self, info: Info) -> Self {
        self.openapi = Some(info);
        self
    }

    /// Records what happens.
    pub fn audit(mut self, audit: Arc<dyn Audit>) -> Self {
        self.audit = Some(audit);
        self
    }

    /// What the access log says; see [`AccessLog`].
    pub fn access_log(mut self, log: AccessLog) -> Self {
        self.access_log = log;
        self
    }

    /// Tells an observer of the team's own how each request ends.
    pub fn observe(mut self, observer: impl Observe) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// A part that must be able to serve for the gateway to be ready.
    pub fn ready_check(mut self, name: impl Into<String>, check: ReadyCheck) -> Self {
        self.checks.push((name.into(), check));
        self
    }

    /// Adds metrics of the team's own to `/metrics` at the [`admin`](crate::Gateway::admin) listener, behind the gateway's. The
    /// text has the OpenMetrics form, with or without `# EOF` at its end; it is asked for at each scrape, and must not wait. Its
    /// names must be others than the gateway's, and each name comes from one call of this method only. The admin page shows those of
    /// `bank_stores::cache::CacheMetrics` in a table of their own.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// let refunds = Arc::new(AtomicU64::new(0));
    /// let counted = refunds.clone();
    /// let builder = bank_gateway::Gateway::builder().metrics_text(move || {
    ///     format!("# TYPE refunds counter\nrefunds_total {}\n", counted.load(Ordering::Relaxed))
    /// });
    /// ```
    pub fn metrics_text(mut self, text: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.metrics_text.push(Arc::new(text));
        self
    }

    /// The clock, where a test decides the time: of identity tokens and audit records, of services in this process, and of the
    /// schemes that were given none. What waits or counts (limits, throttles, deadlines, breakers) goes by tokio's clock, which
    /// `tokio::time::pause` stops; `testing::Harness` moves both.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Where ids come from, where a test decides them.
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = random;
        self
    }

    pub(crate) fn clock_or_system(&self) -> Arc<dyn Clock> {
        self.clock.clone().unwrap_or_else(|| Arc::new(SystemClock::new()))
    }
}

impl fmt::Debug for GatewayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayBuilder")
            .field("name", &self.name)
            .field("services", &self.services.iter().map(|(api, ..)| &api.name).collect::<Vec<_>>())
            .field("schemes", &self.schemes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bank_sdk::Access;
    use bank_sdk::declaration::{Idempotency, Method};

    use super::*;
    use crate::Gateway;

    fn declared(edit: impl FnOnce(&mut bank_sdk::EndpointDeclaration)) -> Api {
        let mut endpoint: bank_sdk::EndpointDeclaration =
            serde_json::from_str(r#"{"method":"POST","path":"/v1/things","access":{"who":"public"}}"#)
                .unwrap();
        edit(&mut endpoint);
        Api::new("things").endpoint(endpoint)
    }

    fn faults(api: Api, upstream: Upstream) -> String {
        Gateway::builder().service(api, upstream).build().unwrap_err().to_string()
    }

    fn elsewhere() -> Upstream {
        let keys = IdentityKeys::new([("k", [1; 32])]).unwrap();
        Upstream::at(["http://127.0.0.1:1"]).identity_keys(keys)
    }

    #[test]
    fn s19_a_route_without_a_policy_does_not_build_and_is_named() {
        let text = faults(declared(|endpoint| endpoint.access = None), elsewhere());
        assert!(text.contains("things POST /v1/things: does not say who may call it"), "{text}");
    }

    #[test]
    fn s21_a_configuration_that_could_repeat_an_unsafe_call_does_not_build() {
        let text = faults(declared(|endpoint| endpoint.idempotency = Idempotency::Safe), elsewhere());
        assert!(text.contains("declared safe, which only GET is"), "{text}");
    }

    #[test]
    fn every_fault_is_told_at_once_with_what_to_change() {
        let api = declared(|endpoint| {
            endpoint.access = Some(Access::Authenticated { scopes: vec![], roles: vec![] })
        });
        let text = Gateway::builder()
            .service(api.clone(), Upstream::at(["http://127.0.0.1:1"]))
            .rate_limit("none", Quota::per_second(0))
            .build()
            .unwrap_err()
            .to_string();
        assert!(text.contains(".identity_keys(…)") && text.contains("the quota `none`"), "{text}");
        assert!(faults(api.clone(), elsewhere()).contains(".authenticate(…)"));
        assert!(faults(api, Upstream::at(["127.0.0.1:1"])).contains("must start with http://"));
        let login = declared(|endpoint| endpoint.access = Some(Access::Login));
        assert!(faults(login, elsewhere()).contains(".passwords(…)"));
        let get =
            declared(|endpoint| (endpoint.method, endpoint.access) = (Method::Get, Some(Access::Login)));
        assert!(faults(get, elsewhere()).contains("must be a POST"));
    }
}
