//! The access log in front of any service. Alone in its program: a place in the code that another thread reaches first, one without a
//! subscriber, may be taken for one that nobody wants to hear of.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bank_gateway::{AccessLog, Record, StepLayer};
use bank_sdk::http::Body;
use http::{Request, Response, StatusCode};
use tower::{ServiceBuilder, ServiceExt as _};

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
    let secret = || {
        Request::get("/v1/accounts/secret?token=secret")
            .header("host", "bank.example")
            .body(Body::empty())
            .unwrap()
    };
    tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let missing = tower::service_fn(|_: Request<Body>| async {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_FOUND;
            Ok::<_, Infallible>(response)
        });
        let never = tower::service_fn(|_: Request<Body>| {
            std::future::pending::<Result<Response<Body>, Infallible>>()
        });
        let log = Record::to([Arc::new(AccessLog::of("GET /v1/accounts/{id}")) as _]);
        let logged = ServiceBuilder::new().layer(StepLayer::new(log));
        runtime.block_on(async {
            let answer = logged.clone().service(missing).oneshot(secret()).await.unwrap();
            assert_eq!(answer.status(), 404);
            let hung_up = logged.service(never).oneshot(secret());
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
