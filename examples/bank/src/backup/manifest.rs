//! What a backup holds: `manifest.json`, written last, so that a copy that was not finished has none.

use std::fs::File;
use std::io;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use bank_stores::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Fatal;

/// The manifest's name.
pub(super) const MANIFEST: &str = "manifest.json";
/// The form of backups that this program writes. It reads this one and those before.
pub(super) const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// The form of the backup.
    pub(super) format: u32,
    /// The version of the program that took it.
    pub(super) version: String,
    /// When it was begun.
    pub(super) taken_at: Timestamp,
    /// The parts that it holds.
    pub(super) parts: Vec<String>,
    /// The head of the ledger's chain and how many commands follow it, where the ledger is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ledger: Option<String>,
    /// The master keys under which its data keys are.
    pub(super) master_keys: Vec<String>,
    /// Its files, in the order in which they were taken.
    pub(super) files: Vec<Entry>,
    /// SHA-256 of the manifest's text, where it was read.
    #[serde(skip)]
    pub(super) sha256: String,
}

/// A file of a backup.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Where it is, in the backup as in the data directory.
    pub(super) path: String,
    /// How many bytes it has.
    pub(super) bytes: u64,
    /// SHA-256 of them, in hexadecimal.
    pub(super) sha256: String,
}

impl Entry {
    /// Describes the file `path` of a backup.
    pub(super) fn of(backup: &Path, path: &str) -> Result<Self, Fatal> {
        let (bytes, sha256) =
            digest_of(&backup.join(path)).map_err(|error| unreadable(&backup.join(path), &error))?;
        Ok(Self { path: path.to_owned(), bytes, sha256 })
    }

    /// Whether the file in the backup is what was written.
    fn check(&self, backup: &Path) -> Result<(), Fatal> {
        let path = backup.join(&self.path);
        if self.is_in(&path).map_err(|error| unreadable(&path, &error))? {
            return Ok(());
        }
        Err(Fatal::new(format!("{}: it is not as it was written; take another backup", path.display())))
    }

    /// Whether a file holds the same.
    pub(super) fn is_in(&self, path: &Path) -> io::Result<bool> {
        Ok(digest_of(path)? == (self.bytes, self.sha256.clone()))
    }

    /// A path that stays inside of the directory that it is joined to.
    fn is_inside(&self) -> bool {
        let plain = |part: &str| !matches!(part, "" | "." | "..");
        self.path.split('/').all(plain) && !self.path.contains(['\\', '\0'])
    }
}

impl Manifest {
    /// Reads the manifest of a backup, and looks whether all its files are as they were written.
    pub(super) fn read(backup: &Path) -> Result<Self, Fatal> {
        let path = backup.join(MANIFEST);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let what = "there is no manifest.json: it is no backup, or one that was not finished";
                return Err(Fatal::new(format!("{}: {what}", backup.display())));
            }
            Err(error) => return Err(unreadable(&path, &error)),
        };
        let wrong = |what: &dyn std::fmt::Display| Fatal::new(format!("{}: {what}", path.display()));
        /// Of any format.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
            version: String,
        }
        let format: Format = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        if format.format > FORMAT {
            let what = format!(
                "bank {} took this backup, and {} does not know its format {}: restore it with that version or a later one",
                format.version,
                env!("CARGO_PKG_VERSION"),
                format.format
            );
            return Err(wrong(&what));
        }
        let mut manifest: Self = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        manifest.sha256 = digest(text.as_bytes()).map_err(|error| unreadable(&path, &error))?.1;
        if let Some(entry) = manifest.files.iter().find(|entry| !entry.is_inside()) {
            return Err(wrong(&format!("the path {:?} leads out of the backup", entry.path)));
        }
        Ok(manifest)
    }

    /// Whether it has this file.
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.iter().any(|entry| entry.path == path)
    }

    /// Looks whether the files are as they were written.
    pub(super) fn check(&self, backup: &Path, told: &mut dyn FnMut(u64, u64)) -> Result<(), Fatal> {
        let of = self.files.iter().map(|entry| entry.bytes).sum();
        let mut done = 0;
        for entry in &self.files {
            entry.check(backup)?;
            done += entry.bytes;
            told(done, of);
        }
        Ok(())
    }
}

fn digest_of(path: &Path) -> io::Result<(u64, String)> {
    digest(File::open(path)?)
}

fn digest(mut file: impl io::Read) -> io::Result<(u64, String)> {
    let (mut context, mut buffer, mut bytes) = (Context::new(&SHA256), vec![0; 256 * 1024], 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            let hash = context.finish();
            return Ok((bytes, hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()));
        }
        context.update(&buffer[..read]);
        bytes += read as u64;
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Fatal {
    Fatal::caused(path.display(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        Entry { path: path.to_owned(), bytes: 0, sha256: String::new() }
    }

    #[test]
    fn no_path_of_a_manifest_leads_out_of_the_directory() {
        for path in ["../x", "/etc/passwd", "a/../../x", "a//b", "./a", "", "a\\b", "a\0"] {
            assert!(!entry(path).is_inside(), "{path:?}");
        }
        assert!(entry("accounts/ledger.db").is_inside() && entry("audit-8080.jsonl").is_inside());
    }

    #[test]
    fn a_backup_of_a_later_format_is_refused_with_the_version_that_reads_it() {
        let directory = std::env::temp_dir().join(format!("bank-manifest-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let text = r#"{"format":99,"version":"7.1.0","whatever":true}"#;
        std::fs::write(directory.join(MANIFEST), text).unwrap();
        let refused = Manifest::read(&directory).unwrap_err().to_string();
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(refused.contains("7.1.0") && refused.contains("format 99"), "{refused}");
    }
}
