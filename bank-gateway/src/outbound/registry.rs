//! What is known of endpoints outlives a reload of the configuration, as long as somebody uses them: the table holds them
//! weakly, and forgets those that nobody uses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bank_sdk::client::ConnectOptions;
use http::Uri;

use super::Forward;
use super::breaker::BreakerOptions;
use super::cluster::AnyTransport;
use super::endpoint::{Endpoint, Health};
use super::trust::Trust;

/// The endpoints that are in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry(Arc<Mutex<HashMap<(String, String), Known>>>);

#[derive(Debug)]
struct Known {
    health: Weak<Health>,
    endpoint: Weak<Endpoint<AnyTransport>>,
    reached: Reached,
}

/// How an endpoint is reached.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    pub(crate) connect: ConnectOptions,
    pub(crate) trust: Trust,
    pub(crate) breaker: BreakerOptions,
}

impl Reached {
    fn is_same(&self, other: &Self) -> bool {
        self.trust.is_same(&other.trust) && self.connect == other.connect && self.breaker == other.breaker
    }

    fn forward(&self, address: &str) -> Result<Forward, String> {
        let uri: Uri = address.parse().map_err(|error| format!("`{address}`: {error}"))?;
        let forward = if uri.scheme_str() == Some("https") {
            let forward = self.trust.secure(&uri, &self.connect);
            forward.ok_or_else(|| format!("`{address}` needs .tls(…), which says whom to trust"))?
        } else {
            Forward::to(&uri, self.connect.clone())
        };
        forward.map_err(|error| error.to_string())
    }
}

impl Registry {
    /// The endpoint of a service at an address. One that is in use and reached in the same way is taken as it is; where only
    /// the way has changed, its health goes on.
    pub(crate) fn endpoint(
        &self,
        service: &str,
        address: &str,
        reached: &Reached,
    ) -> Result<Arc<Endpoint<AnyTransport>>, String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| known.health.strong_count() > 0);
        let key = (service.to_owned(), address.to_owned());
        let held = known.get(&key);
        if let Some(endpoint) =
            held.filter(|held| held.reached.is_same(reached)).and_then(|held| held.endpoint.upgrade())
        {
            return Ok(endpoint);
        }
        let same_breaker = held.filter(|held| held.reached.breaker == reached.breaker);
        let health = same_breaker
            .and_then(|held| held.health.upgrade())
            .unwrap_or_else(|| Arc::new(Health::new(format!("{service} {address}"), reached.breaker)));
        let transport = AnyTransport::Http(reached.forward(address)?);
        let endpoint = Arc::new(Endpoint::with_health(address.to_owned(), transport, health.clone()));
        let value = Known {
            health: Arc::downgrade(&health),
            endpoint: Arc::downgrade(&endpoint),
            reached: reached.clone(),
        };
        known.insert(key, value);
        Ok(endpoint)
    }

    /// How many endpoints are known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_outlive_a_reload_and_those_that_nobody_uses_are_forgotten() {
        let registry = Registry::default();
        let plain = Reached {
            connect: ConnectOptions::default(),
            trust: Trust::default(),
            breaker: BreakerOptions::default(),
        };
        let of = |address: &str, reached: &Reached| registry.endpoint("x", address, reached).unwrap();
        let first = of("http://127.0.0.1:1", &plain);
        assert_eq!(of("http://127.0.0.1:1", &plain).id(), first.id());
        let mut other = plain.clone();
        other.connect.max_idle = 7;
        let second = of("http://127.0.0.1:1", &other);
        assert!(second.id() != first.id() && Arc::ptr_eq(first.health(), second.health()));
        assert!(!Arc::ptr_eq(
            first.health(),
            registry.endpoint("y", "http://127.0.0.1:1", &plain).unwrap().health()
        ));
        for port in 1..10_000_u32 {
            of(&format!("http://10.0.0.1:{}", port % 60_000 + 1), &plain);
        }
        assert!(registry.len() < 5, "{}", registry.len());
    }
}
