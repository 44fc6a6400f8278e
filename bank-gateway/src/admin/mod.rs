//! What operators see, on a listener of its own: metrics, the route table, endpoints' health, readiness with its reasons,
//! and a page that shows them live. It changes nothing, and belongs on loopback (S31).

use std::convert::Infallible;
use std::task::{Context, Poll};

use bank_sdk::Problem;
use bank_sdk::declaration::Access;
use bank_sdk::http::Body;
use bytes::Bytes;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use serde_json::json;
use tower::{BoxError, Service};

use crate::forward::Place;
use crate::gateway::{Gateway, GatewayFuture};
use crate::route::Target;
use crate::state::{json, not_ready, with_type};

/// The admin pages of a gateway, as a service.
#[derive(Clone, Debug)]
pub struct Admin {
    gateway: Gateway,
}

impl Admin {
    pub(crate) const fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }

    async fn answer(self, method: Method, path: String) -> Response<Body> {
        if method != Method::GET && method != Method::HEAD {
            return bank_sdk::method_not_allowed([bank_sdk::declaration::Method::Get]).into_response("");
        }
        match path.as_str() {
            "/metrics" => with_type(
                Body::from(self.gateway.shared.metrics.encode()),
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

    fn routes(&self) -> serde_json::Value {
        let state = self.gateway.shared.state.load();
        let routes =
            [&state.outside, &state.inside].into_iter().flat_map(|table| table.entries()).map(|entry| {
                json!({
                    "service": &*entry.service,
                    "operation": &*entry.operation,
                    "access": entry.access,
                    "idempotency": entry.idempotency,
                    "rate": entry.rate,
                    "timeout_ms": u64::try_from(entry.timeout.as_millis()).unwrap_or(u64::MAX),
                    "body_limit": entry.body_limit,
                    "stream": entry.stream,
                    "internal": matches!(entry.access, Access::Internal { .. }),
                })
            });
        json!({ "items": routes.collect::<Vec<_>>() })
    }

    fn upstreams(&self) -> serde_json::Value {
        let state = self.gateway.shared.state.load();
        let mut services = serde_json::Map::new();
        for entry in [&state.outside, &state.inside].into_iter().flat_map(|table| table.entries()) {
            let Target::Backend(backend) = &entry.target else { continue };
            if services.contains_key(&*backend.name) {
                continue;
            }
            let endpoints = match &backend.place {
                Place::Local(_) => vec![json!({ "address": "in process" })],
                Place::Remote(balancer) => balancer
                    .endpoints()
                    .iter()
                    .map(|endpoint| {
                        json!({
                            "address": endpoint.address,
                            "state": endpoint.breaker.state().as_str(),
                            "in_flight": endpoint.load.in_flight(),
                            "latency_us": endpoint.load.latency().map(|latency| latency.as_micros() as u64),
                        })
                    })
                    .collect(),
            };
            services.insert(backend.name.to_string(), json!(endpoints));
        }
        let buckets = self.gateway.shared.buckets.len();
        json!({ "services": services, "limit_buckets": buckets })
    }

    async fn readiness(&self) -> Response<Body> {
        let checks = self.gateway.shared.state.load().checks.clone();
        let reasons = not_ready(&checks).await;
        let ready = reasons.is_empty();
        let reasons: serde_json::Map<_, _> =
            reasons.into_iter().map(|(name, reason)| (name, json!(reason))).collect();
        let mut response =
            json(&json!({ "status": if ready { "ready" } else { "not ready" }, "reasons": reasons }));
        if !ready {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }
}

/// Whether the request was meant for this listener. A page elsewhere that lets its own name point here (DNS rebinding) is not
/// shown anything.
fn is_local_name<B>(request: &Request<B>) -> bool {
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.or_else(|| request.uri().host()) else { return false };
    let name =
        host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
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
    type Future = GatewayFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> GatewayFuture {
        if !is_local_name(&request) {
            return GatewayFuture::new(async { Problem::not_found().into_response("") });
        }
        let admin = self.clone();
        GatewayFuture::new(admin.answer(request.method().clone(), request.uri().path().to_owned()))
    }
}
