//! What is made of a peer's address once, for all requests of its connection.

use std::net::IpAddr;

use bank_stores::limit::LimitSubject;
use http::HeaderValue;

use crate::exchange::Facts;

/// A client that is the peer of its connection.
pub(crate) struct Peer {
    address: IpAddr,
    /// The address as the value of a header field.
    pub(crate) field: Option<HeaderValue>,
    /// Whom its requests are counted for.
    pub(crate) subject: LimitSubject,
}

impl Peer {
    /// The client of this request, where no proxy stands between.
    pub(crate) fn of(facts: &Facts) -> Option<&Self> {
        let connection = facts.connection()?;
        let peer = connection.kept(|| {
            let address = connection.peer.ip().to_canonical();
            // Memory of its own: it lasts as long as the connection.
            let field = HeaderValue::try_from(address.to_string()).ok();
            Self { address, field, subject: subject_of(Some(address)) }
        });
        peer.filter(|peer| Some(peer.address) == facts.client_ip())
    }
}

/// Whom the requests of an address are counted for: of IPv6 the network.
pub(crate) fn subject_of(address: Option<IpAddr>) -> LimitSubject {
    LimitSubject::of(&[&address_key(address)])
}

/// What of an address counts. IPv4 and IPv6 never meet: the second byte tells them apart. The first, and the length, tell it
/// from other keys.
fn address_key(address: Option<IpAddr>) -> [u8; 10] {
    let mut key = [b'a', 0, 0, 0, 0, 0, 0, 0, 0, 0];
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => {
            key[1] = 4;
            key[2..6].copy_from_slice(&address.octets());
        }
        Some(IpAddr::V6(address)) => {
            key[1] = 6;
            key[2..].copy_from_slice(&address.octets()[..8]);
        }
        None => {}
    }
    key
}
