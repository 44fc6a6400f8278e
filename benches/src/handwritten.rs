//! A proxy as a team writes it by hand, from axum, hyper-util and jsonwebtoken: what the gateway is measured against.
//!
//! Bare it passes on, with a request id and the client's address. Full it verifies the token and remembers those that it knows,
//! asks for the scope, counts against a token bucket of the caller, counts requests, and signs who calls for the upstream. It
//! has none of the gateway's strictness, deadlines, retries, breakers and balancing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::IntoResponse as _;
use axum::serve::ListenerExt as _;
use axum::{Router, response};
use bank_sdk::http::BANK_IDENTITY;
use bank_stores::{Clock as _, SystemClock, SystemRandom, random};
use http::header::{AUTHORIZATION, CONNECTION};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::Failure;
use crate::serving::until_parent_ends;
use crate::tokens::{AUDIENCE, ISSUER, SCOPE};

/// Each caller may do so much in a second, which nobody does here.
const QUOTA: f64 = 100_000_000.0;

/// The proxy as an axum application, with who calls looked at or not.
///
/// # Errors
/// An upstream or a key that cannot be used.
pub fn proxy(upstream: SocketAddr, trusted: Option<&JwkSet>) -> Result<Router, Failure> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(256).build(connector);
    let proxy = Proxy {
        client,
        upstream: upstream.to_string().parse()?,
        guard: trusted.map(Guard::new).transpose()?,
        answered: AtomicU64::new(0),
    };
    Ok(Router::new().fallback(pass_on).with_state(Arc::new(proxy)))
}

/// Plays the proxy until the parent is gone, and prints where.
///
/// # Errors
/// What cannot be used, or a server that ends.
#[allow(clippy::print_stdout, reason = "whoever started this process reads it")]
pub async fn play(upstream: SocketAddr, trusted: Option<&JwkSet>) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let service = proxy(upstream, trusted)?.into_make_service_with_connect_info::<SocketAddr>();
    println!("listening on {}", listener.local_addr()?);
    until_parent_ends(async {
        axum::serve(listener.tap_io(|stream| drop(stream.set_nodelay(true))), service).await
    })
    .await
}

struct Proxy {
    client: Client<HttpConnector, Body>,
    upstream: Authority,
    guard: Option<Guard>,
    answered: AtomicU64,
}

async fn pass_on(
    State(proxy): State<Arc<Proxy>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request<Body>,
) -> response::Response {
    let id = random::id(&SystemRandom::new(), "req_");
    if let Some(guard) = &proxy.guard {
        match guard.check(request.headers(), &id) {
            Ok(identity) => {
                request.headers_mut().remove(AUTHORIZATION);
                request.headers_mut().insert(BANK_IDENTITY, identity);
            }
            Err(status) => return status.into_response(),
        }
    }
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    target.scheme = Some(Scheme::HTTP);
    target.authority = Some(proxy.upstream.clone());
    target.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    let (Ok(target), Ok(id)) = (Uri::from_parts(target), HeaderValue::try_from(id)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    *request.uri_mut() = target;
    let headers = request.headers_mut();
    headers.remove(CONNECTION);
    if let Ok(client) = HeaderValue::try_from(peer.ip().to_string()) {
        headers.insert("x-forwarded-for", client);
    }
    headers.insert("x-request-id", id.clone());
    match proxy.client.request(request).await {
        Ok(mut response) => {
            response.headers_mut().remove(CONNECTION);
            response.headers_mut().insert("x-request-id", id);
            proxy.answered.fetch_add(1, Ordering::Relaxed);
            response.into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// Who may pass.
struct Guard {
    key: DecodingKey,
    validation: Validation,
    known: Mutex<HashMap<String, Arc<Claims>>>,
    buckets: Mutex<HashMap<String, Bucket>>,
    signing: EncodingKey,
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    scope: String,
    exp: i64,
}

struct Bucket {
    left: f64,
    at: Instant,
}

#[derive(Serialize)]
struct Told<'a> {
    sub: &'a str,
    scope: &'a str,
    rid: &'a str,
    exp: i64,
}

impl Guard {
    fn new(trusted: &JwkSet) -> Result<Self, Failure> {
        let jwk = trusted.keys.first().ok_or("there is no key")?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        Ok(Self {
            key: DecodingKey::from_jwk(jwk)?,
            validation,
            known: Mutex::default(),
            buckets: Mutex::default(),
            signing: EncodingKey::from_secret(&[7; 32]),
        })
    }

    /// What the upstream is told of the caller.
    fn check(&self, headers: &HeaderMap, id: &str) -> Result<HeaderValue, StatusCode> {
        let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
        let now = SystemClock::new().now().seconds();
        let claims = self.verify(token, now).ok_or(StatusCode::UNAUTHORIZED)?;
        if !claims.scope.split(' ').any(|scope| scope == SCOPE) {
            return Err(StatusCode::FORBIDDEN);
        }
        if !self.take(&claims.sub) {
            return Err(StatusCode::TOO_MANY_REQUESTS);
        }
        let told = Told { sub: &claims.sub, scope: &claims.scope, rid: id, exp: now + 60 };
        let signed = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &told, &self.signing);
        signed.ok().and_then(|signed| signed.try_into().ok()).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn verify(&self, token: &str, now: i64) -> Option<Arc<Claims>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = known.get(token).filter(|claims| now < claims.exp) {
            return Some(claims.clone());
        }
        let claims =
            Arc::new(jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation).ok()?.claims);
        known.insert(token.to_owned(), claims.clone());
        Some(claims)
    }

    fn take(&self, subject: &str) -> bool {
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains_key(subject) {
            buckets.insert(subject.to_owned(), Bucket { left: QUOTA, at: now });
        }
        let Some(bucket) = buckets.get_mut(subject) else { return false };
        let passed = std::mem::replace(&mut bucket.at, now);
        let passed: Duration = now.saturating_duration_since(passed);
        bucket.left = (bucket.left + passed.as_secs_f64() * QUOTA).min(QUOTA) - 1.0;
        bucket.left >= 0.0
    }
}
