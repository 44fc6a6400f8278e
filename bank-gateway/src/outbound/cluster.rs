//! A service behind its endpoints, as the gateway calls it: the policies in their order, over whichever transport.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bank_sdk::Service;
use bank_sdk::http::Body;
use http::Response;
use tokio::sync::watch;

use super::endpoint::Endpoint;
use super::{Balance, Failure, Forward, InFlightLimit, Retry, Sending, Tower, Transport};

/// From the outside in: how many at once, go again or not, which endpoint. Breaker and load stand at each endpoint.
type Policies = InFlightLimit<Retry<Balance<AnyTransport>>>;

/// A service behind its endpoints.
#[derive(Debug)]
pub(crate) struct Cluster {
    policies: Policies,
    discovered: Option<Discovered>,
}

/// Addresses that change while the gateway works.
struct Discovered {
    addresses: Mutex<watch::Receiver<Vec<String>>>,
    endpoint: Box<EndpointOf>,
}

/// Makes the endpoint of an address, or says what is wrong with it.
type EndpointOf = dyn Fn(&str) -> Result<Arc<Endpoint<AnyTransport>>, String> + Send + Sync;

/// How an endpoint is reached.
#[derive(Debug)]
pub(crate) enum AnyTransport {
    Http(Forward),
    Tower(Tower),
}

impl Transport for AnyTransport {
    async fn send(&self, sending: &mut Sending) -> Result<Response<Body>, Failure> {
        match self {
            Self::Http(forward) => forward.send(sending).await,
            Self::Tower(tower) => tower.send(sending).await,
        }
    }
}

impl Cluster {
    pub(crate) const fn new(policies: Policies) -> Self {
        Self { policies, discovered: None }
    }

    /// Follows a list of addresses.
    pub(crate) fn following(
        mut self,
        addresses: watch::Receiver<Vec<String>>,
        endpoint: impl Fn(&str) -> Result<Arc<Endpoint<AnyTransport>>, String> + Send + Sync + 'static,
    ) -> Self {
        self.discovered = Some(Discovered { addresses: Mutex::new(addresses), endpoint: Box::new(endpoint) });
        self
    }

    /// The endpoints as they are now.
    pub(crate) fn endpoints(&self) -> Arc<Vec<Arc<Endpoint<AnyTransport>>>> {
        self.refresh();
        self.balance().endpoints()
    }

    fn balance(&self) -> &Balance<AnyTransport> {
        self.policies.inner().inner()
    }

    /// Takes over a list of addresses that has changed. One that is wrong is left out, and said so.
    fn refresh(&self) {
        let Some(Discovered { addresses, endpoint }) = &self.discovered else { return };
        let mut addresses = addresses.lock().unwrap_or_else(PoisonError::into_inner);
        // A sender that is gone leaves the last list in force.
        if !addresses.has_changed().unwrap_or(false) {
            return;
        }
        let found = addresses.borrow_and_update().clone();
        let endpoints = found.iter().filter_map(|address| {
            endpoint(address).map_err(|fault| tracing::error!(fault, "a discovered address is left out")).ok()
        });
        self.balance().replace(endpoints.collect());
    }
}

impl Transport for Cluster {
    async fn send(&self, sending: &mut Sending) -> Result<Response<Body>, Failure> {
        self.refresh();
        self.policies.send(sending).await
    }
}

/// Where the requests of a service go.
pub(crate) enum Destination {
    /// To a service in this process.
    Local(Service),
    /// To endpoints.
    Cluster(Arc<Cluster>),
}

impl fmt::Debug for Discovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Discovered")
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(_) => f.write_str("in process"),
            Self::Cluster(cluster) => {
                let endpoints = cluster.endpoints();
                f.debug_list().entries(endpoints.iter().map(|endpoint| endpoint.address())).finish()
            }
        }
    }
}
