//! Putting a backup in the place of what is in the data directory, while no bank runs.
//!
//! It is planned, staged and swapped. Staging takes the locks of all parts, copies all files beside those that are there, verifies the
//! copies and looks whether their keys open: whatever can be refused is refused before anything is replaced. The swap gives names only.
//! While it lasts there is a [mark](super::mark), beside which no bank starts.

use std::path::Path;

use bank_stores::embedded::{SqliteDocuments, SqliteItems, SqliteLedger, SqliteOptions, Staged};
use bank_stores::seal::DataKeys;

use super::manifest::Manifest;
use super::mark::Mark;
use super::small_files::SmallFiles;
use super::{DUMP, KEYS, ORDER, Progress, server_copies};
use crate::Fatal;
use crate::args::Part;
use crate::config::Config;
use crate::files::{Files, private_directory};
use crate::seal::{Seal, keys_file};

/// What is to be restored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restore {
    /// These parts; all that are in the backup, and the keys, where it is empty.
    pub(crate) only: Vec<Part>,
    /// Also where there is data already, which is kept beside what comes.
    pub(crate) replace: bool,
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
    let mark = Mark::new(config, from, &manifest, &parts, what);
    let before = Mark::read(&config.data)?;
    if let Some(before) = before.as_ref().filter(|before| !mark.covers(before)) {
        let what = "this one does not have all of its parts";
        return Err(Fatal::new(format!("{}; {what}", before.advice(&config.data))));
    }
    manifest.check(from, &mut |done, of| progress("bytes of the backup read", done, of))?;
    refuse_data(config, &parts, what)?;
    private_directory(&config.data)?;
    let plan = Plan { config, from, manifest: &manifest, parts: &parts, what };
    let staged = Box::pin(plan.stage(progress)).await?;
    let head = staged.head.clone();
    let ready = async {
        Box::pin(plan.check_master_keys(&staged)).await?;
        mark.write(&config.data)
    };
    if let Err(error) = ready.await {
        staged.give_up().await;
        return Err(error);
    }
    // Where this fails the mark stays, also where little was changed.
    staged.take_place().await?;
    Mark::remove(&config.data)?;
    let names: Vec<_> = parts.iter().map(|part| part.name()).collect();
    let mut lines =
        vec![format!("{} of {} are in {}", names.join(", "), manifest.taken_at, config.data.display())];
    lines.extend(head.map(|head| format!("the ledger holds, its head is {head}")));
    if parts.contains(&Part::Identity) {
        lines.push("users are as they were then: sessions that were ended since, passwords and roles that were changed and staff that was locked out are back; end them again by `bank user` before the bank starts".to_owned());
    }
    Ok(lines.join("\n"))
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
        let is_dump = *part == Part::Accounts && manifest.has(DUMP);
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

/// What is to be done.
struct Plan<'a> {
    config: &'a Config,
    from: &'a Path,
    manifest: &'a Manifest,
    parts: &'a [Part],
    what: &'a Restore,
}

/// All that comes, beside what is there.
struct Ready {
    stores: Vec<(&'static str, Staged)>,
    small: SmallFiles,
    /// The head of the ledger's chain, where it comes.
    head: Option<String>,
    #[cfg_attr(not(feature = "servers"), allow(dead_code, reason = "there are none"))]
    server: Option<crate::config::Place>,
}

impl Plan<'_> {
    async fn stage(&self, progress: Progress<'_>) -> Result<Ready, Fatal> {
        let (mut stores, mut head, mut on_server) = (Vec::new(), None, None);
        for (part, file) in ORDER.into_iter().filter(|(part, _)| self.parts.contains(part)) {
            let failed = |error| Fatal::caused(part.name(), &error);
            let (from, to) = (self.from.join(file), self.config.data.join(file));
            match part {
                Part::Accounts if self.config.place(part).is_some() => on_server = self.config.place(part),
                Part::Accounts => {
                    let mut verifying = verifying(&mut *progress);
                    let (staged, verified) =
                        SqliteLedger::stage(&from, &to, &mut verifying).await.map_err(failed)?;
                    head = Some(verified.head.to_string());
                    stores.push((file, staged));
                }
                Part::Partners => {
                    stores.push((file, SqliteDocuments::stage(&from, &to).await.map_err(failed)?));
                }
                Part::Transactions | Part::Identity | Part::Gateway => {
                    stores.push((file, SqliteItems::stage(&from, &to).await.map_err(failed)?));
                }
            }
            for (_, keys) in KEYS.into_iter().filter(|(of, keys)| *of == part && self.manifest.has(keys)) {
                let staged = SqliteItems::stage(self.from.join(keys), self.config.data.join(keys)).await;
                stores.push((keys, staged.map_err(|error| Fatal::caused(keys, &error))?));
            }
        }
        let small = SmallFiles::stage(&self.config.data, self.from, self.manifest, self.parts, self.what)?;
        // Last: what is staged there has to be removed where anything else is refused.
        if let Some(at) = on_server {
            head = Some(Box::pin(self.stage_server(at, progress)).await?);
        }
        Ok(Ready { stores, small, head, server: on_server.cloned() })
    }

    /// Puts a ledger beside the one that is on its PostgreSQL server, and verifies it there.
    #[cfg(feature = "servers")]
    async fn stage_server(&self, at: &crate::config::Place, progress: Progress<'_>) -> Result<String, Fatal> {
        use super::postgres;

        let (dump, replace) = (self.from.join(DUMP), self.what.replace);
        on_server(at, move |at| postgres::stage(at, &dump, replace)).await?;
        let verified = async {
            let opened = crate::stores::ledger_in(at, postgres::STAGED).await?;
            let verified = opened.role.verify(None, &mut verifying(progress)).await;
            opened.close.close().await;
            let verified = verified.map_err(|error| Fatal::caused(&at.name, &error))?;
            match verified.breach {
                Some(breach) => {
                    Err(Fatal::new(format!("{}: the ledger is not as it was written, {breach}", at.name)))
                }
                None => Ok(verified.head.to_string()),
            }
        };
        match verified.await {
            Ok(head) => Ok(head),
            Err(error) => {
                discard(at).await;
                Err(error)
            }
        }
    }

    #[cfg(not(feature = "servers"))]
    #[allow(clippy::unused_async, reason = "as with servers")]
    async fn stage_server(&self, _: &crate::config::Place, _: Progress<'_>) -> Result<String, Fatal> {
        Err(Fatal::new("this bank was built without servers"))
    }

    /// Whether the master keys, as they will be, open what comes: a bank with others does not start. What is there already opens as
    /// before, since no master key goes.
    async fn check_master_keys(&self, ready: &Ready) -> Result<(), Fatal> {
        let config = self.config;
        let wanted = || {
            format!(
                "the data keys of the backup are under the master key {}: put the file with it where [seal] key_file says, and run this again; nothing was changed",
                self.manifest.master_keys.join(" and ")
            )
        };
        let files = Files::open(&config.data)?;
        let mut section = config.seal.clone();
        if section.kms.is_none() && section.key_file.is_none() {
            section.key_file = ready.small.keyring(&config.data).map(Path::to_owned);
        }
        let unwanted = |error: &dyn std::fmt::Display| Fatal::new(format!("{}: {error}", wanted()));
        let seal = Seal::open(&section, &files, false).await.map_err(|error| unwanted(&error))?;
        let names = section.keyring(&files)?.map(|keyring| keyring.names()).transpose();
        let names = names.map_err(|error| unwanted(&error))?;
        let checked = async |keys: &DataKeys| -> Result<(), Fatal> {
            let failed = |error| Fatal::caused(wanted(), &error);
            let wrapped = keys.status().await.map_err(failed)?.wrapped;
            if let Some(name) =
                wrapped.keys().find(|name| names.as_ref().is_some_and(|names| !names.contains(name)))
            {
                return Err(unwanted(&format!("{name} is not there")));
            }
            if wrapped.is_empty() { Ok(()) } else { keys.ready().await.map_err(failed) }
        };
        for part in self.parts {
            match ready.stores.iter().find(|(file, _)| *file == keys_file(*part)) {
                Some((_, staged)) => {
                    let items = SqliteItems::open(SqliteOptions::new(staged.path()).read_only()).await;
                    let items =
                        std::sync::Arc::new(items.map_err(|error| Fatal::caused(part.name(), &error))?);
                    let outcome = checked(&seal.keys_in(*part, items.clone())).await;
                    items.close().await;
                    outcome?;
                }
                None => {
                    if let Some(keys) = seal.keys_to_read(*part, config.place(*part)).await? {
                        checked(&keys).await?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Ready {
    /// Gives everything its name: first where that can be refused by somebody else.
    async fn take_place(self) -> Result<(), Fatal> {
        #[cfg(feature = "servers")]
        if let Some(at) = &self.server {
            on_server(at, super::postgres::swap).await?;
        }
        for (file, staged) in self.stores {
            staged.take_place().await.map_err(|error| Fatal::caused(file, &error))?;
        }
        self.small.take_place()
    }

    /// Removes what would be left.
    #[cfg_attr(not(feature = "servers"), allow(clippy::unused_async, reason = "as with servers"))]
    async fn give_up(self) {
        #[cfg(feature = "servers")]
        if let Some(at) = &self.server {
            discard(at).await;
        }
    }
}

#[cfg(feature = "servers")]
async fn discard(at: &crate::config::Place) {
    if let Err(error) = on_server(at, super::postgres::discard).await {
        tracing::warn!(%error, "what was staged is left on the server; the next restore removes it");
    }
}

/// Work with PostgreSQL's programs, which blocks.
#[cfg(feature = "servers")]
async fn on_server(
    at: &crate::config::Place,
    work: impl FnOnce(&crate::config::Place) -> Result<(), Fatal> + Send + 'static,
) -> Result<(), Fatal> {
    let at = at.clone();
    tokio::task::spawn_blocking(move || work(&at)).await.map_err(Fatal::new)?
}

fn verifying<'a>(progress: Progress<'a>) -> impl FnMut(bank_stores::ledger::Progress) + Send + 'a {
    move |at| progress("commands of the ledger verified", at.checked, at.of)
}
