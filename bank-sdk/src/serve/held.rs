//! The connections that servers hold, in all and by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::Limits;

/// The connections that servers hold together: given to several, their limits are for all of them.
#[derive(Clone, Debug)]
pub struct Held {
    pub(super) permits: Arc<Semaphore>,
    pub(super) addresses: Addresses,
}

impl Held {
    /// None yet, within these limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self { permits: Arc::new(Semaphore::new(limits.connections)), addresses: Addresses::default() }
    }
}

/// Connections that are open, by address.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// What counts as one address: of IPv6 a whole /64, since one subscriber has all of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address => address,
    }
}

pub(super) struct Slot {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    pub(super) fn enter(&self, address: IpAddr, limit: usize) -> Option<Slot> {
        let address = network(address);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Slot { addresses: self.clone(), address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_bounded_number_of_connections() {
        let addresses = Addresses::default();
        let ip = IpAddr::from([127, 0, 0, 1]);
        let first = addresses.enter(ip, 2);
        let second = addresses.enter(ip, 2);
        assert!(first.is_some() && second.is_some() && addresses.enter(ip, 2).is_none());
        drop(first);
        assert!(addresses.enter(ip, 2).is_some());
    }
}
