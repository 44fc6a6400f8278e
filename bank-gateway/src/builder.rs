//! Everything that a gateway is told before it is built, and the faults that it finds.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bank_sdk::declaration::Api;
use bank_sdk::identity::IdentityKeys;
use bank_stores::{Clock, Random, SystemClock, SystemRandom};
use tower_http::cors::CorsLayer;

use crate::audit::Audit;
#[cfg(feature = "passwords")]
use crate::auth::Passwords;
use crate::auth::Scheme;
use crate::client_addr::ClientAddress;
use crate::rate_limit::TotalLimit;
use crate::route::Route;
use crate::step::{AnyGate, Gate};
use crate::{BuildError, Gateway, Quota, Upstream};

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
    pub(crate) services: Vec<(Api, Upstream)>,
    pub(crate) routes: Vec<(Route, Upstream)>,
    pub(crate) schemes: Vec<Arc<dyn Scheme>>,
    #[cfg(feature = "passwords")]
    pub(crate) passwords: Option<Passwords>,
    pub(crate) gates: Vec<Arc<dyn AnyGate>>,
    pub(crate) quotas: HashMap<String, Quota>,
    pub(crate) coarse: Quota,
    pub(crate) total: Option<TotalLimit>,
    pub(crate) client_address: ClientAddress,
    pub(crate) cors: Option<CorsLayer>,
    pub(crate) callers: Vec<(String, IdentityKeys)>,
    pub(crate) internal_at_once: usize,
    pub(crate) openapi: Option<(String, String)>,
    pub(crate) audit: Option<Arc<dyn Audit>>,
    pub(crate) checks: Vec<(String, ReadyCheck)>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

/// Whether a part is able to serve; the reason otherwise.
pub type ReadyCheck = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

impl GatewayBuilder {
    pub(crate) fn new() -> Self {
        Self {
            name: "bank-gateway".to_owned(),
            services: Vec::new(),
            routes: Vec::new(),
            schemes: Vec::new(),
            #[cfg(feature = "passwords")]
            passwords: None,
            gates: Vec::new(),
            quotas: HashMap::from([("default".to_owned(), Quota::per_second(100).burst(200))]),
            coarse: Quota::per_second(5_000).burst(10_000),
            total: None,
            client_address: ClientAddress::default(),
            cors: None,
            callers: Vec::new(),
            internal_at_once: 4_096,
            openapi: None,
            audit: None,
            checks: Vec::new(),
            clock: Arc::new(SystemClock::new()),
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

    /// A step of the team's own: it runs when the caller is known and allowed (the request extension `Arc<Principal>`), and
    /// before the request is passed on. Calls between services do not pass it.
    pub fn gate(mut self, gate: impl Gate) -> Self {
        self.gates.push(Arc::new(gate));
        self
    }

    /// The quota of a class of routes for each caller. `default` is the class of what names none.
    pub fn rate_limit(mut self, class: impl Into<String>, quota: Quota) -> Self {
        self.quotas.insert(class.into(), quota);
        self
    }

    /// The quota of each address, taken before any expensive work.
    pub const fn coarse_limit(mut self, quota: Quota) -> Self {
        self.coarse = quota;
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

    /// Answers browsers of other origins.
    pub fn cors(mut self, cors: CorsLayer) -> Self {
        self.cors = Some(cors);
        self
    }

    /// A service, by its declaration, and where it runs.
    pub fn service(mut self, api: Api, upstream: Upstream) -> Self {
        self.services.push((api, upstream));
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
    pub fn openapi(mut self, title: impl Into<String>, version: impl Into<String>) -> Self {
        self.openapi = Some((title.into(), version.into()));
        self
    }

    /// Records what happens.
    pub fn audit(mut self, audit: Arc<dyn Audit>) -> Self {
        self.audit = Some(audit);
        self
    }

    /// A part that must be able to serve for the gateway to be ready.
    pub fn ready_check(mut self, name: impl Into<String>, check: ReadyCheck) -> Self {
        self.checks.push((name.into(), check));
        self
    }

    /// The clock, where a test decides the time.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The gateway, where everything fits together.
    ///
    /// # Errors
    /// Every fault, each with what to change.
    pub fn build(self) -> Result<Gateway, BuildError> {
        Gateway::build(self)
    }
}

impl fmt::Debug for GatewayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayBuilder")
            .field("name", &self.name)
            .field("services", &self.services.iter().map(|(api, _)| &api.name).collect::<Vec<_>>())
            .field("schemes", &self.schemes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bank_sdk::Access;
    use bank_sdk::declaration::{Idempotency, Method};

    use super::*;

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
        assert!(text.contains("things POST /v1/things: says not who may call it"), "{text}");
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
