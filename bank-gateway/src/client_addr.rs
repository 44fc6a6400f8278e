//! The client's address: the peer's, or what configured proxies say, read from the right (S5).

use std::net::IpAddr;

use bank_sdk::Problem;
use bank_sdk::http::Body;
use bank_sdk::serve::Connection;
use http::{HeaderMap, Request};
use std::sync::Arc;

use crate::Gate;

/// The address that a request came from, as a request extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

/// Finds the client's address. Without trusted proxies it is the peer's, whatever the request says.
///
/// The peer is known by the request extension `Arc<Connection>`, which [`bank_sdk::serve`] sets. Behind another server put
/// `Arc::new(Connection::new(peer))` there; without it every client counts as this machine.
#[derive(Clone, Debug, Default)]
pub struct ClientAddress {
    trusted: Arc<[Network]>,
}

impl ClientAddress {
    /// Believes `X-Forwarded-For` from these networks, each as `address` or `address/prefix`.
    ///
    /// # Errors
    /// The text that is no network.
    pub fn behind<'a>(proxies: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidNetwork> {
        Ok(Self { trusted: proxies.into_iter().map(Network::parse).collect::<Result<_, _>>()? })
    }

    /// The client of a request: the last address from the right that is not a trusted proxy.
    pub(crate) fn find(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer.to_canonical();
        if !self.trusts(address) {
            return address;
        }
        let fields: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .map(|value| value.to_str().unwrap_or_default())
            .collect();
        for text in fields.iter().rev().flat_map(|field| field.rsplit(',')) {
            // Something else than an address ends what can be believed.
            let Ok(next) = text.trim().parse::<IpAddr>() else { break };
            address = next.to_canonical();
            if !self.trusts(address) {
                break;
            }
        }
        address
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    pub(crate) fn apply(&self, request: &mut Request<Body>) -> ClientAddr {
        let peer = request.extensions().get::<Arc<Connection>>().map(|connection| connection.peer.ip());
        let found = match peer {
            Some(peer) => ClientAddr(self.find(peer, request.headers())),
            // Without a known peer nothing that the request says is believed, not even that a proxy passed it on.
            None => ClientAddr(IpAddr::from([127, 0, 0, 1])),
        };
        request.extensions_mut().insert(found);
        found
    }
}

/// An address as text, without the general way of formatting, which costs more than all the rest that is done with it.
pub(crate) fn text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text
}

impl Gate for ClientAddress {
    async fn check(&self, request: &mut Request<Body>) -> Result<(), Problem> {
        self.apply(request);
        Ok(())
    }
}

#[derive(Clone, Debug)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    fn parse(text: &str) -> Result<Self, InvalidNetwork> {
        let invalid = || InvalidNetwork(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        if prefix > bits { Err(invalid()) } else { Ok(Self { address, prefix }) }
    }

    fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0);
                u32::from(own) & mask == u32::from(other) & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
                u128::from(own) & mask == u128::from(other) & mask
            }
            _ => false,
        }
    }
}

/// A text that is no network.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{0}` is no address or network such as `10.0.0.0/8`")]
pub struct InvalidNetwork(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn find(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let address = ClientAddress::behind(trusted.iter().copied()).unwrap();
        address.find(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn s5_forwarding_information_is_believed_from_configured_proxies_only_and_read_from_the_right() {
        assert_eq!(find(&[], "9.9.9.9", &["1.1.1.1"]), "9.9.9.9");
        assert_eq!(find(&["10.0.0.0/8"], "9.9.9.9", &["1.1.1.1"]), "9.9.9.9");
        assert_eq!(find(&["10.0.0.0/8"], "10.0.0.1", &["6.6.6.6, 1.1.1.1"]), "1.1.1.1");
        assert_eq!(find(&["10.0.0.0/8"], "10.0.0.1", &["6.6.6.6", "1.1.1.1, 10.0.0.2"]), "1.1.1.1");
        assert_eq!(find(&["10.0.0.0/8"], "10.0.0.1", &["nonsense, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(find(&["10.0.0.0/8"], "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(find(&["::1"], "::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(find(&["10.0.0.0/8"], "::ffff:10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
    }

    #[test]
    fn a_wrong_network_is_named() {
        assert!(ClientAddress::behind(["10.0.0.0/33"]).unwrap_err().to_string().contains("10.0.0.0/33"));
    }
}
