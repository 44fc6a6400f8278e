//! Each layer alone in front of any service, and edge and services that agree on what is declared.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bank_gateway::identity::Authenticate;
use bank_gateway::identity::Scheme;
use bank_gateway::{
    Answer, Authorize, Buckets, ClientAddress, Deadline, Exchange, Facts, Flow, Gate, Policy, Quota,
    RateLimit, Refusal, RequireIdempotencyKey, Route, Step, StepLayer, StrictHttp, Times, TotalLimit,
    Upstream,
};
use bank_sdk::declaration::{Access, Method};
use bank_sdk::http::Body;
use bank_sdk::serve::Connection;
use bank_sdk::{Principal, Problem};
use edge_tests::OneKey;
use http::{Request, Response, StatusCode};
use tower::{Service, ServiceBuilder, ServiceExt as _};

/// A service that counts what reaches it and echoes who called.
fn counting() -> (
    Arc<AtomicUsize>,
    impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static,
) {
    let count = Arc::<AtomicUsize>::default();
    let reached = count.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        reached.fetch_add(1, Ordering::SeqCst);
        let facts = request.extensions().get::<Facts>().unwrap();
        let caller = facts.principal().map(|principal| principal.subject.clone());
        let address = facts.client().map(|address| address.0.to_string());
        async move { Ok(Response::new(Body::from(format!("{caller:?} {address:?}").into_bytes()))) }
    });
    (count, service)
}

fn request(path: &str) -> http::request::Builder {
    Request::get(path).header("host", "bank.example")
}

/// The answers of a step in front of a counting service, and how often that was reached.
async fn through<T: Step>(
    step: T,
    requests: impl IntoIterator<Item = Request<Body>>,
) -> (Vec<(StatusCode, String)>, usize) {
    let (count, inner) = counting();
    let service = ServiceBuilder::new().layer(StepLayer::new(step)).service(inner);
    let mut answers = Vec::new();
    for request in requests {
        let response = service.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().read(10_000).await.unwrap();
        answers.push((status, String::from_utf8(bytes.to_vec()).unwrap()));
    }
    (answers, count.load(Ordering::SeqCst))
}

fn empty(builder: http::request::Builder) -> Request<Body> {
    builder.body(Body::empty()).unwrap()
}

fn statuses(answers: &[(StatusCode, String)]) -> Vec<u16> {
    answers.iter().map(|(status, _)| status.as_u16()).collect()
}

#[tokio::test]
async fn strict_http_stands_alone() {
    let requests = [empty(request("/a")), empty(request("/a/%2e%2e/b")), empty(Request::get("/a"))];
    let (answers, reached) = through(StrictHttp::default(), requests).await;
    assert_eq!((statuses(&answers), reached), (vec![200, 400, 400], 1));
    assert!(answers[1].1.contains("ambiguous_path"));
}

#[tokio::test]
async fn client_address_stands_alone() {
    let requests = [empty(request("/").header("x-forwarded-for", "9.9.9.9"))];
    let (answers, _) = through(ClientAddress::default(), requests).await;
    assert!(answers[0].1.contains("127.0.0.1"), "nobody is believed who is not trusted: {}", answers[0].1);
    let proxied = || empty(request("/").header("x-forwarded-for", "6.6.6.6, 9.9.9.9"));
    let mut known = proxied();
    known.extensions_mut().insert(Arc::new(Connection::new("127.0.0.1:9".parse().unwrap())));
    let (answers, _) = through(ClientAddress::behind(["127.0.0.0/8"]).unwrap(), [known, proxied()]).await;
    assert!(answers[0].1.contains("9.9.9.9"), "{}", answers[0].1);
    assert!(answers[1].1.contains("127.0.0.1"), "without a known peer nothing is believed: {}", answers[1].1);
}

#[tokio::test]
async fn authenticate_and_authorize_stand_alone_and_together() {
    let scheme: Arc<dyn Scheme> = Arc::new(OneKey::of([Principal::customer("ann").with_scope("read")]));
    let authenticate = Authenticate::new([scheme]);
    let known = || empty(request("/").header("x-api-key", "bk_ann_secret"));
    let wrong = || empty(request("/").header("x-api-key", "bk_ann_wrong"));
    let (answers, reached) = through(authenticate.clone(), [known(), wrong(), empty(request("/"))]).await;
    assert_eq!((statuses(&answers), reached), (vec![200, 401, 200], 2));
    assert!(answers[0].1.contains("ann") && answers[2].1.contains("None"));

    let needs = |scope: &str| {
        Authorize::new(Access::Authenticated { scopes: vec![scope.to_owned()], roles: Vec::new() })
    };
    let (answers, reached) = through(needs("read"), [known()]).await;
    assert_eq!((statuses(&answers), reached), (vec![401], 0), "a credential that nobody checked is none");

    let (count, inner) = counting();
    let both = |scope: &str| {
        ServiceBuilder::new()
            .layer(StepLayer::new(authenticate.clone()))
            .layer(StepLayer::new(needs(scope)))
            .service(inner.clone())
    };
    assert_eq!(both("read").oneshot(known()).await.unwrap().status(), 200);
    assert_eq!(both("write").oneshot(known()).await.unwrap().status(), 403);
    assert_eq!(both("read").oneshot(empty(request("/"))).await.unwrap().status(), 401);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn rate_limit_stands_alone_and_tells_how_the_caller_stands() {
    let (count, inner) = counting();
    let limit = RateLimit::new("mine", Quota::per_minute(2), Buckets::new(100)).unwrap();
    let service = ServiceBuilder::new().layer(StepLayer::new(limit)).service(inner);
    let call = |who: &'static str| {
        let mut request = empty(request("/"));
        request.extensions_mut().insert(Arc::new(Principal::customer(who)));
        service.clone().oneshot(request)
    };
    let mut seen = Vec::new();
    for who in ["ann", "ann", "ann", "bea"] {
        let response = call(who).await.unwrap();
        assert_eq!(response.headers()["ratelimit-policy"], "\"mine\";q=2;w=60");
        seen.push(response.status().as_u16());
    }
    assert_eq!((seen, count.load(Ordering::SeqCst)), (vec![200, 200, 429, 200], 3));
    assert!(RateLimit::new("none", Quota::per_second(0), Buckets::new(1)).is_err());
}

#[tokio::test]
async fn s20_a_full_table_resets_nobody() {
    let (_, inner) = counting();
    let limit = RateLimit::new("mine", Quota::per_hour(1), Buckets::new(16)).unwrap();
    let service = ServiceBuilder::new().layer(StepLayer::new(limit)).service(inner);
    let call = |who: String| {
        let mut request = empty(request("/"));
        request.extensions_mut().insert(Arc::new(Principal::customer(who)));
        let service = service.clone();
        async move { service.oneshot(request).await.unwrap().status().as_u16() }
    };
    assert_eq!((call("ann".to_owned()).await, call("ann".to_owned()).await), (200, 429));
    for stranger in 0..1_000 {
        call(format!("stranger {stranger}")).await;
    }
    assert_eq!(call("ann".to_owned()).await, 429, "a crowd of strangers gives nobody a new quota");
}

#[tokio::test]
async fn the_total_limit_and_the_need_for_a_key_stand_alone() {
    let requests = (0..3).map(|_| empty(request("/")));
    let (answers, reached) = through(TotalLimit::new(Quota::per_hour(2)).unwrap(), requests).await;
    assert_eq!((statuses(&answers), reached), (vec![200, 200, 503], 2));
    let requests = [empty(request("/").header("idempotency-key", "\"k\"")), empty(request("/"))];
    let (answers, reached) = through(RequireIdempotencyKey::default(), requests).await;
    assert_eq!((statuses(&answers), reached), (vec![200, 400], 1));
}

/// A gate of somebody else's, as the trait's documentation invites.
#[derive(Clone)]
struct NoMondays(bool);

impl Gate for NoMondays {
    async fn check(&self, _: &mut Exchange) -> Result<(), Problem> {
        if self.0 { Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not on a Monday")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn anybody_may_write_a_layer() {
    assert_eq!(through(NoMondays(true), [empty(request("/"))]).await.1, 0);
    assert_eq!(through(NoMondays(false), [empty(request("/"))]).await.1, 1);
}

#[tokio::test]
async fn a_layer_calls_the_service_that_was_polled_ready() {
    /// Panics when it is called without having been polled.
    struct Picky(bool);
    impl Clone for Picky {
        fn clone(&self) -> Self {
            Self(false)
        }
    }
    impl Service<Request<Body>> for Picky {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<Body>, Infallible>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
            self.0 = true;
            std::task::Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<Body>) -> Self::Future {
            assert!(self.0, "called without having been polled ready");
            std::future::ready(Ok(Response::new(Body::empty())))
        }
    }
    let mut service =
        ServiceBuilder::new().layer(StepLayer::new(StrictHttp::default())).service(Picky(false));
    for _ in 0..2 {
        let ready = tower::ServiceExt::<Request<Body>>::ready(&mut service).await.unwrap();
        assert_eq!(ready.call(empty(request("/"))).await.unwrap().status(), 200);
    }
}

/// Refuses or not, and tells whose answers it sees.
#[derive(Clone, Debug)]
struct Sees {
    name: &'static str,
    refuses: Option<Refuses>,
    seen: Arc<Mutex<Vec<&'static str>>>,
}

#[derive(Clone, Copy, Debug)]
enum Refuses {
    AtOnce,
    AfterWaiting,
    Never,
}

impl Sees {
    fn refusal() -> Refusal {
        Problem::bad_request("no").into()
    }
}

impl Step for Sees {
    type Held = ();

    fn before(&self, _: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        match self.refuses {
            None => Ok(Flow::Pass),
            Some(Refuses::AtOnce) => Err(Self::refusal()),
            Some(_) => Ok(Flow::Wait),
        }
    }

    fn poll_wait(
        &self,
        _: &mut std::task::Context<'_>,
        _: &mut Exchange,
        (): &mut (),
    ) -> std::task::Poll<Result<(), Refusal>> {
        match self.refuses {
            Some(Refuses::AfterWaiting) => std::task::Poll::Ready(Err(Self::refusal())),
            _ => std::task::Poll::Pending,
        }
    }

    fn after(&self, (): (), _: &Facts, _: &mut Answer) {
        self.seen.lock().unwrap().push(self.name);
    }
}

#[tokio::test]
async fn a_step_sees_the_answers_of_those_that_it_let_pass_alone_and_in_a_gateway() {
    let cases = [
        (None, 200, vec!["second", "first"]),
        (Some(Refuses::AtOnce), 400, vec!["first"]),
        (Some(Refuses::AfterWaiting), 400, vec!["first"]),
        (Some(Refuses::Never), 504, vec!["first"]),
    ];
    for (refuses, status, wanted) in cases {
        let seen = Arc::<Mutex<Vec<&'static str>>>::default();
        let step = |name, refuses| Sees { name, refuses, seen: seen.clone() };
        let (_, inner) = counting();
        let alone = ServiceBuilder::new()
            .layer(StepLayer::new(Deadline::after(Duration::from_millis(50))))
            .layer(StepLayer::new(step("first", None)))
            .layer(StepLayer::new(step("second", refuses)))
            .service(inner);
        let answer = alone.oneshot(empty(request("/"))).await.unwrap();
        // The layer in front of the deadline's own sees nothing of what the deadline ended behind it.
        let passed = if status == 504 { Vec::new() } else { wanted.clone() };
        assert_eq!((answer.status().as_u16(), seen.lock().unwrap().split_off(0)), (status, passed));

        let (_, inner) = counting();
        let policy = Policy::new()
            .times(Times::head(Duration::from_millis(50)))
            .step(step("first", None))
            .step(step("second", refuses));
        let route = Route::new(Method::Get, "/").access(Access::Public).policy(policy);
        let gateway = bank_gateway::Gateway::builder()
            .rate_limit("default", Quota::per_second(1_000))
            .route(route, Upstream::tower(inner))
            .build()
            .unwrap();
        let answer = gateway.oneshot(empty(request("/"))).await.unwrap();
        assert_eq!((answer.status().as_u16(), seen.lock().unwrap().split_off(0)), (status, wanted));
    }
}
