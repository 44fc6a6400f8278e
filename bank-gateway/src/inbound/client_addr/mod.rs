//! The client's address: the peer's, or what configured proxies say, read from the right (S5).
//!
//! ```
//! use bank_gateway::{ClientAddress, Exchange, Step};
//! use bank_sdk::http::Body;
//! use bank_sdk::serve::Connection;
//! use http::Request;
//! use std::sync::Arc;
//!
//! let request = Request::get("/").header("x-forwarded-for", "6.6.6.6, 203.0.113.7:5000");
//! let mut request = request.body(Body::empty()).unwrap();
//! request.extensions_mut().insert(Arc::new(Connection::new("10.0.0.1:443".parse().unwrap())));
//! let mut exchange = Exchange::new(request);
//! ClientAddress::behind(["10.0.0.0/8"]).unwrap().before(&mut exchange, &mut ()).unwrap();
//! assert_eq!(exchange.facts.client().unwrap().0.to_string(), "203.0.113.7");
//! ```

mod forwarded;
mod peer;

use std::any::type_name;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bank_sdk::Problem;
use bank_sdk::http::Body;
use bank_sdk::serve::Connection;
use bytes::BytesMut;
use http::{Extensions, HeaderMap, HeaderValue, Request};
use ipnet::{IpNet, Ipv4Net};

use crate::exchange::Exchange;
use crate::field_text::field_text;
use crate::inbound::strict_http::is_host;
use crate::step::{Flow, Refusal, Step};
use forwarded::{Hop, last_element, read_forwarded, read_x_forwarded_for};
pub(crate) use peer::{Peer, address_key, subject_of};

/// The address that a request came from, as a request extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

/// What a trusted proxy says of how it was asked, as a request extension. Upstreams are told the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientOrigin {
    /// Whether the client spoke TLS.
    pub is_secure: Option<bool>,
    /// The host that the client asked for, with its port where it named one.
    pub host: Option<HeaderValue>,
}

/// Which field of a trusted proxy is believed. The other one is not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardingField {
    /// `X-Forwarded-For`, with `X-Forwarded-Proto` and `X-Forwarded-Host`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Finds the client's address. Without trusted proxies it is the peer's, whatever the request says.
///
/// The peer is known by the request extension `Arc<Connection>`, which [`bank_sdk::serve`] sets. Behind another server, put
/// `Arc::new(Connection::new(peer))` there, or say with [`from_extension`](Self::from_extension) where that server leaves it.
/// Otherwise every client counts as this machine, which is logged once as an error, and
/// [`require_peer`](Self::require_peer) refuses such requests.
///
/// `trusted` proxies are followed from the right, at most 32 of them. What is no address (`unknown`, `_name`, a list that
/// cannot be read) ends what is believed.
#[derive(Clone, Debug, Default)]
pub struct ClientAddress {
    trusted: Arc<[IpNet]>,
    field: ForwardingField,
    peer: Option<PeerOf>,
    must_know_peer: bool,
    has_warned: Arc<AtomicBool>,
}

/// Where another server leaves its peer's address.
#[derive(Clone)]
struct PeerOf {
    find: Arc<FindPeer>,
    extension: &'static str,
}

type FindPeer = dyn Fn(&Extensions) -> Option<SocketAddr> + Send + Sync;

impl ClientAddress {
    /// Believes `X-Forwarded-For` from these networks, each as `address` or `address/prefix`.
    ///
    /// # Errors
    /// The text that is no network.
    pub fn behind<'a>(proxies: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidNetwork> {
        let trusted = proxies.into_iter().map(read_network).collect::<Result<_, _>>()?;
        Ok(Self { trusted, ..Self::default() })
    }

    /// Believes this field of the trusted proxies. Believe the one that they write: a proxy that writes one of them passes
    /// the other on as a stranger sent it.
    #[must_use]
    pub const fn believing(mut self, field: ForwardingField) -> Self {
        self.field = field;
        self
    }

    /// Finds the peer's address in a request extension that another server sets, where there is no `Arc<Connection>`.
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// # mod axum { pub mod extract { #[derive(Clone)] pub struct ConnectInfo<T>(pub T); } }
    /// use axum::extract::ConnectInfo;
    ///
    /// // Behind `axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())`:
    /// bank_gateway::ClientAddress::default().from_extension(|peer: &ConnectInfo<SocketAddr>| peer.0);
    /// ```
    #[must_use]
    #[allow(clippy::wrong_self_convention, reason = "a builder says where it reads from")]
    pub fn from_extension<T: Clone + Send + Sync + 'static>(
        mut self,
        address: impl Fn(&T) -> SocketAddr + Send + Sync + 'static,
    ) -> Self {
        let find = move |extensions: &Extensions| extensions.get::<T>().map(&address);
        self.peer = Some(PeerOf { find: Arc::new(find), extension: type_name::<T>() });
        self
    }

    /// Refuses a request with 500 where no peer is known. Without this it counts as one of this machine.
    #[must_use]
    pub const fn require_peer(mut self) -> Self {
        self.must_know_peer = true;
        self
    }

    /// The client of a request: the last address from the right that is not a trusted proxy.
    fn find(&self, peer: IpAddr, headers: &HeaderMap) -> (IpAddr, Option<Hop>) {
        let mut address = peer.to_canonical();
        if !self.trusts(address) {
            return (address, None);
        }
        let hops = match self.field {
            ForwardingField::XForwardedFor => read_x_forwarded_for(headers),
            ForwardingField::Forwarded => read_forwarded(headers),
        };
        let mut last = Hop::default();
        for hop in hops {
            // Something else than an address ends what can be believed.
            let from = hop.from;
            last = hop;
            let Some(next) = from else { break };
            address = next.to_canonical();
            if !self.trusts(address) {
                break;
            }
        }
        if self.field == ForwardingField::XForwardedFor {
            last.proto = last_element(headers, "x-forwarded-proto");
            last.host = last_element(headers, "x-forwarded-host");
        }
        (address, Some(last))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    fn peer(&self, extensions: &Extensions) -> Option<IpAddr> {
        let connection = extensions.get::<Arc<Connection>>().map(|connection| connection.peer);
        let peer = connection.or_else(|| self.peer.as_ref().and_then(|peer| (peer.find)(extensions)));
        peer.map(|peer| peer.ip())
    }

    fn apply(&self, request: &Request<Body>) -> Result<(ClientAddr, Option<ClientOrigin>), Problem> {
        let (found, hop) = match self.peer(request.extensions()) {
            Some(peer) => self.find(peer, request.headers()),
            None => {
                self.warn();
                if self.must_know_peer {
                    return Err(Problem::internal());
                }
                // Nothing that the request says is believed, not even that a proxy passed it on.
                (IpAddr::from([127, 0, 0, 1]), None)
            }
        };
        Ok((ClientAddr(found), hop.and_then(|hop| origin(&hop))))
    }

    fn warn(&self) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the peer of a request is not known, so that all clients count as 127.0.0.1: limits and logs cannot tell \
                 them apart. Serve with bank_gateway::serve, or say where your server leaves the peer's address with \
                 ClientAddress::from_extension"
            );
        }
    }
}

/// What of a proxy's word can be used.
fn origin(hop: &Hop) -> Option<ClientOrigin> {
    let is_secure = match hop.proto.as_deref() {
        Some(proto) if proto.eq_ignore_ascii_case("https") => Some(true),
        Some(proto) if proto.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    };
    let host = hop.host.as_ref().filter(|host| is_host(host.as_bytes()));
    let host = host.and_then(|host| HeaderValue::from_str(host).ok());
    (is_secure.is_some() || host.is_some()).then_some(ClientOrigin { is_secure, host })
}

/// An address as the value of a header field.
pub(crate) fn field_of(address: IpAddr) -> Option<HeaderValue> {
    field_text(|text| write_address(address, text))
}

/// An address as text, without the general way of formatting, which costs more than all the rest that is done with it.
fn write_address(address: IpAddr, text: &mut BytesMut) {
    let IpAddr::V4(address) = address else { return text.extend_from_slice(address.to_string().as_bytes()) };
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.extend_from_slice(b".");
        }
        text.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
    }
}

impl Step for ClientAddress {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        let (client, origin) = self.apply(&exchange.request)?;
        exchange.facts.set_client(client);
        if let Some(origin) = origin {
            // Schemes see the request alone.
            exchange.request.extensions_mut().insert(origin.clone());
            exchange.facts.set_origin(origin);
        }
        Ok(Flow::Pass)
    }
}

fn read_network(text: &str) -> Result<IpNet, InvalidNetwork> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match network.map_err(|_| InvalidNetwork(text.to_owned()))? {
        // Addresses are compared in their canonical form, in which these are IPv4.
        IpNet::V6(network) if network.prefix_len() >= 96 => match network.addr().to_ipv4_mapped() {
            Some(address) => {
                let network = Ipv4Net::new(address, network.prefix_len() - 96);
                network.map(IpNet::V4).map_err(|_| InvalidNetwork(text.to_owned()))
            }
            None => Ok(IpNet::V6(network)),
        },
        network => Ok(network),
    }
}

/// A text that is no network.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{0}` is no address or network such as `10.0.0.0/8`")]
pub struct InvalidNetwork(String);

impl fmt::Debug for PeerOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let address = ClientAddress::behind(trusted.iter().copied()).unwrap();
        address.find(peer.parse().unwrap(), &headers).0.to_string()
    }

    #[test]
    fn s5_forwarding_information_is_believed_from_configured_proxies_only_and_read_from_the_right() {
        assert_eq!(find(&[], "9.9.9.9", &["1.1.1.1"]), "9.9.9.9");
        assert_eq!(find(&["10.0.0.0/8"], "9.9.9.9", &["1.1.1.1"]), "9.9.9.9");
        assert_eq!(find(&["10.0.0.0/8"], "10.0.0.1", &["6.6.6.6, 1.1.1.1"]), "1.1.1.1");
        assert_eq!(find(&["10.0.0.0/8"], "10.0.0.1", &["6.6.6.6", "1.1.1.1, 10.0.0.2"]), "1.1.1.1");
        assert_eq!(find(&["10.0.0.0/8"], "10.0.0.1", &["6.6.6.6, 1.1.1.1:5000, 10.0.0.2:443,"]), "1.1.1.1");
        assert_eq!(find(&["10.0.0.0/8"], "10.0.0.1", &["nonsense, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(find(&["10.0.0.0/8"], "10.0.0.1", &["1.1.1.1, unknown"]), "10.0.0.1");
        assert_eq!(find(&["10.0.0.0/8"], "10.0.0.1", &["1.1.1.1, \"2.2.2.2, 10.0.0.3"]), "10.0.0.1");
        assert_eq!(find(&["10.0.0.0/8"], "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(find(&["::1"], "::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(find(&["::1"], "::1", &["[2001:db8::7]:80"]), "2001:db8::7");
        assert_eq!(find(&["10.0.0.0/8"], "::ffff:10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(find(&["::ffff:10.0.0.0/104"], "10.0.0.1", &["::ffff:1.1.1.1"]), "1.1.1.1");
        assert_eq!(find(&["0.0.0.0/0"], "10.0.0.1", &["1.1.1.1, 2.2.2.2"]), "1.1.1.1");
    }

    #[test]
    fn only_the_configured_field_is_believed() {
        let address = |field| {
            let mut request = Request::new(Body::empty());
            request.extensions_mut().insert(Arc::new(Connection::new("10.0.0.1:9".parse().unwrap())));
            for (name, value) in [
                ("x-forwarded-for", "1.1.1.1"),
                ("x-forwarded-proto", "http, https"),
                ("x-forwarded-host", "]a["),
                ("forwarded", "for=2.2.2.2;host=b.example"),
            ] {
                request.headers_mut().append(name, value.parse().unwrap());
            }
            let address = ClientAddress::behind(["10.0.0.0/8"]).unwrap().believing(field);
            let (found, origin) = address.apply(&request).unwrap();
            let origin = origin.unwrap();
            (found.0.to_string(), origin.is_secure, origin.host)
        };
        assert_eq!(address(ForwardingField::XForwardedFor), ("1.1.1.1".to_owned(), Some(true), None));
        let host = Some(HeaderValue::from_static("b.example"));
        assert_eq!(address(ForwardingField::Forwarded), ("2.2.2.2".to_owned(), None, host));
    }

    #[test]
    fn the_peer_is_found_where_another_server_leaves_it_and_can_be_required() {
        #[derive(Clone)]
        struct ConnectInfo(SocketAddr);
        let address = ClientAddress::default().from_extension(|peer: &ConnectInfo| peer.0).require_peer();
        let mut request = Request::new(Body::empty());
        assert_eq!(address.apply(&request).unwrap_err().status(), 500);
        request.extensions_mut().insert(ConnectInfo("9.9.9.9:80".parse().unwrap()));
        assert_eq!(address.apply(&request).unwrap().0.0.to_string(), "9.9.9.9");
        let (unknown, _) = ClientAddress::default().apply(&request).unwrap();
        assert_eq!(unknown.0.to_string(), "127.0.0.1");
    }

    #[test]
    fn a_wrong_network_is_named() {
        for wrong in ["10.0.0.0/33", "10.0.0/8", "a", "", "10.0.0.0/-1", "::/129"] {
            assert!(ClientAddress::behind([wrong]).unwrap_err().to_string().contains(wrong));
        }
    }
}
