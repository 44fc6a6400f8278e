//! One endpoint as a service: the end of a stack of the gateway's layers.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bank_sdk::Problem;
use bank_sdk::client::{ConnectOptions, Connections, InvalidAddress, SendError};
use bank_sdk::http::Body;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::Body as HttpBody;
use tower::{BoxError, Service};

use super::headers::{prepare, remove_hop_by_hop};
use crate::deadline::Until;
use crate::problem::{incomplete_body, lost_answer};
use crate::step::{StepFuture, problem_instance, refusal};

/// Sends requests to one endpoint over connections that it keeps. Clones share these.
///
/// Fields that hold for one connection only are removed both ways (RFC 9110 §7.6.1); the time left, the request's id and
/// the client's address are passed on, and so is everything else, credentials too: put a gate in front that removes what the
/// endpoint is not to see. No connection: 503, nothing was sent. A connection lost after that: 502.
#[derive(Clone, Debug)]
pub struct Forward {
    connections: Connections,
}

impl Forward {
    /// Sends to `http://host:port`.
    ///
    /// # Errors
    /// Where the address has no host, or another scheme.
    pub fn to(address: &Uri, options: ConnectOptions) -> Result<Self, InvalidAddress> {
        Ok(Self { connections: Connections::new(address, options)? })
    }

    /// Sends to `https://host:port`, verified as [`client_config`](crate::tls::client_config) says.
    ///
    /// # Errors
    /// Where the address has no host, or another scheme.
    pub fn tls(
        address: &Uri,
        options: ConnectOptions,
        tls: Arc<rustls::ClientConfig>,
    ) -> Result<Self, InvalidAddress> {
        Ok(Self { connections: Connections::tls(address, options, tls)? })
    }
}

impl<B> Service<Request<B>> for Forward
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = StepFuture<Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (connections, mut request) = (self.connections.clone(), request.map(Body::new));
        StepFuture::new(async move {
            let id = problem_instance(&request);
            let deadline = request.extensions().get::<Until>().map(|until| until.0);
            prepare(&mut request, deadline);
            Ok(match connections.send(request).await {
                Ok(mut response) => {
                    remove_hop_by_hop(response.headers_mut());
                    response
                }
                Err(SendError::Connect { .. }) => refusal(&id, Problem::unavailable()),
                Err(SendError::Lost(error)) if error.is_user() => refusal(&id, incomplete_body()),
                Err(_) => refusal(&id, lost_answer()),
            })
        })
    }
}
