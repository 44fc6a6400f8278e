//! The mark of a restore that is not finished. A bank does not start beside it, nor do its commands.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::restore::Restore;
use crate::Fatal;
use crate::args::Part;
use crate::config::Config;
use crate::files::{remove, replace};

/// The mark's file in the data directory.
pub(super) const UNFINISHED: &str = "restore-unfinished";

/// What was being restored, and how to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Where the backup is.
    backup: String,
    /// SHA-256 of its manifest.
    manifest: String,
    /// The parts that are of the backup, or not, or half.
    parts: Vec<String>,
    /// The command that finishes it.
    command: String,
}

impl Mark {
    /// Of a restore that is about to change something.
    pub(super) fn new(
        config: &Config,
        from: &Path,
        manifest: &Manifest,
        parts: &[Part],
        what: &Restore,
    ) -> Self {
        let whole = |path: &Path| {
            fs::canonicalize(path)
                .or_else(|_| std::path::absolute(path))
                .unwrap_or_else(|_| path.to_owned())
                .display()
                .to_string()
        };
        let backup = whole(from);
        let mut words = vec!["bank".to_owned(), "restore".to_owned(), backup.clone()];
        words.extend(["--data".to_owned(), whole(&config.data)]);
        if let Some(file) = &config.file {
            words.extend(["--config".to_owned(), whole(file)]);
        }
        words.extend(what.only.iter().flat_map(|part| ["--part".to_owned(), part.name().to_owned()]));
        words.push("--replace".to_owned());
        let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        let parts = parts.iter().map(|part| part.name().to_owned()).collect();
        Self { backup, manifest: manifest.sha256.clone(), parts, command: words.join(" ") }
    }

    /// Whether this restore leaves nothing of another one half done.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other.parts.iter().all(|part| self.parts.contains(part))
    }

    /// The mark that is there.
    pub(super) fn read(data: &Path) -> Result<Option<Self>, Fatal> {
        let path = path(data);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Fatal::caused(path.display(), &error)),
        };
        let wrong = |error: serde_json::Error| {
            let what = "it is no mark of a restore; if nobody restores, put a whole backup back into an empty directory";
            Fatal::caused(format!("{}: {what}", path.display()), &error)
        };
        serde_json::from_slice(&text).map(Some).map_err(wrong)
    }

    /// Puts it there, in the place of the one before.
    pub(super) fn write(&self, data: &Path) -> Result<(), Fatal> {
        let text = serde_json::to_vec_pretty(self).map_err(Fatal::new)?;
        replace(&path(data), &text).map_err(|error| Fatal::caused(path(data).display(), &error))
    }

    /// Takes away the one that is there.
    pub(super) fn remove(data: &Path) -> Result<(), Fatal> {
        remove(&path(data)).map_err(|error| Fatal::caused(path(data).display(), &error))
    }

    /// What is to be done about it.
    pub(super) fn advice(&self, data: &Path) -> String {
        let Self { backup, command, parts, .. } = self;
        let parts = parts.join(", ");
        format!("{}: a restore of {parts} from {backup} was not finished; run `{command}`", data.display())
    }
}

fn path(data: &Path) -> PathBuf {
    data.join(UNFINISHED)
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@%".contains(&byte);
    match word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Refuses to do anything where a restore was not finished.
pub(crate) fn check_finished(data: &Path) -> Result<(), Fatal> {
    match Mark::read(data)? {
        Some(mark) => Err(Fatal::new(mark.advice(data))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_covers_another_where_it_has_all_of_its_parts() {
        let mark = |parts: &[&str]| Mark {
            backup: "/b".to_owned(),
            manifest: String::new(),
            parts: parts.iter().map(ToString::to_string).collect(),
            command: String::new(),
        };
        assert!(mark(&["accounts", "partners"]).covers(&mark(&["partners"])));
        assert!(!mark(&["partners"]).covers(&mark(&["accounts", "partners"])));
    }

    #[test]
    fn a_word_with_a_space_or_a_quote_is_one_word_to_a_shell() {
        assert_eq!(quoted("/a/b-1"), "/a/b-1");
        assert_eq!(quoted("/a b/it's"), "'/a b/it'\\''s'");
    }
}
