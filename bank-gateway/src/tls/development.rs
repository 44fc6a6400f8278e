//! A certificate for `localhost`, and the authority that signs it, for development.
//!
//! | File | What it is |
//! | --- | --- |
//! | `ca.pem` | the authority's certificate, ten years: a client that trusts it trusts what follows from it |
//! | `ca.key` | its key, which signs the next certificate; only its owner may read it |
//! | `localhost.pem`, `localhost.key` | what is served, 396 days; made anew 30 days before its end |
//!
//! The authority is bound to `localhost` and loopback addresses (RFC 5280 §4.2.1.10): with a key that was stolen nobody can be
//! any other site to those who trust it. It is made once. A new one is made, and a warning logged, when its key is
//! missing or does not fit, or when it would end before a certificate that it signs.

use std::fs::{DirBuilder, File, OpenOptions, rename};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest;
use bank_stores::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, date_time_ymd,
};

use super::TlsError;
use super::certificates::certified;
use super::x509::{Facts, date};

const DAY: Duration = Duration::from_secs(86_400);
const YEARS: u32 = 10;

/// Below the 397 days that browsers allow from the beginning to the end, which is rounded up to whole days here.
const DAYS: u32 = 395;

/// Days before its end when a certificate is made anew.
const EARLY: u32 = 30;

/// Makes what is missing or ends soon. Processes that share the directory do it one after the other.
pub(super) fn make(directory: &Path, now: Timestamp) -> Result<(), TlsError> {
    let fault = |error| TlsError::new(directory, error);
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(fault)?;
    let (authority, authority_key) = (directory.join("ca.pem"), directory.join("ca.key"));
    let (leaf, leaf_key) = (directory.join("localhost.pem"), directory.join("localhost.key"));
    if is_good(&authority, &authority_key, &leaf, &leaf_key, now) {
        return Ok(());
    }
    let lock: File = private().truncate(false).open(directory.join("lock")).map_err(fault)?;
    lock.lock().map_err(fault)?;
    if !authority_holds(&authority, &authority_key, now) {
        if authority.exists() {
            tracing::warn!(path = %authority.display(), "a new authority was made: clients that trusted the old one have to trust it");
        }
        make_authority(directory, &authority, &authority_key, now)?;
    }
    if !is_good(&authority, &authority_key, &leaf, &leaf_key, now) {
        make_leaf(directory, &authority_key, &leaf, &leaf_key, now)?;
    }
    Ok(())
}

fn facts(certificate: &Path, key: &Path) -> Option<Facts> {
    let (chain, private) = (std::fs::read(certificate).ok()?, std::fs::read(key).ok()?);
    Facts::of(certified((certificate, &chain), (key, &private)).ok()?.cert.first()?)
}

/// Whether it lasts longer than anything that it could sign now.
fn authority_holds(authority: &Path, key: &Path, now: Timestamp) -> bool {
    facts(authority, key).is_some_and(|facts| facts.not_after > now.saturating_add(DAY * (DAYS + 2)))
}

/// Whether the certificate is this authority's, lasts long enough, and not longer than it may.
fn is_good(authority: &Path, authority_key: &Path, leaf: &Path, leaf_key: &Path, now: Timestamp) -> bool {
    let (Some(authority), Some(leaf)) = (facts(authority, authority_key), facts(leaf, leaf_key)) else {
        return false;
    };
    leaf.issuer == authority.subject
        && authority.not_after > leaf.not_after
        && leaf.not_before <= now
        && leaf.not_after > now.saturating_add(DAY * EARLY)
        && leaf.not_after.since(leaf.not_before) <= DAY * (DAYS + 2)
}

/// What the authority is, apart from its time: it follows from its key, so that it need not be read back.
fn authority_params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let digest = digest::digest(&digest::SHA256, key.public_key_raw());
    // Two authorities with one name would be taken for each other.
    let number = digest.as_ref().iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Development authority of this bank {number:08x}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let network =
        |address: IpAddr, prefix| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, prefix));
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".to_owned()),
            network(Ipv4Addr::LOCALHOST.into(), 8),
            network(Ipv6Addr::LOCALHOST.into(), 128),
        ],
        excluded_subtrees: Vec::new(),
    });
    params
}

/// Valid from yesterday, for clocks that go behind, for so many days.
fn valid(params: &mut CertificateParams, now: Timestamp, days: u32) {
    let day = |time| {
        let (year, month, day) = date(time);
        // Within the calendar by what `date` gives.
        let part = |number: i64| u8::try_from(number).unwrap_or(1);
        date_time_ymd(i32::try_from(year).unwrap_or(9_999), part(month), part(day))
    };
    params.not_before = day(now.saturating_sub(DAY));
    params.not_after = day(now.saturating_add(DAY * days));
}

fn make_authority(directory: &Path, path: &Path, key_path: &Path, now: Timestamp) -> Result<(), TlsError> {
    let fault = |error: rcgen::Error| TlsError::new(directory, error);
    let key = KeyPair::generate().map_err(fault)?;
    let mut params = authority_params(&key);
    valid(&mut params, now, YEARS * 365);
    let certificate = params.self_signed(&key).map_err(fault)?;
    write_private(key_path, &key.serialize_pem())?;
    write_private(path, &certificate.pem())
}

fn make_leaf(
    directory: &Path,
    authority_key: &Path,
    path: &Path,
    key_path: &Path,
    now: Timestamp,
) -> Result<(), TlsError> {
    let fault = |error: rcgen::Error| TlsError::new(directory, error);
    let pem = std::fs::read_to_string(authority_key).map_err(|error| TlsError::new(authority_key, error))?;
    let authority = KeyPair::from_pem(&pem).map_err(fault)?;
    let issuer = Issuer::new(authority_params(&authority), authority);
    let names = ["localhost", "127.0.0.1", "::1"].map(ToOwned::to_owned);
    let mut params = CertificateParams::new(names).map_err(fault)?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    valid(&mut params, now, DAYS);
    let key = KeyPair::generate().map_err(fault)?;
    let certificate = params.signed_by(&key, &issuer).map_err(fault)?;
    write_private(key_path, &key.serialize_pem())?;
    write_private(path, &certificate.pem())
}

/// A file that its owner alone may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).write(true).mode(0o600);
    options
}

/// Whole or not at all: who reads it meanwhile sees the file before.
fn write_private(path: &Path, text: &str) -> Result<(), TlsError> {
    let fault = |error| TlsError::new(path, error);
    let new = path.with_extension("new");
    let mut file = private().truncate(true).open(&new).map_err(fault)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
    rename(&new, path).map_err(fault)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn at(day: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_951_316).saturating_add(DAY * u32::try_from(day).unwrap())
    }

    fn read(directory: &Path, name: &str) -> (Facts, String) {
        let path = directory.join(name);
        let text = std::fs::read_to_string(path).unwrap();
        (Facts::of(&CertificateDer::from_pem_slice(text.as_bytes()).unwrap()).unwrap(), text)
    }

    #[test]
    fn a_certificate_is_made_anew_before_it_ends_and_its_authority_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        make(path, at(0)).unwrap();
        let (authority, authority_pem) = read(path, "ca.pem");
        let (leaf, leaf_pem) = read(path, "localhost.pem");
        assert_eq!(leaf.issuer, authority.subject);
        assert!(leaf.not_after.since(leaf.not_before) <= DAY * 397);
        make(path, at(300)).unwrap();
        assert_eq!(read(path, "localhost.pem").1, leaf_pem, "it lasts still");
        make(path, at(370)).unwrap();
        let (renewed, renewed_pem) = read(path, "localhost.pem");
        assert_ne!(renewed_pem, leaf_pem);
        assert!(renewed.not_after > at(370 + 390));
        assert_eq!(read(path, "ca.pem").1, authority_pem, "who trusted it goes on");
        make(path, at(9 * 365)).unwrap();
        let (next, _) = read(path, "ca.pem");
        assert_ne!(next.subject, authority.subject, "an authority that ends soon is followed by another");
        assert_eq!(read(path, "localhost.pem").0.issuer, next.subject);
    }

    #[test]
    fn an_authority_without_its_key_is_followed_by_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        make(path, at(0)).unwrap();
        let (authority, _) = read(path, "ca.pem");
        std::fs::remove_file(path.join("ca.key")).unwrap();
        make(path, at(1)).unwrap();
        let (next, _) = read(path, "ca.pem");
        assert_ne!(next.subject, authority.subject);
        assert_eq!(read(path, "localhost.pem").0.issuer, next.subject);
        std::fs::write(path.join("localhost.key"), "broken").unwrap();
        make(path, at(1)).unwrap();
        assert!(facts(&path.join("localhost.pem"), &path.join("localhost.key")).is_some());
    }

    #[test]
    fn processes_that_begin_together_agree() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| make(path, at(0)).unwrap());
            }
        });
        assert_eq!(read(path, "localhost.pem").0.issuer, read(path, "ca.pem").0.subject);
    }
}
