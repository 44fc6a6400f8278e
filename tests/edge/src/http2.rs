//! One HTTP/2 connection with the blocking interface of the tests' client: hyper drives it on a runtime of its own.

use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::client::{Request, Response, TIMEOUT};
use crate::wire::{Wire, server_name};

/// A connection. Its handshake comes with its first request.
#[derive(Debug)]
pub(crate) struct Http2 {
    wire: Wire,
    stage: Stage,
    ended: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Stage {
    Fresh(Option<TcpStream>),
    Open(SendRequest<Frames>),
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    })
}

/// Waits for a future, wherever the caller is.
fn wait<T: Send + 'static>(future: impl Future<Output = io::Result<T>> + Send + 'static) -> io::Result<T> {
    let (done, is_done) = mpsc::channel();
    runtime().spawn(async move {
        // Who waits no longer is not told.
        let _ = done.send(future.await);
    });
    is_done.recv_timeout(TIMEOUT).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

impl Http2 {
    pub(crate) fn new(wire: Wire, socket: TcpStream) -> Self {
        Self { wire, stage: Stage::Fresh(Some(socket)), ended: Arc::default() }
    }

    fn sender(&mut self) -> io::Result<SendRequest<Frames>> {
        let socket = match &mut self.stage {
            Stage::Open(sender) => return Ok(sender.clone()),
            Stage::Fresh(socket) => socket.take().ok_or(io::ErrorKind::NotConnected)?,
        };
        let (wire, ended) = (self.wire, self.ended.clone());
        let sender = wait(async move {
            socket.set_nonblocking(true)?;
            let socket = tokio::net::TcpStream::from_std(socket)?;
            if !wire.is_tls() {
                return handshake(socket, ended).await;
            }
            let tls = tokio_rustls::TlsConnector::from(wire.trust()).connect(server_name(), socket).await?;
            handshake(tls, ended).await
        })?;
        self.stage = Stage::Open(sender.clone());
        Ok(sender)
    }

    pub(crate) fn exchange(&mut self, request: &Request, host: &str) -> io::Result<Response> {
        let mut sender = self.sender()?;
        let request = translate(request, host, self.wire)?;
        wait(async move {
            sender.ready().await.map_err(io::Error::other)?;
            let (head, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
            let read = body.collect().await.map_err(io::Error::other)?;
            let trailers = read.trailers().map(texts).unwrap_or_default();
            let (status, headers) = (head.status.as_u16(), texts(&head.headers));
            Ok(Response { status, headers, body: read.to_bytes().to_vec(), trailers })
        })
    }

    /// Whether the server ends the connection in this time.
    pub(crate) fn ends_within(&mut self, time: Duration) -> bool {
        if self.sender().is_err() {
            return true;
        }
        let deadline = Instant::now() + time;
        while !self.ended.load(Ordering::SeqCst) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

async fn handshake<T>(io: T, ended: Arc<AtomicBool>) -> io::Result<SendRequest<Frames>>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(1 << 20)
        .handshake(TokioIo::new(io))
        .await
        .map_err(io::Error::other)?;
    runtime().spawn(async move {
        // Its requests are told what was wrong.
        let _ = connection.await;
        ended.store(true, Ordering::SeqCst);
    });
    Ok(sender)
}

fn texts(fields: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    fields.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

/// A request of HTTP/1.1 as HTTP/2 says it: `Host` is the authority, chunks are DATA, and what holds for one connection is left
/// out, by hyper.
fn translate(request: &Request, host: &str, wire: Wire) -> io::Result<http::Request<Frames>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let fields = request.fields();
    let find = |name: &str| {
        fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    };
    let authority = find("host").unwrap_or(host);
    let uri = if request.target().starts_with('/') {
        let scheme = if wire.is_tls() { "https" } else { "http" };
        format!("{scheme}://{authority}{}", request.target())
    } else {
        request.target().to_owned()
    };
    let uri: Uri = uri.parse().map_err(|_| invalid("the target"))?;
    let method = http::Method::from_bytes(request.method().as_bytes()).map_err(|_| invalid("the method"))?;
    let is_chunked = find("transfer-encoding").is_some();
    let body = match request.bytes_of_body() {
        None => Frames::default(),
        Some(body) if is_chunked => Frames::of_chunks(body)?,
        Some(body) => Frames::of(body),
    };
    let mut told = http::Request::new(body);
    (*told.method_mut(), *told.uri_mut()) = (method, uri);
    let headers = told.headers_mut();
    for (name, value) in fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid(name))?;
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid(value))?);
    }
    if !is_chunked && let Some(body) = request.bytes_of_body() {
        headers.entry("content-length").or_insert(HeaderValue::from(body.len()));
    }
    Ok(told)
}

/// A body, frame by frame.
#[derive(Debug, Default)]
pub(crate) struct Frames(std::collections::VecDeque<Frame<Bytes>>);

impl Frames {
    fn of(body: &[u8]) -> Self {
        Self([Frame::data(Bytes::copy_from_slice(body))].into())
    }

    /// What chunks hold, and the trailers behind them.
    fn of_chunks(mut chunks: &[u8]) -> io::Result<Self> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "chunks");
        let mut frames = Self::default();
        let mut line = || {
            let end = chunks.windows(2).position(|two| two == b"\r\n")?;
            let line = &chunks[..end];
            chunks = &chunks[end + 2..];
            Some(line)
        };
        let mut trailers = HeaderMap::new();
        loop {
            let head = line().and_then(|line| std::str::from_utf8(line).ok()).ok_or_else(invalid)?;
            let size = head.split(';').next().unwrap_or_default().trim();
            if usize::from_str_radix(size, 16).map_err(|_| invalid())? == 0 {
                break;
            }
            // The tests' chunks hold no line ends.
            frames.0.push_back(Frame::data(Bytes::copy_from_slice(line().ok_or_else(invalid)?)));
        }
        while let Some(field) = line().filter(|field| !field.is_empty()) {
            let field = std::str::from_utf8(field).map_err(|_| invalid())?;
            let (name, value) = field.split_once(':').ok_or_else(invalid)?;
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
            trailers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| invalid())?);
        }
        if !trailers.is_empty() {
            frames.0.push_back(Frame::trailers(trailers));
        }
        Ok(frames)
    }
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}
