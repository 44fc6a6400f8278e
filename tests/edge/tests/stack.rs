//! The steps around a request and behind it, each alone in front of any service, and all of them as one stack that a team
//! builds with `ServiceBuilder`.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::convert::Infallible;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bank_gateway::auth::{Authenticate, Scheme};
use bank_gateway::{
    AccessLog, Authorize, Balance, BodyLimit, Buckets, CircuitBreaker, ClientAddress, Deadline, Forward,
    Metrics, MintIdentity, NameRequests, PanicGuard, Quota, RateLimit, Retry, SecurityHeaders, Step,
    StepLayer, StrictHttp, TraceContext,
};
use bank_sdk::client::ConnectOptions;
use bank_sdk::declaration::{Access, Idempotency};
use bank_sdk::http::{Body, RequestId};
use bank_sdk::{Principal, Problem};
use edge_tests::{OneKey, Recorder, Reply, identity_keys};
use http::{Request, Response, StatusCode};
use tower::{Service, ServiceBuilder, ServiceExt as _};

trait Inner:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}
impl<S> Inner for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

fn behind<T: Step>(step: T, inner: impl Inner) -> impl Inner {
    ServiceBuilder::new().layer(StepLayer::new(step)).service(inner)
}

/// A service that answers with these statuses, one after the other, and then with 200; and how often it was asked.
fn answering(statuses: &'static [u16]) -> (Arc<AtomicUsize>, impl Inner) {
    let asked = Arc::<AtomicUsize>::default();
    let counted = asked.clone();
    let service = tower::service_fn(move |_: Request<Body>| {
        let at = counted.fetch_add(1, Ordering::SeqCst);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(statuses.get(at).copied().unwrap_or(200)).unwrap();
        async move { Ok(response) }
    });
    (asked, service)
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "bank.example").body(Body::empty()).unwrap()
}

fn status<S: Inner>(service: &S, request: Request<Body>) -> impl Future<Output = u16> + use<S> {
    let answer = service.clone().oneshot(request);
    async move { answer.await.unwrap().status().as_u16() }
}

#[tokio::test]
async fn request_ids_stand_alone() {
    let echo = tower::service_fn(|request: Request<Body>| async move {
        let id = request.extensions().get::<RequestId>().unwrap().as_str().to_owned();
        Ok::<_, Infallible>(Response::new(Body::from(id)))
    });
    let mut mine = get("/");
    mine.headers_mut().insert("x-request-id", "mine".parse().unwrap());
    let response = behind(NameRequests::default(), echo).oneshot(mine).await.unwrap();
    let told = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert!(told.starts_with("req_"), "a client's own name is not taken: {told}");
    assert_eq!(response.into_body().read(100).await.unwrap(), told);
}

#[tokio::test]
async fn trace_context_stands_alone() {
    let echo = tower::service_fn(|request: Request<Body>| async move {
        let parent = request.headers()["traceparent"].to_str().unwrap().to_owned();
        Ok::<_, Infallible>(Response::new(Body::from(parent)))
    });
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for (sent, goes_on) in [(format!("00-{trace}-b7ad6b7169203331-01"), true), ("nonsense".to_owned(), false)]
    {
        let mut request = get("/");
        request.headers_mut().insert("traceparent", sent.parse().unwrap());
        let response = behind(TraceContext::default(), echo).oneshot(request).await.unwrap();
        let parent = response.into_body().read(100).await.unwrap();
        let parent = std::str::from_utf8(&parent).unwrap();
        assert_eq!((parent.len(), parent.contains(trace)), (55, goes_on), "{parent}");
        assert!(!parent.contains("b7ad6b7169203331"), "the span is new: {parent}");
    }
}

#[tokio::test]
async fn the_panic_guard_stands_alone() {
    let panics = tower::service_fn(|request: Request<Body>| async move {
        assert_ne!(request.uri().path(), "/panics", "as asked");
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let service = behind(PanicGuard::default(), panics);
    assert_eq!(status(&service, get("/panics")).await, 500);
    assert_eq!(status(&service, get("/")).await, 200);
}

#[tokio::test]
async fn security_headers_stand_alone() {
    let own = tower::service_fn(|_: Request<Body>| async move {
        Ok::<_, Infallible>(
            Response::builder().header("cache-control", "max-age=5").body(Body::empty()).unwrap(),
        )
    });
    let response = behind(SecurityHeaders::default(), own).oneshot(get("/")).await.unwrap();
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(response.headers()["content-security-policy"], "default-src 'none'; frame-ancestors 'none'");
    assert_eq!(response.headers()["cache-control"], "max-age=5", "what the service says stays");
    assert!(!response.headers().contains_key("strict-transport-security"), "this was no TLS");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_stands_alone_and_a_caller_can_only_shorten_it() {
    let slow = tower::service_fn(|_: Request<Body>| async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let asking = |time: &str| {
        let mut request = get("/");
        request.headers_mut().insert("bank-timeout-ms", time.parse().unwrap());
        request
    };
    let (short, long) = (Deadline::after(Duration::from_secs(1)), Deadline::after(Duration::from_secs(3)));
    assert_eq!(status(&behind(short, slow), get("/")).await, 504);
    assert_eq!(status(&behind(short, slow), asking("60000")).await, 504);
    assert_eq!(status(&behind(long, slow), get("/")).await, 200);
    assert_eq!(status(&behind(long, slow), asking("500")).await, 504);
}

#[tokio::test]
async fn the_body_limit_stands_alone() {
    let (reached, inner) = answering(&[]);
    let service = behind(BodyLimit::bytes(4), inner);
    let post = |body: &'static str| Request::post("/").body(Body::from(body)).unwrap();
    assert_eq!(status(&service, post("1234")).await, 200);
    assert_eq!(status(&service, post("12345")).await, 413);
    assert_eq!(reached.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn metrics_stand_alone() {
    let metrics = Metrics::new();
    let (_, inner) = answering(&[200, 500]);
    let service = behind(metrics.measure("fees", "GET /v1/fees"), inner);
    for _ in 0..2 {
        status(&service, get("/v1/fees?secret=1")).await;
    }
    let text = metrics.encode();
    for class in ["2xx", "5xx"] {
        let line = format!(
            r#"bank_gateway_requests_total{{service="fees",operation="GET /v1/fees",status="{class}"}} 1"#
        );
        assert!(text.contains(&line), "no `{line}` in\n{text}");
    }
    assert!(text.contains("bank_gateway_in_flight 0") && !text.contains("secret"), "{text}");
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_access_log_stands_alone_and_knows_no_path() {
    let kept = Kept::default();
    let sink = kept.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || sink.clone()).json().finish();
    let secret = || get("/v1/accounts/secret?token=secret");
    tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let never = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<_, Infallible>>());
        let log = AccessLog::new("GET /v1/accounts/{id}");
        runtime.block_on(async {
            let (_, inner) = answering(&[404]);
            assert_eq!(status(&behind(log.clone(), inner), secret()).await, 404);
            let hung_up = behind(log, never).oneshot(secret());
            assert!(tokio::time::timeout(Duration::from_millis(10), hung_up).await.is_err());
        });
    });
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0]["fields"]["operation"], "GET /v1/accounts/{id}");
    assert_eq!((&lines[0]["fields"]["status"], &lines[1]["fields"]["status"]), (&404.into(), &499.into()));
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn s21_retry_stands_alone_and_repeats_only_what_may_be_repeated() {
    let sent = |method: &str| Request::builder().method(method).uri("/").body(Body::from("once")).unwrap();
    for (class, method, statuses, asked, outcome) in [
        (Idempotency::Safe, "GET", &[503_u16, 502][..], 3, 200),
        (Idempotency::Safe, "GET", &[503, 503, 503], 3, 503),
        (Idempotency::Safe, "GET", &[500], 1, 500),
        (Idempotency::Safe, "POST", &[503], 1, 503),
        (Idempotency::Key, "POST", &[503], 2, 200),
        (Idempotency::None, "POST", &[503], 1, 503),
    ] {
        let (counted, inner) = answering(statuses);
        let answer = status(&behind(Retry::new(class), inner), sent(method)).await;
        assert_eq!(
            (counted.load(Ordering::SeqCst), answer),
            (asked, outcome),
            "{class:?} {method} {statuses:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_breaker_stands_alone() {
    let (asked, inner) = answering(&[503; 5]);
    let service = behind(CircuitBreaker::default(), inner);
    for _ in 0..20 {
        assert_eq!(status(&service, get("/")).await, 503);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 5, "five failures open it");
    tokio::time::advance(Duration::from_millis(501)).await;
    assert_eq!(status(&service, get("/")).await, 200, "the probe closes it");
    assert_eq!(status(&service, get("/")).await, 200);
}

#[tokio::test]
async fn balance_stands_alone_and_turns_away_from_what_fails() {
    let of = |status: u16| {
        let asked = Arc::<AtomicUsize>::default();
        let counted = asked.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            counted.fetch_add(1, Ordering::SeqCst);
            let response = Problem::new(StatusCode::from_u16(status).unwrap(), "as asked").into_response("");
            async move { Ok::<_, Infallible>(response) }
        });
        (asked, tower::util::BoxCloneService::new(service))
    };
    let (failing, one) = of(503);
    let (sound, two) = of(200);
    let service = Balance::new([one, two]);
    for _ in 0..100 {
        status(&service, get("/")).await;
    }
    assert!(failing.load(Ordering::SeqCst) <= 2 && sound.load(Ordering::SeqCst) >= 98);
    let nobody = Balance::new(Vec::<tower::util::BoxCloneService<_, Response<Body>, Infallible>>::new());
    assert_eq!(status(&nobody, get("/")).await, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward_stands_alone() {
    let upstream = Recorder::start();
    let forward = Forward::to(&upstream.url().parse().unwrap(), ConnectOptions::default()).unwrap();
    let mut request = get("/v1/x");
    for (name, value) in [("connection", "x-mine"), ("x-mine", "1"), ("te", "trailers"), ("accept", "*/*")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(status(&forward, request).await, 200);
    let seen = upstream.only();
    assert_eq!(seen.line, "GET /v1/x HTTP/1.1");
    assert_eq!((seen.header("x-mine"), seen.header("te"), seen.header("accept")), (None, None, Some("*/*")));
    let vanishing = Recorder::answering(|_| Reply::Vanish);
    let lost = Forward::to(&vanishing.url().parse().unwrap(), ConnectOptions::default()).unwrap();
    assert_eq!(status(&lost, get("/")).await, 502, "it may have had its effect");
    let away = Forward::to(&"http://127.0.0.1:1".parse().unwrap(), ConnectOptions::default()).unwrap();
    assert_eq!(status(&away, get("/")).await, 503, "nothing was sent");
    assert!(Forward::to(&"https://127.0.0.1:1".parse().unwrap(), ConnectOptions::default()).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_layers_make_a_gateway_of_a_team_s_own() {
    let upstream = Recorder::start();
    let metrics = Metrics::new();
    let operation = "GET /v1/fees";
    let scheme: Arc<dyn Scheme> = Arc::new(OneKey::of([Principal::customer("ann").with_scope("fees")]));
    let access = Access::Authenticated { scopes: vec!["fees".to_owned()], roles: vec![] };
    let endpoint = |address: &str| {
        let forward = Forward::to(&address.parse().unwrap(), ConnectOptions::default()).unwrap();
        ServiceBuilder::new().layer(StepLayer::new(CircuitBreaker::default())).service(forward)
    };
    // From the outside in, as the guide orders them.
    let service = ServiceBuilder::new()
        .layer(StepLayer::new(NameRequests::default()))
        .layer(StepLayer::new(PanicGuard::default()))
        .layer(StepLayer::new(AccessLog::new(operation)))
        .layer(StepLayer::new(metrics.measure("fees", operation)))
        .layer(StepLayer::new(SecurityHeaders::default()))
        .layer(StepLayer::new(Deadline::after(Duration::from_secs(5))))
        .layer(StepLayer::new(ClientAddress::default()))
        .layer(StepLayer::new(StrictHttp::default()))
        .layer(StepLayer::new(BodyLimit::bytes(1_000)))
        .layer(StepLayer::new(Authenticate::new([scheme])))
        .layer(StepLayer::new(Authorize::new(access)))
        .layer(StepLayer::new(RateLimit::new("fees", Quota::per_minute(2), Buckets::new(100)).unwrap()))
        .layer(StepLayer::new(TraceContext::default()))
        .layer(StepLayer::new(MintIdentity::new(identity_keys(), "edge", "fees", operation)))
        .layer(StepLayer::new(Retry::new(Idempotency::Safe)))
        // One of the two endpoints does not answer: what is sent to it goes to the other.
        .service(Balance::new([endpoint("http://127.0.0.1:1"), endpoint(&upstream.url())]));

    let known = || {
        let mut request = get("/v1/fees");
        for (name, value) in
            [("x-api-key", "bk_ann_secret"), ("bank-identity", "forged"), ("x-forwarded-for", "9.9.9.9")]
        {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    let response = service.clone().oneshot(known()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["ratelimit"], "\"fees\";r=1;t=30");
    assert_eq!(response.headers()["x-frame-options"], "DENY");
    assert_eq!(service.clone().oneshot(get("/v1/fees")).await.unwrap().status(), 401);
    assert_eq!(service.clone().oneshot(known()).await.unwrap().status(), 200);
    assert_eq!(service.clone().oneshot(known()).await.unwrap().status(), 429);

    let seen = &upstream.received()[0];
    assert_eq!(seen.header("x-request-id"), response.headers()["x-request-id"].to_str().ok());
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert!(seen.header("traceparent").is_some() && seen.header("bank-timeout-ms").is_some());
    let identity = identity_keys().verify(seen.header("bank-identity").unwrap()).unwrap();
    assert_eq!((&*identity.audience, &*identity.operation), ("fees", operation));
    assert_eq!(identity.principal.unwrap().subject, "ann");
    assert!(metrics.encode().contains(r#"operation="GET /v1/fees",status="2xx"} 2"#));
}
