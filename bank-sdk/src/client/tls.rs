//! TLS to a server: rustls, verified.

use std::io;
use std::sync::Arc;

use http::Uri;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::InvalidAddress;

#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
    http2: bool,
}

impl Tls {
    pub(super) fn new(
        address: &Uri,
        mut config: Arc<rustls::ClientConfig>,
        http2: bool,
    ) -> Result<Self, InvalidAddress> {
        let host =
            address.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host)
            .map_err(|_| InvalidAddress(address.to_string(), "has a host that no certificate can name"))?;
        if http2 {
            Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()];
        }
        Ok(Self { connector: TlsConnector::from(config), name, http2 })
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.connector.connect(self.name.clone(), stream).await?;
        if self.http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other("the server does not speak HTTP/2"));
        }
        Ok(stream)
    }
}
