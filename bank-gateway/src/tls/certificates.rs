//! The certificate that is served: read from files, and again when they change, without a restart.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use bank_stores::{Clock, Timestamp};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::x509::Facts;
use super::{TlsError, provider};

/// How often files are looked at, at most, while connections come.
const PAUSE: Duration = Duration::from_secs(1);

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
    clock: Arc<dyn Clock>,
    current: ArcSwap<Current>,
    /// What was last tried. Held while files are read, so that one does it at a time.
    tried: Mutex<Tried>,
    /// When the files were last looked at.
    checked: AtomicI64,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    facts: Option<Facts>,
    loaded: Timestamp,
}

#[derive(Debug)]
struct Tried {
    stamp: Option<Stamp>,
    fault: Option<String>,
}

impl Certificates {
    pub(super) fn load(source: Source, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let stamp = Stamp::of(&source);
        let now = clock.now();
        let current = read(&source, now)?;
        Ok(Self {
            source,
            clock,
            current: ArcSwap::from_pointee(current),
            tried: Mutex::new(Tried { stamp, fault: None }),
            checked: AtomicI64::new(now.micros()),
        })
    }

    /// Looks at the files beside the runtime, at most once in a while; what is found holds for later handshakes.
    pub(super) fn check_soon(self: &Arc<Self>) {
        let (now, before) = (self.clock.now(), self.checked.load(Ordering::Relaxed));
        let passed = now.micros().abs_diff(before);
        if u128::from(passed) < PAUSE.as_micros() {
            return;
        }
        let first = self.checked.compare_exchange(before, now.micros(), Ordering::Relaxed, Ordering::Relaxed);
        if first.is_ok() {
            let own = self.clone();
            // What went wrong is logged there, and kept for the status.
            drop(tokio::task::spawn_blocking(move || own.check()));
        }
    }

    /// Reads the files again if they changed.
    pub(super) fn check(&self) {
        let renewed = self.renew();
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(&self.source);
        if let Err(error) = renewed {
            self.note(&mut tried, &error);
        } else if stamp != tried.stamp {
            // A failure is kept, and told once for each state of the files.
            let _ = self.replace(&mut tried);
        }
    }

    /// Reads the files again, changed or not.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        self.renew()?;
        self.replace(&mut self.tried.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(feature = "dev-certificate")]
    fn renew(&self) -> Result<(), TlsError> {
        match &self.source.made_in {
            Some(directory) => super::development::make(directory, self.clock.now()),
            None => Ok(()),
        }
    }

    #[cfg(not(feature = "dev-certificate"))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "with the feature it can fail")]
    fn renew(&self) -> Result<(), TlsError> {
        Ok(())
    }

    fn replace(&self, tried: &mut Tried) -> Result<(), TlsError> {
        // The stamp is older than what is read: a change in between is seen the next time.
        tried.stamp = Stamp::of(&self.source);
        let now = self.clock.now();
        match read(&self.source, now).and_then(|new| self.accept(new, now)) {
            Ok(new) => {
                tracing::info!(path = %self.source.certificate.display(), "a certificate was read anew");
                tried.fault = None;
                self.current.store(Arc::new(new));
                Ok(())
            }
            Err(error) => {
                self.note(tried, &error);
                Err(error)
            }
        }
    }

    /// A certificate that has ended never takes the place of one that has not.
    fn accept(&self, new: Current, now: Timestamp) -> Result<Current, TlsError> {
        let ended = |current: &Current| current.facts.as_ref().is_some_and(|facts| facts.not_after <= now);
        if ended(&new) && !ended(&self.current.load()) {
            let source = std::io::Error::other("the certificate has ended already");
            return Err(TlsError::new(&self.source.certificate, source));
        }
        Ok(new)
    }

    fn note(&self, tried: &mut Tried, error: &TlsError) {
        let fault = error.told();
        if tried.fault.as_ref() != Some(&fault) {
            tracing::error!(fault, "a certificate cannot be read anew: the one before is served still");
        }
        tried.fault = Some(fault);
    }

    pub(super) fn status(&self) -> CertificateStatus {
        let current = self.current.load();
        let fault = self.tried.lock().unwrap_or_else(PoisonError::into_inner).fault.clone();
        CertificateStatus {
            not_before: current.facts.as_ref().map(|facts| facts.not_before),
            not_after: current.facts.as_ref().map(|facts| facts.not_after),
            loaded: current.loaded,
            fault,
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load().key.clone())
    }
}

/// The chain in a PEM file.
pub(super) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| TlsError::new(path, error))?;
    if chain.is_empty() {
        return Err(TlsError::new(path, std::io::Error::other("it holds no certificate")));
    }
    Ok(chain)
}

/// A chain and its key, which fit.
pub(super) fn certified(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = chain(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::new(key, error))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| TlsError::new(certificate, error))
}

fn read(source: &Source, now: Timestamp) -> Result<Current, TlsError> {
    let key = certified(&source.certificate, &source.key)?;
    let facts = key.cert.first().and_then(Facts::of);
    Ok(Current { key: Arc::new(key), facts, loaded: now })
}

/// By what a file is known to have changed. A renamed file and a link that leads elsewhere are seen by the file's number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp([(Option<SystemTime>, u64, u64); 2]);

impl Stamp {
    /// Nothing where a file is away.
    fn of(source: &Source) -> Option<Self> {
        let stamp = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok(), metadata.len(), number(&metadata)))
        };
        Some(Self([stamp(&source.certificate)?, stamp(&source.key)?]))
    }
}

#[cfg(unix)]
fn number(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_: &Metadata) -> u64 {
    0
}
