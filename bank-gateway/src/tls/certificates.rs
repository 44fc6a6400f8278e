//! The certificate that is served: read from files, and again when they change, without a restart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bank_stores::{Clock as _, SystemClock, Timestamp};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::x509::Facts;
use super::{TlsError, provider};
use crate::watched::{self, Files, Loaded, Schedule, Watched};

/// How the certificate stands that a server shows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateStatus {
    /// When it becomes valid, where that can be read.
    pub not_before: Option<Timestamp>,
    /// When it ends, where that can be read.
    pub not_after: Option<Timestamp>,
    /// When it was read from its file.
    pub loaded: Timestamp,
    /// Why what stands in the files now is not served, if it is not.
    pub fault: Option<String>,
}

impl CertificateStatus {
    /// How long it is still valid; zero when it has ended, nothing where its end is not known.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> Option<Duration> {
        self.not_after.map(|end| end.since(now))
    }
}

/// Where a certificate comes from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// The directory in which it is made, and made anew before it ends.
    #[cfg(feature = "dev-certificate")]
    pub(super) made_in: Option<PathBuf>,
}

/// A certificate, and the one in its place later.
#[derive(Debug)]
pub(super) struct Certificates {
    source: Source,
    watched: Watched<Current>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    facts: Option<Facts>,
    loaded: Timestamp,
}

impl Certificates {
    pub(super) fn load(source: Source) -> Result<Self, TlsError> {
        let (paths, name) = (source.paths(), source.certificate.display().to_string());
        let bytes = watched::read(&paths)?;
        let current = source.parse(&bytes)?;
        let own = source.clone();
        let files = Files::new(paths, bytes, move |bytes, current| {
            own.next(bytes, current).map(Some).map_err(|error| error.told())
        });
        let files = Renewed { source: source.clone(), files };
        Ok(Self { source, watched: Watched::new(name, current, files, Schedule::default()) })
    }

    /// Looks at the files beside the runtime, at most once in a while; what is found holds for later handshakes.
    pub(super) fn look_soon(&self) {
        self.watched.look_soon();
    }

    /// Reads the files again, changed or not.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        let read = || {
            self.source.renew()?;
            self.source.next(&watched::read(&self.source.paths())?, &self.watched.peek())
        };
        match read() {
            Ok(new) => self.watched.put(Ok(new)),
            Err(error) => {
                self.watched.put(Err(error.told()));
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn status(&self) -> CertificateStatus {
        let current = self.watched.peek();
        CertificateStatus {
            not_before: current.facts.as_ref().map(|facts| facts.not_before),
            not_after: current.facts.as_ref().map(|facts| facts.not_after),
            loaded: current.loaded,
            fault: self.watched.status().error,
        }
    }
}

impl Source {
    fn paths(&self) -> Vec<PathBuf> {
        vec![self.certificate.clone(), self.key.clone()]
    }

    /// Makes a certificate anew that ends soon, where it is one for development.
    #[cfg(feature = "dev-certificate")]
    fn renew(&self) -> Result<(), TlsError> {
        match &self.made_in {
            Some(directory) => super::development::make(directory, SystemClock::new().now()),
            None => Ok(()),
        }
    }

    #[cfg(not(feature = "dev-certificate"))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "with the feature it can fail")]
    fn renew(&self) -> Result<(), TlsError> {
        Ok(())
    }

    /// The bytes of [`paths`](Self::paths) as a certificate with its key.
    fn parse(&self, bytes: &[Vec<u8>]) -> Result<Current, TlsError> {
        let key = certified((&self.certificate, &bytes[0]), (&self.key, &bytes[1]))?;
        let facts = key.cert.first().and_then(Facts::of);
        Ok(Current { key: Arc::new(key), facts, loaded: SystemClock::new().now() })
    }

    /// The certificate after this one. One that has ended never takes the place of one that has not.
    fn next(&self, bytes: &[Vec<u8>], current: &Current) -> Result<Current, TlsError> {
        let new = self.parse(bytes)?;
        let ended = |one: &Current| one.facts.as_ref().is_some_and(|facts| facts.not_after <= new.loaded);
        if ended(&new) && !ended(current) {
            let error = io::Error::other("the certificate has ended already");
            return Err(TlsError::new(&self.certificate, error));
        }
        Ok(new)
    }
}

/// The files, made anew first where that is due.
struct Renewed {
    source: Source,
    files: Files<Current>,
}

impl watched::Source<Current> for Renewed {
    fn load(&self, current: Arc<Current>) -> Loaded<'_, Current> {
        let source = self.source.clone();
        Box::pin(async move {
            let renewed = tokio::task::spawn_blocking(move || source.renew()).await;
            renewed.map_err(|error| error.to_string())?.map_err(|error| error.told())?;
            self.files.load(current).await
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.watched.peek().key.clone())
    }
}

/// A chain and its key, which fit. Each comes with the file that it stands in.
pub(super) fn certified(
    (path, chain): (&Path, &[u8]),
    (key_path, key): (&Path, &[u8]),
) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::new(path, error))?;
    if chain.is_empty() {
        return Err(TlsError::new(path, io::Error::other("it holds no certificate")));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::new(key_path, error))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| TlsError::new(path, error))
}
