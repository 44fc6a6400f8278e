//! TLS 1.2 and 1.3 by rustls with aws-lc-rs; ALPN offers h2 and http/1.1.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bank_sdk::serve::{Acceptor, TlsFacts};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Serves TLS.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

impl Tls {
    /// A certificate chain and its key, both in PEM files.
    ///
    /// # Errors
    /// A file that cannot be read, or a key that does not fit.
    pub fn files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| TlsError::new(certificate, error))?;
        let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::new(key, error))?;
        Self::new(chain, key_der).map_err(|error| TlsError::new(certificate, error))
    }

    /// A certificate for `localhost`, signed by an authority that is made once in `directory` (`ca.pem`, which a client may
    /// be told to trust) and kept there.
    ///
    /// # Errors
    /// A directory that cannot be written.
    #[cfg(feature = "dev-certificate")]
    pub fn development(directory: &Path) -> Result<Self, TlsError> {
        let (certificate, key) = (directory.join("localhost.pem"), directory.join("localhost.key"));
        if !certificate.exists() || !key.exists() {
            make_certificate(directory, &certificate, &key)?;
        }
        Self::files(&certificate, &key)
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Any rustls configuration of your own.
    #[must_use]
    pub fn config(config: Arc<ServerConfig>) -> Self {
        Self { acceptor: TlsAcceptor::from(config) }
    }
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

#[cfg(feature = "dev-certificate")]
fn make_certificate(directory: &Path, certificate: &Path, key: &Path) -> Result<(), TlsError> {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
    use std::os::unix::fs::DirBuilderExt as _;

    let fault = |error: rcgen::Error| TlsError::new(directory, error);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| TlsError::new(directory, error))?;
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "Development authority of this bank");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate().map_err(fault)?;
    let authority_certificate = authority.self_signed(&authority_key).map_err(fault)?;
    let issuer = Issuer::new(authority, authority_key);
    let names = ["localhost", "127.0.0.1", "::1"].map(ToOwned::to_owned);
    let mut leaf = CertificateParams::new(names).map_err(fault)?;
    leaf.distinguished_name.push(DnType::CommonName, "localhost");
    let leaf_key = KeyPair::generate().map_err(fault)?;
    let signed = leaf.signed_by(&leaf_key, &issuer).map_err(fault)?;
    // The authority's own key is not kept: nobody can sign anything else with it.
    write_private(&directory.join("ca.pem"), &authority_certificate.pem())?;
    write_private(key, &leaf_key.serialize_pem())?;
    write_private(certificate, &signed.pem())
}

#[cfg(feature = "dev-certificate")]
fn write_private(path: &Path, text: &str) -> Result<(), TlsError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| TlsError::new(path, error))
}

impl Acceptor for Tls {
    type Io = TlsStream<TcpStream>;

    async fn accept(&self, stream: TcpStream) -> io::Result<(Self::Io, Option<TlsFacts>)> {
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
        f.write_str("Tls")
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
}
