//! A request to a service of this process, over a connection in memory: where the connection may become one of another
//! protocol, a call alone is not enough.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tower::{BoxError, ServiceExt as _};

use super::pool::{Wire, origin_form, switched};
use crate::http::Body;

/// The bytes that wait in each direction.
const BUFFER: usize = 16 * 1024;

/// Sends one request to a service of this process over HTTP/1.1 in memory. The service finds the request's extensions, and may
/// answer `101 Switching Protocols` and take the connection over, as it does behind a server (`hyper::upgrade::on`): the
/// answer's body is then to be [joined](Body::join).
///
/// # Errors
/// What the service failed with, or that it broke the connection.
pub async fn send_in_process<S, B>(service: S, mut request: Request<Body>) -> Result<Response<Body>, BoxError>
where
    S: tower::Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (near, far) = tokio::io::duplex(BUFFER);
    let extensions = std::mem::take(request.extensions_mut());
    let once = Mutex::new(Some((service, extensions)));
    let failure: Arc<Mutex<Option<BoxError>>> = Arc::default();
    let failed = failure.clone();
    let serve = service_fn(move |mut request: Request<Incoming>| {
        let given = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        let failed = failed.clone();
        async move {
            // One request comes by this connection, and no other.
            let Some((service, extensions)) = given else { return Ok(refused()) };
            request.extensions_mut().extend(extensions);
            match service.oneshot(request.map(Body::from)).await {
                Ok(response) => Ok::<_, Infallible>(response.map(Body::new)),
                Err(error) => {
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.into());
                    Ok(refused())
                }
            }
        }
    });
    let server = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), serve);
    tokio::spawn(server.with_upgrades());
    let near: Wire = Box::new(near);
    let (mut sender, client) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    tokio::spawn(client.with_upgrades());
    origin_form(&mut request);
    let mut response = sender.send_request(request).await?;
    if let Some(error) = failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    let switched = switched(&mut response);
    Ok(response.map(|body| switched.unwrap_or_else(|| Body::from(body))))
}

fn refused() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
