//! What operators see, on a listener of its own: metrics, the route table, endpoints' health, readiness with its reasons,
//! and a page that shows them live. It changes nothing, and belongs on loopback (S31).

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bank_sdk::Problem;
use bank_sdk::http::Body;
use bytes::Bytes;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use serde_json::json;
use tower::{BoxError, Service};

use crate::Gateway;
use crate::control::own_routes::{json, with_type};
use crate::outbound::{BreakerState, Destination};

/// The admin pages of a gateway, as a service.
///
/// It answers requests that name an IP address or `localhost` as their host, whatever the port, and names that
/// [`allow_host`](Self::allow_host) adds. To all others it answers 404: a web page whose own name was made to point here (DNS
/// rebinding) is shown nothing.
#[derive(Clone, Debug)]
pub struct Admin {
    gateway: Gateway,
    allowed_hosts: Arc<[String]>,
}

impl Admin {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self { gateway, allowed_hosts: Arc::default() }
    }

    /// Answers requests for this host too, the name by which Prometheus scrapes it, say. A port in it makes no difference. Give
    /// names that only your own DNS serves: whoever can make one of them point here can read these pages from a browser.
    ///
    /// ```no_run
    /// # async fn example(gateway: bank_gateway::Gateway) -> std::io::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:9090").await?;
    /// bank_sdk::serve::serve(listener, gateway.admin().allow_host("metrics.internal")).await
    /// # }
    /// ```
    #[must_use]
    pub fn allow_host(mut self, name: impl AsRef<str>) -> Self {
        let added = host_name(name.as_ref()).to_ascii_lowercase();
        self.allowed_hosts = self.allowed_hosts.iter().cloned().chain([added]).collect();
        self
    }

    /// Whether the request was meant for this listener: every host that it names is one of ours.
    fn is_meant<B>(&self, request: &Request<B>) -> bool {
        let fields = request.headers().get_all(http::header::HOST).iter().map(|host| host.to_str().ok());
        let mut hosts = fields.chain(request.uri().host().map(Some)).peekable();
        hosts.peek().is_some() && hosts.all(|host| host.is_some_and(|host| self.is_own_name(host_name(host))))
    }

    fn is_own_name(&self, name: &str) -> bool {
        let address = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || address.parse::<std::net::IpAddr>().is_ok()
            || self.allowed_hosts.iter().any(|allowed| name.eq_ignore_ascii_case(allowed))
    }

    async fn answer(self, method: Method, path: String) -> Response<Body> {
        if method != Method::GET && method != Method::HEAD {
            return bank_sdk::method_not_allowed([bank_sdk::declaration::Method::Get]).into_response("");
        }
        match path.as_str() {
            "/metrics" => with_type(
                Body::from(self.metrics()),
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            ),
            "/admin/routes" => json(&self.routes()),
            "/admin/upstreams" => json(&self.upstreams()),
            "/healthz" => json(&json!({ "status": "alive" })),
            "/readyz" => self.readiness().await,
            "/admin" | "/admin/" => {
                page(with_type(Body::from(include_str!("page.html")), "text/html; charset=utf-8"))
            }
            "/admin/page.js" => {
                with_type(Body::from(include_str!("page.js")), "text/javascript; charset=utf-8")
            }
            "/admin/page.css" => with_type(Body::from(include_str!("page.css")), "text/css; charset=utf-8"),
            _ => Problem::not_found().into_response(""),
        }
    }

    /// The gateway's metrics, then those of the team, then the line that ends them all.
    fn metrics(&self) -> String {
        const END: &str = "# EOF\n";
        let shared = &self.gateway.shared;
        let mut all = shared.lasting.metrics.encode();
        let state = shared.state.load();
        if state.metrics_text.is_empty() {
            return all;
        }
        if all.ends_with(END) {
            all.truncate(all.len() - END.len());
        }
        for text in &state.metrics_text {
            let text = text();
            all.push_str(text.strip_suffix(END).unwrap_or(&text));
            if !all.ends_with('\n') {
                all.push('\n');
            }
        }
        all.push_str(END);
        all
    }

    fn routes(&self) -> serde_json::Value {
        let state = self.gateway.shared.state.load();
        let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let routes = state.routes().map(|route| {
            json!({
                "service": &*route.service,
                "operation": &*route.operation,
                "access": route.access,
                "idempotency": route.idempotency,
                "limit_class": route.limit_class,
                "timeout_ms": millis(route.times.head),
                "idle_timeout_ms": millis(route.times.idle),
                "whole_timeout_ms": route.times.whole.map(millis),
                "body_limit": route.body_limit,
                "stream": route.stream,
                "long_poll": route.long_poll,
                "upgrade": route.upgrade,
                "internal": route.access.is_internal(),
                "upgraded_idle_timeout_ms": millis(route.times.upgraded_idle),
            })
        });
        json!({ "items": routes.collect::<Vec<_>>() })
    }

    fn upstreams(&self) -> serde_json::Value {
        let shared = &self.gateway.shared;
        let state = shared.state.load();
        let mut services = serde_json::Map::new();
        for (name, destination) in &state.services {
            let endpoints: Vec<_> = match &**destination {
                Destination::Local(..) => vec![json!({ "address": "in process" })],
                Destination::Cluster(cluster) => cluster
                    .endpoints()
                    .iter()
                    .map(|endpoint| {
                        let health = endpoint.health();
                        let operations: serde_json::Map<_, _> = health
                            .closed_operations()
                            .into_iter()
                            .map(|(name, state)| (name.to_string(), json!(state.as_str())))
                            .collect();
                        json!({
                            "address": endpoint.address(),
                            "state": health.state().as_str(),
                            "operations": operations,
                            "in_flight": health.load.in_flight(),
                            "requests": health.load.served(),
                            "latency_us": health.load.latency().map(|latency| latency.as_micros() as u64),
                        })
                    })
                    .collect(),
            };
            services.insert(name.clone(), json!(endpoints));
        }
        let lasting = &shared.lasting;
        json!({
            "services": services,
            "limit_buckets": lasting.callers.len() + lasting.addresses.len() + lasting.edge.len(),
        })
    }

    /// Endpoints and operations that are out of service: the gateway serves all the same, but not everything.
    fn degraded(&self) -> serde_json::Map<String, serde_json::Value> {
        let state = self.gateway.shared.state.load();
        let mut degraded = serde_json::Map::new();
        for (name, destination) in &state.services {
            let Destination::Cluster(cluster) = &**destination else { continue };
            let endpoints = cluster.endpoints();
            let mut outages = Vec::new();
            for endpoint in &**endpoints {
                let (address, health) = (endpoint.address(), endpoint.health());
                if health.state() != BreakerState::Closed {
                    outages.push(format!("{address} is out of service"));
                }
                let operations = health.closed_operations();
                outages.extend(operations.iter().map(|(name, _)| format!("{address} does not serve {name}")));
            }
            if endpoints.is_empty() {
                outages.push("has no endpoint".to_owned());
            }
            if !outages.is_empty() {
                degraded.insert(name.clone(), json!(outages.join("; ")));
            }
        }
        degraded
    }

    async fn readiness(&self) -> Response<Body> {
        let readiness = self.gateway.shared.state.load().readiness.clone();
        let reasons = readiness.reasons().await;
        let degraded = self.degraded();
        let status = match (reasons.is_empty(), degraded.is_empty()) {
            (true, true) => "ready",
            (true, false) => "degraded",
            (false, _) => "not ready",
        };
        let reasons: serde_json::Map<_, _> =
            reasons.iter().map(|(name, reason)| (name.clone(), json!(reason))).collect();
        let mut response = json(&json!({ "status": status, "reasons": reasons, "degraded": degraded }));
        if status == "not ready" {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }
}

/// A host without its port, and without the dot of a name that is written in full.
fn host_name(host: &str) -> &str {
    let name =
        host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    name.strip_suffix('.').unwrap_or(name)
}

fn page(mut response: Response<Body>) -> Response<Body> {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'";
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

impl<B> Service<Request<B>> for Admin
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = AdminFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> AdminFuture {
        if !self.is_meant(&request) {
            return AdminFuture(Box::pin(async { Problem::not_found().into_response("") }));
        }
        let admin = self.clone();
        AdminFuture(Box::pin(admin.answer(request.method().clone(), request.uri().path().to_owned())))
    }
}

/// The answer of [`Admin`].
pub struct AdminFuture(Pin<Box<dyn Future<Output = Response<Body>> + Send>>);

impl Future for AdminFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for AdminFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminFuture")
    }
}
