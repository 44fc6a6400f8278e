//! The PROXY protocol, versions 1 and 2: a load balancer that only moves bytes says who its client is.
//!
//! The specification is HAProxy's `proxy-protocol.txt`. Only configured peers are believed, and of those every connection
//! must begin with a header: whether there is one is not guessed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;

use super::{Acceptor, Network, TlsFacts};

/// With which a header of version 2 begins.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The longest header of version 1, its line end included.
const LINE: usize = 107;

/// The longest rest of a header of version 2 that is read: addresses, and fields that are passed over.
const REST: usize = 4_096;

/// Believes configured peers about whom they speak for, and hands the connection on to another acceptor.
///
/// ```no_run
/// # use bank_sdk::{http::Body, serve::{Plain, ProxyProtocol, serve}};
/// # async fn example(listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
/// # let service = tower::service_fn(|_| async {
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(Body::empty()))
/// # });
/// let acceptor = ProxyProtocol::new(Plain, ["10.0.0.0/8".parse()?]);
/// serve(listener, service).acceptor(acceptor).await?;
/// # Ok(())
/// # }
/// ```
///
/// | Who connects | What happens |
/// | --- | --- |
/// | a configured peer, with a header | its client's address is [`Connection::peer`](super::Connection::peer), and is counted |
/// | a configured peer, with `LOCAL` or `UNKNOWN` | it speaks for itself, as in a health check |
/// | a configured peer, without a header or with a wrong one | the connection is closed |
/// | anybody else | a header is not looked for; one that comes is no HTTP, and refused |
#[derive(Clone, Debug)]
pub struct ProxyProtocol<A> {
    inner: A,
    from: Arc<[Network]>,
}

impl<A: Acceptor> ProxyProtocol<A> {
    /// Believes peers in these networks; `inner` does the rest.
    #[must_use]
    pub fn new(inner: A, from: impl IntoIterator<Item = Network>) -> Self {
        Self { inner, from: from.into_iter().collect() }
    }

    fn believes(&self, peer: IpAddr) -> bool {
        self.from.iter().any(|network| network.contains(peer))
    }
}

impl<A: Acceptor> Acceptor for ProxyProtocol<A> {
    type Io = A::Io;

    async fn accept(&self, stream: TcpStream) -> io::Result<(A::Io, Option<TlsFacts>)> {
        self.inner.accept(stream).await
    }

    async fn client(&self, stream: &mut TcpStream, peer: SocketAddr) -> io::Result<SocketAddr> {
        let peer = if self.believes(peer.ip()) { read(stream).await?.unwrap_or(peer) } else { peer };
        self.inner.client(stream, peer).await
    }

    fn speaks_for_others(&self, peer: IpAddr) -> bool {
        self.believes(peer) || self.inner.speaks_for_others(peer)
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads one header, and not a byte more; nothing where the peer speaks for itself.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    // Neither version has a shorter one.
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == SIGNATURE {
        return read_binary(stream).await;
    }
    if !start.starts_with(b"PROXY ") {
        return Err(invalid("no PROXY header"));
    }
    let mut line = start.to_vec();
    // Byte by byte: what follows the line end belongs to the next layer.
    while !line.ends_with(b"\r\n") {
        if line.len() == LINE {
            return Err(invalid("a PROXY line without an end"));
        }
        line.push(stream.read_u8().await?);
    }
    read_line(&line).ok_or_else(|| invalid("a PROXY line that says nothing"))
}

/// `PROXY TCP4 source destination port port` and a line end; nothing where it is none.
fn read_line(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let mut words = line.split(' ');
    let (Some("PROXY"), family) = (words.next(), words.next()?) else { return None };
    if family == "UNKNOWN" {
        return Some(None);
    }
    let (source, destination) = (words.next()?, words.next()?);
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    let (source, destination): (IpAddr, IpAddr) = match family {
        "TCP4" => (source.parse::<Ipv4Addr>().ok()?.into(), destination.parse::<Ipv4Addr>().ok()?.into()),
        "TCP6" => (source.parse::<Ipv6Addr>().ok()?.into(), destination.parse::<Ipv6Addr>().ok()?.into()),
        _ => return None,
    };
    let _ = (destination, destination_port);
    if words.next().is_some() { None } else { Some(Some(SocketAddr::new(source, source_port))) }
}

/// Digits without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// The rest of a header of version 2.
async fn read_binary(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let (version, family) = (stream.read_u8().await?, stream.read_u8().await?);
    let length = usize::from(stream.read_u16().await?);
    if length > REST {
        return Err(invalid("a PROXY header that is too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    let address = match (version, family) {
        // LOCAL: a health check, whatever stands in the rest.
        (0x20, _) => return Ok(None),
        // PROXY over an unknown transport.
        (0x21, 0x00) => return Ok(None),
        (0x21, 0x11) => rest.first_chunk::<12>().map(|&[a, b, c, d, _, _, _, _, high, low, _, _]| {
            SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])))
        }),
        (0x21, 0x21) => rest.first_chunk::<36>().and_then(|rest| {
            let source: [u8; 16] = *rest.first_chunk()?;
            Some(SocketAddr::from((source, u16::from_be_bytes([rest[32], rest[33]]))))
        }),
        _ => None,
    };
    address.map(Some).ok_or_else(|| invalid("a PROXY header that says nothing about TCP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a header says, and what is left after it.
    fn parse(header: &[u8]) -> Result<(Option<String>, Vec<u8>), io::ErrorKind> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bytes = [header, b"GET"].concat();
        let mut rest = &bytes[..];
        let client = runtime.block_on(read(&mut rest)).map_err(|error| error.kind())?;
        Ok((client.map(|client| client.to_string()), rest.to_vec()))
    }

    fn binary(version: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[version, family], &length, rest].concat()
    }

    #[test]
    fn a_header_names_the_client_and_takes_not_a_byte_more() {
        let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0, 80, 1, 187]].concat();
        let with_fields = [&[203, 0, 113, 7, 10, 0, 0, 1, 0x1f, 0x90, 0, 80][..], &[4, 0, 1, 0]].concat();
        for (header, client) in [
            (b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\r\n".to_vec(), Some("203.0.113.7:5000")),
            (b"PROXY TCP6 2001:db8::1 ::1 80 443\r\n".to_vec(), Some("[2001:db8::1]:80")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff:: :: 1 2\r\n".to_vec(), None),
            (binary(0x21, 0x11, &with_fields), Some("203.0.113.7:8080")),
            (binary(0x21, 0x21, &v6), Some("[2001:db8::1]:80")),
            (binary(0x20, 0x00, &[]), None),
            (binary(0x20, 0x11, &with_fields), None),
            (binary(0x21, 0x00, &[]), None),
        ] {
            let (found, rest) = parse(&header).unwrap();
            assert_eq!((found.as_deref(), &rest[..]), (client, &b"GET"[..]));
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bad in [
            &b"GET / HTTP/1.1\r\nhost: bank\r\n\r\n"[..],
            b"PROXY TCP4 203.0.113.7 10.0.0.1 5000\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 443 1\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 65536\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 +500 443\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 05 443\r\n",
            b"PROXY TCP4 2001:db8::1 ::1 80 443\r\n",
            b"PROXY TCP6 203.0.113.7 10.0.0.1 80 443\r\n",
            b"PROXY TCP4  203.0.113.7 10.0.0.1 5000 443\r\n",
            b"PROXY tcp4 203.0.113.7 10.0.0.1 5000 443\r\n",
            b"PROXY UDP4 203.0.113.7 10.0.0.1 5000 443\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\n\n",
            &[b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat(),
            &binary(0x21, 0x11, &[1, 2, 3]),
            &binary(0x21, 0x12, &[0; 12]),
            &binary(0x11, 0x11, &[0; 12]),
            &binary(0x21, 0x21, &[0; 35]),
            &binary(0x21, 0x11, &[0; REST + 1]),
        ] {
            assert!(parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
