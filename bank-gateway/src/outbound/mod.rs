//! What sends a request on: connections to a service's endpoints, and the policies around them.
//!
//! A [`Transport`] sends one request. The policies are transports too, each around another: [`CircuitBreaker`] around one
//! endpoint, [`Balance`] over several, [`Retry`] and [`InFlightLimit`] around those. [`Outbound`] makes a tower service of any
//! of them. The gateway's own way to a service is `InFlightLimit<Retry<Balance<…>>>`, of these very types.
//!
//! All of them judge by one [`Outcome`]: whose fault was it? What a caller controls (its own deadline, its body, its hanging
//! up) is never an endpoint's.

mod balance;
mod breaker;
mod circuit_breaker;
mod cluster;
mod draws;
mod endpoint;
mod forward;
mod in_flight;
mod load;
mod origin;
mod outcome;
mod registry;
mod replay;
mod report;
mod retry;
mod service;
mod transport;
mod trust;
mod upstream;

pub use balance::Balance;
pub use breaker::BreakerOptions;
pub(crate) use breaker::BreakerState;
pub use circuit_breaker::CircuitBreaker;
pub(crate) use cluster::{Cluster, Destination};
pub use forward::Forward;
pub use in_flight::InFlightLimit;
pub(crate) use origin::Origin;
pub use outcome::{Abandoned, Failure, Outcome, Unsent, Why};
pub(crate) use registry::Registry;
pub use retry::{Retry, RetryOptions};
pub(crate) use service::send_on;
pub use service::{Outbound, OutboundFuture};
pub use transport::{Sending, Tower, Transport};
pub use upstream::{Credentials, Upstream};
