//! Reads all files of an audit and checks their chain.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use super::chain::Hasher;
use super::segments;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// So many records hold.
    pub records: u64,
    /// The hash of the last one.
    pub last: String,
    /// Whether the last line is incomplete: a crash tore it, or it is being written just now.
    pub is_torn: bool,
}

/// Checks a chain: under a key, from a record on, up to a head.
#[derive(Clone, Debug)]
#[must_use]
pub struct Verifier {
    path: PathBuf,
    hasher: Hasher,
    after: String,
    head: Option<Head>,
}

/// A record that must be there.
#[derive(Clone, Debug)]
struct Head {
    hash: String,
    /// Its number among the records that are read, counted from one.
    number: Option<u64>,
}

impl Verifier {
    /// For the file that is appended to; those that were rotated away are found beside it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), hasher: Hasher::default(), after: String::new(), head: None }
    }

    /// The records were written with this key.
    pub fn key(mut self, key: &[u8]) -> Self {
        self.hasher = Hasher::keyed(key);
        self
    }

    /// The oldest file that is still here begins behind the record with this hash, because older ones were moved away.
    pub fn after(mut self, hash: impl Into<String>) -> Self {
        self.after = hash.into();
        self
    }

    /// The record with this hash, which was the last one when somebody kept it, must be in the chain.
    pub fn expected_head(mut self, hash: impl Into<String>) -> Self {
        self.head = Some(Head { hash: hash.into(), number: None });
        self
    }

    /// The same for a record of which it was kept, too, how many there were with it: [`Verified::records`] of that time. It has to
    /// be in its place, so all files of the audit have to be there.
    pub fn expected_head_at(mut self, records: u64, hash: impl Into<String>) -> Self {
        self.head = Some(Head { hash: hash.into(), number: Some(records) });
        self
    }

    /// Reads everything.
    ///
    /// # Errors
    /// `InvalidData` with the first line that does not hold, or where the expected head is missing.
    pub fn verify(self) -> io::Result<Verified> {
        // The newest is opened first: a rotation meanwhile takes nothing away.
        let newest = File::open(&self.path)?;
        let mut verified = Verified { last: self.after.clone(), ..Verified::default() };
        let mut has_head = self
            .head
            .as_ref()
            .is_none_or(|head| head.hash == self.after && head.number.is_none_or(|n| n == 0));
        for (_, path) in segments::earlier(&self.path)? {
            if segments::is_same(&newest, &path)? {
                break;
            }
            self.read(&File::open(&path)?, &path, &mut verified, &mut has_head)?;
            if verified.is_torn {
                return Err(broken(&path, "its last line is torn"));
            }
        }
        self.read(&newest, &self.path, &mut verified, &mut has_head)?;
        if !has_head {
            return Err(broken(&self.path, "the expected head is not in it: newer records were cut off"));
        }
        Ok(verified)
    }

    fn read(&self, file: &File, path: &Path, verified: &mut Verified, has_head: &mut bool) -> io::Result<()> {
        let mut reader = BufReader::new(file);
        let mut text = Vec::new();
        for number in 1_u64.. {
            text.clear();
            if reader.read_until(b'\n', &mut text)? == 0 {
                break;
            }
            let line = text.strip_suffix(b"\n").unwrap_or(&text);
            if line.len() == text.len() && serde_json::from_slice::<serde_json::Value>(line).is_err() {
                verified.is_torn = true;
                break;
            }
            match self.hasher.read(line) {
                Some(line) if line.previous == verified.last => {
                    verified.records += 1;
                    *has_head |= self.head.as_ref().is_some_and(|head| {
                        head.hash == line.hash && head.number.is_none_or(|number| number == verified.records)
                    });
                    verified.last = line.hash;
                }
                _ => return Err(broken(path, &format!("the chain is broken at line {number}"))),
            }
        }
        Ok(())
    }
}

fn broken(path: &Path, what: &str) -> io::Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    io::Error::new(io::ErrorKind::InvalidData, format!("{name}: {what}"))
}

/// Reads all records of an audit without a key and checks their chain. `expected_head` is the hash of a record that was kept
/// elsewhere, and has to be in it.
///
/// # Errors
/// As [`Verifier::verify`].
pub fn verify(path: &Path, expected_head: Option<&str>) -> io::Result<Verified> {
    let verifier = Verifier::new(path);
    match expected_head {
        Some(head) => verifier.expected_head(head),
        None => verifier,
    }
    .verify()
}
