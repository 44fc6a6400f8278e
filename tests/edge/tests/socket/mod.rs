//! A server of one small service, for what holds whatever is served.

#![allow(dead_code, reason = "each file uses a part")]

use std::convert::Infallible;
use std::future::IntoFuture as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bank_sdk::http::Body;
use bank_sdk::serve::{Acceptor, Connection, Held, Limits, Plain, serve};
use bytes::Bytes;
use edge_tests::Client;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What the service saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Requests that came.
    pub(crate) requests: AtomicUsize,
    /// Endless answers that are being sent.
    pub(crate) endless: AtomicUsize,
    /// Lets `/wait` go.
    pub(crate) go: Notify,
}

/// The service, served until this value goes.
#[derive(Debug)]
pub(crate) struct Server {
    runtime: Option<Runtime>,
    address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    pub(crate) fn start(limits: Limits) -> Self {
        Self::start_with(limits, Plain, None)
    }

    pub(crate) fn start_with(limits: Limits, acceptor: impl Acceptor, held: Option<Held>) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let given = seen.clone();
        let service = tower::service_fn(move |request| answer(given.clone(), request));
        let mut server = serve(listener, service).limits(limits).acceptor(acceptor).shutdown(async {
            // A sender that is gone means the same.
            let _ = stopped.await;
        });
        if let Some(held) = held {
            server = server.together(held);
        }
        let serving = runtime.spawn(server.into_future());
        Self { runtime: Some(runtime), address, seen, stop: Some(stop), serving: Some(serving) }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(vec![self.address])
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn endless(&self) -> usize {
        self.seen.endless.load(Ordering::SeqCst)
    }

    pub(crate) fn drain(&mut self) {
        self.stop.take();
    }

    /// Drains, and tells how long that took.
    pub(crate) fn drained(&mut self) -> Duration {
        let start = Instant::now();
        self.drain();
        self.ended().unwrap();
        start.elapsed()
    }

    /// Waits for the end of the server.
    pub(crate) fn ended(&mut self) -> io::Result<()> {
        let serving = self.serving.take().unwrap();
        self.runtime().block_on(serving).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_millis(100));
        }
    }
}

/// `/wait` answers when it is let go, `/endless` for ever, `/large` with 200,000 bytes, `/upgrade` with another protocol; all
/// else tells about the request. CONNECT and TRACE are refused.
async fn answer(seen: Arc<Seen>, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    seen.requests.fetch_add(1, Ordering::SeqCst);
    let connection = request.extensions().get::<Arc<Connection>>().unwrap().clone();
    let host =
        request.headers().get_all("host").iter().map(|host| host.to_str().unwrap()).collect::<Vec<_>>();
    let facts = format!(
        "host={} peer={} leaving={} tls={} fields={}",
        host.join(","),
        connection.peer.ip(),
        connection.is_leaving(),
        connection.tls.is_some(),
        request.headers().len(),
    );
    let refused = matches!(request.method().as_str(), "CONNECT" | "TRACE");
    let body = match request.uri().path() {
        "/wait" => {
            seen.go.notified().await;
            Body::from(facts)
        }
        "/endless" => Body::new(Endless::new(seen)),
        "/large" => Body::from(vec![b'x'; 200_000]),
        "/upgrade" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
                tokio::io::AsyncWriteExt::write_all(&mut io, b"upgraded").await.unwrap();
            });
            let mut response = Response::new(Body::empty());
            *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("upgrade", "echo".parse().unwrap());
            response.headers_mut().insert("connection", "upgrade".parse().unwrap());
            return Ok(response);
        }
        _ => {
            let read = request.into_body().collect().await;
            match read {
                Ok(body) => Body::from(format!("{facts} body={}", body.to_bytes().len())),
                Err(_) => Body::from(format!("{facts} body=broken")),
            }
        }
    };
    let mut response = Response::new(body);
    if refused {
        *response.status_mut() = http::StatusCode::METHOD_NOT_ALLOWED;
    }
    Ok(response)
}

/// Answers of one chunk after the other, until nobody wants more.
struct Endless(Arc<Seen>);

impl Endless {
    fn new(seen: Arc<Seen>) -> Self {
        seen.endless.fetch_add(1, Ordering::SeqCst);
        Self(seen)
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.endless.fetch_sub(1, Ordering::SeqCst);
    }
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[b'x'; 16_384])))))
    }
}
