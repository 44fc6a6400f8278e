//! Taking a backup, beside a bank that runs or of one that does not.

use std::fs;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use bank_stores::embedded::{SqliteDocuments, SqliteItems, SqliteLedger, SqliteOptions};
use bank_stores::{Clock as _, SystemClock};

use super::manifest::{Entry, FORMAT, MANIFEST, Manifest};
#[cfg(feature = "servers")]
use super::{DUMP, postgres};
use super::{KEYS, ORDER, Progress, server_copies};
use crate::Fatal;
use crate::args::Part;
use crate::config::{Config, Place};
use crate::files::{self, Files, private_directory, sync_names};
use crate::seal::Seal;

/// Copies the bank into the new directory `into`, which has its name only when all of it is whole and on the disk. Says in a few lines
/// what was done, and what is not in it.
///
/// A part whose data is on a server is copied by that server's own means; it has to be named in `without`.
pub(crate) async fn backup(
    config: &Config,
    into: &Path,
    without: &[Part],
    progress: Progress<'_>,
) -> Result<String, Fatal> {
    if !config.data.is_dir() {
        let data = config.data.display();
        return Err(Fatal::new(format!("{data}: there is no data; say where with --data DIR")));
    }
    if into.exists() {
        return Err(Fatal::new(format!("{} exists, and a backup replaces nothing", into.display())));
    }
    let (mut parts, mut on_servers) = (Vec::new(), Vec::new());
    for (part, file) in ORDER {
        match config.place(part) {
            _ if without.contains(&part) => {}
            Some(_) if !server_copies(part) => on_servers.push(part.name()),
            // A backup that lacks it would pass for a whole one.
            None if !config.data.join(file).is_file() => {
                let (path, name) = (config.data.join(file), part.name());
                return Err(Fatal::new(format!(
                    "{}: there is no data of {name}; say where it is with --data DIR, or take the rest with --without {name}",
                    path.display()
                )));
            }
            _ => parts.push(part),
        }
    }
    if let [first, ..] = on_servers[..] {
        return Err(Fatal::new(format!(
            "the data of {} is on a server, which has means of its own to copy it (docs/operating.md, Backup); take the rest with --without {first}",
            on_servers.join(", ")
        )));
    }
    let draft = Draft::beside(into)?;
    let mut taking =
        Taking { config, files: Files::open(&config.data)?, into: draft.0.clone(), taken: Vec::new() };
    let manifest = taking.all(&parts, progress).await?;
    let text = serde_json::to_vec_pretty(&manifest).map_err(Fatal::new)?;
    write(&draft.0.join(MANIFEST), &mut &*text)?;
    let bytes: u64 = manifest.files.iter().map(|entry| entry.bytes).sum();
    draft.becomes(into)?;
    let mut lines = vec![format!(
        "{} is a backup of {}: {} files, {bytes} bytes",
        into.display(),
        manifest.parts.join(", "),
        manifest.files.len()
    )];
    lines.extend(manifest.ledger.map(|head| format!("the ledger's copy holds, its head is {head}")));
    lines.extend(taking.about_keys());
    Ok(lines.join("\n"))
}

struct Taking<'a> {
    config: &'a Config,
    files: Files,
    into: PathBuf,
    taken: Vec<String>,
}

impl Taking<'_> {
    async fn all(&mut self, parts: &[Part], progress: Progress<'_>) -> Result<Manifest, Fatal> {
        let taken_at = SystemClock::new().now();
        let (mut ledger, mut held) = (None, Vec::new());
        for (part, file) in ORDER.into_iter().filter(|(part, _)| parts.contains(part)) {
            match self.config.place(part) {
                Some(at) => self.dump(at).await?,
                None => {
                    let head = self.part(part, file, progress).await?;
                    ledger = ledger.or(head);
                }
            }
            held.push(part.name().to_owned());
            for (_, keys) in KEYS.into_iter().filter(|(of, _)| *of == part) {
                if self.config.data.join(keys).is_file() {
                    self.items(keys).await?;
                }
            }
        }
        if held.is_empty() {
            let data = self.config.data.display();
            return Err(Fatal::new(format!(
                "{data}: there is no part's data in it; say where with --data DIR"
            )));
        }
        let master_keys = self.master_keys(parts).await?;
        self.keys_and_audit()?;
        let of = self.taken.len() as u64;
        let mut files = Vec::new();
        for (at, path) in self.taken.iter().enumerate() {
            progress("files hashed", at as u64, of);
            files.push(Entry::of(&self.into, path)?);
        }
        progress("files hashed", of, of);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let sha256 = String::new();
        Ok(Manifest { format: FORMAT, version, taken_at, parts: held, ledger, master_keys, files, sha256 })
    }

    /// Copies a part's data; tells the head of the ledger's chain.
    async fn part(
        &mut self,
        part: Part,
        file: &str,
        progress: Progress<'_>,
    ) -> Result<Option<String>, Fatal> {
        let failed = |error| Fatal::caused(part.name(), &error);
        let (from, to) = (SqliteOptions::new(self.config.data.join(file)).read_only(), self.into.join(file));
        match part {
            Part::Accounts => {
                let ledger = SqliteLedger::open(from).await.map_err(failed)?;
                let mut verifying = |at: bank_stores::ledger::Progress| {
                    progress("commands of the ledger verified", at.checked, at.of)
                };
                let verified = ledger.backup(&to, &mut verifying).await.map_err(failed)?;
                ledger.close().await;
                if let Some(breach) = verified.breach {
                    let what = format!("the ledger is not as it was written, {breach}: no backup was taken");
                    return Err(Fatal::new(what));
                }
                self.taken.push(file.to_owned());
                return Ok(Some(verified.head.to_string()));
            }
            Part::Partners => {
                let documents = SqliteDocuments::open(from).await.map_err(failed)?;
                documents.backup(&to).await.map_err(failed)?;
                documents.close().await;
                self.taken.push(file.to_owned());
            }
            Part::Transactions | Part::Identity | Part::Gateway => self.items(file).await?,
        }
        Ok(None)
    }

    /// Copies a ledger that is on PostgreSQL.
    #[cfg(feature = "servers")]
    async fn dump(&mut self, at: &Place) -> Result<(), Fatal> {
        let to = self.into.join(DUMP);
        private_directory(to.parent().unwrap_or(&self.into))?;
        // Its program writes the file, whose permissions are ours.
        write(&to, &mut io::empty())?;
        let at = at.clone();
        tokio::task::spawn_blocking(move || postgres::dump(&at, &to)).await.map_err(Fatal::new)??;
        self.taken.push(DUMP.to_owned());
        Ok(())
    }

    #[cfg(not(feature = "servers"))]
    #[allow(clippy::unused_async, reason = "as with servers")]
    async fn dump(&mut self, at: &Place) -> Result<(), Fatal> {
        Err(Fatal::new(format!("{}: this bank was built without servers", at.name)))
    }

    async fn items(&mut self, file: &str) -> Result<(), Fatal> {
        let failed = |error| Fatal::caused(file, &error);
        let from = SqliteOptions::new(self.config.data.join(file)).read_only();
        let items = SqliteItems::open(from).await.map_err(failed)?;
        items.backup(self.into.join(file)).await.map_err(failed)?;
        items.close().await;
        self.taken.push(file.to_owned());
        Ok(())
    }

    /// The master keys under which the data keys of these parts are.
    async fn master_keys(&self, parts: &[Part]) -> Result<Vec<String>, Fatal> {
        let seal = Seal::open(&self.config.seal, &self.files, false).await?;
        let mut names = std::collections::BTreeSet::new();
        for part in parts {
            if let Some(keys) = seal.keys_to_read(*part, self.config.place(*part)).await? {
                let status = keys.status().await.map_err(|error| Fatal::caused(part.name(), &error))?;
                names.extend(status.wrapped.into_keys());
            }
        }
        Ok(names.into_iter().collect())
    }

    /// The keys of the data directory, and the records of the audit.
    fn keys_and_audit(&mut self) -> Result<(), Fatal> {
        let mut paths = Vec::new();
        for (directory, wanted) in [("keys", ""), ("", "audit-"), ("", "demo-funded")] {
            let within = self.config.data.join(directory);
            for entry in fs::read_dir(&within).map_err(|error| Fatal::caused(within.display(), &error))? {
                let entry = entry.map_err(|error| Fatal::caused(within.display(), &error))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                // Half of a file that is being made has `.new-` in its name, and locks and what was replaced are nobody's keys.
                let is_other =
                    name.contains(".new-") || name.contains(".replaced-") || name.ends_with(".lock");
                if entry.path().is_file() && name.starts_with(wanted) && !is_other {
                    paths.push(if directory.is_empty() { name } else { format!("{directory}/{name}") });
                }
            }
        }
        paths.sort();
        for path in paths {
            let from = self.config.data.join(&path);
            let failed = |error| Fatal::caused(from.display(), &error);
            let mut file = fs::File::open(&from).map_err(failed)?;
            // A record that is being written is not whole yet.
            let bytes =
                if path.starts_with("audit-") { whole_lines(&mut file).map_err(failed)? } else { u64::MAX };
            let to = self.into.join(&path);
            private_directory(to.parent().unwrap_or(&self.into))?;
            write(&to, &mut file.take(bytes))?;
            self.taken.push(path);
        }
        Ok(())
    }

    /// What whoever has the backup can do with it, and what they cannot do without more.
    fn about_keys(&self) -> Vec<String> {
        let has = |wanted: &str| self.taken.iter().any(|path| path == wanted);
        if has("keys/seal.json") {
            return vec![
                "the master keys are in it: who has this backup reads everything; keep it as you keep keys, or keep them elsewhere by [seal] key_file".to_owned(),
            ];
        }
        let mut lines = Vec::new();
        if self.config.seal.kms.is_none() {
            lines.push("the master keys are not in it: keep a copy of [seal] key_file apart, without it nothing opens that is sealed under them".to_owned());
        }
        for part in Part::SERVICES {
            let key = format!("keys/seal-{}.key", part.name());
            if has(&key) {
                lines.push(format!(
                    "{key} is in it: who has this backup reads what {} sealed with it",
                    part.name()
                ));
            }
        }
        if has("keys/signing.key") {
            lines.push("keys/signing.key is in it: who has this backup can sign sessions as the bank does; keep it as you keep keys".to_owned());
        }
        lines
    }
}

/// A directory under construction, removed when it is given up.
struct Draft(PathBuf);

impl Draft {
    fn beside(whole: &Path) -> Result<Self, Fatal> {
        let mut name = whole.file_name().unwrap_or_default().to_owned();
        name.push(format!(".part-{}", std::process::id()));
        if let Some(parent) = whole.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            private_directory(parent)?;
        }
        let path = whole.with_file_name(name);
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| Fatal::caused(path.display(), &error))?;
        Ok(Self(path))
    }

    /// Gives it its name, when the disk has all of it.
    fn becomes(self, whole: &Path) -> Result<(), Fatal> {
        let failed = |error| Fatal::caused(whole.display(), &error);
        sync_directories(&self.0).map_err(failed)?;
        fs::rename(&self.0, whole).map_err(failed)?;
        sync_names(whole).map_err(failed)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It is not there any more where it has its name.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sync_directories(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_directories(&path)?;
        }
    }
    fs::File::open(path)?.sync_all()
}

/// How many bytes of a file are whole lines, of which the last one may be far from its end.
fn whole_lines(file: &mut fs::File) -> io::Result<u64> {
    let (mut buffer, mut at, mut whole) = (vec![0; 64 * 1024], 0, 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            file.rewind()?;
            return Ok(whole);
        }
        if let Some(end) = buffer[..read].iter().rposition(|byte| *byte == b'\n') {
            whole = at + end as u64 + 1;
        }
        at += read as u64;
    }
}

/// Writes a file of the backup, for its owner only.
fn write(path: &Path, from: &mut dyn io::Read) -> Result<(), Fatal> {
    let written = files::Draft::read_from(path, from).and_then(files::Draft::becomes);
    written.map_err(|error| Fatal::caused(path.display(), &error))
}
