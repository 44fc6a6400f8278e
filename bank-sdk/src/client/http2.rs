//! One connection of HTTP/2 to a server, for all requests at once: what [`ConnectOptions::http2`] asks for.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::error::SendError;
use super::pool::{ConnectOptions, Connections, Wire};
use crate::http::Body;

/// How often a server with requests under way is asked whether it is there, and how long it has for the answer.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// The connection, once there is one.
#[derive(Default)]
pub(super) struct Multiplexed {
    sender: Mutex<Option<SendRequest<Body>>>,
    /// One makes the connection, and all others wait for it.
    dials: tokio::sync::Mutex<()>,
}

impl Multiplexed {
    fn open(&self) -> Option<SendRequest<Body>> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.as_ref().filter(|sender| !sender.is_closed()).cloned()
    }

    fn keep(&self, sender: &SendRequest<Body>) {
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender.clone());
    }
}

impl Connections {
    /// Sends a request as one stream. `anew` makes a connection of its own for it, which others share then.
    pub(super) async fn send_stream(
        &self,
        held: &Multiplexed,
        request: &mut Request<Body>,
        mut anew: bool,
    ) -> Result<Response<Body>, SendError> {
        self.address(request).map_err(SendError::Connect)?;
        loop {
            let open = if anew { None } else { held.open() };
            let (mut sender, reused) = match open {
                Some(sender) => (sender, true),
                None => Box::pin(self.connection(held, anew)).await.map_err(SendError::Connect)?,
            };
            match sender.try_send_request(std::mem::take(request)).await {
                Ok(response) => return Ok(response.map(Body::from)),
                Err(mut error) => match error.take_message() {
                    // The server ended the connection and saw none of this request.
                    Some(unsent) => {
                        *request = unsent;
                        if !reused {
                            return Err(SendError::Connect(io::ErrorKind::ConnectionReset.into()));
                        }
                        anew = true;
                    }
                    None => return Err(lost(error.into_error())),
                },
            }
        }
    }

    /// A new connection, or the one that somebody else has made meanwhile; true where it is that.
    async fn connection(&self, held: &Multiplexed, anew: bool) -> io::Result<(SendRequest<Body>, bool)> {
        let _turn = held.dials.lock().await;
        if !anew && let Some(sender) = held.open() {
            return Ok((sender, true));
        }
        let sender = self.connect_http2().await?;
        held.keep(&sender);
        Ok((sender, false))
    }

    /// Names the server as HTTP/2 does, and leaves out what holds for a connection of HTTP/1.1.
    fn address(&self, request: &mut Request<Body>) -> io::Result<()> {
        let host = request.headers_mut().remove(HOST);
        let authority = host.and_then(|host| host.as_bytes().try_into().ok());
        let mut parts = request.uri().clone().into_parts();
        parts.scheme = Some(if self.is_tls() { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(authority.or(parts.authority).unwrap_or_else(|| self.authority().clone()));
        parts.path_and_query = parts.path_and_query.or(Some(PathAndQuery::from_static("/")));
        *request.uri_mut() = Uri::from_parts(parts).map_err(io::Error::other)?;
        *request.version_mut() = Version::HTTP_2;
        for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
            request.headers_mut().remove(name);
        }
        Ok(())
    }
}

/// Whether a request that was sent may have had an effect.
fn lost(source: hyper::Error) -> SendError {
    let told = std::error::Error::source(&source).and_then(|cause| cause.downcast_ref::<h2::Error>());
    match told.filter(|told| told.is_remote()) {
        Some(told) if told.is_go_away() || told.reason() == Some(h2::Reason::REFUSED_STREAM) => {
            SendError::Refused(source)
        }
        _ => SendError::Lost { source, reused: false },
    }
}

/// Speaks HTTP/2 over these bytes.
pub(super) async fn drive(stream: Wire, options: &ConnectOptions) -> io::Result<SendRequest<Body>> {
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .max_header_list_size(u32::try_from(options.head_bytes).unwrap_or(u32::MAX))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a server ended");
        }
    });
    Ok(sender)
}
