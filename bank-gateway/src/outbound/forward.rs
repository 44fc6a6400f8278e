//! Connections to one endpoint over HTTP/1.1, as a transport.

use bank_sdk::client::{ConnectOptions, Connections, InvalidAddress, SendError};
use bank_sdk::http::{Body, BodyError};
use http::{Response, Uri};

use super::{Failure, Outcome, Sending, Transport, Unsent, Why};

/// Sends requests to one endpoint over connections that it keeps. Clones share these.
///
/// ```no_run
/// use bank_gateway::outbound::{Forward, Outbound};
/// use bank_sdk::client::ConnectOptions;
///
/// let forward = Forward::to(&"http://127.0.0.1:8081".parse().unwrap(), ConnectOptions::default())?;
/// let service = Outbound::new(forward);
/// # let _ = service;
/// # Ok::<(), bank_sdk::client::InvalidAddress>(())
/// ```
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
    #[cfg(feature = "tls")]
    pub fn tls(
        address: &Uri,
        options: ConnectOptions,
        tls: std::sync::Arc<rustls::ClientConfig>,
    ) -> Result<Self, InvalidAddress> {
        Ok(Self { connections: Connections::tls(address, options, tls)? })
    }
}

impl Transport for Forward {
    async fn send(&self, sending: &mut Sending) -> Result<Response<Body>, Failure> {
        let upgrades = sending.facts.route().is_some_and(|route| route.upgrade);
        if let Some(connection) = sending.facts.connection().filter(|_| !upgrades) {
            // What they say is for this process.
            connection.recycle(std::mem::take(sending.request.extensions_mut()));
        }
        let sent = self.connections.send_over(&mut sending.request, !sending.anew).await;
        sent.map_err(|error| match error {
            SendError::Connect(source) => Failure::caused(Outcome::Unsent(Unsent::Unreachable), source),
            SendError::Refused(source) => Failure::caused(Outcome::Unsent(Unsent::Refused), source),
            SendError::Lost { source, .. } if source.is_user() && is_of_the_body(&source) => {
                Failure::caused(Outcome::CallerBroke, source)
            }
            // What came was no HTTP.
            SendError::Lost { source, .. } if source.is_parse() => {
                Failure::caused(Outcome::Failed(Why::BadAnswer), source)
            }
            SendError::Lost { source, reused } => {
                Failure::caused(Outcome::Failed(if reused { Why::Stale } else { Why::Lost }), source)
            }
            _ => Failure::new(Outcome::Failed(Why::Lost)),
        })
    }
}

/// Whether the request's own body broke off. Hyper takes a connection whose runtime is gone for an error of its user too.
fn is_of_the_body(error: &(dyn std::error::Error + 'static)) -> bool {
    error.source().is_some_and(|cause| cause.is::<BodyError>())
}
