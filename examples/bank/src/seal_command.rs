//! `bank seal`: the keys that the bank's data is sealed with.

use std::path::Path;
use std::sync::Arc;

use bank_stores::embedded::{SqliteItems, SqliteOptions};
use bank_stores::seal::{DataKeys, RewrapProgress};
use serde_json::json;

use crate::Fatal;
use crate::args::{Part, SealCommand};
use crate::config::Config;
use crate::files::Files;
use crate::progress::Progress;
use crate::seal::{self, COLLECTIONS, Seal, keys_file};
use crate::stores::{self, Close};

/// A part's data keys, or that the part runs and has them for itself.
enum Opened {
    Keys(DataKeys, Option<Arc<dyn Close>>),
    /// The file is in use.
    Running,
    /// It has none yet.
    None,
}

/// Does it, and says what was done.
pub(crate) async fn run(what: &SealCommand, config: &Config, as_json: bool) -> Result<String, Fatal> {
    if !config.data.is_dir() {
        return Err(Fatal::new(format!(
            "{}: there is no data; say where with --data DIR",
            config.data.display()
        )));
    }
    let files = Files::open(&config.data)?;
    let bank = Commands { seal: Seal::open(&config.seal, &files, false).await?, config, files };
    match what {
        SealCommand::Status => bank.status(as_json).await,
        SealCommand::Rotate => bank.rotate().await,
        SealCommand::Retire(key) => bank.retire(key).await,
        SealCommand::Shred(customer) => bank.shred(customer).await,
        SealCommand::Reseal => bank.reseal().await,
    }
}

struct Commands<'a> {
    seal: Seal,
    config: &'a Config,
    files: Files,
}

impl Commands<'_> {
    async fn status(&self, as_json: bool) -> Result<String, Fatal> {
        let (mut lines, mut parts) = (Vec::new(), serde_json::Map::new());
        for part in Part::SERVICES {
            let name = part.name();
            let Some(keys) = self.seal.keys_to_read(part, self.config.place(part)).await? else {
                lines.push(format!("{name}: no data keys"));
                parts.insert(name.to_owned(), serde_json::Value::Null);
                continue;
            };
            let status = keys.status().await.map_err(|error| Fatal::caused(name, &error))?;
            for (master, count) in &status.wrapped {
                let now = if *master == status.current { ", the current one" } else { "" };
                lines.push(format!("{name}: {count} data keys under {master}{now}"));
            }
            lines.push(format!("{name}: {} data keys shredded", status.erased));
            let wrapped: serde_json::Map<_, _> =
                status.wrapped.iter().map(|(master, count)| (master.clone(), json!(count))).collect();
            let told = json!({ "current": status.current, "wrapped": wrapped, "shredded": status.erased });
            parts.insert(name.to_owned(), told);
        }
        Ok(if as_json { serde_json::Value::Object(parts).to_string() } else { lines.join("\n") })
    }

    /// Adds a master key and wraps the data keys anew. Where a part runs, it does so itself.
    async fn rotate(&self) -> Result<String, Fatal> {
        let (mut lines, mut failed) = (Vec::new(), 0);
        match self.config.seal.keyring(&self.files)? {
            Some(keyring) => {
                let name = keyring.rotate().map_err(|error| Fatal::caused("the key file", &error))?;
                lines.push(format!("{name} is the current master key"));
            }
            None => lines.push("the current master key is that of [seal] kms".to_owned()),
        }
        for part in Part::SERVICES {
            let name = part.name();
            match self.open(part).await? {
                Opened::None => {}
                Opened::Running => {
                    lines.push(format!("{name} runs, and wraps its data keys anew within seconds"));
                }
                Opened::Keys(keys, store) => {
                    let mut bar = Progress::new(name, "data keys looked at");
                    let mut progress = |progress: RewrapProgress| bar.so_far(progress.checked);
                    let done = keys.rewrap(&mut progress).await;
                    let done = done.map_err(|error| Fatal::caused(name, &error))?;
                    close(store).await;
                    failed += done.failed;
                    lines.push(format!(
                        "{name}: {} of {} data keys wrapped anew",
                        done.rewrapped, done.checked
                    ));
                }
            }
        }
        match failed {
            0 => Ok(lines.join("\n")),
            failed => Err(Fatal::new(format!(
                "{failed} data keys could not be unwrapped: put their master key back into the key file, retire none, and rotate again ({})",
                lines.join("; ")
            ))),
        }
    }

    /// Removes a master key that nothing is wrapped under any more.
    async fn retire(&self, key: &str) -> Result<String, Fatal> {
        let Some(keyring) = self.config.seal.keyring(&self.files)? else {
            return Err(Fatal::new("the master keys are in AWS KMS: take the key out of [seal] kms_old"));
        };
        for part in Part::SERVICES {
            let at = self.config.place(part);
            let Some(keys) = self.seal.keys_to_read(part, at).await? else {
                if self.seal.has_single_key(part, at) {
                    continue;
                }
                // Data keys that are elsewhere would be lost with it.
                return Err(Fatal::new(format!(
                    "{}: there are no data keys to look at; say where its data is, by --data, --config and the \
                     environment, as for the bank itself",
                    part.name()
                )));
            };
            let status = keys.status().await.map_err(|error| Fatal::caused(part.name(), &error))?;
            if let Some(count) = status.wrapped.get(key) {
                let name = part.name();
                return Err(Fatal::new(format!("{name}: {count} data keys are under {key}; rotate first")));
            }
        }
        keyring.retire(key).map_err(|error| Fatal::caused(key, &error))?;
        Ok(format!("{key} is gone: backups whose data keys are under it open no longer"))
    }

    async fn shred(&self, customer: &str) -> Result<String, Fatal> {
        let mut opened = Vec::new();
        let (mut lines, mut shredded) = (Vec::new(), false);
        // All or none: it is found out first whether a part runs.
        for part in Part::SERVICES {
            match self.open(part).await? {
                Opened::Keys(keys, store) => opened.push((part, keys, store)),
                Opened::Running => {
                    return Err(Fatal::new(format!("{} runs; stop the bank to shred a key", part.name())));
                }
                Opened::None => lines.push(format!("{}: no data keys here", part.name())),
            }
        }
        for (part, keys, store) in opened {
            let name = part.name();
            let had = match keys.master().await {
                Ok(None) => "has one key for everything, and keeps what it sealed",
                _ => match keys.shred(customer).await {
                    Ok(true) => {
                        shredded = true;
                        match self.config.place(part) {
                            Some(_) => {
                                "shredded; copies that run follow within a minute, so shred it again then"
                            }
                            None => "shredded",
                        }
                    }
                    Ok(false) => "had no key of this customer",
                    Err(error) => {
                        lines.push(format!("{name}: {error}"));
                        return Err(Fatal::new(format!("not all is shredded: {}", lines.join("; "))));
                    }
                },
            };
            close(store).await;
            lines.push(format!("{name}: {had}"));
        }
        match shredded {
            true => Ok(lines.join("\n")),
            false => Err(Fatal::new(format!("nothing is shredded: {}", lines.join("; ")))),
        }
    }

    /// Seals what was written before the bank sealed anything. It may be stopped and run again: what is sealed is passed over.
    async fn reseal(&self) -> Result<String, Fatal> {
        // All or none: it is found out first whether a part runs.
        for part in Part::SERVICES {
            if matches!(self.is_running(part).await?, Some(true)) {
                let name = part.name();
                return Err(Fatal::new(format!("{name} runs; stop the bank to seal what is there")));
            }
        }
        let mut lines = Vec::new();
        for part in Part::SERVICES {
            let name = part.name();
            match part {
                Part::Transactions | Part::Identity => {
                    lines.push(self.reseal_items(part).await?);
                }
                Part::Partners => lines.push(self.reseal_documents(part).await?),
                Part::Accounts | Part::Gateway => lines.push(format!(
                    "{name}: texts that were booked in the clear stay so, since a ledger is never changed; \
                     keep {name} in [seal] allow_unsealed if there are any"
                )),
            }
        }
        lines.push(
            "transactions: events that were told in the clear stay so until they are forgotten; keep transactions in \
             [seal] allow_unsealed until [events] keep_days are over"
                .to_owned(),
        );
        lines.push("backups, and the logs of servers, keep what they have".to_owned());
        Ok(lines.join("\n"))
    }

    async fn reseal_items(&self, part: Part) -> Result<String, Fatal> {
        let failed = |error| Fatal::caused(part.name(), &error);
        let at = self.config.place(part);
        if at.is_none() && !self.files.path(keys_file(part)).is_file() {
            return Ok(format!("{}: no data", part.name()));
        }
        let stores::Opened { role, close: store } = stores::items(&self.files, keys_file(part), at).await?;
        let items = seal::items(role.clone(), &self.seal.keys_in(part, role.clone()), part);
        let mut bar = Progress::new(part.name(), "items looked at");
        let mut progress = |checked: u64, _sealed: u64| bar.so_far(checked);
        let done = items.reseal_all(&*role, &mut progress).await.map_err(failed)?;
        ended(part, "items", done, &*store).await
    }

    async fn reseal_documents(&self, part: Part) -> Result<String, Fatal> {
        let failed = |error| Fatal::caused(part.name(), &error);
        let at = self.config.place(part);
        if at.is_none() && !self.files.path(stores::PARTNERS).is_file() {
            return Ok(format!("{}: no data", part.name()));
        }
        let (keys, keys_store) = self.seal.keys_beside(part, at).await?;
        let stores::Opened { role, close: store } =
            stores::documents(&self.files, stores::PARTNERS, at).await?;
        let documents = seal::documents(role, &keys);
        let (mut checked, mut sealed) = (0, 0);
        for collection in COLLECTIONS {
            let mut bar = Progress::new(collection, "documents looked at");
            let mut progress = |checked: u64, _sealed: u64| bar.so_far(checked);
            let done = documents.reseal(collection, &mut progress).await.map_err(failed)?;
            (checked, sealed) = (checked + done.0, sealed + done.1);
        }
        close(keys_store).await;
        ended(part, "documents", (checked, sealed), &*store).await
    }

    /// Whether a part's file is in use; nothing, where there is none.
    async fn is_running(&self, part: Part) -> Result<Option<bool>, Fatal> {
        let path = self.files.path(keys_file(part));
        if self.config.place(part).is_some() || !path.is_file() {
            return Ok(None);
        }
        is_in_use(&path).await.map(Some)
    }

    async fn open(&self, part: Part) -> Result<Opened, Fatal> {
        let at = self.config.place(part);
        let has_items = matches!(part, Part::Transactions | Part::Identity);
        match self.is_running(part).await? {
            Some(true) => return Ok(Opened::Running),
            None if at.is_none() => return Ok(Opened::None),
            Some(false) | None => {}
        }
        if has_items {
            let opened = stores::items(&self.files, keys_file(part), at).await?;
            return Ok(Opened::Keys(self.seal.keys_in(part, opened.role), Some(opened.close)));
        }
        let (keys, store) = self.seal.keys_beside(part, at).await?;
        Ok(Opened::Keys(keys, store))
    }
}

/// Leaves nothing of what was in the clear in the part's file, closes it, and says what was done.
async fn ended(
    part: Part,
    what: &str,
    (checked, sealed): (u64, u64),
    store: &dyn Close,
) -> Result<String, Fatal> {
    // Also where an earlier run was ended before it came to that.
    let vacuumed = store.vacuum().await;
    store.close().await;
    vacuumed.map_err(|error| Fatal::caused(part.name(), &error))?;
    Ok(format!("{}: {checked} {what}, {sealed} of which were sealed now", part.name()))
}

/// Whether another process writes to the store in this file.
async fn is_in_use(path: &Path) -> Result<bool, Fatal> {
    match SqliteItems::open(SqliteOptions::new(path)).await {
        Ok(items) => {
            items.close().await;
            Ok(false)
        }
        Err(error) if error.to_string().contains("in use") => Ok(true),
        Err(error) => Err(Fatal::caused(path.display(), &error)),
    }
}

async fn close(store: Option<Arc<dyn Close>>) {
    if let Some(store) = store {
        store.close().await;
    }
}
