//! A circuit breaker around one transport.

use bank_sdk::http::Body;
use http::Response;
use tokio::time::Instant;

use super::breaker::BreakerOptions;
use super::endpoint::Endpoint;
use super::{Failure, Outcome, Sending, Transport, Unsent};

/// A breaker around one endpoint: while it is open, nothing is sent, and the caller gets a 503. Failures are what
/// [`Outcome::is_endpoints_failure`] says, and the answers 502, 503 and 504; those count for their operation only.
/// [`Balance`](super::Balance) has such a breaker for each of its endpoints already.
///
/// ```no_run
/// use bank_gateway::outbound::{CircuitBreaker, Forward, Outbound};
/// use bank_sdk::client::ConnectOptions;
///
/// let forward = Forward::to(&"http://10.0.0.7:8081".parse().unwrap(), ConnectOptions::default())?;
/// let service = Outbound::new(CircuitBreaker::around(forward));
/// # let _ = service;
/// # Ok::<(), bank_sdk::client::InvalidAddress>(())
/// ```
#[derive(Debug)]
pub struct CircuitBreaker<T>(Endpoint<T>);

impl<T: Transport> CircuitBreaker<T> {
    /// A breaker around this transport, with the default options.
    #[must_use]
    pub fn around(transport: T) -> Self {
        Self::with(transport, BreakerOptions::default())
    }

    /// A breaker with these options.
    #[must_use]
    pub fn with(transport: T, options: BreakerOptions) -> Self {
        Self(Endpoint::new(String::new(), transport, options))
    }
}

impl<T: Transport> Transport for CircuitBreaker<T> {
    async fn send(&self, sending: &mut Sending) -> Result<Response<Body>, Failure> {
        let now = Instant::now();
        if !self.0.health().enter(now, sending) {
            return Err(Failure::new(Outcome::Unsent(Unsent::BreakerOpen)));
        }
        self.0.send(sending, now).await
    }
}
