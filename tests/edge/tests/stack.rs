//! The steps around a request and behind it, each alone in front of any service, and all of them as one stack that a team
//! builds with `ServiceBuilder`.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::convert::Infallible;
use std::io::{Read as _, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bank_gateway::identity::{Authenticate, Scheme};
use bank_gateway::outbound::{
    Balance, CircuitBreaker, Forward, InFlightLimit, Outbound, Retry, Tower, Transport,
};
use bank_gateway::{
    AccessLog, Authorize, BodyLimit, Buckets, ClientAddress, Deadline, Ended, Facts, Metrics, MintIdentity,
    NameRequests, Observe, PanicGuard, Quota, RateLimit, Record, SecurityHeaders, Step, StepLayer,
    StrictHttp, Times, TraceContext,
};
use bank_sdk::client::ConnectOptions;
use bank_sdk::declaration::{Access, Idempotency};
use bank_sdk::http::Body;
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
        let id = request.extensions().get::<Facts>().unwrap().id_text().to_owned();
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

/// A body that keeps its reader waiting once.
struct Late(bool);

impl http_body::Body for Late {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.0, true) {
            return std::task::Poll::Ready(None);
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn a_time_of_any_length_can_be_given() {
    let slow = tower::service_fn(|_: Request<Body>| async move {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(Response::new(Body::new(Late(false))))
    });
    for time in [Duration::MAX, Duration::from_secs(u64::MAX / 1_000_000_000), Duration::from_secs(1 << 40)] {
        let times = Times::head(time).idle(time).whole(time);
        let answer = behind(Deadline::of(times), slow).oneshot(get("/")).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.into_body().read(10).await.is_ok(), "{time:?}");
        assert_eq!(status(&behind(Deadline::after(time), slow), get("/")).await, 200);
    }
}

#[tokio::test]
async fn metrics_count_requests_whose_answer_nobody_waited_for() {
    let metrics = Metrics::new();
    let record = Record::to([Arc::new(metrics.measure("fees", "GET /v1/fees")) as _]);
    let never = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<_, Infallible>>());
    let service = behind(record, never);
    let hung_up = service.oneshot(get("/v1/fees"));
    assert!(tokio::time::timeout(Duration::from_millis(10), hung_up).await.is_err());
    let text = metrics.encode();
    for line in [
        r#"bank_gateway_requests_total{service="fees",operation="GET /v1/fees",status="4xx"} 1"#,
        r#"bank_gateway_refused_total{status="499",reason="client_gone"} 1"#,
        r#"bank_gateway_unfinished_total{outcome="client_gone"} 1"#,
        "bank_gateway_in_flight 0",
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
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
    let record = Record::to([Arc::new(metrics.measure("fees", "GET /v1/fees")) as _]);
    let service = behind(record, inner);
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

/// What a transport answers.
fn sent(transport: impl Transport, request: Request<Body>) -> impl Future<Output = u16> {
    let answer = Outbound::new(transport).oneshot(request);
    async move { answer.await.unwrap().status().as_u16() }
}

/// The same service as a transport.
fn transport<S>(service: S) -> Tower
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    Tower::new(service)
}

#[tokio::test]
async fn s21_retry_stands_alone_and_repeats_only_what_may_be_repeated() {
    let keyed = |method: &str| {
        Request::builder()
            .method(method)
            .uri("/")
            .header("idempotency-key", "\"k\"")
            .body(Body::from("once"))
            .unwrap()
    };
    for (class, method, statuses, asked, outcome) in [
        (Idempotency::Safe, "GET", &[503_u16, 502][..], 3, 200),
        (Idempotency::Safe, "GET", &[503, 503, 503], 3, 503),
        (Idempotency::Safe, "GET", &[500], 1, 500),
        (Idempotency::Safe, "POST", &[503], 1, 503),
        (Idempotency::Key, "POST", &[503], 2, 200),
        (Idempotency::OptionalKey, "POST", &[503], 2, 200),
        (Idempotency::None, "POST", &[503], 1, 503),
    ] {
        let (counted, inner) = answering(statuses);
        let answer = sent(Retry::around(transport(inner)).of(class), keyed(method)).await;
        assert_eq!(
            (counted.load(Ordering::SeqCst), answer),
            (asked, outcome),
            "{class:?} {method} {statuses:?}"
        );
    }
    for class in [Idempotency::Key, Idempotency::OptionalKey] {
        let (counted, inner) = answering(&[503]);
        let unkeyed = Request::post("/").body(Body::from("once")).unwrap();
        assert_eq!(sent(Retry::around(transport(inner)).of(class), unkeyed).await, 503);
        assert_eq!(counted.load(Ordering::SeqCst), 1, "without its key it is not repeated");
    }
}

#[tokio::test(start_paused = true)]
async fn the_breaker_stands_alone() {
    let asked = Arc::<AtomicUsize>::default();
    let counted = asked.clone();
    let failing = tower::service_fn(move |_: Request<Body>| {
        let at = counted.fetch_add(1, Ordering::SeqCst);
        async move { if at < 5 { Err("lost") } else { Ok(Response::new(Body::empty())) } }
    });
    let service = Outbound::new(CircuitBreaker::around(Tower::new(failing)));
    let call = || {
        let answer = service.clone().oneshot(get("/"));
        async move { answer.await.unwrap().status().as_u16() }
    };
    for at in 0..20 {
        assert_eq!(call().await, if at < 5 { 502 } else { 503 });
    }
    assert_eq!(asked.load(Ordering::SeqCst), 5, "five failures open it");
    tokio::time::advance(Duration::from_millis(501)).await;
    assert_eq!(call().await, 200, "the probe closes it");
    assert_eq!(call().await, 200);
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
        (asked, transport(service))
    };
    let (failing, one) = of(503);
    let (sound, two) = of(200);
    let service = Outbound::new(Balance::over([one, two]));
    for _ in 0..100 {
        service.clone().oneshot(get("/")).await.unwrap();
    }
    assert!(failing.load(Ordering::SeqCst) <= 2 && sound.load(Ordering::SeqCst) >= 98);
    assert_eq!(sent(Balance::over(Vec::<Tower>::new()), get("/")).await, 503);
}

#[tokio::test]
async fn the_limit_of_requests_in_flight_stands_alone() {
    let release = Arc::new(tokio::sync::Notify::new());
    let gate = release.clone();
    let slow = tower::service_fn(move |_: Request<Body>| {
        let gate = gate.clone();
        async move {
            gate.notified().await;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let service = Outbound::new(InFlightLimit::around(transport(slow), 1, 1));
    let first = tokio::spawn(service.clone().oneshot(get("/")));
    let second = tokio::spawn(service.clone().oneshot(get("/")));
    // Both have begun: one is in flight, the other waits.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(service.clone().oneshot(get("/")).await.unwrap().status(), 503, "the queue is full");
    release.notify_one();
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    release.notify_one();
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
}

/// How often each request was sent to a service.
#[derive(Debug, Default)]
struct Tries(Mutex<Vec<u8>>);

impl Observe for Tries {
    fn ended(&self, facts: &Facts, _: &Ended) {
        self.0.lock().unwrap().push(facts.tries());
    }
}

#[tokio::test]
async fn a_try_is_counted_once_however_many_breakers_stand_around_it() {
    let tries = Arc::new(Tries::default());
    let endpoint = || CircuitBreaker::around(Tower::new(answering(&[503, 503]).1));
    let endpoints = CircuitBreaker::around(Balance::over([endpoint(), endpoint()]));
    let service = ServiceBuilder::new()
        .layer(StepLayer::new(Record::to([tries.clone() as _])))
        .service(Outbound::new(Retry::around(endpoints).of(Idempotency::Safe)));
    assert_eq!(service.oneshot(get("/")).await.unwrap().status(), 503);
    assert_eq!(*tries.0.lock().unwrap(), [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward_stands_alone() {
    let forward = |url: &str| Forward::to(&url.parse().unwrap(), ConnectOptions::default());
    let upstream = Recorder::start();
    let mut request = get("/v1/x");
    for (name, value) in [("connection", "x-mine"), ("x-mine", "1"), ("te", "trailers"), ("accept", "*/*")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(sent(forward(&upstream.url()).unwrap(), request).await, 200);
    let seen = upstream.only();
    assert_eq!(seen.line, "GET /v1/x HTTP/1.1");
    assert_eq!((seen.header("x-mine"), seen.header("te"), seen.header("accept")), (None, None, Some("*/*")));
    let vanishing = Recorder::answering(|_| Reply::Vanish);
    assert_eq!(sent(forward(&vanishing.url()).unwrap(), get("/")).await, 502, "it may have had its effect");
    assert_eq!(sent(forward("http://127.0.0.1:1").unwrap(), get("/")).await, 503, "nothing was sent");
    assert!(forward("https://127.0.0.1:1").is_err());
}

/// A service that answers once, over a connection that it keeps, and is gone when it is asked again.
fn that_ends() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 4_096];
        assert!(stream.read(&mut bytes).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        assert!(stream.read(&mut bytes).unwrap() > 0);
        drop(listener);
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_may_have_had_an_effect_is_left_open_by_a_service_that_ends() {
    for (method, status) in [("GET", 503), ("HEAD", 503), ("POST", 502), ("PUT", 502)] {
        let forward = Forward::to(&that_ends().parse().unwrap(), ConnectOptions::default()).unwrap();
        let service = Outbound::new(Retry::around(forward).of(Idempotency::Key));
        let request = || {
            let request = Request::builder().method(method).uri("/").header("idempotency-key", "\"k\"");
            request.body(Body::empty()).unwrap()
        };
        for expected in [200, status] {
            let answer = service.clone().oneshot(request()).await.unwrap();
            assert_eq!(answer.status(), expected, "{method}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_layers_make_a_gateway_of_a_team_s_own() {
    let upstream = Recorder::start();
    let metrics = Metrics::new();
    let operation = "GET /v1/fees";
    let scheme: Arc<dyn Scheme> = Arc::new(OneKey::of([Principal::customer("ann").with_scope("fees")]));
    let access = Access::Authenticated { scopes: vec!["fees".to_owned()], roles: vec![] };
    let endpoint = |address: &str| {
        CircuitBreaker::around(Forward::to(&address.parse().unwrap(), ConnectOptions::default()).unwrap())
    };
    // One of the two endpoints does not answer: what is sent to it goes to the other.
    let endpoints = Balance::over([endpoint("http://127.0.0.1:1"), endpoint(&upstream.url())]);
    // From the outside in, as the guide orders them.
    let service = ServiceBuilder::new()
        .layer(StepLayer::new(NameRequests::default()))
        .layer(StepLayer::new(SecurityHeaders::default()))
        .layer(StepLayer::new(Record::to([
            Arc::new(AccessLog::of(operation)) as _,
            Arc::new(metrics.measure("fees", operation)) as _,
        ])))
        .layer(StepLayer::new(PanicGuard::default()))
        .layer(StepLayer::new(ClientAddress::default()))
        .layer(StepLayer::new(StrictHttp::default()))
        .layer(StepLayer::new(Deadline::after(Duration::from_secs(5))))
        .layer(StepLayer::new(BodyLimit::bytes(1_000)))
        .layer(StepLayer::new(Authenticate::new([scheme])))
        .layer(StepLayer::new(Authorize::new(access)))
        .layer(StepLayer::new(RateLimit::new("fees", Quota::per_minute(2), Buckets::new(100)).unwrap()))
        .layer(StepLayer::new(TraceContext::default()))
        .layer(StepLayer::new(MintIdentity::new(identity_keys(), "edge", "fees", operation)))
        .service(Outbound::new(Retry::around(endpoints).of(Idempotency::Safe)));

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
    drop(response);
    assert!(metrics.encode().contains(r#"operation="GET /v1/fees",status="2xx"} 2"#));
}
