//! Where a service runs: in this process, or behind endpoints.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bank_sdk::Service;
use bank_sdk::client::{ConnectOptions, Connections};
use bank_sdk::identity::IdentityKeys;
use http::Uri;

use crate::balance::{Balancer, Endpoint};
use crate::forward::{Backend, Place};
use crate::identity::Mint;
use crate::retry::RetryBudget;

/// Where a service runs.
///
/// ```
/// use bank_gateway::Upstream;
///
/// let accounts = Upstream::at(["http://10.0.0.7:8081", "http://10.0.0.8:8081"]);
/// # let _ = accounts;
/// ```
#[derive(Clone, Debug)]
pub struct Upstream {
    place: Where,
    keys: Option<IdentityKeys>,
    tls: Option<Arc<rustls::ClientConfig>>,
    connect: ConnectOptions,
    is_bank_service: bool,
}

#[derive(Clone, Debug)]
enum Where {
    Local(Service),
    At(Vec<String>),
}

impl Upstream {
    /// A service in this process: no socket between.
    #[must_use]
    pub fn local(service: Service) -> Self {
        Self::new(Where::Local(service))
    }

    /// Endpoints, as `http://host:port` or `https://host:port`.
    pub fn at<A: Into<String>>(addresses: impl IntoIterator<Item = A>) -> Self {
        Self::new(Where::At(addresses.into_iter().map(Into::into).collect()))
    }

    fn new(place: Where) -> Self {
        Self { place, keys: None, tls: None, connect: ConnectOptions::default(), is_bank_service: true }
    }

    /// The keys by which this service knows that a request came through the gateway.
    #[must_use]
    pub fn identity_keys(mut self, keys: IdentityKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// How `https` endpoints are verified; see [`client_config`](crate::tls::client_config).
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Times and bounds of connections.
    #[must_use]
    pub fn connect(mut self, options: ConnectOptions) -> Self {
        self.connect = options;
        self
    }

    /// The upstream is no service of the bank: it is told nothing of who calls.
    #[must_use]
    pub const fn foreign(mut self) -> Self {
        self.is_bank_service = false;
        self
    }
}

/// Endpoints by address. They outlive a reload, with what is known of their health.
#[derive(Debug, Default)]
pub(crate) struct Endpoints(Mutex<HashMap<Reached, Arc<Endpoint>>>);

/// An address, and the TLS configuration by which it is reached.
type Reached = (String, Option<usize>);

impl Endpoints {
    /// Builds what stands behind a service's routes.
    pub(crate) fn backend(&self, name: &str, upstream: Upstream) -> Result<Backend, Vec<String>> {
        let Upstream { place, keys, tls, connect, is_bank_service } = upstream;
        let mut faults = Vec::new();
        let (mint, place) = match place {
            Where::Local(service) => match service.local_key() {
                Some(key) => (Mint::Local(key), Place::Local(service)),
                None => {
                    return Err(vec![format!(
                        "{name}: the service was built with Service::signed; in this process use Service::local"
                    )]);
                }
            },
            Where::At(addresses) => {
                if addresses.is_empty() {
                    faults.push(format!("{name}: has no endpoint; give at least one address"));
                }
                let mint = match keys {
                    _ if !is_bank_service => Mint::Nothing,
                    Some(keys) => Mint::Signed(keys),
                    None => {
                        faults.push(format!(
                            "{name}: has no identity keys; add .identity_keys(…), or .foreign() where it is no service of the bank"
                        ));
                        Mint::Nothing
                    }
                };
                let endpoints = addresses
                    .into_iter()
                    .filter_map(|address| match self.endpoint(&address, tls.as_ref(), &connect) {
                        Ok(endpoint) => Some(endpoint),
                        Err(fault) => {
                            faults.push(format!("{name}: {fault}"));
                            None
                        }
                    })
                    .collect();
                (mint, Place::Remote(Balancer::new(endpoints)))
            }
        };
        if faults.is_empty() {
            Ok(Backend { name: name.into(), mint, place, budget: RetryBudget::new() })
        } else {
            Err(faults)
        }
    }

    fn endpoint(
        &self,
        address: &str,
        tls: Option<&Arc<rustls::ClientConfig>>,
        options: &ConnectOptions,
    ) -> Result<Arc<Endpoint>, String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reached = (address.to_owned(), tls.map(|tls| Arc::as_ptr(tls).addr()));
        if let Some(endpoint) = known.get(&reached) {
            return Ok(endpoint.clone());
        }
        let uri: Uri = address.parse().map_err(|error| format!("`{address}`: {error}"))?;
        let connections = match (uri.scheme_str(), tls) {
            (Some("https"), Some(tls)) => Connections::tls(&uri, options.clone(), tls.clone()),
            (Some("https"), None) => {
                return Err(format!("`{address}` needs .tls(…), which says whom to trust"));
            }
            _ => Connections::new(&uri, options.clone()),
        };
        let endpoint =
            Arc::new(Endpoint::new(address.to_owned(), connections.map_err(|error| error.to_string())?));
        known.insert(reached, endpoint.clone());
        Ok(endpoint)
    }
}
