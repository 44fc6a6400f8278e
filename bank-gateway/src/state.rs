//! What a configuration makes of a gateway: built whole, never changed, swapped by a reload.

use std::sync::Arc;

use bank_sdk::declaration::{Access, Api, Method};
use bank_sdk::http::Body;
use bank_sdk::identity::IdentityKeys;
use bank_sdk::{Problem, openapi};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use tower_http::cors::CorsLayer;

use crate::audit::Audit;
use crate::auth::Authenticate;
#[cfg(feature = "passwords")]
use crate::auth::Passwords;
use crate::builder::{GatewayBuilder, ReadyCheck};
use crate::client_addr::ClientAddress;
use crate::metrics::{Metrics, RouteMetrics};
use crate::rate_limit::{Buckets, Limit, Limits, TotalLimit};
use crate::route::{Answer, Conditions, Entry, Route, Table, Target};
use crate::step::AnyGate;
use crate::upstream::Endpoints;

/// A configuration in force.
pub(crate) struct State {
    pub(crate) name: Arc<str>,
    pub(crate) outside: Table,
    pub(crate) inside: Table,
    pub(crate) authenticate: Authenticate,
    #[cfg(feature = "passwords")]
    pub(crate) passwords: Option<Passwords>,
    pub(crate) gates: Arc<[Arc<dyn AnyGate>]>,
    pub(crate) limits: Limits,
    pub(crate) coarse: Limit,
    pub(crate) total: Option<TotalLimit>,
    pub(crate) client_address: ClientAddress,
    pub(crate) cors: Option<CorsLayer>,
    pub(crate) callers: Vec<(String, IdentityKeys)>,
    pub(crate) audit: Option<Arc<dyn Audit>>,
    pub(crate) checks: Arc<[(String, ReadyCheck)]>,
}

/// What outlives a configuration.
pub(crate) struct Lasting<'a> {
    pub(crate) endpoints: &'a Endpoints,
    pub(crate) metrics: &'a Arc<Metrics>,
    pub(crate) buckets: &'a Buckets,
}

impl State {
    pub(crate) fn build(builder: GatewayBuilder, lasting: &Lasting<'_>) -> Result<Self, Vec<String>> {
        let name: Arc<str> = builder.name.as_str().into();
        let authenticate = Authenticate::new(builder.schemes.iter().cloned());
        let mut faults: Vec<String> = authenticate.faults().collect();
        let mut keep = |found: Result<_, Vec<String>>| found.map_err(|more| faults.extend(more)).ok();
        let limits = keep(Limits::new(lasting.buckets.clone(), &builder.quotas).map(Some)).flatten();
        let coarse = Limit::new("gateway-address", builder.coarse).map_err(|fault| faults.push(fault)).ok();
        let checks: Arc<[(String, ReadyCheck)]> = builder.checks.clone().into();
        let mut outside = own_routes(&builder, lasting.metrics, &checks);
        let mut inside = Vec::new();
        #[cfg(feature = "passwords")]
        let can_login = builder.passwords.is_some();
        #[cfg(not(feature = "passwords"))]
        let can_login = false;
        for (api, upstream) in builder.services {
            if let Err(error) = api.check() {
                faults.extend(error.faults().iter().cloned());
                continue;
            }
            if let Some(endpoint) =
                api.endpoints.iter().find(|e| e.access == Some(Access::Login) && !can_login)
            {
                faults.push(format!(
                    "{} {}: is a login, but the gateway checks no passwords; add .passwords(…)",
                    api.name,
                    endpoint.operation()
                ));
            }
            match lasting.endpoints.backend(&api.name, upstream) {
                Ok(backend) => {
                    let target = Target::Backend(Arc::new(backend));
                    add_service(&api, &name, &target, lasting.metrics, &mut outside, &mut inside);
                }
                Err(more) => faults.extend(more),
            }
        }
        for (route, upstream) in builder.routes {
            let service: Arc<str> = "route".into();
            let operation = route.declaration.operation();
            let declared = Api::new("route").endpoint(route.declaration.clone());
            if let Err(error) = declared.check() {
                faults.extend(error.faults().iter().cloned());
                continue;
            }
            match &route.declaration.access {
                Some(Access::Internal { .. }) => {
                    faults.push(format!("{operation}: only a service can declare an internal endpoint; give the route another .access(…)"));
                    continue;
                }
                Some(Access::Login) if !can_login => {
                    faults.push(format!(
                        "{operation}: is a login, but the gateway checks no passwords; add .passwords(…)"
                    ));
                    continue;
                }
                _ => {}
            }
            match lasting.endpoints.backend(&operation, upstream) {
                Ok(backend) => {
                    let metrics = lasting.metrics.route(&service, &operation);
                    let target = Target::Backend(Arc::new(backend));
                    match entry(&service, route, target, &name, metrics) {
                        Some(entry) => outside.push(entry),
                        None => faults.push(format!("{operation}: says not who may call it; add .access(…)")),
                    }
                }
                Err(more) => faults.extend(more),
            }
        }
        if builder.schemes.is_empty()
            && outside.iter().any(|e| matches!(e.access, Access::Authenticated { .. }))
        {
            faults.push(
                "some routes need a credential, but no scheme is accepted; add .authenticate(…)".to_owned(),
            );
        }
        if let Some(limits) = &limits {
            for entry in outside.iter().filter(|entry| !limits.has(&entry.rate)) {
                faults.push(format!(
                    "{} {}: is counted in the class `{}`, which has no quota; add .rate_limit(\"{}\", …)",
                    entry.service, entry.operation, entry.rate, entry.rate
                ));
            }
        }
        let mut table = |entries| Table::build(entries).map_err(|more| faults.extend(more)).ok();
        let (outside, inside) = (table(outside), table(inside));
        match (limits, coarse, outside, inside) {
            (Some(limits), Some(coarse), Some(outside), Some(inside)) if faults.is_empty() => Ok(Self {
                name,
                outside,
                inside,
                authenticate,
                gates: builder.gates.into(),
                #[cfg(feature = "passwords")]
                passwords: builder.passwords,
                limits,
                coarse,
                total: builder.total,
                client_address: builder.client_address,
                cors: builder.cors,
                callers: builder.callers,
                audit: builder.audit,
                checks,
            }),
            _ => Err(faults),
        }
    }
}

fn add_service(
    api: &Api,
    issuer: &Arc<str>,
    target: &Target,
    metrics: &Arc<Metrics>,
    outside: &mut Vec<Entry>,
    inside: &mut Vec<Entry>,
) {
    let service: Arc<str> = api.name.as_str().into();
    for endpoint in &api.endpoints {
        let metrics = metrics.route(&service, &endpoint.operation());
        // `Api::check` has seen to it that each endpoint says who may call it.
        if let Some(entry) =
            Entry::of(&service, endpoint, Conditions::default(), target.clone(), issuer, metrics)
        {
            if entry.access.is_internal() { inside.push(entry) } else { outside.push(entry) }
        }
    }
}

fn entry(
    service: &Arc<str>,
    route: Route,
    target: Target,
    issuer: &Arc<str>,
    metrics: RouteMetrics,
) -> Option<Entry> {
    let mut entry = Entry::of(service, &route.declaration, route.when, target, issuer, metrics)?;
    if route.all_methods {
        entry.method = None;
        entry.operation = format!("* {}", entry.path).into();
        entry.stated = entry.stated.about(entry.operation.clone());
    }
    Some(entry)
}

/// What the gateway answers itself.
fn own_routes(
    builder: &GatewayBuilder,
    metrics: &Arc<Metrics>,
    checks: &Arc<[(String, ReadyCheck)]>,
) -> Vec<Entry> {
    let service: Arc<str> = "gateway".into();
    let name: Arc<str> = builder.name.as_str().into();
    let mut entries = Vec::new();
    let mut add = |path: &str, answer: Answer| {
        let route = Route::new(Method::Get, path).access(Access::Public);
        let metrics = metrics.route(&service, &route.declaration.operation());
        entries.extend(entry(&service, route, Target::Answer(answer), &name, metrics));
    };
    add("/healthz", Arc::new(|| Box::pin(async { json(&serde_json::json!({ "status": "alive" })) })));
    let checks = checks.clone();
    add(
        "/readyz",
        Arc::new(move || {
            let checks = checks.clone();
            Box::pin(async move {
                match not_ready(&checks).await {
                    reasons if reasons.is_empty() => json(&serde_json::json!({ "status": "ready" })),
                    // The reasons are for the admin listener.
                    _ => Problem::unavailable().into_response(""),
                }
            })
        }),
    );
    if let Some((title, version)) = &builder.openapi {
        let document = openapi::document(title, version, builder.services.iter().map(|(api, _)| api));
        let bytes = bytes::Bytes::from(document.to_string());
        add(
            "/openapi.json",
            Arc::new(move || {
                let bytes = bytes.clone();
                Box::pin(async move { with_type(Body::from(bytes), "application/json") })
            }),
        );
    }
    entries
}

/// Which parts cannot serve, and why.
pub(crate) async fn not_ready(checks: &[(String, ReadyCheck)]) -> Vec<(String, String)> {
    let mut reasons = Vec::new();
    for (name, check) in checks {
        let checked = tokio::time::timeout(std::time::Duration::from_secs(2), check()).await;
        if let Err(reason) = checked.unwrap_or_else(|_| Err("no answer within two seconds".to_owned())) {
            reasons.push((name.clone(), reason));
        }
    }
    reasons
}

pub(crate) fn json(value: &serde_json::Value) -> Response<Body> {
    with_type(Body::from(value.to_string()), "application/json")
}

pub(crate) fn with_type(body: Body, media_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
