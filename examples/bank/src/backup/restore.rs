//! Putting a backup in the place of what is in the data directory, while no bank runs.

use std::fs;
use std::path::Path;

use bank_stores::embedded::{SqliteDocuments, SqliteItems, SqliteLedger};
use bank_stores::{Clock as _, SystemClock};

use super::manifest::Manifest;
use super::{DUMP, KEYS, ORDER, Progress, server_copies};
use crate::Fatal;
use crate::args::Part;
use crate::config::Config;
use crate::files::{Files, private_directory, replace};
use crate::seal::Seal;

/// Is in the data directory while a restore is not done. A bank does not start there.
const UNFINISHED: &str = "restore-unfinished";

/// What is to be restored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restore {
    /// These parts; all that are in the backup, and the keys, where it is empty.
    pub(crate) only: Vec<Part>,
    /// Also where there is data already, which is kept beside what comes.
    pub(crate) replace: bool,
}

/// Refuses to start where a restore was not finished.
pub(crate) fn check_finished(data: &Path) -> Result<(), Fatal> {
    match fs::read_to_string(data.join(UNFINISHED)) {
        Ok(from) => Err(Fatal::new(format!(
            "{}: a restore of {} was not finished; run it again, with --replace",
            data.display(),
            from.trim()
        ))),
        Err(_) => Ok(()),
    }
}

/// Puts the backup `from` into the data directory, when each of its files is as it was written. Says what was done.
pub(crate) async fn restore(
    config: &Config,
    from: &Path,
    what: &Restore,
    progress: Progress<'_>,
) -> Result<String, Fatal> {
    let manifest = Manifest::read(from)?;
    let parts = chosen(config, from, &manifest, what)?;
    manifest.check(from, &mut |done, of| progress("bytes of the backup read", done, of))?;
    refuse_data(config, &parts, what)?;
    private_directory(&config.data)?;
    let marker = config.data.join(UNFINISHED);
    let written = |error| Fatal::caused(marker.display(), &error);
    let name = fs::canonicalize(from).unwrap_or_else(|_| from.to_owned());
    replace(&marker, name.display().to_string().as_bytes()).map_err(written)?;
    let mut restoring = Restoring { config, data: &config.data, from, replace: what.replace, changed: false };
    let head = match Box::pin(restoring.parts(&parts, &manifest, progress)).await {
        Ok(head) => head,
        Err(error) => {
            if !restoring.changed {
                fs::remove_file(&marker).map_err(written)?;
            }
            return Err(error);
        }
    };
    restoring.other_files(&manifest, what)?;
    fs::remove_file(&marker).map_err(written)?;
    // Last: with the right keys in their place nothing has to be done again.
    Box::pin(check_master_keys(config, &manifest, &parts)).await?;
    let names: Vec<_> = parts.iter().map(|part| part.name()).collect();
    let mut line = format!("{} of {} are in {}", names.join(", "), manifest.taken_at, config.data.display());
    if let Some(head) = head {
        line.push_str(&format!("; the ledger holds, its head is {head}"));
    }
    Ok(line)
}

/// The parts to restore, in the order in which they were copied.
fn chosen(config: &Config, from: &Path, manifest: &Manifest, what: &Restore) -> Result<Vec<Part>, Fatal> {
    let held = |part: Part| manifest.parts.iter().any(|name| name == part.name());
    if let Some(part) = what.only.iter().find(|part| !held(**part)) {
        let parts = manifest.parts.join(", ");
        return Err(Fatal::new(format!("{}: {} is not in it, only {parts}", from.display(), part.name())));
    }
    let parts: Vec<_> = ORDER.into_iter().map(|(part, _)| part).filter(|part| held(*part)).collect();
    if what.only.contains(&Part::Accounts)
        && held(Part::Transactions)
        && !what.only.contains(&Part::Transactions)
    {
        return Err(Fatal::new(
            "an older ledger beside newer transactions would tell customers of payments that it does not have: restore both, with --part accounts --part transactions",
        ));
    }
    let parts: Vec<_> =
        parts.into_iter().filter(|part| what.only.is_empty() || what.only.contains(part)).collect();
    for part in &parts {
        let is_dump = *part == Part::Accounts && manifest.files.iter().any(|entry| entry.path == DUMP);
        let name = part.name();
        match config.place(*part) {
            Some(_) if is_dump && server_copies(*part) => {}
            Some(_) => {
                return Err(Fatal::new(format!(
                    "the configuration has the data of {name} on a server, and the backup has a file: nobody would read it; choose others with --part"
                )));
            }
            None if is_dump => {
                return Err(Fatal::new(format!(
                    "the backup has the ledger of a PostgreSQL server: say which by [{name}] store"
                )));
            }
            None => {}
        }
    }
    Ok(parts)
}

/// Data that is there is replaced only where that was asked for.
fn refuse_data(config: &Config, parts: &[Part], what: &Restore) -> Result<(), Fatal> {
    let is_there = |part: Part, file: &str| config.place(part).is_none() && config.data.join(file).exists();
    let there = ORDER.into_iter().find(|(part, file)| parts.contains(part) && is_there(*part, file));
    match there {
        Some((_, file)) if !what.replace => Err(Fatal::new(format!(
            "{}: there is data already; with --replace it is kept beside what comes, as FILE.replaced-…",
            config.data.join(file).display()
        ))),
        _ => Ok(()),
    }
}

struct Restoring<'a> {
    config: &'a Config,
    data: &'a Path,
    from: &'a Path,
    replace: bool,
    /// Whether anything in the data directory is another by now.
    changed: bool,
}

impl Restoring<'_> {
    /// Tells the head of the ledger's chain, where it was restored.
    async fn parts(
        &mut self,
        parts: &[Part],
        manifest: &Manifest,
        progress: Progress<'_>,
    ) -> Result<Option<String>, Fatal> {
        let mut head = None;
        for (part, file) in ORDER.into_iter().filter(|(part, _)| parts.contains(part)) {
            let failed = |error| Fatal::caused(part.name(), &error);
            let (from, to) = (self.from.join(file), self.data.join(file));
            match part {
                Part::Accounts if self.config.place(part).is_some() => {
                    head = Some(Box::pin(self.server(progress)).await?);
                }
                Part::Accounts => {
                    let mut verifying = |at: bank_stores::ledger::Progress| {
                        progress("commands of the ledger verified", at.checked, at.of);
                    };
                    let verified = SqliteLedger::restore(&from, &to, &mut verifying).await.map_err(failed)?;
                    head = Some(verified.head.to_string());
                }
                Part::Partners => SqliteDocuments::restore(&from, &to).await.map_err(failed)?,
                Part::Transactions | Part::Identity | Part::Gateway => {
                    SqliteItems::restore(&from, &to).await.map_err(failed)?;
                }
            }
            self.changed = true;
            for (_, keys) in KEYS.into_iter().filter(|(of, _)| *of == part) {
                if manifest.files.iter().any(|entry| entry.path == keys) {
                    let restored = SqliteItems::restore(self.from.join(keys), self.data.join(keys)).await;
                    restored.map_err(|error| Fatal::caused(keys, &error))?;
                }
            }
        }
        Ok(head)
    }

    /// Puts a ledger back on its PostgreSQL server, and verifies it there.
    #[cfg(feature = "servers")]
    async fn server(&self, progress: Progress<'_>) -> Result<String, Fatal> {
        use bank_stores::Ledger as _;

        let Some(at) = self.config.place(Part::Accounts).cloned() else { return Ok(String::new()) };
        let (place, dump, replace) = (at.clone(), self.from.join(DUMP), self.replace);
        let restored = tokio::task::spawn_blocking(move || super::postgres::restore(&place, &dump, replace));
        restored.await.map_err(Fatal::new)??;
        let clock: std::sync::Arc<dyn bank_stores::Clock> = std::sync::Arc::new(SystemClock::new());
        let opened = crate::stores::ledger(&Files::open(self.data)?, Some(&at), &clock).await?;
        let mut verifying = |at: bank_stores::ledger::Progress| {
            progress("commands of the ledger verified", at.checked, at.of);
        };
        let verified = opened.role.verify(None, &mut verifying).await;
        opened.close.close().await;
        let verified = verified.map_err(|error| Fatal::caused(&at.name, &error))?;
        match verified.breach {
            Some(breach) => {
                Err(Fatal::new(format!("{}: the ledger is not as it was written, {breach}", at.name)))
            }
            None => Ok(verified.head.to_string()),
        }
    }

    #[cfg(not(feature = "servers"))]
    #[allow(clippy::unused_async, reason = "as with servers")]
    async fn server(&self, _progress: Progress<'_>) -> Result<String, Fatal> {
        Err(Fatal::new("this bank was built without servers"))
    }

    /// Keys, and records of the audit. Where only some parts are restored, nothing that is there is replaced; records of the audit
    /// never are.
    fn other_files(&self, manifest: &Manifest, what: &Restore) -> Result<(), Fatal> {
        let aside = format!(".replaced-{}", SystemClock::new().now().micros());
        let paths = manifest.files.iter().map(|entry| entry.path.as_str());
        for path in paths.filter(|path| !path.ends_with(".db")) {
            let (from, to) = (self.from.join(path), self.data.join(path));
            let failed = |error| Fatal::caused(to.display(), &error);
            let content = fs::read(&from).map_err(|error| Fatal::caused(from.display(), &error))?;
            private_directory(to.parent().unwrap_or(self.data))?;
            if to.exists() {
                let same = fs::read(&to).map_err(failed)? == content;
                if same || !what.only.is_empty() || path.starts_with("audit-") {
                    continue;
                }
                let mut kept = to.as_os_str().to_owned();
                kept.push(&aside);
                fs::rename(&to, kept).map_err(failed)?;
            }
            replace(&to, &content).map_err(failed)?;
        }
        Ok(())
    }
}

/// Whether the master keys open what came back: a bank with others does not start.
async fn check_master_keys(config: &Config, manifest: &Manifest, parts: &[Part]) -> Result<(), Fatal> {
    let wanted = || {
        format!(
            "the data is in its place, but its data keys are under the master key {}: put the file with it where [seal] key_file says, then start the bank",
            manifest.master_keys.join(" and ")
        )
    };
    let files = Files::open(&config.data)?;
    let seal = Seal::open(&config.seal, &files, false)
        .await
        .map_err(|error| Fatal::new(format!("{}: {error}", wanted())))?;
    for part in parts {
        if let Some(keys) = seal.keys_to_read(*part, config.place(*part)).await? {
            keys.ready().await.map_err(|error| Fatal::caused(wanted(), &error))?;
        }
    }
    Ok(())
}
