//! The connections that servers hold, in all and by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Limits, Network};

/// The connections that servers hold together: given to several, their limits are for all of them.
///
/// The table of addresses has an entry for each address that holds a connection, so never more than
/// [`Limits::connections`] and one for each server that has accepted a connection for which there is no place yet.
#[derive(Clone, Debug)]
pub struct Held {
    permits: Arc<Semaphore>,
    total: usize,
    per_address: usize,
    networks: Arc<[(Network, usize)]>,
    addresses: Addresses,
}

impl Held {
    /// None yet, within these limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let total = limits.connections.min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(total)),
            total,
            per_address: limits.connections_per_address,
            networks: limits.networks.clone().into(),
            addresses: Addresses::default(),
        }
    }

    /// Leave for another connection, when there is room. The semaphore is never closed.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().acquire_owned().await.ok()
    }

    /// Whether few places are left, so that idle connections are kept for less long.
    pub(super) fn is_scarce(&self) -> bool {
        self.permits.available_permits() < self.total / 8
    }

    /// Counts a connection of this address, unless it holds as many as it may.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Slot> {
        let named = self.networks.iter().find(|(network, _)| network.contains(address));
        let bound = match named {
            Some((_, bound)) => *bound,
            None => self.per_address.min(self.share()),
        };
        self.addresses.enter(address, bound)
    }

    /// What one address may hold at most, as many as there are left: with n greedy addresses about one of n + 1 parts stays
    /// free for the others. Whoever holds nothing yet may always wait for a place.
    fn share(&self) -> usize {
        let free = self.permits.available_permits();
        if free < self.total / 4 { free + 1 } else { usize::MAX }
    }
}

/// The place of a connection: it is free again when this goes.
pub(super) struct Place {
    pub(super) _permit: Option<OwnedSemaphorePermit>,
    /// Not there while it is not known for whom a proxy speaks.
    pub(super) slot: Option<Slot>,
    /// Tells the server that the connection is open.
    pub(super) _open: tokio::sync::mpsc::Sender<()>,
}

/// Connections that are open, by address.
#[derive(Clone, Debug, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

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

/// A connection that is counted, until this goes.
pub(super) struct Slot {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    fn enter(&self, address: IpAddr, bound: usize) -> Option<Slot> {
        let address = network(address);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&address).copied().unwrap_or(0);
        if count >= bound {
            return None;
        }
        open.insert(address, count + 1);
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

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn an_address_has_a_bounded_number_of_connections() {
        let held = Held::new(&Limits::default().connections_per_address(2));
        let first = held.enter(address(1));
        let second = held.enter(address(1));
        assert!(first.is_some() && second.is_some() && held.enter(address(1)).is_none());
        drop(first);
        assert!(held.enter(address(1)).is_some());
    }

    #[test]
    fn a_named_network_has_its_own_bound() {
        let limits = Limits::default()
            .connections_per_address(1)
            .connections_from("127.0.0.2".parse().unwrap(), 3)
            .connections_from("127.0.0.0/24".parse().unwrap(), 2);
        let held = Held::new(&limits);
        let count = |last| std::iter::from_fn(|| held.enter(address(last))).collect::<Vec<_>>().len();
        assert_eq!((count(2), count(3)), (3, 2));
        assert!(held.enter(IpAddr::from([127, 0, 1, 1])).is_some());
    }

    #[tokio::test]
    async fn s33_a_few_addresses_never_take_all_places() {
        let held = Held::new(&Limits::default().connections(1_000).connections_per_address(400));
        let mut taken = Vec::new();
        let mut greedy = true;
        while greedy {
            greedy = false;
            for last in 1..=4 {
                if let Some(slot) = held.enter(address(last)) {
                    taken.push((slot, held.permit().await));
                    greedy = true;
                }
            }
        }
        assert!((700..=850).contains(&taken.len()), "four addresses took {}", taken.len());
        let others: Vec<_> = (10..=110).map_while(|last| held.enter(address(last))).collect();
        assert_eq!(others.len(), 101, "another address finds a place");
        assert!(held.is_scarce() || held.permits.available_permits() > 125);
    }

    #[test]
    fn s33_the_table_of_addresses_forgets_who_left() {
        let held = Held::new(&Limits::default().connections_per_address(1));
        let slots: Vec<_> = (1..=100).map(|last| held.enter(address(last))).collect();
        assert!(held.enter(address(1)).is_none(), "a refusal leaves no entry");
        drop(slots);
        assert!(held.addresses.0.lock().unwrap().is_empty());
    }
}
