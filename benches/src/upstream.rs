//! What stands behind every proxy: a server that answers one kilobyte, as fast as hyper can.

use std::convert::Infallible;
use std::io;

use bank_sdk::http::BANK_IDENTITY;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// The size of each answer.
pub const SIZE: usize = 1_024;
/// Says in the answer that the request carried an identity token.
pub const IDENTITY_SEEN: HeaderName = HeaderName::from_static("identity-seen");

static KILOBYTE: [u8; SIZE] = [b'x'; SIZE];

/// Serves until it is dropped.
///
/// # Errors
/// A listener that accepts nothing more.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve_connection(stream));
    }
}

async fn serve_connection(stream: TcpStream) {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) });
    // A client that goes away ends its connection and nothing else.
    if stream.set_nodelay(true).is_ok() {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(&KILOBYTE)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if request.headers().contains_key(BANK_IDENTITY) {
        response.headers_mut().insert(IDENTITY_SEEN, HeaderValue::from_static("yes"));
    }
    response
}
