//! What a backup has beside the stores: keys, records of the audit, and that the demo has been paid.
//!
//! | File | Where there is another one already |
//! | --- | --- |
//! | `keys/seal.json` | both have their master keys in it from then on, and the current one stays |
//! | `keys/seal-PART.key`, `keys/derivation-PART.key` | replaced with the part's data, which is nothing without it |
//! | other `keys/*-PART.key` | replaced where the whole backup is restored and has the part |
//! | other `keys/*` | the same with identity |
//! | `audit-*`, `demo-funded` | never replaced |

use std::fs;
use std::path::{Path, PathBuf};

use bank_stores::seal::Keyring;
use bank_stores::{Clock as _, SystemClock};

use super::manifest::{Entry, Manifest};
use super::restore::Restore;
use crate::Fatal;
use crate::args::Part;
use crate::files::{Draft, private_directory};

/// The master keys, where no `[seal] key_file` says otherwise.
const KEYRING: &str = "keys/seal.json";

/// Files that are ready to get their names.
#[derive(Debug, Default)]
pub(super) struct SmallFiles(Vec<(PathBuf, Draft)>);

impl SmallFiles {
    /// Copies what is to come beside what is there, and changes nothing.
    pub(super) fn stage(
        data: &Path,
        from: &Path,
        manifest: &Manifest,
        parts: &[Part],
        what: &Restore,
    ) -> Result<Self, Fatal> {
        private_directory(&data.join("keys"))?;
        let mut drafts = Vec::new();
        for entry in manifest.files.iter().filter(|entry| is_small(&entry.path)) {
            let (source, to) = (from.join(&entry.path), data.join(&entry.path));
            let failed = |error| Fatal::caused(to.display(), &error);
            let draft = if !to.exists() {
                Draft::copied(&source, &to).map_err(failed)?
            } else if entry.is_in(&to).map_err(failed)? {
                continue;
            } else if entry.path == KEYRING {
                let Some(both) = both(&source, &to)? else { continue };
                both
            } else if is_replaced(entry, parts, what) {
                Draft::copied(&source, &to).map_err(failed)?
            } else {
                continue;
            };
            if to.exists() && !what.replace {
                return Err(Fatal::new(format!(
                    "{}: there is another one already; with --replace it is kept beside what comes, as FILE.replaced-…",
                    to.display()
                )));
            }
            drafts.push((to, draft));
        }
        Ok(Self(drafts))
    }

    /// The master keys as they will be, where that is another file than the one that is there.
    pub(super) fn keyring(&self, data: &Path) -> Option<&Path> {
        let path = data.join(KEYRING);
        self.0.iter().find(|(to, _)| *to == path).map(|(_, draft)| draft.path())
    }

    /// Gives all of them their names. What is replaced stays under another one.
    pub(super) fn take_place(self) -> Result<(), Fatal> {
        let aside = format!(".replaced-{}", SystemClock::new().now().micros());
        for (to, draft) in self.0 {
            let failed = |error| Fatal::caused(to.display(), &error);
            if to.exists() {
                let mut kept = to.as_os_str().to_owned();
                kept.push(&aside);
                // Not every file system has hard links.
                fs::hard_link(&to, &kept).or_else(|_| fs::rename(&to, &kept)).map_err(failed)?;
            }
            draft.becomes().map_err(failed)?;
        }
        Ok(())
    }
}

fn is_small(path: &str) -> bool {
    match path.split_once('/') {
        Some(("keys", name)) => !name.contains('/') && !name.ends_with(".lock"),
        Some(_) => false,
        None => path.starts_with("audit-") || path == "demo-funded",
    }
}

fn is_replaced(entry: &Entry, parts: &[Part], what: &Restore) -> bool {
    let Some(name) = entry.path.strip_prefix("keys/") else { return false };
    let owner = Part::SERVICES.into_iter().find(|part| name.ends_with(&format!("-{}.key", part.name())));
    let opens_data = name.starts_with("seal-") || name.starts_with("derivation-");
    parts.contains(&owner.unwrap_or(Part::Identity)) && (opens_data || what.only.is_empty())
}

/// A keyring with the master keys of both; nothing, where the one that is there has them all.
fn both(backup: &Path, living: &Path) -> Result<Option<Draft>, Fatal> {
    let failed = |error| Fatal::caused(living.display(), &error);
    let theirs = living.with_file_name("seal-of-backup.json");
    let theirs = Draft::copied(backup, &theirs).map_err(failed)?;
    let both = Draft::copied(living, living).map_err(failed)?;
    let added = Keyring::load(both.path()).and_then(|ours| ours.adopt(&Keyring::load(theirs.path())?));
    // Nobody else changes this copy.
    let _ = fs::remove_file(both.path().with_extension("lock"));
    let added = added.map_err(|error| Fatal::caused(living.display(), &error))?;
    Ok((!added.is_empty()).then_some(both))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_backup_only_keys_and_records_are_taken_beside_its_stores() {
        for path in ["keys/signing.key", "audit-8080.jsonl", "audit-8080.jsonl.000001", "demo-funded"] {
            assert!(is_small(path), "{path}");
        }
        for path in
            ["accounts/ledger.dump", "accounts/ledger.db", "keys/a/b", "bank", "keys/seal.lock", "tls/ca.pem"]
        {
            assert!(!is_small(path), "{path}");
        }
    }

    #[test]
    fn a_key_is_replaced_with_the_part_that_needs_it() {
        let entry = |path: &str| Entry { path: path.to_owned(), bytes: 0, sha256: String::new() };
        let (whole, one) = (Restore::default(), Restore { only: vec![Part::Accounts], ..Restore::default() });
        let is = |path: &str, parts: &[Part], what: &Restore| is_replaced(&entry(path), parts, what);
        assert!(is("keys/seal-accounts.key", &[Part::Accounts], &one));
        assert!(!is("keys/seal-accounts.key", &[Part::Partners], &whole));
        assert!(!is("keys/identity-accounts.key", &[Part::Accounts], &one));
        assert!(is("keys/signing.key", &[Part::Identity], &whole));
        assert!(!is("keys/signing.key", &[Part::Accounts], &whole));
        assert!(!is("audit-8080.jsonl", &[Part::Identity], &whole));
    }
}
