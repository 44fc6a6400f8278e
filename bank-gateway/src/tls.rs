//! TLS 1.2 and 1.3 by rustls with aws-lc-rs; ALPN offers h2 and http/1.1.
//!
//! A certificate from files is read again when they change, so that a renewed one needs no restart. Clients that come back
//! resume their session by a ticket, whose keys change every six hours and are known to this process alone.

mod certificates;
#[cfg(feature = "dev-certificate")]
mod development;
mod x509;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bank_sdk::serve::{Acceptor, TlsFacts};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::ServerSessionMemoryCache;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use certificates::{Certificates, Source};

use crate::watched::FileError;

pub use certificates::CertificateStatus;

/// Sessions that are kept for clients of TLS 1.2 that take no tickets.
const SESSIONS: usize = 4_096;

/// Serves TLS.
///
/// ```no_run
/// # fn example() -> Result<(), bank_gateway::TlsError> {
/// let tls = bank_gateway::Tls::files("bank.pem".as_ref(), "bank.key".as_ref())?;
/// // The certificate that was renewed meanwhile; without this call it is found within a second of a new connection.
/// tls.reload()?;
/// assert_eq!(tls.status().and_then(|status| status.fault), None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificates: Option<Arc<Certificates>>,
}

impl Tls {
    /// A certificate chain and its key, both in PEM files. While connections come, the files are looked at once a second;
    /// where they changed and hold a key that fits, later handshakes show the new certificate. Otherwise the one before
    /// stays, an error is logged, and [`status`](Self::status) tells it.
    ///
    /// # Errors
    /// A file that cannot be read, or a key that does not fit.
    pub fn files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::of(Source {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            #[cfg(feature = "dev-certificate")]
            made_in: None,
        })
    }

    /// A certificate for `localhost`, signed by an authority that is made once in `directory`: `ca.pem`, which a client may be
    /// told to trust. The certificate lasts 396 days and is made anew 30 days before its end, also while it is served; the
    /// authority lasts ten years. Its key stays beside it in `ca.key`, readable by its owner only, and can sign for
    /// `localhost` and loopback addresses alone. A directory of an earlier version, which kept no such key, gets a new
    /// authority.
    ///
    /// # Errors
    /// A directory that cannot be written.
    #[cfg(feature = "dev-certificate")]
    pub fn development(directory: &Path) -> Result<Self, TlsError> {
        use bank_stores::{Clock as _, SystemClock};
        development::make(directory, SystemClock::new().now())?;
        Self::of(Source {
            certificate: directory.join("localhost.pem"),
            key: directory.join("localhost.key"),
            made_in: Some(directory.to_owned()),
        })
    }

    fn of(source: Source) -> Result<Self, TlsError> {
        let path = source.certificate.clone();
        let certificates = Arc::new(Certificates::load(source)?);
        let config = server_config(certificates.clone()).map_err(|error| TlsError::new(&path, error))?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificates: Some(certificates) })
    }

    /// Any rustls configuration of your own. Its certificates, session tickets and protocols are left as they are.
    #[must_use]
    pub fn config(config: Arc<ServerConfig>) -> Self {
        Self { acceptor: TlsAcceptor::from(config), certificates: None }
    }

    /// Reads the certificate's files again, changed or not. With a [configuration of your own](Self::config) it does nothing.
    ///
    /// # Errors
    /// A file that cannot be read, a key that does not fit, or a certificate that has ended; the one before is served still.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.certificates.as_ref().map_or(Ok(()), |certificates| certificates.reload())
    }

    /// How the certificate stands that is served; nothing with a [configuration of your own](Self::config).
    #[must_use]
    pub fn status(&self) -> Option<CertificateStatus> {
        self.certificates.as_ref().map(|certificates| certificates.status())
    }
}

fn server_config(certificates: Arc<Certificates>) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    Ok(config)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Verifies servers by the authorities in a PEM file.
///
/// # Errors
/// A file that cannot be read or holds no authority.
pub fn client_config(authorities: &Path) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(authorities).map_err(|error| TlsError::new(authorities, error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| TlsError::new(authorities, error))?;
        roots.add(certificate).map_err(|error| TlsError::new(authorities, error))?;
    }
    if roots.is_empty() {
        return Err(TlsError::new(authorities, io::Error::other("it holds no certificate")));
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| TlsError::new(authorities, error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl Acceptor for Tls {
    type Io = TlsStream<TcpStream>;

    async fn accept(&self, stream: TcpStream) -> io::Result<(Self::Io, Option<TlsFacts>)> {
        if let Some(certificates) = &self.certificates {
            certificates.look_soon();
        }
        let stream = self.acceptor.accept(stream).await?;
        let (_, session) = stream.get_ref();
        let mut facts = TlsFacts::default();
        facts.protocol = session.alpn_protocol().map(<[u8]>::to_vec);
        facts.server_name = session.server_name().map(ToOwned::to_owned);
        facts.client_certificates = session
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|certificate| certificate.to_vec())
            .collect();
        Ok((stream, Some(facts)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub struct TlsError {
    path: PathBuf,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl TlsError {
    fn new(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { path: path.to_owned(), source: Box::new(source) }
    }

    /// The file and the cause, in one line.
    fn told(&self) -> String {
        format!("{}: {}", self.path.display(), self.source)
    }
}

impl From<FileError> for TlsError {
    fn from(error: FileError) -> Self {
        Self::new(&error.path, error.source)
    }
}
