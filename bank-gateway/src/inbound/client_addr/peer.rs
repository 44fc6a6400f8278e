//! What is found out once, for all requests of a connection.

use std::net::IpAddr;
use std::sync::OnceLock;

use bank_sdk::serve::Connection;
use bank_stores::limit::LimitSubject;
use http::HeaderValue;

use crate::exchange::Facts;

/// The peer of a connection.
pub(crate) struct Peer {
    address: IpAddr,
    /// The first `Host` that was found to be one: most requests of a connection have the same.
    pub(crate) host: OnceLock<Box<[u8]>>,
    /// The address as the value of a header field.
    pub(crate) field: Option<HeaderValue>,
    /// Whom its requests are counted for.
    pub(crate) subject: LimitSubject,
}

impl Peer {
    /// The client of this request, where no proxy stands between.
    pub(crate) fn of(facts: &Facts) -> Option<&Self> {
        Self::on(facts.connection()?).filter(|peer| Some(peer.address) == facts.client_ip())
    }

    /// The peer of this connection.
    pub(crate) fn on(connection: &Connection) -> Option<&Self> {
        connection.kept(|| {
            let address = connection.peer.ip().to_canonical();
            // Memory of its own: it lasts as long as the connection.
            let field = HeaderValue::try_from(address.to_string()).ok();
            Self { address, host: OnceLock::new(), field, subject: subject_of(Some(address)) }
        })
    }
}

/// Whom the requests of an address are counted for: of IPv6 the network.
pub(crate) fn subject_of(address: Option<IpAddr>) -> LimitSubject {
    LimitSubject::of(&[&address_key(address)])
}

/// What of an address counts. IPv4 and IPv6 never meet: the second byte tells them apart. The first, and the length, tell it
/// from other keys.
pub(crate) fn address_key(address: Option<IpAddr>) -> [u8; 10] {
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
